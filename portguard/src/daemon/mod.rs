//! The daemon: attaches a policy, follows the interfaces, answers on the control socket.

mod accounts;
mod diagnosis;
mod events;
mod found;
mod guard;
mod keeping;
mod last_good;
mod lock;
mod matching;
mod notify;
mod replies;
mod server;
mod state_folder;
mod tags;
mod totals;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use portguard_policy::InterfacePattern;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::control::{Answer, Reloaded, Request};
use crate::exit::{Exit, Failure, Outcome};
use crate::policy_file::PolicyFile;

use self::diagnosis::Diagnosis;
pub(crate) use self::found::{SINGLE_BUFFER_MTU, names};
use self::guard::{Guard, How};
use self::notify::{Heartbeat, Message, Notifier};
use self::server::{Call, Server};
pub use self::state_folder::StateFolder;

/// What the daemon is told when it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Policy file.
    pub policy: PathBuf,
    /// Interfaces from the command line; they replace those of the policy.
    pub interfaces: Vec<InterfacePattern>,
    /// Folder in a BPF file system for what outlives a reload.
    pub pins: PathBuf,
    /// Folder for what outlives a restart of the host.
    pub state: StateFolder,
    /// Control socket.
    pub socket: PathBuf,
}

/// Runs until SIGTERM or SIGINT, then detaches.
///
/// # Errors
///
/// [`Failure`] when the daemon cannot start; nothing is attached then.
pub fn run(options: Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
        .map_err(Failure::system)?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Outcome {
    // Signals first: one that comes while we start must not kill us half-way.
    let mut hangup = handler(SignalKind::hangup())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut interrupt = handler(SignalKind::interrupt())?;

    let _lock = lock::acquire(&options.socket).map_err(Failure::system)?;
    // Before anything is attached, so that no interface that appears meanwhile is missed.
    let mut events = events::Events::subscribe().map_err(Failure::system)?;
    // Before as well: what cannot be asked for anything must not filter.
    let (calls, mut called) = mpsc::channel(16);
    let server = Server::bind(&options.socket, calls).map_err(Failure::system)?;
    let mut diagnosis = Diagnosis::new(&options);
    let mut guard = match Guard::start(&options) {
        Ok(guard) => guard,
        Err(failure) => {
            server::remove(&options.socket);
            return Err(diagnosis.explain(failure));
        }
    };
    diagnosis.follow(&guard);
    let server = tokio::spawn(server.accept());
    let notifier = Notifier::start();
    notifier.tell(Message::Ready(guard.summary()));
    let mut heartbeat = Heartbeat::new();
    info!("{}", guard.summary());

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = heartbeat.tick() => notifier.tell(Message::Alive),
            _ = hangup.recv() => {
                changed("reload", guard.reload(), &diagnosis);
                diagnosis.follow(&guard);
                notifier.tell(Message::Status(guard.summary()));
            }
            () = guard.trial_is_over() => {
                guard.end_trial();
                notifier.tell(Message::Status(guard.summary()));
            }
            Some(call) = called.recv() => {
                answer(&mut guard, call, &notifier, &diagnosis);
                diagnosis.follow(&guard);
            }
            result = events.changed() => {
                if let Err(error) = result {
                    warn!("cannot follow the interfaces: {error}");
                }
                guard.follow_interfaces();
                diagnosis.follow(&guard);
                notifier.tell(Message::Status(guard.summary()));
            }
        }
    }

    info!("stopping: {}", guard.summary());
    notifier.tell(Message::Stopping);
    server.abort();
    guard.stop();
    server::remove(&options.socket);
    Ok(())
}

fn handler(kind: SignalKind) -> Outcome<tokio::signal::unix::Signal> {
    signal(kind)
        .context("cannot listen for signals")
        .map_err(Failure::system)
}

fn answer(guard: &mut Guard, call: Call, notifier: &Notifier, diagnosis: &Diagnosis) {
    let answer = match call.request {
        Request::Status {} => Answer::Status(guard.status()),
        Request::Counters { .. } => match guard.counters() {
            Ok(counters) => Answer::Counters(counters),
            Err(error) => Answer::Failed {
                exit: Exit::System as u8,
                error: error.to_string(),
            },
        },
        Request::Reload {} => changed("reload", guard.reload(), diagnosis),
        Request::Apply {
            name,
            text,
            confirm_s,
        } => {
            let how = How {
                trial: confirm_s.map(Duration::from_secs),
            };
            let file = PolicyFile { path: name, text };
            changed("apply", guard.apply(file, how), diagnosis)
        }
        Request::Confirm {} => changed("confirm", guard.confirm(), diagnosis),
        Request::Revert {} => changed("revert", guard.revert(), diagnosis),
    };
    notifier.tell(Message::Status(guard.summary()));
    // Whoever asked may have gone away meanwhile.
    let _gone = call.reply.send(answer);
}

/// Says how a change went, and answers.
fn changed(verb: &str, result: Outcome<Reloaded>, diagnosis: &Diagnosis) -> Answer {
    match result.map_err(|failure| diagnosis.explain(failure)) {
        Ok(reloaded) => {
            for warning in &reloaded.warnings {
                warn!("{warning}");
            }
            let number = reloaded.generation;
            match (reloaded.changed, reloaded.trial_s) {
                (false, _) => info!("{verb}: the policy is unchanged"),
                (true, None) => info!("{verb}: policy {number} is in force"),
                (true, Some(seconds)) => {
                    info!("{verb}: policy {number} is on trial for {seconds} s");
                }
            }
            Answer::Reloaded(reloaded)
        }
        Err(failure) => {
            error!("{verb}: refused\n{failure}");
            Answer::Failed {
                exit: failure.exit as u8,
                error: failure.to_string(),
            }
        }
    }
}

/// Seconds since 1970.
fn unix_time() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
