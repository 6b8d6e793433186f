//! A trie: a root, lists of ranges, and whatever else is needed between them.

use portguard_common::abi::{self, PackedNode};
use portguard_common::limits;

use super::lists::Lists;
use super::packed::{Packed, path};
use super::parting::{Alone, Run, alone, runs, skip};
use super::space::{Address, LEVEL_BITS, Part, Prefix, Space};
use super::{TooLarge, Tries, begin_line};

/// Entries of a root, and of a table.
const ENTRIES: usize = 1 << LEVEL_BITS;

/// Builds a trie.
pub(super) fn build<T: Address>(
    space: &Space<'_, T>,
    tables: &mut Tries,
) -> Result<abi::Trie, TooLarge> {
    let first_node = tables.nodes.len();
    let mut walk = Walk {
        packed: Packed {
            tables,
            first_node,
            needed: first_node,
        },
        lists: Lists::default(),
        children: Vec::new(),
        wide: Vec::new(),
        gates_to_wide: Vec::new(),
        gates_to_lists: Vec::new(),
        tables_left: limits::WIDE_TABLES,
    };
    let Some(trunk) = trunk(space) else {
        let root = walk.table_of(space, TOP);
        return walk.finish(space.bits, &root, None);
    };
    let table = walk.table_of(space, trunk);
    let place = walk.add_wide(&table);
    // Who looks an address up goes to the trunk first: the rest does not know it.
    let root = walk.table_of(&Space::new(&beside(space, trunk)), TOP);
    walk.finish(space.bits, &root, Some((trunk, place)))
}

/// All addresses.
const TOP: Prefix = Prefix { low: 0, len: 0 };

/// The first four bytes of most addresses at which something begins, but for those with zeros behind them. `None` in IPv4, where they are all, and
/// where there are no others.
fn trunk<T: Address>(space: &Space<'_, T>) -> Option<Prefix> {
    const LEN: u32 = 2 * LEVEL_BITS;
    if space.bits <= LEN {
        return None;
    }
    let rest = (1 << (space.bits - LEN)) - 1;
    let starts = space.intervals.iter().map(|(start, _)| start.widen());
    let starts: Vec<u128> = starts.filter(|start| start & rest != 0).collect();
    let most = starts
        .chunk_by(|first, second| first & !rest == second & !rest)
        .max_by_key(|run| run.len())?;
    Some(Prefix {
        low: most[0] & !rest,
        len: LEN,
    })
}

/// The intervals without what there is in a prefix: it goes to the class before it.
fn beside<T: Address>(space: &Space<'_, T>, prefix: Prefix) -> Vec<(T, u16)> {
    let high = prefix.high(space.bits);
    let next = space.intervals[1..].iter().map(|(start, _)| start.widen());
    let ends = next.map(|start| start - 1).chain([TOP.high(space.bits)]);
    let mut beside: Vec<(T, u16)> = Vec::new();
    for ((start, class), end) in space.intervals.iter().zip(ends) {
        let mut start = start.widen();
        if (prefix.low..=high).contains(&start) {
            if end <= high {
                continue;
            }
            start = high + 1;
        }
        match beside.last() {
            Some((_, before)) if before == class => {}
            Some(_) => beside.push((T::narrow(start), *class)),
            None => beside.push((T::narrow(0), *class)),
        }
    }
    beside
}

/// A trie that grows.
struct Walk<'t> {
    packed: Packed<'t>,
    lists: Lists,
    /// The words of what lies below ranges of lists.
    children: Vec<u32>,
    /// Tables below the root, one behind the other.
    wide: Vec<u32>,
    /// The gates that lead to them.
    gates_to_wide: Vec<usize>,
    /// The gates that lead to lists.
    gates_to_lists: Vec<usize>,
    /// How many more tables there may be.
    tables_left: usize,
}

