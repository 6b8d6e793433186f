//! Following the drop events that the daemon tells.

use std::io;

use anyhow::{Context as _, anyhow};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use crate::cli::EventSelection;
use crate::control::{Account, Answer, Event, Request};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;

use super::client::unexpected;

/// How long the daemon may take to begin, or to tell the last account.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where events go.
pub(super) trait Sink {
    /// The daemon is about to tell events.
    ///
    /// # Errors
    ///
    /// When they cannot be taken.
    fn begin(&mut self) -> Outcome {
        Ok(())
    }

    /// Takes one, and says whether more are wanted.
    ///
    /// # Errors
    ///
    /// When it cannot be taken.
    fn take(&mut self, event: &Event) -> Outcome<bool>;
}

/// Takes events as they come, until there were as many as wanted, the time is over, or a signal ends it. What became of them is
/// told in the end.
///
/// # Errors
///
/// [`Failure`] when no daemon answers, the policy has no events, or the daemon stops.
pub(super) fn follow(
    selection: &EventSelection,
    with_bytes: bool,
    sink: &mut impl Sink,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start an event loop")
        .map_err(Failure::system)?;
    runtime.block_on(converse(selection, with_bytes, sink))
}

async fn converse(selection: &EventSelection, with_bytes: bool, sink: &mut impl Sink) -> Outcome {
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut conversation = Conversation::begin(selection, with_bytes).await?;
    sink.begin()?;
    let end = selection.time.map(|time| Instant::now() + time);
    let mut shown = 0;
    let ended = loop {
        if selection.count == Some(shown) {
            break Ended::Enough;
        }
        let answer = tokio::select! {
            _ = interrupt.recv() => break Ended::Wanted,
            _ = terminate.recv() => break Ended::Wanted,
            () = over(end) => break Ended::Wanted,
            answer = conversation.next() => answer,
        };
        match answer {
            Ok(Some(event)) => {
                shown += 1;
                if !sink.take(&event)? {
                    break Ended::Unread;
                }
            }
            Ok(None) => {}
            Err(failure) => {
                output::account(shown, &conversation.account);
                return Err(failure);
            }
        }
    };
    // What was on its way is shown, unless there was enough.
    conversation.close().await?;
    let last = timeout(PATIENCE, async {
        while let Some(event) = conversation.rest().await? {
            if ended == Ended::Wanted {
                shown += 1;
                if !sink.take(&event)? {
                    break;
                }
            }
        }
        Ok(())
    });
    let last = last.await;
    output::account(shown, &conversation.account);
    last.map_err(|_late| Failure::system(anyhow!("the daemon tells no last account")))?
}

/// Why it is over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// There were as many as wanted.
    Enough,
    /// Somebody said so.
    Wanted,
    /// Nobody reads.
    Unread,
}

async fn over(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn handler(kind: SignalKind) -> Outcome<Signal> {
    signal(kind)
        .context("cannot listen for signals")
        .map_err(Failure::system)
}

/// What is said with the daemon.
struct Conversation {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    /// The last one.
    account: Account,
}

impl Conversation {
    async fn begin(selection: &EventSelection, with_bytes: bool) -> Outcome<Self> {
        let socket = &selection.connection.socket;
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| {
                format!(
                    "cannot reach the daemon at `{}`; is `portguard run` running?",
                    socket.display()
                )
            })
            .map_err(Failure::system)?;
        let (read, mut write) = stream.into_split();
        let request = Request::Events {
            rule: selection.rule.clone(),
            port: selection.port,
            from: selection.from.map(|from| from.to_string()),
            bytes: with_bytes,
        };
        let mut line = serde_json::to_vec(&request).map_err(Failure::system)?;
        line.push(b'\n');
        match write.write_all(&line).await {
            // The daemon has closed the connection, and what it sent before says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            sent => sent
                .context("cannot send to the daemon")
                .map_err(Failure::system)?,
        }
        let mut conversation = Self {
            lines: BufReader::new(read).lines(),
            write,
            account: Account::default(),
        };
        // An account comes first.
        match timeout(PATIENCE, conversation.next()).await {
            Ok(Ok(None)) => Ok(conversation),
            Ok(Ok(Some(_))) => Err(unexpected()),
            Ok(Err(failure)) => Err(failure),
            Err(_late) => Err(Failure::system(anyhow!("the daemon does not answer"))),
        }
    }

    /// The next event, or `None` for an account. May be dropped before.
    async fn next(&mut self) -> Outcome<Option<Event>> {
        let Some(line) = self.line().await? else {
            return Err(Failure::system(anyhow!("the daemon closed the connection")));
        };
        self.understand(&line)
    }

    /// Says that there was enough: the daemon sends what waits, and the last account.
    async fn close(&mut self) -> Outcome {
        match self.write.shutdown().await {
            // It was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            closed => closed
                .context("cannot end the conversation with the daemon")
                .map_err(Failure::system),
        }
    }

    /// The next event of those that were on their way; `None` when there are no more.
    async fn rest(&mut self) -> Outcome<Option<Event>> {
        while let Some(line) = self.line().await? {
            if let Some(event) = self.understand(&line)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    async fn line(&mut self) -> Outcome<Option<String>> {
        self.lines
            .next_line()
            .await
            .context("cannot read from the daemon")
            .map_err(Failure::system)
    }

    fn understand(&mut self, line: &str) -> Outcome<Option<Event>> {
        match serde_json::from_str(line) {
            Ok(Answer::Event(event)) => Ok(Some(event)),
            Ok(Answer::Account(account)) => {
                self.account = account;
                Ok(None)
            }
            Ok(Answer::Failed { exit, error }) => Err(Failure {
                exit: Exit::from_number(exit),
                error: anyhow!(error),
            }),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(Failure::system(
                anyhow::Error::new(error).context("the daemon speaks another version"),
            )),
        }
    }
}
