//! Sets of entries, told apart by a digest.

use std::collections::HashMap;
use std::rc::Rc;

use portguard_common::limits;
use portguard_common::mix::splitmix64;

use super::entries::EntryIndex;

/// A set of entries in ascending order.
pub(super) type Set = Rc<[EntryIndex]>;

/// 128 bits that stand for an entry, so that the exclusive or of several stands for their set: two sets of
/// one policy collide with a probability below 2^-90. The mixing is that of SplitMix64.
pub(super) fn digest(entry: EntryIndex) -> u128 {
    let seed = u64::from(entry) * 2 + 1;
    u128::from(splitmix64(seed)) << 64 | u128::from(splitmix64(seed + 1))
}

/// The digest of several entries.
pub(super) fn digest_of<'e>(entries: impl IntoIterator<Item = &'e EntryIndex>) -> u128 {
    entries
        .into_iter()
        .fold(0, |sum, entry| sum ^ digest(*entry))
}

/// Distinct sets, numbered in the order in which they are met; number 0 is the empty set. These are the classes
/// of a field: values that every entry treats alike.
pub(super) struct Sets {
    numbers: HashMap<u128, u16>,
    sets: Vec<Set>,
    allowed: usize,
    /// Distinct sets met, also beyond what is allowed.
    needed: usize,
    members: usize,
}

impl Sets {
    /// At most `allowed` sets; more are counted, but not kept.
    pub(super) fn new(allowed: usize) -> Self {
        Self {
            numbers: HashMap::from([(0, 0)]),
            sets: vec![Rc::from([])],
            allowed,
            needed: 1,
            members: 0,
        }
    }

    /// The number of a set, which is made if it is new.
    pub(super) fn number(&mut self, digest: u128, make: impl FnOnce() -> Vec<EntryIndex>) -> u16 {
        if let Some(number) = self.numbers.get(&digest) {
            return *number;
        }
        self.needed += 1;
        let mut number = 0;
        if self.sets.len() < self.allowed && self.members <= limits::SET_MEMBERS {
            let set = make();
            self.members += set.len();
            number = u16::try_from(self.sets.len()).unwrap_or(0);
            self.sets.push(set.into());
        }
        self.numbers.insert(digest, number);
        number
    }

    /// The same number for another digest.
    pub(super) fn alias(&mut self, digest: u128, number: u16) {
        self.numbers.insert(digest, number);
    }

    pub(super) fn get(&self, digest: u128) -> Option<u16> {
        self.numbers.get(&digest).copied()
    }

    pub(super) fn all(&self) -> &[Set] {
        &self.sets
    }

    /// How many sets are needed and how many allowed, if these are fewer.
    pub(super) fn excess(&self) -> Option<(usize, usize)> {
        (self.needed > self.allowed).then_some((self.needed, self.allowed))
    }

    /// How many members the sets have, if that is more than allowed.
    pub(super) fn excess_members(&self) -> Option<usize> {
        (self.members > limits::SET_MEMBERS).then_some(self.members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_two_outputs_of_splitmix64() {
        // The first outputs of the generator that is seeded with 0, as other implementations publish them.
        let outputs: [u64; 4] = [
            0xe220_a839_7b1d_cdaf,
            0x6e78_9e6a_a1b9_65f4,
            0x06c4_5d18_8009_454f,
            0xf88b_b8a8_724c_81ec,
        ];
        let [first, second] = [0, 2].map(|at| {
            let (high, low) = (outputs[at], outputs[at + 1]);
            u128::from(high) << 64 | u128::from(low)
        });
        assert_eq!(digest(0), first);
        assert_eq!(digest(1), second);
        assert_eq!(digest_of(&[0, 1]), first ^ second);
        assert_eq!(digest_of(&[0, 1, 0]), second);
        assert_eq!(digest_of(&[]), 0);
    }

    #[test]
    fn sets_are_numbered_as_they_are_met() {
        let mut sets = Sets::new(3);
        assert_eq!(sets.number(0, Vec::new), 0, "the empty set");
        assert_eq!(sets.number(11, || vec![1, 2]), 1);
        assert_eq!(sets.number(12, || vec![3]), 2);
        assert_eq!(sets.number(11, || vec![9]), 1, "known by its digest");
        assert_eq!(sets.excess(), None, "as many as are allowed");
        assert_eq!((sets.get(12), sets.get(13)), (Some(2), None));
        sets.alias(13, 1);
        assert_eq!(sets.number(13, || vec![9]), 1);
        // More are counted, each once, and not made.
        for digest in [21, 22, 21] {
            assert_eq!(sets.number(digest, || vec![9]), 0);
        }
        assert_eq!(sets.excess(), Some((5, 3)));
        assert_eq!(sets.all(), [Set::from([]), [1, 2].into(), [3].into()]);
    }

    #[test]
    fn members_of_all_sets_are_bounded() {
        let mut sets = Sets::new(limits::CLASSES);
        sets.members = limits::SET_MEMBERS - 2;
        assert_eq!(sets.number(1, || vec![1, 2]), 1);
        assert_eq!(sets.excess_members(), None, "as many as are allowed");
        assert_eq!(sets.number(2, || vec![3]), 2);
        assert_eq!(sets.excess_members(), Some(limits::SET_MEMBERS + 1));
        assert_eq!(sets.number(3, || vec![4]), 0, "no more are made");
        assert_eq!(sets.excess_members(), Some(limits::SET_MEMBERS + 1));
    }
}
