//! Who sends what is dropped, as far as drop events tell. The live view and the web page share this account.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;

use portguard_policy::Prefix;

use crate::control::{Event, EventAccount};

use super::top::SAMPLES;

/// New sources of one sample that are told apart. A flood can forge one with each packet; of those beyond only the number of
/// events is kept. Who sends one in a hundred is among the first thousand all the same.
const NEW: usize = 1_000;

/// Sources that are kept from one sample to the next, those with the most events. With [`NEW`] it bounds what this takes: some
/// 5 MiB.
const KEPT: usize = 5_000;

/// Bits by which sources of IPv6 are told apart, as in limits and bans: whoever has one address has all of its network.
const IPV6_BITS: u8 = 64;

/// Events of the last [`SAMPLES`] samples by their source.
#[derive(Debug, Default)]
pub struct Sources {
    /// The present one is the last, unless that is closed.
    samples: VecDeque<Sample>,
    totals: HashMap<Prefix, Total>,
    events: u64,
}

#[derive(Debug, Default)]
struct Sample {
    by_source: HashMap<Prefix, u64>,
    events: u64,
    /// `None` for the present one.
    closed: Option<Period>,
}

#[derive(Debug)]
struct Total {
    events: u64,
    last: Event,
}

/// The time of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Period {
    /// Its length.
    pub seconds: f64,
    /// Packets of it that were to be told, told or not.
    pub would_be: u64,
}

impl Period {
    /// The time between two accounts of the host.
    #[must_use]
    pub const fn between(before: &EventAccount, now: &EventAccount, seconds: f64) -> Self {
        Self {
            seconds,
            would_be: now.would_be.saturating_sub(before.would_be),
        }
    }
}

/// What is known of sources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampled {
    /// Samples that this is about.
    pub samples: usize,
    /// Events that were told in them.
    pub events: u64,
    /// Packets that were to be told in them. What is dropped while both are read may be in one of them alone.
    pub would_be: u64,
    /// The sources with the most events, these first.
    pub heaviest: Vec<Source>,
    /// Sources that are left out.
    pub hidden: usize,
}

/// A source.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its IPv4 address, or its IPv6 network. Both may be forged.
    pub prefix: Prefix,
    /// Events of it in the last samples.
    pub events: u64,
    /// Events in a second, of each closed sample, oldest first.
    pub rates: Vec<f64>,
    /// The last of them.
    pub last: Event,
}

