//! Drop events: takes them from the kernel, hands out how many more it may tell, and passes them on to readers.
//!
//! While there is something to tell, the counts of the kernel are looked at several times a second; otherwise this sleeps until
//! an event arrives.

mod feed;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use portguard_common::abi::{EventCount, EventHeader};
use portguard_policy::{Policy, Rate};
use tokio::time::Instant;
use tracing::{error, warn};

use crate::control::{Answer, Event, EventAccount};
use crate::dataplane::{Generation, LoadError, WatchedRing, boot_time_ns, events};
use crate::observe::budget::{Budget, Handout, hand_out};

pub(super) use self::feed::{Feed, Host, QUEUE_BYTES, Reader, feed};
use self::text::{About, hexadecimal};

/// How long what is handed out lasts.
const TICK: Duration = Duration::from_millis(100);

/// How long to wait after the kernel refused something.
const PAUSE: Duration = Duration::from_secs(1);

/// Handing out may take this part of the time.
const SHARE_OF_TIME: u32 = 10;

/// Events that are taken at once; then others have their turn.
const BATCH: usize = 4096;

/// More events than a ring holds: each takes its header and eight bytes more.
const ALL: usize = portguard_common::limits::EVENT_RING_BYTES as usize / 40;

/// Everything about drop events.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// Those of the generations at work: one, but where nothing outlives a generation.
    rings: Vec<WatchedRing>,
    /// There may be more in a ring, and the kernel does not say so again.
    has_more: bool,
    budget: Option<(Rate, Budget)>,
    /// When to look at the counts; `None` for when an event arrives.
    due: Option<Instant>,
    /// Nothing was wanted when they were looked at last.
    was_quiet: bool,
    /// When they were looked at.
    looked: Option<Instant>,
    /// By the number of the generation.
    seen: BTreeMap<u64, Seen>,
    /// Who gets first what cannot be divided.
    first: usize,
    readers: Vec<Feed>,
    host: Host,
}

/// What is known of a generation's events.
#[derive(Debug, Default)]
struct Seen {
    counts: Vec<EventCount>,
    /// Groups that are no newcomers, or may not be.
    known: BTreeSet<usize>,
}

/// An event as it comes from the kernel.
pub(super) type Record = (EventHeader, Vec<u8>);

/// A generation that tells events, or has told some that are still on their way.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) id: u64,
    pub(super) number: u64,
    pub(super) generation: &'s Generation,
    pub(super) policy: &'s Policy,
    pub(super) path: &'s std::path::Path,
}

impl Teller {
    /// Makes ready for a generation that is about to be attached: its first events may be told before anybody looks.
    pub(super) fn prepare(&mut self, generation: &mut Generation, policy: &Policy) {
        let Some(asked) = policy.events.filter(|_| generation.tells_events()) else {
            return;
        };
        let now_ns = boot_time_ns();
        let (_, budget) = self
            .budget
            .get_or_insert_with(|| (asked.rate, Budget::new(&asked.rate, now_ns)));
        budget.advance(now_ns);
        let open = hand_out(&[], budget.available(), 0);
        let done = self
            .open(generation)
            .and_then(|()| generation.set_event_pool(open.pool, open.reserve));
        // What is dropped does not depend on what is told.
        if let Err(error) = done {
            error!("drop events cannot be told: {error}");
        }
        // Soon, so that all is shared among those who are at work then.
        self.due = Some(Instant::now());
    }

    fn open(&mut self, generation: &Generation) -> Result<(), LoadError> {
        let id = generation.event_ring_id()?;
        if self.rings.iter().all(|ring| ring.id() != id) {
            let ring = WatchedRing::new(generation.event_ring()?).map_err(LoadError::Descriptor)?;
            self.rings.push(ring);
            self.has_more = true;
        }
        Ok(())
    }

