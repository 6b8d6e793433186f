//! A table with a row for what the fields so far gave and a column for each class of one more field.
//!
//! Rows are alike: what tells one from another is a few columns. A large table keeps a dense row for each group of
//! rows and, row by row, what differs. So 10,000 rules that each pair their own prefix with their own port take
//! 10,000 exceptions and not 10,000 times 10,000 entries.

use std::collections::HashMap;
use std::rc::Rc;

use portguard_common::abi::Row;
use portguard_common::limits;

use super::entries::EntryIndex;
use super::sets::digest_of;

/// Tables up to so many entries are dense, which is a little faster: they fit a processor's second-level cache.
const SMALL: usize = 1 << 18;

/// An entry that changes more than one column of so many does not count as an exception.
const WIDE: usize = 8;

/// What a table holds.
pub(super) trait Plan {
    /// The number of rows.
    fn rows(&self) -> usize;
    /// The number of columns.
    fn columns(&self) -> usize;
    /// A digest of what in this row does not depend on the column.
    fn fixed(&self, row: usize) -> u128;
    /// The entries of this row that match in some columns only, in ascending order.
    fn varying(&self, row: usize) -> &[EntryIndex];
    /// Those columns, in ascending order.
    fn columns_of(&mut self, entry: EntryIndex) -> Rc<[u16]>;
    /// The value at a place. `matching` are the varying entries that match there; rows with the same fixed part
    /// and the same matching entries have the same value.
    fn value(&mut self, row: usize, column: u16, matching: &[EntryIndex]) -> u16;
}

/// A table, laid out.
#[derive(Default)]
pub(super) struct Table {
    pub(super) columns: usize,
    /// Dense rows; all of them if `rows` is empty.
    pub(super) halves: Vec<u16>,
    pub(super) rows: Vec<Row>,
    /// By row: the columns that differ from its dense row or constant, with their values.
    pub(super) exceptions: Vec<Vec<(u16, u16)>>,
}

impl Table {
    /// How many rows it has, where all are dense.
    pub(super) fn dense_rows(&self) -> Option<usize> {
        let rows = self.halves.len().checked_div(self.columns)?;
        self.rows.is_empty().then_some(rows)
    }

    /// What dense rows say of a column.
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = u16> {
        let values = self.halves.iter().skip(column).step_by(self.columns);
        values.copied()
    }

    /// Puts other values in the place of all.
    pub(super) fn renumber(&mut self, number: impl Fn(u16) -> u16) {
        let renumber = |value: &mut u16| *value = number(*value);
        self.halves.iter_mut().for_each(renumber);
        for row in &mut self.rows {
            if row.dense & Row::CONSTANT != 0 {
                let mut value = row.dense as u16;
                renumber(&mut value);
                row.dense = Row::CONSTANT | u32::from(value);
            }
        }
        let exceptions = self.exceptions.iter_mut().flatten();
        exceptions.for_each(|(_, value)| renumber(value));
    }
}

/// More entries than the tables may have.
pub(super) struct TooLarge {
    pub(super) needed: usize,
}

