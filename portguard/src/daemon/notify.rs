//! Telling the service manager (systemd) how we are.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use sd_notify::NotifyState;
use tracing::warn;

/// Messages that may wait for a service manager that is slow to listen; a later status replaces an
/// earlier one anyway.
const BACKLOG: usize = 16;

/// A thread that talks to the service manager. The manager's socket blocks when nobody reads it, which
/// must not hold up the daemon.
pub(super) struct Notifier(SyncSender<Message>);

/// What can be told.
pub(super) enum Message {
    /// The first policy is in force; with a status line.
    Ready(String),
    /// A status line.
    Status(String),
    /// We are about to end.
    Stopping,
}

impl Notifier {
    /// Starts the thread; without a service manager it does nothing.
    pub(super) fn start() -> Self {
        let (sender, receiver) = sync_channel::<Message>(BACKLOG);
        thread::spawn(move || {
            for message in receiver {
                let result = match &message {
                    Message::Ready(status) => {
                        sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
                    }
                    Message::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
                    Message::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
                };
                if let Err(error) = result {
                    warn!("cannot notify the service manager: {error}");
                }
            }
        });
        Self(sender)
    }

    /// Hands a message over without waiting.
    pub(super) fn tell(&self, message: Message) {
        match self.0.try_send(message) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => warn!("the service manager does not listen"),
            Err(TrySendError::Disconnected(_)) => warn!("the service manager cannot be told"),
        }
    }
}
