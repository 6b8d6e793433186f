//! `explain`, printed.

use std::io::Write as _;

use portguard_common::abi::Builtin;
use portguard_policy::{
    Effect, Explanation, Outcome as Decider, Payload, Policy, Replies, RuleAction, Transport,
};
use serde::Serialize;

use super::decided::{Decided, RuleName, decider, place, rule_of, verdict, verdict_and_decider};
use super::text::entry;
use super::{print, print_json_pretty};
use crate::cli::Format;
use crate::exit::Outcome;

/// An explanation, for programs.
#[derive(Serialize)]
struct Explained<'e> {
    packet: String,
    assumed: Vec<Assumed<'e>>,
    names: Vec<Name<'e>>,
    #[serde(flatten)]
    decided: Decided<'e>,
    /// `false`: the file has `enforce: false`, so the packet passes all the same.
    enforced: bool,
    /// `this`: the packet passes if it is a reply. `not-first`: it is a new connection and no reply, but packets of
    /// connections that this side opened are.
    reply: Option<&'static str>,
    /// Rules that match and only count.
    counted: Vec<RuleName<'e>>,
    near: Vec<Near<'e>>,
    near_left_out: usize,
    others: Vec<Other<'e>>,
    others_unknown: bool,
}

#[derive(Serialize)]
struct Assumed<'e> {
    what: &'e str,
    value: &'e str,
}

#[derive(Serialize)]
struct Name<'e> {
    what: &'e str,
    value: &'e str,
    name: &'e str,
}

#[derive(Serialize)]
struct Near<'e> {
    rule: RuleName<'e>,
    mismatches: Vec<Mismatch<'e>>,
}

#[derive(Serialize)]
struct Mismatch<'e> {
    field: &'e str,
    rule: &'e str,
    packet: &'e str,
}

#[derive(Serialize)]
struct Other<'e> {
    packet: String,
    #[serde(flatten)]
    decided: Decided<'e>,
}

/// Prints what happens to a packet.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn explanation(policy: &Policy, explanation: &Explanation, format: Format) -> Outcome {
    if format == Format::Json {
        return print_json_pretty(&for_programs(policy, explanation));
    }
    print(|out| {
        for line in for_people(policy, explanation) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    })
}

/// Whoever publishes the port of a container looks for the inner one, too.
const BEFORE_NAT: &str =
    "as it arrives, before NAT: a published container port by its outer number";

fn for_programs<'e>(policy: &'e Policy, own: &'e Explanation) -> Explained<'e> {
    let rule = |index: &usize| policy.rules.get(*index).map(RuleName::new);
    let near = own.near.iter().filter_map(|near| {
        let mismatches = near.mismatches.iter().map(|own| Mismatch {
            field: own.field,
            rule: &own.rule,
            packet: &own.packet,
        });
        Some(Near {
            rule: rule(&near.rule)?,
            mismatches: mismatches.collect(),
        })
    });
    let others = own.others.iter().map(|other| Other {
        packet: other.packet.to_string(),
        decided: Decided::new(policy, other.decision.outcome, other.decision.effect),
    });
    let assumed = own.assumed.iter().map(|own| Assumed {
        what: own.what,
        value: &own.value,
    });
    let names = own.names.iter().map(|own| Name {
        what: own.what,
        value: &own.value,
        name: &own.name,
    });
    Explained {
        packet: own.packet.to_string(),
        assumed: assumed.collect(),
        names: names.collect(),
        decided: Decided::new(policy, own.evaluation.outcome, own.effect),
        enforced: policy.enforce,
        reply: own.replies.map(|replies| match replies {
            Replies::This => "this",
            Replies::NotTheFirst => "not-first",
        }),
        counted: own.counted.iter().filter_map(rule).collect(),
        near: near.collect(),
        near_left_out: own.near_left_out,
        others: others.collect(),
        others_unknown: own.others_unknown,
    }
}

