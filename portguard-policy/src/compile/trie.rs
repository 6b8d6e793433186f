//! From intervals of addresses to a trie that the kernel side walks in a few steps.

use std::collections::HashMap;

use portguard_common::abi::{self, HALVES, PackedNode};
use portguard_common::limits;

use super::fields::Intervals;

/// The bits of an address that the root resolves.
const ROOT_BITS: u32 = 16;
/// The bits that a node resolves.
const NODE_BITS: u32 = 8;

/// Something wrong with the size.
pub(super) struct TooLarge {
    pub(super) needed: usize,
}

/// The intervals of one family, on addresses as 128 bits from the top.
struct Space<'i, T> {
    intervals: &'i [(T, u16)],
    /// How many bits an address has.
    bits: u32,
}

/// An address that intervals can be made of.
pub(super) trait Address: Copy {
    const BITS: u32;
    /// Whether a list resolves what the root leaves.
    const HAS_LISTS: bool = Self::BITS == ROOT_BITS + u16::BITS;
    fn widen(self) -> u128;
}

impl Address for u32 {
    const BITS: u32 = 32;
    fn widen(self) -> u128 {
        self.into()
    }
}

impl Address for u128 {
    const BITS: u32 = 128;
    fn widen(self) -> u128 {
        self
    }
}

impl<'i, T: Address> Space<'i, T> {
    fn new(intervals: &'i [(T, u16)]) -> Self {
        Self {
            intervals,
            bits: T::BITS,
        }
    }

    /// Goes through prefixes that follow one another, within a range that begins with an interval that covers the first
    /// address of the first.
    fn sweep(&self, range: &'i [(T, u16)]) -> Sweep<'i, T> {
        Sweep {
            rest: range,
            bits: self.bits,
        }
    }
}

/// Goes through intervals once for all prefixes in ascending order.
struct Sweep<'i, T> {
    rest: &'i [(T, u16)],
    bits: u32,
}

impl<'i, T: Address> Sweep<'i, T> {
    /// The intervals that begin within a prefix, with the one that covers its first address.
    fn within(&mut self, prefix: Prefix) -> Part<'i, T> {
        let before = self.begun_by(prefix.low);
        self.rest = &self.rest[before..];
        let within = self.begun_by(prefix.high(self.bits));
        Part {
            first: self.rest[0].1,
            range: &self.rest[..=within],
        }
    }

    /// How many intervals after the first one begin up to an address.
    fn begun_by(&self, address: u128) -> usize {
        let starts = self.rest[1..].iter().map(|(start, _)| start.widen());
        starts.take_while(|start| *start <= address).count()
    }
}

/// The intervals of a prefix; the first covers its first address.
struct Part<'i, T> {
    first: u16,
    range: &'i [(T, u16)],
}

impl<T> Part<'_, T> {
    fn class(&self) -> Option<u16> {
        (self.range.len() == 1).then_some(self.first)
    }
}

#[derive(Clone, Copy)]
struct Prefix {
    low: u128,
    len: u32,
}

impl Prefix {
    fn high(self, bits: u32) -> u128 {
        let rest = bits - self.len;
        if rest >= 128 {
            u128::MAX
        } else {
            self.low | ((1 << rest) - 1)
        }
    }

    /// The child of this number among those that `bits_more` bits tell apart.
    fn child(self, number: usize, bits_more: u32, bits: u32) -> Self {
        let len = self.len + bits_more;
        Self {
            low: self.low | (number as u128) << (bits - len),
            len,
        }
    }
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
    let space = Space::new(intervals);
    if T::HAS_LISTS {
        return Packed::build_lists(&space, tables);
    }
    if let Some(halves) = Flat::build(&space) {
        let root = u32::try_from(tables.halves.len() / HALVES).unwrap_or(u32::MAX);
        tables.halves.extend(halves);
        return Ok(abi::Trie {
            form: abi::Trie::FLAT,
            root,
            ..abi::Trie::default()
        });
    }
    Packed::build(&space, tables)
}

/// What tries take.
#[derive(Default)]
pub(super) struct Tries {
    /// Whole nodes of flat tries.
    pub(super) halves: Vec<u16>,
    pub(super) words: Vec<u32>,
    pub(super) nodes: Vec<PackedNode>,
    /// Lists of ranges, one behind the other.
    pub(super) lists: Vec<u16>,
}

