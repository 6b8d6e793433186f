//! The table of services, laid out by column: a flood mostly comes from many sources to few services, and then touches less of it. It is the
//! class of the service then that says where a column of it begins.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use portguard_common::abi::Stage;

use super::services::Services;
use super::tabulate::Table;

/// A table of services by column.
pub(super) struct ByColumn {
    pub(super) table: Table,
    /// The [`Stage::form`].
    pub(super) form: u32,
    /// By class of the fields so far: its row.
    pub(super) rows: Vec<u16>,
    /// By class of the service: where its column begins.
    pub(super) columns: Vec<u16>,
}

impl ByColumn {
    /// With the numbers of rows so that one column tells of each row its own number, and need not be read: of those that tell apart all rows that differ, the
    /// one of most services. `None` where there is none, or a row's number would be above `highest`.
    pub(super) fn with_identity(
        table: &Table,
        services: &Services,
        highest: usize,
    ) -> Option<Self> {
        let rows = many_rows(table)?;
        let widths = services.widths();
        let mut columns: Vec<usize> = (0..table.columns).collect();
        columns.sort_by_key(|column| Reverse(widths[*column]));
        columns.into_iter().find_map(|column| {
            let cells: Vec<u16> = table.column(column).collect();
            let last = usize::from(cells.iter().copied().max()?);
            let mut by_cell = HashMap::new();
            let all_rows = table.halves.chunks(table.columns);
            let tells_apart = all_rows
                .zip(&cells)
                .all(|(row, cell)| *by_cell.entry(cell).or_insert(row) == row);
            // Not so many rows more that the table is twice as large.
            let fits = tells_apart && last < 2 * rows && last <= highest;
            fits.then(|| Self::new(table, Stage::IDENTITY, column, cells))?
        })
    }

    /// With the numbers of rows as they are.
    pub(super) fn with_rows(table: &Table) -> Option<Self> {
        let rows = (0..u16::try_from(many_rows(table)?).ok()?).collect();
        Self::new(table, Stage::NEAR, 0, rows)
    }

    /// With one column first, by the number of each row. `None` where a column begins beyond what 16 bits can name.
    fn new(table: &Table, form: u32, first: usize, rows: Vec<u16>) -> Option<Self> {
        let height = usize::from(rows.iter().copied().max()?) + 1;
        let place = |column: usize| match column.cmp(&first) {
            Ordering::Less => column + 1,
            Ordering::Equal => 0,
            Ordering::Greater => column,
        };
        let columns = (0..table.columns).map(|column| u16::try_from(place(column) * height).ok());
        let columns = columns.collect::<Option<Vec<u16>>>()?;
        let mut halves = vec![0; height * table.columns];
        for (cells, row) in table.halves.chunks(table.columns).zip(&rows) {
            for (cell, column) in cells.iter().zip(&columns) {
                halves[usize::from(*column) + usize::from(*row)] = *cell;
            }
        }
        let table = Table {
            columns: table.columns,
            halves,
            ..Table::default()
        };
        Some(Self {
            table,
            form,
            rows,
            columns,
        })
    }
}

/// How many rows a table has, where it is dense and they are more than its columns.
fn many_rows(table: &Table) -> Option<usize> {
    table.dense_rows().filter(|rows| *rows > table.columns)
}

#[cfg(test)]
mod tests {
    use portguard_common::abi::{Row, service};

    use super::*;

    fn table<const COLUMNS: usize>(rows: &[[u16; COLUMNS]]) -> Table {
        Table {
            columns: COLUMNS,
            halves: rows.concat(),
            ..Table::default()
        }
    }

    /// Of so many classes, each of the widths of services that are given, and the last of all that are left.
    fn services(widths: &[u32]) -> Services {
        let starts = widths.iter().scan(0, |end, width| {
            let start = *end;
            *end += width;
            Some(start)
        });
        Services::undecided(starts.zip(0..).collect(), widths.len())
    }

    const ANY: usize = u16::MAX as usize;

