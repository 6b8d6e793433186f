//! Where the buckets of sources have their places, and what becomes of them: in memory of the host.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

use portguard_common::abi::Bucket;
use portguard_common::bucket_table::{BucketSet, HOME_NS, WAYS, find_or_take, home};
use portguard_common::conceal::Conceal;
use portguard_common::limits::SOURCE_BUCKETS;
use portguard_common::mix::splitmix64;

/// Owners and buckets of a set.
#[derive(Default)]
struct Memory([[AtomicU64; 2]; WAYS as usize]);

impl Memory {
    fn fill(&self, way: u32, full_ns: u64) {
        self.0[way as usize][1].store(full_ns, SeqCst);
    }
}

impl Conceal for &Memory {}

impl BucketSet for &Memory {
    fn owner(&self, way: u32) -> u64 {
        self.0[way as usize][0].load(SeqCst)
    }

    fn bucket(&self, way: u32) -> Bucket {
        self.0[way as usize][1].load(SeqCst)
    }

    fn replace_owner(&self, way: u32, old: u64, new: u64) -> u64 {
        let exchanged = self.0[way as usize][0].compare_exchange(old, new, SeqCst, SeqCst);
        exchanged.unwrap_or_else(|found| found)
    }
}

const NOW: u64 = 100 * HOME_NS;

/// What a set tells apart at least, in nanoseconds.
const TICK: u64 = 8;

/// A digest by its home in its set; the number tells those apart that share it.
fn at_home(way: u32, number: u64) -> u64 {
    1 << 63 | number << 32 | u64::from(way)
}

/// Takes a place in which the bucket is not full before the next moment.
fn use_up(set: &Memory, digest: u64) -> Option<u32> {
    let way = find_or_take(set, digest, NOW)?;
    set.fill(way, NOW + TICK);
    Some(way)
}

/// A set in which all places are in use, each by who is at home there and has the number 0.
fn full() -> Memory {
    let set = Memory::default();
    for way in 0..WAYS {
        assert_eq!(use_up(&set, at_home(way, 0)), Some(way));
    }
    set
}

#[test]
fn the_whole_table_is_somebodys_home() {
    assert_eq!(home(1 << 63), 0);
    assert_eq!(home(u64::MAX), SOURCE_BUCKETS - 1);
    assert_eq!(home(at_home(5, 7)), 5);
}

#[test]
fn a_source_is_at_home_and_stays_where_it_is() {
    for way in 0..WAYS {
        let set = Memory::default();
        let (first, second) = (at_home(way, 1), at_home(way, 2));
        assert_eq!(use_up(&set, first), Some(way));
        let elsewhere = use_up(&set, second).unwrap();
        assert_ne!(elsewhere, way);
        for now_ns in [NOW, 2 * NOW] {
            // Full or not, and although there is room at home.
            assert_eq!(find_or_take(&set, first, now_ns), Some(way));
            set.fill(way, 0);
            assert_eq!(find_or_take(&set, second, now_ns), Some(elsewhere));
        }
        assert_eq!((&set).owner(way), first);
        assert_eq!((&set).owner(elsewhere), second);
    }
}

#[test]
fn all_places_are_used_before_a_source_finds_none() {
    let set = Memory::default();
    let ways: BTreeSet<_> = (1..=8)
        .map(|number| use_up(&set, at_home(6, number)).unwrap())
        .collect();
    assert!(ways.into_iter().eq(0..WAYS));
    for way in 0..WAYS {
        assert_eq!(find_or_take(&set, at_home(way, 9), NOW), None);
    }
    // Those who have one keep it.
    for number in 1..=8 {
        let way = find_or_take(&set, at_home(6, number), NOW).unwrap();
        assert_eq!((&set).owner(way), at_home(6, number));
    }
}

#[test]
fn the_bucket_goes_that_has_been_full_for_the_longest_time() {
    let comes_to = |set: &Memory| find_or_take(set, at_home(3, 1), NOW);
    let set = full();
    assert_eq!(comes_to(&set), None);
    // One that is full just now, and no other one.
    set.fill(5, NOW);
    assert_eq!(comes_to(&set), Some(5));
    // Who was there has no place.
    set.fill(5, NOW + TICK);
    assert_eq!(find_or_take(&set, at_home(5, 0), NOW), None);

    let set = full();
    for (way, full_ns) in [(1, NOW - 2000), (2, NOW - 1000), (6, NOW - 3000)] {
        set.fill(way, full_ns);
    }
    assert_eq!(comes_to(&set), Some(6));
}

