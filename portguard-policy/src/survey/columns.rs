//! The values of one field, reduced to pairs of classes: that of the left table and that of the right one.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

/// Classes of values by where they begin, up to where the next one does.
pub(super) type Intervals<'i, T> = &'i [(T, u16)];

/// Values that each table puts into one class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) classes: [u16; 2],
    /// What else tells values of the same classes apart.
    pub(super) tag: u8,
    /// One of the values.
    pub(super) witness: u128,
}

/// All pairs of classes of a field.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    pub(super) by_tag: BTreeMap<u8, Vec<u32>>,
    by_class: [OnceCell<HashMap<u16, Vec<u32>>>; 2],
    places: HashMap<u64, u32>,
    /// Intervals mostly go back and forth between few classes: the last two spare the look-up.
    recent: [Option<(u64, u32)>; 2],
}

impl Columns {
    /// Adds a value, and tells the column that it belongs to. The first value of a column is its witness.
    pub(super) fn add(&mut self, classes: [u16; 2], tag: u8, witness: u128) -> u32 {
        let key = u64::from(classes[0]) << 24 | u64::from(classes[1]) << 8 | u64::from(tag);
        for (own, place) in self.recent.iter().flatten() {
            if *own == key {
                return *place;
            }
        }
        let next = self.all.len() as u32;
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.all.push(Column {
                classes,
                tag,
                witness,
            });
            self.by_tag.entry(tag).or_default().push(place);
        }
        self.recent = [Some((key, place)), self.recent[0]];
        place
    }

    /// Makes a value the witness of its column, if it has one.
    pub(super) fn prefer(&mut self, classes: [u16; 2], tag: u8, witness: u128) {
        let key = u64::from(classes[0]) << 24 | u64::from(classes[1]) << 8 | u64::from(tag);
        if let Some(place) = self.places.get(&key) {
            self.all[*place as usize].witness = witness;
        }
    }

    /// The columns of each class of one side.
    pub(super) fn by_class(&self, side: usize) -> &HashMap<u16, Vec<u32>> {
        self.by_class[side].get_or_init(|| {
            let mut by_class: HashMap<u16, Vec<u32>> = HashMap::new();
            for (place, column) in (0..).zip(&self.all) {
                by_class
                    .entry(column.classes[side])
                    .or_default()
                    .push(place);
            }
            by_class
        })
    }
}

/// The class of a value.
pub(super) fn class_of<T: Copy + Into<u128>>(intervals: Intervals<'_, T>, value: u128) -> u16 {
    let after = intervals.partition_point(|(start, _)| (*start).into() <= value);
    let interval = after.checked_sub(1).and_then(|place| intervals.get(place));
    interval.map_or(0, |(_, class)| *class)
}

/// Walks over the values from 0 to `last`, each seen by the left table at `starts[0]` and so many further, by the
/// right one at `starts[1]`: from one at which a class changes to the next. `each` is told first, last and classes.
pub(super) fn merge<T: Copy + Into<u128>>(
    sides: [Intervals<'_, T>; 2],
    starts: [u128; 2],
    last: u128,
    mut each: impl FnMut(u128, u128, [u16; 2]),
) {
    let mut next = [0, 1].map(|side: usize| {
        sides[side].partition_point(|(start, _)| (*start).into() <= starts[side])
    });
    let mut at = 0;
    loop {
        let mut end = last;
        let mut classes = [0, 0];
        for side in 0..2 {
            let before = next[side]
                .checked_sub(1)
                .and_then(|place| sides[side].get(place));
            classes[side] = before.map_or(0, |(_, class)| *class);
            if let Some((start, _)) = sides[side].get(next[side]) {
                end = end.min((*start).into() - starts[side] - 1);
            }
        }
        each(at, end, classes);
        if end >= last {
            return;
        }
        at = end + 1;
        for side in 0..2 {
            while let Some((start, _)) = sides[side].get(next[side])
                && (*start).into() - starts[side] <= at
            {
                next[side] += 1;
            }
        }
    }
}

/// The intervals of a table that names the class of each index.
pub(super) fn intervals_of(table: &[u16]) -> Vec<(u32, u16)> {
    let mut intervals: Vec<(u32, u16)> = Vec::new();
    for (index, class) in (0..).zip(table) {
        if intervals.last().is_none_or(|(_, last)| last != class) {
            intervals.push((index, *class));
        }
    }
    intervals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(
        sides: [&[(u32, u16)]; 2],
        starts: [u128; 2],
        last: u128,
    ) -> Vec<(u128, u128, [u16; 2])> {
        let mut found = Vec::new();
        merge(sides, starts, last, |first, last, classes| {
            found.push((first, last, classes));
        });
        found
    }

    #[test]
    fn intervals_are_merged_where_either_side_changes() {
        let left = [(0, 0), (10, 1), (20, 0)];
        let right = [(0, 7), (15, 8)];
        assert_eq!(
            merged([&left, &right], [0, 0], 30),
            [
                (0, 9, [0, 7]),
                (10, 14, [1, 7]),
                (15, 19, [1, 8]),
                (20, 30, [0, 8])
            ]
        );
        assert_eq!(
            merged([&left, &right], [12, 12], 3),
            [(0, 2, [1, 7]), (3, 3, [1, 8])]
        );
        // The sides may be looked at from different places.
        assert_eq!(
            merged([&left, &left], [8, 19], 2),
            [(0, 0, [0, 1]), (1, 1, [0, 0]), (2, 2, [1, 0])]
        );
        assert_eq!(
            merged(
                [&[(0, 0), (u32::MAX, 1)], &[(0, 0)]],
                [0, 0],
                u128::from(u32::MAX)
            ),
            [
                (0, u128::from(u32::MAX) - 1, [0, 0]),
                (u128::from(u32::MAX), u128::from(u32::MAX), [1, 0])
            ]
        );
    }

    #[test]
    fn a_table_has_intervals() {
        assert_eq!(intervals_of(&[3, 3, 0, 0, 3]), [(0, 3), (2, 0), (4, 3)]);
        assert_eq!(class_of::<u32>(&[(0, 3), (2, 0), (4, 3)], 3), 0);
        assert_eq!(class_of::<u32>(&[(0, 3), (2, 0), (4, 3)], 4), 3);
    }
}