fn for_people(policy: &Policy, own: &Explanation) -> Vec<String> {
    let outcome = own.evaluation.outcome;
    // A packet stands on one line, to be copied.
    let mut lines = vec![format!("packet    {}", own.packet)];
    if !own.names.is_empty() {
        let names = own.names.iter();
        let names = names.map(|own| format!("{} {} is {}", own.what, own.value, own.name));
        lines.push(entry("names", &list(names)));
    }
    if !own.assumed.is_empty() {
        let assumed = own.assumed.iter();
        let assumed = assumed.map(|own| format!("{} {}", own.what, own.value));
        lines.push(entry("assumed", &list(assumed)));
    }
    if matches!(own.packet.payload, Payload::Ports { .. }) {
        lines.push(entry("seen", BEFORE_NAT));
    }
    lines.push(String::new());
    lines.push(entry("verdict", &verdict_in_full(policy, own)));
    lines.push(entry("by", &decider(policy, outcome)));
    if let Some(comment) = rule_of(policy, outcome).and_then(|rule| rule.comment.as_ref()) {
        let comment: Vec<&str> = comment.split_whitespace().collect();
        lines.push(entry("", &format!("\"{}\"", comment.join(" "))));
    }
    lines.extend(own.replies.map(|replies| entry("replies", reply(replies))));
    for index in &own.counted {
        lines.extend(policy.rules.get(*index).map(|rule| {
            let would = match rule.action {
                RuleAction::Limit(_) => "limit".to_owned(),
                action => action.to_string(),
            };
            let text = format!(
                "rule {} would {would} it, and only counts: `enforce: false`",
                place(rule)
            );
            entry("counted", &text)
        }));
    }
    lines.extend(near(policy, own));
    lines.extend(others(policy, own));
    lines
}

fn list(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join("; ")
}

fn verdict_in_full(policy: &Policy, own: &Explanation) -> String {
    let verdict = verdict(policy, own.evaluation.outcome, own.effect);
    let what = match own.effect {
        Effect::Pass | Effect::Drop => "",
        Effect::Reject => ": it is dropped, and its sender told where that is allowed",
        Effect::Limit { .. } => {
            if is_tcp(own) {
                ": attempts to connect pass up to the rate and are dropped beyond, other packets pass"
            } else {
                ": it passes up to the rate, and is dropped beyond"
            }
        }
    };
    let enforced = if policy.enforce {
        ""
    } else {
        " (were it enforced: the file has `enforce: false`, so everything passes)"
    };
    format!("{verdict}{what}{enforced}")
}

fn is_tcp(own: &Explanation) -> bool {
    own.packet.protocol() == Transport::Tcp.number() && own.evaluation.outcome != FRAGMENTS
}

const FRAGMENTS: Decider = Decider::Builtin(Builtin::LaterFragment);

fn reply(replies: Replies) -> &'static str {
    match replies {
        Replies::This => {
            "it would pass as a reply, had this side sent what it answers (`replies: pass`)"
        }
        Replies::NotTheFirst => {
            "a new connection is no reply; what answers a connection that this side opened would pass (`replies: pass`)"
        }
    }
}

fn near(policy: &Policy, own: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    for near in &own.near {
        let Some(rule) = policy.rules.get(near.rule) else {
            continue;
        };
        let counts = if rule.enforce { "" } else { ", only counts" };
        let reasons = near.mismatches.iter().map(ToString::to_string);
        let text = format!(
            "`{}` ({}, {}{counts}): {}",
            rule.name,
            rule.place,
            rule.action,
            list(reasons)
        );
        let label = if lines.is_empty() { "nearly" } else { "" };
        lines.push(entry(label, &text));
    }
    if own.near_left_out > 0 {
        lines.push(entry("", &format!("and {} more rules", own.near_left_out)));
    }
    if !lines.is_empty() {
        lines.insert(0, String::new());
    }
    lines
}

fn others(policy: &Policy, own: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    if !own.others.is_empty() || own.others_unknown {
        lines.push(String::new());
        let what = "what is not stated matters: of the same description are";
        lines.push(entry("others", what));
    }
    for other in &own.others {
        let text = verdict_and_decider(policy, other.decision) + ":";
        lines.push(entry("", &text));
        lines.push(format!("            {}", other.packet));
    }
    if own.others_unknown {
        let text = "maybe more: the rules combine fields in too many ways to look at all";
        lines.push(entry("", text));
    }
    lines
}