impl Sources {
    /// Adds events to the present sample.
    pub fn add(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.add_one(event);
        }
    }

    fn add_one(&mut self, event: Event) {
        self.events += 1;
        let sample = self.present();
        sample.events += 1;
        // A frame that is not IP has none.
        let Some(source) = event.source.and_then(prefix) else {
            return;
        };
        if sample.by_source.len() >= NEW && !sample.by_source.contains_key(&source) {
            return;
        }
        *sample.by_source.entry(source).or_default() += 1;
        match self.totals.get_mut(&source) {
            Some(total) => {
                total.events += 1;
                total.last = event;
            }
            None => {
                let total = Total {
                    events: 1,
                    last: event,
                };
                self.totals.insert(source, total);
            }
        }
    }

    /// Ends the present sample, which was of this time.
    pub fn close(&mut self, period: Period) {
        self.present().closed = Some(period);
        self.forget_the_lightest();
    }

    /// The sample that is not closed; where there is none it begins, and the oldest is forgotten.
    fn present(&mut self) -> &mut Sample {
        if self
            .samples
            .back()
            .is_none_or(|sample| sample.closed.is_some())
        {
            if self.samples.len() == SAMPLES {
                self.forget_the_oldest();
            }
            self.samples.push_back(Sample::default());
        }
        let last = self.samples.len() - 1;
        &mut self.samples[last]
    }

    fn forget_the_oldest(&mut self) {
        let Some(oldest) = self.samples.pop_front() else {
            return;
        };
        self.events -= oldest.events;
        for (source, events) in oldest.by_source {
            if let Some(total) = self.totals.get_mut(&source) {
                total.events -= events;
                if total.events == 0 {
                    self.totals.remove(&source);
                }
            }
        }
    }

    /// Keeps [`KEPT`] sources: the heaviest, and of equally heavy ones those that were heard of last.
    fn forget_the_lightest(&mut self) {
        let Some(beyond) = self.totals.len().checked_sub(KEPT + 1) else {
            return;
        };
        let mut ranked: Vec<(u64, f64, Prefix)> = self
            .totals
            .iter()
            .map(|(source, total)| (total.events, total.last.unix_time, *source))
            .collect();
        ranked.select_nth_unstable_by(beyond, |left, right| {
            let by_events = left.0.cmp(&right.0);
            by_events.then_with(|| left.1.total_cmp(&right.1))
        });
        let lightest: HashSet<Prefix> = ranked[..=beyond].iter().map(|entry| entry.2).collect();
        self.totals.retain(|source, _| !lightest.contains(source));
        for sample in &mut self.samples {
            let by_source = &mut sample.by_source;
            by_source.retain(|source, _| !lightest.contains(source));
        }
    }

    /// What is known, with so many sources at most.
    #[must_use]
    pub fn sampled(&self, most: usize) -> Sampled {
        let mut ranked: Vec<(&Prefix, &Total)> = self.totals.iter().collect();
        ranked.sort_unstable_by(|(left, left_total), (right, right_total)| {
            let by_events = right_total.events.cmp(&left_total.events);
            by_events.then_with(|| left.cmp(right))
        });
        let heaviest = ranked.iter().take(most).map(|(prefix, total)| Source {
            prefix: **prefix,
            events: total.events,
            rates: self.rates(prefix),
            last: total.last.clone(),
        });
        let periods = self.samples.iter().filter_map(|sample| sample.closed);
        Sampled {
            samples: self.samples.len(),
            events: self.events,
            would_be: periods.map(|period| period.would_be).sum(),
            heaviest: heaviest.collect(),
            hidden: ranked.len().saturating_sub(most),
        }
    }

    fn rates(&self, source: &Prefix) -> Vec<f64> {
        let rates = self.samples.iter().filter_map(|sample| {
            let seconds = sample.closed?.seconds;
            let events = sample.by_source.get(source).copied().unwrap_or_default();
            Some(if seconds > 0.0 {
                events as f64 / seconds
            } else {
                0.0
            })
        });
        rates.collect()
    }
}

impl Source {
    /// The rule, or else the outcome, that dropped the last packet.
    #[must_use]
    pub fn decided_by(&self) -> &str {
        self.last.rule.as_deref().unwrap_or(&self.last.outcome)
    }

    /// Where that went: `23/tcp`, or a protocol alone.
    #[must_use]
    pub fn target(&self) -> String {
        let protocol = self.last.protocol.as_deref().unwrap_or_default();
        match self.last.destination_port {
            Some(port) => format!("{port}/{protocol}"),
            None => protocol.to_owned(),
        }
    }
}

