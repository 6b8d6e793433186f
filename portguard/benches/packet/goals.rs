//! What the figures of one run must be, one beside another.

use anyhow::Context as _;
use serde::Serialize;

use crate::cases::name;
use crate::control;
use crate::report::Row;

/// A bound, and what was measured.
#[derive(Serialize)]
pub(crate) struct Goal {
    level: &'static str,
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) at_most: f64,
    pub(crate) unit: &'static str,
}

impl Goal {
    pub(crate) fn is_met(&self) -> bool {
        self.value <= self.at_most
    }
}

/// Compares the rows of one run.
pub(crate) fn judge(rows: &[Row]) -> anyhow::Result<Vec<Goal>> {
    let row = |name: &str| {
        rows.iter()
            .find(|row| row.name == name)
            .with_context(|| format!("nothing was measured as `{name}`"))
    };
    let value = |name: &str| row(name).map(|row| row.value);
    let over = |name: &str, floor: &str| anyhow::Ok(value(name)? - value(floor)?);
    let times = |name: &str, base: &str| anyhow::Ok(value(name)? / value(base)?);
    let megabytes = |name: &str| {
        anyhow::Ok(row(name)?.table_bytes.unwrap_or(usize::MAX) as f64 / f64::from(1 << 20))
    };
    let goal = |name: &str, value: f64, at_most: f64, unit: &'static str| Goal {
        level: "goal",
        name: name.into(),
        value,
        at_most,
        unit,
    };
    let mixed = over(name::MIXED, name::FLOOR)?;
    Ok(vec![
        goal(
            "one rule, one packet again and again, over the empty program",
            over(name::HOT, name::FLOOR_HOT)?,
            15.0,
            "ns",
        ),
        goal(
            "1,000 rules with addresses, ports and interfaces over the empty program",
            mixed,
            25.0,
            "ns",
        ),
        goal(
            "the same in IPv6 over IPv4",
            over(name::MIXED_V6, name::FLOOR_V6)? - mixed,
            10.0,
            "ns",
        ),
        goal(
            "a flood to closed UDP ports over the empty program",
            over(name::FLOOD, name::FLOOR)?,
            15.0,
            "ns",
        ),
        goal(
            "10,000 rules by port to one rule",
            times(name::PORTS_10K, name::PORTS_1)?,
            1.1,
            "times",
        ),
        goal(
            "10,000 rules by source to one rule",
            times(name::PREFIXES_10K, name::PREFIXES_1)?,
            1.1,
            "times",
        ),
        goal(
            "65,535 ports to one port",
            times(name::PORTS_65535, name::PORT)?,
            1.2,
            "times",
        ),
        goal(
            "1,000,000 prefixes over one prefix",
            over(name::PREFIXES_1M, name::PREFIX)?,
            100.0,
            "ns",
        ),
        goal(
            "a limit per source over the empty program",
            over(name::LIMIT, name::FLOOR)?,
            45.0,
            "ns",
        ),
        goal(
            "a reply that is found over the empty program",
            over(name::REPLY, name::FLOOR)?,
            45.0,
            "ns",
        ),
        goal(
            "10,000 pairs of prefix and port over the empty program",
            over(name::PAIRS, name::FLOOR)?,
            60.0,
            "ns",
        ),
        goal(
            "tables of 10,000 pairs",
            megabytes(name::PAIRS)?,
            64.0,
            "MiB",
        ),
        goal(
            "check and compile 10,000 rules",
            value(control::RULES)?,
            200.0,
            "ms",
        ),
        goal(
            "check and compile 65,535 ports",
            value(control::PORTS)?,
            100.0,
            "ms",
        ),
        goal(
            "read, check, compile and load 1,000,000 prefixes",
            value(control::SET)?,
            1500.0,
            "ms",
        ),
        goal(
            "memory of that, process and kernel",
            value(control::SET_MEMORY)?,
            300.0,
            "MiB",
        ),
    ])
}
