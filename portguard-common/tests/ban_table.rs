//! Where bans have their places, and what becomes of them: in memory of the host.

mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use portguard_common::abi::{BanKey, FOREVER};
use portguard_common::ban::Address;
use portguard_common::ban_table::{BanPlaces, digest, lines_for};
use portguard_common::limits::{BAN_LINES, BANS};
use portguard_common::mix::Seed;
use portguard_common::places::{Line as _, LineTable as _, find};

use crate::memory::Memory;

const SEED: Seed = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

fn places(memory: &Memory, lines: u32) -> BanPlaces<&Memory> {
    BanPlaces::new(memory, lines - 1)
}

/// The digest of a single address of IPv4.
fn v4(number: u32) -> u64 {
    let address = Address {
        v6: false,
        high: u64::from(number) << 32,
        low: 0,
    };
    digest(SEED, &address.key(32))
}

/// A digest by the lines that it chooses.
fn of_lines(first: u32, second: u32, number: u32) -> u64 {
    assert!(second < 1 << 16 && number < 1 << 7);
    u64::from(first) << 32 | u64::from(second << 8 | number << 1 | 1)
}

#[test]
fn each_part_of_a_prefix_is_in_its_digest() {
    let mut all = BTreeSet::new();
    let mut count = 0;
    let mut add = |v6: bool, bits: u128, length: u32| {
        let address = Address {
            v6,
            high: (bits >> 64) as u64,
            low: bits as u64,
        };
        let digest = digest(SEED, &address.key(length));
        assert_eq!(digest % 2, 1);
        all.insert(digest);
        count += 1;
    };
    let some = 0x2001_0db8_5a5a_a5a5_c3c3_3c3c_9696_6969;
    for (v6, longest) in [(false, 32), (true, 128)] {
        let own = some & u128::MAX << (128 - longest);
        for length in 1..=longest {
            add(v6, own, length);
            // Each prefix of this length that differs by a bit.
            for bit in 0..length {
                add(v6, own ^ 1 << (127 - bit), length);
            }
        }
    }
    assert_eq!(all.len(), count);
    // And who does not know one of the random numbers knows nothing.
    let key = Address {
        v6: true,
        high: (some >> 64) as u64,
        low: some as u64,
    }
    .key(128);
    for seed in [[!SEED[0], SEED[1]], [SEED[0], !SEED[1]]] {
        assert!(!all.contains(&digest(seed, &key)));
    }
    let key = BanKey { v6: 0, ..key };
    assert_ne!(
        digest(SEED, &key),
        digest([SEED[0] ^ 1 << 63, SEED[1]], &key)
    );
}

#[test]
fn there_are_places_for_twice_as_many() {
    assert_eq!(lines_for(0), 1);
    for (bans, lines) in [
        (1, BAN_LINES),
        (BANS, BAN_LINES),
        (BANS + 1, BAN_LINES * 2),
        (1_000_000, 1 << 19),
        (1 << 22, 1 << 21),
    ] {
        assert_eq!(lines_for(bans), lines, "{bans}");
        assert!(bans * 2 <= lines * 4);
    }
    assert_eq!(lines_for(u32::MAX), 1 << 31);
}

#[test]
fn a_ban_is_found_with_its_end_until_it_is_taken_back() {
    let memory = Memory::new(16);
    let places = places(&memory, 16);
    assert_eq!(places.end(v4(1)), None);
    assert_eq!(places.remove(v4(1)), None);
    assert!(places.insert(v4(1), 5));
    assert!(places.insert(v4(2), FOREVER));
    assert_eq!(places.end(v4(1)), Some(5));
    assert!(places.insert(v4(1), 7));
    assert_eq!(places.end(v4(1)), Some(7));
    assert_eq!(places.end(v4(2)), Some(FOREVER));
    assert_eq!(places.end(v4(3)), None);
    // There is one place of each.
    assert_eq!(places.remove(v4(1)), Some(7));
    assert_eq!(places.end(v4(1)), None);
    assert_eq!(places.end(v4(2)), Some(FOREVER));
    assert_eq!(places.remove(v4(2)), Some(FOREVER));
    assert!(memory.is_empty());
}

