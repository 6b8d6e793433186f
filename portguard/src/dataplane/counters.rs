//! Reading the counters of a generation.

use std::collections::BTreeMap;

use aya::maps::{MapData, MapError, PerCpuArray};
use portguard_common::abi::{
    Builtin, COUNTER_PAGE_LEN, Counter, CounterPage, DropPage, EventCount, counter, drops, service,
    symbol,
};
use portguard_common::packet::{Malformed, protocol};
use portguard_policy::Meaning;

/// What a rule counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCount {
    /// Packets that the rule decided; of a limit, those within it.
    pub decided: Counter,
    /// Packets beyond the rule's limit.
    pub limited: Counter,
    /// Packets that the rule would have dropped, were it enforced.
    pub shadow: Counter,
}

/// A destination of dropped packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropKey {
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, for TCP, UDP and SCTP; `None` for later fragments and other protocols.
    pub port: Option<u16>,
}

/// What was counted, summed over the CPUs. Every frame is in exactly one of the deciding counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By rule index; rules that counted nothing may be missing at the end.
    pub rules: Vec<RuleCount>,
    /// Outcomes that are no rule.
    pub builtin: BTreeMap<Builtin, Counter>,
    /// Malformed packets by reason.
    pub malformed: BTreeMap<Malformed, Counter>,
    /// Dropped packets by destination; only those that are not 0.
    pub drops: BTreeMap<DropKey, u64>,
    /// What became of drop events.
    pub events: EventCount,
}

impl Counts {
    /// All frames that were seen.
    #[must_use]
    pub fn frames(&self) -> Counter {
        let rules = self
            .rules
            .iter()
            .flat_map(|rule| [&rule.decided, &rule.limited]);
        rules
            .chain(self.builtin.values())
            .chain(self.malformed.values())
            .fold(Counter::default(), |sum, next| add(sum, *next))
    }

    /// What one rule counted.
    #[must_use]
    pub fn rule(&self, index: usize) -> RuleCount {
        self.rules.get(index).copied().unwrap_or_default()
    }
}

/// The sum of two counters.
#[must_use]
pub fn add(left: Counter, right: Counter) -> Counter {
    Counter {
        packets: left.packets + right.packets,
        bytes: left.bytes + right.bytes,
    }
}

type NamedError = (&'static str, MapError);

/// Reads the counters and attributes each cell to its rules.
pub(super) fn read(
    counters: &PerCpuArray<&MapData, CounterPage>,
    drops: &PerCpuArray<&MapData, DropPage>,
    meaning: &Meaning,
) -> Result<Counts, NamedError> {
    let mut counts = Counts::default();
    for (page, sums) in counter_pages(counters).enumerate() {
        let sums = sums.map_err(|error| (symbol::COUNTERS, error))?;
        for (place, sum) in sums.into_iter().enumerate() {
            let index = page * COUNTER_PAGE_LEN + place;
            attribute(&mut counts, index, sum, meaning);
        }
    }
    for page in 0..drops::PAGES {
        let sums = drop_page(drops, page).map_err(|error| (symbol::DROPS, error))?;
        let first = page * sums.len() as u32;
        for (index, packets) in (first..).zip(sums) {
            if packets > 0 {
                *counts.drops.entry(drop_key(index)).or_default() += packets;
            }
        }
    }
    Ok(counts)
}

fn counter_pages(
    map: &PerCpuArray<&MapData, CounterPage>,
) -> impl Iterator<Item = Result<CounterPage, MapError>> {
    (0..map.len()).map(|page| {
        let per_cpu = map.get(&page, 0)?;
        let mut sums = [Counter::default(); COUNTER_PAGE_LEN];
        for cpu in per_cpu.iter() {
            for (sum, next) in sums.iter_mut().zip(cpu) {
                *sum = add(*sum, *next);
            }
        }
        Ok(sums)
    })
}

fn drop_page(map: &PerCpuArray<&MapData, DropPage>, page: u32) -> Result<DropPage, MapError> {
    let per_cpu = map.get(&page, 0)?;
    let mut sums = [0; 256];
    for cpu in per_cpu.iter() {
        for (sum, next) in sums.iter_mut().zip(cpu) {
            *sum += next;
        }
    }
    Ok(sums)
}

fn attribute(counts: &mut Counts, index: usize, sum: Counter, meaning: &Meaning) {
    let Some(cell) = index.checked_sub(counter::CELL as usize) else {
        attribute_builtin(counts, index, sum);
        return;
    };
    let Some(attribution) = meaning.attributions.get(cell) else {
        if let Some(beyond) = meaning.limited.get(cell - meaning.attributions.len()) {
            let count = rule_mut(&mut counts.rules, beyond.rule);
            let own = if beyond.enforce {
                &mut count.limited
            } else {
                &mut count.shadow
            };
            *own = add(*own, sum);
        }
        return;
    };
    if let Some(rule) = attribution.decider {
        let count = rule_mut(&mut counts.rules, rule);
        count.decided = add(count.decided, sum);
    }
    for rule in &attribution.shadows {
        let count = rule_mut(&mut counts.rules, *rule);
        count.shadow = add(count.shadow, sum);
    }
}

fn attribute_builtin(counts: &mut Counts, index: usize, sum: Counter) {
    if let Some(builtin) = Builtin::ALL.get(index) {
        counts.builtin.insert(*builtin, sum);
    }
    let reason = index
        .checked_sub(counter::MALFORMED as usize)
        .and_then(|place| Malformed::ALL.get(place));
    if let Some(reason) = reason {
        counts.malformed.insert(*reason, sum);
    }
}

fn rule_mut(rules: &mut Vec<RuleCount>, index: usize) -> &mut RuleCount {
    if rules.len() <= index {
        rules.resize(index + 1, RuleCount::default());
    }
    &mut rules[index]
}

fn drop_key(index: u32) -> DropKey {
    let with_port = |protocol| DropKey {
        protocol,
        port: Some(index as u16),
    };
    match index {
        drops::PORTLESS.. => DropKey {
            protocol: (index - drops::PORTLESS) as u8,
            port: None,
        },
        service::SCTP.. => with_port(protocol::SCTP),
        service::UDP.. => with_port(protocol::UDP),
        _ => with_port(protocol::TCP),
    }
}
