//! Counters over all generations: they go on when a policy is replaced.

use std::collections::{BTreeMap, BTreeSet};

use portguard_common::abi::{Builtin, Counter, EventCount};
use portguard_common::packet::Malformed;
use portguard_policy::{Outcome, Policy, Transport};
use serde::{Deserialize, Serialize};

use crate::control::{Count, Counters, DropCount, EventAccount, OutcomeCount, RuleCount};
use crate::dataplane::counters::{Counts, DropKey, add};
use crate::dataplane::events;

/// What generations counted that are no longer at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    rules: BTreeMap<String, RuleTotal>,
    builtin: BTreeMap<Builtin, Counter>,
    malformed: BTreeMap<Malformed, Counter>,
    drops: BTreeMap<DropKey, u64>,
    pub(super) events: EventCount,
}

/// When a report is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReportTime {
    /// Seconds since 1970.
    pub(super) unix_time: f64,
    /// Seconds since the daemon started.
    pub(super) uptime_s: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RuleTotal {
    decided: Counter,
    limited: Counter,
    shadow: Counter,
}

impl Totals {
    /// Adds what a generation with these rules counted. A rule is known by its name.
    pub(super) fn add(&mut self, rules: &[String], counts: &Counts) {
        for (index, rule) in rules.iter().enumerate() {
            let count = counts.rule(index);
            let total = self.rules.entry(rule.clone()).or_default();
            total.decided = add(total.decided, count.decided);
            total.limited = add(total.limited, count.limited);
            total.shadow = add(total.shadow, count.shadow);
        }
        add_all(&mut self.builtin, &counts.builtin);
        add_all(&mut self.malformed, &counts.malformed);
        self.events = events::add(self.events, counts.events);
        for (key, packets) in &counts.drops {
            *self.drops.entry(*key).or_default() += packets;
        }
    }

    /// These totals for the policy in force.
    pub(super) fn report(&self, policy: &Policy, generation: u64, time: ReportTime) -> Counters {
        let outcomes = self.outcomes();
        let rules = self.rules(policy);
        let frames = outcomes
            .iter()
            .map(|outcome| outcome.count)
            .chain(rules.iter().flat_map(|rule| [rule.count, rule.limited]))
            .fold(Count::default(), |sum, next| Count {
                packets: sum.packets + next.packets,
                bytes: sum.bytes + next.bytes,
            });
        Counters {
            unix_time: time.unix_time,
            uptime_s: time.uptime_s,
            generation,
            frames,
            outcomes,
            rules,
            drops: self.drops(policy),
            events: account(self.events),
        }
    }

    fn outcomes(&self) -> Vec<OutcomeCount> {
        let builtin = Builtin::ALL
            .iter()
            .map(|builtin| (builtin.name().to_owned(), self.builtin.get(builtin)));
        let malformed = Malformed::ALL.iter().map(|reason| {
            (
                Outcome::Malformed(*reason).name(),
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

    fn drops(&self, policy: &Policy) -> Vec<DropCount> {
        self.drops
            .iter()
            .map(|(key, packets)| DropCount {
                protocol: protocol_name(key.protocol),
                port: key.port,
                service: service_name(policy, *key),
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

/// The name of a destination port.
fn service_name(policy: &Policy, key: DropKey) -> Option<String> {
    let transport = Transport::from_number(key.protocol)?;
    policy.service_name(transport, key.port?).map(str::to_owned)
}

/// What became of events, as it is told.
pub(super) fn account(count: EventCount) -> EventAccount {
    EventAccount {
        would_be: count.emitted + count.suppressed + count.lost,
        delivered: count.emitted,
        suppressed: count.suppressed,
        lost: count.lost,
    }
}

/// The name that a policy uses, or the number.
fn protocol_name(number: u8) -> String {
    portguard_policy::protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)
}

/// Totals as they are kept: what is counted goes by its name, which no version changes.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    /// Decided, limited, shadow: packets and bytes of each.
    rules: BTreeMap<String, [u64; 6]>,
    builtin: BTreeMap<String, [u64; 2]>,
    malformed: BTreeMap<String, [u64; 2]>,
    /// Protocol, port and packets.
    drops: Vec<(u8, Option<u16>, u64)>,
    /// Emitted, suppressed, lost.
    #[serde(default)]
    events: [u64; 3],
}

impl From<&Totals> for Saved {
    fn from(totals: &Totals) -> Self {
        let rule = |(name, total): (&String, &RuleTotal)| {
            let [a, b] = pair(&total.decided);
            let [c, d] = pair(&total.limited);
            let [e, f] = pair(&total.shadow);
            (name.clone(), [a, b, c, d, e, f])
        };
        Self {
            rules: totals.rules.iter().map(rule).collect(),
            builtin: totals
                .builtin
                .iter()
                .map(|(builtin, counter)| (builtin.name().to_owned(), pair(counter)))
                .collect(),
            malformed: totals
                .malformed
                .iter()
                .map(|(reason, counter)| (reason.name().to_owned(), pair(counter)))
                .collect(),
            drops: totals
                .drops
                .iter()
                .map(|(key, packets)| (key.protocol, key.port, *packets))
                .collect(),
            events: [
                totals.events.emitted,
                totals.events.suppressed,
                totals.events.lost,
            ],
        }
    }
}

impl From<Saved> for Totals {
    /// What this version does not count is left out.
    fn from(saved: Saved) -> Self {
        let rule = |(name, [a, b, c, d, e, f]): (String, [u64; 6])| {
            let total = RuleTotal {
                decided: counter([a, b]),
                limited: counter([c, d]),
                shadow: counter([e, f]),
            };
            (name, total)
        };
        let of_name = |name: &str| saved.builtin.get(name).copied().map(counter);
        let of_reason = |name: &str| saved.malformed.get(name).copied().map(counter);
        Self {
            builtin: Builtin::ALL
                .iter()
                .filter_map(|builtin| Some((*builtin, of_name(builtin.name())?)))
                .collect(),
            malformed: Malformed::ALL
                .iter()
                .filter_map(|reason| Some((*reason, of_reason(reason.name())?)))
                .collect(),
            drops: saved
                .drops
                .into_iter()
                .map(|(protocol, port, packets)| (DropKey { protocol, port }, packets))
                .collect(),
            rules: saved.rules.into_iter().map(rule).collect(),
            events: EventCount {
                emitted: saved.events[0],
                suppressed: saved.events[1],
                lost: saved.events[2],
            },
        }
    }
}

fn pair(counter: &Counter) -> [u64; 2] {
    [counter.packets, counter.bytes]
}

fn counter([packets, bytes]: [u64; 2]) -> Counter {
    Counter { packets, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_come_back_as_they_were_kept() {
        let count = |packets| counter([packets, packets * 60]);
        let totals = Totals {
            rules: BTreeMap::from([(
                "ssh".to_owned(),
                RuleTotal {
                    decided: count(1),
                    limited: count(2),
                    shadow: count(3),
                },
            )]),
            builtin: BTreeMap::from([(Builtin::Reply, count(4))]),
            malformed: BTreeMap::from([(Malformed::ALL[1], count(5))]),
            drops: BTreeMap::from([(
                DropKey {
                    protocol: 6,
                    port: Some(22),
                },
                6,
            )]),
            events: EventCount {
                emitted: 7,
                suppressed: 8,
                lost: 9,
            },
        };
        let text = serde_json::to_string(&Saved::from(&totals)).unwrap();
        let back = Totals::from(serde_json::from_str::<Saved>(&text).unwrap());
        assert_eq!(back, totals);
    }
}
