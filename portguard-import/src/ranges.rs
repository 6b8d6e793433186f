//! Sets of numbers, as ranges: ports, addresses, ICMP types with their codes, protocols.

/// Numbers from 0 to a largest one that the owner knows, as ranges that are sorted, apart and not adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    /// No number.
    pub(crate) const EMPTY: Self = Self(Vec::new());

    /// All numbers up to one.
    pub(crate) fn up_to(most: u128) -> Self {
        Self(vec![(0, most)])
    }

    /// Ranges in any order, both ends included.
    pub(crate) fn new(ranges: impl IntoIterator<Item = (u128, u128)>) -> Self {
        let mut all: Vec<_> = ranges
            .into_iter()
            .filter(|(low, high)| low <= high)
            .collect();
        all.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::new();
        for (low, high) in all {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self(merged)
    }

    /// One number.
    pub(crate) fn one(number: u128) -> Self {
        Self(vec![(number, number)])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, u128)> + '_ {
        self.0.iter().copied()
    }

    /// Every number of it.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u128> + '_ {
        self.iter().flat_map(|(low, high)| low..=high)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn holds(&self, number: u128) -> bool {
        self.iter()
            .any(|(low, high)| low <= number && number <= high)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self::new(self.iter().chain(other.iter()))
    }

    pub(crate) fn intersect(&self, other: &Self) -> Self {
        let (mut left, mut right) = (0, 0);
        let mut common = Vec::new();
        while let (Some(own), Some(its)) = (self.0.get(left), other.0.get(right)) {
            let (low, high) = (own.0.max(its.0), own.1.min(its.1));
            if low <= high {
                common.push((low, high));
            }
            if own.1 < its.1 {
                left += 1;
            } else {
                right += 1;
            }
        }
        Self(common)
    }

    /// The numbers up to `most` that are not in it.
    pub(crate) fn complement(&self, most: u128) -> Self {
        let mut rest = Vec::new();
        let mut next = Some(0);
        for (low, high) in self.iter() {
            if let Some(from) = next
                && from < low
            {
                rest.push((from, low - 1));
            }
            next = high.checked_add(1);
        }
        if let Some(from) = next
            && from <= most
        {
            rest.push((from, most));
        }
        Self(rest)
    }

    /// Whether all numbers of another are in it.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.intersect(other) == *other
    }
}

/// A range of addresses as prefixes of a family with so many bits: first address and length.
pub(crate) fn prefixes(low: u128, high: u128, bits: u32) -> Vec<(u128, u32)> {
    let mut found = Vec::new();
    let mut next = Some(low);
    while let Some(first) = next.filter(|first| *first <= high) {
        // As wide as the alignment of the first address allows, and not beyond the last.
        let mut host = first.trailing_zeros().min(bits);
        let last_of =
            |host: u32| first | 1_u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
        while last_of(host) > high {
            host -= 1;
        }
        found.push((first, bits - host));
        next = last_of(host).checked_add(1);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged() {
        let ranges = Ranges::new([(5, 9), (1, 2), (3, 4), (20, 30), (25, 26)]);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(1, 9), (20, 30)]);
    }

    #[test]
    fn what_is_not_in_it() {
        let ranges = Ranges::new([(0, 4), (10, 65_535)]);
        assert_eq!(ranges.complement(65_535), Ranges::new([(5, 9)]));
        assert_eq!(Ranges::EMPTY.complement(7), Ranges::up_to(7));
        assert_eq!(
            Ranges::up_to(u128::MAX).complement(u128::MAX),
            Ranges::EMPTY
        );
    }

    #[test]
    fn what_two_have_in_common() {
        let one = Ranges::new([(1, 5), (10, 20)]);
        let other = Ranges::new([(4, 11), (15, 15), (20, 25)]);
        let common = Ranges::new([(4, 5), (10, 11), (15, 15), (20, 20)]);
        assert_eq!(one.intersect(&other), common);
        assert!(one.covers(&common) && !common.covers(&one));
    }

    #[test]
    fn a_range_of_addresses_is_prefixes() {
        // 10.0.0.1 to 10.0.0.6, by hand.
        let low = 0x0a00_0001;
        let found = prefixes(low, low + 5, 32);
        assert_eq!(
            found,
            [(low, 32), (low + 1, 31), (low + 3, 31), (low + 5, 32)]
        );
        assert_eq!(prefixes(0, u128::from(u32::MAX), 32), [(0, 0)]);
        assert_eq!(prefixes(0, u128::MAX, 128), [(0, 0)]);
        assert_eq!(prefixes(u128::MAX, u128::MAX, 128), [(u128::MAX, 128)]);
    }
}
