//! Bans: made and taken back at run time, kept over restarts of the daemon and of the host.
//!
//! The kernel holds a ban in force and ends it by its own clock. What is here follows: it removes what is over to make
//! room, knows the reasons, and keeps a copy for the next boot.

mod admission;
mod journal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use portguard_common::abi::{BanEnd, FOREVER};
use portguard_policy::{BanTarget, Policy, Prefix};
use tracing::{error, warn};

use crate::control::{self, BanEntry, BanInfo, BanList, Bans as Made, Refusal, Unbans};
use crate::dataplane::{self, BanError, BanTable, Generation, LoadError};
use crate::exit::{Failure, Outcome};

use self::journal::{Found, Journal};
use super::StateFolder;

/// Bans that are removed in one go once they are over: some milliseconds.
const STEP: usize = 2_000;

/// Time between two such goes, and before one where there is nothing left to do.
const PAUSE: Duration = Duration::from_millis(20);
const INTERVAL: Duration = Duration::from_secs(1);

/// Time between two attempts to write the copy where the last one failed.
const RETRY: Duration = Duration::from_secs(30);

/// Bans in one answer.
const PAGE: usize = 1_000;

/// The present, by the clock in which bans end and by the clock on the wall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Nanoseconds of the boot-time clock.
    pub(super) boot_ns: u64,
    /// Milliseconds since 1970.
    pub(super) unix_ms: u64,
}

impl Now {
    /// Asks the system.
    pub(super) fn read() -> Self {
        Self {
            boot_ns: dataplane::boot_time_ns(),
            unix_ms: (super::unix_time() * 1_000.0) as u64,
        }
    }

    /// Milliseconds since 1970 at the boot, as the clock on the wall has it now: another number once that has been set.
    fn boot_unix_ms(self) -> u64 {
        self.unix_ms.saturating_sub(self.boot_ns / 1_000_000)
    }

    /// What the clock on the wall will show at the end of a ban.
    fn unix_ms_at(self, end: BanEnd) -> Option<u64> {
        (end != FOREVER).then(|| self.unix_ms + end.saturating_sub(self.boot_ns) / 1_000_000)
    }
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ban {
    end: BanEnd,
    reason: Option<Arc<str>>,
}

/// All bans.
#[derive(Debug)]
pub(super) struct Bans {
    /// The table of the newest generation; before it that of the one before, where the two do not share one. That one may
    /// be in force again, when a trial ends.
    tables: Vec<BanTable>,
    capacity: usize,
    bans: BTreeMap<BanTarget, Ban>,
    /// Of those that end.
    ends: BTreeSet<(BanEnd, BanTarget)>,
    journal: Journal,
    /// When the next step is due, on the boot-time clock.
    next_step_ns: u64,
    next_retry_ns: u64,
}

impl Bans {
    /// Goes on with the bans that a daemon before this one left in force, or puts those of the copy in force. Nothing
    /// is attached yet.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the table.
    pub(super) fn start(
        generation: &Generation,
        folder: &StateFolder,
        capacity: u32,
        now: Now,
    ) -> Result<Self, LoadError> {
        let (journal, found) = Journal::open(folder, &journal::this_boot(), now);
        let mut bans = Self {
            tables: vec![generation.bans()?],
            capacity: capacity as usize,
            bans: BTreeMap::new(),
            ends: BTreeSet::new(),
            journal,
            next_step_ns: 0,
            next_retry_ns: 0,
        };
        bans.restore(found, now)?;
        Ok(bans)
    }

