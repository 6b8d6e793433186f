//! Rates: a bucket of tokens, one a packet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::policy::{Per, Prefix, Rate};

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// All packets of the rule at this index.
    Rule(usize),
    /// Of the rule at this index those from here.
    Source(usize, Prefix),
    /// Later fragments that no rule decided.
    Fragments,
}

impl Key {
    pub(super) fn of(rule: usize, per: Per, source: IpAddr) -> Self {
        match per {
            Per::Rule => Self::Rule(rule),
            Per::Source => {
                let length = if source.is_ipv6() { 64 } else { 32 };
                Self::Source(rule, Prefix::new(source, length))
            }
        }
    }
}

/// All buckets of a policy, each full until it is used.
#[derive(Clone, Debug, Default)]
pub(super) struct Buckets(BTreeMap<Key, Bucket>);

impl Buckets {
    /// Takes the token of one packet. False if there is none.
    pub(super) fn take(&mut self, key: Key, rate: Rate, burst: u32, now_ns: u64) -> bool {
        let bucket = self
            .0
            .entry(key)
            .or_insert_with(|| Bucket::full(rate, burst, now_ns));
        bucket.take(now_ns)
    }
}

/// Tokens in fractions without rest: in each nanosecond of a period of `n` nanoseconds, a rate of `r` adds `r` parts,
/// and `n` parts are a token.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    parts: u128,
    most: u128,
    token: u128,
    parts_a_nanosecond: u128,
    filled_ns: u64,
}

impl Bucket {
    pub(super) fn full(rate: Rate, burst: u32, now_ns: u64) -> Self {
        let token = u128::from(rate.per.nanoseconds());
        let most = token * u128::from(burst);
        Self {
            parts: most,
            most,
            token,
            parts_a_nanosecond: u128::from(rate.packets),
            filled_ns: now_ns,
        }
    }

    pub(super) fn take(&mut self, now_ns: u64) -> bool {
        let passed = u128::from(now_ns - self.filled_ns);
        self.filled_ns = now_ns;
        self.parts = (self.parts + passed * self.parts_a_nanosecond).min(self.most);
        let enough = self.parts >= self.token;
        if enough {
            self.parts -= self.token;
        }
        enough
    }
}
