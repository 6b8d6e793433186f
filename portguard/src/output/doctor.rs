//! `doctor`, printed.

use std::io::Write as _;

use serde::Serialize;

use crate::cli::Format;
use crate::exit::Outcome;
use crate::host::preflight::{Finding, Report, Severity};

use super::text::entry;
use super::{json_pretty, print_to_the_end};

/// A report, for programs.
#[derive(Serialize)]
struct Printed<'r> {
    problems: usize,
    warnings: usize,
    findings: Vec<PrintedFinding<'r>>,
}

#[derive(Serialize)]
struct PrintedFinding<'r> {
    /// The interface that it is about; `null` for the host.
    interface: Option<&'r str>,
    #[serde(flatten)]
    finding: &'r Finding,
}

/// Prints what was found.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn doctor(report: &Report, format: Format) -> Outcome {
    let lines = match format {
        Format::Text => for_people(report),
        Format::Json => vec![json_pretty(&for_programs(report))?],
    };
    print_to_the_end(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn for_programs(report: &Report) -> Printed<'_> {
    let findings = report
        .findings()
        .map(|(interface, finding)| PrintedFinding { interface, finding });
    Printed {
        problems: report.count(Severity::Problem),
        warnings: report.count(Severity::Warning),
        findings: findings.collect(),
    }
}

fn for_people(report: &Report) -> Vec<String> {
    let mut lines = vec!["this host".to_owned()];
    lines.extend(report.host.iter().flat_map(finding_lines));
    for (name, findings) in &report.interfaces {
        lines.extend([String::new(), format!("interface {name}")]);
        lines.extend(findings.iter().flat_map(finding_lines));
    }
    lines.extend([String::new(), summary(report)]);
    lines
}

fn finding_lines(finding: &Finding) -> Vec<String> {
    let mut lines = vec![entry(finding.severity.word(), &finding.text)];
    // A command stands on one line, to be copied.
    lines.extend(finding.command.as_ref().map(|command| {
        let label = "";
        format!("{label:<10}run: {command}")
    }));
    lines
}

fn summary(report: &Report) -> String {
    let count = |severity: Severity| match report.count(severity) {
        0 => format!("no {}s", severity.word()),
        1 => format!("1 {}", severity.word()),
        number => format!("{number} {}s", severity.word()),
    };
    format!(
        "{}, {}, {}",
        count(Severity::Problem),
        count(Severity::Warning),
        count(Severity::Note)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::preflight::Check;

    fn report() -> Report {
        let finding = |check, severity, text: &str, command: Option<&str>| Finding {
            check,
            severity,
            text: text.into(),
            command: command.map(Into::into),
        };
        Report {
            host: vec![finding(Check::Btf, Severity::Ok, "none is needed", None)],
            interfaces: vec![(
                "eth0".into(),
                vec![finding(
                    Check::Lro,
                    Severity::Warning,
                    &["word"; 20].join(" "),
                    Some("ethtool -K eth0 lro off"),
                )],
            )],
        }
    }

    #[test]
    fn text_has_a_heading_for_each_place_and_fits_80_columns() {
        let lines = for_people(&report()).join("\n");
        let words = ["word"; 14].join(" ");
        let rest = ["word"; 6].join(" ");
        let expected = format!(
            "this host\nok        none is needed\n\ninterface eth0\nwarning   {words}\n          {rest}\n          run: ethtool -K eth0 lro off\n\nno problems, 1 warning, no notes"
        );
        assert_eq!(lines, expected);
        assert!(lines.lines().all(|line| line.len() <= 80), "{lines}");
    }

    #[test]
    fn json_has_a_flat_list() {
        let json = serde_json::to_value(for_programs(&report())).unwrap();
        let expected = serde_json::json!({
            "problems": 0,
            "warnings": 1,
            "findings": [
                {"interface": null, "check": "btf", "severity": "ok", "text": "none is needed", "command": null},
                {
                    "interface": "eth0",
                    "check": "lro",
                    "severity": "warning",
                    "text": (["word"; 20].join(" ")),
                    "command": "ethtool -K eth0 lro off"
                },
            ]
        });
        assert_eq!(json, expected);
    }
}