    fn restore(&mut self, found: Found, now: Now) -> Result<(), LoadError> {
        let Found { bans, is_exact } = found;
        let mut left_out = 0;
        for table in &mut self.tables {
            let present: BTreeMap<BanTarget, BanEnd> = table.entries()?.into_iter().collect();
            if table.is_filled() {
                for (target, end) in present {
                    let reason = bans.get(&target).and_then(|ban| ban.reason.clone());
                    self.bans.insert(target, Ban { end, reason });
                }
                continue;
            }
            for target in present.keys().filter(|target| !bans.contains_key(target)) {
                table.remove(*target)?;
            }
            for (target, ban) in bans.iter().filter(|(_, ban)| ban.end > now.boot_ns) {
                match table.ban(*target, ban.end, now.boot_ns) {
                    Ok(_) => {
                        self.bans.insert(*target, ban.clone());
                    }
                    Err(BanError::Full) => left_out += 1,
                    Err(BanError::Kernel(error)) => return Err(error),
                }
            }
            table.set_filled()?;
        }
        if left_out > 0 {
            error!(
                "{left_out} bans are not in force any more: there is room for {} only (`--max-bans`)",
                self.capacity
            );
        }
        let ends = self.bans.iter().filter(|(_, ban)| ban.end != FOREVER);
        self.ends = ends.map(|(target, ban)| (ban.end, *target)).collect();
        if !is_exact || self.bans != bans {
            self.write_copy(now);
        }
        Ok(())
    }

    /// Puts all bans in force for a generation that is about to be, where it does not share the table of the one before:
    /// the folder of pins cannot be used at the moment, or can be again.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(super) fn carry_over(&mut self, generation: &Generation) -> Result<(), LoadError> {
        let id = generation.ban_table()?;
        if self.tables.last().is_some_and(|table| table.id() == id) {
            return Ok(());
        }
        let mut table = generation.bans()?;
        for (target, _) in table.entries()? {
            table.remove(target)?;
        }
        for (target, ban) in &self.bans {
            match table.ban(*target, ban.end, 0) {
                Ok(_) => {}
                Err(BanError::Full) => error!("{target} is not banned any more: no room"),
                Err(BanError::Kernel(error)) => return Err(error),
            }
        }
        table.set_filled()?;
        if let Some(before) = self.tables.last_mut()
            && let Err(error) = before.set_outdated()
        {
            warn!("bans that are over by then may come back after a crash: {error}");
        }
        self.tables.retain(|table| table.id() != id);
        self.tables.push(table);
        let older = self.tables.len().saturating_sub(2);
        self.tables.drain(..older);
        Ok(())
    }