/// A flat trie: every node has all 256 entries.
struct Flat {
    halves: Vec<u16>,
}

impl Flat {
    /// `None` if it has too many nodes, or is so deep that skipping levels is faster than walking them.
    fn build<T: Address>(space: &Space<'_, T>) -> Option<Vec<u16>> {
        if nodes_of(space)? > limits::FLAT_NODES {
            return None;
        }
        let mut flat = Self {
            halves: vec![0; 1 << ROOT_BITS],
        };
        let root = Prefix { low: 0, len: 0 };
        let mut sweep = space.sweep(space.intervals);
        for number in 0..1 << ROOT_BITS {
            let prefix = root.child(number, ROOT_BITS, space.bits);
            let part = sweep.within(prefix);
            flat.halves[number] = flat.entry(space, &part, prefix)?;
        }
        Some(flat.halves)
    }

    fn entry<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
    ) -> Option<u16> {
        if let Some(class) = part.class() {
            return Some(class);
        }
        let node = self.halves.len() / HALVES;
        self.halves.resize(self.halves.len() + HALVES, 0);
        let mut sweep = space.sweep(part.range);
        for number in 0..HALVES {
            let child = prefix.child(number, NODE_BITS, space.bits);
            let entry = self.entry(space, &sweep.within(child), child)?;
            self.halves[node * HALVES + number] = entry;
        }
        Some(u16::try_from(node).ok()? | abi::Trie::CHILD)
    }
}

/// How many nodes a flat trie would have; `None` if it is so deep that skipping levels is faster than walking them.
fn nodes_of<T: Address>(space: &Space<'_, T>) -> Option<usize> {
    /// Bits that the longest walk may look at.
    const DEEPEST: u32 = 64;
    let rest_of = |start: u128, len: u32| start & ((1 << (space.bits - len)) - 1);
    let starts = || space.intervals.iter().map(|(start, _)| start.widen());
    let deepest = DEEPEST.min(space.bits);
    if space.bits > deepest && starts().any(|start| rest_of(start, deepest) != 0) {
        return None;
    }
    let mut nodes = (1 << ROOT_BITS) / HALVES;
    for len in (ROOT_BITS..deepest).step_by(NODE_BITS as usize) {
        // There is one for each prefix within which an interval begins.
        let mut last = None;
        for start in starts().filter(|start| rest_of(*start, len) != 0) {
            let prefix = start >> (space.bits - len);
            nodes += usize::from(last.replace(prefix) != Some(prefix));
        }
    }
    Some(nodes)
}

/// A packed trie: a node holds each run of equal entries once, and skips the levels at which addresses do not part.
struct Packed<'t> {
    tables: &'t mut Tries,
    first_node: usize,
    needed: usize,
}

