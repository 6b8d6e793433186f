//! What `portguard top` shows, and what keys and reports do with it.
//!
//! There is no terminal, no socket and no clock here: [`Top::update`] takes what happens, `output::top` draws what is.

mod history;
mod message;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::control::{Count, Counters, Status};
use crate::observe::rates::{self, Rate};
use crate::observe::sources::Source;

pub use history::{History, SAMPLES};
pub use message::{Key, Message, Next, Report, Senders};
pub(super) use rows::Rows;
pub use rows::{Pane, Part, PartKind, Row, Sort, Subject};

/// How it is with the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It reports.
    Live,
    /// It has not reported for so many seconds.
    Silent(u64),
    /// It is gone, or refuses, with the reason.
    Lost(String),
}

/// What lies over the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// What the keys do.
    Help,
    /// What is known of the selected row.
    Explanation,
}

/// What is counted, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// All frames.
    pub frames: Count,
    /// How fast they come; `None` before there are two reports of one daemon.
    pub rate: Option<Rate>,
    /// Rates before.
    pub history: History,
    /// Who sends what is dropped.
    pub senders: Senders,
    rows: Rows,
}

impl Picture {
    /// A source of the rows.
    #[must_use]
    pub fn source(&self, subject: &Subject) -> Option<&Source> {
        let Subject::Source(prefix) = subject else {
            return None;
        };
        let mut heaviest = self.senders.sampled.heaviest.iter();
        heaviest.find(|source| source.prefix == *prefix)
    }

    /// The rates of a row, oldest first.
    #[must_use]
    pub fn series(&self, subject: &Subject) -> Vec<f64> {
        match self.source(subject) {
            Some(source) => source.rates.clone(),
            None => self.history.of(subject),
        }
    }
}

/// What fits the screen, as it was last drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Rows of a pane.
    pub rows: usize,
    /// Lines of what lies over them that are left out at the end when nothing is at the start.
    pub hidden_lines: usize,
}

/// The rows of the pane that is looked at, as they are listed.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Those that the filter leaves, sorted.
    pub rows: Vec<&'a Row>,
    /// Place of the selected one; `None` where there is no row.
    pub selected: Option<usize>,
}

impl<'a> View<'a> {
    /// The selected row.
    #[must_use]
    pub fn selected_row(&self) -> Option<&'a Row> {
        self.selected
            .and_then(|place| self.rows.get(place))
            .copied()
    }
}

/// The row that was chosen, and its place then: where it is gone, the row in its place is selected.
#[derive(Clone, Debug)]
struct Selection {
    subject: Subject,
    place: usize,
}

/// The state of the view.
#[derive(Clone, Debug)]
pub struct Top {
    status: Status,
    link: Link,
    before: Option<Counters>,
    live: Picture,
    /// The picture at the time of the pause.
    paused: Option<Picture>,
    pane: Pane,
    sort: Sort,
    is_reversed: bool,
    filter: String,
    is_typing: bool,
    selections: BTreeMap<Pane, Selection>,
    overlay: Option<Overlay>,
    scroll: usize,
    fit: Fit,
}

impl Top {
    /// The view of a first report, which has no rates yet.
    #[must_use]
    pub fn new(report: Report) -> Self {
        let mut top = Self {
            status: report.status.clone(),
            link: Link::Live,
            before: None,
            live: Picture::default(),
            paused: None,
            pane: Pane::default(),
            sort: Sort::default(),
            is_reversed: false,
            filter: String::new(),
            is_typing: false,
            selections: BTreeMap::new(),
            overlay: None,
            scroll: 0,
            fit: Fit::default(),
        };
        top.take(report);
        top
    }

    /// Takes what happens.
    pub fn update(&mut self, message: Message) -> Next {
        match message {
            Message::Report(report) => self.take(*report),
            Message::Lost(reason) => {
                self.link = Link::Lost(reason);
                // The next report may be of another daemon, whose clock has nothing to do with that of this one.
                self.before = None;
            }
            Message::Silent(seconds) => {
                // Why it is lost says more.
                if !matches!(self.link, Link::Lost(_)) {
                    self.link = Link::Silent(seconds);
                }
            }
            Message::Key(key) => return self.press(key),
        }
        Next::Stay
    }

    /// Takes what fitted the screen.
    pub fn fit(&mut self, fit: Fit) {
        self.fit = fit;
        self.scroll = self.scroll.min(fit.hidden_lines);
    }

    /// What the daemon does, also during a pause.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// How it is with the daemon, also during a pause.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// What is counted: of now, or of the time of the pause.
    #[must_use]
    pub fn picture(&self) -> &Picture {
        self.paused.as_ref().unwrap_or(&self.live)
    }

    /// Whether the picture stands still.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The pane that is looked at.
    #[must_use]
    pub const fn pane(&self) -> Pane {
        self.pane
    }

    /// By what it is sorted.
    #[must_use]
    pub const fn sort(&self) -> Sort {
        self.sort
    }

    /// Whether what would come first comes last.
    #[must_use]
    pub const fn is_reversed(&self) -> bool {
        self.is_reversed
    }

    /// What listed rows have in their name or note; empty: all are listed.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Whether the filter is being typed.
    #[must_use]
    pub const fn is_typing(&self) -> bool {
        self.is_typing
    }

