//! When a packet last left by a port, in a byte: so many ports lie in the nearer caches that what arrives at any of them is mostly found out there.
//!
//! It is asked before a flow is looked up, which knows its own time exactly. So it may take what is over for what is not, as one of 256 units ago,
//! but never the other way round.

use crate::abi::local_port;
use crate::flow_table::{DATAGRAM_NS, TCP_NS};

/// When a packet last left by an index of [`local_port`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSent(u8);

impl LastSent {
    /// None ever did.
    pub const NEVER: Self = Self(0);

    /// By what stands in memory.
    #[inline(always)]
    #[must_use]
    pub const fn of_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// What stands in memory.
    #[inline(always)]
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// A time, in nanoseconds of the monotonic clock.
    #[inline(always)]
    #[must_use]
    pub const fn at(index: u32, now_ns: u64) -> Self {
        let unit = (now_ns >> Unit::of(index).shift) as u8;
        // The unit behind it stands for the one that would be never.
        Self(if unit == Self::NEVER.0 { 1 } else { unit })
    }

    /// Whether all flows by this index are over for good. A time that lies ahead, as another CPU may have written it, is the present.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(self, index: u32, now_ns: u64) -> bool {
        let age = Self::at(index, now_ns).0.wrapping_sub(self.0);
        age > Unit::of(index).lifetime && age < Self::AHEAD
    }

    /// Ages from here on are those of times that lie ahead.
    const AHEAD: u8 = u8::MAX - 1;
}

/// A unit of time.
struct Unit {
    /// 2 to this nanoseconds.
    shift: u32,
    /// How long a flow lasts, in units.
    lifetime: u8,
}

impl Unit {
    /// 4.3 seconds.
    const DATAGRAM: Self = Self::new(32, DATAGRAM_NS);
    /// 2.4 hours.
    const TCP: Self = Self::new(43, TCP_NS);

    const fn new(shift: u32, lifetime_ns: u64) -> Self {
        // A unit that has begun counts, at either end; so does one where the present stands for the unit before it, and one where another CPU wrote
        // a little earlier time a little later.
        let lifetime = (lifetime_ns >> shift) + 3;
        assert!(lifetime < 128);
        Self {
            shift,
            lifetime: lifetime as u8,
        }
    }

    #[inline(always)]
    const fn of(index: u32) -> Self {
        if index < local_port::UDP {
            Self::TCP
        } else {
            Self::DATAGRAM
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [(u32, u64); 2] = [
        (local_port::TCP + 9, TCP_NS),
        (local_port::UDP, DATAGRAM_NS),
    ];

    #[test]
    fn no_flow_that_lasts_is_taken_for_over() {
        for (index, lifetime_ns) in KINDS {
            let unit_ns = 1 << Unit::of(index).shift;
            // Over all that a byte tells apart, at the edges of units and within them.
            let numbers = 1..600_u64;
            for sent in numbers
                .flat_map(|unit| [-1, 0, 5].map(|off| (unit * unit_ns).wrapping_add_signed(off)))
            {
                let last = LastSent::at(index, sent);
                assert_ne!(last, LastSent::NEVER, "{sent}");
                for age in [0, 1, unit_ns, lifetime_ns / 2, lifetime_ns - 1, lifetime_ns] {
                    assert!(!last.is_over(index, sent + age), "{index} {sent} {age}");
                    // Of another flow of the port, by a CPU that read the clock before and writes after.
                    let before = LastSent::at(index, sent - 1);
                    assert!(!before.is_over(index, sent + age), "{index} {sent} {age}");
                }
                // By a CPU whose clock is ahead.
                assert!(!last.is_over(index, sent - 1), "{index} {sent}");
            }
        }
    }

    #[test]
    fn what_is_long_over_is_mostly_found_out() {
        for (index, lifetime_ns) in KINDS {
            for number in 0..300 {
                let sent = number * lifetime_ns / 40;
                let last = LastSent::at(index, sent);
                for tenths in 12..45 {
                    let now = sent + lifetime_ns / 10 * tenths;
                    assert!(last.is_over(index, now), "{index} {sent} {tenths}");
                }
            }
        }
    }

    #[test]
    fn it_is_kept_in_a_byte() {
        let last = LastSent::at(local_port::UDP, 7 << 32 | 5);
        assert_eq!(last.byte(), 7);
        assert_eq!(LastSent::of_byte(7), last);
        assert_eq!(LastSent::at(local_port::TCP, 9 << 43).byte(), 9);
        assert_eq!(LastSent::at(local_port::UDP, 256 << 32).byte(), 1);
        assert_eq!(LastSent::of_byte(0), LastSent::NEVER);
    }
}
