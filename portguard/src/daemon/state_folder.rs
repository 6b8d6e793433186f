//! The folder for what outlives a restart of the host, by default `/var/lib/portguard`.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Files that are written whole or not at all.
#[derive(Clone, Debug)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder at `path`, which is made when the first file is written.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where a file lies.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file's content; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a file, for root alone, or replaces its content. Whatever happens meanwhile, a full disk or a power cut,
    /// the file has its old content or the new one.
    ///
    /// # Errors
    ///
    /// What the system says; the old content stays then.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        replace(&self.path(name), content, 0o600)
    }

    /// Adds to the end of a file that is there. After an error a part of it may have been added.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn append(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = File::options().append(true).open(self.path(name))?;
        file.write_all(content)
    }

    /// Removes a file, if there is one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Replaces a file in one step; the new one can be read by whom the old one could. A symbolic link stays one.
pub(super) fn replace_keeping_mode(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_missing| path.into());
    let mode = fs::metadata(&path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777);
    replace(&path, content, mode)
}

/// Replaces a file in one step.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = write_durably(&beside, content, mode).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // The error that is reported is the first one.
        let _left_over = fs::remove_file(&beside);
        return Err(error);
    }
    // The name, too, shall outlive a power cut.
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}

fn write_durably(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // One that is left over may have another mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_for_root_alone_and_can_be_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(parent.path().join("state"));
        assert_eq!(folder.read("a").unwrap(), None);
        folder.write("a", b"first").unwrap();
        folder.write("a", b"second").unwrap();
        assert_eq!(folder.read("a").unwrap().as_deref(), Some(&b"second"[..]));
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path("a")), 0o600);
        assert_eq!(mode(parent.path().join("state")), 0o700);
        assert_eq!(
            fs::read_dir(parent.path().join("state")).unwrap().count(),
            1
        );
        folder.remove("a").unwrap();
        folder.remove("a").unwrap();
        assert_eq!(folder.read("a").unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_written_keeps_its_content() {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateFolder::new(parent.path().join("state"));
        folder.write("a", b"good").unwrap();
        // A folder in the place of what is written beside it.
        fs::create_dir(folder.path("a.new")).unwrap();
        folder.write("a", b"bad").unwrap_err();
        assert_eq!(folder.read("a").unwrap().as_deref(), Some(&b"good"[..]));
    }
}
