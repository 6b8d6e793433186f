//! Noticing that the policy file, a drop-in, or a file that they name, has another content, once nobody is writing it any more.

mod files;
mod places;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::warn;

use self::files::{Content, Files, Held, QUIET, Reading, Stamp};
use self::places::Places;
use crate::policy_file::drop_ins;

/// How often the files are looked at where nothing is heard of them: what is mounted over them, or written on another
/// host, makes no event.
const POLL: Duration = Duration::from_secs(1);

/// Events come in bursts: how long to collect them before looking.
const SETTLE: Duration = Duration::from_millis(20);

/// How long a file may be missing before that counts: some editors remove the old one first.
const GRACE: Duration = Duration::from_millis(500);

/// How long somebody may have a file open for writing before that is reported.
const WRITER_PATIENCE: Duration = Duration::from_secs(10);

/// Follows the policy file and the files that it names.
pub(super) struct Watch {
    policy: PathBuf,
    places: Places,
    /// As they were when their contents were last compared.
    seen: Files,
    /// What the policy in force, or the last refused one, was read from.
    tried: BTreeMap<PathBuf, Content>,
    /// A change that cannot be acted on yet.
    pending: Option<Pending>,
    /// Whether to compare contents although the files seem to be the same: two changes within a tick of the file
    /// system's clock have one time.
    compare: bool,
    told_missing: bool,
    told_writer: bool,
    /// Keeps the files as they are until whoever was told has read them.
    held: Held,
    due: Instant,
}

struct Pending {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    since: Instant,
}

impl Watch {
    /// Begins to watch; what is on disk now is taken as known, so call it before the policy is read.
    pub(super) fn start(policy: &Path) -> Self {
        Self::with(policy, Places::new())
    }

    fn with(policy: &Path, places: Places) -> Self {
        // The folder in which we are may be left, but not the file that was meant.
        let policy = std::path::absolute(policy).unwrap_or_else(|_nowhere| policy.into());
        let mut watch = Self {
            places,
            seen: Files::new(),
            tried: BTreeMap::new(),
            pending: None,
            compare: false,
            told_missing: false,
            told_writer: false,
            held: Held::default(),
            due: Instant::now() + POLL,
            policy,
        };
        watch.note();
        watch
    }

    /// Takes what is on disk now as known: somebody else is about to read it.
    pub(super) fn note(&mut self) {
        self.places
            .follow([&self.policy].into_iter().chain(self.seen.keys()));
        let files = files::read_now(&self.policy, &self.seen);
        self.places.follow(files.keys());
        self.tried = contents(&files);
        self.told_missing = self.tried.get(&self.policy) == Some(&Content::Missing);
        self.seen = files;
        self.pending = None;
        self.compare = true;
    }

    /// Takes what a drop-in holds now as known: this daemon wrote it, and it is in force.
    pub(super) fn note_written(&mut self, name: &str) {
        let folder = drop_ins::folder(&self.policy);
        let files = files::read_now(&self.policy, &self.seen);
        for path in [folder.join(name), folder] {
            match files.get(&path) {
                Some(seen) => {
                    self.tried.insert(path.clone(), seen.content);
                    self.seen.insert(path, *seen);
                }
                None => {
                    self.tried.remove(&path);
                    self.seen.remove(&path);
                }
            }
        }
        self.places
            .follow([&self.policy].into_iter().chain(self.seen.keys()));
        self.compare = true;
    }

    /// Waits until the files have another content than the one that was last told of or noted, and nobody writes them.
    /// They cannot be written until [`Watch::let_go`].
    ///
    /// May be dropped before it is done (`select!` does).
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::select! {
                () = self.places.changed() => {
                    self.compare = true;
                    self.due = self.due.min(Instant::now() + SETTLE);
                }
                () = sleep_until(self.due) => {
                    if self.look() {
                        return;
                    }
                }
            }
        }
    }

    /// What was told has been read, and may be written again.
    pub(super) fn let_go(&mut self) {
        self.held = Held::default();
    }

    /// Whether there is another content to be read.
    fn look(&mut self) -> bool {
        let now = Instant::now();
        self.due = now + POLL;
        let stamps = files::stamps(self.seen.keys());
        if !self.compare && self.is_as_seen(&stamps) {
            self.pending = None;
            return false;
        }
        let since = match &self.pending {
            Some(pending) if pending.stamps == stamps => pending.since,
            _ => {
                // Other places may matter now; what happens there from now on is heard.
                self.places.follow(self.seen.keys());
                let stamps = files::stamps(self.seen.keys());
                self.pending = Some(Pending { stamps, since: now });
                now
            }
        };
        let quiet = now.duration_since(since);
        match files::read_whole(&self.policy, &self.seen, quiet) {
            Reading::Whole(files, held) => self.compare(files, held, since),
            Reading::Restless => {
                self.due = self.due.min(since + QUIET);
                false
            }
            Reading::Written(path) => {
                if quiet >= WRITER_PATIENCE && !self.told_writer {
                    self.told_writer = true;
                    warn!(
                        "`{}` has been open for writing, and nothing was written, for {} s: it is read when it is closed, or by `portguard reload`",
                        path.display(),
                        quiet.as_secs()
                    );
                }
                false
            }
        }
    }

    /// Whether these files hold something else than what was tried.
    fn compare(&mut self, files: Files, held: Held, since: Instant) -> bool {
        self.told_writer = false;
        let contents = contents(&files);
        let vanished = contents.iter().any(|(path, content)| {
            *content == Content::Missing && self.tried.get(path) != Some(&Content::Missing)
        });
        // A drop-in that is gone is not listed any more.
        let vanished = vanished
            || self.tried.iter().any(|(path, content)| {
                !contents.contains_key(path) && *content != Content::Missing && !path.exists()
            });
        if vanished && Instant::now() < since + GRACE {
            self.due = self.due.min(since + GRACE);
            return false;
        }
        let policy_is_missing = contents.get(&self.policy) == Some(&Content::Missing);
        if policy_is_missing && !self.told_missing {
            warn!(
                "policy `{}` is gone: the policy in force stays",
                self.policy.display()
            );
        }
        self.told_missing = policy_is_missing;
        let is_other = !policy_is_missing && contents != self.tried;
        // Once more after a change, in case the clock of the file system did not tell it from the next one.
        self.compare = !self.is_as_seen(&stamps_of(&files));
        self.places.follow(files.keys());
        self.seen = files;
        self.pending = None;
        if is_other {
            self.tried = contents;
            self.held = held;
        }
        is_other
    }

    fn is_as_seen(&self, stamps: &BTreeMap<PathBuf, Option<Stamp>>) -> bool {
        stamps_of(&self.seen) == *stamps
    }
}