    /// How many there are, some of which may be over already.
    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }

    /// Room for so many.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// What is banned.
    pub(super) fn prefixes(&self) -> Vec<Prefix> {
        self.bans.keys().map(|target| target.prefix()).collect()
    }

    /// Bans what is asked for, as far as that can be.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the request is not understood; nothing has changed then.
    pub(super) fn ban(
        &mut self,
        entries: &[BanEntry],
        reason: Option<&str>,
        force: bool,
        policy: &Policy,
        now: Now,
    ) -> Outcome<Made> {
        if reason.is_some_and(|reason| reason.len() > control::MAX_REASON_BYTES) {
            return Err(Failure::refused(anyhow!(
                "a reason has at most {} bytes",
                control::MAX_REASON_BYTES
            )));
        }
        let targets = entries.iter().map(|entry| target(&entry.target));
        let targets: Vec<BanTarget> = targets.collect::<Outcome<_>>()?;
        let mut objections = admission::objections(policy, &targets);
        let mut made = Made::default();
        if force {
            made.notes
                .extend(std::mem::take(&mut objections).into_values());
        }
        made.notes.extend(admission::notes(policy, &targets));
        let reason: Option<Arc<str>> = reason.map(Arc::from);
        let mut changed = Vec::new();
        for (entry, target) in entries.iter().zip(targets) {
            let result = match objections.get(&target) {
                Some(objection) => Err(objection.clone()),
                None => self.ban_one(target, end(entry, now), reason.as_ref(), now),
            };
            match result {
                Ok(dataplane::Banned::New) => made.new += 1,
                Ok(dataplane::Banned::Prolonged) => made.prolonged += 1,
                Ok(dataplane::Banned::Longer) => {
                    made.longer += 1;
                    continue;
                }
                Err(reason) => {
                    made.refused.push(Refusal {
                        target: target.to_string(),
                        reason,
                    });
                    continue;
                }
            }
            changed.push(target);
        }
        let known = &self.bans;
        let records = changed
            .iter()
            .filter_map(|target| known.get(target).map(|ban| (*target, ban)));
        self.journal.add_bans(records, now);
        self.keep_copy(now);
        made.notes.extend(self.journal.trouble());
        made.total = self.bans.len();
        Ok(made)
    }

    fn ban_one(
        &mut self,
        target: BanTarget,
        end: BanEnd,
        reason: Option<&Arc<str>>,
        now: Now,
    ) -> Result<dataplane::Banned, String> {
        let is_known = self.bans.contains_key(&target);
        if !is_known && self.bans.len() >= self.capacity {
            self.expire(STEP, now);
        }
        let full = format!("the table of bans is full ({} of them)", self.capacity);
        if !is_known && self.bans.len() >= self.capacity {
            return Err(full);
        }
        let mut banned = dataplane::Banned::Longer;
        // What counts is the last one.
        for table in &mut self.tables {
            banned = match table.ban(target, end, now.boot_ns) {
                Ok(banned) => banned,
                Err(BanError::Full) => return Err(full),
                Err(BanError::Kernel(error)) => return Err(error.to_string()),
            };
        }
        if banned == dataplane::Banned::Longer {
            return Ok(banned);
        }
        let ban = self.bans.entry(target).or_insert(Ban { end, reason: None });
        self.ends.remove(&(ban.end, target));
        ban.end = end;
        // A ban that is prolonged without a reason keeps the one that it has.
        if reason.is_some() || banned == dataplane::Banned::New {
            ban.reason = reason.cloned();
        }
        if end != FOREVER {
            self.ends.insert((end, target));
        }
        Ok(banned)
    }

    /// Takes bans back.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the request is not understood, or the kernel refuses.
    pub(super) fn unban(&mut self, targets: &[String], now: Now) -> Outcome<Unbans> {
        let targets = targets.iter().map(|text| target(text));
        let targets: Vec<BanTarget> = targets.collect::<Outcome<_>>()?;
        let mut unbans = Unbans::default();
        let mut removed = Vec::new();
        for target in targets {
            match self.bans.get(&target) {
                Some(ban) if ban.end > now.boot_ns => {
                    self.forget(target).map_err(Failure::system)?;
                    removed.push(target);
                }
                _ => unbans.unknown.push(target.to_string()),
            }
            if let Some(wider) = self.still_banned_by(target, now) {
                unbans
                    .notes
                    .push(format!("{target} is still banned, by the ban of {wider}"));
            }
        }
        unbans.removed = removed.len();
        self.journal.add_unbans(&removed);
        self.keep_copy(now);
        unbans.notes.extend(self.journal.trouble());
        unbans.total = self.bans.len();
        Ok(unbans)
    }

    /// A wider ban that goes on.
    fn still_banned_by(&self, target: BanTarget, now: Now) -> Option<BanTarget> {
        let prefix = target.prefix();
        let wider = (1..prefix.length()).filter_map(|length| {
            let wider = portguard_policy::Prefix::new(prefix.first(), length)?;
            BanTarget::new(wider)
        });
        let lasts = |target: &BanTarget| {
            let ban = self.bans.get(target);
            ban.is_some_and(|ban| ban.end > now.boot_ns)
        };
        wider.into_iter().find(lasts)
    }

    /// The bans behind this one in their order, as many as go into an answer.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the request is not understood.
    pub(super) fn list(&self, after: Option<&str>, now: Now) -> Outcome<BanList> {
        use std::ops::Bound;
        let from = match after {
            Some(text) => Bound::Excluded(target(text)?),
            None => Bound::Unbounded,
        };
        let mut behind = self.bans.range((from, Bound::Unbounded));
        let lasting = behind
            .by_ref()
            .filter(|(_, ban)| ban.end > now.boot_ns)
            .take(PAGE);
        let bans = lasting
            .map(|(target, ban)| BanInfo {
                target: target.to_string(),
                remaining_ms: (ban.end != FOREVER).then(|| (ban.end - now.boot_ns) / 1_000_000),
                until_unix_ms: now.unix_ms_at(ban.end),
                reason: ban.reason.as_deref().map(str::to_owned),
            })
            .collect();
        let is_last = behind.next().is_none();
        Ok(BanList { bans, is_last })
    }

    /// How long until [`Bans::step`] has something to do; `None` if nothing is ahead.
    pub(super) fn due(&self, now: Now) -> Option<Duration> {
        let step = self
            .ends
            .first()
            .map(|(end, _)| (*end).max(self.next_step_ns));
        let retry = self.journal.is_behind().then_some(self.next_retry_ns);
        let due_ns = match (step, retry) {
            (Some(step), Some(retry)) => step.min(retry),
            (step, retry) => step.or(retry)?,
        };
        Some(Duration::from_nanos(due_ns.saturating_sub(now.boot_ns)))
    }

    /// Removes some of the bans that are over, and writes the copy where that failed before.
    pub(super) fn step(&mut self, now: Now) {
        let removed = self.expire(STEP, now);
        let pause = if removed == STEP { PAUSE } else { INTERVAL };
        self.next_step_ns = now.boot_ns + pause.as_nanos() as u64;
        self.keep_copy(now);
    }

    /// Removes at most so many bans that are over; returns how many.
    fn expire(&mut self, most: usize, now: Now) -> usize {
        let mut removed = 0;
        while removed < most
            && let Some((end, target)) = self.ends.first().copied()
            && end <= now.boot_ns
        {
            if let Err(error) = self.forget(target) {
                warn!("a ban that is over keeps its place: {error}");
                // Not again and again.
                self.ends.remove(&(end, target));
            }
            removed += 1;
        }
        removed
    }

    fn forget(&mut self, target: BanTarget) -> Result<(), LoadError> {
        for table in &mut self.tables {
            table.remove(target)?;
        }
        if let Some(ban) = self.bans.remove(&target) {
            self.ends.remove(&(ban.end, target));
        }
        Ok(())
    }

    /// Writes the copy anew where most of it is over, where the clock on the wall has been set, or where something is
    /// missing in it and the last attempt was some time ago.
    fn keep_copy(&mut self, now: Now) {
        let is_due = self.journal.is_behind() && self.next_retry_ns <= now.boot_ns;
        let is_mostly_over = self.journal.is_mostly_over(self.bans.len());
        if is_due || is_mostly_over || self.is_by_another_clock(now) {
            self.write_copy(now);
        }
    }

    fn write_copy(&mut self, now: Now) {
        self.next_retry_ns = now.boot_ns + RETRY.as_nanos() as u64;
        let bans = self.bans.iter().map(|(target, ban)| (*target, ban));
        self.journal.rewrite(bans, now);
    }

    /// Whether the ends in the copy are wrong by the clock on the wall, since that has been set.
    fn is_by_another_clock(&self, now: Now) -> bool {
        !self.ends.is_empty() && self.journal.is_by_another_clock(now)
    }

    /// Writes down what could not be written before, if that is possible now, and ends as the clock on the wall has them:
    /// the host may be about to be restarted.
    pub(super) fn stop(&mut self) {
        let now = Now::read();
        if self.journal.is_behind() || self.is_by_another_clock(now) {
            self.write_copy(now);
        }
    }
}

/// When a ban ends that is made now.
fn end(entry: &BanEntry, now: Now) -> BanEnd {
    entry.for_ms.map_or(FOREVER, |lasts_ms| {
        let lasts_ns = lasts_ms.saturating_mul(1_000_000);
        // The last moment is no end.
        now.boot_ns.saturating_add(lasts_ns).min(FOREVER - 1)
    })
}

/// What a request asks to be banned.
///
/// # Errors
///
/// [`Failure`] when some of it is neither an address nor a prefix.
pub(super) fn prefixes(entries: &[BanEntry]) -> Outcome<Vec<Prefix>> {
    let targets = entries.iter().map(|entry| target(&entry.target));
    targets.map(|target| Ok(target?.prefix())).collect()
}

/// What a request names.
fn target(text: &str) -> Outcome<BanTarget> {
    text.parse()
        .map_err(|error: portguard_policy::BanTargetError| Failure::refused(error))
}
