//! `block` and `open`, printed.

use std::io::Write as _;

use portguard_common::abi::Builtin;

use super::print_to_the_end;
use crate::control::{PortDecider, PortState, PortVerdict, PortsChanged};
use crate::exit::Outcome;
use crate::utc;

/// Prints what becomes of packets to ports now, and what was done about it; `is_open` is whether they were to be opened.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn ports_changed(changed: &PortsChanged, is_open: bool) -> Outcome {
    let lines = lines(changed, is_open);
    print_to_the_end(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn lines(changed: &PortsChanged, is_open: bool) -> Vec<String> {
    let mut lines = changed.warnings.clone();
    lines.extend(changed.notes.iter().map(|note| format!("note: {note}")));
    let already = if changed.changed { "" } else { "already " };
    let mut told: Vec<(&PortVerdict, Vec<&str>)> = Vec::new();
    for verdict in &changed.verdicts {
        let is_alike = |own: &&mut (&PortVerdict, Vec<&str>)| {
            own.0.state == verdict.state && deciders(own.0) == deciders(verdict)
        };
        match told.iter_mut().find(is_alike) {
            Some((_, ports)) => ports.push(&verdict.ports),
            None => told.push((verdict, vec![&verdict.ports])),
        }
    }
    for (verdict, ports) in told {
        let is_wanted = match verdict.state {
            PortState::Closed => !is_open,
            PortState::Open => is_open,
            PortState::Partly => false,
        };
        let already = if is_wanted { already } else { "" };
        lines.extend(sentence(verdict, &ports, already));
    }
    if is_open && !changed.as_asked {
        lines.push(
            "not open: `--override` puts a rule that passes in front of what closes it".to_owned(),
        );
    }
    if changed.changed {
        lines.extend(fate(changed));
    }
    lines
}

/// How long it will be so.
fn fate(changed: &PortsChanged) -> Option<String> {
    if let Some(seconds) = changed.trial_s {
        return Some(format!(
            "on trial: without `portguard confirm` within {seconds} s all is as before"
        ));
    }
    let until = changed.until_unix_s?;
    Some(format!("until {}", utc::text(until)))
}

fn deciders(verdict: &PortVerdict) -> Vec<(&str, Option<&str>)> {
    let deciders = verdict.by.iter();
    let mut deciders: Vec<_> = deciders
        .map(|own| (own.outcome.as_str(), own.rule.as_deref()))
        .collect();
    deciders.sort_unstable();
    deciders
}

fn sentence(verdict: &PortVerdict, ports: &[&str], already: &str) -> Vec<String> {
    let are = if ports.len() == 1 { "is" } else { "are" };
    let ports = ports.join(", ");
    let closing = || verdict.by.iter().filter(|own| !passes(own));
    let passing = || verdict.by.iter().filter(|own| passes(own));
    let everywhere = |word: &str, place: &str| match &verdict.from {
        Some(from) => format!("{word} {from}"),
        None => format!("{word} {place}"),
    };
    match verdict.state {
        PortState::Closed => {
            let but = match passing().count() {
                0 => "",
                _ => ", but for `trusted` sources, which no rule stops",
            };
            vec![format!(
                "{ports} {are} {already}closed {} by {}{but}",
                everywhere("from", "everywhere"),
                list(closing())
            )]
        }
        PortState::Open => vec![format!(
            "{ports} {are} {already}open {}, by {}",
            everywhere("to", "everybody"),
            list(passing())
        )],
        PortState::Partly => {
            let mut lines = vec![format!(
                "{ports} {are} closed for some packets {}, and open for others:",
                everywhere("from", "everywhere")
            )];
            for own in &verdict.by {
                let verb = if passes(own) { "open" } else { "closed" };
                lines.push(format!("  {verb} by {}: {}", name(own), own.example));
            }
            lines
        }
    }
}

fn passes(own: &PortDecider) -> bool {
    matches!(own.verdict.as_str(), "pass" | "limit")
}

fn list<'d>(deciders: impl Iterator<Item = &'d PortDecider>) -> String {
    deciders.map(name).collect::<Vec<_>>().join(", and ")
}

fn name(own: &PortDecider) -> String {
    let limited = if own.verdict == "limit" {
        ", up to its rate"
    } else {
        ""
    };
    match (&own.rule, &own.file, own.line) {
        (Some(rule), Some(file), Some(line)) => {
            format!("rule {rule} ({}:{line}){limited}", file.display())
        }
        _ => {
            let builtin = Builtin::ALL
                .into_iter()
                .find(|builtin| builtin.name() == own.outcome);
            match builtin {
                Some(Builtin::DefaultPass) => "`default: pass`: no rule decides".to_owned(),
                Some(Builtin::DefaultDrop) => "`default: drop`: no rule decides".to_owned(),
                Some(Builtin::Trusted) => "`trusted`".to_owned(),
                Some(Builtin::Essential) => "`essential: pass`".to_owned(),
                _ => format!("`{}`", own.outcome),
            }
        }
    }
}
