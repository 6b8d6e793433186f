//! What random policies and frames reached: a comparison proves nothing about what never decided.

mod reached;

use std::collections::BTreeMap;
use std::fmt;

use crate::frame::Malformed;
use crate::generate::Kind;
use crate::model::Judgement;
use crate::policy::Policy;

/// How many rules count as the first few.
const FIRST_RULES: usize = 3;

/// Something that can decide a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// An outcome other than a malformed packet, together with the action or key behind it.
    Outcome(&'static str),
    /// A malformed packet.
    Malformed(Malformed),
    /// A way to write a rule's field, in a rule that decided.
    Field(&'static str),
    /// What goes along with an outcome.
    Beside(&'static str),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcome(name) => f.pad(name),
            Self::Malformed(reason) => f.pad(&format!("malformed:{}", reason.name())),
            Self::Field(name) | Self::Beside(name) => f.pad(name),
        }
    }
}

const OUTCOMES: [&str; 11] = [
    "rule, pass",
    "rule, drop",
    "default-pass",
    "default-drop",
    "essential",
    "non-ip, pass",
    "non-ip, drop",
    "non-ip, spared",
    "later-fragment, pass",
    "later-fragment, drop",
    "not enforced",
];

const FIELDS: [&str; 8] = [
    "protocol by name",
    "protocol by number",
    "protocol any",
    "ports by number",
    "ports by range",
    "ports by name",
    "ports any",
    "ports with suffix",
];

const BESIDE: [&str; 7] = [
    "beyond the first buffer, by a rule",
    "essential, by a rule that means it",
    "essential types, as ordinary traffic",
    "shadow, then a rule",
    "shadow, then no rule",
    "later fragment, by a rule",
    "malformed, passed",
];

/// Of the whole language only.
const MORE_OUTCOMES: [&str; 16] = [
    "rule, reject, answered",
    "rule, reject, silent",
    "rule, limit per source, passed",
    "rule, limit per source, limited",
    "rule, limit per rule, passed",
    "rule, limit per rule, limited",
    "rule, limit, TCP that is no attempt",
    "trusted",
    "trusted on some interfaces",
    "banned",
    "reply, TCP",
    "reply, UDP",
    "reply, echo",
    "reply, error",
    "later-fragment, within the rate",
    "later-fragment, beyond the rate",
];

/// Of the whole language only.
const MORE_FIELDS: [&str; 22] = [
    "ports by the host's own name",
    "source ports by number",
    "source ports by range",
    "source ports by name",
    "source ports any",
    "source ports with suffix",
    "ports and source ports",
    "from by address",
    "from by prefix",
    "from by set",
    "to by address",
    "to by prefix",
    "to by set",
    "types by number",
    "types by name",
    "types with code",
    "types of both families",
    "interfaces by name",
    "interfaces by glob",
    "vlan by ID",
    "vlan none",
    "no protocol and no ports",
];

/// Of the whole language only.
const MORE_BESIDE: [&str; 9] = [
    "shadow of a limit",
    "shadow of a reject",
    "too late, TCP, idle",
    "too late, TCP, finished",
    "too late, TCP, reset",
    "too late, UDP, idle",
    "too late, UDP, port closed",
    "too late, echo",
    "essential, by a rule on its type",
];

/// Of the whole language, what comes of what has left or of a ban: frames that only arrive do not reach it.
const OF_MEMORY: [Item; 11] = [
    Item::Outcome("banned"),
    Item::Outcome("reply, TCP"),
    Item::Outcome("reply, UDP"),
    Item::Outcome("reply, echo"),
    Item::Outcome("reply, error"),
    Item::Beside("too late, TCP, idle"),
    Item::Beside("too late, TCP, finished"),
    Item::Beside("too late, TCP, reset"),
    Item::Beside("too late, UDP, idle"),
    Item::Beside("too late, UDP, port closed"),
    Item::Beside("too late, echo"),
];

/// Counts of what decided.
#[derive(Clone, Debug)]
pub struct Coverage {
    counts: BTreeMap<Item, u64>,
    frames: u64,
    by_rule: u64,
    by_later_rule: u64,
}

impl Default for Coverage {
    fn default() -> Self {
        Self::new()
    }
}

impl Coverage {
    /// Nothing yet: every item of the present language at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Kind::Present)
    }

    /// Nothing yet: every item of this much of the language at 0.
    #[must_use]
    pub fn of(kind: Kind) -> Self {
        let mut items: Vec<Item> = Vec::new();
        items.extend(OUTCOMES.map(Item::Outcome));
        items.extend(FIELDS.map(Item::Field));
        items.extend(BESIDE.map(Item::Beside));
        if kind == Kind::Full {
            items.extend(MORE_OUTCOMES.map(Item::Outcome));
            items.extend(MORE_FIELDS.map(Item::Field));
            items.extend(MORE_BESIDE.map(Item::Beside));
        }
        let reasons = Malformed::ALL
            .iter()
            .copied()
            // The kernel's test run takes no frame as short as that.
            .filter(|&reason| reason != Malformed::EthernetShort)
            .map(Item::Malformed);
        items.extend(reasons);
        Self {
            counts: items.into_iter().map(|item| (item, 0)).collect(),
            frames: 0,
            by_rule: 0,
            by_later_rule: 0,
        }
    }

    /// Nothing yet: every item of the whole language that frames reach which only arrive at 0.
    #[must_use]
    pub fn of_arrivals() -> Self {
        let mut coverage = Self::of(Kind::Full);
        coverage.counts.retain(|item, _| !OF_MEMORY.contains(item));
        coverage
    }

    /// Counts one frame that arrived at `eth0`, with the model's judgement of it.
    pub fn record(&mut self, policy: &Policy, frame: &[u8], judgement: &Judgement) {
        self.record_at(policy, "eth0", frame, judgement);
    }

    /// Counts one frame that arrived at this interface, with the model's judgement of it.
    pub fn record_at(
        &mut self,
        policy: &Policy,
        interface: &str,
        frame: &[u8],
        judgement: &Judgement,
    ) {
        self.frames += 1;
        if let Some(index) = reached::decider(policy, judgement) {
            self.by_rule += 1;
            if index >= FIRST_RULES {
                self.by_later_rule += 1;
            }
        }
        for item in reached::items(policy, interface, frame, judgement) {
            // What is not of this much of the language is not counted.
            if let Some(count) = self.counts.get_mut(&item) {
                *count += 1;
            }
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (item, count) in &other.counts {
            *self.counts.entry(*item).or_default() += count;
        }
        self.frames += other.frames;
        self.by_rule += other.by_rule;
        self.by_later_rule += other.by_later_rule;
    }

    /// Frames counted.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// What decided fewer than so many frames.
    #[must_use]
    pub fn below(&self, threshold: u64) -> Vec<(Item, u64)> {
        self.counts
            .iter()
            .map(|(&item, &count)| (item, count))
            .filter(|&(_, count)| count < threshold)
            .collect()
    }

    /// Of the frames that a rule decided, the share decided past the third rule; 0 if there were none.
    #[must_use]
    pub fn past_third_rule(&self) -> f64 {
        if self.by_rule == 0 {
            return 0.0;
        }
        self.by_later_rule as f64 / self.by_rule as f64
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (item, count) in &self.counts {
            writeln!(f, "{item:<40} {count:>10}")?;
        }
        writeln!(f, "{:<40} {:>10}", "frames", self.frames)?;
        let share = self.past_third_rule() * 100.0;
        writeln!(
            f,
            "{:<40} {share:>9.1}%",
            "of rule decisions, past the third rule"
        )
    }
}
