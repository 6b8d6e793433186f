//! Packets drawn at random, to measure what one costs when tables do not fit the caches.
//!
//! The kernel draws numbers and makes addresses of them; who measures makes the rules of the same numbers, and so
//! decides how many packets they match.

use crate::mix::splitmix64;

/// From which packets one is drawn. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Draw {
    /// Sources: the numbers below this.
    pub sources: u32,
    /// Destinations likewise.
    pub destinations: u32,
    /// Source ports.
    pub source_ports: Ports,
    /// Destination ports.
    pub ports: Ports,
    /// 1: the destination port of every other packet is the one at the place of the source's number.
    pub paired: u32,
    /// 1: the frame is IPv6, else IPv4.
    pub v6: u32,
}

const _: () = assert!(size_of::<Draw>() == 32);

/// Ports in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ports {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The number of the source, for [`source_v4`] and [`source_v6`].
    pub source: u32,
    /// The number of the destination, for [`destination_v4`] and [`destination_v6`].
    pub destination: u32,
    /// The source port.
    pub source_port: u16,
    /// The destination port.
    pub port: u16,
}

/// A stretch of packets that were drawn one after another, by the clock: the kernel tells whole nanoseconds, and a packet takes some
/// twenty of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stretch {
    /// When the first was drawn, in nanoseconds of the monotonic clock; 0 before.
    pub first_ns: u64,
    /// The first one's number.
    pub first: u64,
    /// Likewise of the last that was timed.
    pub last_ns: u64,
    /// Its number.
    pub last: u64,
}

const _: () = assert!(size_of::<Stretch>() == 32);

impl Stretch {
    /// One packet in so many is timed, since reading the clock takes as long as a packet.
    pub const TIMED: u64 = 1024;

    /// What one packet took; `None` where too few were timed to tell.
    #[must_use]
    pub fn mean_ns(&self) -> Option<f64> {
        let packets = self.last.checked_sub(self.first)?;
        let ns = self.last_ns.checked_sub(self.first_ns)?;
        (packets > 0).then(|| ns as f64 / packets as f64)
    }
}

impl Draw {
    /// Draws packet number `index`. Without a branch, so that every packet of every draw takes the same time.
    #[inline(always)]
    pub const fn tuple(&self, index: u64) -> Tuple {
        let first = splitmix64(index.wrapping_mul(2).wrapping_add(1));
        let second = splitmix64(index.wrapping_mul(2).wrapping_add(2));
        let source = scale(first as u32, self.sources);
        let place = scale(second as u32, self.ports.count);
        let is_paired = (first >> 32) as u32 & self.paired;
        let place = place ^ (place ^ source) & is_paired.wrapping_neg();
        Tuple {
            source,
            destination: scale((first >> 32) as u32, self.destinations),
            source_port: self
                .source_ports
                .at(scale((second >> 32) as u32, self.source_ports.count)),
            port: self.ports.at(place),
        }
    }
}

impl Ports {
    /// The port at a place.
    #[inline(always)]
    pub const fn at(self, place: u32) -> u16 {
        self.first.wrapping_add(place) as u16
    }
}

/// The address of a source.
#[inline(always)]
pub const fn source_v4(number: u32) -> u32 {
    scatter(number)
}

/// The address of a source, by halves: in 2001:db8::/32, and the halves differ from those of all others.
#[inline(always)]
pub const fn source_v6(number: u32) -> [u64; 2] {
    let scattered = scatter(number) as u64;
    [
        0x2001_0db8 << 32 | scattered,
        scattered << 32 | number as u64,
    ]
}

/// The address of a destination.
#[inline(always)]
pub const fn destination_v4(number: u32) -> u32 {
    source_v4(number | 1 << 31)
}

/// The address of a destination, by halves.
#[inline(always)]
pub const fn destination_v6(number: u32) -> [u64; 2] {
    source_v6(number | 1 << 31)
}

/// A number below `count`, each about as often.
#[inline(always)]
const fn scale(random: u32, count: u32) -> u32 {
    ((random as u64 * count as u64) >> 32) as u32
}

/// A permutation of 32 bits (the finaliser of MurmurHash3), so that no two numbers share an address.
#[inline(always)]
const fn scatter(number: u32) -> u32 {
    let number = (number ^ number >> 16).wrapping_mul(0x85eb_ca6b);
    let number = (number ^ number >> 13).wrapping_mul(0xc2b2_ae35);
    number ^ number >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: Draw = Draw {
        sources: 5,
        destinations: 3,
        source_ports: Ports {
            first: 1000,
            count: 7,
        },
        ports: Ports { first: 1, count: 9 },
        paired: 0,
        v6: 0,
    };

    #[test]
    fn a_packet_takes_a_part_of_a_nanosecond() {
        let stretch = |first_ns, first, last_ns, last| Stretch {
            first_ns,
            first,
            last_ns,
            last,
        };
        assert_eq!(stretch(7, 1024, 41_991, 3072).mean_ns(), Some(20.5));
        assert_eq!(stretch(7, 1024, 7, 1024).mean_ns(), None);
        assert_eq!(Stretch::default().mean_ns(), None);
    }

    #[test]
    fn every_value_is_drawn_and_no_other() {
        let mut seen = [[false; 9]; 4];
        for index in 0..1000 {
            let tuple = DRAW.tuple(index);
            seen[0][tuple.source as usize] = true;
            seen[1][tuple.destination as usize] = true;
            seen[2][usize::from(tuple.source_port) - 1000] = true;
            seen[3][usize::from(tuple.port) - 1] = true;
        }
        let counts = seen.map(|values| values.iter().filter(|seen| **seen).count());
        assert_eq!(counts, [5, 3, 7, 9]);
    }

    #[test]
    fn half_of_the_ports_are_paired() {
        let draw = Draw {
            sources: 60_000,
            ports: Ports {
                first: 1,
                count: 60_000,
            },
            paired: 1,
            ..DRAW
        };
        let is_paired = |index: &u64| {
            let tuple = draw.tuple(*index);
            u32::from(tuple.port) == tuple.source + 1
        };
        let paired = (0..10_000).filter(is_paired).count();
        assert!((4_000..6_000).contains(&paired), "{paired}");
    }

    #[test]
    fn addresses_differ() {
        let mut seen = [false; 1 << 16];
        for number in 0..100 {
            for address in [source_v4(number), destination_v4(number)] {
                // Of 200 addresses few share their upper half, unless they are not scattered.
                seen[(address >> 16) as usize] = true;
            }
            assert_eq!(source_v6(number)[0] >> 32, 0x2001_0db8);
            assert_ne!(source_v6(number), destination_v6(number));
        }
        assert!(seen.iter().filter(|seen| **seen).count() > 190);
    }
}
