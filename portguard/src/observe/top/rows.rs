//! What the panes list: rules, outcomes, blocked ports and sources, each with what it counted and how fast.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use portguard_policy::Prefix;

use crate::control::{Count, Counters, DropCount, OutcomeCount, RuleCount};
use crate::observe::rates::{Rate, Rates, RuleRate};
use crate::observe::sources::{Sampled, Source};

/// A list that can be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pane {
    /// Rules of the policy.
    #[default]
    Rules,
    /// Outcomes that are no rule.
    Outcomes,
    /// Destinations of dropped packets.
    Ports,
    /// Senders of dropped packets.
    Sources,
}

impl Pane {
    /// All of them, in the order of the Tab key.
    pub const ALL: [Self; 4] = [Self::Rules, Self::Outcomes, Self::Ports, Self::Sources];

    /// Its heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Rules => "Rules",
            Self::Outcomes => "Outcomes",
            Self::Ports => "Blocked ports",
            Self::Sources => "Sources",
        }
    }

    /// The one so many places further in [`Self::ALL`], round and round.
    pub(super) fn turned(self, places: usize) -> Self {
        let mut round = Self::ALL.into_iter().cycle();
        round.find(|pane| *pane == self);
        round.nth(places.saturating_sub(1)).unwrap_or(self)
    }
}

/// What counts. Its order is that of names: ports by their number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A rule, by its name.
    Rule(String),
    /// An outcome that is no rule, by its name.
    Outcome(String),
    /// A destination of dropped packets.
    Port {
        /// As in [`DropCount`].
        port: Option<u16>,
        /// As in [`DropCount`].
        protocol: String,
    },
    /// A sender of dropped packets.
    Source(Prefix),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) | Self::Outcome(name) => f.write_str(name),
            Self::Port {
                port: Some(port),
                protocol,
            } => write!(f, "{port}/{protocol}"),
            Self::Port {
                port: None,
                protocol,
            } => f.write_str(protocol),
            Self::Source(prefix) => write!(f, "{prefix}"),
        }
    }
}

/// A line of a pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What counts.
    pub subject: Subject,
    /// Action of a rule (`removed` if the policy in force does not have it), service of a port, what decided the last event of a
    /// source, or empty.
    pub note: String,
    /// What makes it up: of a rule, what it decided, what was beyond its limit, and what it would have dropped.
    pub parts: Vec<Part>,
}

/// A counter of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Which one.
    pub kind: PartKind,
    /// Packets.
    pub packets: u64,
    /// Packets in a second.
    pub packets_per_second: f64,
    /// Bytes and bytes in a second, where they are counted.
    pub bytes: Option<(u64, f64)>,
}

/// Which counter of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// Packets whose fate it decided; of a limit, those that it passed.
    Decided,
    /// Packets beyond the limit of a rule.
    Limited,
    /// Packets that a rule would have dropped, were it enforced.
    Shadow,
    /// Drop events of a source in the last samples.
    Told,
}

impl Row {
    /// Packets of all parts.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.parts.iter().map(|part| part.packets).sum()
    }

    /// Packets in a second of all parts.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.parts.iter().map(|part| part.packets_per_second).sum()
    }

    /// Whether a text in lower case is a part of its name or note.
    pub(super) fn has(&self, text: &str) -> bool {
        self.subject.to_string().to_lowercase().contains(text)
            || self.note.to_lowercase().contains(text)
    }
}

/// By what rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// The fastest first.
    #[default]
    Rate,
    /// The most packets first.
    Total,
    /// By name; ports by number.
    Name,
}

impl Sort {
    /// The next one of the `s` key.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Total,
            Self::Total => Self::Name,
            Self::Name => Self::Rate,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Total => "total",
            Self::Name => "name",
        }
    }

    /// What comes first. Where rates are equal, totals decide, then names.
    pub(super) fn compare(self, left: &Row, right: &Row) -> Ordering {
        let by_rate = || right.rate().total_cmp(&left.rate());
        let by_total = || right.packets().cmp(&left.packets());
        let by_name = left.subject.cmp(&right.subject);
        match self {
            Self::Rate => by_rate().then_with(by_total).then(by_name),
            Self::Total => by_total().then_with(by_rate).then(by_name),
            Self::Name => by_name,
        }
    }
}

/// The rows of all panes.
#[derive(Clone, Debug, Default)]
pub(in crate::observe) struct Rows {
    rules: Vec<Row>,
    outcomes: Vec<Row>,
    ports: Vec<Row>,
    sources: Vec<Row>,
}