    /// What lies over the rows.
    #[must_use]
    pub const fn overlay(&self) -> Option<Overlay> {
        self.overlay
    }

    /// Lines of it that are left out at its start.
    #[must_use]
    pub const fn scroll(&self) -> usize {
        self.scroll
    }

    /// Rows of a pane, listed or not.
    #[must_use]
    pub fn count(&self, pane: Pane) -> usize {
        self.picture().rows.of(pane).len()
    }

    /// The rows of the pane that is looked at.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let text = self.filter.to_lowercase();
        let mut rows: Vec<&Row> = self
            .picture()
            .rows
            .of(self.pane)
            .iter()
            .filter(|row| text.is_empty() || row.has(&text))
            .collect();
        rows.sort_by(|left, right| self.sort.compare(left, right));
        if self.is_reversed {
            rows.reverse();
        }
        let selected = rows.len().checked_sub(1).map(|last| {
            let Some(selection) = self.selections.get(&self.pane) else {
                return 0;
            };
            let place = rows.iter().position(|row| row.subject == selection.subject);
            place.unwrap_or(selection.place.min(last))
        });
        View { rows, selected }
    }

    fn take(&mut self, report: Report) {
        let Report {
            status,
            counters,
            senders,
        } = report;
        self.status = status;
        self.link = Link::Live;
        let rates = self
            .before
            .as_ref()
            .and_then(|before| rates::between(before, &counters));
        self.live.rows = Rows::new(&counters, rates.as_ref());
        self.live.senders = match self.status.events {
            Some(_) => senders,
            // Those that were told before another policy was in force.
            None => Senders::default(),
        };
        self.live.rows.set_sources(&self.live.senders.sampled);
        self.live.frames = counters.frames;
        self.live.rate = rates.as_ref().map(|rates| rates.frames);
        if let Some(rates) = &rates {
            let moving = self.live.rows.counted().filter(|row| row.rate() > 0.0);
            let series = moving.map(|row| (row.subject.clone(), row.rate()));
            self.live
                .history
                .push(rates.frames.packets_per_second, series);
        }
        self.before = Some(counters);
    }

    fn press(&mut self, key: Key) -> Next {
        if key == Key::Interrupt {
            return Next::Quit;
        }
        if self.is_typing {
            self.type_filter(key);
            return Next::Stay;
        }
        if self.overlay.is_some() {
            return self.press_over(key);
        }
        match key {
            Key::Char('q') | Key::Escape => return Next::Quit,
            Key::Char('s') => self.sort = self.sort.next(),
            Key::Char('r') => self.is_reversed = !self.is_reversed,
            Key::Char('p') => {
                self.paused = match self.paused {
                    Some(_) => None,
                    None => Some(self.live.clone()),
                }
            }
            Key::Char('/') => self.is_typing = true,
            Key::Char('?') => self.open(Overlay::Help),
            Key::Char('e') | Key::Enter => self.open(Overlay::Explanation),
            Key::Tab => self.pane = self.pane.turned(1),
            Key::BackTab => self.pane = self.pane.turned(Pane::ALL.len() - 1),
            _ => {
                let last = self.view().rows.len().saturating_sub(1);
                if let Some(place) = moved(key, self.view().selected, last, self.fit.rows) {
                    self.select(place);
                }
            }
        }
        Next::Stay
    }

    /// A key while something lies over the rows.
    fn press_over(&mut self, key: Key) -> Next {
        match key {
            Key::Char('q') => return Next::Quit,
            Key::Escape | Key::Enter | Key::Char('e' | '?') => self.overlay = None,
            _ => {
                let last = self.fit.hidden_lines;
                if let Some(line) = moved(key, Some(self.scroll), last, self.fit.rows) {
                    self.scroll = line;
                }
            }
        }
        Next::Stay
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(typed) => self.filter.push(typed),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.is_typing = false,
            Key::Escape => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => {}
        }
        // What is looked for is selected, where the row that was is not among it.
        let is_listed = |selection: &Selection| {
            let mut rows = self.view().rows.into_iter();
            rows.any(|row| row.subject == selection.subject)
        };
        let selection = self.selections.get(&self.pane);
        if selection.is_some_and(|selection| !is_listed(selection)) {
            self.selections.remove(&self.pane);
        }
    }

    fn open(&mut self, overlay: Overlay) {
        self.overlay = Some(overlay);
        self.scroll = 0;
    }

    fn select(&mut self, place: usize) {
        let Some(subject) = self.view().rows.get(place).map(|row| row.subject.clone()) else {
            return;
        };
        self.selections
            .insert(self.pane, Selection { subject, place });
    }
}

/// Where a key leads from a place; `None` if it is no such key, or there is no place.
fn moved(key: Key, from: Option<usize>, last: usize, page: usize) -> Option<usize> {
    let from = from?;
    let page = page.max(1);
    let to = match key {
        Key::Up | Key::Char('k') => from.saturating_sub(1),
        Key::Down | Key::Char('j') => from.saturating_add(1),
        Key::PageUp => from.saturating_sub(page),
        Key::PageDown => from.saturating_add(page),
        Key::Home => 0,
        Key::End => last,
        _ => return None,
    };
    Some(to.min(last))
}
