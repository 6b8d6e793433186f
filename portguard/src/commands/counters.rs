//! `portguard counters`

use crate::cli::Counters;
use crate::control::{Answer, Request};
use crate::exit::Outcome;
use crate::output;

use super::client::{Client, unexpected};

/// Shows what the daemon counted, once or again and again.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers, or it stops while we follow.
pub fn counters(arguments: &Counters) -> Outcome {
    let interval_ms = arguments
        .follow
        .then(|| u64::try_from(arguments.interval.as_millis()).unwrap_or(u64::MAX));
    let mut client = Client::ask(
        &arguments.connection.socket,
        &Request::Counters { interval_ms },
    )?;
    let mut previous = None;
    loop {
        let Answer::Counters(counters) = client.answer()? else {
            return Err(unexpected());
        };
        output::counters(&counters, previous.as_ref(), arguments.format)?;
        if !arguments.follow {
            return Ok(());
        }
        previous = Some(counters);
    }
}
