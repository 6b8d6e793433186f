//! One daemon for one control socket.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};

/// Takes the lock beside the socket; it is free again when the file is dropped, or the process ends.
pub(super) fn acquire(socket: &Path) -> anyhow::Result<File> {
    if let Some(folder) = socket.parent() {
        make(folder).with_context(|| format!("cannot create folder `{}`", folder.display()))?;
    }
    let path = socket.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        // Whoever may read it may lock it, and keep the daemon from starting.
        .mode(0o600)
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

/// Makes the folder of the socket, which others pass through, whatever the umask is.
fn make(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}