/// Fills a table.
pub(super) fn tabulate(plan: &mut impl Plan) -> Result<Table, TooLarge> {
    let (rows, columns) = (plan.rows(), plan.columns());
    let mut table = Table {
        columns,
        ..Table::default()
    };
    if rows.saturating_mul(columns) <= SMALL {
        for row in 0..rows {
            let entries = plan.varying(row).to_vec();
            dense_row(plan, row, &entries, &mut table.halves);
        }
        return Ok(table);
    }
    let mut bases: HashMap<u128, Base> = HashMap::new();
    for row in 0..rows {
        let (wide, narrow): (Vec<_>, Vec<_>) = plan
            .varying(row)
            .to_vec()
            .into_iter()
            .partition(|entry| plan.columns_of(*entry).len() * WIDE > columns);
        let key = plan.fixed(row) ^ digest_of(&wide);
        let base = match bases.get(&key) {
            Some(base) => base.clone(),
            None => {
                let base = make_base(plan, row, &wide, &mut table.halves)?;
                bases.insert(key, base.clone());
                base
            }
        };
        let mut touched: Vec<u16> = narrow
            .iter()
            .flat_map(|entry| plan.columns_of(*entry).to_vec())
            .collect();
        touched.sort_unstable();
        touched.dedup();
        let mut exceptions: Vec<(u16, u16)> = Vec::with_capacity(touched.len());
        let all = plan.varying(row).to_vec();
        let by_column = by_column(plan, &all, Some(&touched));
        for column in touched {
            let matching = by_column.get(&column).map_or(&[][..], Vec::as_slice);
            let value = plan.value(row, column, matching);
            exceptions.push((column, value));
        }
        // What the base itself excepts, but for the columns that this row has anew.
        let own = exceptions.len();
        for (column, value) in base.exceptions.iter() {
            if exceptions[..own]
                .binary_search_by_key(column, |(column, _)| *column)
                .is_err()
            {
                exceptions.push((*column, *value));
            }
        }
        exceptions.sort_unstable();
        exceptions.retain(|(column, value)| base.value_at(*column, &table.halves) != Some(*value));
        table.rows.push(Row {
            dense: base.dense,
            exceptions: 0,
        });
        table.exceptions.push(exceptions);
    }
    Ok(table)
}

/// What a group of rows has in common.
#[derive(Clone)]
struct Base {
    /// As in [`Row`].
    dense: u32,
    exceptions: Rc<[(u16, u16)]>,
}

impl Base {
    /// What the base says of a column, its own exceptions left aside.
    fn value_at(&self, column: u16, halves: &[u16]) -> Option<u16> {
        if self.dense & Row::CONSTANT != 0 {
            return Some(self.dense as u16);
        }
        halves
            .get(self.dense as usize + usize::from(column))
            .copied()
    }
}

fn make_base(
    plan: &mut impl Plan,
    row: usize,
    wide: &[EntryIndex],
    halves: &mut Vec<u16>,
) -> Result<Base, TooLarge> {
    let start = halves.len();
    dense_row(plan, row, wide, halves);
    let filled = &halves[start..];
    let mut counts: HashMap<u16, usize> = HashMap::new();
    for value in filled {
        *counts.entry(*value).or_default() += 1;
    }
    let commonest = counts
        .into_iter()
        .max_by_key(|(value, count)| (*count, *value));
    if let Some((value, count)) = commonest
        && (filled.len() - count) * WIDE <= filled.len()
    {
        let exceptions = (0..).zip(filled).filter(|(_, own)| **own != value);
        let exceptions = exceptions.map(|(column, own)| (column, *own)).collect();
        halves.truncate(start);
        return Ok(Base {
            dense: Row::CONSTANT | u32::from(value),
            exceptions,
        });
    }
    if halves.len() > limits::HALVES {
        return Err(TooLarge {
            needed: halves.len(),
        });
    }
    Ok(Base {
        dense: u32::try_from(start).unwrap_or(0),
        exceptions: Rc::from([]),
    })
}

/// Adds a row of which only these entries vary.
fn dense_row(plan: &mut impl Plan, row: usize, entries: &[EntryIndex], halves: &mut Vec<u16>) {
    let by_column = by_column(plan, entries, None);
    for column in 0..plan.columns() {
        let column = u16::try_from(column).unwrap_or(0);
        let matching = by_column.get(&column).map_or(&[][..], Vec::as_slice);
        halves.push(plan.value(row, column, matching));
    }
}

