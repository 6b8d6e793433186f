//! `portguard detach`

use crate::cli::Detach;
use crate::dataplane::State;
use crate::exit::{Failure, Outcome};
use crate::output;

/// Takes the filter off all interfaces, and removes all that is pinned.
///
/// # Errors
///
/// [`Failure`] when a daemon runs, or the system refuses.
pub fn detach(arguments: &Detach) -> Outcome {
    let state = State::open(&arguments.pins).map_err(Failure::system)?;
    let links = state.links().map_err(Failure::system)?;
    for link in &links {
        state.take_off(link.ifindex).map_err(Failure::system)?;
    }
    state.remove().map_err(Failure::system)?;
    output::detached(links.iter().filter(|link| !link.is_dead).count())
}
