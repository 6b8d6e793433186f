//! Where a change to a file can be heard of, and hearing of it from the kernel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tracing::warn;

/// Symbolic links that the kernel follows in one path (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;

/// What is heard of a folder: names that come and go.
const FOLDER: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// What is heard of a file itself, also where another folder shows it (a bind mount).
const FILE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Room for some events; what does not fit is read next.
const BUFFER_BYTES: usize = 4096;

/// What matters of what is heard at a place.
#[derive(Debug)]
enum Names {
    /// All: it is a folder whose files are a part of the policy.
    All,
    /// These names, and what happens to the place itself.
    Some(BTreeSet<OsString>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

impl Names {
    fn add(&mut self, name: OsString) {
        if let Self::Some(names) = self {
            names.insert(name);
        }
    }

    fn holds(&self, name: Option<&OsStr>) -> bool {
        match (self, name) {
            (Self::Some(names), Some(name)) => names.contains(name),
            _ => true,
        }
    }
}

/// The places that are listened to.
pub(super) struct Places {
    /// `None` where the kernel lets us listen no more: the files are looked at once in a while all the same.
    inotify: Option<AsyncFd<OwnedFd>>,
    /// By watch descriptor: the names of a folder that matter; none for a file.
    names: BTreeMap<i32, Names>,
    /// Whether a place that cannot be listened to has been reported.
    warned: bool,
}

impl Places {
    /// Begins to listen, to nothing yet.
    pub(super) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(io::Error::from)
            .and_then(register)
            .inspect_err(|error| {
                warn!(
                    "cannot listen for changes of the policy file ({error}): it is looked at once a second instead; \
                     `sysctl fs.inotify.max_user_instances` is the limit"
                );
            });
        Self {
            inotify: inotify.ok(),
            names: BTreeMap::new(),
            warned: false,
        }
    }

    /// Listens to nothing, as where the kernel's limit is reached.
    #[cfg(test)]
    pub(super) const fn deaf() -> Self {
        Self {
            inotify: None,
            names: BTreeMap::new(),
            warned: true,
        }
    }

    /// Listens to the places that these files depend on, and to no others.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a PathBuf>) {
        let Some(inotify) = &self.inotify else { return };
        let mut names: BTreeMap<i32, Names> = BTreeMap::new();
        for file in files {
            for (folder, name) in looked_up(file) {
                match inotify::add_watch(inotify, &folder, FOLDER) {
                    Ok(watch) => {
                        names.entry(watch).or_default().add(name);
                    }
                    Err(error) => report(&mut self.warned, &folder, error),
                }
            }
            if file.is_dir() {
                // As above, since a place is listened to in one way alone.
                match inotify::add_watch(inotify, file, FOLDER) {
                    Ok(watch) => {
                        names.insert(watch, Names::All);
                    }
                    Err(error) => report(&mut self.warned, file, error),
                }
                continue;
            }
            match inotify::add_watch(inotify, file, FILE) {
                Ok(watch) => {
                    names.entry(watch).or_default();
                }
                Err(error) => report(&mut self.warned, file, error),
            }
        }
        for watch in self.names.keys().filter(|watch| !names.contains_key(watch)) {
            // It ended by itself if what it was on is gone.
            let _ended = inotify::remove_watch(inotify, *watch);
        }
        self.names = names;
    }

    /// Waits until something happened that matters. May be dropped before it is done.
    pub(super) async fn changed(&mut self) {
        let Some(inotify) = &mut self.inotify else {
            return std::future::pending().await;
        };
        loop {
            let Ok(mut ready) = inotify.readable_mut().await else {
                // The event loop ends.
                return std::future::pending().await;
            };
            if matters(ready.get_inner(), &self.names) {
                return;
            }
            ready.clear_ready();
        }
    }
}

fn register(inotify: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "its successor is for types that may lose their descriptor; this one keeps it"
    )]
    AsyncFd::new(inotify)
}

/// Takes all events that are there, and says whether one of them matters.
fn matters(inotify: &OwnedFd, names: &BTreeMap<i32, Names>) -> bool {
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut matters = false;
    loop {
        match reader.next() {
            Ok(event) => {
                let name = event
                    .file_name()
                    .map(|name| OsStr::from_bytes(name.to_bytes()));
                matters |= event.events().contains(ReadFlags::QUEUE_OVERFLOW)
                    || names
                        .get(&event.wd())
                        .is_some_and(|names| names.holds(name));
            }
            Err(Errno::INTR) => {}
            // Nothing is left, or nothing can be read: looking once in a while remains.
            Err(_) => return matters,
        }
    }
}

/// Reports a limit once; what is missing, or may not be listened to, is looked at once in a while.
fn report(warned: &mut bool, place: &Path, error: Errno) {
    if error == Errno::NOSPC && !*warned {
        *warned = true;
        warn!(
            "cannot listen for changes of `{}`: it is looked at once a second instead; \
             `sysctl fs.inotify.max_user_watches` is the limit",
            place.display()
        );
    }
}

/// The names on the way to a file whose meaning may change, each with the folder in which it is looked up: symbolic
/// links, the file, and what is missing. Folders on the way are left to looking once in a while.
fn looked_up(file: &Path) -> Vec<(PathBuf, OsString)> {
    let mut found = Vec::new();
    let mut at = PathBuf::from("/");
    let mut todo: VecDeque<OsString> = names_of(file).collect();
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        if let Ok(target) = fs::read_link(&next) {
            links += 1;
            if links > MOST_LINKS {
                break;
            }
            found.push((at.clone(), name));
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for name in names_of(&target).rev() {
                todo.push_front(name);
            }
        } else if todo.is_empty() || fs::symlink_metadata(&next).is_err() {
            found.push((at, name));
            break;
        } else {
            at = next;
        }
    }
    found
}

/// The parts of a path that are looked up one after another.
fn names_of(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn each_link_on_the_way_is_listened_to_and_the_file_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("real/..2026_01")).unwrap();
        fs::write(root.join("real/..2026_01/policy.yaml"), "").unwrap();
        symlink("..2026_01", root.join("real/..data")).unwrap();
        symlink("..data/policy.yaml", root.join("real/policy.yaml")).unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        let names = looked_up(&root.join("link/../link/policy.yaml"));
        let expected = [
            (root.clone(), "link"),
            // The kernel goes up from where the link leads.
            (root.clone(), "link"),
            (root.join("real"), "policy.yaml"),
            (root.join("real"), "..data"),
            (root.join("real/..2026_01"), "policy.yaml"),
        ]
        .map(|(folder, name)| (folder, OsString::from(name)));
        assert_eq!(names, expected);
    }

    #[test]
    fn what_is_missing_is_waited_for_and_a_circle_ends() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        assert_eq!(
            looked_up(&root.join("a/b")),
            [(root.clone(), OsString::from("a"))]
        );
        symlink("circle", root.join("circle")).unwrap();
        assert_eq!(looked_up(&root.join("circle")).len(), MOST_LINKS);
    }
}
