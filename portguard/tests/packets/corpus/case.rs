//! One attempt: a policy, what happens one after the other, and what must become of what arrives.

use std::collections::BTreeMap;

use portguard::dataplane::Arrival;

use crate::filter::Filter;

const SECOND: u64 = 1_000_000_000;

/// Longer than anything is remembered: what one case leaves behind is over before the next one with the same policy.
const WEEK: u64 = 7 * 24 * 3600 * SECOND;

/// A rule that most cases try to get past.
pub(super) const SSH: &str = "{ name: ssh, action: drop, ports: 22 }";

#[derive(Debug)]
pub(super) struct Case {
    name: &'static str,
    about: &'static str,
    settings: &'static str,
    rules: Vec<&'static str>,
    events: Vec<Event>,
}

#[derive(Debug)]
enum Event {
    Arrives {
        frame: Vec<u8>,
        interface: Option<&'static str>,
        expected: &'static str,
    },
    Leaves(Vec<u8>),
    Wait(u64),
}

impl Case {
    /// A policy that blocks port 22. `about` is a sentence.
    pub(super) fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            settings: "",
            rules: vec![SSH],
            events: Vec::new(),
        }
    }

    pub(super) fn settings(mut self, settings: &'static str) -> Self {
        self.settings = settings;
        self
    }

    pub(super) fn rules(mut self, rules: &[&'static str]) -> Self {
        self.rules = rules.to_vec();
        self
    }

    /// A frame arrives; what must become of it is in the words of [`Filter::expect`].
    pub(super) fn arrives(self, frame: Vec<u8>, expected: &'static str) -> Self {
        self.event(Event::Arrives {
            frame,
            interface: None,
            expected,
        })
    }

    /// Each of several frames fares alike.
    pub(super) fn all_arrive(
        self,
        frames: impl IntoIterator<Item = Vec<u8>>,
        expected: &'static str,
    ) -> Self {
        frames
            .into_iter()
            .fold(self, |case, frame| case.arrives(frame, expected))
    }

    /// The same at an interface.
    pub(super) fn arrives_at(
        self,
        interface: &'static str,
        frame: Vec<u8>,
        expected: &'static str,
    ) -> Self {
        self.event(Event::Arrives {
            frame,
            interface: Some(interface),
            expected,
        })
    }

    pub(super) fn leaves(self, frame: Vec<u8>) -> Self {
        self.event(Event::Leaves(frame))
    }

    pub(super) fn wait(self, seconds: u64) -> Self {
        self.event(Event::Wait(seconds))
    }

    fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Lets everything happen, from a time on.
    fn run(&self, filter: &mut Filter, mut now_ns: u64) {
        for (place, event) in self.events.iter().enumerate() {
            let case = format!("{}, event {place}", self.name);
            match event {
                Event::Arrives {
                    frame,
                    interface,
                    expected,
                } => {
                    let ifindex = interface.map_or(1, |name| filter.ifindex(name));
                    let arrival = Arrival { ifindex, now_ns };
                    filter.expect_as(&case, frame, arrival, expected);
                }
                Event::Leaves(frame) => filter.leaves(frame, Arrival { ifindex: 1, now_ns }),
                Event::Wait(seconds) => now_ns += seconds * SECOND,
            }
        }
    }

    /// A row of the index.
    pub(super) fn row(&self) -> String {
        let mut fates: Vec<String> = Vec::new();
        for event in &self.events {
            let Event::Arrives { expected, .. } = event else {
                continue;
            };
            let fate = format!("`{expected}`");
            if fates.last() != Some(&fate) {
                fates.push(fate);
            }
        }
        format!(
            "| {} | {} | {} |",
            self.name,
            self.about,
            fates.join(", then ")
        )
    }
}

/// Lets cases happen, those of the same policy one after the other. What was counted is compared in the end.
pub(super) fn run_all(cases: &[Case]) {
    let mut policies: BTreeMap<(&str, &[&str]), (Filter, u64)> = BTreeMap::new();
    for case in cases {
        let (filter, now_ns) = policies
            .entry((case.settings, &case.rules))
            .or_insert_with(|| (Filter::new(case.settings, &case.rules), 0));
        *now_ns += WEEK;
        case.run(filter, *now_ns);
    }
}

/// Where addresses lie in an untagged frame.
pub(super) const SOURCE_V4: usize = 14 + 12;
pub(super) const DESTINATION_V4: usize = 14 + 16;
pub(super) const SOURCE_V6: usize = 14 + 8;

/// The frame with other bytes at this offset.
pub(super) fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}
