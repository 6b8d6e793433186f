//! Counters over all generations: they go on when a policy is replaced.

use std::collections::{BTreeMap, BTreeSet};

use portguard_common::abi::{Builtin, Counter};
use portguard_common::packet::Malformed;
use portguard_policy::Policy;

use crate::control::{Count, Counters, DropCount, OutcomeCount, RuleCount};
use crate::dataplane::counters::{Counts, DropKey, add};

/// What generations counted that are no longer at work.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    rules: BTreeMap<String, RuleTotal>,
    builtin: BTreeMap<Builtin, Counter>,
    malformed: BTreeMap<Malformed, Counter>,
    drops: BTreeMap<DropKey, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct RuleTotal {
    decided: Counter,
    limited: Counter,
    shadow: Counter,
}

impl Totals {
    /// Adds what the generation of `policy` counted. A rule is known by its name.
    pub(super) fn add(&mut self, policy: &Policy, counts: &Counts) {
        for (index, rule) in policy.rules.iter().enumerate() {
            let count = counts.rule(index);
            let total = self.rules.entry(rule.name.clone()).or_default();
            total.decided = add(total.decided, count.decided);
            total.limited = add(total.limited, count.limited);
            total.shadow = add(total.shadow, count.shadow);
        }
        add_all(&mut self.builtin, &counts.builtin);
        add_all(&mut self.malformed, &counts.malformed);
        for (key, packets) in &counts.drops {
            *self.drops.entry(*key).or_default() += packets;
        }
    }

    /// Everything counted so far, with what the generation at work (of `policy`) has counted.
    pub(super) fn report(
        &self,
        policy: &Policy,
        counts: &Counts,
        generation: u64,
        unix_time: f64,
    ) -> Counters {
        let mut sum = self.clone();
        sum.add(policy, counts);
        let outcomes = sum.outcomes();
        let rules = sum.rules(policy);
        let frames = outcomes
            .iter()
            .map(|outcome| outcome.count)
            .chain(rules.iter().flat_map(|rule| [rule.count, rule.limited]))
            .fold(Count::default(), |sum, next| Count {
                packets: sum.packets + next.packets,
                bytes: sum.bytes + next.bytes,
            });
        Counters {
            unix_time,
            generation,
            frames,
            outcomes,
            rules,
            drops: sum.drops(),
        }
    }

    fn outcomes(&self) -> Vec<OutcomeCount> {
        let builtin = Builtin::ALL
            .iter()
            .map(|builtin| (builtin.name().to_owned(), self.builtin.get(builtin)));
        let malformed = Malformed::ALL.iter().map(|reason| {
            (
                format!("malformed:{}", reason.name()),
                self.malformed.get(reason),
            )
        });
        builtin
            .chain(malformed)
            .map(|(name, counter)| OutcomeCount {
                name,
                count: count(counter.copied().unwrap_or_default()),
            })
            .collect()
    }

    /// In the order of the policy, then those that it does not have any more.
    fn rules(&self, policy: &Policy) -> Vec<RuleCount> {
        let present = policy
            .rules
            .iter()
            .map(|rule| (&rule.name, Some(rule.action.to_string())));
        let names: BTreeSet<&String> = policy.rules.iter().map(|rule| &rule.name).collect();
        let removed = self
            .rules
            .keys()
            .filter(|name| !names.contains(name))
            .map(|name| (name, None));
        present
            .chain(removed)
            .map(|(name, action)| {
                let total = self.rules.get(name).copied().unwrap_or_default();
                RuleCount {
                    name: name.clone(),
                    action,
                    count: count(total.decided),
                    limited: count(total.limited),
                    shadow: count(total.shadow),
                }
            })
            .collect()
    }

    fn drops(&self) -> Vec<DropCount> {
        self.drops
            .iter()
            .map(|(key, packets)| DropCount {
                protocol: protocol_name(key.protocol),
                port: key.port,
                packets: *packets,
            })
            .collect()
    }
}

fn add_all<K: Copy + Ord>(totals: &mut BTreeMap<K, Counter>, counts: &BTreeMap<K, Counter>) {
    for (key, counter) in counts {
        let total = totals.entry(*key).or_default();
        *total = add(*total, *counter);
    }
}

fn count(counter: Counter) -> Count {
    Count {
        packets: counter.packets,
        bytes: counter.bytes,
    }
}

/// The name that a policy uses, or the number.
fn protocol_name(number: u8) -> String {
    portguard_policy::protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}
