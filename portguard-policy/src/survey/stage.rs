//! One stage of a table's combination, for two tables at once: which pairs of classes come out of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use portguard_common::abi::{Row, Stage, field};

use super::columns::Columns;
use super::{TooComplex, Work};
use crate::compile::Tables;

/// A stage of one of the tables, with its exceptions by row.
pub(super) struct View<'t> {
    tables: &'t Tables,
    stage: Stage,
    /// By row, and one more: where its exceptions begin.
    starts: Vec<u32>,
    /// Columns with their values, by row and in ascending order.
    exceptions: Vec<(u16, u16)>,
}

/// What a row says of the columns that it has no exception for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Base {
    /// The same of all of them.
    Constant(u16),
    /// The column itself.
    Column,
    /// What stands from here on in the table of halves.
    Dense(u32),
}

impl<'t> View<'t> {
    pub(super) fn new(tables: &'t Tables, number: usize) -> Self {
        let stage = tables.stages[number];
        let mut view = Self {
            tables,
            stage,
            starts: Vec::new(),
            exceptions: Vec::new(),
        };
        if stage.form == Stage::SPARSE {
            view.gather(number);
        }
        view
    }

    /// Each word of the stage names the row that it belongs to, so one walk over them finds all exceptions.
    fn gather(&mut self, number: usize) {
        let next = self.tables.stages[number + 1..field::COUNT]
            .iter()
            .find(|stage| stage.form == Stage::SPARSE);
        let (rows, words) = (&self.tables.rows, &self.tables.words);
        let rows_end = next.map_or(rows.len(), |next| next.rows as usize);
        let words_end = next.map_or(words.len(), |next| next.words as usize);
        let rows = rows
            .get(self.stage.rows as usize..rows_end)
            .unwrap_or_default();
        let words = words
            .get(self.stage.words as usize..words_end)
            .unwrap_or_default();
        let mut found: Vec<(u16, u16, u16)> = Vec::new();
        for (place, word) in (0_u32..).zip(words) {
            let Some(row) = (word >> 16).checked_sub(1) else {
                continue;
            };
            let own = rows.get(row as usize);
            let column = own.and_then(|own| place.checked_sub(own.exceptions));
            if let Some(column) = column.filter(|column| *column < self.stage.columns) {
                found.push((row as u16, column as u16, *word as u16));
            }
        }
        found.sort_unstable();
        let mut at = 0;
        for row in 0..=rows.len() {
            while found
                .get(at)
                .is_some_and(|(own, ..)| usize::from(*own) < row)
            {
                at += 1;
            }
            self.starts.push(at as u32);
        }
        self.exceptions = found
            .into_iter()
            .map(|(_, column, value)| (column, value))
            .collect();
    }

    pub(super) fn base(&self, row: u16) -> Base {
        let halves = self.stage.halves;
        match self.stage.form {
            Stage::UNUSED => Base::Constant(row),
            Stage::DENSE => Base::Dense(halves + u32::from(row) * self.stage.columns),
            Stage::NEAR | Stage::IDENTITY => Base::Dense(halves + u32::from(row)),
            Stage::SPARSE => {
                let place = self.stage.rows as usize + usize::from(row);
                let Row { dense, .. } = self.tables.rows.get(place).copied().unwrap_or_default();
                if dense & Row::CONSTANT != 0 {
                    Base::Constant(dense as u16)
                } else {
                    Base::Dense(halves + dense)
                }
            }
            _ => Base::Column,
        }
    }

    /// What a base says of a column.
    pub(super) fn value_of(&self, base: Base, column: u16) -> u16 {
        match base {
            Base::Constant(value) => value,
            Base::Column => column,
            Base::Dense(first) => {
                let index = first as usize + usize::from(column);
                self.tables.halves.get(index).copied().unwrap_or_default()
            }
        }
    }

    /// The columns of which a row says something else than its base.
    pub(super) fn exceptions(&self, row: u16) -> &[(u16, u16)] {
        let bounds = self.starts.get(usize::from(row)..usize::from(row) + 2);
        match bounds {
            Some([from, to]) => &self.exceptions[*from as usize..*to as usize],
            _ => &[],
        }
    }

    fn exception(&self, row: u16, column: u16) -> Option<u16> {
        let own = self.exceptions(row);
        let place = own.binary_search_by_key(&column, |(column, _)| *column);
        place.ok().map(|place| own[place].1)
    }

    /// What comes out of the stage.
    pub(super) fn value(&self, row: u16, column: u16) -> u16 {
        self.exception(row, column)
            .unwrap_or_else(|| self.value_of(self.base(row), column))
    }
}

/// A pair of classes that some packet has, and how it comes about: the first row and column found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) classes: [u16; 2],
    /// Of the column.
    pub(super) tag: u8,
    pub(super) row: u32,
    pub(super) column: u32,
}

