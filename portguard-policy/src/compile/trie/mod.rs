//! From intervals of addresses to a trie that the kernel side walks in a few steps.

mod lists;
mod packed;
mod parting;
mod space;
#[cfg(test)]
mod tests;
mod walk;

use portguard_common::abi::{self, PackedNode};

use self::space::{Address, Space};
use super::fields::Intervals;

/// Halves in a line of the cache. Where lists begin at one, few of them lie across two.
pub(super) const LINE: usize = 32;

/// Something wrong with the size.
pub(super) struct TooLarge {
    pub(super) needed: usize,
}

/// What tries take.
#[derive(Default)]
pub(super) struct Tries {
    pub(super) words: Vec<u32>,
    pub(super) nodes: Vec<PackedNode>,
    /// Lists of ranges, one behind the other.
    pub(super) lists: Vec<u16>,
}

/// Builds the trie of one family, and adds it to the tables.
pub(super) fn build<T: Address>(
    intervals: &Intervals<T>,
    tables: &mut Tries,
) -> Result<abi::Trie, TooLarge> {
    if let [(_, class)] = intervals[..] {
        return Ok(abi::Trie {
            form: abi::Trie::CONSTANT,
            root: class.into(),
            ..abi::Trie::default()
        });
    }
    walk::build(&Space::new(intervals), tables)
}
