//! One daemon for one control socket.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};

/// Takes the lock beside the socket; it is free again when the file is dropped, or the process ends.
pub(super) fn acquire(socket: &Path) -> anyhow::Result<File> {
    if let Some(folder) = socket.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create folder `{}`", folder.display()))?;
    }
    let path = socket.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("cannot open lock `{}`", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => bail!(
            "another portguard daemon runs with control socket `{}`; stop it first, or give this one another `--socket`",
            socket.display()
        ),
        Err(error) => Err(error).with_context(|| format!("cannot take lock `{}`", path.display())),
    }
}
