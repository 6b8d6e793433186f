//! The daemon: attaches a policy, follows the interfaces, answers on the control socket.

mod accounts;
mod bans;
mod blocked;
mod calls;
mod controller;
mod diagnosis;
mod events;
mod exporter;
mod found;
mod guard;
mod keeping;
mod last_good;
mod latest;
mod lock;
mod lockout;
mod matching;
mod notify;
mod replies;
mod server;
mod state_folder;
mod tags;
mod tell;
mod totals;
mod watch;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use portguard_policy::InterfacePattern;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use crate::exit::{Failure, Outcome};

use self::calls::Calls;
use self::controller::Controller;
pub(crate) use self::found::{SINGLE_BUFFER_MTU, names};
use self::notify::Heartbeat;
use self::server::Server;
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
    /// Whether a change of the policy file takes effect without a reload being asked for.
    pub watch: bool,
    /// Number of the group whose members may ask for status and counters.
    pub group: Option<u32>,
    /// Room for so many bans.
    pub max_bans: u32,
    /// From which level on the programs in the kernel say what they think; without it, they know no words.
    pub kernel_log: Option<log::Level>,
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
    let (calls, mut called) = Calls::new();
    let server =
        Server::bind(&options.socket, options.group, calls.clone()).map_err(Failure::system)?;
    let mut controller = match Controller::start(&options, calls) {
        Ok(controller) => controller,
        Err(failure) => {
            server::remove(&options.socket);
            return Err(failure);
        }
    };
    let server = tokio::spawn(server.accept());
    let mut heartbeat = Heartbeat::new();
    controller.say_ready();

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = heartbeat.tick() => controller.say_alive(),
            _ = hangup.recv() => controller.hang_up(),
            () = controller.guard.trial_is_over() => controller.end_trial(),
            () = controller.bans_are_due() => controller.step_bans(),
            () = controller.ports_are_due() => controller.end_ports(),
            () = controller.exporter.is_due() => controller.retry_exporter(),
            () = controller.guard.teller.due() => controller.guard.step_events(),
            Some(call) = called.recv() => controller.answer(call),
            // A trial refuses every other change; what changes meanwhile is looked at after it.
            () = watch::changed(&mut controller.watch), if !controller.guard.is_on_trial() => controller.follow_files(),
            result = events.changed() => {
                if let Err(error) = result {
                    warn!("cannot follow the interfaces: {error}");
                }
                controller.follow_interfaces();
            }
        }
    }

    controller.say_stopping();
    server.abort();
    controller.guard.stop();
    server::remove(&options.socket);
    Ok(())
}

fn handler(kind: SignalKind) -> Outcome<tokio::signal::unix::Signal> {
    signal(kind)
        .context("cannot listen for signals")
        .map_err(Failure::system)
}

/// Seconds since 1970.
fn unix_time() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
