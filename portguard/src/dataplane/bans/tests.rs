use portguard_common::abi::FOREVER;
use portguard_common::ban_filter;
use portguard_common::places::Line as _;
use portguard_policy::{NoFiles, check, compile};

use super::*;
use crate::dataplane::{Arrival, Generation, LoadOptions};

const NOW: u64 = 1_000;
const LATER: u64 = 2_000;

/// Seen by the programs of a policy without rules.
struct Filter(Generation);

impl Filter {
    fn new() -> Self {
        let checked = check("version: 1\nrules: []\n", &mut NoFiles).unwrap();
        let options = LoadOptions {
            bans: 16,
            trace: true,
            ..LoadOptions::default()
        };
        let tables = compile(&checked.policy, &[]).unwrap();
        let generation = Generation::load(&tables, &options);
        Self(generation.unwrap_or_else(|error| {
            panic!("these tests need a kernel that runs the program: {error}")
        }))
    }

    /// As a daemon does that is started.
    fn open(&self) -> BanTable {
        self.0.bans().unwrap()
    }

    /// Whether a segment from 192.0.2.HOST is dropped.
    fn drops(&self, host: u8, now_ns: u64) -> bool {
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
        frame.extend([192, 0, 2, host, 203, 0, 113, 1]);
        frame.extend([
            0, 1, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
        ]);
        let arrival = Arrival { ifindex: 0, now_ns };
        self.0.run_as(&frame, arrival).unwrap().dropped
    }
}

fn host(host: u8) -> BanTarget {
    format!("192.0.2.{host}").parse().unwrap()
}

fn entries(table: &BanTable) -> BTreeMap<BanTarget, BanEnd> {
    table.entries().unwrap().into_iter().collect()
}

/// As many places as are somebody's.
fn places_taken(table: &BanTable) -> usize {
    let mut digests = Vec::new();
    table.places().reconcile(|digest| {
        digests.push(digest);
        table.places().end(digest)
    });
    digests.len()
}

/// Whether the bits are those of the bans that are written down, and no others.
fn assert_bits(table: &BanTable) {
    let words = table.filter.words();
    let last = u32::try_from(words.len()).unwrap() - 1;
    let mut expected = vec![0; words.len()];
    for target in entries(table).keys() {
        let digest = table.digest(&target.key());
        expected[ban_filter::word(digest, last) as usize] |= ban_filter::bits(digest);
    }
    assert_eq!(words, expected);
}

/// The second digest of two that choose the same lines; there are 127 of them.
fn beside(digest: u64, number: u64) -> u64 {
    digest ^ number << 1
}

#[test]
fn a_key_tells_its_target() {
    for (text, high, low, length, v6) in [
        ("192.0.2.1", 0xc000_0201_0000_0000, 0, 32, 0),
        ("10.0.0.0/8", 0x0a00_0000_0000_0000, 0, 8, 0),
        ("2001:db8::/64", 0x2001_0db8_0000_0000, 0, 64, 1),
        ("2001:db8::1/128", 0x2001_0db8_0000_0000, 1, 128, 1),
    ] {
        let banned: BanTarget = text.parse().unwrap();
        let expected = BanKey {
            high,
            low,
            length,
            v6,
        };
        assert_eq!(banned.key(), expected, "{text}");
        assert_eq!(target(&expected), Some(banned), "{text}");
    }
}

#[test]
fn a_ban_that_was_written_down_alone_is_put_in_force() {
    let filter = Filter::new();
    let mut table = filter.open();
    table.ban(host(1), LATER, NOW).unwrap();
    table.record.insert(host(2).key(), LATER, 0).unwrap();
    table.record.insert(host(1).key(), FOREVER, 0).unwrap();
    assert!(!filter.drops(1, LATER) && !filter.drops(2, NOW));
    drop(table);

    let mut table = filter.open();
    assert!(filter.drops(1, LATER) && filter.drops(2, LATER - 1));
    assert!(!filter.drops(2, LATER) && !filter.drops(3, NOW));
    let expected = BTreeMap::from([(host(1), FOREVER), (host(2), LATER)]);
    assert_eq!(entries(&table), expected);
    assert_eq!(places_taken(&table), 2);
    // The last one of them takes the length with it.
    for number in [1, 2] {
        assert!(table.remove(host(number)).unwrap());
        assert!(!filter.drops(number, NOW));
    }
    assert_eq!(table.present.v4, 0);
}

#[test]
fn a_ban_that_had_only_lost_its_place_goes_on() {
    let filter = Filter::new();
    let mut table = filter.open();
    table.ban(host(1), FOREVER, NOW).unwrap();
    table.places().remove(table.digest(&host(1).key())).unwrap();
    assert!(!filter.drops(1, NOW));
    drop(table);

    let table = filter.open();
    assert!(filter.drops(1, NOW));
    assert_eq!(entries(&table), BTreeMap::from([(host(1), FOREVER)]));
}

#[test]
fn places_of_what_is_not_written_down_are_emptied() {
    let filter = Filter::new();
    let mut table = filter.open();
    table.ban(host(1), FOREVER, NOW).unwrap();
    let other = table.digest(&host(2).key());
    table.filter.add(other);
    assert!(table.places().insert(other, FOREVER));
    assert!(filter.drops(1, NOW) && filter.drops(2, NOW));
    drop(table);

    let table = filter.open();
    assert!(filter.drops(1, NOW) && !filter.drops(2, NOW));
    assert_eq!(entries(&table), BTreeMap::from([(host(1), FOREVER)]));
    assert_eq!(places_taken(&table), 1);
}

