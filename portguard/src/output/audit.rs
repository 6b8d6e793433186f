//! `audit`, printed.

use std::io::Write as _;

use serde::Serialize;

use super::listen::{PrintedPolicy, heading};
use super::text::entry;
use super::{json_pretty, print_to_the_end};
use crate::cli::Format;
use crate::exit::Outcome;
use crate::exposure::Filter;
use crate::exposure::audit::{Finding, Fix, Kind, Severity};

#[derive(Serialize)]
struct Printed<'f> {
    policy: Option<PrintedPolicy<'f>>,
    findings: Vec<PrintedFinding<'f>>,
    /// What could not be looked at.
    notes: &'f [String],
}

#[derive(Serialize)]
struct PrintedFinding<'f> {
    severity: Severity,
    kind: Kind,
    protocol: Option<&'static str>,
    /// The first port.
    port: Option<u16>,
    last_port: Option<u16>,
    service: Option<&'f str>,
    addresses: &'f [String],
    owners: &'f [String],
    text: &'f str,
    reason: &'f str,
    abuse: &'f [String],
    profiles: &'f [&'static str],
    fixes: &'f [Fix],
}

/// Prints the findings, and what could not be looked at.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn audited(
    filter: Option<&Filter>,
    findings: &[Finding],
    notes: &[String],
    format: Format,
) -> Outcome {
    let lines = match format {
        Format::Text => for_people(filter, findings, notes),
        Format::Json => vec![json_pretty(&Printed {
            policy: filter.map(PrintedPolicy::new),
            findings: findings.iter().map(printed).collect(),
            notes,
        })?],
    };
    print_to_the_end(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn printed(own: &Finding) -> PrintedFinding<'_> {
    PrintedFinding {
        severity: own.severity,
        kind: own.kind,
        protocol: own.ports.map(|(transport, _)| transport.name()),
        port: own.ports.map(|(_, range)| range.low),
        last_port: own.ports.map(|(_, range)| range.high),
        service: own.service.as_deref(),
        addresses: &own.addresses,
        owners: &own.owners,
        text: &own.text,
        reason: &own.reason,
        abuse: &own.abuse,
        profiles: &own.profiles,
        fixes: &own.fixes,
    }
}

fn for_people(filter: Option<&Filter>, findings: &[Finding], notes: &[String]) -> Vec<String> {
    let mut lines = heading(filter, None);
    for own in findings {
        lines.extend(told(own));
        lines.push(String::new());
    }
    lines.extend(notes.iter().map(|own| entry("note", own)));
    if !notes.is_empty() {
        lines.push(String::new());
    }
    lines.push(summary(findings));
    lines
}

fn told(own: &Finding) -> Vec<String> {
    let mut title = own.kind.name().to_owned();
    if let (Some((transport, ports)), false) = (own.ports, own.kind == Kind::UnusedRule) {
        title = format!("{title}: {ports}/{transport}");
        if let Some(service) = &own.service {
            title = format!("{title} {service}");
        }
    }
    let mut lines = vec![entry(&own.severity.name().to_uppercase(), &title)];
    lines.push(entry("", &own.text));
    if !own.owners.is_empty() || !own.addresses.is_empty() {
        let whose = if own.owners.is_empty() {
            "who listens is not seen".to_owned()
        } else {
            own.owners.join(", ")
        };
        let at = own.addresses.join(", ");
        lines.push(entry("where", &format!("{whose}, at {at}")));
    }
    lines.push(entry("why", &own.reason));
    for (index, abuse) in own.abuse.iter().enumerate() {
        lines.push(entry(if index == 0 { "abuse" } else { "" }, abuse));
    }
    for (index, fix) in own.fixes.iter().enumerate() {
        let label = if index == 0 { "fix" } else { "or" };
        // A command stands on one line, to be copied.
        lines.push(match fix {
            Fix::Command(command) => format!("{label:<10}{command}"),
            Fix::Rule(rule) => format!("{label:<10}- {rule}"),
            Fix::Edit(text) => entry(label, text),
        });
    }
    lines
}

fn summary(findings: &[Finding]) -> String {
    let counts: Vec<String> = Severity::ALL
        .iter()
        .filter_map(|severity| {
            let count = findings
                .iter()
                .filter(|own| own.severity == *severity)
                .count();
            let name = severity.name();
            match (count, severity) {
                (0, _) => None,
                (1, _) => Some(format!("1 {name}")),
                (count, Severity::Note) => Some(format!("{count} notes")),
                (count, _) => Some(format!("{count} {name}")),
            }
        })
        .collect();
    if counts.is_empty() {
        return "nothing is found".to_owned();
    }
    format!("found: {}", counts.join(", "))
}
