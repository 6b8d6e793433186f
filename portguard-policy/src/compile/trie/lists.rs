//! Lists of the ranges into which two bytes divide.

use std::collections::HashMap;

use portguard_common::abi;

/// The lists of one trie.
pub(super) struct Lists {
    /// Where the first one begins.
    pub(super) first: usize,
    /// Starts in the longest.
    pub(super) longest: u32,
    /// Those of a single range, by its half.
    single: HashMap<u16, u32>,
}

impl Lists {
    pub(super) fn new(first: usize) -> Self {
        Self {
            first,
            longest: 0,
            single: HashMap::new(),
        }
    }

    /// Adds the list of one range.
    pub(super) fn add_single(&mut self, half: u16, lists: &mut Vec<u16>) -> u32 {
        if let Some(word) = self.single.get(&half) {
            return *word;
        }
        let word = self.add(&[(0, half)], lists);
        self.single.insert(half, word);
        word
    }

    /// Adds the list of ranges: where each begins, and its half. The first begins at 0, and at most [`abi::List::LONGEST`] follow it. The
    /// answer is the list's word.
    pub(super) fn add(&mut self, ranges: &[(u16, u16)], lists: &mut Vec<u16>) -> u32 {
        // More than fit a word are more than are allowed at all, which is found out when all tables are there.
        let first = u32::try_from(lists.len() - self.first).unwrap_or(u32::MAX);
        lists.push(0);
        lists.extend(ranges[1..].iter().map(|(start, _)| *start));
        let halves = || ranges.iter().map(|(_, half)| *half);
        let takes_turns = halves()
            .zip(halves().skip(2))
            .all(|(half, next_but_one)| half == next_but_one);
        let distinct = if takes_turns { 2 } else { usize::MAX };
        lists.extend(halves().take(distinct));
        lists.resize(lists.len().next_multiple_of(abi::List::UNIT as usize), 0);
        let starts = u32::try_from(ranges.len() - 1).unwrap_or(u32::MAX);
        self.longest = self.longest.max(starts);
        abi::Trie::list(starts, first, takes_turns)
    }
}
