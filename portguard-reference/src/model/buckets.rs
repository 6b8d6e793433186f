//! Rates: a bucket of tokens, one a packet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::policy::{Per, Prefix, Rate};

/// Whose bucket. A rule is the same as long as it keeps its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// All packets of the rule of this name.
    Rule(String),
    /// Of the rule of this name those from here.
    Source(String, Prefix),
    /// Later fragments that no rule decided.
    Fragments,
}

impl Key {
    pub(super) fn of(rule: &str, per: Per, source: IpAddr) -> Self {
        match per {
            Per::Rule => Self::Rule(rule.to_owned()),
            Per::Source => {
                let length = if source.is_ipv6() { 64 } else { 32 };
                Self::Source(rule.to_owned(), Prefix::new(source, length))
            }
        }
    }
}

/// All buckets of a host, each full until it is used. They outlive the policies that use them.
#[derive(Clone, Debug, Default)]
pub(super) struct Buckets(BTreeMap<Key, Bucket>);

impl Buckets {
    /// Takes the token of one packet. False if there is none.
    pub(super) fn take(&mut self, key: Key, rate: Rate, burst: u32, now_ns: u64) -> bool {
        let bucket = self
            .0
            .entry(key)
            .or_insert_with(|| Bucket::full(rate, burst, now_ns));
        bucket.change(rate, burst, now_ns);
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

    /// Another policy may give the rule another rate. What stays is the time after which the bucket is full; if it could
    /// not be as empty as that at the new rate, one token is left.
    fn change(&mut self, rate: Rate, burst: u32, now_ns: u64) {
        let new = Self::full(rate, burst, now_ns);
        let is_same = (new.most, new.token, new.parts_a_nanosecond)
            == (self.most, self.token, self.parts_a_nanosecond);
        if is_same {
            return;
        }
        self.fill(now_ns);
        let missing = (self.most - self.parts) * new.parts_a_nanosecond;
        let missing = missing.div_ceil(self.parts_a_nanosecond);
        let parts = new.most.checked_sub(missing).unwrap_or(new.token);
        *self = Self { parts, ..new };
    }

    fn fill(&mut self, now_ns: u64) {
        let passed = u128::from(now_ns - self.filled_ns);
        self.filled_ns = now_ns;
        self.parts = (self.parts + passed * self.parts_a_nanosecond).min(self.most);
    }

    pub(super) fn take(&mut self, now_ns: u64) -> bool {
        self.fill(now_ns);
        let enough = self.parts >= self.token;
        if enough {
            self.parts -= self.token;
        }
        enough
    }
}
