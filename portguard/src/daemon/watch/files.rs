//! The files that a policy is made of, as they are on disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::convert::Infallible;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portguard_common::limits::{POLICY_BYTES, SET_FILES_BYTES};
use portguard_policy::DropIn;

use crate::host::lease::{Writer, writer_of};
use crate::policy_file::{PolicyFile, drop_ins};

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

/// By path: the policy, the folder of its drop-ins, these, and the files that their texts name.
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

/// Reads the policy and all that it is made of, if it is certain that nothing of it is half written; `quiet` is how
/// long it has been as it is, and `known` what it was before.
pub(super) fn read_whole(policy: &Path, known: &Files, quiet: Duration) -> Reading {
    let mut held = Held::default();
    let gathered = gather(policy, known, |path, holds_text| {
        let opened = open(path);
        if let Ok((file, _stamp)) = &opened {
            match writer_of(file) {
                Writer::None => {}
                Writer::Present => return Err(Reading::Written(path.into())),
                Writer::Unknown if quiet < QUIET => return Err(Reading::Restless),
                Writer::Unknown => {}
            }
        }
        let read = read(path, &opened, holds_text);
        if let Ok((file, _stamp)) = opened {
            held.0.push(file);
        }
        Ok(read)
    });
    match gathered {
        Ok(files) => Reading::Whole(files, held),
        Err(reading) => reading,
    }
}

/// Reads them whatever is going on.
pub(super) fn read_now(policy: &Path, known: &Files) -> Files {
    let gathered = gather(policy, known, |path, holds_text| {
        Ok::<_, Infallible>(read(path, &open(path), holds_text))
    });
    match gathered {
        Ok(files) => files,
    }
}

/// Reads each file by `take`, which is told whether it holds a text that names further files.
fn gather<E>(
    policy: &Path,
    known: &Files,
    mut take: impl FnMut(&Path, bool) -> Result<(Seen, Option<String>), E>,
) -> Result<Files, E> {
    let mut files = Files::new();
    let (seen, text) = take(policy, true)?;
    files.insert(policy.into(), seen);
    let folder = drop_ins::folder(policy);
    let (seen, names) = list(&folder);
    files.insert(folder.clone(), seen);
    let mut whole = PolicyFile::alone(policy.into(), text.clone().unwrap_or_default());
    for name in names {
        let path = folder.join(&name);
        let (seen, text) = take(&path, true)?;
        files.insert(path, seen);
        whole.drop_ins.extend(text.map(|text| DropIn {
            name: format!("{}/{name}", drop_ins::FOLDER),
            text,
        }));
    }
    if text.is_none() {
        return Ok(files);
    }
    for path in named(&whole, &files, known) {
        if let Entry::Vacant(entry) = files.entry(path) {
            let (seen, _text) = take(entry.key(), false)?;
            entry.insert(seen);
        }
    }
    Ok(files)
}

/// The files that the texts name, which takes work to find out where one of them is another than before.
fn named(whole: &PolicyFile, texts: &Files, known: &Files) -> Vec<PathBuf> {
    let is_known = |(path, seen): (&PathBuf, &Seen)| {
        let before = known.get(path);
        before.is_some_and(|before| before.content == seen.content)
    };
    if texts.iter().all(is_known) {
        let others = known.keys().filter(|path| !texts.contains_key(*path));
        return others.cloned().collect();
    }
    whole.set_files()
}

/// Which drop-ins there are.
fn list(folder: &Path) -> (Seen, Vec<String>) {
    let stamp = stamp(folder);
    match drop_ins::names(folder) {
        Ok(_none) if stamp.is_none() => {
            let content = Content::Missing;
            (Seen { stamp, content }, Vec::new())
        }
        Ok(names) => {
            let mut hasher = DefaultHasher::new();
            hasher.write(names.join("/").as_bytes());
            let content = Content::Hash(hasher.finish());
            (Seen { stamp, content }, names)
        }
        Err(error) => {
            let content = Content::Unreadable(error.kind());
            (Seen { stamp, content }, Vec::new())
        }
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

/// What a file holds; and its text, if that names further files.
fn read(
    path: &Path,
    opened: &io::Result<(File, Stamp)>,
    holds_text: bool,
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
    let most = if holds_text {
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
    let text = holds_text.then(|| String::from_utf8(bytes).ok()).flatten();
    (Seen { stamp, content }, text)
}
