//! What tries tell, and what they take.

use std::collections::BTreeMap;

use portguard_common::abi::{List, PackedNode, Trie};
use portguard_common::limits;
use portguard_common::trie::{Bits, Step, step};

use super::packed::Packed;
use super::space::{Address, Prefix, Space};
use super::{Intervals, TooLarge, Tries, build};

/// The bits that are left of an address of up to 128, from the top.
struct Rest {
    bits: u128,
    length: u32,
}

impl Rest {
    fn new(address: u128, v6: bool) -> Self {
        let length = if v6 { 128 } else { 32 };
        Self {
            bits: address & u128::MAX >> (128 - length),
            length,
        }
    }

    fn take(&mut self, count: u32) -> u128 {
        self.length -= count;
        let taken = self.bits >> self.length;
        self.bits &= (1 << self.length) - 1;
        taken
    }
}

fn look_up(trie: Trie, tables: &Tries, v6: bool, address: u128) -> u16 {
    if trie.form == Trie::CONSTANT {
        return trie.root as u16;
    }
    let mut rest = Rest::new(address, v6);
    if trie.form == Trie::NARROW_LISTS {
        let unit = tables.lists[trie.root as usize + rest.take(16) as usize];
        return look_up_half(trie, tables, unit.into(), rest.take(16) as u16);
    }
    assert!([Trie::LISTS, Trie::UNIFORM_LISTS].contains(&trie.form));
    let mut first = trie.root;
    if trie.trunk_words != 0 && address >> 96 == trie.trunk.into() {
        first = trie.trunk_words;
        rest.take(32);
    }
    let mut word = tables.words[first as usize + rest.take(16) as usize];
    loop {
        if word >= Trie::GATE {
            let gate = tables.nodes[(trie.nodes + word - Trie::GATE) as usize];
            if gate.skip != 0 && rest.take(gate.skip) != gate.path.into() {
                return gate.miss as u16;
            }
            if gate.miss & PackedNode::TO_CLASS != 0 {
                return gate.words as u16;
            }
            word = match gate.starts {
                PackedNode::WIDE => tables.words[gate.words as usize + rest.take(16) as usize],
                _ => gate.words,
            };
        } else if word >= Trie::NODE {
            return look_up_packed(trie.nodes, word - Trie::NODE, tables, &rest);
        } else {
            let half = look_up_half(trie, tables, word, rest.take(16) as u16);
            if half & Trie::CHILD == 0 {
                return half;
            }
            let child = usize::from(half & !Trie::CHILD);
            word = tables.words[trie.root as usize + 65_536 + child];
        }
    }
}

/// The half of two bytes by the list of a word.
fn look_up_half(trie: Trie, tables: &Tries, word: u32, bytes: u16) -> u16 {
    let place = match trie.form {
        Trie::NARROW_LISTS => word * List::SHORT_LEN,
        _ => word,
    };
    let begun = |starts: &[u16]| starts.iter().take_while(|start| **start <= bytes).count();
    let from = |place: u32| &tables.lists[(trie.lists + place) as usize..];
    if word < trie.short {
        let halves = from(place);
        let is_inside = halves[2] <= bytes && bytes < halves[3];
        return halves[usize::from(is_inside)];
    }
    if trie.form != Trie::LISTS {
        let (starts, classes) = from(place).split_at(trie.longest as usize);
        return classes[begun(starts)];
    }
    let list = List::of_word(word);
    let halves = from(list.first);
    let (starts, classes) = halves.split_at(list.classes as usize / 2);
    classes[begun(&starts[1..]) & (List::mask(list.differ) as usize / 2)]
}

/// The class of what is left of an address below a word of packed nodes.
fn look_up_packed(first_node: u32, mut word: u32, tables: &Tries, rest: &Rest) -> u16 {
    let wide = rest.bits << (128 - rest.length);
    let mut bits = Bits::v6((wide >> 64) as u64, wide as u64);
    while word & Trie::LEAF == 0 {
        let node = &tables.nodes[(first_node + word) as usize];
        word = match step(node, &mut bits) {
            Step::Word(index) => tables.words[index as usize],
            Step::Miss(word) => word,
        };
    }
    Trie::class(word, bits.byte())
}

