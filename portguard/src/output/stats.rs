//! `stats`, printed.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::Serialize;

use super::{print, print_json_pretty};
use crate::cli::Format;
use crate::dataplane::link_stats::{Direction, LinkStats};
use crate::exit::Outcome;
use crate::host::protocols::Counters;

#[derive(Serialize)]
struct Printed<'s> {
    interfaces: Vec<PrintedLink<'s>>,
    protocols: &'s Counters,
}

#[derive(Serialize)]
struct PrintedLink<'s> {
    name: &'s str,
    received: PrintedDirection,
    sent: PrintedDirection,
    multicast: u64,
    collisions: u64,
}

#[derive(Serialize)]
struct PrintedDirection {
    packets: u64,
    bytes: u64,
    errors: u64,
    dropped: u64,
    overruns: u64,
}

impl From<Direction> for PrintedDirection {
    fn from(own: Direction) -> Self {
        Self {
            packets: own.packets,
            bytes: own.bytes,
            errors: own.errors,
            dropped: own.dropped,
            overruns: own.overruns,
        }
    }
}

/// Prints what the kernel has counted: for people without what is 0.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn stats(links: &[LinkStats], protocols: &Counters, format: Format) -> Outcome {
    if format == Format::Json {
        return print_json_pretty(&Printed {
            interfaces: links
                .iter()
                .map(|own| PrintedLink {
                    name: &own.name,
                    received: own.received.into(),
                    sent: own.sent.into(),
                    multicast: own.multicast,
                    collisions: own.collisions,
                })
                .collect(),
            protocols,
        });
    }
    let mut lines = interfaces(links);
    for (protocol, counters) in protocols {
        lines.extend(counted(protocol, counters));
    }
    print(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn interfaces(links: &[LinkStats]) -> Vec<String> {
    let heading = [
        "INTERFACE",
        "",
        "PACKETS",
        "BYTES",
        "ERRORS",
        "DROPPED",
        "OVERRUNS",
    ];
    let mut rows: Vec<[String; 7]> = vec![heading.map(str::to_owned)];
    for link in links {
        for (name, way, own) in [
            (link.name.as_str(), "in", link.received),
            ("", "out", link.sent),
        ] {
            let [packets, bytes, errors, dropped, overruns] = [
                own.packets,
                own.bytes,
                own.errors,
                own.dropped,
                own.overruns,
            ]
            .map(|own| own.to_string());
            rows.push([
                name.into(),
                way.into(),
                packets,
                bytes,
                errors,
                dropped,
                overruns,
            ]);
        }
    }
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(place, (cell, width))| {
                if place < 2 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn counted(protocol: &str, counters: &BTreeMap<String, i64>) -> Vec<String> {
    let counted: Vec<_> = counters
        .iter()
        .filter(|(_, number)| **number != 0)
        .collect();
    if counted.is_empty() {
        return Vec::new();
    }
    let width = counted
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let lines = counted
        .iter()
        .map(|(name, number)| format!("  {name:<width$}  {number}"));
    [String::new(), protocol.to_owned()]
        .into_iter()
        .chain(lines)
        .collect()
}
