//! Shows what was seen: a table for people, an object a line for programs.

use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::Value;

use super::{plan::Step, policy, probe::Row};
use crate::format::Format;

/// Writes to standard output.
pub(super) struct Printer(Format);

impl Printer {
    pub(super) fn new(format: Format) -> Self {
        Self(format)
    }

    /// Who filters where.
    pub(super) fn introduce(&self, status: &Value) -> Result<()> {
        let interface = &status["interfaces"][0];
        self.text(&format!(
            "portguard {} guards `{}`, one end of a private cable, in {} mode. Servers are behind it,\n\
             clients at the other end.\n",
            word(&status["version"]),
            word(&interface["name"]),
            word(&interface["mode"]),
        ))
    }

    /// What the filter is told.
    pub(super) fn policy(&self, step: Step) -> Result<()> {
        let lines: Vec<String> = match step {
            Step::Start => policy::START
                .lines()
                .map(|line| format!("    {line}\n"))
                .collect(),
            Step::Reload => policy::changes(policy::START, policy::RELOAD)
                .into_iter()
                .map(|(sign, line)| format!("  {sign} {line}\n"))
                .collect(),
        };
        let title = match step {
            Step::Start => "The policy:",
            Step::Reload => "The policy is edited and reloaded live:",
        };
        self.text(&format!("\n{title}\n\n{}", lines.concat()))
    }

    pub(super) fn rows(&self, rows: &[Row]) -> Result<()> {
        match self.0 {
            Format::Text => self.text(&format!("\n{}", table(rows))),
            Format::Json => {
                let mut out = io::stdout().lock();
                for row in rows {
                    writeln!(out, "{}", serde_json::to_string(row)?)?;
                }
                Ok(out.flush()?)
            }
        }
    }

    pub(super) fn conclude(&self, rows: Conclusion) -> Result<()> {
        let Conclusion { total, wrong } = rows;
        self.text(&match wrong {
            0 => format!("\nAll {total} rows are as expected. Everything is taken down again.\n"),
            _ => format!("\n{wrong} of {total} rows are NOT as expected.\n"),
        })
    }

    /// For people only.
    fn text(&self, text: &str) -> Result<()> {
        if self.0 == Format::Text {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Ok(())
    }
}

/// How many rows there were, and how many of them are not as expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) total: usize,
    pub(super) wrong: usize,
}

impl Conclusion {
    pub(super) fn add(&mut self, rows: &[Row]) {
        self.total += rows.len();
        self.wrong += rows.iter().filter(|row| !row.is_good()).count();
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn table(rows: &[Row]) -> String {
    let mut table = line(
        [
            "protocol", "port", "family", "vlan", "expected", "seen", "packets",
        ],
        "",
    );
    for row in rows {
        table += &line(
            [
                &format!("{:?}", row.protocol).to_lowercase(),
                &row.port.to_string(),
                &format!("{:?}", row.family).to_lowercase(),
                &row.vlan.to_string(),
                &row.expected.to_string(),
                &row.seen.to_string(),
                &row.packets.to_string(),
            ],
            if row.is_good() {
                ""
            } else {
                "  <- NOT as expected"
            },
        );
    }
    table
}

fn line(cells: [&str; 7], note: &str) -> String {
    let [protocol, port, family, vlan, expected, seen, packets] = cells;
    format!(
        "{protocol:8}  {port:>5}  {family:6}  {vlan:>6}  {expected:8}  {seen:7}  {packets:>7}{note}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::plan::{Family, Fate, Protocol, Vlan};

    #[test]
    fn a_row_that_is_wrong_stands_out_and_is_counted() {
        let row = |seen| Row {
            step: Step::Start,
            protocol: Protocol::Tcp,
            port: 23,
            family: Family::Ipv4,
            vlan: Vlan::Tag(0),
            expected: Fate::Drop,
            seen,
            packets: 3,
        };
        let rows = [row(Fate::Drop), row(Fate::Pass)];
        let table = table(&rows);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(
            lines[1],
            "tcp          23  ipv4         0  drop      drop           3"
        );
        assert!(lines[2].ends_with("3  <- NOT as expected"), "{table}");
        let mut conclusion = Conclusion::default();
        conclusion.add(&rows);
        assert_eq!(conclusion, Conclusion { total: 2, wrong: 1 });
    }
}