/// Packed nodes for all addresses, as they stand below whatever is too much for a list.
fn packed<T: Address>(intervals: &Intervals<T>, tables: &mut Tries) -> Result<u32, TooLarge> {
    let space = Space::new(intervals);
    let (first_node, top) = (tables.nodes.len(), Prefix { low: 0, len: 0 });
    let mut packed = Packed {
        tables,
        first_node,
        needed: first_node,
    };
    let part = space.sweep(space.intervals).within(top);
    let word = packed.entry(&space, &part, top);
    match packed.needed {
        needed if needed > limits::NODES => Err(TooLarge { needed }),
        _ => Ok(word),
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
    // What it would be where too much parts for a list.
    let nodes = u32::try_from(tables.nodes.len()).unwrap();
    let packed = packed(intervals, &mut tables)
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
            let expected = expected(intervals, address);
            let found = look_up(first, &tables, v6, address);
            assert_eq!(found, expected, "{address:x}");
            let rest = Rest::new(address, v6);
            let found = look_up_packed(nodes, packed, &tables, &rest);
            assert_eq!(found, expected, "packed {address:x}");
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
        assert!(packed(&intervals, &mut tables).is_ok());
        // The /16, and of the /24 those that no leaf can tell.
        assert_eq!(tables.nodes.len(), nodes);
    }
}

#[test]
fn three_classes_in_a_row_are_no_prefix_that_stands_alone() {
    // The one in the middle is a prefix, but it is not of one class around it.
    check(
        &vec![
            (0_u32, 0),
            (0x0a00_0040, 1),
            (0x0a00_0080, 2),
            (0x0a00_0100, 0),
        ],
        false,
    );
}

#[test]
fn a_packed_node_skips_as_much_as_it_may_wherever_it_is() {
    // Six bytes are skipped and one is looked at, twice; then what is left. Three addresses are no prefix.
    let host = 0x2001_0db8_0001_0002_0003_0004_0005_0004_u128;
    let intervals = vec![(0_u128, 0), (host, 9), (host + 3, 0)];
    check(&intervals, true);
    let mut tables = Tries::default();
    assert!(packed(&intervals, &mut tables).is_ok());
    let skips: Vec<u32> = tables.nodes.iter().map(|node| node.skip).collect();
    assert_eq!(skips, [PackedNode::MAX_SKIP, PackedNode::MAX_SKIP, 8]);
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
        let trie = build(&intervals, &mut tables)
            .map_err(|error| error.needed)
            .unwrap();
        assert_eq!(trie.form, Trie::LISTS);
        assert_eq!(tables.nodes.len(), nodes);
        assert!(trie.longest <= List::LONGEST);
    }
}

/// The lists of a trie, without the root of a narrow one, and its form.
fn lists(intervals: &Intervals<u32>) -> (Vec<u16>, u32) {
    let (trie, lists) = built(intervals);
    (lists, trie.form)
}

/// A trie and its lists, likewise.
fn built(intervals: &Intervals<u32>) -> (Trie, Vec<u16>) {
    let mut tables = Tries::default();
    let trie = build(intervals, &mut tables).map_err(|error| error.needed);
    let trie = trie.unwrap();
    if trie.form == Trie::NARROW_LISTS {
        assert_eq!(trie.root, trie.lists_len * List::SHORT_LEN);
        assert_eq!(tables.lists.len(), trie.root as usize + 65_536);
        tables.lists.truncate(trie.root as usize);
    }
    (trie, tables.lists)
}

const LAST: u16 = 0xffff;