impl Packed<'_> {
    fn build<T: Address>(space: &Space<'_, T>, tables: &mut Tries) -> Result<abi::Trie, TooLarge> {
        let trie = Self::with_root(space, tables, |packed, part, prefix| {
            packed.entry(space, part, prefix)
        })?;
        Ok(abi::Trie {
            form: abi::Trie::PACKED,
            ..trie
        })
    }

    /// A trie of lists, with nodes where one would be too long.
    fn build_lists<T: Address>(
        space: &Space<'_, T>,
        tables: &mut Tries,
    ) -> Result<abi::Trie, TooLarge> {
        let mut lists = Lists::new(tables.lists.len());
        let trie = Self::with_root(space, tables, |packed, part, prefix| {
            if part.range.len() <= abi::List::LONGEST as usize + 1 {
                lists.add(part, prefix, &mut packed.tables.lists)
            } else {
                abi::Trie::NODE | packed.node(space, part, prefix)
            }
        })?;
        Ok(abi::Trie {
            form: abi::Trie::LISTS,
            lists: u32::try_from(lists.first).unwrap_or(u32::MAX),
            longest: lists.longest,
            ..trie
        })
    }

    /// A trie, still without a form, whose root has a word for each value of the first bits.
    fn with_root<T: Address>(
        space: &Space<'_, T>,
        tables: &mut Tries,
        mut word: impl FnMut(&mut Packed<'_>, &Part<'_, T>, Prefix) -> u32,
    ) -> Result<abi::Trie, TooLarge> {
        let (root, first_node) = (tables.words.len(), tables.nodes.len());
        tables.words.resize(root + (1 << ROOT_BITS), 0);
        let mut packed = Packed {
            tables,
            first_node,
            needed: first_node,
        };
        let top = Prefix { low: 0, len: 0 };
        let mut sweep = space.sweep(space.intervals);
        for number in 0..1 << ROOT_BITS {
            let prefix = top.child(number, ROOT_BITS, space.bits);
            let part = sweep.within(prefix);
            let word = word(&mut packed, &part, prefix);
            packed.tables.words[root + number] = word;
        }
        let needed = packed.needed;
        if needed > limits::NODES {
            return Err(TooLarge { needed });
        }
        Ok(abi::Trie {
            root: u32::try_from(root).unwrap_or(u32::MAX),
            nodes: u32::try_from(first_node).unwrap_or(u32::MAX),
            ..abi::Trie::default()
        })
    }

    fn entry<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
    ) -> u32 {
        if let Some(class) = part.class() {
            return abi::Trie::LEAF | u32::from(class);
        }
        if let Some(word) = one_prefix(part.range, prefix, space.bits) {
            return word;
        }
        self.node(space, part, prefix)
    }

    /// Adds a node. The answer is its number, counted from the first one.
    fn node<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
    ) -> u32 {
        self.needed += 1;
        if self.needed > limits::NODES {
            return abi::Trie::LEAF;
        }
        let number = self.tables.nodes.len();
        self.tables.nodes.push(PackedNode::default());
        let (branch, miss) = skip(space, part, prefix);
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
        u32::try_from(number - self.first_node).unwrap_or(0)
    }
}

/// The lists of one trie.
struct Lists {
    /// Where the first one begins.
    first: usize,
    /// Starts in the longest.
    longest: u32,
    /// Those of a single range, by its class.
    single: HashMap<u16, u32>,
}

impl Lists {
    fn new(first: usize) -> Self {
        Self {
            first,
            longest: 0,
            single: HashMap::new(),
        }
    }

    /// Adds the list of a part of at most [`abi::List::LONGEST`] starts. The answer is its word.
    fn add<T: Address>(&mut self, part: &Part<'_, T>, prefix: Prefix, lists: &mut Vec<u16>) -> u32 {
        if let Some(word) = part.class().and_then(|class| self.single.get(&class)) {
            return *word;
        }
        // More than fit a word are more than are allowed at all, which is found out when all tables are there.
        let first = u32::try_from(lists.len() - self.first).unwrap_or(u32::MAX);
        let rest = &part.range[1..];
        lists.push(0);
        lists.extend(
            rest.iter()
                .map(|(start, _)| (start.widen() - prefix.low) as u16),
        );
        let classes = || {
            let others = rest.iter().map(|(_, class)| *class);
            [part.first].into_iter().chain(others)
        };
        let takes_turns = classes()
            .zip(classes().skip(2))
            .all(|(class, next_but_one)| class == next_but_one);
        let distinct = if takes_turns { 2 } else { usize::MAX };
        lists.extend(classes().take(distinct));
        lists.resize(lists.len().next_multiple_of(abi::List::UNIT as usize), 0);
        let starts = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        self.longest = self.longest.max(starts);
        let word = abi::Trie::list(starts, first, takes_turns);
        if let Some(class) = part.class() {
            self.single.insert(class, word);
        }
        word
    }
}

