//! What outlives a packet, on the host: the same arithmetic as in the kernel, over plain maps.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use portguard_common::abi::{BanEnd, BanKey, BanLengths, Bucket, Limit, Setting};
use portguard_common::ban::{Address, Bans, is_banned};
use portguard_common::bucket;
use portguard_common::classify::Source;
use portguard_common::flow::Candidate;
use portguard_policy::{BanTarget, State, Tables};

/// Rates and the clock. Whether a packet is a reply it is told: who sees what leaves is the kernel alone.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) now_ns: Cell<u64>,
    pub(crate) is_reply: Cell<bool>,
    buckets: RefCell<HashMap<Key, Bucket>>,
    bans: HashMap<BanKey, BanEnd>,
    lengths: BanLengths,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Rule(u32),
    Source(u32, bool, u64),
    Fragments,
}

impl Host {
    pub(crate) fn ban(&mut self, source: BanTarget, end: BanEnd) {
        let key = source.key();
        let (word, bit) = self.lengths.place(key.v6 != 0, key.length);
        *word |= bit;
        self.bans.insert(key, end);
    }

    pub(crate) fn unban(&mut self, source: BanTarget) {
        self.bans.remove(&source.key());
    }

    fn take(&self, key: Key, interval_ns: u64, tolerance_ns: u64) -> bool {
        let mut buckets = self.buckets.borrow_mut();
        let bucket = buckets.entry(key).or_default();
        let taken = bucket::take(*bucket, self.now_ns.get(), interval_ns, tolerance_ns);
        *bucket = taken.unwrap_or(*bucket);
        taken.is_some()
    }
}

impl Bans for Host {
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

/// The host's memory under one policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<'h> {
    pub(crate) host: &'h Host,
    pub(crate) tables: &'h Tables,
}

impl State for Memory<'_> {
    fn take_limit_token(&self, limit: &Limit, source: Source) -> bool {
        let key = if limit.has(Limit::PER_SOURCE) {
            Key::Source(limit.bucket, source.v6, source.bits)
        } else {
            Key::Rule(limit.bucket)
        };
        self.host.take(key, limit.interval_ns, limit.tolerance_ns)
    }

    fn take_fragment_token(&self) -> bool {
        let half = |setting: Setting| u64::from(self.tables.settings[setting as usize]);
        let word = |low, high| half(low) | half(high) << 32;
        let interval_ns = word(Setting::FragmentIntervalLow, Setting::FragmentIntervalHigh);
        let tolerance_ns = word(
            Setting::FragmentToleranceLow,
            Setting::FragmentToleranceHigh,
        );
        self.host.take(Key::Fragments, interval_ns, tolerance_ns)
    }

    fn is_banned(&self, source: Address) -> bool {
        is_banned(self.host, source)
    }

    fn is_reply(&self, _frame: &[u8], _packet: &Candidate) -> bool {
        self.host.is_reply.get()
    }
}