    /// Closes the rings that belong to none of these generations; whatever was in them is taken by now.
    pub(super) fn keep_rings_of<'g>(&mut self, generations: impl Iterator<Item = &'g Generation>) {
        let ids: Vec<u32> = generations
            .filter(|generation| generation.tells_events())
            .filter_map(|generation| generation.event_ring_id().ok())
            .collect();
        self.rings.retain(|ring| ids.contains(&ring.id()));
    }

    /// Waits until [`Teller::take`] or [`Teller::hand_out`] has something to do. May be dropped before.
    pub(super) async fn due(&self) {
        if self.has_more {
            return;
        }
        let time = async {
            match self.due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let arrival = std::future::poll_fn(|context| {
            for ring in &self.rings {
                // A ring that cannot be waited for is looked at when the counts are.
                if let Poll::Ready(Ok(())) = ring.poll_arrival(context) {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        });
        tokio::select! {
            () = time => {}
            () = arrival => {}
        }
    }

    /// Takes events that have arrived: some, or all that are there.
    pub(super) fn take(&mut self, all: bool) -> Vec<Record> {
        let most = if all { ALL } else { BATCH };
        let mut records = Vec::new();
        self.has_more = false;
        for ring in &mut self.rings {
            let end = records.len() + most;
            while records.len() < end
                && let Some(record) = ring.take()
            {
                records.push(record);
            }
            self.has_more |= records.len() == end;
        }
        if !records.is_empty() {
            // Whoever told something may have more to tell.
            let soon = self
                .looked
                .map_or_else(Instant::now, |looked| looked + TICK);
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        }
        records
    }

    /// Whether anybody wants to hear of events.
    pub(super) fn is_read(&mut self) -> bool {
        self.readers.retain(Feed::is_read);
        !self.readers.is_empty()
    }

    /// Passes events on.
    pub(super) fn pass_on(
        &mut self,
        records: &[Record],
        sources: &[Source<'_>],
        interface: impl Fn(u32) -> String,
    ) {
        if !self.is_read() {
            return;
        }
        // The kernel's clock of events, and the one that people read.
        let offset_s = super::unix_time() - boot_time_ns() as f64 / 1e9;
        for (header, bytes) in records {
            // One of a daemon before this one has no reader here.
            let Some(source) = sources
                .iter()
                .find(|source| source.id as u32 == header.generation)
            else {
                continue;
            };
            let about = About {
                outcome: source.generation.outcome(header.counter),
                policy: source.policy,
                path: source.path,
                number: source.number,
                interface: interface(header.ifindex),
                unix_time: offset_s + header.time_ns as f64 / 1e9,
            };
            self.send(text::event(header, bytes, about), bytes);
        }
    }

    fn send(&self, event: Event, bytes: &[u8]) {
        let mut plain = None;
        let mut full = None;
        for reader in &self.readers {
            if !reader.filter.matches(&event) {
                continue;
            }
            let line = if reader.with_bytes {
                full.get_or_insert_with(|| {
                    line(Event {
                        bytes: Some(hexadecimal(bytes)),
                        ..event.clone()
                    })
                })
            } else {
                plain.get_or_insert_with(|| line(event.clone()))
            };
            if let Some(line) = line {
                reader.push(line);
            }
        }
    }

    /// Looks at what became of events, and hands out how many more may be told, if it is time for that: `true` then.
    pub(super) fn hand_out(
        &mut self,
        sources: &mut [(u64, &mut Generation)],
        rate: Option<Rate>,
    ) -> Result<bool, LoadError> {
        let start = Instant::now();
        if self.due.is_none_or(|due| due > start) {
            return Ok(false);
        }
        self.looked = Some(start);
        // Where the kernel refuses, it is asked again.
        self.due = Some(start + PAUSE);
        self.seen
            .retain(|id, _| sources.iter().any(|(live, _)| live == id));
        // Of each: the place of its generation, its group, and how many it wanted.
        let mut wanted: Vec<(usize, usize, u64)> = Vec::new();
        let mut told = 0;
        for (place, (id, generation)) in sources.iter().enumerate() {
            let seen = self.seen.entry(*id).or_default();
            let counts = generation.event_counts()?;
            seen.counts.resize(counts.len(), EventCount::default());
            for (group, (now, before)) in counts.iter().zip(&seen.counts).enumerate() {
                let spent = now.emitted + now.lost - before.emitted - before.lost;
                let want = spent + now.suppressed - before.suppressed;
                if want > 0 {
                    wanted.push((place, group, want));
                    told += spent;
                }
            }
            seen.counts = counts;
        }
        let Some(rate) = rate else {
            self.due = None;
            return Ok(true);
        };
        let now_ns = boot_time_ns();
        let (present, budget) = self
            .budget
            .get_or_insert_with(|| (rate, Budget::new(&rate, now_ns)));
        if *present != rate {
            budget.set_rate(&rate);
            *present = rate;
        }
        budget.advance(now_ns);
        budget.spend(told);
        let wants: Vec<u64> = wanted.iter().map(|(.., want)| *want).collect();
        let handout = hand_out(&wants, budget.available(), self.first);
        self.first = self.first.wrapping_add(1);
        let rest = Duration::from_nanos(budget.full_in_ns());
        self.write(sources, &wanted, &handout)?;
        let end = Instant::now();
        self.due = if !wanted.is_empty() {
            Some(end + TICK.max((end - start) * (SHARE_OF_TIME - 1)))
        } else if !self.was_quiet || !rest.is_zero() {
            // What is saved up meanwhile is for whoever comes first. And whoever came just before the pool was filled has
            // told nothing that would wake us: once more, then.
            Some(end + rest.max(TICK))
        } else {
            None
        };
        self.was_quiet = wanted.is_empty();
        Ok(true)
    }

    fn write(
        &mut self,
        sources: &mut [(u64, &mut Generation)],
        wanted: &[(usize, usize, u64)],
        handout: &Handout,
    ) -> Result<(), LoadError> {
        for (place, (id, generation)) in sources.iter_mut().enumerate() {
            let known = &mut self.seen.entry(*id).or_default().known;
            let own = wanted
                .iter()
                .enumerate()
                .filter(|(_, (owner, ..))| *owner == place)
                .map(|(index, (_, group, _))| (index, *group));
            let mut shares: BTreeMap<usize, Option<u64>> =
                known.iter().map(|group| (*group, None)).collect();
            for (index, group) in own {
                let share = handout.shares.as_ref().map(|shares| shares[index]);
                shares.insert(group, share);
            }
            // The pool first: a newcomer that finds it empty has to wait for the next time.
            generation.set_event_pool(handout.pool, handout.reserve)?;
            known.clear();
            for (group, share) in shares {
                generation.set_event_credit(u32::try_from(group).unwrap_or(u32::MAX), share)?;
                if share.is_some() {
                    known.insert(group);
                }
            }
        }
        Ok(())
    }

    /// Forgets what a generation counted that is at work nowhere any more, once that is in the budget.
    pub(super) fn forget(&mut self, id: u64, counts: EventCount) {
        let before = self.seen.remove(&id).map(|seen| events::sum(&seen.counts));
        let before = before.unwrap_or_default();
        let told = counts.emitted + counts.lost - before.emitted - before.lost;
        if let Some((_, budget)) = &mut self.budget {
            budget.spend(told);
        }
    }

    /// Tells readers what became of events.
    pub(super) fn tell_account(&mut self, account: EventAccount, enabled: bool) {
        self.host = Host { account, enabled };
        for reader in &self.readers {
            reader.tell(self.host);
        }
    }

    /// What the generations at work had counted when they were looked at.
    pub(super) fn counted(&self) -> EventCount {
        let counts = self.seen.values().map(|seen| events::sum(&seen.counts));
        counts.fold(EventCount::default(), events::add)
    }

    /// The account that was told last.
    pub(super) const fn last_account(&self) -> EventAccount {
        self.host.account
    }

    /// Takes a reader in.
    pub(super) fn add(&mut self, reader: Feed) {
        self.readers.push(reader);
    }
}

fn line(event: Event) -> Option<Arc<str>> {
    match serde_json::to_string(&Answer::Event(event)) {
        Ok(mut line) => {
            line.push('\n');
            Some(line.into())
        }
        Err(error) => {
            warn!("an event cannot be told: {error}");
            None
        }
    }
}
