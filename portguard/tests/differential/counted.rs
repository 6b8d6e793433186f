//! What was counted in the end, by the names that the model has for it.

use std::collections::BTreeMap;

use portguard::dataplane::Counts;
use portguard_common::abi::Counter;
use portguard_reference::model::{self, Counters};

use crate::generated::malformed_name;

/// What the kernel has counted, over all policies of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: BTreeMap<String, Counter>,
    shadows: BTreeMap<String, Counter>,
    drops: BTreeMap<(u8, Option<u16>), u64>,
    frames: Counter,
}

impl Tally {
    /// Adds the counters of one generation, whose rules have these names.
    pub(crate) fn add(&mut self, counts: &Counts, rules: &[String]) {
        for (index, name) in rules.iter().enumerate() {
            let count = counts.rule(index);
            add(&mut self.outcomes, format!("rule {name}"), count.decided);
            let limited = format!("rule {name}, limited");
            add(&mut self.outcomes, limited, count.limited);
            add(&mut self.shadows, name.clone(), count.shadow);
        }
        for (builtin, count) in &counts.builtin {
            add(&mut self.outcomes, builtin.name().to_owned(), *count);
        }
        for (reason, count) in &counts.malformed {
            add(&mut self.outcomes, malformed_name(*reason), *count);
        }
        for (key, packets) in &counts.drops {
            *self.drops.entry((key.protocol, key.port)).or_default() += packets;
        }
        let frames = counts.frames();
        self.frames.packets += frames.packets;
        self.frames.bytes += frames.bytes;
    }

    /// What the model counted differently, a line each.
    pub(crate) fn differences(&self, expected: &Counters) -> Vec<String> {
        let mut lines = Vec::new();
        let mut compare = |name: &str, found: Counter, expected: model::Counter| {
            if (found.packets, found.bytes) != (expected.packets, expected.bytes) {
                lines.push(format!("{name}: model {expected:?}, kernel {found:?}"));
            }
        };
        for (name, found) in &self.outcomes {
            compare(name, *found, expected.outcome(name));
        }
        for (name, found) in &self.shadows {
            compare(&format!("shadow of {name}"), *found, expected.shadow(name));
        }
        // So the model has no other outcomes than these.
        compare("all frames", self.frames, expected.sum());
        let expected = expected.drops();
        if self.drops != *expected {
            let differs = |key: &&(u8, Option<u16>)| self.drops.get(key) != expected.get(key);
            let keys = self.drops.keys().chain(expected.keys());
            let keys: Vec<_> = keys.filter(differs).collect();
            lines.push(format!("drops by protocol and port differ in {keys:?}"));
        }
        lines
    }
}

fn add(counters: &mut BTreeMap<String, Counter>, name: String, counter: Counter) {
    let sum = counters.entry(name).or_default();
    sum.packets += counter.packets;
    sum.bytes += counter.bytes;
}