impl Walk<'_> {
    /// The word of a prefix that leaves at least [`LEVEL_BITS`].
    fn word<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
    ) -> u32 {
        if let Some(class) = part.class() {
            return self.lists.add_single(class);
        }
        let longer = |own: &Alone| own.prefix.len - prefix.len;
        // A list tells what is no longer than that.
        let own = alone(space, part, prefix).filter(|own| longer(own) > LEVEL_BITS);
        if let Some(own) = own
            .as_ref()
            .filter(|own| longer(own) <= PackedNode::MAX_PATH)
        {
            return self.gate(space, prefix, own.prefix, own.outside, |_, _, node| {
                node.miss |= PackedNode::TO_CLASS;
                node.words = own.inside.into();
            });
        }
        // A list leads to such a gate, in fewer steps than a gate to a list.
        let leads_to_gate = own
            .is_some_and(|own| longer(&own) <= LEVEL_BITS + PackedNode::MAX_PATH)
            && self.children.len() < abi::Trie::CHILDREN;
        let (branch, miss) = match leads_to_gate {
            true => (prefix, 0),
            false => skip(space, part, prefix, LEVEL_BITS),
        };
        let inner = space.sweep(part.range).within(branch);
        let runs = runs(space, &inner, branch, LEVEL_BITS);
        let children = runs.iter().filter(|(_, run)| *run == Run::Child).count();
        if runs.len() <= abi::List::LONGEST as usize + 1
            && self.children.len() + children <= abi::Trie::CHILDREN
        {
            let list = self.list(space, &inner, branch, &runs, children);
            if branch.len == prefix.len {
                return list;
            }
            return self.gate(space, prefix, branch, miss, |walk, place, node| {
                node.words = list;
                walk.gates_to_lists.push(place);
            });
        }
        // What leaves no more than one level is looked at by nodes: a table would be large, and save little.
        if branch.len + LEVEL_BITS < space.bits && self.tables_left > 0 {
            self.tables_left -= 1;
            let table = self.table(space, &inner, branch);
            return self.gate(space, prefix, branch, miss, |walk, place, node| {
                node.starts = PackedNode::WIDE;
                node.words = walk.add_wide(&table);
                walk.gates_to_wide.push(place);
            });
        }
        abi::Trie::NODE | self.packed.node(space, part, prefix)
    }

    /// Adds a table below the root. The answer is its first word, counted from that of the first one.
    fn add_wide(&mut self, table: &[u32]) -> u32 {
        let place = u32::try_from(self.wide.len()).unwrap_or(u32::MAX);
        self.wide.extend(table);
        place
    }

    fn table_of<T: Address>(&mut self, space: &Space<'_, T>, prefix: Prefix) -> Vec<u32> {
        let part = space.sweep(space.intervals).within(prefix);
        self.table(space, &part, prefix)
    }

    /// The words of all prefixes that are [`LEVEL_BITS`] longer than this one.
    fn table<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
    ) -> Vec<u32> {
        let mut sweep = space.sweep(part.range);
        (0..ENTRIES)
            .map(|number| {
                let child = prefix.child(number, LEVEL_BITS, space.bits);
                self.word(space, &sweep.within(child), child)
            })
            .collect()
    }

    fn list<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        part: &Part<'_, T>,
        prefix: Prefix,
        runs: &[(u16, Run)],
        children: usize,
    ) -> u32 {
        let mut sweep = space.sweep(part.range);
        let mut ranges = Vec::with_capacity(runs.len());
        let mut places = self.children.len()..;
        self.children.resize(places.start + children, 0);
        for (start, run) in runs {
            let half = match run {
                Run::Class(class) => *class,
                Run::Child => {
                    let place = places.next().unwrap_or_default();
                    let child = prefix.child((*start).into(), LEVEL_BITS, space.bits);
                    self.children[place] = self.word(space, &sweep.within(child), child);
                    abi::Trie::CHILD | place as u16
                }
            };
            ranges.push((*start, half));
        }
        self.lists.add(&ranges)
    }

    /// Adds a gate from a prefix to a longer one, to where `lead` says; another class lies beside the way.
    fn gate<T: Address>(
        &mut self,
        space: &Space<'_, T>,
        prefix: Prefix,
        branch: Prefix,
        miss: u16,
        lead: impl FnOnce(&mut Self, usize, &mut PackedNode),
    ) -> u32 {
        let Some(place) = self.packed.reserve() else {
            return abi::Trie::GATE;
        };
        let skip = branch.len - prefix.len;
        let mut node = PackedNode {
            skip,
            path: path(branch, skip, space.bits),
            miss: miss.into(),
            ..PackedNode::default()
        };
        lead(self, place, &mut node);
        self.packed.tables.nodes[place] = node;
        abi::Trie::GATE | self.packed.number(place)
    }

    /// Puts the words together: those of the root, of the children, and of the tables below it, one of which is that of the trunk.
    fn finish(
        self,
        bits: u32,
        root: &[u32],
        trunk: Option<(Prefix, u32)>,
    ) -> Result<abi::Trie, TooLarge> {
        let Packed {
            tables,
            first_node,
            needed,
        } = self.packed;
        if needed > limits::NODES {
            return Err(TooLarge { needed });
        }
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let first_list = begin_line(&mut tables.lists);
        let layout = self.lists.lay_out(&mut tables.lists);
        let laid_out = |word: &u32| match *word < abi::Trie::NODE {
            true => layout.words[*word as usize],
            false => *word,
        };
        let lists_len = number(tables.lists.len() - first_list);
        // What halves count in that name lists.
        let in_units = |halves: u32| halves / abi::List::SHORT_LEN;
        let is_narrow = bits == 2 * LEVEL_BITS
            && layout.form == abi::Trie::UNIFORM_LISTS
            && in_units(lists_len) <= 1 << u16::BITS
            && root.iter().all(|word| *word < abi::Trie::NODE);
        if is_narrow {
            let first = tables.lists.len();
            let halves = root.iter().map(|word| in_units(laid_out(word)) as u16);
            tables.lists.extend(halves);
            return Ok(abi::Trie {
                form: abi::Trie::NARROW_LISTS,
                root: number(first),
                lists: number(first_list),
                lists_len: in_units(lists_len),
                longest: layout.longest,
                short: in_units(layout.short),
                ..abi::Trie::default()
            });
        }
        let first = tables.words.len();
        tables.words.extend(root.iter().map(laid_out));
        tables.words.extend(self.children.iter().map(laid_out));
        let wide = number(tables.words.len());
        tables.words.extend(self.wide.iter().map(laid_out));
        for place in self.gates_to_lists {
            let word = &mut tables.nodes[place].words;
            *word = laid_out(word);
        }
        for place in self.gates_to_wide {
            tables.nodes[place].words += wide;
        }
        let mut trie = abi::Trie {
            form: layout.form,
            root: number(first),
            nodes: number(first_node),
            lists: number(first_list),
            lists_len,
            longest: layout.longest,
            short: layout.short,
            ..abi::Trie::default()
        };
        if let Some((trunk, place)) = trunk {
            trie.trunk = (trunk.low >> (u128::BITS - trunk.len)) as u32;
            trie.trunk_words = wide + place;
        }
        Ok(trie)
    }
}
