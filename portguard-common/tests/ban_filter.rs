//! Which sources are looked for among those that are banned.

use std::collections::HashSet;

use portguard_common::ban::Address;
use portguard_common::ban_filter::{bits, last_word, word};
use portguard_common::ban_table::{digest, lines_for};
use portguard_common::limits::{BAN_LINES, BANS};
use portguard_common::mix::Seed;

const SEED: Seed = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// The digest of a single address of IPv4.
fn of_address(number: u32) -> u64 {
    let address = Address {
        v6: false,
        high: u64::from(number) << 32,
        low: 0,
    };
    digest(SEED, &address.key(32))
}

#[test]
fn there_are_four_lines_for_each_word() {
    for (lines, words) in [(1, 1), (2, 1), (4, 1), (8, 2), (BAN_LINES, BAN_LINES / 4)] {
        assert_eq!(last_word(lines - 1), words - 1);
    }
    // A page of memory for each 64 of the places of bans, and a quarter of a MiB where there are as many bans as there is room for by
    // itself.
    assert_eq!((last_word(lines_for(BANS) - 1) + 1) * 8, 256 << 10);
}

#[test]
fn a_digest_has_a_word_and_two_bits_in_it() {
    let (mut words, mut set, mut single) = (HashSet::new(), 0, 0);
    for number in 0..10_000 {
        let digest = of_address(number);
        let own = word(digest, 127);
        assert!(own <= 127);
        words.insert(own);
        let own = bits(digest);
        assert!((1..=2).contains(&own.count_ones()), "{own:#x}");
        single += usize::from(own.count_ones() == 1);
        set |= own;
    }
    // All of them are somebody's, and seldom are two bits the same.
    assert_eq!((words.len(), set), (128, u64::MAX));
    assert!(single < 300, "{single}");
}

#[test]
fn few_are_looked_for_besides_those_that_are_banned() {
    let last = last_word(BAN_LINES - 1);
    for (bans, most) in [(1_000, 1), (100_000, 200)] {
        let mut filter = vec![0; last as usize + 1];
        for number in 0..bans {
            let digest = of_address(number);
            filter[word(digest, last) as usize] |= bits(digest);
        }
        let is_looked_for = |number: &u32| {
            let digest = of_address(*number);
            !filter[word(digest, last) as usize] & bits(digest) == 0
        };
        assert!((0..bans).all(|number| is_looked_for(&number)));
        // Of ten thousand others.
        let others = (bans..bans + 10_000).filter(is_looked_for).count();
        assert!(others <= most, "{bans} {others}");
    }
}
