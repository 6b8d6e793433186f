//! What decides a packet, for `explain` and `diff`.

use portguard_common::abi::Builtin;
use portguard_policy::{
    Decision, Effect, Fate, Fragments, Limit, Outcome, Per, Policy, Rate, RatePeriod, Rule,
    RuleAction,
};
use serde::Serialize;

/// What decides a packet, for programs.
#[derive(Serialize)]
pub(super) struct Decided<'p> {
    /// `pass`, `drop`, `reject` or `limit`, were it enforced.
    verdict: &'static str,
    /// As in `replay`.
    outcome: &'static str,
    rule: Option<RuleName<'p>>,
    /// The rate of `limit`.
    limit: Option<RateOf>,
}

/// A rule, for programs.
#[derive(Serialize)]
pub(super) struct RuleName<'p> {
    name: &'p str,
    /// Where the rule stands: in this file beside the policy file, or in that itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'p str>,
    line: usize,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'p str>,
}

#[derive(Serialize)]
struct RateOf {
    rate: String,
    burst: u64,
    /// `source`, or `rule` for one ceiling for all.
    per: &'static str,
}

impl<'p> Decided<'p> {
    pub(super) fn new(policy: &'p Policy, outcome: Outcome, effect: Effect) -> Self {
        let limit = limit_of(policy, outcome, effect).map(|(rate, per)| RateOf {
            rate: rate_text(&rate),
            burst: rate.burst,
            per: match per {
                Per::Source => "source",
                Per::Rule => "rule",
            },
        });
        Self {
            verdict: effect.name(),
            outcome: match outcome {
                Outcome::Builtin(builtin) => builtin.name(),
                _ => "rule",
            },
            rule: rule_of(policy, outcome).map(RuleName::new),
            limit,
        }
    }
}

impl<'p> RuleName<'p> {
    pub(super) fn new(rule: &'p Rule) -> Self {
        Self {
            name: &rule.name,
            file: rule.place.file.as_deref(),
            line: rule.place.line,
            action: rule.action.to_string(),
            comment: rule.comment.as_deref(),
        }
    }
}

/// The rule that decides, if one does.
pub(super) fn rule_of(policy: &Policy, outcome: Outcome) -> Option<&Rule> {
    match outcome {
        Outcome::Rule(index) | Outcome::Limited(index) => policy.rules.get(index),
        _ => None,
    }
}

/// The rate up to which a packet passes.
fn limit_of(policy: &Policy, outcome: Outcome, effect: Effect) -> Option<(Rate, Per)> {
    if !matches!(effect, Effect::Limit { .. }) {
        return None;
    }
    match (rule_of(policy, outcome), policy.fragments) {
        (Some(rule), _) => match rule.action {
            RuleAction::Limit(Limit { rate, per }) => Some((rate, per)),
            _ => None,
        },
        (None, Fragments::Rate(rate)) => Some((rate, Per::Rule)),
        _ => None,
    }
}

/// What becomes of a packet, for people.
pub(super) fn verdict(policy: &Policy, outcome: Outcome, effect: Effect) -> String {
    match limit_of(policy, outcome, effect) {
        None => effect.name().to_owned(),
        Some((rate, per)) => {
            let per = match per {
                Per::Source => " for each source",
                Per::Rule => "",
            };
            format!("limit to {}{per}, burst {}", rate_text(&rate), rate.burst)
        }
    }
}

/// What decides it, for people.
pub(super) fn decider(policy: &Policy, outcome: Outcome) -> String {
    if let Some(rule) = rule_of(policy, outcome) {
        return format!("rule {}", place(rule));
    }
    match outcome {
        Outcome::Builtin(Builtin::Trusted) => "`trusted`: no rule is asked",
        Outcome::Builtin(Builtin::Essential) => "`essential: pass`: no rule means it",
        Outcome::Builtin(Builtin::LaterFragment) => match policy.fragments {
            Fragments::Pass => "`fragments: pass`: no rule decides this later fragment",
            Fragments::Drop => "`fragments: drop`: no rule decides this later fragment",
            Fragments::Rate(_) => "the rate of `fragments`: no rule decides this later fragment",
        },
        _ => match policy.default {
            Fate::Pass => "`default: pass`: no rule matches",
            Fate::Drop => "`default: drop`: no rule matches",
        },
    }
    .to_owned()
}

/// Both in a line.
pub(super) fn verdict_and_decider(policy: &Policy, decision: Decision) -> String {
    format!(
        "{}, by {}",
        verdict(policy, decision.outcome, decision.effect),
        decider(policy, decision.outcome)
    )
}

/// A rule with its place.
pub(super) fn place(rule: &Rule) -> String {
    format!("`{}` ({})", rule.name, rule.place)
}

fn rate_text(rate: &Rate) -> String {
    let period = match rate.period {
        RatePeriod::Second => "s",
        RatePeriod::Minute => "m",
    };
    format!("{}/{period}", rate.count)
}