/// All addresses that are one source.
fn prefix(address: IpAddr) -> Option<Prefix> {
    let length = if address.is_ipv4() { 32 } else { IPV6_BITS };
    Prefix::new(address, length)
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::event;
    use super::*;

    const SECOND: Period = Period {
        seconds: 1.0,
        would_be: 0,
    };

    fn names(sampled: &Sampled) -> Vec<String> {
        let sources = sampled.heaviest.iter();
        sources.map(|source| source.prefix.to_string()).collect()
    }

    #[test]
    fn sources_are_those_of_the_last_samples() {
        let mut sources = Sources::default();
        sources.add([
            event("192.0.2.9", Some("telnet"), 23),
            event("2001:db8::9", None, 80),
            event("192.0.2.9", Some("smb"), 445),
            // No IP: it has no source, and counts.
            event("none", None, 0),
        ]);
        let sampled = sources.sampled(10);
        assert_eq!((sampled.events, sampled.samples, sampled.hidden), (4, 1, 0));
        let [first, second] = &sampled.heaviest[..] else {
            panic!("two sources: {sampled:?}")
        };
        assert_eq!(first.prefix.to_string(), "192.0.2.9");
        assert_eq!(
            (first.events, first.decided_by(), first.target()),
            (2, "smb", "445/tcp".into())
        );
        assert_eq!(second.prefix.to_string(), "2001:db8::/64");
        assert_eq!(
            (second.events, second.decided_by(), second.target()),
            (1, "default-drop", "80/tcp".into())
        );
        let one = sources.sampled(1);
        assert_eq!((one.heaviest.len(), one.hidden), (1, 1));
        // The first sample and as many as there may be beside it.
        for _ in 0..SAMPLES {
            sources.close(SECOND);
        }
        assert_eq!(sources.sampled(10).events, 4);
        sources.close(SECOND);
        let sampled = sources.sampled(10);
        assert_eq!((sampled.events, sampled.heaviest), (0, Vec::new()));
        assert_eq!(sampled.samples, SAMPLES);
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let mut sources = Sources::default();
        sources.add([
            event("2001:db8:1:2::1", None, 22),
            event("2001:db8:1:2:ffff::9", None, 22),
            event("2001:db8:1:3::1", None, 22),
        ]);
        let sampled = sources.sampled(10);
        assert_eq!(names(&sampled), ["2001:db8:1:2::/64", "2001:db8:1:3::/64"]);
        assert_eq!(sampled.heaviest[0].events, 2);
    }

    #[test]
    fn rates_and_the_sum_that_it_is_a_sample_of_are_by_sample() {
        let mut sources = Sources::default();
        let of = |address| event(address, None, 22);
        sources.add([of("192.0.2.1"), of("192.0.2.1"), of("192.0.2.2")]);
        sources.close(Period {
            seconds: 2.0,
            would_be: 30,
        });
        sources.close(Period {
            seconds: 1.0,
            would_be: 10,
        });
        sources.add([of("192.0.2.1")]);
        sources.close(Period {
            seconds: 0.5,
            would_be: 1,
        });
        let sampled = sources.sampled(10);
        assert_eq!((sampled.events, sampled.would_be), (4, 41));
        assert_eq!(sampled.heaviest[0].rates, [1.0, 0.0, 2.0]);
        assert_eq!(sampled.heaviest[1].rates, [0.5, 0.0, 0.0]);
        for _ in 3..=SAMPLES {
            sources.close(SECOND);
        }
        assert_eq!(sources.sampled(10).would_be, 11, "the first is forgotten");
    }

    /// Events with a new source each, and one that sends one in a hundred, behind all those that are told apart.
    fn forged(round: u32) -> impl Iterator<Item = Event> {
        (0..3_000_u32).map(move |number| {
            let address = IpAddr::from((0x0a00_0000 + round * 3_000 + number).to_be_bytes());
            let address = match number % 100 {
                99 => "192.0.2.7".to_owned(),
                _ => address.to_string(),
            };
            Event {
                unix_time: f64::from(round),
                ..event(&address, None, 23)
            }
        })
    }

    #[test]
    fn however_many_sources_there_are_the_heaviest_are_kept_and_memory_is_bounded() {
        let mut sources = Sources::default();
        for round in 0..20 {
            sources.add(forged(round));
            assert!(sources.totals.len() <= KEPT + NEW);
            sources.close(SECOND);
            assert!(sources.totals.len() <= KEPT, "{}", sources.totals.len());
        }
        let in_samples: usize = sources.samples.iter().map(|one| one.by_source.len()).sum();
        assert!(in_samples < KEPT + SAMPLES, "{in_samples}");
        let sampled = sources.sampled(3);
        // All events are in the sum, also those whose source is forgotten.
        assert_eq!(sampled.events, 60_000);
        assert_eq!(names(&sampled)[0], "192.0.2.7");
        assert_eq!(sampled.heaviest[0].events, 600);
        assert_eq!(sampled.heaviest[0].rates, [30.0; 20]);
        // Of the others those are left that came last.
        assert_eq!(sampled.heaviest[1].events, 1);
        assert!(
            sources
                .totals
                .values()
                .all(|total| total.last.unix_time >= 14.0)
        );
        // What is forgotten stays consistent until nothing is left.
        for _ in 0..=SAMPLES {
            sources.close(SECOND);
        }
        assert_eq!(sources.sampled(3).events, 0);
        assert!(sources.totals.is_empty());
    }
}