#[test]
fn lists_of_one_length() {
    // Starts, then the classes; what is added begins with the last address and is of its class. Then the class of all other networks.
    let (found, form) = lists(&hosts(&[2]));
    assert_eq!(form, Trie::NARROW_LISTS);
    let two = [2, 3, 4, 5, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let none = [LAST, LAST, LAST, LAST, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(found, [two, none].concat());
    // Beyond seven starts there are as many as one less than a power of two.
    let (found, _) = lists(&hosts(&[4]));
    let starts = [2, 3, 4, 5, 6, 7, 8, 9];
    assert_eq!(found[..8], starts);
    assert_eq!(found[8..15], [LAST; 7]);
    assert_eq!(
        found[15..31],
        [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(found.len(), 2 * 32);
    // Three starts.
    let (found, _) = lists(&vec![
        (0, 3),
        (2, 1),
        (3, 2),
        (LAST.into(), 4),
        (0x1_0000, 3),
    ]);
    let three = [2, 3, LAST, 3, 1, 2, 4, 0];
    assert_eq!(found, [three, [LAST, LAST, LAST, 3, 3, 3, 3, 0]].concat());
}

#[test]
fn short_lists_come_first_where_most_are_short() {
    let checked = |intervals: Intervals<u32>| {
        check(&intervals, false);
        built(&intervals)
    };
    let short = |host: u16| vec![0, 1, host, host + 1];
    // Six networks of an address and the one of all others, beside one of two addresses.
    let (trie, lists) = checked(hosts(&[1, 1, 1, 2, 1, 1, 1]));
    assert_eq!((trie.form, trie.longest), (Trie::NARROW_LISTS, 4));
    assert_eq!(trie.short, 7);
    let none = vec![0; 4];
    // Lists of 16 halves begin at multiples of 16.
    let free = vec![0; 4];
    let long = vec![2, 3, 4, 5, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let expected = [vec![short(2); 6], vec![none, free, long]].concat();
    assert_eq!(lists, expected.concat());
    // Where there is one short one less, the processor would be wrong too often.
    let (trie, lists) = checked(hosts(&[1, 1, 1, 2, 1, 1]));
    assert_eq!((trie.longest, trie.short), (4, 0));
    assert_eq!(lists.len(), 7 * 16);
    // Three starts are looked at as quickly as is found out that there are not so many.
    let mut three = hosts(&[1; 20]);
    three.extend([(0x20_0002, 1), (0x20_0003, 2), (0x20_0004, 0)]);
    let (trie, _) = checked(three);
    assert_eq!((trie.longest, trie.short), (3, 0));
    // Beside lists of all lengths: they begin behind the short ones, at multiples of their unit.
    let (trie, lists) = checked(hosts(&[[1; 16].as_slice(), &[20, 30]].concat()));
    assert_eq!((trie.form, trie.longest), (Trie::LISTS, 60));
    assert_eq!(trie.short, 17 * 4);
    assert_eq!(lists[..4], short(2));
    assert_eq!(lists[18 * 4..18 * 4 + 4], [0, 2, 3, 4]);
}

#[test]
fn short_lists_tell_each_way_in_which_two_classes_lie_in_a_network() {
    let all = vec![
        (0, 1),
        (5, 2),
        (0x1_0000, 3),
        (0x2_0000, 4),
        (0x2_0007, 5),
        (0x3_0000, 4),
        (0x3_0009, 6),
        (0x3_fff0, 4),
    ];
    check(&all, false);
    let (found, form) = lists(&all);
    assert_eq!(form, Trie::NARROW_LISTS);
    // The last one is that of all other networks.
    let pairs = [
        [2, 1, 0, 5],
        [3, 3, 0, 0],
        [5, 4, 0, 7],
        [4, 6, 9, LAST - 15],
    ];
    assert_eq!(found, [&pairs[..], &[[4, 4, 0, 0]]].concat().concat());
}

#[test]
fn short_lists_in_ipv6() {
    // In each network of 48 bits a prefix of 64; in one of them three; and in one an address, for which a list names a child.
    let network = |number: u128, half: u128| (0x2001_0db8 << 32 | number << 16 | half) << 64;
    let mut intervals = vec![(0, 0)];
    for number in 0..16 {
        intervals.extend([(network(number, 5), 1), (network(number, 6), 0)]);
    }
    for half in [1, 3, 5] {
        intervals.extend([(network(16, half), 2), (network(16, half + 1), 0)]);
    }
    intervals.extend([(network(17, 7) | 1, 3), (network(17, 7) | 2, 0)]);
    check(&intervals, true);
    let mut tables = Tries::default();
    for _ in 0..2 {
        // Those of a second trie lie behind those of the first one.
        let trie = build(&intervals, &mut tables).map_err(|error| error.needed);
        let trie = trie.unwrap();
        assert_eq!((trie.form, trie.longest), (Trie::UNIFORM_LISTS, 6));
        assert!(trie.short >= 4 * 17, "{}", trie.short);
        for (start, class) in &intervals {
            assert_eq!(look_up(trie, &tables, true, *start), *class, "{start:x}");
        }
        let (lists, _) = tables.lists[trie.lists as usize..].split_at(trie.short as usize);
        let mut classes = lists.chunks(4).flat_map(|list| &list[..2]);
        assert!(classes.any(|class| class & Trie::CHILD != 0));
    }
}

#[test]
fn lists_as_long_as_they_must_be() {
    // One is so long that the others would be too long with it.
    let long = hosts(&[31]);
    let behind = |ranges: &[(u32, u16)]| {
        let (found, form) = lists(&[&long[..], ranges].concat());
        assert_eq!(form, Trie::LISTS);
        // A half that is nothing, 62 starts and both classes; what is left of its last unit is free.
        let starts: Vec<u16> = (2..64).collect();
        assert_eq!(found[..65], [&[0], &starts[..], &[0, 1]].concat());
        found[72..].to_vec()
    };
    let of_class_0 = [&[0][..], &[LAST; 8], &[0; 7]].concat();
    // Two classes take turns, and are written once: two are added at a time, so that they go on to take turns.
    for (ranges, starts) in [
        (&[(0x1_0002, 1), (0x1_0003, 0)][..], vec![2, 3]),
        (
            &[(0x1_0002, 1), (0x1_0003, 0), (0x1_0004, 1), (0x2_0000, 0)],
            vec![2, 3, 4],
        ),
    ] {
        let mut list = [&[0][..], &starts, &[LAST; 6], &[0, 1]].concat();
        list.resize(16, 0);
        assert_eq!(behind(ranges), [list, of_class_0.clone()].concat());
    }
    // With a third class each range has its own.
    let third = [(0x1_0002, 1), (0x1_0003, 2), (0x1_0004, 0)];
    let mut list = [&[0, 2, 3, 4][..], &[LAST; 6], &[0, 1, 2, 0], &[0; 6]].concat();
    list.resize(24, 0);
    assert_eq!(behind(&third), [list, of_class_0].concat());
}

#[test]
fn lists_are_of_one_length_where_that_takes_little() {
    let form = |counts: &[u32]| lists(&hosts(counts)).1;
    // 64 halves each, of a MiB all together, of which 16 bits name those of the first half.
    let half = [&[15][..], &[2; 4000]].concat();
    assert_eq!(form(&half), Trie::NARROW_LISTS);
    let most = [&[15][..], &[2; 8000]].concat();
    assert_eq!(form(&most), Trie::UNIFORM_LISTS);
    let all = [&[15][..], &[2; 9000]].concat();
    assert_eq!(form(&all), Trie::LISTS);
    // 16 halves each, which is as few as any list takes; 16 bits name the first 16,384 of them.
    assert_eq!(form(&[3; 16_383]), Trie::NARROW_LISTS);
    assert_eq!(form(&[3; 16_384]), Trie::UNIFORM_LISTS);
    assert_eq!(form(&[3; 60_000]), Trie::UNIFORM_LISTS);
    // More starts than are worth it.
    assert_eq!(form(&[16]), Trie::LISTS);
    // 16 bits name no node.
    let beside_a_node = [2, 32, 1];
    check(&hosts(&beside_a_node), false);
    assert_eq!(form(&beside_a_node), Trie::UNIFORM_LISTS);
}

#[test]
fn no_more_nodes_than_are_allowed() {
    let intervals: Intervals<u32> = (0..4)
        .map(|number| (number << 8 | number, number as u16))
        .collect();
    let needed = {
        let mut tables = Tries::default();
        assert!(packed(&intervals, &mut tables).is_ok());
        tables.nodes.len()
    };
    for (room, fits) in [(needed, true), (needed - 1, false)] {
        let mut tables = Tries {
            nodes: vec![PackedNode::default(); limits::NODES - room],
            ..Tries::default()
        };
        match packed(&intervals, &mut tables) {
            Ok(_) => assert!(fits),
            Err(error) => assert!(!fits && error.needed == limits::NODES + 1),
        }
    }
}

#[test]
fn gates_are_nodes_that_are_counted() {
    // Two gates for each network, below which its address lies alone; but for the last one, which is the trunk, and needs only one.
    let intervals: Intervals<u128> = (0..4_u16)
        .flat_map(|number| {
            let host = u128::from(number) << 112 | 1;
            [(host & !1, 0), (host, number + 1), (host + 1, 0)]
        })
        .collect();
    for (room, fits) in [(7, true), (6, false)] {
        let mut tables = Tries {
            nodes: vec![PackedNode::default(); limits::NODES - room],
            ..Tries::default()
        };
        match build(&intervals, &mut tables) {
            Ok(trie) => assert!(fits && trie.nodes as usize == limits::NODES - room),
            Err(error) => assert!(!fits && error.needed > limits::NODES),
        }
    }
}

/// A host in each of so many networks of a prefix, each network 16 bits longer.
fn hosts_v6(prefix: u128, length: u32, count: u32) -> Intervals<u128> {
    let mut intervals = vec![];
    for number in 0..count {
        let network = prefix | u128::from(number) << (112 - length);
        let host = network | u128::from(number % 7) << 3 | 1;
        intervals.extend([(host, (number % 5 + 1) as u16), (host + 1, 0)]);
    }
    intervals
}

#[test]
fn ipv6_where_much_parts() {
    let most = List::LONGEST / 2;
    // Each host parts its network: a run of its own, so that a list holds half as many and the network beside them.
    for (length, count, wide) in [(32, most, 0), (32, 300, 0), (48, 64, 1), (96, 300, 1)] {
        let prefix = 0x2001_0db8 << 96;
        let intervals = [vec![(0, 0)], hosts_v6(prefix, length, count)].concat();
        check(&intervals, true);
        let mut tables = Tries::default();
        let trie = build(&intervals, &mut tables)
            .map_err(|error| error.needed)
            .unwrap();
        assert_ne!(trie.form, Trie::CONSTANT);
        let found = tables.nodes.iter();
        let found = found.filter(|node| node.starts == PackedNode::WIDE);
        assert_eq!(found.count(), wide, "{length} {count}");
    }
    // More prefixes within which much parts than there are tables: packed nodes for the rest.
    let mut intervals = vec![(0, 0)];
    let prefixes = limits::WIDE_TABLES as u128 + 3;
    for number in 0..prefixes {
        intervals.extend(hosts_v6((0x2a00 + number) << 112, 32, 100));
    }
    check(&intervals, true);
    let mut tables = Tries::default();
    assert!(build(&intervals, &mut tables).is_ok());
    let is_wide = |node: &&PackedNode| node.starts == PackedNode::WIDE;
    let wide = tables.nodes.iter().filter(is_wide).count();
    assert_eq!(wide, limits::WIDE_TABLES);
    // Within 16 bits from the end there is no table: it would be large for few addresses.
    let last: Intervals<u128> = (0..200)
        .map(|number| ((0xfe80 << 112) + number * 3, (number % 2) as u16))
        .collect();
    let intervals = [vec![(0, 7)], last].concat();
    check(&intervals, true);
    let mut tables = Tries::default();
    assert!(build(&intervals, &mut tables).is_ok());
    assert_eq!(tables.nodes.iter().filter(is_wide).count(), 0);
}

#[test]
fn the_root_knows_nothing_of_the_trunk() {
    let trunk = 0x2001_0db8_u128 << 96;
    for intervals in [
        // One that ends with it, one that goes on behind it, and one that is around it.
        vec![
            (0, 0),
            (trunk | 1, 1),
            (trunk + (1 << 96), 2),
            (trunk + (2 << 96), 0),
        ],
        vec![(0, 0), (trunk | 1, 1), (trunk + (2 << 96), 0)],
        vec![(0, 0), (trunk | 1, 1), (trunk | 2, 0)],
    ] {
        check(&intervals, true);
        let mut tables = Tries::default();
        let trie = build(&intervals, &mut tables)
            .map_err(|error| error.needed)
            .unwrap();
        assert_eq!(u128::from(trie.trunk), trunk >> 96);
        // The words of both and one below a list in the trunk: beside it nothing parts further down.
        assert_eq!(tables.words.len(), (2 << 16) + 1);
        let is_around = intervals.len() == 3 && intervals[2].0 == trunk | 2;
        // One list in the trunk, and one of each class that fills a word; those that go on, or follow, are one of ranges in the root.
        let lists = if is_around { 2 } else { 4 };
        assert_eq!(tables.lists.len(), lists * List::SHORT_LEN as usize);
    }
}

#[test]
fn a_prefix_that_stands_alone_in_ipv6_takes_one_gate() {
    let network = 0x2001_0db8_0001_u128 << 80;
    for length in 49..=128 {
        let size = 1 << (128 - length);
        // In the middle of its network, and at either end of it.
        for low in [0x8765_4321 << 40, 0, (1 << 80) - size] {
            let low = (network | low) & !(size - 1);
            let intervals = vec![(0, 3), (low, 9), (low + size, 3)];
            check(&intervals, true);
            let mut tables = Tries::default();
            assert!(build(&intervals, &mut tables).is_ok());
            // A list tells what has up to 64 bits.
            let gates = usize::from(length > 64);
            assert_eq!(tables.nodes.len(), gates, "{low:x}/{length}");
            // Where a gate has more bits than it looks at, it is a child of one.
            let children = usize::from(length > 112);
            assert_eq!(tables.words.len(), (2 << 16) + children, "{low:x}/{length}");
        }
    }
    // All around may be one class, too, and the prefix what is left of its network.
    for intervals in [
        vec![(0, 3), (network | 1, 9)],
        vec![(0, 3), (network + (1 << 80) - 1, 9)],
        vec![(0, 3), (network, 9), (network | 1, 4), (network | 2, 9)],
    ] {
        check(&intervals, true);
        let mut tables = Tries::default();
        assert!(build(&intervals, &mut tables).is_ok());
        assert_eq!(tables.nodes.len(), 1);
    }
}

#[test]
fn beside_what_a_gate_skips_is_the_class_around() {
    let host = 0x2001_0db8_u128 << 96 | 1;
    let intervals = vec![(0, 3), (host, 9), (host + 1, 3)];
    let mut tables = Tries::default();
    let trie = build(&intervals, &mut tables)
        .map_err(|error| error.needed)
        .unwrap();
    assert!(!tables.nodes.is_empty());
    assert_eq!(look_up(trie, &tables, true, host), 9);
    for bit in 0..128 {
        assert_eq!(look_up(trie, &tables, true, host ^ 1 << bit), 3, "{bit}");
    }
}

#[test]
fn as_many_children_as_a_list_can_number() {
    // Half of 31 networks of 32 bits each, in so many of 16 bits; the last one of them is the trunk, and no child.
    let networks = u128::try_from(Trie::CHILDREN / 31).unwrap();
    for (count, gates) in [(networks, 0), (networks + 1, 1)] {
        let mut intervals = vec![(0_u128, 0)];
        for number in 0..count * 31 {
            let network = (1 + number / 31) << 112 | (number % 31 * 2 + 1) << 96;
            intervals.extend([(network | 1 << 95, 1), (network + (1 << 96), 0)]);
        }
        let mut tables = Tries::default();
        let trie = build(&intervals, &mut tables)
            .map_err(|error| error.needed)
            .unwrap();
        assert_eq!(tables.nodes.len(), gates, "{count}");
        for (start, class) in &intervals {
            assert_eq!(look_up(trie, &tables, true, *start), *class, "{start:x}");
        }
    }
}

#[test]
fn ipv6_at_its_edges() {
    // The first and the last address of each level, divided and whole.
    let mut intervals = vec![(0_u128, 0)];
    for shift in (0..128).step_by(16) {
        let unit = 1_u128 << shift;
        for low in [
            unit,
            unit * 3 - 1,
            u128::MAX - unit * 2 + 1,
            u128::MAX - unit + 1,
        ] {
            intervals.push((low, (shift + low.trailing_zeros()) as u16 % 9 + 1));
        }
    }
    intervals.sort_unstable();
    intervals.dedup_by_key(|(start, _)| *start);
    check(&intervals, true);
    // A chain: each longer prefix within the one before.
    let path = 0x2001_0db8_0001_0002_0003_0004_0005_0006_u128;
    let chain = (0..=128).map(|length| {
        let low = path & u128::MAX.checked_shl(128 - length).unwrap_or(0);
        (low, length as u16)
    });
    let mut chain: Intervals<u128> = chain.collect();
    chain.extend((0..128).map(|bit| ((path | ((1 << bit) - 1)).saturating_add(1), 200 + bit)));
    chain.sort_unstable();
    chain.dedup_by_key(|(start, _)| *start);
    check(&chain, true);
}

#[test]
fn a_trunk_at_either_end_and_what_reaches_over_it() {
    for trunk in [0, 0x2001_0db8, u32::MAX] {
        let low = u128::from(trunk) << 96;
        let high = low | u128::MAX >> 32;
        let edges = [
            low.checked_sub(1),
            Some(low),
            Some(high),
            high.checked_add(1),
        ];
        // At each edge nothing begins, or the class of before the trunk, or another one.
        for number in 0..3_u32.pow(4) {
            let mut starts = BTreeMap::from([(0, 1), (low + 5, 2), (low + 9, 3), (low + 12, 4)]);
            for (place, edge) in (0..).zip(edges) {
                if let (Some(edge), class @ 1..) = (edge, number / 3_u32.pow(place) % 3) {
                    starts.insert(edge, if class == 1 { 1 } else { 5 });
                }
            }
            let mut intervals: Intervals<u128> = starts.into_iter().collect();
            intervals.dedup_by_key(|(_, class)| *class);
            check(&intervals, true);
            let trie = build(&intervals, &mut Tries::default());
            let trie = trie.map_err(|error| error.needed).unwrap();
            assert_eq!(trie.trunk, trunk);
        }
    }
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
