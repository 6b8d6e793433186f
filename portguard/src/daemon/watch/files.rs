//! The files that a policy is made of, as they are on disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portguard_common::limits::{POLICY_BYTES, SET_FILES_BYTES};

use crate::host::lease::{Writer, writer_of};
use crate::policy_file;

/// How long a file must have been as it is, where it cannot be told whether somebody is writing it.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// What is told about a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// There is no file.
    Missing,
    /// It cannot be read, or is no regular file.
    Unreadable(io::ErrorKind),
    /// A hash of its bytes. Who could make two contents of one hash may write the policy anyway.
    Hash(u64),
}

/// One file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// `None` if there is no file.
    pub(super) stamp: Option<Stamp>,
    /// What it holds.
    pub(super) content: Content,
}

/// By path: the policy, and the files that its text names.
pub(super) type Files = BTreeMap<PathBuf, Seen>;

/// What became of an attempt to read.
pub(super) enum Reading {
    /// All was read while nobody wrote, and nobody can write until the files are closed.
    Whole(Files, Held),
    /// Somebody has this one open for writing.
    Written(PathBuf),
    /// It cannot be told whether somebody writes this one, and it has changed lately.
    Restless,
}

/// Files that nobody can open for writing as long as this lives.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<File>);

/// Stamps of these files, as they are now.
pub(super) fn stamps<'a>(
    paths: impl Iterator<Item = &'a PathBuf>,
) -> BTreeMap<PathBuf, Option<Stamp>> {
    paths.map(|path| (path.clone(), stamp(path))).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|found| Stamp::of(&found))
}

/// Reads the policy and the files that it names, if it is certain that none of them is half written; `quiet` is how
/// long they have been as they are, and `known` what they were before.
pub(super) fn read_whole(policy: &Path, known: &Files, quiet: Duration) -> Reading {
    let mut held = Held::default();
    let mut files = Files::new();
    let mut todo = vec![policy.to_path_buf()];
    while let Some(path) = todo.pop() {
        if files.contains_key(&path) {
            continue;
        }
        let opened = open(&path);
        if let Ok((file, _stamp)) = &opened {
            match writer_of(file) {
                Writer::None => {}
                Writer::Present => return Reading::Written(path),
                Writer::Unknown if quiet < QUIET => return Reading::Restless,
                Writer::Unknown => {}
            }
        }
        let (seen, text) = read(&path, &opened, path == policy);
        if let Some(text) = text {
            todo.extend(names(policy, &text, seen, known));
        }
        if let Ok((file, _stamp)) = opened {
            held.0.push(file);
        }
        files.insert(path, seen);
    }
    Reading::Whole(files, held)
}

/// Reads them whatever is going on.
pub(super) fn read_now(policy: &Path, known: &Files) -> Files {
    let (seen, text) = read(policy, &open(policy), true);
    let mut files = Files::from([(policy.to_path_buf(), seen)]);
    for path in text.map_or_else(Vec::new, |text| names(policy, &text, seen, known)) {
        let (seen, _text) = read(&path, &open(&path), false);
        files.insert(path, seen);
    }
    files
}

/// The files that a policy names, which takes work to find out where the text is another one than before.
fn names(policy: &Path, text: &str, seen: Seen, known: &Files) -> Vec<PathBuf> {
    match known.get(policy) {
        Some(before) if before.content == seen.content => {
            let others = known.keys().filter(|path| *path != policy);
            others.cloned().collect()
        }
        _ => policy_file::set_files(policy, text),
    }
}

fn open(path: &Path) -> io::Result<(File, Stamp)> {
    // Without O_NONBLOCK a pipe that nobody writes to would hold us up for ever.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok((file, Stamp::of(&metadata)))
}

/// What a file holds; of the policy also its text, which names further files.
fn read(
    path: &Path,
    opened: &io::Result<(File, Stamp)>,
    is_policy: bool,
) -> (Seen, Option<String>) {
    let (file, stamp) = match opened {
        Ok((file, stamp)) => (file, *stamp),
        Err(error) => {
            let content = match error.kind() {
                io::ErrorKind::NotFound => Content::Missing,
                kind => Content::Unreadable(kind),
            };
            let stamp = stamp(path);
            return (Seen { stamp, content }, None);
        }
    };
    let stamp = Some(stamp);
    // What is larger is refused without being read, and one byte more makes it another content.
    let most = if is_policy {
        POLICY_BYTES
    } else {
        SET_FILES_BYTES
    };
    let mut bytes = Vec::new();
    let content = match file.take(most as u64 + 1).read_to_end(&mut bytes) {
        Ok(_length) => {
            let mut hasher = DefaultHasher::new();
            hasher.write(&bytes);
            Content::Hash(hasher.finish())
        }
        Err(error) => Content::Unreadable(error.kind()),
    };
    let text = is_policy.then(|| String::from_utf8(bytes).ok()).flatten();
    (Seen { stamp, content }, text)
}
