//! Talking to the running daemon.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::control::{Answer, Request};
use crate::exit::{Exit, Failure, Outcome};

/// How long an answer may take; a reload of the largest policy takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A conversation with the daemon: one request, one or more answers.
pub(super) struct Client(BufReader<UnixStream>);

impl Client {
    /// Connects and asks.
    pub(super) fn ask(socket: &Path, request: &Request) -> Outcome<Self> {
        let mut stream = UnixStream::connect(socket)
            .with_context(|| {
                format!(
                    "cannot reach the daemon at `{}`; is `portguard run` running?",
                    socket.display()
                )
            })
            .map_err(Failure::system)?;
        let patience = match request {
            Request::Counters {
                interval_ms: Some(interval_ms),
            } => Some(PATIENCE + Duration::from_millis(*interval_ms)),
            // There may be nothing to tell for days.
            Request::Events { .. } => None,
            _ => Some(PATIENCE),
        };
        stream.set_read_timeout(patience).map_err(Failure::system)?;
        let mut line = serde_json::to_vec(request).map_err(Failure::system)?;
        line.push(b'\n');
        match stream.write_all(&line) {
            // The daemon has closed the connection, and what it sent before says why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            sent => sent
                .context("cannot send to the daemon")
                .map_err(Failure::system)?,
        }
        Ok(Self(BufReader::new(stream)))
    }

    /// The next answer. The daemon's refusal is this program's failure, with the same exit code.
    pub(super) fn answer(&mut self) -> Outcome<Answer> {
        let mut line = String::new();
        self.0
            .read_line(&mut line)
            .context("cannot read from the daemon")
            .map_err(Failure::system)?;
        if line.is_empty() {
            return Err(Failure::system(anyhow!("the daemon closed the connection")));
        }
        match serde_json::from_str(&line) {
            Ok(Answer::Failed { exit, error }) => Err(Failure {
                exit: Exit::from_number(exit),
                error: anyhow!(error),
            }),
            Ok(answer) => Ok(answer),
            Err(error) => Err(Failure::system(
                anyhow::Error::new(error).context("the daemon speaks another version"),
            )),
        }
    }
}

/// The failure for an answer of another kind than the request's.
pub(super) fn unexpected() -> Failure {
    Failure::system(anyhow!("the daemon gave the answer to another question"))
}
