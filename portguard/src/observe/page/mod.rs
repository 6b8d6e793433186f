//! What the web page shows, made of reports; there is no browser, no socket and no clock here.
//!
//! Rates, names and graphs are those of [`super::top`]. What goes out is whole each time, so that a reader who misses some of it
//! misses nothing later; and it is bounded, however many rules, ports and sources there are.

#[cfg(test)]
mod tests;
mod text;

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use crate::control::{Count, Counters, Event, EventAccount, Status};

use super::rates::{self, Rate};
use super::sample::Sample;
use super::sources::{Period, Sampled, Source, Sources};
use super::top::{History, Pane, PartKind, Row, Rows, SAMPLES};

pub use text::PolicyText;

/// Rows of a list that are shown; the rest is counted.
const SHOWN: usize = 20;

/// Rows of a list that get a graph anew with each report, the fastest: a scan of all ports must not take memory for each.
const FASTEST: usize = 100;

/// Seconds between two reports beyond which nobody has looked meanwhile, and graphs begin anew.
const GAP_S: f64 = 5.0;

/// What the daemon does and has counted, and by which policy.
#[derive(Debug)]
pub struct Report {
    /// What it has counted.
    pub sample: Arc<Sample>,
    /// What it does.
    pub status: Status,
    /// The policy in force.
    pub policy: Arc<PolicyText>,
}

/// The state of the page.
#[derive(Debug)]
pub struct Page {
    report: Arc<Report>,
    rows: Rows,
    rate: Option<Rate>,
    history: History,
    /// Dropped packets in a second, as long as the history.
    dropped: VecDeque<f64>,
    sources: Sources,
}

impl Page {
    /// The page of a first report, which has no rates yet.
    #[must_use]
    pub fn new(report: Arc<Report>) -> Self {
        Self {
            rows: Rows::new(report.sample.counters(), None),
            report,
            rate: None,
            history: History::default(),
            dropped: VecDeque::new(),
            sources: Sources::default(),
        }
    }

    /// Takes a later report, with the drop events that were told since the one before.
    pub fn take(&mut self, report: Arc<Report>, events: impl IntoIterator<Item = Event>) {
        let before = Arc::clone(&self.report.sample);
        if Arc::ptr_eq(&before, &report.sample) {
            // Only the status is another one.
            self.report = report;
            self.sources.add(events);
            return;
        }
        let now = report.sample.counters();
        let rates = rates::between(before.counters(), now);
        match rates {
            Some(rates) if rates.seconds <= GAP_S => {
                self.rows = Rows::new(now, Some(&rates));
                self.rate = Some(rates.frames);
                self.draw();
                self.sources.add(events);
                self.sources.close(Period::between(
                    &before.counters().events,
                    &now.events,
                    rates.seconds,
                ));
                self.report = report;
            }
            _ => {
                *self = Self::new(report);
                self.sources.add(events);
            }
        }
    }

    /// Adds the rates of now to the graphs.
    fn draw(&mut self) {
        let mut moving = Vec::new();
        for pane in Pane::ALL {
            let mut rows: Vec<&Row> = self.rows.of(pane).iter().collect();
            rows.retain(|row| row.rate() > 0.0);
            rows.sort_by(|left, right| right.rate().total_cmp(&left.rate()));
            let (fastest, others) = rows.split_at(rows.len().min(FASTEST));
            let known = others.iter().filter(|row| self.history.has(&row.subject));
            let drawn = fastest.iter().chain(known);
            moving.extend(drawn.map(|row| (row.subject.clone(), row.rate())));
        }
        let frames = self.rate.map_or(0.0, |rate| rate.packets_per_second);
        self.history.push(frames, moving);
        if self.dropped.len() == SAMPLES {
            self.dropped.pop_front();
        }
        let ports = self.rows.of(Pane::Ports);
        self.dropped.push_back(ports.iter().map(Row::rate).sum());
    }