/// The leaf of a prefix in which one longer prefix, by no more than a byte, has a class and all the rest another;
/// `None` where there is more to tell.
fn one_prefix<T: Address>(range: &[(T, u16)], prefix: Prefix, bits: u32) -> Option<u32> {
    let (first, last) = (range.first()?.1, range.last()?.1);
    // Where the part in the middle begins and ends, in bytes of the next level; the rest must be of one class.
    let unit = bits - prefix.len - NODE_BITS;
    let byte = |start: T| {
        let offset = start.widen() - prefix.low;
        (offset & ((1 << unit) - 1) == 0).then_some((offset >> unit) as u32)
    };
    const END: u32 = HALVES as u32;
    let candidates = match *range {
        [_, (start, _)] => [
            Some((0, byte(start)?, first, last)),
            Some((byte(start)?, END, last, first)),
        ],
        [_, (start, class), (end, _)] if first == last => {
            [Some((byte(start)?, byte(end)?, class, first)), None]
        }
        _ => return None,
    };
    candidates
        .into_iter()
        .flatten()
        .find_map(|(start, end, inside, outside)| {
            let length = end - start;
            if !length.is_power_of_two() || !start.is_multiple_of(length) {
                return None;
            }
            let shift = length.trailing_zeros();
            abi::Trie::one_prefix(shift, start >> shift, inside, outside)
        })
}

/// How far a node may go on before addresses of a prefix part: the prefix at which they do, and the class of all
/// others.
fn skip<T: Address>(space: &Space<'_, T>, part: &Part<'_, T>, prefix: Prefix) -> (Prefix, u16) {
    let mut branch = prefix;
    let mut miss = None;
    let mut range = part.range;
    while branch.len + 2 * NODE_BITS <= space.bits
        && branch.len - prefix.len + NODE_BITS <= PackedNode::MAX_SKIP
    {
        // The children that are not of one class: those in which an interval begins that is not at their start.
        let mut divided = None;
        let mut others = miss;
        let mut sweep = space.sweep(range);
        for number in 0..HALVES {
            let child = branch.child(number, NODE_BITS, space.bits);
            let inner = sweep.within(child);
            match inner.class() {
                Some(class) if others.is_none_or(|own| own == class) => others = Some(class),
                None if divided.is_none() => divided = Some((child, inner.range)),
                _ => return (branch, miss.unwrap_or(0)),
            }
        }
        let Some((child, inner)) = divided else {
            break;
        };
        branch = child;
        range = inner;
        miss = others;
    }
    (branch, miss.unwrap_or(0))
}

/// The last bits of a prefix, as a number.
fn path(branch: Prefix, skipped: u32, bits: u32) -> u64 {
    if skipped == 0 {
        return 0;
    }
    let bits_of_prefix = branch.low >> (bits - branch.len);
    (bits_of_prefix & ((1 << skipped) - 1)) as u64
}

#[cfg(test)]
mod tests {
    use portguard_common::abi::{List, Trie};
    use portguard_common::trie::{Bits, Step, step};

    use super::*;

    fn look_up(trie: Trie, tables: &Tries, v6: bool, address: u128) -> u16 {
        let half = |index: usize| tables.halves[index];
        let mut bytes = if v6 {
            address.to_be_bytes().to_vec()
        } else {
            (address as u32).to_be_bytes().to_vec()
        };
        let rest = bytes.split_off(2);
        let first = usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
        match trie.form {
            Trie::CONSTANT => trie.root as u16,
            Trie::FLAT => {
                let root = trie.root as usize * HALVES;
                let mut entry = half(root + first);
                for byte in rest {
                    if entry & Trie::CHILD == 0 {
                        break;
                    }
                    let child = usize::from(entry & !Trie::CHILD) * HALVES;
                    entry = half(root + child + usize::from(byte));
                }
                entry
            }
            Trie::LISTS if tables.words[trie.root as usize + first] < Trie::NODE => {
                let list = List::of_word(tables.words[trie.root as usize + first]);
                let halves = &tables.lists[(trie.lists + list.first) as usize..];
                let (starts, classes) = halves.split_at(list.classes as usize / 2);
                let starts = &starts[1..];
                let bytes = u16::from_be_bytes([rest[0], rest[1]]);
                let range = starts.iter().take_while(|start| **start <= bytes).count();
                classes[range & (List::mask(list.differ) as usize / 2)]
            }
            _ => {
                let mut word = tables.words[trie.root as usize + first];
                if trie.form == Trie::LISTS {
                    word -= Trie::NODE;
                }
                let mut wide = [0; 16];
                wide[..rest.len()].copy_from_slice(&rest);
                let wide = u128::from_be_bytes(wide);
                let mut bits = Bits::v6((wide >> 64) as u64, wide as u64);
                while word & Trie::LEAF == 0 {
                    let node = &tables.nodes[(trie.nodes + word) as usize];
                    word = match step(node, &mut bits) {
                        Step::Word(index) => tables.words[index as usize],
                        Step::Miss(word) => word,
                    };
                }
                Trie::class(word, bits.byte())
            }
        }
    }

