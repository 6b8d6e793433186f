//! What happens to the view: reports, keys, and that there are no reports.

use crate::control::{Counters, Status};
use crate::observe::sources::Sampled;

/// What happens.
#[derive(Clone, Debug)]
pub enum Message {
    /// The daemon reports.
    Report(Box<Report>),
    /// The daemon is gone, or refuses, with the reason.
    Lost(String),
    /// No report has come for so many seconds.
    Silent(u64),
    /// A key is pressed.
    Key(Key),
}

/// What the daemon does and has counted.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it does.
    pub status: Status,
    /// What it has counted.
    pub counters: Counters,
    /// Who sends what is dropped, as far as this view was told.
    pub senders: Senders,
}

/// What was heard of drop events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Senders {
    /// Of the last samples.
    pub sampled: Sampled,
    /// Events that came too fast for this view, since it listens.
    pub missed: u64,
    /// Why nothing is heard.
    pub trouble: Option<String>,
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first row.
    Home,
    /// To the last row.
    End,
    /// The next pane.
    Tab,
    /// The pane before.
    BackTab,
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Takes the last character back.
    Backspace,
    /// Ctrl-C.
    Interrupt,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Stay,
    /// The user has seen enough.
    Quit,
}
