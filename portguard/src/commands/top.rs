//! `portguard top`

mod follow;
mod keys;
mod listen;

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::cli;
use crate::exit::{Failure, Outcome};
use crate::observe::top::{Fit, Message, Next, Top};
use crate::output::top::{Look, Screen, draw};

/// Time after which it is said that no report has come, and between two times that it is said.
const SILENCE: Duration = Duration::from_secs(3);

/// Messages that wait while the terminal is slow. Where this is full the daemon is not read, and it leaves reports out.
const WAITING: usize = 64;

/// What the threads that wait for the daemon and for keys tell the loop.
enum Input {
    /// Something that changes the view.
    Message(Message),
    /// The terminal has another size.
    Resized,
    /// There will be no keys any more.
    NoKeys(std::io::Error),
}

/// Shows what the daemon does and counts until the user, or a signal, ends it.
///
/// # Errors
///
/// [`Failure`] when there is no terminal, or no daemon to begin with.
pub fn top(arguments: &cli::Top) -> Outcome {
    let look = Look::of_terminal(arguments.no_colour)?;
    let socket = arguments.connection.socket.clone();
    // Before the terminal is taken: who has no daemon is told so as by every other command.
    let top = Top::new(follow::first(&socket)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")
        .map_err(Failure::system)?;
    runtime.block_on(async {
        // Signals first: one that comes while the terminal is taken must not leave it so.
        let signals = Signals::listen()?;
        let screen = Screen::open()?;
        let (sender, inputs) = mpsc::channel(WAITING);
        let keys = sender.clone();
        // Both end with the process, wherever they wait then.
        thread::spawn(move || keys::read(&keys));
        thread::spawn(move || follow::follow(&socket, &sender));
        show(top, screen, &look, inputs, signals).await
    })
}

/// Draws once for what has come, and waits for more.
async fn show(
    mut top: Top,
    mut screen: Screen,
    look: &Look,
    mut inputs: mpsc::Receiver<Input>,
    mut signals: Signals,
) -> Outcome {
    let mut waiting = Vec::new();
    let mut reported = Instant::now();
    let mut silence = reported + SILENCE;
    loop {
        let mut fit = Fit::default();
        screen.draw(|frame| fit = draw(frame, &top, look))?;
        top.fit(fit);
        tokio::select! {
            biased;
            () = signals.received() => return Ok(()),
            received = inputs.recv_many(&mut waiting, WAITING) => if received == 0 {
                return Err(Failure::system(anyhow!("nobody reads keys or reports any more")));
            },
            () = sleep_until(silence) => {
                let seconds = reported.elapsed().as_secs();
                waiting.push(Input::Message(Message::Silent(seconds)));
                silence += SILENCE;
            }
        }
        for input in waiting.drain(..) {
            let message = match input {
                Input::Message(message) => message,
                Input::Resized => continue,
                Input::NoKeys(error) => {
                    let error = anyhow::Error::new(error).context("cannot read keys");
                    return Err(Failure::system(error));
                }
            };
            if matches!(message, Message::Report(_)) {
                reported = Instant::now();
                silence = reported + SILENCE;
            }
            if top.update(message) == Next::Quit {
                return Ok(());
            }
        }
    }
}

/// The signals that end the view.
struct Signals([tokio::signal::unix::Signal; 4]);

impl Signals {
    fn listen() -> Outcome<Self> {
        let listen = |kind| {
            signal(kind)
                .context("cannot listen for signals")
                .map_err(Failure::system)
        };
        Ok(Self([
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::quit())?,
        ]))
    }

    async fn received(&mut self) {
        let [terminate, hangup, interrupt, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    }
}
