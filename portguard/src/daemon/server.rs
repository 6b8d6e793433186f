//! The control socket: accepts connections, reads one request from each, writes the answers.

mod peers;
mod stream;
mod subscription;

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::Mode;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::warn;

use crate::control::{Answer, Request};
use crate::exit::Exit;

use self::peers::{Peer, Places};
use super::calls::Calls;

/// How long a client may take to send its request, or to take an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to accept no connection after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// The listening socket.
pub(super) struct Server {
    listener: UnixListener,
    calls: Calls,
    places: Places,
}

impl Server {
    /// Listens at `path`, for root, and for the members of `group` where there is one. The caller holds the lock, so
    /// a socket that is there already is left over.
    pub(super) fn bind(path: &Path, group: Option<u32>, calls: Calls) -> anyhow::Result<Self> {
        refuse_what_is_no_socket(path)?;
        remove(path);
        // For root alone from its first moment on.
        let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(path);
        rustix::process::umask(umask);
        let listener =
            listener.with_context(|| format!("cannot listen at `{}`", path.display()))?;
        if let Some(group) = group {
            open_to(path, group).inspect_err(|_error| remove(path))?;
        }
        Ok(Self {
            listener,
            calls,
            places: Places::default(),
        })
    }

    /// Serves until it is aborted.
    pub(super) async fn accept(mut self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _address)) => self.serve(stream).await,
                Err(error) => {
                    warn!("cannot accept a control connection: {error}");
                    // Out of descriptors, for instance: trying again at once would spin.
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Begins to serve a connection.
    async fn serve(&mut self, mut stream: UnixStream) {
        let peer = match stream.peer_cred() {
            Ok(credentials) => Peer::of(credentials.uid()),
            Err(error) => return warn!("cannot tell who is at a control connection: {error}"),
        };
        let calls = self.calls.clone();
        // A client that hangs up or is too slow loses its connection and nothing else.
        match peer {
            Peer::Root => {
                let places = Arc::clone(&self.places.root);
                tokio::spawn(async move {
                    let Ok(Ok(_place)) = timeout(PATIENCE, places.acquire_owned()).await else {
                        let _result = send(&mut stream, &no_place()).await;
                        return;
                    };
                    let _result = converse(stream, peer, calls).await;
                });
            }
            Peer::User(user) => {
                let Some(place) = self.places.of_user(user) else {
                    // Never waits: it is the first that is sent here.
                    let _result = send(&mut stream, &no_place()).await;
                    return;
                };
                tokio::spawn(async move {
                    let _result = converse(stream, peer, calls).await;
                    drop(place);
                });
            }
        }
    }
}

/// Lets the members of a group connect.
fn open_to(path: &Path, group: u32) -> anyhow::Result<()> {
    let owner = fs::metadata(path).map(|metadata| metadata.gid());
    if !matches!(owner, Ok(owner) if owner == group) {
        chown(path, None, Some(group)).with_context(|| {
            format!(
                "cannot give `{}` to group {group}; it takes CAP_CHOWN, or `Group={group}` in the systemd unit",
                path.display()
            )
        })?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot open `{}` to group {group}", path.display()))?;
    for folder in closed_folders(path, group) {
        warn!(
            "group {group} cannot reach the control socket: folder `{}` is closed to it",
            folder.display()
        );
    }
    Ok(())
}

/// The folders on the way to the socket through which members of a group may not pass.
fn closed_folders(socket: &Path, group: u32) -> impl Iterator<Item = &Path> {
    socket.ancestors().skip(1).filter(move |folder| {
        fs::metadata(folder).is_ok_and(|metadata| {
            let way = if metadata.gid() == group {
                0o010
            } else {
                0o001
            };
            metadata.mode() & way == 0
        })
    })
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

async fn converse(stream: UnixStream, peer: Peer, calls: Calls) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read.take(peer.most()));
    let mut line = Vec::new();
    let Ok(read) = timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await else {
        let error = format!("no whole request came within {} s", PATIENCE.as_secs());
        return send(&mut write, &refused(error)).await;
    };
    read?;
    let request = match parse(&line, peer) {
        Ok(request) => request,
        Err(error) => return send(&mut write, &refused(error)).await,
    };
    if let Some(reason) = request.for_root_alone()
        && peer != Peer::Root
    {
        return send(&mut write, &for_root_alone(reason)).await;
    }
    drop(line);
    match request {
        Request::Events {
            rule,
            port,
            from,
            bytes,
        } => {
            let filter = stream::filter(rule, port, from.as_deref());
            stream::events(filter, bytes, reader, write, &calls).await
        }
        Request::Counters { interval_ms } => {
            let interval = interval_ms.map(Duration::from_millis);
            subscription::serve(interval, reader, write, &calls).await
        }
        _ => send(&mut write, &calls.ask(request).await).await,
    }
}

fn parse(line: &[u8], peer: Peer) -> Result<Request, String> {
    if line.last() != Some(&b'\n') {
        let most = peer.most();
        return Err(format!("a request is one line of at most {most} bytes"));
    }
    serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))
}

fn for_root_alone(reason: &str) -> Answer {
    Answer::Failed {
        exit: Exit::System as u8,
        error: format!("only root may ask for this: {reason}"),
    }
}

fn no_place() -> Answer {
    Answer::Failed {
        exit: Exit::System as u8,
        error: "too many control connections are open; close some, or ask again later".into(),
    }
}

fn refused(error: String) -> Answer {
    Answer::Failed {
        exit: Exit::Refused as u8,
        error,
    }
}

async fn send(write: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    send_line(write, &line).await
}

async fn send_line(write: &mut (impl AsyncWrite + Unpin), line: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, write.write_all(line)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_closed_to_a_group_by_the_bit_that_is_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let own = fs::metadata(&inner).unwrap().gid();
        let other = own + 1;
        for (mode, group, is_closed) in [
            (0o755, own, false),
            (0o755, other, false),
            (0o710, own, false),
            (0o710, other, true),
            (0o701, own, true),
            (0o701, other, false),
            (0o700, own, true),
            (0o700, other, true),
        ] {
            fs::set_permissions(&inner, fs::Permissions::from_mode(mode)).unwrap();
            let socket = inner.join("control.sock");
            let closed: Vec<&Path> = closed_folders(&socket, group).collect();
            assert_eq!(closed.contains(&&*inner), is_closed, "{mode:o} {group}");
        }
    }
}
