//! The reports of the daemon, again and again.

use std::convert::Infallible;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::Sender;

use crate::commands::client::Client;
use crate::commands::counters::{counted, once};
use crate::commands::status;
use crate::control::{Counters, Request};
use crate::exit::{Failure, Outcome};
use crate::observe::top::{Message, Report};

use super::Input;

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
    report(socket, once(socket)?)
}

/// Tells reports, and when there are none, until nobody listens.
pub(super) fn follow(socket: &Path, sender: &Sender<Input>) {
    loop {
        let Err(end) = follow_one(socket, sender);
        let End::Lost(failure) = end else { return };
        let lost = Input::Message(Message::Lost(failure.to_string()));
        if sender.blocking_send(lost).is_err() {
            return;
        }
        thread::sleep(RETRY);
    }
}

/// The same as long as this daemon reports.
fn follow_one(socket: &Path, sender: &Sender<Input>) -> Result<Infallible, End> {
    let request = Request::Counters {
        interval_ms: Some(INTERVAL_MS),
    };
    let mut client = Client::ask(socket, &request)?;
    loop {
        let report = report(socket, counted(&mut client)?)?;
        let message = Message::Report(Box::new(report));
        if sender.blocking_send(Input::Message(message)).is_err() {
            return Err(End::Unheard);
        }
    }
}

fn report(socket: &Path, counters: Counters) -> Outcome<Report> {
    Ok(Report {
        status: status::ask(socket)?,
        counters,
    })
}