#[test]
fn one_whose_digest_differs_by_a_bit_is_another() {
    let banned = of_lines(1, 2, 3);
    for bit in 0..u64::BITS {
        let memory = Memory::new(1);
        // All are in the same line.
        let places = places(&memory, 1);
        let other = banned ^ 1 << bit;
        assert!(places.insert(banned, 5));
        assert_eq!(places.end(other), None, "{bit}");
        assert!(places.insert(other, 7));
        assert_eq!(places.end(banned), Some(5), "{bit}");
        assert_eq!(places.end(other), Some(7), "{bit}");
    }
}

#[test]
fn the_first_line_is_filled_up_to_one_place_and_then_both_alike() {
    let memory = Memory::new(16);
    let places = places(&memory, 16);
    let (in_first, in_second) = ([true, false], [false, true]);
    let expected = [
        in_first, in_first, in_first, in_second, in_second, in_second, in_first, in_second,
    ];
    for (number, expected) in (0..).zip(expected) {
        let digest = of_lines(1, 2, number);
        assert!(places.insert(digest, FOREVER));
        let found = [1, 2].map(|line| find(&&memory, digest, [line; 2]).is_some());
        assert_eq!(found, expected, "{number}");
    }
}

#[test]
fn a_table_takes_all_bans_that_there_is_room_for() {
    let memory = Memory::new(BAN_LINES);
    let places = places(&memory, BAN_LINES);
    let end = |number: u32| FOREVER - u64::from(number);
    let mut in_first = 0;
    for number in 0..BANS {
        assert!(places.insert(v4(number), end(number)), "{number}");
        if number < 100_000 {
            let first = (v4(number) >> 32) as u32 % BAN_LINES;
            in_first += u32::from(find(&&memory, v4(number), [first; 2]).is_some());
        }
    }
    // Mostly a look-up waits for one line.
    assert!(in_first > 98_000, "{in_first}");
    for number in 0..BANS {
        assert_eq!(places.end(v4(number)), Some(end(number)), "{number}");
        assert_eq!(places.end(v4(BANS + number)), None, "{number}");
    }
    // Bans that come and go change nothing about that.
    for number in 0..BANS {
        let (goes, comes) = (v4(number), v4(BANS + number));
        assert_eq!(places.remove(goes), Some(end(number)));
        assert!(places.insert(comes, 1), "{number}");
    }
    for number in 0..BANS {
        assert_eq!(places.end(v4(number)), None, "{number}");
        assert_eq!(places.remove(v4(BANS + number)), Some(1), "{number}");
    }
    assert!(memory.is_empty());
}

#[test]
fn there_is_room_for_many_more() {
    // Bans that a table of twice as many places takes before it refuses one, whatever the random numbers.
    for number in 0..8 {
        let memory = Memory::new(BAN_LINES);
        let places = places(&memory, BAN_LINES);
        let refused = (number << 24..).find(|number| !places.insert(v4(*number), 1));
        let taken = refused.unwrap_or(0) - (number << 24);
        assert!(taken > BANS / 5 * 6, "{taken}");
    }
}

/// Both lines of those that are asked for are full of bans that can go nowhere else, but for one at most.
fn crowded(memory: &Memory, lines: u32, movable: Option<u64>) -> BTreeMap<u64, u64> {
    let places = places(memory, lines);
    let mut all: BTreeMap<u64, u64> = (0..8)
        .map(|number| (of_lines(1, 2, number), 100 + u64::from(number)))
        .collect();
    for (digest, end) in &all {
        assert!(places.insert(*digest, *end));
    }
    if let Some(movable) = movable {
        // In the place of one in the second line.
        let Some(line) = memory.line(2) else {
            panic!("no line");
        };
        assert!(all.remove(&line.digest(0)).is_some());
        line.set_word(0, 200);
        assert!(line.replace_digest(0, line.digest(0), movable));
        all.insert(movable, 200);
    }
    all
}