/// The entries that match in each column, or in some of interest.
fn by_column(
    plan: &mut impl Plan,
    entries: &[EntryIndex],
    wanted: Option<&[u16]>,
) -> HashMap<u16, Vec<EntryIndex>> {
    let mut by_column: HashMap<u16, Vec<EntryIndex>> = HashMap::new();
    for entry in entries {
        let columns = plan.columns_of(*entry);
        match wanted {
            Some(wanted) if wanted.len() < columns.len() => {
                for column in wanted {
                    if columns.binary_search(column).is_ok() {
                        by_column.entry(*column).or_default().push(*entry);
                    }
                }
            }
            _ => {
                for column in columns.iter() {
                    by_column.entry(*column).or_default().push(*entry);
                }
            }
        }
    }
    by_column
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row in which each entry matches the columns of its own number modulo so many.
    struct Stripes {
        rows: usize,
        columns: usize,
        entries: Vec<EntryIndex>,
    }

    impl Plan for Stripes {
        fn rows(&self) -> usize {
            self.rows
        }

        fn columns(&self) -> usize {
            self.columns
        }

        fn fixed(&self, _row: usize) -> u128 {
            0
        }

        fn varying(&self, _row: usize) -> &[EntryIndex] {
            &self.entries
        }

        fn columns_of(&mut self, entry: EntryIndex) -> Rc<[u16]> {
            (0..self.columns as u16)
                .filter(|column| u32::from(*column) % 4 == entry)
                .collect()
        }

        fn value(&mut self, _row: usize, column: u16, matching: &[EntryIndex]) -> u16 {
            let expected: Vec<EntryIndex> = self
                .entries
                .iter()
                .copied()
                .filter(|entry| u32::from(column) % 4 == *entry)
                .collect();
            assert_eq!(matching, expected, "column {column}");
            matching.first().map_or(0, |entry| *entry as u16 + 1)
        }
    }

    fn base(entries: &[EntryIndex], halves: &mut Vec<u16>) -> Result<Base, TooLarge> {
        let mut plan = Stripes {
            rows: 1,
            columns: 64,
            entries: entries.to_vec(),
        };
        make_base(&mut plan, 0, entries, halves)
    }

    #[test]
    fn a_small_table_is_dense() {
        for (rows, columns, is_dense) in [(1 << 12, 64, true), ((1 << 12) + 1, 64, false)] {
            let mut plan = Stripes {
                rows,
                columns,
                entries: vec![1],
            };
            let Ok(table) = tabulate(&mut plan) else {
                panic!("too large");
            };
            assert_eq!(table.columns, columns);
            assert_eq!(table.rows.is_empty(), is_dense, "{rows}");
            if is_dense {
                assert_eq!(table.halves.len(), rows * columns);
                assert_eq!(table.halves[..8], [0, 2, 0, 0, 0, 2, 0, 0]);
            } else {
                // All rows are the same one.
                assert_eq!(table.rows.len(), rows);
                assert_eq!(table.halves.len(), columns);
            }
        }
    }

    #[test]
    fn all_values_of_a_table_get_their_new_numbers() {
        let row = |dense| Row {
            dense,
            exceptions: 7,
        };
        let mut table = Table {
            columns: 3,
            halves: vec![0, 1, 2],
            rows: vec![row(2), row(Row::CONSTANT | 2)],
            exceptions: vec![vec![(2, 1)], vec![]],
        };
        table.renumber(|value| [4, 5, 9][usize::from(value)]);
        assert_eq!(table.halves, [4, 5, 9]);
        // Where a dense row begins is no value.
        assert_eq!(table.rows, [row(2), row(Row::CONSTANT | 9)]);
        assert_eq!(table.exceptions, [vec![(2, 5)], vec![]]);
    }

    #[test]
    fn a_base_is_a_value_if_few_columns_differ() {
        let mut halves = Vec::new();
        let Ok(constant) = base(&[], &mut halves) else {
            panic!("too large");
        };
        assert_eq!(constant.dense, Row::CONSTANT);
        assert!(halves.is_empty() && constant.exceptions.is_empty());
        assert_eq!(constant.value_at(5, &halves), Some(0));
        // A quarter differs.
        halves.resize(10, 9);
        let Ok(dense) = base(&[2], &mut halves) else {
            panic!("too large");
        };
        assert_eq!((dense.dense, halves.len()), (10, 74));
        assert_eq!(dense.value_at(2, &halves), Some(3));
        assert_eq!(dense.value_at(3, &halves), Some(0));
    }

    #[test]
    fn no_more_entries_than_are_allowed() {
        let mut halves = vec![0; limits::HALVES - 64];
        assert!(base(&[1], &mut halves).is_ok(), "as many as are allowed");
        halves.pop();
        halves.truncate(limits::HALVES - 63);
        match base(&[1], &mut halves) {
            Err(error) => assert_eq!(error.needed, limits::HALVES + 1),
            Ok(_) => panic!("accepted"),
        }
    }
}