impl Rows {
    /// The rows of a report, which has no sources; without rates, everything stands still.
    pub(in crate::observe) fn new(counters: &Counters, rates: Option<&Rates>) -> Self {
        Self {
            rules: rules(counters, rates),
            outcomes: outcomes(counters, rates),
            ports: ports(counters, rates),
            sources: Vec::new(),
        }
    }

    /// Adds the sources, which are sampled and not counted.
    pub(super) fn set_sources(&mut self, sampled: &Sampled) {
        self.sources = sampled.heaviest.iter().map(source).collect();
    }

    pub(in crate::observe) fn of(&self, pane: Pane) -> &[Row] {
        match pane {
            Pane::Rules => &self.rules,
            Pane::Outcomes => &self.outcomes,
            Pane::Ports => &self.ports,
            Pane::Sources => &self.sources,
        }
    }

    /// All that is counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Row> {
        self.rules.iter().chain(&self.outcomes).chain(&self.ports)
    }
}

fn part(kind: PartKind, count: Count, rate: Rate) -> Part {
    Part {
        kind,
        packets: count.packets,
        packets_per_second: rate.packets_per_second,
        bytes: Some((count.bytes, rate.bytes_per_second)),
    }
}

fn rules(counters: &Counters, rates: Option<&Rates>) -> Vec<Row> {
    let rates: HashMap<&str, &RuleRate> = rates
        .into_iter()
        .flat_map(|rates| &rates.rules)
        .map(|rule| (rule.name.as_str(), rule))
        .collect();
    let row = |rule: &RuleCount| {
        let rate = rates.get(rule.name.as_str());
        let of =
            |rate_of: fn(&RuleRate) -> Rate| rate.map(|rule| rate_of(rule)).unwrap_or_default();
        let mut parts = vec![part(PartKind::Decided, rule.count, of(|rule| rule.rate))];
        if rule.limited != Count::default() {
            parts.push(part(
                PartKind::Limited,
                rule.limited,
                of(|rule| rule.limited),
            ));
        }
        if rule.shadow != Count::default() {
            parts.push(part(PartKind::Shadow, rule.shadow, of(|rule| rule.shadow)));
        }
        Row {
            subject: Subject::Rule(rule.name.clone()),
            note: rule.action.as_deref().unwrap_or("removed").to_owned(),
            parts,
        }
    };
    counters.rules.iter().map(row).collect()
}

fn outcomes(counters: &Counters, rates: Option<&Rates>) -> Vec<Row> {
    let rates: HashMap<&str, Rate> = rates
        .into_iter()
        .flat_map(|rates| &rates.outcomes)
        .map(|outcome| (outcome.name.as_str(), outcome.rate))
        .collect();
    let row = |outcome: &OutcomeCount| {
        let rate = rates.get(outcome.name.as_str()).copied();
        Row {
            subject: Subject::Outcome(outcome.name.clone()),
            note: String::new(),
            parts: vec![part(
                PartKind::Decided,
                outcome.count,
                rate.unwrap_or_default(),
            )],
        }
    };
    // Most ways of being malformed never happen.
    let happened = |outcome: &&OutcomeCount| outcome.count.packets > 0;
    counters.outcomes.iter().filter(happened).map(row).collect()
}

fn ports(counters: &Counters, rates: Option<&Rates>) -> Vec<Row> {
    let rates: HashMap<(&str, Option<u16>), f64> = rates
        .into_iter()
        .flat_map(|rates| &rates.drops)
        .map(|drop| ((drop.protocol.as_str(), drop.port), drop.packets_per_second))
        .collect();
    let row = |drop: &DropCount| Row {
        subject: Subject::Port {
            port: drop.port,
            protocol: drop.protocol.clone(),
        },
        note: drop.service.clone().unwrap_or_default(),
        parts: vec![Part {
            kind: PartKind::Decided,
            packets: drop.packets,
            packets_per_second: rates
                .get(&(drop.protocol.as_str(), drop.port))
                .copied()
                .unwrap_or_default(),
            bytes: None,
        }],
    };
    let happened = |drop: &&DropCount| drop.packets > 0;
    counters.drops.iter().filter(happened).map(row).collect()
}

fn source(source: &Source) -> Row {
    Row {
        subject: Subject::Source(source.prefix),
        note: source.decided_by().to_owned(),
        parts: vec![Part {
            kind: PartKind::Told,
            packets: source.events,
            packets_per_second: source.rates.last().copied().unwrap_or_default(),
            bytes: None,
        }],
    }
}
