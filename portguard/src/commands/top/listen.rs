//! Listening to drop events, for the list of their senders.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::commands::client::{Client, unexpected};
use crate::control::{Answer, Request, Status};
use crate::exit::{Failure, Outcome};
use crate::observe::sources::{Period, Sources};
use crate::observe::top::Senders;

/// Sources that are listed.
const LISTED: usize = 200;

/// All drop events, without the bytes of their frames, which are for root alone.
const ALL: Request = Request::Events {
    rule: None,
    port: None,
    from: None,
    bytes: false,
};

/// Listens by a thread of its own, which counts at once what it hears: a flood of events takes no room.
pub(super) struct Listener {
    socket: PathBuf,
    heard: Arc<Mutex<Heard>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Heard {
    sources: Sources,
    /// As in [`Senders`].
    missed: u64,
    /// As in [`Senders`].
    trouble: Option<String>,
}

impl Listener {
    /// Nobody listens yet.
    pub(super) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            heard: Arc::default(),
            thread: None,
        }
    }

    /// What was heard up to a report, which is of this time since the one before. Where the policy has events and nobody
    /// listens to them, or not any more, somebody does from now on.
    pub(super) fn senders(&mut self, status: &Status, period: Option<Period>) -> Senders {
        let is_over = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        if status.events.is_some() && is_over {
            let (socket, heard) = (self.socket.clone(), Arc::clone(&self.heard));
            // It ends with the process, or with the daemon.
            self.thread = Some(thread::spawn(move || {
                let failure = listen(&socket, &heard);
                lock(&heard).trouble = Some(failure.to_string());
            }));
        }
        let mut heard = lock(&self.heard);
        if let Some(period) = period {
            heard.sources.close(period);
        }
        Senders {
            sampled: heard.sources.sampled(LISTED),
            missed: heard.missed,
            trouble: heard.trouble.clone(),
        }
    }
}

/// Listens until that is not possible; returns why.
fn listen(socket: &Path, heard: &Mutex<Heard>) -> Failure {
    let listen = || -> Outcome<Infallible> {
        let mut client = Client::ask(socket, &ALL)?;
        loop {
            match client.answer()? {
                Answer::Event(event) => lock(heard).sources.add([event]),
                Answer::Account(account) => {
                    let mut heard = lock(heard);
                    heard.missed = account.lost;
                    heard.trouble = None;
                }
                _ => return Err(unexpected()),
            }
        }
    };
    let Err(failure) = listen();
    failure
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    // Who panics ends the process.
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