    #[test]
    fn a_class_has_all_services_up_to_the_next_one() {
        let mut services = services(&[5, 3, 1]);
        services.intervals.push((9, 0));
        assert_eq!(services.widths(), [service::LEN - 4, 3, 1]);
    }

    #[test]
    fn a_row_has_the_number_of_its_cell() {
        let table = table(&[[0, 2, 5], [0, 3, 6], [0, 0, 5], [0, 3, 6]]);
        let Some(own) = ByColumn::with_identity(&table, &services(&[9, 1, 1]), ANY) else {
            panic!("no column");
        };
        assert_eq!(own.form, Stage::IDENTITY);
        // Two rows that are alike have the same one, and no row has the number 1.
        assert_eq!(own.rows, [2, 3, 0, 3]);
        assert_eq!(own.columns, [4, 0, 8]);
        assert_eq!(own.table.columns, 3);
        assert_eq!(own.table.halves, [0, 0, 2, 3, 0, 0, 0, 0, 5, 0, 5, 6]);
    }

    #[test]
    fn the_column_of_most_services_is_taken() {
        let table = table(&[[0, 1], [1, 2], [2, 0]]);
        for (widths, rows, columns) in [([1, 9], [1, 2, 0], [3, 0]), ([9, 1], [0, 1, 2], [0, 3])] {
            // The last class has what is left.
            let mut services = services(&widths);
            services.intervals.push((10, u16::from(widths[1] > 1)));
            let Some(own) = ByColumn::with_identity(&table, &services, ANY) else {
                panic!("no column");
            };
            assert_eq!((&own.rows[..], &own.columns[..]), (&rows[..], &columns[..]));
        }
    }

    #[test]
    fn rows_that_a_column_does_not_tell_apart_keep_their_numbers() {
        // The first two are the same in one column and differ in the other, whichever is looked at.
        let table = table(&[[1, 0], [1, 2], [0, 2]]);
        let services = services(&[9, 1]);
        assert!(ByColumn::with_identity(&table, &services, ANY).is_none());
        let Some(own) = ByColumn::with_rows(&table) else {
            panic!("by row");
        };
        assert_eq!(own.form, Stage::NEAR);
        assert_eq!(
            (&own.rows[..], &own.columns[..]),
            (&[0, 1, 2][..], &[0, 3][..])
        );
        assert_eq!(own.table.halves, [1, 1, 0, 0, 2, 2]);
    }

    #[test]
    fn numbers_of_rows_have_bounds() {
        let last = |cell: u16| table(&[[0, 0], [1, 1], [cell, 0]]);
        let services = services(&[9, 1]);
        let rows = |table: &Table, highest| {
            let own = ByColumn::with_identity(table, &services, highest);
            own.map(|own| own.rows)
        };
        // Less than twice as many as there are rows.
        assert_eq!(rows(&last(5), ANY), Some(vec![0, 1, 5]));
        assert_eq!(rows(&last(6), ANY), None);
        assert_eq!(rows(&last(5), 5), Some(vec![0, 1, 5]));
        assert_eq!(rows(&last(5), 4), None);
        // Not more rows than columns.
        assert_eq!(rows(&table(&[[0, 0], [1, 1]]), ANY), None);
        assert!(ByColumn::with_rows(&table(&[[0, 0], [1, 1]])).is_none());
        // Not all rows are dense.
        let mut sparse = last(5);
        sparse.rows = vec![Row::default()];
        assert_eq!(rows(&sparse, ANY), None);
        assert!(ByColumn::with_rows(&sparse).is_none());
    }

    #[test]
    fn sixteen_bits_name_the_last_column() {
        let services = services(&[9, 1, 1]);
        // So that two columns of the height take 65,536 entries, or one entry less each.
        for (height, fits) in [(32_768_u16, false), (32_767, true)] {
            let rows: Vec<[u16; 3]> = (0..height).map(|row| [row, 0, 0]).collect();
            let table = table(&rows);
            let identity = ByColumn::with_identity(&table, &services, ANY);
            assert_eq!(identity.is_some(), fits, "{height}");
            assert_eq!(ByColumn::with_rows(&table).is_some(), fits, "{height}");
        }
    }
}
