//! Counters (`docs/policy.md`, under that heading).

use std::collections::BTreeMap;

use super::Judgement;
use crate::frame::{Frame, Segment};

/// Frames, and their bytes from the Ethernet header on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Counter {
    fn add(&mut self, length: usize) {
        self.packets += 1;
        self.bytes += length as u64;
    }
}

/// All that is counted. Nothing is ever taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    outcomes: BTreeMap<String, Counter>,
    shadows: BTreeMap<String, Counter>,
    drops: BTreeMap<(u8, Option<u16>), u64>,
}

impl Counters {
    pub(super) fn add(&mut self, judgement: &Judgement, frame: Option<&Frame>, length: usize) {
        let outcome = judgement.outcome.counter();
        self.outcomes.entry(outcome).or_default().add(length);
        for name in &judgement.shadows {
            self.shadows.entry(name.clone()).or_default().add(length);
        }
        if let (true, Some(Frame::Packet(packet))) = (judgement.dropped, frame) {
            let port = match packet.segment {
                Segment::Ports { destination, .. } => Some(destination),
                Segment::Message { .. } | Segment::Other => None,
            };
            *self.drops.entry((packet.protocol, port)).or_default() += 1;
        }
    }

    /// By [`super::Outcome::counter`]; 0 of what has not come up.
    #[must_use]
    pub fn outcome(&self, name: &str) -> Counter {
        self.outcomes.get(name).copied().unwrap_or_default()
    }

    /// What the rule of this name, which only counts, would have dropped.
    #[must_use]
    pub fn shadow(&self, rule: &str) -> Counter {
        self.shadows.get(rule).copied().unwrap_or_default()
    }

    /// Drops by protocol and destination port; without one where the packet has none.
    #[must_use]
    pub fn drops(&self) -> &BTreeMap<(u8, Option<u16>), u64> {
        &self.drops
    }

    /// Over all outcomes: every frame that arrived.
    #[must_use]
    pub fn sum(&self) -> Counter {
        self.outcomes
            .values()
            .fold(Counter::default(), |sum, counter| Counter {
                packets: sum.packets + counter.packets,
                bytes: sum.bytes + counter.bytes,
            })
    }
}
