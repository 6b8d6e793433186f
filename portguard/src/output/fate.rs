//! What becomes of packets to a socket, in words and for programs.

use std::collections::BTreeSet;

use portguard_policy::{BySource, Decision, Effect, Policy, Prefix};
use serde::Serialize;

use super::decided::{Decided, decider, verdict};
use crate::exposure::{Fate, share};

/// Prefixes that are told; more are a number.
const TOLD: usize = 4;

/// Prefixes that programs are told.
const TOLD_TO_PROGRAMS: usize = 100;

/// A fate, for programs.
#[derive(Serialize)]
pub(super) struct PrintedFate<'p> {
    /// `nobody`, `some` or `anywhere`.
    reachable: &'static str,
    /// Where nothing filters.
    unfiltered: Vec<String>,
    /// `null` where it cannot be told.
    by_source: Option<Vec<PrintedSources<'p>>>,
}

#[derive(Serialize)]
struct PrintedSources<'p> {
    /// `null` for all that no other entry names.
    from: Option<Vec<String>>,
    /// Prefixes that are not told.
    more: usize,
    decisions: Vec<Decided<'p>>,
}

/// For programs.
pub(super) fn printed<'p>(policy: Option<&'p Policy>, fate: &Fate) -> PrintedFate<'p> {
    let by_source = fate.judged.as_ref().ok().map(|answers| {
        let Some(policy) = policy else {
            return Vec::new();
        };
        let ordered = ordered(answers);
        let last = ordered.len().saturating_sub(1);
        let printed = ordered.iter().enumerate().map(|(place, own)| {
            let names = |own: &BySource| -> Vec<String> {
                let told = own.sources.iter().take(TOLD_TO_PROGRAMS);
                told.map(ToString::to_string).collect()
            };
            PrintedSources {
                from: (place != last).then(|| names(own)),
                more: if place == last {
                    0
                } else {
                    own.sources.len().saturating_sub(TOLD_TO_PROGRAMS)
                },
                decisions: own
                    .decisions
                    .iter()
                    .map(|own| Decided::new(policy, own.outcome, own.effect))
                    .collect(),
            }
        });
        printed.collect()
    });
    PrintedFate {
        reachable: fate.openness.name(),
        unfiltered: fate.unfiltered.clone(),
        by_source,
    }
}

/// For people, in a sentence without a full stop; `None` where no policy is judged by and nothing is to be said.
pub(super) fn sentence(policy: &Policy, fate: &Fate) -> String {
    let mut parts = Vec::new();
    match &fate.judged {
        Err(error) => parts.push(format!("what becomes of it cannot be told: {error}")),
        Ok(answers) => {
            let ordered = ordered(answers);
            let last = ordered.len().saturating_sub(1);
            for (place, own) in ordered.iter().enumerate() {
                let from = match (place == last, last) {
                    (true, 0) => "everywhere".to_owned(),
                    (true, _) => "everywhere else".to_owned(),
                    (false, _) => prefixes(&own.sources),
                };
                parts.push(decided(policy, &own.decisions, &from));
            }
        }
    }
    if !fate.unfiltered.is_empty() {
        let names: Vec<String> = fate
            .unfiltered
            .iter()
            .map(|own| format!("`{own}`"))
            .collect();
        parts.push(format!("not filtered on {}", names.join(", ")));
    }
    let text = parts.join("; ");
    if policy.enforce || fate.judged.as_ref().is_ok_and(Vec::is_empty) {
        text
    } else {
        format!("would be, were it enforced (`enforce: false`): {text}")
    }
}

/// The answers, with that of the most sources at the end.
fn ordered(answers: &[BySource]) -> Vec<&BySource> {
    let size = |own: &BySource| {
        let all: Vec<&Prefix> = own.sources.iter().collect();
        share(&all, true) + share(&all, false)
    };
    let mut ordered: Vec<&BySource> = answers.iter().collect();
    ordered.sort_by(|a, b| size(a).total_cmp(&size(b)));
    ordered
}

fn decided(policy: &Policy, decisions: &BTreeSet<Decision>, from: &str) -> String {
    let one = |own: &Decision| {
        let done = match own.effect {
            Effect::Pass => "passed".to_owned(),
            Effect::Drop => "dropped".to_owned(),
            Effect::Reject => "rejected".to_owned(),
            Effect::Limit { .. } => {
                let limit = verdict(policy, own.outcome, own.effect);
                limit.replacen("limit to", "passed up to", 1)
            }
        };
        (done, decider(policy, own.outcome))
    };
    let decisions: Vec<(String, String)> = decisions.iter().map(one).collect();
    match &decisions[..] {
        [(done, by)] => format!("{done} from {from} by {by}"),
        several => {
            let told: Vec<String> = several
                .iter()
                .map(|(done, by)| format!("{done} by {by}"))
                .collect();
            format!(
                "from {from} {}, as more than the source decides",
                told.join(" or ")
            )
        }
    }
}

fn prefixes(sources: &[Prefix]) -> String {
    let mut told: Vec<String> = sources.iter().take(TOLD).map(ToString::to_string).collect();
    if sources.len() > TOLD {
        told.push(format!("{} more", sources.len() - TOLD));
    }
    match &told[..] {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}
