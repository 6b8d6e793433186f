//! What a policy says of packets: cells, and the limits that they ask.

use super::counter;

/// What a cell says of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// No enforced rule matches: `default`, `fragments` or the exemption of essential traffic decides.
    #[default]
    Undecided = 0,
    /// The deciding rule passes the packet.
    Pass = 1,
    /// The deciding rule drops the packet.
    Drop = 2,
    /// The deciding rule drops the packet and answers its sender.
    Reject = 3,
    /// The deciding rule passes the packet up to a rate.
    Limit = 4,
    /// The source is trusted: no rule was asked.
    Trusted = 5,
}

impl Action {
    /// All of them, by number.
    pub const ALL: [Self; 6] = [
        Self::Undecided,
        Self::Pass,
        Self::Drop,
        Self::Reject,
        Self::Limit,
        Self::Trusted,
    ];

    /// The action of a number; what is none counts as undecided.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Pass,
            2 => Self::Drop,
            3 => Self::Reject,
            4 => Self::Limit,
            5 => Self::Trusted,
            _ => Self::Undecided,
        }
    }
}

/// One entry of the table of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cell {
    /// An [`Action`].
    pub action: u8,
    /// 0.
    pub reserved: u8,
    /// The cell that counts the rules which only count (`enforce: false`) and match before the deciding one,
    /// where something else than that rule turns out to decide; 0 if there are none.
    pub shadow: u16,
    /// One more than the index of the first [`Limit`] to ask; 0 if there is none.
    pub limits: u32,
}

const _: () = assert!(size_of::<Cell>() == 8);

impl Cell {
    /// The cell of packets that no rule matches. It is always cell 0.
    pub const NO_RULE: Self = Self {
        action: Action::Undecided as u8,
        reserved: 0,
        shadow: 0,
        limits: 0,
    };

    /// What the deciding rule says.
    #[inline(always)]
    pub const fn action(self) -> Action {
        Action::from_number(self.action)
    }
}

/// A rule's ceiling, as one cell asks for it. The limits of a cell lie one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// Nanoseconds for one packet.
    pub interval_ns: u64,
    /// How far ahead of the clock a bucket may be: the time of one packet less than the burst.
    pub tolerance_ns: u64,
    /// The counter of the packets beyond the limit.
    pub counter: u32,
    /// The rule's own bucket, an index of the table of rule buckets.
    pub bucket: u32,
    /// [`Limit::PER_SOURCE`], [`Limit::DECIDES`], [`Limit::LAST`].
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Limit>() == 32);

impl Limit {
    /// Each source has a bucket of its own.
    pub const PER_SOURCE: u32 = 1;
    /// The rule decides the packet; without it, it only counts.
    pub const DECIDES: u32 = 2;
    /// The last of a cell.
    pub const LAST: u32 = 4;

    /// Stands where there is none, so that the walk over the limits of a cell ends.
    pub const NONE: Self = Self {
        interval_ns: 1,
        tolerance_ns: 0,
        counter: counter::NONE,
        bucket: 0,
        flags: Self::LAST,
        reserved: 0,
    };

    /// Whether a flag is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}
