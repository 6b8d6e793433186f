//! Printing what was measured.

use serde::Serialize;

use crate::goals::Goal;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    /// One object a row.
    Json,
}

/// A figure: the median of all rounds.
#[derive(Serialize)]
pub(crate) struct Row {
    /// `packet` for one packet in the kernel, `policy` for getting a policy there.
    pub(crate) level: &'static str,
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What the policy's tables take together; packets are drawn so that all of them are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table_bytes: Option<usize>,
    /// What decided the packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decided: Option<String>,
}

pub(crate) fn print(rows: &[Row], goals: &[Goal], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        for row in rows {
            println!("{}", serde_json::to_string(row)?);
        }
        for goal in goals {
            println!("{}", serde_json::to_string(goal)?);
        }
        return Ok(());
    }
    for row in rows {
        let tables = row
            .table_bytes
            .map_or_else(String::new, |bytes| format!("{} KiB", bytes.div_ceil(1024)));
        println!(
            "{:<7} {:<30} {:>7.1} {:<3} {:>11}  {}",
            row.level,
            row.name,
            row.value,
            row.unit,
            tables,
            row.decided.as_deref().unwrap_or_default()
        );
    }
    println!();
    for goal in goals {
        println!(
            "{:<6} {}: {:.2} {} (at most {})",
            if goal.is_met() { "met" } else { "MISSED" },
            goal.name,
            goal.value,
            goal.unit,
            goal.at_most
        );
    }
    Ok(())
}
