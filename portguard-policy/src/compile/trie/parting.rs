//! Where the addresses of a prefix part.

use portguard_common::abi::PackedNode;

use super::space::{Address, Part, Prefix, Space};

/// A prefix of one class in another one that is of another class otherwise.
pub(super) struct Alone {
    pub(super) prefix: Prefix,
    pub(super) inside: u16,
    pub(super) outside: u16,
}

/// The prefix that stands alone in another one, if there is nothing else in it.
pub(super) fn alone<T: Address>(
    space: &Space<'_, T>,
    part: &Part<'_, T>,
    prefix: Prefix,
) -> Option<Alone> {
    let first = part.first;
    let candidates = match *part.range {
        // Either of both may be the longer prefix.
        [_, (start, last)] => [
            Some((start.widen(), prefix.high(space.bits), last, first)),
            Some((prefix.low, start.widen() - 1, first, last)),
        ],
        [_, (start, inside), (end, last)] if first == last => {
            [Some((start.widen(), end.widen() - 1, inside, first)), None]
        }
        _ => return None,
    };
    let mut candidates = candidates.into_iter().flatten();
    candidates.find_map(|(low, high, inside, outside)| {
        let size = high - low + 1;
        let is_prefix = size.is_power_of_two() && low.is_multiple_of(size);
        is_prefix.then(|| Alone {
            prefix: Prefix {
                low,
                len: space.bits - size.trailing_zeros(),
            },
            inside,
            outside,
        })
    })
}

/// What a run of prefixes has in common.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// They are of one class.
    Class(u16),
    /// It is one prefix, and divided.
    Child,
}

/// The runs into which the prefixes divide that are so many bits, at most 16, longer than this one, each with the number of its first.
pub(super) fn runs<T: Address>(
    space: &Space<'_, T>,
    part: &Part<'_, T>,
    prefix: Prefix,
    bits: u32,
) -> Vec<(u16, Run)> {
    let last = u16::MAX >> (u16::BITS - bits);
    let unit = space.bits - prefix.len - bits;
    let mut runs = vec![(0, Run::Class(part.first))];
    let mut add = |start: u16, run: Run| {
        runs.pop_if(|(own, _)| *own == start);
        if runs
            .last()
            .is_none_or(|(_, last)| *last != run || run == Run::Child)
        {
            runs.push((start, run));
        }
    };
    let place = |start: T| {
        let offset = start.widen() - prefix.low;
        ((offset >> unit) as u16, offset & ((1 << unit) - 1) == 0)
    };
    let starts = part.range[1..]
        .iter()
        .map(|(start, class)| (place(*start), *class));
    let starts: Vec<_> = starts.collect();
    for own in starts.chunk_by(|((first, _), _), ((second, _), _)| first == second) {
        let ((number, is_aligned), class) = own[0];
        if own.len() == 1 && is_aligned {
            add(number, Run::Class(class));
            continue;
        }
        add(number, Run::Child);
        if let Some((_, class)) = own.last().filter(|_| number < last) {
            add(number + 1, Run::Class(*class));
        }
    }
    runs
}

/// How far one may go on, so many bits at a time, before addresses of a prefix part: the prefix at which they do, and the class of all others.
pub(super) fn skip<T: Address>(
    space: &Space<'_, T>,
    part: &Part<'_, T>,
    prefix: Prefix,
    bits: u32,
) -> (Prefix, u16) {
    let mut branch = prefix;
    let mut miss = None;
    while branch.len + 2 * bits <= space.bits
        && branch.len - prefix.len + bits <= PackedNode::MAX_SKIP
    {
        let inner = space.sweep(part.range).within(branch);
        let mut child = None;
        for (start, run) in runs(space, &inner, branch, bits) {
            match run {
                Run::Class(class) if miss.is_none_or(|own| own == class) => miss = Some(class),
                Run::Child if child.is_none() => child = Some(start),
                _ => return (branch, miss.unwrap_or(0)),
            }
        }
        let Some(child) = child else {
            break;
        };
        branch = branch.child(child.into(), bits, space.bits);
    }
    (branch, miss.unwrap_or(0))
}
