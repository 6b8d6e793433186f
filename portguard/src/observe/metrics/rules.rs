//! The series of rules: few enough for thousands of rules.

use std::fmt;

use crate::control::{Count, RuleCount};

use super::encode::{Families, Unit};

/// Most series of rules, packets and bytes together. With all others they stay under 2,000.
const MOST: usize = 1_700;

/// The rule of what was folded. No rule has such a name.
const OTHER: &str = "(other)";

/// What became of packets that a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Passed,
    Dropped,
    Limited,
    Shadow,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Passed, Self::Dropped, Self::Limited, Self::Shadow];

    const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Dropped => "dropped",
            Self::Limited => "limited",
            Self::Shadow => "shadow",
        }
    }
}

/// The series of all rules of the policy in force, in its order: packets for as many as there is room for, then bytes.
pub(super) struct RuleSeries<'a> {
    series: Vec<(&'a str, Fate, Count)>,
}

impl<'a> RuleSeries<'a> {
    /// Rules that the policy in force does not have any more have no series.
    pub(super) fn of(rules: &'a [RuleCount], enforced: &[bool]) -> Self {
        let mut series = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            let Some(action) = &rule.action else {
                continue;
            };
            let is_enforced = enforced.get(index).copied().unwrap_or(true);
            let decided = match action.as_str() {
                "pass" | "limit" => Fate::Passed,
                _ => Fate::Dropped,
            };
            // What it can count has a series from the beginning, so that the first packet is an increase.
            let mut add = |fate, count: Count, can: bool| {
                if can || count != Count::default() {
                    series.push((rule.name.as_str(), fate, count));
                }
            };
            add(decided, rule.count, is_enforced);
            add(
                Fate::Limited,
                rule.limited,
                is_enforced && action == "limit",
            );
            add(Fate::Shadow, rule.shadow, !is_enforced);
        }
        Self { series }
    }

    /// Series whose packets have a place of their own.
    fn with_packets(&self) -> usize {
        self.series.len().min(MOST)
    }

    /// Series whose bytes have one, too.
    fn with_bytes(&self) -> usize {
        self.series.len().min(MOST - self.with_packets())
    }

    /// Rules whose packets are counted among others.
    pub(super) fn folded_packets(&self) -> usize {
        self.rules_from(self.with_packets())
    }

    /// Rules whose bytes are counted among others.
    pub(super) fn folded_bytes(&self) -> usize {
        self.rules_from(self.with_bytes())
    }

    fn rules_from(&self, first: usize) -> usize {
        let mut names: Vec<&str> = self.series[first..]
            .iter()
            .map(|(name, ..)| *name)
            .collect();
        names.dedup();
        names.len()
    }

    pub(super) fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        families.counters(
            "portguard_rule",
            Unit::Packets,
            "Packets that a rule of the policy in force matched, by what became of them.",
            self.folded(self.with_packets(), |count| count.packets),
        )?;
        families.counters(
            "portguard_rule",
            Unit::Bytes,
            "Bytes of these packets.",
            self.folded(self.with_bytes(), |count| count.bytes),
        )
    }

    /// The first series as they are, and the sums of the others.
    fn folded(
        &self,
        own: usize,
        value: fn(&Count) -> u64,
    ) -> impl Iterator<Item = ([(&'static str, &str); 2], u64)> {
        let labels = |rule, fate: Fate| [("rule", rule), ("result", fate.name())];
        let (first, rest) = self.series.split_at(own);
        let own = first
            .iter()
            .map(move |(name, fate, count)| (labels(name, *fate), value(count)));
        let sums = Fate::ALL.into_iter().filter_map(move |fate| {
            let same = rest.iter().filter(|(_, other, _)| *other == fate);
            let sum = same
                .map(|(_, _, count)| value(count))
                .reduce(|sum, next| sum + next);
            Some((labels(OTHER, fate), sum?))
        });
        own.chain(sums)
    }
}
