//! `portguard counters`

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::cli;
use crate::control::{Answer, Counters, Request};
use crate::exit::Outcome;
use crate::observe::rates;
use crate::output;

use super::client::{Client, unexpected};

/// Time between two reports when following, unless another is asked for.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows what the daemon counted, once or again and again.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers, or it stops while we follow.
pub fn counters(arguments: &cli::Counters) -> Outcome {
    let socket = &arguments.connection.socket;
    let print = |before: Option<&Counters>, now: &Counters| {
        let rates = before.and_then(|before| rates::between(before, now));
        output::counters(now, rates, arguments)
    };
    match (arguments.follow, arguments.interval) {
        (true, interval) => follow(socket, interval.unwrap_or(INTERVAL), print),
        (false, None) => print(None, &once(socket)?),
        (false, Some(interval)) => {
            let before = once(socket)?;
            thread::sleep(interval);
            print(Some(&before), &once(socket)?)
        }
    }
}

/// One report.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers.
pub(super) fn once(socket: &Path) -> Outcome<Counters> {
    counted(&mut Client::ask(
        socket,
        &Request::Counters { interval_ms: None },
    )?)
}

fn follow(
    socket: &Path,
    interval: Duration,
    print: impl Fn(Option<&Counters>, &Counters) -> Outcome,
) -> Outcome {
    let interval_ms = Some(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX));
    let mut client = Client::ask(socket, &Request::Counters { interval_ms })?;
    let mut before = None;
    loop {
        let now = counted(&mut client)?;
        print(before.as_ref(), &now)?;
        before = Some(now);
    }
}

/// The next report.
///
/// # Errors
///
/// [`crate::exit::Failure`] when the daemon is gone, or refuses.
pub(super) fn counted(client: &mut Client) -> Outcome<Counters> {
    match client.answer()? {
        Answer::Counters(counters) => Ok(counters),
        _ => Err(unexpected()),
    }
}
