//! What the figures of one run must be, one beside another.

use anyhow::Context as _;
use serde::Serialize;

use crate::cases::name;
use crate::report::Row;
use crate::{control, median};

/// A bound, and what was measured.
#[derive(Serialize)]
pub(crate) struct Goal {
    level: &'static str,
    /// The row that it is a goal of.
    pub(crate) row: &'static str,
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) at_most: f64,
    pub(crate) unit: &'static str,
}

impl Goal {
    pub(crate) fn is_met(&self) -> bool {
        self.value <= self.at_most
    }
}

/// The rows of the empty program.
pub(crate) struct Floors {
    v4: Row,
    v6: Row,
    bare: Row,
}

impl Floors {
    pub(crate) fn new(rows: &[Row]) -> anyhow::Result<Self> {
        let floor = |name| find(rows, name).cloned();
        Ok(Self {
            v4: floor(name::FLOOR)?,
            v6: floor(name::FLOOR_V6)?,
            bare: floor(name::FLOOR_HOT)?,
        })
    }

    /// The one that a row is compared with: packets of the same kind, made in the same way.
    pub(crate) fn of(&self, row: &Row) -> Option<&Row> {
        match row.name.as_str() {
            name::FLOOR | name::FLOOR_V6 | name::FLOOR_HOT => None,
            name::MIXED_V6 => Some(&self.v6),
            name::HOT => Some(&self.bare),
            _ if row.hot.is_some() => Some(&self.v4),
            _ => None,
        }
    }
}

fn find<'r>(rows: &'r [Row], name: &str) -> anyhow::Result<&'r Row> {
    rows.iter()
        .find(|row| row.name == name)
        .with_context(|| format!("nothing was measured as `{name}`"))
}

/// Compares the rows of one run. Those that were measured in the same round are compared with each other; the median
/// is over these comparisons.
pub(crate) fn judge(rows: &[Row], floors: &Floors) -> anyhow::Result<Vec<Goal>> {
    let compare = |name, base: &Row, compare: fn(f64, f64) -> f64| {
        let rounds = find(rows, name)?.rounds.iter().zip(&base.rounds);
        anyhow::Ok(median(
            rounds.map(|(one, base)| compare(*one, *base)).collect(),
        ))
    };
    let over = |name, base: &Row| compare(name, base, |one, base| one - base);
    let over_floor = |row, at_most| {
        let floor = floors
            .of(find(rows, row)?)
            .context("the row has no floor")?;
        anyhow::Ok(Goal {
            level: "goal",
            row,
            what: "over the empty program".into(),
            value: over(row, floor)?,
            at_most,
            unit: "ns",
        })
    };
    let over_row = |row, base: &str, at_most| {
        anyhow::Ok(Goal {
            level: "goal",
            row,
            what: format!("over `{base}`"),
            value: over(row, find(rows, base)?)?,
            at_most,
            unit: "ns",
        })
    };
    let times = |row, base: &str, at_most| {
        anyhow::Ok(Goal {
            level: "goal",
            row,
            what: format!("to `{base}`"),
            value: compare(row, find(rows, base)?, |one, base| one / base)?,
            at_most,
            unit: "times",
        })
    };
    let itself = |row, what: &str, at_most| {
        let measured = find(rows, row)?;
        anyhow::Ok(Goal {
            level: "goal",
            row,
            what: what.into(),
            value: measured.value,
            at_most,
            unit: measured.unit,
        })
    };
    let v6 = over_floor(name::MIXED_V6, f64::NAN)?.value;
    let v4 = over_floor(name::MIXED, f64::NAN)?.value;
    let pairs = find(rows, name::PAIRS)?;
    Ok(vec![
        over_floor(name::MIXED, 25.0)?,
        Goal {
            level: "goal",
            row: name::MIXED_V6,
            what: format!("over `{}`, floors taken off,", name::MIXED),
            value: v6 - v4,
            at_most: 10.0,
            unit: "ns",
        },
        over_floor(name::FLOOD, 15.0)?,
        times(name::PORTS_10K, name::PORTS_1, 1.1)?,
        times(name::PREFIXES_10K, name::PREFIXES_1, 1.1)?,
        times(name::PORTS_65535, name::PORT, 1.2)?,
        over_row(name::PREFIXES_1M, name::PREFIX, 100.0)?,
        over_floor(name::LIMIT, 45.0)?,
        over_floor(name::REPLY, 45.0)?,
        over_floor(name::PAIRS, 60.0)?,
        Goal {
            level: "goal",
            row: name::PAIRS,
            what: "tables".into(),
            value: pairs
                .table_bytes
                .map_or(f64::NAN, |bytes| bytes as f64 / 1e6),
            at_most: 64.0,
            unit: "MB",
        },
        itself(control::RULES, "check and compile", 200.0)?,
        itself(control::PORTS, "check and compile", 100.0)?,
        itself(control::SET, "read, check, compile and load", 1500.0)?,
        itself(control::SET_MEMORY, "process and kernel together", 300.0)?,
    ])
}