    /// What is shown, as JSON.
    ///
    /// # Errors
    ///
    /// When something of it is no JSON: a path that is no UTF-8.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&self.shown())
    }

    fn shown(&self) -> Shown<'_> {
        let counters = self.report.sample.counters();
        let status = &self.report.status;
        Shown {
            status,
            unix_time: counters.unix_time,
            uptime_s: counters.uptime_s,
            frames: counters.frames,
            rate: self.rate,
            dropped: counters.drops.iter().map(|drop| drop.packets).sum(),
            dropped_per_second: self.dropped.back().copied(),
            frames_series: self.history.frames().map(rounded).collect(),
            dropped_series: self.dropped.iter().copied().map(rounded).collect(),
            rules: self.list(Pane::Rules),
            outcomes: self.list(Pane::Outcomes),
            ports: self.list(Pane::Ports),
            sources: status.events.as_ref().map(|_| {
                let sampled = self.sources.sampled(SHOWN);
                ShownSources::new(counters.events, &sampled)
            }),
            lines: lines(counters, &self.report.policy),
        }
    }

    /// A list, what counted most in the last samples first, then what counted most since counting began.
    fn list(&self, pane: Pane) -> List<'_> {
        let rows = self.rows.of(pane);
        let mut ranked: Vec<(f64, &Row)> = rows
            .iter()
            .map(|row| {
                let recent = match self.history.has(&row.subject) {
                    true => self.history.of(&row.subject).iter().sum(),
                    false => 0.0,
                };
                (recent, row)
            })
            .collect();
        ranked.sort_by(|(left_recent, left), (right_recent, right)| {
            let by_recent = right_recent.total_cmp(left_recent);
            by_recent
                .then_with(|| Reverse(left.packets()).cmp(&Reverse(right.packets())))
                .then_with(|| left.subject.cmp(&right.subject))
        });
        let shown = ranked.iter().take(SHOWN);
        List {
            rows: shown.map(|(_, row)| self.row(row)).collect(),
            hidden: rows.len().saturating_sub(SHOWN),
        }
    }

    fn row<'p>(&self, row: &'p Row) -> ShownRow<'p> {
        let packets = |kind| -> u64 {
            let parts = row.parts.iter().filter(|part| part.kind == kind);
            parts.map(|part| part.packets).sum()
        };
        ShownRow {
            name: row.subject.to_string(),
            note: &row.note,
            packets: packets(PartKind::Decided),
            limited: packets(PartKind::Limited),
            shadow: packets(PartKind::Shadow),
            per_second: rounded(row.rate()),
            series: self
                .history
                .of(&row.subject)
                .into_iter()
                .map(rounded)
                .collect(),
        }
    }
}

/// All that the page shows but for the text of the policy.
#[derive(Debug, Serialize)]
struct Shown<'p> {
    status: &'p Status,
    /// Seconds since 1970.
    unix_time: f64,
    /// Seconds since the daemon started.
    uptime_s: f64,
    frames: Count,
    /// `null` before there are two reports.
    rate: Option<Rate>,
    /// Dropped packets that have a destination.
    dropped: u64,
    dropped_per_second: Option<f64>,
    /// Packets in a second, oldest first.
    frames_series: Vec<f64>,
    dropped_series: Vec<f64>,
    rules: List<'p>,
    outcomes: List<'p>,
    ports: List<'p>,
    /// `null` if the policy has no `events`.
    sources: Option<ShownSources>,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct List<'p> {
    rows: Vec<ShownRow<'p>>,
    /// Rows that are left out.
    hidden: usize,
}

#[derive(Debug, Serialize)]
struct ShownRow<'p> {
    name: String,
    /// As [`Row::note`].
    note: &'p str,
    /// Packets that it decided; of a limit, those that it passed.
    packets: u64,
    /// Packets beyond its limit.
    limited: u64,
    /// Packets that it would have dropped, were it enforced.
    shadow: u64,
    /// Packets in a second of all three.
    per_second: f64,
    /// The same over time, oldest first.
    series: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct ShownSources {
    /// What became of all events, when the counters were read.
    account: EventAccount,
    /// Drop events that were told in the last samples.
    events: u64,
    rows: Vec<ShownSource>,
}

#[derive(Debug, Serialize)]
struct ShownSource {
    /// An IPv4 address or an IPv6 network.
    address: String,
    /// Events of it in the last samples.
    events: u64,
    /// The rule, or else the outcome, that dropped the last of them.
    decided_by: String,
    /// Where that went.
    target: String,
}

impl ShownSources {
    fn new(account: EventAccount, sampled: &Sampled) -> Self {
        let row = |source: &Source| ShownSource {
            address: source.prefix.to_string(),
            events: source.events,
            decided_by: source.decided_by().to_owned(),
            target: source.target(),
        };
        Self {
            account,
            events: sampled.events,
            rows: sampled.heaviest.iter().map(row).collect(),
        }
    }
}

/// What the rules on a line of the policy, or of a drop-in, have counted. A profile has several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Line {
    /// Which of the files that are shown, from 0.
    file: usize,
    /// From 1.
    line: usize,
    /// As in [`ShownRow`].
    packets: u64,
    /// As in [`ShownRow`].
    limited: u64,
    /// As in [`ShownRow`].
    shadow: u64,
}

/// The lines that are shown and have counted something.
fn lines(counters: &Counters, policy: &PolicyText) -> Vec<Line> {
    let mut lines: BTreeMap<(usize, usize), Line> = BTreeMap::new();
    for rule in &counters.rules {
        let Some(place) = policy.place_of(&rule.name) else {
            continue;
        };
        let line = lines.entry(place).or_default();
        (line.file, line.line) = place;
        line.packets += rule.count.packets;
        line.limited += rule.limited.packets;
        line.shadow += rule.shadow.packets;
    }
    let has_counted = |line: &Line| [line.packets, line.limited, line.shadow] != [0; 3];
    lines.into_values().filter(has_counted).collect()
}

/// A rate as it is drawn.
fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
