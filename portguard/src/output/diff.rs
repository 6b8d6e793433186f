//! `diff`, printed.

use std::io::Write as _;

use portguard_policy::{Change, ChangeKind, Difference, Policy};
use serde::Serialize;

use super::decided::{Decided, verdict_and_decider};
use super::text::entry;
use super::{json_pretty, print_to_the_end};
use crate::cli::Format;
use crate::exit::Outcome;

/// A difference, for programs.
#[derive(Serialize)]
struct Differs<'d> {
    same: bool,
    settings: Vec<Setting<'d>>,
    changes: Vec<Changed<'d>>,
}

#[derive(Serialize)]
struct Setting<'d> {
    key: &'d str,
    before: &'d str,
    after: &'d str,
}

#[derive(Serialize)]
struct Changed<'d> {
    /// `effect`, or `sharing`: the same limit, but other packets take tokens of it.
    kind: &'static str,
    /// One of the packets, for `explain`.
    example: String,
    before: Decided<'d>,
    after: Decided<'d>,
}

/// Prints what the second policy does differently.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn difference(policies: [&Policy; 2], difference: &Difference, format: Format) -> Outcome {
    let lines = match format {
        Format::Text => for_people(policies, difference),
        Format::Json => vec![json_pretty(&for_programs(policies, difference))?],
    };
    print_to_the_end(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

fn for_programs<'d>([old, new]: [&'d Policy; 2], difference: &'d Difference) -> Differs<'d> {
    let settings = difference.settings.iter().map(|own| Setting {
        key: own.key,
        before: &own.before,
        after: &own.after,
    });
    let changes = difference.changes.iter().map(|own| Changed {
        kind: match own.kind {
            ChangeKind::Effect => "effect",
            ChangeKind::Sharing => "sharing",
        },
        example: own.example.to_string(),
        before: Decided::new(old, own.before.outcome, own.before.effect),
        after: Decided::new(new, own.after.outcome, own.after.effect),
    });
    Differs {
        same: difference.is_none(),
        settings: settings.collect(),
        changes: changes.collect(),
    }
}

pub(super) fn for_people(policies: [&Policy; 2], difference: &Difference) -> Vec<String> {
    if difference.is_none() {
        return vec!["the same: no packet and no setting changes".to_owned()];
    }
    let mut lines = Vec::new();
    for own in &difference.settings {
        let text = format!("{}: {} -> {}", own.key, own.before, own.after);
        lines.push(entry("setting", &text));
    }
    for change in &difference.changes {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(changed(policies, change));
    }
    lines.push(String::new());
    lines.push(summary(policies, difference));
    lines
}

fn changed([old, new]: [&Policy; 2], change: &Change) -> [String; 3] {
    let shared = match change.kind {
        ChangeKind::Effect => "",
        ChangeKind::Sharing => "; its tokens are shared otherwise",
    };
    [
        // A packet stands on one line, to be copied.
        format!("packet    {}", change.example),
        entry("before", &verdict_and_decider(old, change.before)),
        entry("after", &(verdict_and_decider(new, change.after) + shared)),
    ]
}

fn summary(policies: [&Policy; 2], difference: &Difference) -> String {
    let count = |number: usize, one: &str, more: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {more}"),
    };
    let (changes, settings) = (difference.changes.len(), difference.settings.len());
    let mut parts = Vec::new();
    if changes > 0 || settings == 0 {
        parts.push(count(changes, "kind of packet", "kinds of packets"));
    }
    if settings > 0 {
        parts.push(count(settings, "setting", "settings"));
    }
    let verb = if changes + settings == 1 {
        "changes"
    } else {
        "change"
    };
    let unenforced = if policies.iter().all(|policy| policy.enforce) {
        ""
    } else {
        ", were it all enforced (`enforce: false`)"
    };
    format!("{} {verb}{unenforced}", parts.join(" and "))
}
