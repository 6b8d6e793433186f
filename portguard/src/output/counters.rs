//! `counters`, printed.

use std::collections::HashMap;
use std::io::{self, Write};

use crate::cli::Format;
use crate::control::{Count, Counters, RuleCount};
use crate::exit::Outcome;

use super::{print, print_json};

/// Drops listed for people; programs get all.
const TOP_DROPS: usize = 20;

/// Prints counters: for people a table, with rates where there is a previous report; for programs one
/// object, on one line when following.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn counters(counters: &Counters, previous: Option<&Counters>, format: Format) -> Outcome {
    match (format, previous) {
        (Format::Json, _) => print_json(counters),
        (Format::Text, previous) => print(|out| table(out, counters, previous)),
    }
}

fn table(out: &mut impl Write, counters: &Counters, previous: Option<&Counters>) -> io::Result<()> {
    let seconds = previous.map(|previous| counters.unix_time - previous.unix_time);
    let rate = |now: u64, before: Option<u64>| match (seconds, before) {
        (Some(seconds), Some(before)) if seconds > 0.0 => {
            format!("{:>12.0}/s", now.saturating_sub(before) as f64 / seconds)
        }
        _ => String::new(),
    };
    let row = |out: &mut dyn Write, name: &str, count: Count, before: Option<u64>| {
        let rate = rate(count.packets, before);
        let line = format!("{name:<32} {:>14} {:>18}{rate}", count.packets, count.bytes);
        writeln!(out, "{}", line.trim_end())
    };

    writeln!(out, "{:<32} {:>14} {:>18}", "OUTCOME", "PACKETS", "BYTES")?;
    for outcome in &counters.outcomes {
        if outcome.count.packets > 0 {
            let before = previous.and_then(|previous| {
                let mut same = previous
                    .outcomes
                    .iter()
                    .filter(|other| other.name == outcome.name);
                same.next().map(|other| other.count.packets)
            });
            row(out, &outcome.name, outcome.count, before)?;
        }
    }
    let before: HashMap<&str, &RuleCount> = previous
        .into_iter()
        .flat_map(|previous| &previous.rules)
        .map(|rule| (rule.name.as_str(), rule))
        .collect();
    for rule in &counters.rules {
        let before = before.get(rule.name.as_str());
        let action = rule.action.as_deref().unwrap_or("removed");
        let name = format!("rule {} ({action})", rule.name);
        row(
            out,
            &name,
            rule.count,
            before.map(|before| before.count.packets),
        )?;
        if rule.limited.packets > 0 {
            let name = format!("rule {} (over its limit)", rule.name);
            row(
                out,
                &name,
                rule.limited,
                before.map(|before| before.limited.packets),
            )?;
        }
        if rule.shadow.packets > 0 {
            let name = format!("rule {} (would drop)", rule.name);
            row(
                out,
                &name,
                rule.shadow,
                before.map(|before| before.shadow.packets),
            )?;
        }
    }
    row(
        out,
        "all frames",
        counters.frames,
        previous.map(|previous| previous.frames.packets),
    )?;
    drops(out, counters)
}

/// The destinations with the most drops.
fn drops(out: &mut impl Write, counters: &Counters) -> io::Result<()> {
    if counters.drops.is_empty() {
        return writeln!(out);
    }
    let mut drops: Vec<_> = counters.drops.iter().collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.packets));
    writeln!(out, "\n{:<32} {:>14}", "DROPPED BY DESTINATION", "PACKETS")?;
    for drop in drops.iter().take(TOP_DROPS) {
        let destination = match drop.port {
            Some(port) => format!("{port}/{}", drop.protocol),
            None => drop.protocol.clone(),
        };
        writeln!(out, "{destination:<32} {:>14}", drop.packets)?;
    }
    if drops.len() > TOP_DROPS {
        writeln!(out, "and {} more", drops.len() - TOP_DROPS)?;
    }
    writeln!(out)
}
