//! What random policies and frames reached: a comparison proves nothing about what never decided.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::frame::{self, Frame, Malformed, Packet};
use crate::model::{self, Judgement, Outcome};
use crate::policy::{Action, Essential, Policy, Ports, Protocol, Rule};

/// How many rules count as the first few.
const FIRST_RULES: usize = 3;

/// More bytes than any first buffer of a frame holds: a page.
const FIRST_BUFFER: usize = 4096;

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
    /// Nothing yet: every item at 0.
    #[must_use]
    pub fn new() -> Self {
        let items = OUTCOMES.into_iter().map(Item::Outcome);
        let items = items.chain(FIELDS.into_iter().map(Item::Field));
        let items = items.chain(BESIDE.into_iter().map(Item::Beside));
        let reasons = Malformed::ALL
            .iter()
            .copied()
            // The kernel's test run takes no frame as short as that.
            .filter(|&reason| reason != Malformed::EthernetShort)
            .map(Item::Malformed);
        Self {
            counts: items.chain(reasons).map(|item| (item, 0)).collect(),
            frames: 0,
            by_rule: 0,
            by_later_rule: 0,
        }
    }

    /// Counts one frame with the model's judgement of it.
    pub fn record(&mut self, policy: &Policy, frame: &[u8], judgement: &Judgement) {
        self.frames += 1;
        if !policy.enforce {
            self.add(Item::Outcome("not enforced"));
        }
        let packet = match frame::read(frame) {
            Ok(Frame::Packet(packet)) => packet,
            Ok(Frame::NonIp { spared: true }) => return self.add(Item::Outcome("non-ip, spared")),
            Ok(Frame::NonIp { spared: false }) => {
                let dropped = judgement.dropped;
                return self.add_either(dropped, "non-ip, drop", "non-ip, pass");
            }
            Err(reason) => {
                if !judgement.dropped {
                    self.add(Item::Beside("malformed, passed"));
                }
                return self.add(Item::Malformed(reason));
            }
        };
        let decider = match &judgement.outcome {
            Outcome::Rule(name) => policy.rules.iter().position(|rule| rule.name == *name),
            _ => None,
        };
        let essential = model::essential(&packet).is_some();
        if essential && judgement.outcome != Outcome::Essential {
            let name = match (policy.essential, decider) {
                (Essential::Pass, Some(_)) => "essential, by a rule that means it",
                _ => "essential types, as ordinary traffic",
            };
            self.add(Item::Beside(name));
        }
        if !judgement.shadows.is_empty() {
            let name = match decider {
                Some(_) => "shadow, then a rule",
                None => "shadow, then no rule",
            };
            self.add(Item::Beside(name));
        }
        match &judgement.outcome {
            Outcome::Rule(_) => {
                if let Some(index) = decider {
                    self.record_rule(&policy.rules[index], index, &packet, frame.len());
                }
            }
            Outcome::DefaultPass => self.add(Item::Outcome("default-pass")),
            Outcome::DefaultDrop => self.add(Item::Outcome("default-drop")),
            Outcome::Essential => self.add(Item::Outcome("essential")),
            Outcome::LaterFragment => self.add_either(
                judgement.dropped,
                "later-fragment, drop",
                "later-fragment, pass",
            ),
            Outcome::NonIp | Outcome::Malformed(_) => {}
        }
    }

    fn record_rule(&mut self, rule: &Rule, index: usize, packet: &Packet, frame_length: usize) {
        self.by_rule += 1;
        if index >= FIRST_RULES {
            self.by_later_rule += 1;
        }
        self.add(Item::Outcome(match rule.action {
            Action::Pass => "rule, pass",
            Action::Drop => "rule, drop",
        }));
        if frame_length > FIRST_BUFFER {
            self.add(Item::Beside("beyond the first buffer, by a rule"));
        }
        if packet.is_later_fragment() {
            self.add(Item::Beside("later fragment, by a rule"));
        }
        let mut fields = BTreeSet::new();
        for &protocol in &rule.protocols {
            if model::protocol_matches(protocol, packet) {
                fields.insert(match protocol {
                    Protocol::Name(_) => "protocol by name",
                    Protocol::Number(_) => "protocol by number",
                    Protocol::Any => "protocol any",
                });
            }
        }
        for &entry in &rule.ports {
            if model::port_matches(rule, entry, packet) {
                fields.insert(match entry.ports {
                    Ports::Number(_) => "ports by number",
                    Ports::Range(..) => "ports by range",
                    Ports::Service(_) => "ports by name",
                    Ports::Any => "ports any",
                });
                if entry.suffix.is_some() {
                    fields.insert("ports with suffix");
                }
            }
        }
        for field in fields {
            self.add(Item::Field(field));
        }
    }

    fn add(&mut self, item: Item) {
        *self.counts.entry(item).or_default() += 1;
    }

    fn add_either(&mut self, dropped: bool, drop: &'static str, pass: &'static str) {
        self.add(Item::Outcome(if dropped { drop } else { pass }));
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
