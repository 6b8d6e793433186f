//! The reports of the daemon, again and again.

use std::convert::Infallible;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::Sender;

use crate::commands::client::Client;
use crate::commands::counters::{counted, once};
use crate::commands::status;
use crate::control::{EventAccount, Request};
use crate::exit::{Failure, Outcome};
use crate::observe::sources::Period;
use crate::observe::top::{Message, Report, Senders};

use super::Input;
use super::listen::Listener;

/// Milliseconds between two reports.
const INTERVAL_MS: u64 = 1000;

/// Time after which a daemon that is gone is looked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Why following ended.
enum End {
    /// The daemon is gone, or refuses.
    Lost(Failure),
    /// Nobody listens.
    Unheard,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Lost(failure)
    }
}

/// One report.
///
/// # Errors
///
/// [`Failure`] when no daemon answers.
pub(super) fn first(socket: &Path) -> Outcome<Report> {
    Ok(Report {
        status: status::ask(socket)?,
        counters: once(socket)?,
        // From now on they are listened to.
        senders: Senders::default(),
    })
}

/// Tells reports, and when there are none, until nobody listens.
pub(super) fn follow(socket: &Path, sender: &Sender<Input>) {
    let mut listener = Listener::new(socket);
    loop {
        let Err(end) = follow_one(socket, &mut listener, sender);
        let End::Lost(failure) = end else { return };
        let lost = Input::Message(Message::Lost(failure.to_string()));
        if sender.blocking_send(lost).is_err() {
            return;
        }
        thread::sleep(RETRY);
    }
}

/// The same as long as this daemon reports.
fn follow_one(
    socket: &Path,
    listener: &mut Listener,
    sender: &Sender<Input>,
) -> Result<Infallible, End> {
    let request = Request::Counters {
        interval_ms: Some(INTERVAL_MS),
    };
    let mut client = Client::ask(socket, &request)?;
    let mut before = None;
    loop {
        let counters = counted(&mut client)?;
        let status = status::ask(socket)?;
        let period = before.map(|(uptime_s, events): (f64, EventAccount)| {
            Period::between(&events, &counters.events, counters.uptime_s - uptime_s)
        });
        before = Some((counters.uptime_s, counters.events));
        let senders = listener.senders(&status, period);
        let message = Message::Report(Box::new(Report {
            status,
            counters,
            senders,
        }));
        if sender.blocking_send(Input::Message(message)).is_err() {
            return Err(End::Unheard);
        }
    }
}
