//! What the terminal can show.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};

use anyhow::anyhow;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::bar::{NINE_LEVELS, Set};

use crate::exit::{Failure, Outcome};

/// What to do where there is no terminal to draw on.
const INSTEAD: &str = "`portguard counters --follow` prints the same numbers as lines";

/// A graph in ASCII, for terminals that are not said to know UTF-8.
const ASCII_LEVELS: Set<'static> = Set {
    full: "#",
    seven_eighths: "%",
    three_quarters: "*",
    five_eighths: "+",
    half: "=",
    three_eighths: "-",
    one_quarter: ":",
    one_eighth: ".",
    empty: " ",
};

/// How to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    has_colour: bool,
    is_utf8: bool,
}

impl Look {
    /// For the terminal on standard output, by the environment of this process.
    ///
    /// # Errors
    ///
    /// [`Failure`] when there is none, or its cursor cannot be moved.
    pub fn of_terminal(no_colour: bool) -> Outcome<Self> {
        if !io::stdout().is_terminal() {
            return Err(Failure::usage(anyhow!(
                "standard output is no terminal; {INSTEAD}"
            )));
        }
        Self::new(no_colour, |name| std::env::var_os(name))
    }

    /// By a user's wish and an environment.
    pub(super) fn new(
        no_colour: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Outcome<Self> {
        let value = |name| {
            let value = variable(name).filter(|value| !value.is_empty());
            value.map(|value| value.to_string_lossy().into_owned())
        };
        let terminal = value("TERM");
        if terminal.as_deref().is_none_or(|name| name == "dumb") {
            let terminal = terminal.unwrap_or_default();
            return Err(Failure::usage(anyhow!(
                "this terminal cannot move its cursor (`TERM={terminal}`); {INSTEAD}"
            )));
        }
        // The first of these that is set decides about characters (POSIX, XBD 8.2).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
        let is_utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Ok(Self {
            has_colour: !no_colour && value("NO_COLOR").is_none(),
            is_utf8,
        })
    }

    /// The characters of a graph.
    pub(super) const fn levels(&self) -> Set<'static> {
        if self.is_utf8 {
            NINE_LEVELS
        } else {
            ASCII_LEVELS
        }
    }

    /// What stands for what is left out.
    pub(super) const fn dots(&self) -> &'static str {
        if self.is_utf8 { "…" } else { "~" }
    }

    /// Something is wrong.
    pub(super) fn alarm(&self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Something needs attention.
    pub(super) fn attention(&self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// What the action of a rule looks like.
    pub(super) fn action(&self, action: &str) -> Style {
        match action {
            "drop" | "reject" => self.coloured(Color::Red),
            "limit" => self.coloured(Color::Yellow),
            "pass" => self.coloured(Color::Green),
            _ => Style::new(),
        }
    }

    /// A graph.
    pub(super) fn graph(&self) -> Style {
        self.coloured(Color::Cyan)
    }

    fn coloured(&self, colour: Color) -> Style {
        if self.has_colour {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}
