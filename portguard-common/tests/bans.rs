//! Who is banned: by any prefix, up to the last nanosecond.

use std::cell::RefCell;
use std::collections::HashMap;

use portguard_common::abi::{BanEnd, BanKey, BanLengths, FOREVER};
use portguard_common::ban::{Address, Bans, is_banned};

#[derive(Default)]
struct Table {
    now: u64,
    bans: HashMap<BanKey, BanEnd>,
    lengths: BanLengths,
    /// The lengths that were looked up.
    asked: RefCell<Vec<u32>>,
}

impl Bans for Table {
    fn lengths(&self) -> BanLengths {
        self.lengths
    }

    fn end(&self, key: &BanKey) -> Option<BanEnd> {
        self.asked.borrow_mut().push(key.length);
        self.bans.get(key).copied()
    }

    fn now_ns(&self) -> u64 {
        self.now
    }
}

/// The prefix of so many bits of these, in IPv4 of the upper 32.
fn key(bits: u128, length: u32, v6: bool) -> BanKey {
    let bits = bits & u128::MAX << (128 - length);
    BanKey {
        high: (bits >> 64) as u64,
        low: bits as u64,
        length,
        v6: u32::from(v6),
    }
}

fn address(bits: u128, v6: bool) -> Address {
    Address {
        v6,
        high: (bits >> 64) as u64,
        low: bits as u64,
    }
}

impl Table {
    fn banning(mut self, key: BanKey, end: BanEnd) -> Self {
        let (word, bit) = self.lengths.place(key.v6 != 0, key.length);
        *word |= bit;
        self.bans.insert(key, end);
        self
    }
}

const SOME: u128 = 0x2001_0db8_5a5a_a5a5_c3c3_3c3c_9696_6969;

#[test]
fn a_prefix_of_any_length_holds_its_addresses_and_no_others() {
    for (v6, longest) in [(false, 32), (true, 128)] {
        // An IPv4 address has no more bits.
        let own = SOME & u128::MAX << (128 - longest);
        for length in 1..=longest {
            let table = Table::default().banning(key(own, length, v6), FOREVER);
            assert!(is_banned(&table, address(own, v6)), "/{length}");
            for bit in 0..longest {
                let other = own ^ 1 << (127 - bit);
                assert_eq!(
                    is_banned(&table, address(other, v6)),
                    bit >= length,
                    "{bit} /{length}"
                );
            }
            // The same bits in the other family are another address.
            assert!(!is_banned(&table, address(own, !v6)), "/{length}");
        }
    }
}

#[test]
fn a_ban_ends_at_its_moment() {
    let at = |now: u64, end: u64| {
        let table = Table {
            now,
            ..Table::default()
        };
        is_banned(
            &table.banning(key(SOME, 64, true), end),
            address(SOME, true),
        )
    };
    assert!(at(99, 100));
    assert!(!at(100, 100));
    assert!(!at(101, 100));
    assert!(at(u64::MAX, FOREVER));
}

#[test]
fn any_prefix_that_lasts_is_enough() {
    let over = 5;
    for (ends, banned) in [
        ([FOREVER, over, over], true),
        ([over, FOREVER, over], true),
        ([over, over, FOREVER], true),
        ([over, over, over], false),
    ] {
        let mut table = Table {
            now: 10,
            ..Table::default()
        };
        for (length, end) in [1, 64, 128].into_iter().zip(ends) {
            table = table.banning(key(SOME, length, true), end);
        }
        assert_eq!(is_banned(&table, address(SOME, true)), banned, "{ends:?}");
    }
    // Only lengths that are banned are looked up, each once.
    let mut table = Table {
        now: 10,
        ..Table::default()
    };
    for length in [2, 63, 64, 65, 127, 128] {
        table = table.banning(key(SOME, length, true), over);
    }
    assert!(!is_banned(&table, address(SOME, true)));
    let mut asked = table.asked.take();
    asked.sort_unstable();
    assert_eq!(asked, [2, 63, 64, 65, 127, 128]);
}
