//! Lists of the ranges into which two bytes divide.

use std::collections::HashMap;

use portguard_common::abi;

/// The lists of one trie. Until all are there they go by their numbers.
#[derive(Default)]
pub(super) struct Lists {
    /// The ranges of all lists, one behind the other: where each begins, and its half.
    ranges: Vec<(u16, u16)>,
    /// Where those of each list end.
    ends: Vec<usize>,
    /// Those of a single range, by its half.
    single: HashMap<u16, u32>,
}

/// How lists are laid out.
pub(super) struct Layout {
    /// The form of the trie.
    pub(super) form: u32,
    /// Starts in the longest of them.
    pub(super) longest: u32,
    /// Where the short ones end.
    pub(super) short: u32,
    /// The word of each, by its number.
    pub(super) words: Vec<u32>,
}

impl Lists {
    /// Adds the list of one range.
    pub(super) fn add_single(&mut self, half: u16) -> u32 {
        if let Some(number) = self.single.get(&half) {
            return *number;
        }
        let number = self.add(&[(0, half)]);
        self.single.insert(half, number);
        number
    }

    /// Adds the list of ranges: where each begins, and its half. The first begins at 0, and at most [`abi::List::LONGEST`] follow it. The
    /// answer is the list's number.
    pub(super) fn add(&mut self, ranges: &[(u16, u16)]) -> u32 {
        let number = self.ends.len();
        self.ranges.extend(ranges);
        self.ends.push(self.ranges.len());
        // More than fit a word are more than are allowed at all, which is found out when all tables are there.
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// Lays all lists out behind what is there: first the short ones, where most are short; then the others, as long as each other where that takes
    /// little more than as long as each must be.
    pub(super) fn lay_out(&self, lists: &mut Vec<u16>) -> Layout {
        let first = lists.len();
        let place = |lists: &Vec<u16>| u32::try_from(lists.len() - first).unwrap_or(u32::MAX);
        let are_short = self.most_are_short();
        let mut words = vec![0; self.ends.len()];
        let mut long = Vec::new();
        for (number, ranges) in self.all().enumerate() {
            match short(ranges).filter(|_| are_short) {
                Some(list) => {
                    words[number] = place(lists);
                    lists.extend(list);
                }
                None => long.push((number, ranges)),
            }
        }
        let short = place(lists);

        let longest = long.iter().map(|(_, ranges)| starts(ranges)).max();
        let longest = longest.unwrap_or(0);
        let uniform = uniform(longest);
        let shortest = || long.iter().map(|(_, ranges)| length(ranges)).sum();
        let is_uniform = uniform <= UNIFORM_LONGEST
            && uniform_length(uniform) * long.len() <= UNIFORM_HALVES.max(shortest());
        let unit = match is_uniform {
            true => uniform_length(uniform),
            false => abi::List::UNIT as usize,
        };
        lists.resize(first + (lists.len() - first).next_multiple_of(unit), 0);
        for (number, ranges) in &long {
            let place = place(lists);
            words[*number] = if is_uniform {
                add_uniform(ranges, uniform, lists);
                place
            } else {
                add(ranges, place, lists)
            };
        }
        let (form, longest) = match is_uniform {
            true => (abi::Trie::UNIFORM_LISTS, uniform),
            // At least `SHORTEST`: lists that are all shorter take no more as uniform ones.
            false => (abi::Trie::LISTS, longest),
        };
        Layout {
            form,
            longest: u32::try_from(longest).unwrap_or(u32::MAX),
            short,
            words,
        }
    }

    /// Whether it is worth while to tell short lists from others.
    fn most_are_short(&self) -> bool {
        let long = || self.all().filter(|ranges| short(ranges).is_none());
        let is_worth = || long().any(|ranges| starts(ranges) > WORTH_SHORT);
        let count = long().count();
        count == 0 || is_worth() && count * FEW <= self.ends.len()
    }

    /// The ranges of each list.
    fn all(&self) -> impl Iterator<Item = &[(u16, u16)]> {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        begins
            .zip(&self.ends)
            .map(|(begin, end)| &self.ranges[begin..*end])
    }
}

/// Longest lists that are looked up as quickly as the processor finds out which lists are short.
const WORTH_SHORT: usize = 3;

/// For each list that is not short there are to be so many lists: the processor expects short ones, and to be wrong costs it several times what a
/// short list spares.
const FEW: usize = 8;

/// The short list of ranges, if there is one.
fn short(ranges: &[(u16, u16)]) -> Option<[u16; abi::List::SHORT_LEN as usize]> {
    match *ranges {
        [(_, class)] => Some([class, class, 0, 0]),
        // The first range begins at 0, like any address.
        [(_, before), (start, behind)] => Some([behind, before, 0, start]),
        [(_, outside), (start, inside), (end, behind)] if outside == behind => {
            Some([outside, inside, start, end])
        }
        _ => None,
    }
}

/// How many ranges begin after the first one.
const fn starts(ranges: &[(u16, u16)]) -> usize {
    ranges.len() - 1
}

/// How many starts lists of one length have, by the longest of them.
const fn uniform(longest: usize) -> usize {
    if longest <= abi::List::AT_ONCE as usize {
        longest
    } else {
        (longest + 1).next_power_of_two() - 1
    }
}

/// Halves that a list of so many starts takes among those of one length: a power of two, so that few of them lie across lines of the cache.
const fn uniform_length(starts: usize) -> usize {
    (2 * starts + 1).next_power_of_two()
}

// A list that is not short has two starts at least: each begins at a multiple of what halves count in.
const _: () = assert!(uniform_length(2).is_multiple_of(abi::List::SHORT_LEN as usize));

/// Most starts in lists of one length: two lines of the cache for each.
const UNIFORM_LONGEST: usize = 31;

/// Most halves in lists of one length together. With more they would leave the nearer caches, which costs more than is spared.
const UNIFORM_HALVES: usize = 1 << 19;

/// Halves that a list takes by itself.
fn length(ranges: &[(u16, u16)]) -> usize {
    let all = ranges.len() + padding(ranges);
    let classes = if take_turns(ranges) { 2 } else { all };
    (all + classes).next_multiple_of(abi::List::UNIT as usize)
}

/// How many ranges are added to a list that has too few: two at a time, so that two classes go on to take turns.
fn padding(ranges: &[(u16, u16)]) -> usize {
    let missing = (abi::List::SHORTEST as usize + 1).saturating_sub(ranges.len());
    missing.next_multiple_of(2)
}

/// Whether there are only two classes, one after the other.
fn take_turns(ranges: &[(u16, u16)]) -> bool {
    let halves = || ranges.iter().map(|(_, half)| half);
    halves()
        .zip(halves().skip(2))
        .all(|(half, next_but_one)| half == next_but_one)
}

/// Adds a list as long as it must be, of which it is known where it begins. The answer is its word.
fn add(ranges: &[(u16, u16)], place: u32, lists: &mut Vec<u16>) -> u32 {
    let end = lists.len() + length(ranges);
    let takes_turns = take_turns(ranges);
    let starts = ranges.len() - 1 + padding(ranges);
    lists.push(0);
    add_starts(ranges, starts, lists);
    if takes_turns {
        lists.extend(ranges.iter().map(|(_, half)| half).take(2));
    } else {
        add_classes(ranges, starts, lists);
    }
    lists.resize(end, 0);
    let starts = u32::try_from(starts).unwrap_or(u32::MAX);
    abi::Trie::list(starts, place, takes_turns)
}

/// Adds a list of so many starts.
fn add_uniform(ranges: &[(u16, u16)], starts: usize, lists: &mut Vec<u16>) {
    let end = lists.len() + uniform_length(starts);
    add_starts(ranges, starts, lists);
    add_classes(ranges, starts, lists);
    lists.resize(end, 0);
}

/// Adds so many starts. What is added to those that there are begins with the last address of all, and has the class of that.
fn add_starts(ranges: &[(u16, u16)], count: usize, lists: &mut Vec<u16>) {
    let end = lists.len() + count;
    lists.extend(ranges[1..].iter().map(|(start, _)| start));
    lists.resize(end, u16::MAX);
}

/// Adds the classes before, between and behind so many starts.
fn add_classes(ranges: &[(u16, u16)], starts: usize, lists: &mut Vec<u16>) {
    let end = lists.len() + starts + 1;
    let last = ranges.last().map_or(0, |(_, half)| *half);
    lists.extend(ranges.iter().map(|(_, half)| half));
    lists.resize(end, last);
}
