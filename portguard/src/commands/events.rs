//! `portguard events`

use crate::cli::{Events, Format};
use crate::control::Event;
use crate::exit::Outcome;
use crate::output;

use super::event_stream::{Sink, follow};

/// Shows drop events as they come, until there were as many as wanted, the time is over, or a signal ends it.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers, the policy has no events, or the daemon stops.
pub fn events(arguments: &Events) -> Outcome {
    let mut screen = Screen(arguments.format);
    follow(&arguments.selection, arguments.bytes, &mut screen)
}

struct Screen(Format);

impl Sink for Screen {
    fn take(&mut self, event: &Event) -> Outcome<bool> {
        output::event(event, self.0)
    }
}