#[test]
fn a_ban_that_was_on_its_way_keeps_one_place() {
    let filter = Filter::new();
    let mut table = filter.open();
    table.ban(host(1), FOREVER, NOW).unwrap();
    let digest = table.digest(&host(1).key());
    let is_there = |line: u32| {
        let line = portguard_common::places::LineTable::line(&&table.places, line).unwrap();
        (0..4).any(|way| line.digest(way) == digest)
    };
    // The other line that it may be in.
    let lines =
        [(digest >> 32) as u32, (digest >> 8) as u32].map(|bits| bits & table.places.last());
    let other = lines.into_iter().find(|line| !is_there(*line)).unwrap();
    let other = portguard_common::places::LineTable::line(&&table.places, other).unwrap();
    other.set_word(0, FOREVER);
    assert!(other.replace_digest(0, 0, digest));
    drop(table);

    let mut table = filter.open();
    assert!(filter.drops(1, NOW));
    assert_eq!(places_taken(&table), 1);
    assert!(table.remove(host(1)).unwrap());
    assert!(!filter.drops(1, NOW));
}

#[test]
fn places_of_other_random_numbers_are_made_anew() {
    let filter = Filter::new();
    let mut table = filter.open();
    let seed = table.seed;
    // A daemon of another time.
    table.seed = seed.map(|word| !word);
    for number in 1..=16 {
        table.ban(host(number), FOREVER, NOW).unwrap();
    }
    assert!(!filter.drops(1, NOW));
    drop(table);

    let table = filter.open();
    assert_eq!(table.seed, seed);
    assert!((1..=16).all(|number| filter.drops(number, NOW)));
    assert!(!filter.drops(17, NOW));
    assert_eq!(places_taken(&table), 16);
}

#[test]
fn bits_stand_for_bans_that_there_are_and_for_no_others() {
    let filter = Filter::new();
    let mut table = filter.open();
    assert_bits(&table);
    for number in 1..=16 {
        table.ban(host(number), LATER, NOW).unwrap();
    }
    // Once more, longer, and anew after its end: it is one ban all the same.
    for (end, now_ns) in [(LATER, NOW), (LATER + 1, NOW), (FOREVER, LATER + 1)] {
        table.ban(host(1), end, now_ns).unwrap();
    }
    assert_bits(&table);
    assert!(table.filter.words().iter().any(|word| *word != 0));
    for number in 1..=8 {
        assert!(table.remove(host(number)).unwrap());
        assert!(!table.remove(host(number)).unwrap());
    }
    assert_bits(&table);
    // A daemon that is started knows which bits stand for more than one ban.
    drop(table);
    let mut table = filter.open();
    assert_bits(&table);
    for number in 9..=15 {
        assert!(table.remove(host(number)).unwrap());
        assert!(filter.drops(16, NOW));
    }
    assert_bits(&table);
    assert!(table.remove(host(16)).unwrap());
    assert!(table.filter.words().iter().all(|word| *word == 0));
}

#[test]
fn a_bit_of_two_bans_stays_for_the_one_that_is_left() {
    let filter = Filter::new();
    let mut table = filter.open();
    // The same word and the same bits; and one that shares the first bit alone.
    let (one, same, shares) = (
        0x0080_0000_0300_0005,
        0x0080_0000_0300_0004,
        0x0080_0000_0500_0005,
    );
    let word = |table: &BanTable| {
        table
            .filter
            .words()
            .into_iter()
            .fold(0, |all, word| all | word)
    };
    for digest in [one, same, shares] {
        table.filter.add(digest);
    }
    assert_eq!(word(&table), 1 << 2 | 1 << 3 | 1 << 5);
    table.filter.remove(one);
    assert_eq!(word(&table), 1 << 2 | 1 << 3 | 1 << 5);
    table.filter.remove(same);
    assert_eq!(word(&table), 1 << 2 | 1 << 5);
    table.filter.remove(shares);
    assert_eq!(word(&table), 0);
}

#[test]
fn bits_that_somebody_else_left_are_made_anew() {
    let filter = Filter::new();
    let mut table = filter.open();
    table.ban(host(1), FOREVER, NOW).unwrap();
    for left in [0, u64::MAX] {
        table.filter.fill(left);
        assert_eq!(filter.drops(1, NOW), left != 0);
        drop(table);
        table = filter.open();
        assert!(filter.drops(1, NOW) && !filter.drops(2, NOW));
        assert_bits(&table);
    }
}

#[test]
fn a_ban_that_finds_no_place_is_not_written_down() {
    let filter = Filter::new();
    let mut table = filter.open();
    let digest = table.digest(&host(1).key());
    for number in 1..=8 {
        assert!(table.places().insert(beside(digest, number), FOREVER));
    }
    let refused = table.ban(host(1), FOREVER, NOW);
    assert!(matches!(refused, Err(BanError::Full)), "{refused:?}");
    assert_bits(&table);
    assert_eq!(entries(&table), BTreeMap::new());
    assert_eq!(table.present.v4, 0);
    assert!(!filter.drops(1, NOW));
    // As soon as there is one, it is.
    table.places().remove(beside(digest, 5)).unwrap();
    assert_eq!(table.ban(host(1), FOREVER, NOW).unwrap(), Banned::New);
    assert!(filter.drops(1, NOW));
    assert_eq!(entries(&table), BTreeMap::from([(host(1), FOREVER)]));
}
