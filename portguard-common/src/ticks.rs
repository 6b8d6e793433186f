//! The kernel's count of timer ticks as a time: it is one word of memory, for which no function has to be called.

use core::num::NonZeroU32;

/// Linux begins to count 300 seconds before this, so that the lower half overflows soon after each start (`INITIAL_JIFFIES` of
/// linux/jiffies.h).
const OVERFLOW: u64 = 1 << 32;

/// How a count of ticks (`jiffies_64`) becomes a time of the monotonic clock, exact to two ticks. A kernel that has slept through ticks
/// counts them by that clock when it wakes; what it missed while it started, it missed once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// Nanoseconds from one to the next.
    pub tick_ns: u32,
    /// How far below 2³² the count was at the clock's 0.
    pub below: u32,
}

impl Ticks {
    /// By the lower half of the count at a time.
    #[must_use]
    pub const fn new(tick_ns: NonZeroU32, count: u32, now_ns: u64) -> Self {
        let ticks = now_ns / tick_ns.get() as u64;
        Self {
            tick_ns: tick_ns.get(),
            below: (ticks as u32).wrapping_sub(count),
        }
    }

    /// The time at a count, in nanoseconds.
    #[inline(always)]
    #[must_use]
    pub const fn ns(self, count: u64) -> u64 {
        let ticks = count.wrapping_add(self.below as u64).wrapping_sub(OVERFLOW);
        ticks.wrapping_mul(self.tick_ns as u64)
    }
}