    fn expected<T: Address>(intervals: &Intervals<T>, address: u128) -> u16 {
        let after = intervals.partition_point(|(start, _)| start.widen() <= address);
        intervals[after - 1].1
    }

    fn check<T: Address>(intervals: &Intervals<T>, v6: bool) {
        let mut tables = Tries::default();
        let first = build(intervals, &mut tables)
            .map_err(|error| error.needed)
            .unwrap();
        // For an IPv6 address, what it would be if there were more; of IPv4 the parts below a list that is too long.
        let packed = Packed::build(&Space::new(intervals), &mut tables)
            .map_err(|error| error.needed)
            .unwrap();
        let highest = if v6 { u128::MAX } else { u128::from(u32::MAX) };
        for (start, _) in intervals {
            let start = start.widen();
            for address in [
                start,
                start.wrapping_sub(1) & highest,
                start.wrapping_add(1) & highest,
            ] {
                for (name, trie) in [("first", first), ("packed", packed)] {
                    let found = look_up(trie, &tables, v6, address);
                    assert_eq!(found, expected(intervals, address), "{name} {address:x}");
                }
            }
        }
    }

    #[test]
    fn tries_give_the_class_of_their_intervals() {
        check(&vec![(0_u32, 7)], false);
        check(&vec![(0_u32, 0), (u32::MAX, 3)], false);
        check(
            &vec![
                (0_u32, 0),
                (0x0a00_0000, 1),
                (0x0a01_0203, 2),
                (0x0a01_0204, 1),
                (0x0b00_0000, 0),
            ],
            false,
        );
        let host = 0x2001_0db8_0001_0002_0003_0004_0005_0006_u128;
        check(&vec![(0_u128, 0), (host, 9), (host + 1, 0)], true);
        check(
            &vec![
                (0_u128, 0),
                (0x2001_0db8 << 96, 1),
                (host, 2),
                (host + 1, 1),
                (host + (1 << 40), 4),
                (host + (1 << 40) + 256, 1),
                (0x2001_0db9 << 96, 0),
                (u128::MAX, 5),
            ],
            true,
        );
    }

    #[test]
    fn a_prefix_that_stands_alone_takes_no_node() {
        // At the end, at the start and in the middle of a /24; then a class too large for a leaf of two.
        for (lone, rest, nodes) in [(2, 1, 1), (2, 600, 4)] {
            let intervals = vec![
                (0_u32, rest),
                (0x0a00_00c0, lone),
                (0x0a00_0100, rest),
                (0x0a00_0200, lone),
                (0x0a00_0201, rest),
                (0x0a00_0418, lone),
                (0x0a00_0420, rest),
            ];
            check(&intervals, false);
            let mut tables = Tries::default();
            assert!(Packed::build(&Space::new(&intervals), &mut tables).is_ok());
            // The /16, and of the /24 those that no leaf can tell.
            assert_eq!(tables.nodes.len(), nodes);
        }
    }

    /// The hosts at even addresses of the first networks of 16 bits: so many of each.
    fn hosts(counts: &[u32]) -> Intervals<u32> {
        let mut intervals = vec![(0, 0)];
        for (network, count) in (0..).zip(counts) {
            for number in 0..*count {
                let host = network << 16 | (2 * number + 2);
                intervals.extend([(host, 1), (host + 1, 0)]);
            }
        }
        intervals
    }

    #[test]
    fn a_list_holds_63_starts_and_a_node_more() {
        for (intervals, nodes) in [
            (hosts(&[31, 31, 0, 5]), 0),
            (hosts(&[31, 32, 0, 5]), 1),
            // A start at the end of the first network is the 63rd; the next one belongs to the second.
            ([hosts(&[31]), vec![(0xffff, 1), (0x1_0000, 0)]].concat(), 0),
        ] {
            check(&intervals, false);
            let mut tables = Tries::default();
            let trie = Packed::build_lists(&Space::new(&intervals), &mut tables)
                .map_err(|error| error.needed)
                .unwrap();
            assert_eq!(trie.form, Trie::LISTS);
            assert_eq!(tables.nodes.len(), nodes);
            assert!(trie.longest <= List::LONGEST);
        }
    }

