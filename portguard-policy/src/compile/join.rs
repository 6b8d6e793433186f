//! Combining what the fields so far gave with one more field, where others follow.

use std::collections::HashMap;
use std::rc::Rc;

use portguard_common::limits;

use super::entries::{Entry, EntryIndex};
use super::sets::{Set, Sets, digest, digest_of};
use super::tabulate::Plan;

/// The plan of such a table. Its values are the classes of both together: sets of entries with a condition on
/// any of these fields, of which every condition holds.
pub(super) struct Join<'j, 'p> {
    entries: &'j [Entry<'p>],
    /// The field that is added.
    field: usize,
    rows: Vec<Split>,
    /// By class of the field: the entries that it is the first condition of, with their digest.
    fresh: Vec<(Vec<EntryIndex>, u128)>,
    columns_of: HashMap<EntryIndex, Rc<[u16]>>,
    /// Entries that leave nothing to those after them, once this field matches too.
    swallowers: Vec<EntryIndex>,
    pub(super) classes: Sets,
}

/// A set of entries, by whether they have a condition on the field.
struct Split {
    without: Vec<EntryIndex>,
    with: Vec<EntryIndex>,
    digest_without: u128,
}

impl<'j, 'p> Join<'j, 'p> {
    /// `seen` tells the entries with a condition on the fields so far.
    pub(super) fn new(
        entries: &'j [Entry<'p>],
        seen: &[bool],
        field: usize,
        lefts: &[Set],
        rights: &[Set],
    ) -> Self {
        let has_condition =
            |entry: &EntryIndex| entries[*entry as usize].conditions[field].is_some();
        let rows = lefts.iter().map(|left| {
            let (with, without): (Vec<_>, Vec<_>) = left.iter().copied().partition(has_condition);
            Split {
                digest_without: digest_of(&without),
                with,
                without,
            }
        });
        let mut fresh = Vec::with_capacity(rights.len());
        let mut columns: HashMap<EntryIndex, Vec<u16>> = HashMap::new();
        for (class, right) in (0..).zip(rights) {
            let (old, new): (Vec<_>, Vec<_>) = right
                .iter()
                .copied()
                .partition(|entry| seen[*entry as usize]);
            for entry in old {
                columns.entry(entry).or_default().push(class);
            }
            let digest = digest_of(&new);
            fresh.push((new, digest));
        }
        let swallowers = (0..).zip(entries).filter(|(_, entry)| {
            let has_more = entry.conditions.iter().skip(field + 1).any(Option::is_some);
            entry.enforce && entry.is_wide() && entry.is_conditional() && !has_more
        });
        Self {
            entries,
            field,
            rows: rows.collect(),
            fresh,
            columns_of: columns
                .into_iter()
                .map(|(entry, own)| (entry, own.into()))
                .collect(),
            swallowers: swallowers.map(|(index, _)| index).collect(),
            classes: Sets::new(limits::CLASSES),
        }
    }

    /// Without the entries that one before them leaves nothing to.
    fn prune(&self, mut set: Vec<EntryIndex>) -> Vec<EntryIndex> {
        if self.swallowers.is_empty() {
            return set;
        }
        let swallower = set
            .iter()
            .position(|entry| self.swallowers.binary_search(entry).is_ok());
        if let Some(place) = swallower {
            let rest = set.split_off(place + 1);
            let own = &self.entries[set[place] as usize];
            set.extend(
                rest.into_iter()
                    .filter(|entry| !own.swallows(&self.entries[*entry as usize], self.field)),
            );
        }
        set
    }
}

impl Plan for Join<'_, '_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn columns(&self) -> usize {
        self.fresh.len()
    }

    fn fixed(&self, row: usize) -> u128 {
        self.rows[row].digest_without
    }

    fn varying(&self, row: usize) -> &[EntryIndex] {
        &self.rows[row].with
    }

    fn columns_of(&mut self, entry: EntryIndex) -> Rc<[u16]> {
        let own = self.columns_of.get(&entry);
        own.map_or_else(|| Rc::from([]), Rc::clone)
    }

    fn value(&mut self, row: usize, column: u16, matching: &[EntryIndex]) -> u16 {
        let split = &self.rows[row];
        let (fresh, fresh_digest) = &self.fresh[usize::from(column)];
        let key = split.digest_without
            ^ fresh_digest
            ^ matching.iter().fold(0, |sum, entry| sum ^ digest(*entry));
        if let Some(class) = self.classes.get(key) {
            return class;
        }
        let mut set = [&split.without[..], &fresh[..], matching].concat();
        set.sort_unstable();
        let set = self.prune(set);
        let pruned = digest_of(&set);
        let class = self.classes.number(pruned, || set);
        if pruned != key {
            self.classes.alias(key, class);
        }
        class
    }
}
