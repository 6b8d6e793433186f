//! Who is banned, and until when.

use std::collections::HashMap;

use portguard_common::abi::{BanEnd, BanKey, BanLengths, FOREVER};
use portguard_common::ban::Bans;
use portguard_policy::BanTarget;

use super::Clock;

#[derive(Debug, Default)]
pub(super) struct BanTable {
    pub(super) now_ns: Clock,
    bans: HashMap<BanKey, BanEnd>,
    lengths: BanLengths,
}

impl Bans for BanTable {
    fn lengths(&self) -> BanLengths {
        self.lengths
    }

    fn end(&self, key: &BanKey) -> Option<BanEnd> {
        self.bans.get(key).copied()
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }
}

impl BanTable {
    /// Of two bans of one source the longer one holds.
    pub(super) fn add(&mut self, source: BanTarget, nanoseconds: Option<u64>) {
        let end = nanoseconds.map_or(FOREVER, |lasts| self.now_ns() + lasts);
        let key = source.key();
        let (word, bit) = self.lengths.place(key.v6 != 0, key.length);
        *word |= bit;
        let own = self.bans.entry(key).or_default();
        *own = end.max(*own);
    }

    pub(super) fn remove(&mut self, source: BanTarget) {
        self.bans.remove(&source.key());
    }
}