/// Rows that have the same bases.
pub(super) struct RowGroup {
    pub(super) bases: [Base; 2],
    pub(super) rows: Vec<u32>,
}

/// Rows by their bases, in the order in which these are met.
pub(super) fn by_base(views: [&View<'_>; 2], rows: &[[u16; 2]]) -> Vec<RowGroup> {
    let mut places: HashMap<[Base; 2], usize> = HashMap::new();
    let mut groups: Vec<RowGroup> = Vec::new();
    for (number, row) in (0..).zip(rows) {
        let bases = [views[0].base(row[0]), views[1].base(row[1])];
        let place = *places.entry(bases).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.rows.push(number),
            None => groups.push(RowGroup {
                bases,
                rows: vec![number],
            }),
        }
    }
    groups
}

/// The columns of which a row says something else than its bases, in ascending order.
pub(super) fn touched(views: [&View<'_>; 2], row: [u16; 2], columns: &Columns) -> Vec<u32> {
    let mut touched = Vec::new();
    for side in 0..2 {
        let exceptions = views[side].exceptions(row[side]);
        if exceptions.len() > columns.all.len() {
            for (number, column) in (0..).zip(&columns.all) {
                let class = column.classes[side];
                if views[side].exception(row[side], class).is_some() {
                    touched.push(number);
                }
            }
        } else if !exceptions.is_empty() {
            let by_class = columns.by_class(side);
            for (class, _) in exceptions {
                touched.extend(by_class.get(class).into_iter().flatten());
            }
        }
    }
    touched.sort_unstable();
    touched.dedup();
    touched
}

/// All pairs of classes that come out of a stage. Rows that say the same but for a few columns are looked at
/// together, so that the work depends on the number of rows and of exceptions rather than of rows times columns.
pub(super) fn step(
    views: [&View<'_>; 2],
    rows: &[[u16; 2]],
    columns: &Columns,
    work: &mut Work,
) -> Result<Vec<Reached>, TooComplex> {
    let mut seen: HashSet<u64> = HashSet::new();
    let mut reached = Vec::new();
    let mut reach = |classes: [u16; 2], tag: u8, row: u32, column: u32| {
        let key = u64::from(classes[0]) << 24 | u64::from(classes[1]) << 8 | u64::from(tag);
        if seen.insert(key) {
            reached.push(Reached {
                classes,
                tag,
                row,
                column,
            });
        }
    };
    for group in by_base(views, rows) {
        let mut pending = outcomes(views, group.bases, columns, work)?;
        for number in group.rows {
            let row = rows[number as usize];
            let touched = touched(views, row, columns);
            work.take(touched.len() + pending.len() + 1)?;
            for place in &touched {
                let column = &columns.all[*place as usize];
                let [left, right] = column.classes;
                let classes = [views[0].value(row[0], left), views[1].value(row[1], right)];
                reach(classes, column.tag, number, *place);
            }
            pending.retain(|outcome| {
                let free = outcome
                    .columns
                    .iter()
                    .find(|column| touched.binary_search(column).is_err());
                if let Some(column) = free {
                    reach(outcome.classes, outcome.tag, number, *column);
                }
                free.is_none()
            });
        }
    }
    Ok(reached)
}

/// What two bases make of some columns.
struct BaseOutcome<'c> {
    classes: [u16; 2],
    tag: u8,
    columns: std::borrow::Cow<'c, [u32]>,
}

fn outcomes<'c>(
    views: [&View<'_>; 2],
    bases: [Base; 2],
    columns: &'c Columns,
    work: &mut Work,
) -> Result<Vec<BaseOutcome<'c>>, TooComplex> {
    if let [Base::Constant(left), Base::Constant(right)] = bases {
        let by_tag: &BTreeMap<u8, Vec<u32>> = &columns.by_tag;
        let outcome = |(tag, columns): (&u8, &'c Vec<u32>)| BaseOutcome {
            classes: [left, right],
            tag: *tag,
            columns: columns.as_slice().into(),
        };
        return Ok(by_tag.iter().map(outcome).collect());
    }
    work.take(columns.all.len())?;
    let mut places: HashMap<([u16; 2], u8), usize> = HashMap::new();
    let mut outcomes: Vec<BaseOutcome<'c>> = Vec::new();
    for (number, column) in (0..).zip(&columns.all) {
        let [left, right] = column.classes;
        let classes = [
            views[0].value_of(bases[0], left),
            views[1].value_of(bases[1], right),
        ];
        let key = (classes, column.tag);
        let place = *places.entry(key).or_insert(outcomes.len());
        match outcomes.get_mut(place) {
            Some(outcome) => outcome.columns.to_mut().push(number),
            None => outcomes.push(BaseOutcome {
                classes,
                tag: column.tag,
                columns: vec![number].into(),
            }),
        }
    }
    Ok(outcomes)
}
