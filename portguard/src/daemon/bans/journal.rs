//! The copy of all bans for the next boot: a file of which each line is a JSON object.
//!
//! Each change adds a line, so that one more ban costs the same however many there are. Where most lines are over, the
//! file is written anew. Within one boot the time that counts is that of the boot-time clock, so that setting the clock on
//! the wall changes nothing; after it, what is left by the clock on the wall.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

use portguard_common::abi::FOREVER;
use portguard_policy::BanTarget;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::{Ban, Now};
use crate::daemon::StateFolder;

/// Name of the file, and of one that was broken.
const FILE: &str = "bans";
const BROKEN: &str = "bans.broken";

/// Version of what is in it.
const VERSION: u32 = 1;

/// How far the clock on the wall may be set without the file being written anew for it. It is corrected by little all the
/// time, which is not worth it.
const CLOCK_SLACK_MS: u64 = 10_000;

/// Lines that may be over before the file is written anew.
const SLACK: usize = 1_000;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Record {
    /// The first one.
    Version(u32),
    /// What follows was written in the boot with this ID.
    Boot(String),
    /// A ban; it takes the place of one of the same target.
    Ban(BanRecord),
    /// A ban was taken back.
    Unban(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BanRecord {
    target: String,
    /// When it was written, in milliseconds since 1970.
    at_ms: u64,
    /// When it ends; neither is there if it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// Nanoseconds of the boot-time clock.
    boot_ns: u64,
    /// Milliseconds since 1970.
    unix_ms: u64,
}

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The bans, with their ends in this boot; some may be over.
    pub(super) bans: BTreeMap<BanTarget, Ban>,
    /// The file needs not be written anew.
    pub(super) is_exact: bool,
}

/// The file.
#[derive(Debug)]
pub(super) struct Journal {
    folder: StateFolder,
    boot: String,
    lines: usize,
    /// The clock on the wall by which its ends were written ([`Now::boot_unix_ms`]).
    boot_unix_ms: u64,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// All is in the file.
    Good,
    /// There is no file yet.
    New,
    /// Something is missing in it, for this reason.
    Behind(String),
}

/// The ID of this boot.
pub(super) fn this_boot() -> String {
    // Without one, each start is taken for a new boot.
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

impl Journal {
    /// Reads the file, if there is one. What cannot be read is logged and set aside.
    pub(super) fn open(folder: &StateFolder, boot: &str, now: Now) -> (Self, Found) {
        let mut journal = Self {
            folder: folder.clone(),
            boot: boot.to_owned(),
            lines: 0,
            boot_unix_ms: now.boot_unix_ms(),
            state: State::New,
        };
        let path = folder.path(FILE);
        let content = match folder.read(FILE) {
            Ok(Some(content)) => content,
            Ok(None) => {
                let is_exact = true;
                let found = Found {
                    is_exact,
                    ..Found::default()
                };
                return (journal, found);
            }
            Err(error) => {
                error!("the bans of `{}` are lost: {error}", path.display());
                journal.state = State::Behind(error.to_string());
                return (journal, Found::default());
            }
        };
        journal.state = State::Good;
        let mut reader = Reader::new(boot, now);
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            reader.line(line);
        }
        journal.lines = reader.lines;
        if let Some(what) = &reader.broken {
            let kept = reader.bans.len();
            let aside = folder.path(BROKEN);
            match fs::rename(&path, &aside) {
                Ok(()) => error!(
                    "`{}` is broken ({what}) and set aside as `{}`; the {kept} bans that can be read go on",
                    path.display(),
                    aside.display()
                ),
                Err(refusal) => error!(
                    "`{}` is broken ({what}) and cannot be set aside ({refusal}); the {kept} bans that can be read go on",
                    path.display()
                ),
            }
        } else if reader.is_torn {
            warn!(
                "the last line of `{}` is cut off: the last ban or unban before a crash is lost",
                path.display()
            );
        }
        let found = Found {
            is_exact: reader.is_exact(),
            bans: reader.bans,
        };
        (journal, found)
    }

    /// Adds bans.
    pub(super) fn add_bans<'b>(
        &mut self,
        bans: impl Iterator<Item = (BanTarget, &'b Ban)>,
        now: Now,
    ) {
        self.add(bans.map(|(target, ban)| Record::Ban(record(target, ban, now))));
    }

    /// Adds that bans were taken back.
    pub(super) fn add_unbans(&mut self, targets: &[BanTarget]) {
        self.add(
            targets
                .iter()
                .map(|target| Record::Unban(target.to_string())),
        );
    }

    fn add(&mut self, records: impl Iterator<Item = Record>) {
        let mut text = Vec::new();
        let mut lines = 0;
        for record in records {
            if let Err(error) = write_line(&mut text, &record) {
                return self.fail(&error);
            }
            lines += 1;
        }
        match self.state {
            _ if lines == 0 => {}
            State::New => {
                let head = self.head().and_then(|mut head| {
                    head.append(&mut text);
                    self.folder.write(FILE, &head)
                });
                self.done(head, lines);
            }
            State::Good => {
                let added = self.folder.append(FILE, &text);
                self.done(added, lines);
            }
            // A line after one that was cut off would not be read.
            State::Behind(_) => {}
        }
    }

    /// Writes the file anew with these bans.
    pub(super) fn rewrite<'b>(
        &mut self,
        bans: impl Iterator<Item = (BanTarget, &'b Ban)>,
        now: Now,
    ) {
        let mut lines = 0;
        let written = self.head().and_then(|mut text| {
            for (target, ban) in bans {
                write_line(&mut text, &Record::Ban(record(target, ban, now)))?;
                lines += 1;
            }
            self.folder.write(FILE, &text)
        });
        self.lines = 0;
        self.boot_unix_ms = now.boot_unix_ms();
        self.done(written, lines);
    }

    fn head(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        write_line(&mut text, &Record::Version(VERSION))?;
        write_line(&mut text, &Record::Boot(self.boot.clone()))?;
        Ok(text)
    }

    fn done(&mut self, result: io::Result<()>, lines: usize) {
        match result {
            Ok(()) => {
                self.lines += lines;
                self.state = State::Good;
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let path = self.folder.path(FILE);
        let why = format!("cannot write `{}`: {error}", path.display());
        if !matches!(&self.state, State::Behind(before) if *before == why) {
            error!("bans are not kept: {why}");
        }
        self.state = State::Behind(why);
    }

    /// Whether something is missing in the file.
    pub(super) fn is_behind(&self) -> bool {
        matches!(self.state, State::Behind(_))
    }

    /// Whether the clock on the wall has been set since the ends in the file were written.
    pub(super) fn is_by_another_clock(&self, now: Now) -> bool {
        self.state == State::Good && is_set(self.boot_unix_ms, now)
    }

    /// What whoever changed something should know of the file.
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.state {
            State::Behind(why) => Some(format!(
                "this takes effect, but is lost when portguard or the host is restarted: {why}"
            )),
            State::Good | State::New => None,
        }
    }

    /// Whether most lines are over where so many bans are left.
    pub(super) fn is_mostly_over(&self, left: usize) -> bool {
        self.state == State::Good && self.lines > 2 * left + SLACK
    }
}

fn record(target: BanTarget, ban: &Ban, now: Now) -> BanRecord {
    BanRecord {
        target: target.to_string(),
        at_ms: now.unix_ms,
        end: now.unix_ms_at(ban.end).map(|unix_ms| End {
            boot_ns: ban.end,
            unix_ms,
        }),
        reason: ban.reason.as_deref().map(str::to_owned),
    }
}

/// Whether the clock on the wall has been set since the boot was at this time by it.
fn is_set(boot_unix_ms: u64, now: Now) -> bool {
    boot_unix_ms.abs_diff(now.boot_unix_ms()) > CLOCK_SLACK_MS
}

fn write_line(text: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *text, record)?;
    text.push(b'\n');
    Ok(())
}

/// Goes through the lines.
struct Reader<'b> {
    boot: &'b str,
    now: Now,
    bans: BTreeMap<BanTarget, Ban>,
    lines: usize,
    /// What is read was written in this boot.
    is_this_boot: bool,
    has_version: bool,
    has_other_boots: bool,
    /// An end is wrong by the clock on the wall as it is now.
    has_other_clocks: bool,
    is_torn: bool,
    /// The first line that cannot be read.
    broken: Option<String>,
}

