//! What the rule sets of netfilter have in common: chains of rules, and base chains that the kernel enters.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::finding::Finding;
use crate::region::Region;

/// A rule set.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    /// By what the readers call them: family, table and name.
    pub(crate) chains: BTreeMap<String, Chain>,
    /// In the order in which a packet meets them; all of them must accept it.
    pub(crate) bases: Vec<Base>,
    /// What the reader already knows to be lost.
    pub(crate) findings: Vec<Finding>,
}

/// A list of rules.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// For the names of the rules.
    pub(crate) name: String,
    pub(crate) rules: Vec<Rule>,
}

/// A chain that the kernel enters by itself.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) chain: String,
    /// The packets that enter it.
    pub(crate) region: Region,
    /// At least the packets that do not, if there are any.
    pub(crate) outside: Option<Region>,
    /// What happens at its end: [`Verdict::Accept`], [`Verdict::Drop`] or [`Verdict::Reject`].
    pub(crate) policy: Verdict,
    pub(crate) origin: Rc<Origin>,
}

/// Where something stands in the original.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    /// What tells it from others of its chain, for the name of a rule.
    pub(crate) tag: String,
    /// The text itself, on one line.
    pub(crate) text: String,
}

/// A rule: a verdict on the packets for which all conditions hold.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) origin: Rc<Origin>,
    /// What portguard can tell apart.
    pub(crate) region: Region,
    /// States of connection tracking for which it matches.
    pub(crate) states: States,
    /// What it says of the flags of TCP: all of these.
    pub(crate) flags: Vec<FlagTest>,
    /// Conditions that portguard does not know, in words.
    pub(crate) unknown: Vec<String>,
    /// It matches what is within a rate, or beyond one.
    pub(crate) limit: Option<RateTest>,
    /// The addresses or ports come from a set that changes while the rule set is in force: the reason in words.
    pub(crate) changing: Option<String>,
    pub(crate) verdict: Verdict,
}

impl Rule {
    /// A rule without conditions.
    pub(crate) fn new(origin: &Rc<Origin>, verdict: Verdict) -> Self {
        Self {
            origin: Rc::clone(origin),
            region: Region::all(),
            states: States::ALL,
            flags: Vec::new(),
            unknown: Vec::new(),
            limit: None,
            changing: None,
            verdict,
        }
    }

    /// Adds a condition; `false` if no packet is left.
    pub(crate) fn narrow(&mut self, region: &Region) -> bool {
        match self.region.intersect(region) {
            Some(region) => {
                self.region = region;
                true
            }
            None => false,
        }
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    /// Drop and tell the sender.
    Reject,
    /// Back to where the chain was called.
    Return,
    Jump(String),
    /// A jump whose end is the end of the calling chain, too.
    Goto(String),
    /// The next rule: it only counts, logs or marks.
    Continue,
}

/// A set of states of connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct States(u8);

impl States {
    pub(crate) const NEW: Self = Self(1);
    pub(crate) const ESTABLISHED: Self = Self(2);
    pub(crate) const RELATED: Self = Self(4);
    pub(crate) const INVALID: Self = Self(8);
    pub(crate) const UNTRACKED: Self = Self(16);
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const ALL: Self = Self(31);

    /// By its name in nft and, in upper case, in iptables.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "new" => Self::NEW,
            "established" => Self::ESTABLISHED,
            "related" => Self::RELATED,
            "invalid" => Self::INVALID,
            "untracked" => Self::UNTRACKED,
            _ => return None,
        })
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn complement(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }

    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A condition on the flags of TCP: `flags & mask`, and what it is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlagTest {
    pub(crate) mask: u8,
    pub(crate) value: u8,
    /// How many of the bits must be as in `value`.
    pub(crate) kind: FlagKind,
    pub(crate) inverted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlagKind {
    /// `flags & mask == value`
    Equal,
    /// `flags & mask & value != 0`
    Any,
}

impl FlagTest {
    pub(crate) fn holds(self, flags: u8) -> bool {
        let masked = flags & self.mask;
        let plain = match self.kind {
            FlagKind::Equal => masked == self.value,
            FlagKind::Any => masked & self.value != 0,
        };
        plain != self.inverted
    }
}

/// Bits of TCP's flags, by name.
pub(crate) fn flag(name: &str) -> Option<u8> {
    Some(match name.to_ascii_lowercase().as_str() {
        "fin" => 0x01,
        "syn" => 0x02,
        "rst" => 0x04,
        "psh" => 0x08,
        "ack" => 0x10,
        "urg" => 0x20,
        "ece" | "ecn" => 0x40,
        "cwr" => 0x80,
        "all" => 0x3f,
        "none" => 0,
        _ => return None,
    })
}

/// A rate that a rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateTest {
    pub(crate) rate: Rate,
    /// It matches what is beyond the rate, and not what is within.
    pub(crate) over: bool,
}

/// A rate as portguard writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Packets in a second or in a minute.
    pub(crate) count: u64,
    pub(crate) per_minute: bool,
    pub(crate) burst: u64,
    /// Each source has its own.
    pub(crate) per_source: bool,
}

impl Rate {
    /// So many packets in a unit by its name; `None` if portguard has no such rate.
    pub(crate) fn new(count: u64, unit: &str, burst: u64, per_source: bool) -> Option<Self> {
        let (count, per_minute) = match unit {
            "second" | "sec" | "s" => (count, false),
            "minute" | "min" | "m" => (count, true),
            "hour" | "h" if count.is_multiple_of(60) => (count / 60, true),
            "day" | "d" if count.is_multiple_of(1440) => (count / 1440, true),
            _ => return None,
        };
        (count > 0).then_some(Self {
            count,
            per_minute,
            burst: burst.max(1),
            per_source,
        })
    }
}
