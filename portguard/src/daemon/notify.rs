//! Telling the service manager (systemd) how we are.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::warn;

/// Messages that may wait for a service manager that is slow to listen; a later status replaces an
/// earlier one anyway.
const BACKLOG: usize = 16;

/// Signs of life in an interval of the watchdog. It wants one in each; one in each half is what sd_watchdog_enabled(3)
/// asks for, so a quarter of the interval is left to whatever holds up the control loop without harm to that.
const BEATS: u32 = 4;

/// Tells the control loop when it is time for a sign of life. The loop itself gives it, so that one that is stuck gives
/// none, whatever other threads do.
pub(super) struct Heartbeat(Option<Interval>);

impl Heartbeat {
    /// Beats as often as the service manager asks for; never, if it has no watchdog.
    pub(super) fn new() -> Self {
        // An interval of 0 switches the watchdog off.
        let period = sd_notify::watchdog_enabled()
            .map(|timeout| timeout / BEATS)
            .filter(|period| !period.is_zero());
        Self(period.map(|period| {
            let mut interval = tokio::time::interval(period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Waits for the next beat.
    pub(super) async fn tick(&mut self) {
        match &mut self.0 {
            Some(interval) => {
                interval.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// A thread that talks to the service manager. The manager's socket blocks when nobody reads it, which
/// must not hold up the daemon.
pub(super) struct Notifier(SyncSender<Message>);

/// What can be told.
pub(super) enum Message {
    /// The first policy is in force; with a status line.
    Ready(String),
    /// A status line.
    Status(String),
    /// The control loop turns: what the watchdog waits for.
    Alive,
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
                    Message::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
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
