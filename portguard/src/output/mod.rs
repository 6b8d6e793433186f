//! Turning what commands return into text. Nothing else in this crate prints.

mod audit;
mod bans;
mod block;
mod counters;
mod decided;
mod diff;
mod doctor;
mod events;
mod explain;
mod fate;
mod first_steps;
mod import;
mod listen;
mod log;
mod ports;
pub mod problems;
mod replay;
mod rules;
mod stats;
mod status;
mod suggest;
mod text;
pub mod top;

use std::io::{self, Write as _};

use anyhow::Context as _;

use crate::exit::{Failure, Outcome};

pub use audit::audited;
pub use bans::{banned, bans, unbanned};
pub use block::ports_changed;
pub use counters::counters;
pub use diff::difference;
pub use doctor::doctor;
pub use events::{account, event};
pub use explain::explanation;
pub use first_steps::first_steps;
pub use import::differences;
pub use listen::{Listening, Shown, listening};
pub use log::start_log;
pub use ports::{nothing_found, ports};
pub use replay::Replay;
pub use rules::rules;
pub use stats::stats;
pub use status::{detached, reloaded, status};
pub use suggest::{beside_suggestion, suggestion};

/// Prints the failure that ends the program.
pub fn failure(failure: &Failure) {
    let text = failure.to_string();
    // Diagnostics of a policy bring their own heading.
    let heading = if text.starts_with("error") {
        ""
    } else {
        "error: "
    };
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(io::stderr(), "{heading}{text}");
}

/// Prints lines to standard output.
///
/// # Errors
///
/// [`Failure`] when standard output is closed.
pub fn print_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Outcome {
    print(|out| {
        lines
            .into_iter()
            .try_for_each(|line| writeln!(out, "{line}"))
    })
}

fn print(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> Outcome {
    match write_out(write) {
        // `portguard counters --follow | head` has what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => checked(written),
    }
}

/// Prints the last of a command whose exit code says something: it goes on where the reader has left.
fn print_to_the_end(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> Outcome {
    match write_out(write) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => checked(written),
    }
}

fn write_out(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write(&mut out).and_then(|()| out.flush())
}

fn checked(written: io::Result<()>) -> Outcome {
    written
        .context("cannot write to standard output")
        .map_err(Failure::system)
}

fn print_json(value: &impl serde::Serialize) -> Outcome {
    let line = serde_json::to_string(value).map_err(Failure::system)?;
    print_lines([line.as_str()])
}

fn print_json_pretty(value: &impl serde::Serialize) -> Outcome {
    print_lines([json_pretty(value)?.as_str()])
}

fn json_pretty(value: &impl serde::Serialize) -> Outcome<String> {
    serde_json::to_string_pretty(value).map_err(Failure::system)
}