#[test]
fn a_source_takes_its_home_once_that_has_been_full_for_a_second() {
    let set = || {
        let set = full();
        set.fill(7, 0);
        set
    };
    let comes_to = |set: &Memory| find_or_take(set, at_home(3, 1), NOW);
    let short = set();
    short.fill(3, NOW - HOME_NS + 1);
    assert_eq!(comes_to(&short), Some(7), "a nanosecond less");
    let long = set();
    long.fill(3, NOW - HOME_NS);
    assert_eq!(comes_to(&long), Some(3));
    // In the first second of the clock it takes another one.
    let early = Memory::default();
    assert_eq!(find_or_take(&early, at_home(4, 0), 1), Some(0));
}

#[test]
fn a_place_that_another_cpu_takes_meanwhile_is_no_longer_there() {
    /// Of which somebody takes each place at the last moment.
    #[derive(Clone, Copy)]
    struct Crowded<'m>(&'m Memory, &'m AtomicU64);
    impl Conceal for Crowded<'_> {}
    impl BucketSet for Crowded<'_> {
        fn owner(&self, way: u32) -> u64 {
            self.0.owner(way)
        }
        fn bucket(&self, way: u32) -> Bucket {
            self.0.bucket(way)
        }
        fn replace_owner(&self, way: u32, _: u64, _: u64) -> u64 {
            let somebody = self.1.fetch_add(1, SeqCst);
            self.0.0[way as usize][0].store(somebody, SeqCst);
            self.0.fill(way, NOW + TICK);
            somebody
        }
    }
    let own = at_home(2, 1);
    let (set, next) = (Memory::default(), AtomicU64::new(1));
    assert_eq!(find_or_take(Crowded(&set, &next), own, NOW), None);
    let tried = next.load(SeqCst) - 1;
    assert!((2..8).contains(&tried), "{tried} times");
    // Each time another place.
    let taken = (0..WAYS).filter(|way| (&set).owner(*way) != 0).count();
    assert_eq!(taken as u64, tried);
    // It may have been taken for the same source.
    let (set, next) = (Memory::default(), AtomicU64::new(own));
    assert_eq!(find_or_take(Crowded(&set, &next), own, NOW), Some(2));
}

#[test]
fn a_bucket_that_is_used_just_before_it_goes_stays() {
    /// Of which a bucket is used as soon as its owner is read for the second time.
    #[derive(Clone, Copy)]
    struct Used<'m>(&'m Memory, &'m AtomicU64);
    impl Conceal for Used<'_> {}
    impl BucketSet for Used<'_> {
        fn owner(&self, way: u32) -> u64 {
            if self.1.fetch_add(1, SeqCst) >= u64::from(WAYS) {
                self.0.fill(way, NOW + TICK);
            }
            self.0.owner(way)
        }
        fn bucket(&self, way: u32) -> Bucket {
            self.0.bucket(way)
        }
        fn replace_owner(&self, way: u32, old: u64, new: u64) -> u64 {
            self.0.replace_owner(way, old, new)
        }
    }
    let (set, read) = (full(), AtomicU64::new(0));
    set.fill(1, NOW);
    assert_eq!(find_or_take(Used(&set, &read), at_home(4, 1), NOW), None);
    assert_eq!((&set).owner(1), at_home(1, 0));
}

#[test]
fn cpus_agree_on_where_a_source_is() {
    let sets: Vec<_> = (0..1000).map(|_| Memory::default()).collect();
    let find_all = || {
        let places = (0..sets.len() as u64 * 4).map(|number| {
            let (set, digest) = (number as usize % sets.len(), splitmix64(number) | 1 << 63);
            let way = use_up(&sets[set], digest).unwrap();
            (set, way)
        });
        places.collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(find_all)).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    // Where two of them met, a source may have got a second place: from then on all find the first one.
    let places = find_all();
    assert_eq!(places, find_all());
    let different: BTreeSet<_> = places.iter().collect();
    assert_eq!(different.len(), places.len());
}