/// [`Watch::changed`] of a watch that may be off.
pub(super) async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

fn contents(files: &Files) -> BTreeMap<PathBuf, Content> {
    files
        .iter()
        .map(|(path, seen)| (path.clone(), seen.content))
        .collect()
}

fn stamps_of(files: &Files) -> BTreeMap<PathBuf, Option<Stamp>> {
    files
        .iter()
        .map(|(path, seen)| (path.clone(), seen.stamp))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn text(port: u16) -> String {
        format!(
            "version: 1\ninterfaces: [eth0]\nrules:\n  - {{name: a, action: drop, ports: [{port}]}}\n"
        )
    }

    /// A watch on a policy in a folder of its own, with events or without.
    struct Case {
        watch: Watch,
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn each(test: impl AsyncFn(Case)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for places in [Places::new, Places::deaf] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("policy.yaml");
                fs::write(&path, text(1)).unwrap();
                let watch = Watch::with(&path, places());
                test(Case {
                    watch,
                    _folder: folder,
                    path,
                })
                .await;
            }
        });
    }

    impl Case {
        async fn is_told(&mut self) -> bool {
            tokio::time::timeout(PATIENCE, self.watch.changed())
                .await
                .is_ok()
        }
    }

    #[test]
    fn a_change_is_told_once_with_events_and_without() {
        each(async |mut case| {
            assert!(!case.is_told().await);
            fs::write(&case.path, text(2)).unwrap();
            assert!(case.is_told().await);
            assert!(!case.is_told().await);
        });
    }

    #[test]
    fn what_is_told_cannot_be_written_until_it_has_been_read() {
        each(async |mut case| {
            fs::write(&case.path, text(2)).unwrap();
            assert!(case.is_told().await);
            let path = case.path.clone();
            let writer = std::thread::spawn(move || fs::write(path, text(3)));
            std::thread::sleep(Duration::from_millis(100));
            assert_eq!(fs::read_to_string(&case.path).unwrap(), text(2));
            case.watch.let_go();
            assert!(case.is_told().await);
            writer.join().unwrap().unwrap();
            assert_eq!(fs::read_to_string(&case.path).unwrap(), text(3));
        });
    }

    #[test]
    fn a_file_that_is_open_for_writing_is_left_alone() {
        each(async |mut case| {
            let mut file = fs::File::create(&case.path).unwrap();
            file.write_all(text(2).as_bytes()).unwrap();
            assert!(!case.is_told().await);
            drop(file);
            assert!(case.is_told().await);
        });
    }

    #[test]
    fn two_changes_of_one_size_within_a_tick_of_the_clock_are_two() {
        each(async |mut case| {
            for round in 0..5 {
                fs::write(&case.path, text(10 + round)).unwrap();
                // What a file system with a coarse clock would say of a second write right after this one.
                case.watch.note();
                let before = fs::metadata(&case.path).unwrap();
                fs::write(&case.path, text(20 + round)).unwrap();
                let stamps = files::stamps([&case.path].into_iter());
                for seen in case.watch.seen.values_mut() {
                    seen.stamp = stamps[&case.path];
                }
                assert_eq!(before.len(), fs::metadata(&case.path).unwrap().len());
                assert!(case.is_told().await);
                case.watch.let_go();
            }
        });
    }

    #[test]
    fn what_was_noted_is_not_told() {
        each(async |mut case| {
            fs::write(&case.path, text(2)).unwrap();
            case.watch.note();
            assert!(!case.is_told().await);
        });
    }
}
