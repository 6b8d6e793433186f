//! Drop events: the ring through which they come, how many may be told, and what became of them.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::task::{Context, Poll};

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, RingBuf};
use portguard_common::abi::{EventCount, EventCountPage, EventHeader, credit, symbol};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::generation::{Generation, LoadError};

/// The ring of events. Generations of one state share it, and it outlives them.
pub struct EventRing {
    ring: RingBuf<MapData>,
    /// The kernel's ID of it.
    id: u32,
}

impl std::fmt::Debug for EventRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRing")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl AsRawFd for EventRing {
    fn as_raw_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl EventRing {
    /// The kernel's number of the ring.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Takes the oldest event out: what is known of the frame, and its first bytes.
    pub fn take(&mut self) -> Option<(EventHeader, Vec<u8>)> {
        loop {
            let record = self.ring.next()?;
            match EventHeader::read(&record) {
                Some((header, bytes)) => return Some((header, bytes.to_vec())),
                None => tracing::error!("an event of {} bytes is none", record.len()),
            }
        }
    }
}

/// A ring that can be waited for, within a tokio runtime.
#[derive(Debug)]
pub struct WatchedRing(AsyncFd<EventRing>);

impl WatchedRing {
    /// Has the runtime watch a ring.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn new(ring: EventRing) -> io::Result<Self> {
        // SAFETY: the ring owns its descriptor, which stays the same as long as it lives, and nothing else closes it.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) };
        Ok(Self(ring?))
    }

    /// The kernel's number of the ring.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.get_ref().id()
    }

    /// As [`EventRing::take`].
    pub fn take(&mut self) -> Option<(EventHeader, Vec<u8>)> {
        self.0.get_mut().take()
    }

    /// Ready when events have arrived, once: they must all be taken then, or the kernel does not say when more arrive.
    pub fn poll_arrival(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(context).map(|ready| {
            // Before the ring is emptied: what comes after that is told anew.
            ready?.clear_ready();
            Ok(())
        })
    }
}

impl Generation {
    /// The ring to which this generation's events go. Only one reader may take events out of it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn event_ring(&self) -> Result<EventRing, LoadError> {
        let error = |source| LoadError::Map {
            name: symbol::EVENTS,
            source,
        };
        let Map::RingBuf(data) = self.map(symbol::EVENTS)? else {
            return Err(LoadError::Missing(symbol::EVENTS));
        };
        let fd = data.fd().as_fd().try_clone_to_owned();
        let fd = fd.map_err(|io| error(MapError::IoError(io)))?;
        let data = MapData::from_fd(fd).map_err(error)?;
        let id = data.info().map_err(error)?.id();
        let ring = RingBuf::try_from(Map::RingBuf(data)).map_err(error)?;
        Ok(EventRing { ring, id })
    }

    /// The kernel's number of this ring.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn event_ring_id(&self) -> Result<u32, LoadError> {
        let error = |source| LoadError::Map {
            name: symbol::EVENTS,
            source,
        };
        let Map::RingBuf(data) = self.map(symbol::EVENTS)? else {
            return Err(LoadError::Missing(symbol::EVENTS));
        };
        Ok(data.info().map_err(error)?.id())
    }

    /// What became of the events of each group, summed over the CPUs. Some groups at the end may be nobody's.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn event_counts(&self) -> Result<Vec<EventCount>, LoadError> {
        read_counts(&self.per_cpu::<EventCountPage>(symbol::EVENT_COUNTS)?)
    }

    /// Sets what is there for groups without credit of their own, and how much of it each may take one of.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn set_event_pool(&mut self, pool: u64, reserve: u64) -> Result<(), LoadError> {
        let mut credits = self.credits()?;
        for (index, word) in [(credit::RESERVE, reserve), (credit::POOL, pool)] {
            credits.set(index, word, 0).map_err(credits_error)?;
        }
        Ok(())
    }

    /// Sets how many events a group may tell; `None` makes it a newcomer.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn set_event_credit(&mut self, group: u32, events: Option<u64>) -> Result<(), LoadError> {
        let word = match events {
            Some(events) => credit::USED_UP.saturating_add(events),
            None => credit::NEWCOMER,
        };
        let mut credits = self.credits()?;
        credits
            .set(credit::GROUPS + group, word, 0)
            .map_err(credits_error)
    }

    fn credits(&mut self) -> Result<Array<&mut MapData, u64>, LoadError> {
        let name = symbol::EVENT_CREDITS;
        let map = self.ebpf_mut().map_mut(name);
        Array::try_from(map.ok_or(LoadError::Missing(name))?).map_err(credits_error)
    }
}

/// What became of the events of all groups together.
#[must_use]
pub fn sum(counts: &[EventCount]) -> EventCount {
    counts
        .iter()
        .fold(EventCount::default(), |sum, next| add(sum, *next))
}

/// The sum of two counts.
#[must_use]
pub fn add(left: EventCount, right: EventCount) -> EventCount {
    EventCount {
        emitted: left.emitted + right.emitted,
        suppressed: left.suppressed + right.suppressed,
        lost: left.lost + right.lost,
    }
}

/// Reads the counts of all groups.
pub(super) fn read_counts(
    map: &PerCpuArray<&MapData, EventCountPage>,
) -> Result<Vec<EventCount>, LoadError> {
    let mut counts = Vec::new();
    for page in 0..map.len() {
        let per_cpu = map.get(&page, 0).map_err(|source| LoadError::Map {
            name: symbol::EVENT_COUNTS,
            source,
        })?;
        let first = counts.len();
        for cpu in per_cpu.iter() {
            counts.resize(first + cpu.len(), EventCount::default());
            for (sum, next) in counts[first..].iter_mut().zip(cpu) {
                *sum = add(*sum, *next);
            }
        }
    }
    Ok(counts)
}

fn credits_error(source: MapError) -> LoadError {
    let name = symbol::EVENT_CREDITS;
    LoadError::Map { name, source }
}