#[test]
fn one_that_finds_both_lines_full_makes_another_one_move() {
    let memory = Memory::new(16);
    let movable = of_lines(2, 3, 0);
    let mut all = crowded(&memory, 16, Some(movable));
    let places = places(&memory, 16);
    assert!(find(&&memory, movable, [2, 2]).is_some());
    let ninth = of_lines(1, 2, 9);
    assert!(places.insert(ninth, 300));
    all.insert(ninth, 300);
    for (digest, end) in &all {
        assert_eq!(places.end(*digest), Some(*end));
    }
    assert!(find(&&memory, movable, [2, 2]).is_none());
    // Each has one place.
    for digest in all.keys() {
        assert!(places.remove(*digest).is_some());
    }
    assert!(memory.is_empty());
}

#[test]
fn where_nobody_can_move_a_ban_is_refused_and_nothing_changes() {
    let memory = Memory::new(16);
    let all = crowded(&memory, 16, None);
    let places = places(&memory, 16);
    let ninth = of_lines(1, 2, 9);
    assert!(!places.insert(ninth, 300));
    assert_eq!(places.end(ninth), None);
    for (digest, end) in &all {
        assert_eq!(places.end(*digest), Some(*end));
        // What is there can be prolonged all the same.
        assert!(places.insert(*digest, FOREVER));
        assert_eq!(places.end(*digest), Some(FOREVER));
    }
    for digest in all.keys() {
        assert_eq!(places.remove(*digest), Some(FOREVER));
    }
    assert!(memory.is_empty());
}

#[test]
fn who_moves_is_found_at_any_moment() {
    const TABLES: u32 = 2_000;
    let movable = of_lines(2, 3, 0);
    let tables: Vec<Memory> = (0..TABLES).map(|_| Memory::new(4)).collect();
    for table in &tables {
        crowded(table, 4, Some(movable));
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !is_done.load(SeqCst) {
                for table in &tables {
                    assert_eq!(places(table, 4).end(movable), Some(200));
                }
            }
        });
        for table in &tables {
            assert!(places(table, 4).insert(of_lines(1, 2, 9), 300));
            assert!(find(&table, movable, [2, 2]).is_none());
        }
        is_done.store(true, SeqCst);
        reader.join().unwrap();
    });
}

#[test]
fn reconciling_leaves_what_is_known_in_one_place_each() {
    let memory = Memory::new(16);
    let places = places(&memory, 16);
    let write = |line: u32, way: u32, digest: u64, word: u64| {
        let line = (&memory).line(line).unwrap();
        line.set_word(way, word);
        assert!(line.replace_digest(way, 0, digest));
    };
    let (right, old, unknown, astray) = (
        of_lines(1, 2, 1),
        of_lines(1, 2, 2),
        of_lines(1, 2, 3),
        of_lines(1, 2, 4),
    );
    write(1, 0, right, 10);
    // As one leaves it who is killed while they move.
    write(2, 3, right, 10);
    write(2, 0, old, 5);
    write(2, 1, unknown, 30);
    write(7, 1, astray, 40);
    write(8, 0, 2, 50);
    let mut known = BTreeMap::from([(right, 10), (old, 20), (astray, 40)]);
    places.reconcile(|digest| known.remove(&digest));
    // It says what is not there, too.
    assert_eq!(known, BTreeMap::from([(astray, 40)]));
    assert_eq!(places.end(right), Some(10));
    assert_eq!(places.end(old), Some(20));
    assert_eq!(places.end(unknown), None);
    assert_eq!(places.end(astray), None);
    assert_eq!(places.remove(right), Some(10));
    assert_eq!(places.remove(old), Some(20));
    assert!(memory.is_empty());
}
