//! From the conditions on one field to classes: values that every entry treats alike.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use portguard_common::abi::field;
use portguard_common::limits;

use super::entries::{Condition, Entry, EntryIndex};
use super::sets::{Sets, digest_of};
use crate::addresses::{Addresses, Value, join};

/// Where a class begins, up to where the next one does.
pub(crate) type Intervals<T> = Vec<(T, u16)>;

/// The classes of a field's values.
pub(super) enum Layout {
    /// By name of the interface.
    Interfaces(Vec<(String, u16)>),
    /// By VLAN ID.
    Vlans(Intervals<u32>),
    /// By address.
    Addresses {
        v4: Intervals<u32>,
        v6: Intervals<u128>,
    },
    /// By index of the table of source ports.
    SourcePorts(Intervals<u32>),
}

impl Layout {
    /// Puts other numbers in the place of all classes, which may be the same for several.
    pub(super) fn renumber(&mut self, number: impl Fn(u16) -> u16) {
        fn each<T>(classes: &mut [(T, u16)], number: impl Fn(u16) -> u16) {
            let own = classes.iter_mut().map(|(_, class)| class);
            own.for_each(|class| *class = number(*class));
        }
        fn joined<T>(intervals: &mut Intervals<T>, number: impl Fn(u16) -> u16) {
            each(intervals, number);
            intervals.dedup_by_key(|(_, class)| *class);
        }
        match self {
            Self::Interfaces(classes) => each(classes, number),
            Self::Vlans(intervals) | Self::SourcePorts(intervals) => joined(intervals, number),
            Self::Addresses { v4, v6 } => {
                joined(v4, &number);
                joined(v6, number);
            }
        }
    }
}

/// A field that some entry has a condition on.
pub(super) struct Field {
    pub(super) layout: Layout,
    /// By class: the entries with a condition on the field that match.
    pub(super) classes: Sets,
}

/// Reduces a field to classes; `None` if no entry has a condition on it.
pub(super) fn reduce(entries: &[Entry<'_>], number: usize, interfaces: &[&str]) -> Option<Field> {
    let conditions = || {
        let entries = (0..).zip(entries);
        entries.filter_map(move |(index, entry)| Some((index, entry.conditions[number].as_ref()?)))
    };
    conditions().next()?;
    let allowed = match number {
        field::SOURCE | field::DESTINATION => limits::ADDRESS_CLASSES,
        _ => limits::CLASSES,
    };
    let mut classes = Sets::new(allowed);
    let layout = match number {
        field::INTERFACE => {
            let named = interfaces.iter().map(|name| {
                let matching: Vec<EntryIndex> = conditions()
                    .filter(|(_, condition)| match condition {
                        Condition::Interfaces(patterns) => {
                            patterns.iter().any(|pattern| pattern.matches(name))
                        }
                        _ => false,
                    })
                    .map(|(index, _)| index)
                    .collect();
                let class = classes.number(digest_of(&matching), || matching.clone());
                ((*name).to_owned(), class)
            });
            Layout::Interfaces(named.collect())
        }
        field::VLAN => {
            let sources = conditions().filter_map(|(index, condition)| match condition {
                Condition::Vlans(ids) => {
                    let ids = ids.iter().map(|id| (u32::from(*id), u32::from(*id)));
                    Some(Source::new(vec![index], join(ids.collect())))
                }
                _ => None,
            });
            Layout::Vlans(sweep(&sources.collect::<Vec<_>>(), 0, &mut classes))
        }
        field::SOURCE_PORT => {
            let sources = conditions().filter_map(|(index, condition)| match condition {
                Condition::SourcePorts(ranges) => {
                    let ranges = ranges.iter().map(|range| (range.start, range.end - 1));
                    Some(Source::new(vec![index], join(ranges.collect())))
                }
                _ => None,
            });
            Layout::SourcePorts(sweep(&sources.collect::<Vec<_>>(), 0, &mut classes))
        }
        _ => {
            let groups = group(
                conditions().filter_map(|(index, condition)| match condition {
                    Condition::Addresses(addresses) => Some((index, *addresses)),
                    _ => None,
                }),
            );
            let v4 = groups
                .iter()
                .map(|(entries, addresses)| Source::new(entries.clone(), addresses.v4()));
            let v4 = sweep(&v4.collect::<Vec<_>>(), 0, &mut classes);
            let v6 = groups
                .iter()
                .map(|(entries, addresses)| Source::new(entries.clone(), addresses.v6()));
            let v6 = sweep(&v6.collect::<Vec<_>>(), 0, &mut classes);
            Layout::Addresses { v4, v6 }
        }
    };
    Some(Field { layout, classes })
}

/// The entries that share one set of addresses, together: a set may be large.
fn group<'p>(
    conditions: impl Iterator<Item = (EntryIndex, &'p Addresses)>,
) -> Vec<(Vec<EntryIndex>, &'p Addresses)> {
    let mut places: HashMap<*const Addresses, usize> = HashMap::new();
    let mut groups: Vec<(Vec<EntryIndex>, &Addresses)> = Vec::new();
    for (index, addresses) in conditions {
        let place = *places.entry(addresses).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((entries, _)) => entries.push(index),
            None => groups.push((vec![index], addresses)),
        }
    }
    groups
}

/// Entries that match over the same ranges of values, both ends included, which neither overlap nor touch.
struct Source<'p, T: Clone> {
    entries: Vec<EntryIndex>,
    digest: u128,
    ranges: Cow<'p, [(T, T)]>,
}

impl<'p, T: Clone> Source<'p, T> {
    fn new(entries: Vec<EntryIndex>, ranges: impl Into<Cow<'p, [(T, T)]>>) -> Self {
        Self {
            digest: digest_of(&entries),
            entries,
            ranges: ranges.into(),
        }
    }
}

/// Walks over all values, from one at which some source begins or ends to match to the next.
fn sweep<T: Value>(sources: &[Source<'_, T>], first: T, classes: &mut Sets) -> Intervals<T> {
    let total: usize = sources.iter().map(|source| source.ranges.len()).sum();
    let mut edges: Vec<(T, u32)> = Vec::with_capacity(2 * total);
    for (number, source) in (0..).zip(sources) {
        for (low, high) in source.ranges.iter() {
            edges.push((*low, number));
            edges.extend(high.after().map(|after| (after, number)));
        }
    }
    // Stable, since that makes use of the ascending runs which the sources give.
    edges.sort_by_key(|(value, _)| *value);

    // As a set: where each of many sources has prefixes of its own, only a few match the same address.
    let mut active: BTreeSet<u32> = BTreeSet::new();
    let mut digest = 0;
    let mut intervals: Intervals<T> = Vec::with_capacity(edges.len() + 1);
    intervals.push((first, 0));
    let mut edges = edges.into_iter().peekable();
    while let Some((value, number)) = edges.next() {
        // The ranges of a source neither overlap nor touch, so an edge always changes something.
        if !active.remove(&number) {
            active.insert(number);
        }
        digest ^= sources[number as usize].digest;
        if edges.peek().is_some_and(|(next, _)| *next == value) {
            continue;
        }
        let class = classes.number(digest, || {
            let members = active.iter().map(|number| &sources[*number as usize]);
            let members = members.flat_map(|source| source.entries.iter().copied());
            let mut members: Vec<EntryIndex> = members.collect();
            members.sort_unstable();
            members
        });
        match intervals.last_mut() {
            Some(last) if last.0 == value => last.1 = class,
            Some(last) if last.1 == class => {}
            _ => intervals.push((value, class)),
        }
    }
    intervals
}
