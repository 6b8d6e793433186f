//! What is told of single frames.

use crate::limits::SNAP_MAX;

/// What the last run decided, left for `replay` and tests with [`super::TELL_TRACE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Trace {
    /// The time of the next run, in nanoseconds; 0 for the kernel's clock.
    pub now_ns: u64,
    /// The interface on which the next frame arrives; 0 for the one that the kernel says.
    pub ifindex: u32,
    /// The counter of the outcome.
    pub counter: u32,
    /// The counter of the rules that only count, or [`super::counter::NONE`].
    pub shadow: u32,
    /// The cell.
    pub cell: u32,
    /// Which limits of the cell the packet is beyond, bit by bit from the first.
    pub beyond: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Trace>() == 32);

/// What is told of one frame that was dropped, or would have been: a record of the ring of events, with as many of the
/// frame's bytes behind it as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventHeader {
    /// When, in nanoseconds of the boot-time clock.
    pub time_ns: u64,
    /// The generation that decided, as [`super::Setting::Generation`] numbers it.
    pub generation: u32,
    /// The index of the interface on which the frame arrived.
    pub ifindex: u32,
    /// Bytes of the frame.
    pub frame_len: u32,
    /// Bytes of it in the record, from its Ethernet header on.
    pub captured_len: u32,
    /// The counter of the outcome.
    pub counter: u32,
    /// [`EventHeader::NOT_ENFORCED`], [`EventHeader::REJECTED`].
    pub flags: u32,
}

const _: () = assert!(size_of::<EventHeader>() == 32);

impl EventHeader {
    /// The frame passed, since the policy is not enforced.
    pub const NOT_ENFORCED: u32 = 1;
    /// The frame was rejected.
    pub const REJECTED: u32 = 2;

    /// Reads a record; `None` if it is none. The second part is what it has of the frame.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<(Self, &[u8])> {
        let (time, rest) = record.split_first_chunk()?;
        let (words, bytes) = rest.split_first_chunk::<24>()?;
        let word = |place: usize| {
            let at = place * 4;
            u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]])
        };
        let header = Self {
            time_ns: u64::from_ne_bytes(*time),
            generation: word(0),
            ifindex: word(1),
            frame_len: word(2),
            captured_len: word(3),
            counter: word(4),
            flags: word(5),
        };
        let bytes = bytes.get(..header.captured_len as usize)?;
        Some((header, bytes))
    }

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The largest record.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EventRecord {
    /// What is known of the frame.
    pub header: EventHeader,
    /// What is kept of it.
    pub bytes: [u8; SNAP_MAX as usize],
}

const _: () = assert!(size_of::<EventRecord>() == 32 + SNAP_MAX as usize);

/// What became of the events of a group, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventCount {
    /// They are in the ring, or were.
    pub emitted: u64,
    /// There was no credit left.
    pub suppressed: u64,
    /// The ring had no room.
    pub lost: u64,
}

const _: () = assert!(size_of::<EventCount>() == 24);

/// Groups that share one map element of counts.
pub const EVENT_COUNTS_PER_PAGE: usize = 64;

/// One map element of the counts of events.
pub type EventCountPage = [EventCount; EVENT_COUNTS_PER_PAGE];

/// Halves in one element of the map of groups.
pub const HALVES: usize = 256;

/// The groups of outcomes among which events are shared. What is no rule has the number of its counter.
pub mod event_group {
    /// The group of the first rule; the others follow in their order.
    pub const RULE: u32 = crate::abi::counter::CELL;
    /// In the table of groups by counter: an entry is one more than a group, and 0 where nothing is told.
    pub const FIRST_ENTRY: u32 = 1;

    /// The group of the rule with this index.
    #[must_use]
    pub const fn of_rule(rule: usize) -> usize {
        RULE as usize + rule
    }
}

/// How many events may be told: words that the daemon writes, and the kernel counts down.
pub mod credit {
    /// What is there for groups that have no credit of their own.
    pub const POOL: u32 = 0;
    /// Of the pool, what each of them may take one of; beyond it they take as many as come.
    pub const RESERVE: u32 = 1;
    /// The words of the groups, in their order.
    pub const GROUPS: u32 = 2;

    /// A group that has asked for nothing yet: it takes of the pool.
    pub const NEWCOMER: u64 = 0;
    /// A group that may tell no more for now. A higher word says how many more it may, beyond this.
    pub const USED_UP: u64 = 1;
}