    #[test]
    fn classes_that_take_turns_are_written_once() {
        let lists = |intervals: &Intervals<u32>| {
            let mut tables = Tries::default();
            assert!(Packed::build_lists(&Space::new(intervals), &mut tables).is_ok());
            tables.lists
        };
        // Starts, and both classes; then the class of all other networks.
        let turns = lists(&hosts(&[2]));
        assert_eq!(turns, [[0, 2, 3, 4, 5, 0, 1, 0], [0; 8]].concat());
        // A third class: each range has its own.
        let third = lists(&vec![(0, 0), (2, 1), (3, 2), (4, 0)]);
        assert_eq!(third, [[0, 2, 3, 4, 0, 1, 2, 0], [0; 8]].concat());
    }

    #[test]
    fn no_more_nodes_than_are_allowed() {
        let intervals: Intervals<u32> = (0..4)
            .map(|number| (number << 8 | number, number as u16))
            .collect();
        let space = Space::new(&intervals);
        let needed = {
            let mut tables = Tries::default();
            assert!(Packed::build(&space, &mut tables).is_ok());
            tables.nodes.len()
        };
        for (room, fits) in [(needed, true), (needed - 1, false)] {
            let mut tables = Tries {
                nodes: vec![PackedNode::default(); limits::NODES - room],
                ..Tries::default()
            };
            match Packed::build(&space, &mut tables) {
                Ok(trie) => assert!(fits && trie.nodes as usize == limits::NODES - room),
                Err(error) => assert!(!fits && error.needed == limits::NODES + 1),
            }
        }
    }

    #[test]
    fn a_flat_trie_has_a_node_for_each_prefix_that_is_divided() {
        let nodes = |starts: &[u32]| {
            let intervals: Intervals<u32> = starts.iter().map(|start| (*start, 1)).collect();
            nodes_of(&Space::new(&intervals))
        };
        // The root is 256 nodes.
        assert_eq!(nodes(&[0]), Some(256));
        assert_eq!(nodes(&[0, 0x0a00_0000, 0x0a01_0000]), Some(256));
        assert_eq!(nodes(&[0, 0x0a00_0100, 0x0a00_0200]), Some(257));
        assert_eq!(
            nodes(&[0, 0x0a00_0101, 0x0a00_0102, 0x0a00_0201]),
            Some(259)
        );
        assert_eq!(nodes(&[0, 0x0a00_0101, 0x0a01_0101]), Some(260));
        // Deeper than the first 64 bits of an IPv6 address skipping is faster.
        let nodes = |start: u128| nodes_of(&Space::new(&[(0, 0), (start, 1)]));
        assert_eq!(nodes(1 << 112), Some(256));
        assert_eq!(nodes(1 << 64), Some(256 + 6));
        assert_eq!(nodes(1 << 63), None);
        assert_eq!(nodes(1), None);
    }

    #[test]
    fn many_intervals() {
        let mut seed = 1_u64;
        let mut next = || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            seed >> 32
        };
        let mut v4: Vec<u32> = (0..3000)
            .map(|_| next() as u32 & !(0xff << (next() % 3 * 8)))
            .collect();
        v4.extend([0]);
        v4.sort_unstable();
        v4.dedup();
        let intervals = v4
            .iter()
            .map(|start| (*start, (start % 13) as u16))
            .collect();
        check::<u32>(&intervals, false);
        let mut v6: Vec<u128> = (0..800)
            .map(|_| {
                (u128::from(next() & 3) << 125 | u128::from(next())) & !(0xff << (next() % 14 * 8))
            })
            .collect();
        v6.extend([0]);
        v6.sort_unstable();
        v6.dedup();
        let intervals = v6
            .iter()
            .map(|start| (*start, (start % 11) as u16))
            .collect();
        check::<u128>(&intervals, true);
    }
}
