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

/// Goes on to where a line of the cache begins, so that few of the lists that follow lie across two. The answer is the place.
pub(super) fn begin_line(halves: &mut Vec<u16>) -> usize {
    /// Halves in a line.
    const LINE: usize = size_of::<abi::CacheLine>() / size_of::<u16>();
    let place = halves.len().next_multiple_of(LINE);
    halves.resize(place, 0);
    place
}

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
