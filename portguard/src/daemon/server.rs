//! The control socket: accepts connections, reads one request from each, writes the answers.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::control::{Answer, MAX_REQUEST_BYTES, Request};
use crate::exit::Exit;

/// Connections served at once; a further one waits.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send its request, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shortest time between two answers of a subscription.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A request on its way to the guard.
pub(super) struct Call {
    /// What is asked.
    pub(super) request: Request,
    /// Where the answer goes.
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The listening socket.
pub(super) struct Server {
    listener: UnixListener,
    calls: mpsc::Sender<Call>,
    places: Arc<Semaphore>,
}

impl Server {
    /// Listens at `path`, for root alone. The caller holds the lock, so a socket that is there already
    /// is left over.
    pub(super) fn bind(path: &Path, calls: mpsc::Sender<Call>) -> anyhow::Result<Self> {
        refuse_what_is_no_socket(path)?;
        remove(path);
        let listener = UnixListener::bind(path)
            .with_context(|| format!("cannot listen at `{}`", path.display()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect `{}`", path.display()))?;
        Ok(Self {
            listener,
            calls,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        })
    }

    /// Serves until it is aborted.
    pub(super) async fn accept(self) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _peer)) => {
                    let calls = self.calls.clone();
                    tokio::spawn(async move {
                        // A client that hangs up or is too slow loses its connection and nothing else.
                        let _result = converse(stream, calls).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!("cannot accept a control connection: {error}");
                    // Out of descriptors, for instance: trying again at once would spin.
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }
}

/// A file that is no socket is somebody's, named by mistake.
fn refuse_what_is_no_socket(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => bail!(
            "`{}` exists and is no socket; name another place with `--socket`",
            path.display()
        ),
        _ => Ok(()),
    }
}

/// Removes a socket file.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!("cannot remove `{}`: {error}", path.display()),
    }
}

async fn converse(stream: UnixStream, calls: mpsc::Sender<Call>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read.take(MAX_REQUEST_BYTES));
    let mut line = Vec::new();
    timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await??;
    let request = match parse(&line) {
        Ok(request) => request,
        Err(error) => return send(&mut write, &refused(error)).await,
    };
    let interval = match request {
        Request::Counters {
            interval_ms: Some(interval_ms),
        } => Duration::from_millis(interval_ms).max(MIN_INTERVAL),
        _ => return send(&mut write, &ask(&calls, request).await).await,
    };
    let mut due = Instant::now();
    loop {
        send(&mut write, &ask(&calls, request.clone()).await).await?;
        due += interval;
        // A client that is gone gives its place back at once; one that goes on talking is ignored.
        let mut rest = [0; 256];
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(due) => break,
                read = reader.read(&mut rest) => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Request, String> {
    if line.last() != Some(&b'\n') {
        return Err(format!(
            "a request is one line of at most {MAX_REQUEST_BYTES} bytes"
        ));
    }
    serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))
}

fn refused(error: String) -> Answer {
    Answer::Failed {
        exit: Exit::Refused as u8,
        error,
    }
}

async fn ask(calls: &mpsc::Sender<Call>, request: Request) -> Answer {
    let (reply, answer) = oneshot::channel();
    let stopping = || Answer::Failed {
        exit: Exit::System as u8,
        error: "the daemon is stopping".into(),
    };
    if calls.send(Call { request, reply }).await.is_err() {
        return stopping();
    }
    answer.await.unwrap_or_else(|_stopped| stopping())
}

async fn send(write: &mut (impl tokio::io::AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    timeout(PATIENCE, write.write_all(&line)).await?
}
