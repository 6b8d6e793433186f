//! Who sends what is dropped, as far as drop events tell.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use serde::Serialize;

use crate::control::Event;
use crate::observe::top::SAMPLES;

/// Sources of one sample that are told apart. A flood can forge a new one with each packet; of those beyond only the number of
/// events is kept.
const SOURCES: usize = 1_000;

/// Events of the last samples by their source.
#[derive(Debug, Default)]
pub struct Sources {
    /// The present one is the last.
    samples: VecDeque<Sample>,
    totals: HashMap<IpAddr, Total>,
    events: u64,
}

#[derive(Debug, Default)]
struct Sample {
    by_source: HashMap<IpAddr, u64>,
    events: u64,
}

#[derive(Debug)]
struct Total {
    events: u64,
    decided_by: String,
    target: String,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its address, which may be forged.
    pub address: IpAddr,
    /// Events of it in the last samples.
    pub events: u64,
    /// The rule, or else the outcome, that dropped the last of them.
    pub decided_by: String,
    /// Where that went: `23/tcp`, or a protocol alone.
    pub target: String,
}

impl Sources {
    /// Begins another sample; the oldest is forgotten.
    pub(super) fn turn(&mut self) {
        if self.samples.len() == SAMPLES
            && let Some(oldest) = self.samples.pop_front()
        {
            self.events -= oldest.events;
            for (address, events) in oldest.by_source {
                if let Some(total) = self.totals.get_mut(&address) {
                    total.events -= events;
                    if total.events == 0 {
                        self.totals.remove(&address);
                    }
                }
            }
        }
        self.samples.push_back(Sample::default());
    }

    /// Adds events to the present sample.
    pub(super) fn add(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.add_one(event);
        }
    }

    fn add_one(&mut self, event: Event) {
        if self.samples.is_empty() {
            self.samples.push_back(Sample::default());
        }
        let Some(sample) = self.samples.back_mut() else {
            return;
        };
        sample.events += 1;
        self.events += 1;
        // A frame that is not IP has none.
        let Some(address) = event.source else {
            return;
        };
        if sample.by_source.len() >= SOURCES && !sample.by_source.contains_key(&address) {
            return;
        }
        *sample.by_source.entry(address).or_default() += 1;
        let target = target(&event);
        let decided_by = event.rule.unwrap_or(event.outcome);
        let total = self.totals.entry(address).or_insert_with(|| Total {
            events: 0,
            decided_by: String::new(),
            target: String::new(),
        });
        total.events += 1;
        total.decided_by = decided_by;
        total.target = target;
    }

    /// Events of the last samples.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// The sources with the most events, so many of them.
    pub(super) fn top(&self, most: usize) -> Vec<Source> {
        let mut ranked: Vec<(&IpAddr, &Total)> = self.totals.iter().collect();
        ranked.sort_by(|(left, left_total), (right, right_total)| {
            let by_events = right_total.events.cmp(&left_total.events);
            by_events.then_with(|| left.cmp(right))
        });
        let shown = ranked.into_iter().take(most);
        shown
            .map(|(address, total)| Source {
                address: *address,
                events: total.events,
                decided_by: total.decided_by.clone(),
                target: total.target.clone(),
            })
            .collect()
    }
}

fn target(event: &Event) -> String {
    let protocol = event.protocol.clone().unwrap_or_default();
    match event.destination_port {
        Some(port) => format!("{port}/{protocol}"),
        None => protocol,
    }
}
