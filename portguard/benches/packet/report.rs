//! Printing what was measured.

use serde::Serialize;

use crate::goals::{Floors, Goal};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    /// One object a row.
    Json,
}

/// A figure: the median of all rounds.
#[derive(Clone, Serialize)]
pub(crate) struct Row {
    /// `packet` for one packet in the kernel, `policy` for getting a policy there.
    pub(crate) level: &'static str,
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The same for one of the packets again and again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hot: Option<f64>,
    /// What the policy's tables take together; packets are drawn so that all of them are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table_bytes: Option<usize>,
    /// What decided the packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) decided: Option<String>,
    /// The figure of each round.
    #[serde(skip)]
    pub(crate) rounds: Vec<f64>,
}

/// A row beside the empty program.
#[derive(Serialize)]
struct Line<'r> {
    #[serde(flatten)]
    row: &'r Row,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hot_floor: Option<f64>,
}

pub(crate) fn print(
    rows: &[Row],
    floors: &Floors,
    goals: &[Goal],
    format: Format,
) -> anyhow::Result<()> {
    let lines = rows.iter().map(|row| {
        let floor = floors.of(row);
        Line {
            row,
            floor: floor.map(|floor| floor.value),
            hot_floor: floor.and_then(|floor| floor.hot),
        }
    });
    if format == Format::Json {
        for line in lines {
            println!("{}", serde_json::to_string(&line)?);
        }
        for goal in goals {
            println!("{}", serde_json::to_string(goal)?);
        }
        return Ok(());
    }
    println!(
        "{:<25} {:>8} {:<2} {:>6} {:>6} {:>6} {:>6} {:>11}  {:<6}  decided by",
        "", "", "", "floor", "over", "hot", "over", "tables", "goal"
    );
    for line in lines {
        let row = line.row;
        let mut met = goals.iter().filter(|goal| goal.row == row.name);
        let met = match (met.clone().count(), met.all(Goal::is_met)) {
            (0, _) => "",
            (_, true) => "met",
            (_, false) => "MISSED",
        };
        let over = line.floor.map(|floor| row.value - floor);
        let hot_over = row.hot.zip(line.hot_floor).map(|(hot, floor)| hot - floor);
        let tables = row
            .table_bytes
            .map_or_else(String::new, |bytes| format!("{} KiB", bytes.div_ceil(1024)));
        println!(
            "{:<25} {:>8.1} {:<2} {:>6} {:>6} {:>6} {:>6} {:>11}  {:<6}  {}",
            row.name,
            row.value,
            row.unit,
            figure(line.floor),
            figure(over),
            figure(row.hot),
            figure(hot_over),
            tables,
            met,
            row.decided.as_deref().unwrap_or_default()
        );
    }
    println!();
    for goal in goals {
        println!(
            "{:<6} {}: {} {:.2} {} (at most {})",
            if goal.is_met() { "met" } else { "MISSED" },
            goal.row,
            goal.what,
            goal.value,
            goal.unit,
            goal.at_most
        );
    }
    Ok(())
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.1}"))
}
