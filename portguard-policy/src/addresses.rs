//! Sets of addresses.

use std::net::IpAddr;

use crate::prefix::Prefix;

/// Addresses of both families, as ranges from low to high, both included, in ascending order; no two of a
/// family overlap or touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Addresses {
    /// The union of ranges, each from low to high.
    pub fn new(v4: Vec<(u32, u32)>, v6: Vec<(u128, u128)>) -> Self {
        Self {
            v4: join(v4),
            v6: join(v6),
        }
    }

    /// The ranges of IPv4.
    pub fn v4(&self) -> &[(u32, u32)] {
        &self.v4
    }

    /// The ranges of IPv6.
    pub fn v6(&self) -> &[(u128, u128)] {
        &self.v6
    }

    /// Whether it holds no address at all.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Number of ranges of both families.
    pub(crate) fn ranges(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether it holds an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => holds(&self.v4, u32::from(address)),
            IpAddr::V6(address) => holds(&self.v6, u128::from(address)),
        }
    }

    /// Whether it holds every address of a prefix.
    pub fn covers(&self, prefix: &Prefix) -> bool {
        match (prefix.first(), prefix.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                covers(&self.v4, u32::from(first), u32::from(last))
            }
            (first, last) => covers(&self.v6, number(first), number(last)),
        }
    }

    /// Whether it holds some address of a prefix.
    pub fn overlaps(&self, prefix: &Prefix) -> bool {
        match (prefix.first(), prefix.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                overlaps(&self.v4, u32::from(first), u32::from(last))
            }
            (first, last) => overlaps(&self.v6, number(first), number(last)),
        }
    }
}

/// An address of IPv6 as a number.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Addresses as they are gathered, in any order.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Ranges {
    pub(crate) fn push(&mut self, prefix: Prefix) {
        match prefix.first() {
            IpAddr::V4(first) => {
                let first = u32::from(first);
                self.v4.push((first, first | prefix.host_v4()));
            }
            IpAddr::V6(first) => {
                let first = u128::from(first);
                self.v6.push((first, first | prefix.host_v6()));
            }
        }
    }

    pub(crate) fn extend(&mut self, addresses: &Addresses) {
        self.v4.extend_from_slice(&addresses.v4);
        self.v6.extend_from_slice(&addresses.v6);
    }

    pub(crate) fn join(self) -> Addresses {
        let mut addresses = Addresses::new(self.v4, self.v6);
        // A list of a million neighbours may be one range.
        addresses.v4.shrink_to_fit();
        addresses.v6.shrink_to_fit();
        addresses
    }
}

/// A value of a range.
pub(crate) trait Value: Ord + Copy {
    /// The next one, if there is one.
    fn after(self) -> Option<Self>;
}

impl Value for u32 {
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Value for u128 {
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Sorts ranges, both ends included, and joins those that overlap or touch.
pub(crate) fn join<T: Value>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let touches = last.1.after().is_none_or(|after| next.0 <= after);
        if touches {
            last.1 = last.1.max(next.1);
        }
        touches
    });
    ranges
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    overlaps(ranges, value, value)
}

fn overlaps<T: Ord + Copy>(ranges: &[(T, T)], first: T, last: T) -> bool {
    let place = ranges.partition_point(|(_, high)| *high < first);
    ranges.get(place).is_some_and(|(low, _)| *low <= last)
}

/// One range must hold them all, since no two of them touch.
fn covers<T: Ord + Copy>(ranges: &[(T, T)], first: T, last: T) -> bool {
    let place = ranges.partition_point(|(_, high)| *high < first);
    let range = ranges.get(place);
    range.is_some_and(|(low, high)| *low <= first && last <= *high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined() {
        let addresses = Addresses::new(
            vec![(10, 20), (5, 9), (15, 30), (32, 32), (u32::MAX, u32::MAX)],
            vec![(0, u128::MAX), (7, 9)],
        );
        assert_eq!(addresses.v4(), [(5, 30), (32, 32), (u32::MAX, u32::MAX)]);
        assert_eq!(addresses.v6(), [(0, u128::MAX)]);
        for (address, held) in [(4, false), (5, true), (30, true), (31, false), (32, true)] {
            assert_eq!(addresses.contains(IpAddr::V4(address.into())), held);
        }
        assert!(addresses.contains(IpAddr::V4(u32::MAX.into())));
        assert!(!Addresses::default().contains(IpAddr::V6(0.into())));
    }

    #[test]
    fn prefixes_are_covered_or_overlap() {
        let prefix = |text: &str| crate::prefix::parse(text.as_bytes()).expect(text).prefix;
        let mut ranges = Ranges::default();
        for text in [
            "192.0.2.0/25",
            "192.0.2.128/26",
            "10.0.0.1",
            "2001:db8::/64",
        ] {
            ranges.push(prefix(text));
        }
        let addresses = ranges.join();
        for (text, covers, overlaps) in [
            ("192.0.2.0/25", true, true),
            ("192.0.2.64/26", true, true),
            ("192.0.2.0/24", false, true),
            ("192.0.2.128/25", false, true),
            ("192.0.2.192/26", false, false),
            ("192.0.3.0/24", false, false),
            ("192.0.1.0/24", false, false),
            ("10.0.0.1", true, true),
            ("10.0.0.0/31", false, true),
            ("10.0.0.0", false, false),
            ("10.0.0.2", false, false),
            ("2001:db8::1", true, true),
            ("2001:db8::/48", false, true),
            ("2001:db8:0:1::/64", false, false),
            ("::/8", false, false),
        ] {
            assert_eq!(addresses.covers(&prefix(text)), covers, "{text}");
            assert_eq!(addresses.overlaps(&prefix(text)), overlaps, "{text}");
        }
    }
}