impl<'b> Reader<'b> {
    fn new(boot: &'b str, now: Now) -> Self {
        Self {
            boot,
            now,
            bans: BTreeMap::new(),
            lines: 0,
            is_this_boot: false,
            has_version: false,
            has_other_boots: false,
            has_other_clocks: false,
            is_torn: false,
            broken: None,
        }
    }

    fn is_exact(&self) -> bool {
        let is_sound = self.broken.is_none() && !self.is_torn;
        is_sound && self.is_this_boot && !self.has_other_boots && !self.has_other_clocks
    }

    fn line(&mut self, line: &[u8]) {
        let Some(line) = line.strip_suffix(b"\n") else {
            // Only the last one may be cut off.
            self.is_torn = true;
            return;
        };
        self.lines += 1;
        let read = serde_json::from_slice(line)
            .map_err(|error| error.to_string())
            .and_then(|record| self.record(record));
        if let Err(what) = read {
            let number = self.lines;
            self.broken.get_or_insert(format!("line {number}: {what}"));
        }
    }

    fn record(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Version(VERSION) => self.has_version = true,
            Record::Version(other) => return Err(format!("its version is {other}")),
            _ if !self.has_version => return Err("it has no version".into()),
            Record::Boot(boot) => {
                self.is_this_boot = !boot.is_empty() && boot == self.boot;
                self.has_other_boots |= !self.is_this_boot;
            }
            Record::Ban(ban) => {
                let target = parse(&ban.target)?;
                let end = match ban.end {
                    None => FOREVER,
                    Some(end) if self.is_this_boot => {
                        let boot_unix_ms = end.unix_ms.saturating_sub(end.boot_ns / 1_000_000);
                        self.has_other_clocks |= is_set(boot_unix_ms, self.now);
                        end.boot_ns
                    }
                    Some(end) => self.in_this_boot(end, ban.at_ms),
                };
                let reason = ban.reason.map(Arc::from);
                self.bans.insert(target, Ban { end, reason });
            }
            Record::Unban(target) => {
                self.bans.remove(&parse(&target)?);
            }
        }
        Ok(())
    }

    /// The end of a ban of another boot. A clock that shows less than when the ban was written is wrong, and nobody knows
    /// how much of its time has passed: it gets all of it.
    fn in_this_boot(&self, end: End, at_ms: u64) -> u64 {
        let left_ms = end.unix_ms.saturating_sub(self.now.unix_ms.max(at_ms));
        let left_ns = left_ms.saturating_mul(1_000_000);
        self.now.boot_ns.saturating_add(left_ns).min(FOREVER - 1)
    }
}

fn parse(text: &str) -> Result<BanTarget, String> {
    let error = |error: portguard_policy::BanTargetError| error.to_string();
    text.parse().map_err(error)
}
