//! Packed tries: where too much parts for a list.

use portguard_common::abi::{self, HALVES, PackedNode};
use portguard_common::limits;

use super::Tries;
use super::parting::{alone, skip};
use super::space::{Address, Part, Prefix, Space};

/// The bits that a node resolves.
const NODE_BITS: u32 = 8;

/// A packed trie: a node holds each run of equal entries once, and skips the levels at which addresses do not part.
pub(super) struct Packed<'t> {
    pub(super) tables: &'t mut Tries,
    pub(super) first_node: usize,
    /// Nodes of all tries.
    pub(super) needed: usize,
}

impl Packed<'_> {
    pub(super) fn entry<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
    ) -> u32 {
        if let Some(class) = part.class() {
            return abi::Trie::LEAF | u32::from(class);
        }
        if let Some(word) = one_prefix(space, part, prefix) {
            return word;
        }
        self.node(space, part, prefix)
    }

    /// Adds a node. The answer is its number, counted from the first one.
    pub(super) fn node<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
    ) -> u32 {
        let Some(number) = self.reserve() else {
            return abi::Trie::LEAF;
        };
        let (branch, miss) = skip(space, part, prefix, NODE_BITS);
        let skipped = branch.len - prefix.len;
        let mut node = PackedNode {
            skip: skipped,
            path: path(branch, skipped, space.bits),
            miss: abi::Trie::LEAF | u32::from(miss),
            ..PackedNode::default()
        };

        let part = space.sweep(part.range).within(branch);
        let mut sweep = space.sweep(part.range);
        let mut runs: Vec<u32> = Vec::new();
        let mut last = None;
        for entry in 0..HALVES {
            let child = branch.child(entry, NODE_BITS, space.bits);
            let inner = sweep.within(child);
            let word = self.entry(space, &inner, child);
            if last != Some(word) {
                node.starts[entry / 64] |= 1 << (entry % 64);
                runs.push(word);
                last = Some(word);
            }
        }
        let mut before = 0;
        for (member, starts) in node.starts.iter().enumerate() {
            node.before[member] = before;
            before = before.wrapping_add(starts.count_ones() as u8);
        }
        node.words = u32::try_from(self.tables.words.len()).unwrap_or(u32::MAX);
        self.tables.words.extend(runs);
        self.tables.nodes[number] = node;
        self.number(number)
    }

    /// A place for a node; `None` where there are as many as may be, and the policy is refused.
    pub(super) fn reserve(&mut self) -> Option<usize> {
        self.needed += 1;
        if self.needed > limits::NODES {
            return None;
        }
        self.tables.nodes.push(PackedNode::default());
        Some(self.tables.nodes.len() - 1)
    }

    /// The number of a node, counted from the trie's first one.
    pub(super) fn number(&self, place: usize) -> u32 {
        u32::try_from(place - self.first_node).unwrap_or(0)
    }
}

/// The leaf of a prefix in which one longer prefix, by no more than a byte, has a class and all the rest another;
/// `None` where there is more to tell.
fn one_prefix<T: Address>(space: &Space<'_, T>, part: &Part<'_, T>, prefix: Prefix) -> Option<u32> {
    let own = alone(space, part, prefix)?;
    let longer = own.prefix.len - prefix.len;
    let shift = NODE_BITS.checked_sub(longer)?;
    let bits = path(own.prefix, longer, space.bits) as u32;
    abi::Trie::one_prefix(shift, bits, own.inside, own.outside)
}

/// The last bits of a prefix, as a number.
pub(super) fn path(branch: Prefix, skipped: u32, bits: u32) -> u64 {
    if skipped == 0 {
        return 0;
    }
    let bits_of_prefix = branch.low >> (bits - branch.len);
    (bits_of_prefix & ((1 << skipped) - 1)) as u64
}
