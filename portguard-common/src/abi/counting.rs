//! What happened, as each CPU counts it.

/// Packets and bytes of one outcome on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Bytes of these frames from the Ethernet header on, without the frame check sequence.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counter>() == 16);

/// Counters that share one map element, where CPUs count in pages.
pub const COUNTER_PAGE_LEN: usize = 64;

/// One map element of the table of counters.
pub type CounterPage = [Counter; COUNTER_PAGE_LEN];

/// Dropped packets of 256 destination ports (or protocols).
pub type DropPage = [u64; 256];

/// Where a CPU counts, where that is not in pages: a [`Counter`] by [`counter`] for each outcome that any policy has, so near the beginning that an
/// instruction names it; dropped packets by [`drops`], the lower half of each, a `u16`, and then the upper one, a `u64`, see
/// [`dropped`]; and the counters of cells and limits, a word of each, and then what has no room in it, a [`Counter`], see
/// [`counted`](crate::abi::counted).
pub mod slot {
    use super::{Counter, counter, drops};
    use crate::abi::CacheLine;

    /// The offset of the lower halves of drops, in bytes.
    pub const DROPS: usize = counter::CELL as usize * size_of::<Counter>();

    /// That of their upper halves.
    pub const UPPER_DROPS: usize =
        (DROPS + drops::LEN as usize * size_of::<u16>()).next_multiple_of(size_of::<CacheLine>());

    /// The offset of the first word behind them, that of the first cell.
    pub const CELLS: usize = UPPER_DROPS + drops::LEN as usize * size_of::<u64>();

    /// The offset of the steps of the first cell, where there are so many counters.
    #[inline(always)]
    pub const fn steps(counters: usize) -> usize {
        (CELLS + cells(counters) * size_of::<u64>()).next_multiple_of(size_of::<CacheLine>())
    }

    /// Bytes of a slot with so many counters. No two slots share a line of the cache, nor the one that a processor fetches with it.
    #[inline(always)]
    pub const fn bytes(counters: usize) -> usize {
        (steps(counters) + cells(counters) * size_of::<Counter>())
            .next_multiple_of(2 * size_of::<CacheLine>())
    }

    #[inline(always)]
    const fn cells(counters: usize) -> usize {
        counters.saturating_sub(counter::CELL as usize)
    }
}

/// Dropped packets in two halves, so that those of a flood to all ports lie in the nearer caches: the lower one counts all 16 bits round, the upper one
/// counts how often the lower one comes to [`dropped::STEP`] or to 0.
pub mod dropped {
    /// The upper half is one more for so many.
    pub const STEP: u16 = 1 << 15;

    /// All of them. A CPU that counts writes one half before the other: which one is behind is told by the highest bit of the lower one, as
    /// both were read within the time of half a step.
    #[inline(always)]
    #[must_use]
    pub const fn total(upper: u64, lower: u16) -> u64 {
        let rest = lower % STEP;
        let is_between = upper % 2 != (lower / STEP) as u64;
        let upper = match is_between {
            false => upper,
            true if rest < STEP / 2 => upper + 1,
            true => upper.saturating_sub(1),
        };
        upper * STEP as u64 + rest as u64
    }

    #[cfg(test)]
    mod tests {
        use super::total;

        #[test]
        fn both_halves_are_one_number_whichever_was_written_first() {
            for count in [
                0,
                1,
                32_767,
                32_768,
                65_535,
                65_536,
                98_303,
                98_304,
                1 << 40,
            ] {
                let halves = |count: u64| (count >> 15, count as u16);
                let (upper, lower) = halves(count);
                assert_eq!(total(upper, lower), count);
                let (next_upper, next_lower) = halves(count + 1);
                // Either as it was before the next one, and the other as it is with it.
                let between = [total(next_upper, lower), total(upper, next_lower)];
                assert!(
                    between.iter().all(|own| (count..=count + 1).contains(own)),
                    "{between:?}"
                );
            }
        }
    }
}

/// Indices of the counters in a [`slot`].
pub mod counter {
    /// First counter of the malformed reasons; [`crate::packet::Malformed`] numbers them.
    pub const MALFORMED: u32 = 16;
    /// First counter of the cells: cell `n` counts at `CELL + n`.
    pub const CELL: u32 = 64;
    /// Stands for no counter.
    pub const NONE: u32 = u32::MAX;

    /// All counters where so many belong to cells and limits.
    pub const fn len(cells: usize) -> usize {
        CELL as usize + cells
    }

    /// The pages of so many.
    pub const fn pages(counters: usize) -> usize {
        counters.div_ceil(crate::abi::COUNTER_PAGE_LEN)
    }
}

/// What decided a frame, other than a rule or a malformed header; the number is the counter's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Builtin {
    /// No rule decided, and `default: pass`.
    DefaultPass = 0,
    /// No rule decided, and `default: drop`.
    DefaultDrop = 1,
    /// No rule decided, and the packet is essential traffic.
    Essential = 2,
    /// The frame does not carry IP.
    NonIp = 3,
    /// No rule decided a later fragment.
    LaterFragment = 4,
    /// The source is trusted.
    Trusted = 5,
    /// The packet would be dropped, but is a reply to what this side started.
    Reply = 6,
    /// The source is banned.
    Banned = 7,
}

impl Builtin {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::DefaultPass,
        Self::DefaultDrop,
        Self::Essential,
        Self::NonIp,
        Self::LaterFragment,
        Self::Trusted,
        Self::Reply,
        Self::Banned,
    ];

    /// The name of this outcome in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DefaultPass => "default-pass",
            Self::DefaultDrop => "default-drop",
            Self::Essential => "essential",
            Self::NonIp => "non-ip",
            Self::LaterFragment => "later-fragment",
            Self::Trusted => "trusted",
            Self::Reply => "reply",
            Self::Banned => "banned",
        }
    }
}

/// Indices of the drops in a [`slot`], by protocol and destination port. TCP, UDP and SCTP lie where they lie
/// in the table of [`service`](super::service)s.
pub mod drops {
    use crate::abi::service;

    /// What has no port, later fragments included, by protocol number.
    pub const PORTLESS: u32 = service::SCTP + (1 << 16);
    /// All indices.
    pub const LEN: u32 = PORTLESS + 256;
    /// Their pages.
    pub const PAGES: u32 = LEN / 256;
}
