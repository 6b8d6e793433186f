//! Whether a policy does what its assertions promise.

use std::ops::ControlFlow;

use portguard_common::abi::Builtin;

use super::{Decision, Pair, Region, Work, interfaces_of};
use crate::compile::{Outcome, Tables};
use crate::packet::Packet;
use crate::policy::{Assertion, Fate, Policy};
use crate::problem::Problem;

/// The assertions of a policy that do not hold, each with a packet that shows it. `tables` are those of the policy for
/// [`Policy::example_interfaces`]: on each of these an assertion must hold that names none.
///
/// An assertion speaks of whole packets, not of later fragments, and state and bans are left aside: a limit passes. One
/// that is about more combinations of fields than can be looked at counts as broken, since nobody knows.
#[must_use]
pub fn check_assertions(policy: &Policy, tables: &Tables) -> Vec<Problem> {
    if policy.assertions.is_empty() {
        return Vec::new();
    }
    let pair = Pair::new(tables, tables);
    let interfaces = interfaces_of(&[tables]);
    let broken = policy.assertions.iter().filter_map(|assertion| {
        let region = Region::of(&assertion.traffic, interfaces.clone());
        let mut counterexample = None;
        let result = pair.survey(&region, &mut Work::new(), |found| {
            let [decision, _] = found.decisions;
            if decision.effect.passes() == (assertion.expected == Fate::Pass) {
                return ControlFlow::Continue(());
            }
            counterexample = Some((found.packet(), decision));
            ControlFlow::Break(())
        });
        match (result, counterexample) {
            (_, Some((packet, decision))) => Some(problem(policy, assertion, &packet, decision)),
            (Ok(()), None) => None,
            (Err(error), None) => Some(
                Problem::error(assertion.span, "this assertion cannot be checked")
                    .hint(format!("{error}; say more of the traffic, or let fewer rules have conditions on several fields")),
            ),
        }
    });
    broken.collect()
}

fn problem(policy: &Policy, assertion: &Assertion, packet: &Packet, decision: Decision) -> Problem {
    let (wanted, found) = match assertion.expected {
        Fate::Pass => ("pass", "dropped"),
        Fate::Drop => ("be dropped", "passed"),
    };
    let rule = match decision.outcome {
        Outcome::Rule(index) => policy.rules.get(index),
        _ => None,
    };
    let by = match (rule, decision.outcome) {
        (Some(rule), _) => format!("rule `{}` ({})", rule.name, rule.place),
        (None, Outcome::Builtin(Builtin::Essential)) => "the exemption of essential traffic".into(),
        (None, Outcome::Builtin(Builtin::Trusted)) => "`trusted`".into(),
        (None, Outcome::Builtin(Builtin::DefaultPass)) => "`default: pass`".into(),
        (None, _) => "`default: drop`".into(),
    };
    let hint = match (rule, decision.outcome) {
        (Some(_), _) => "change that rule, put one before it, or change the assertion",
        (None, Outcome::Builtin(Builtin::Essential)) => {
            "essential traffic is dropped only by a rule that means it: say which traffic the assertion means, or add \
             such a rule"
        }
        (None, Outcome::Builtin(Builtin::Trusted)) => {
            "no rule stops a trusted source: name other sources in the assertion, or trust fewer"
        }
        (None, _) => "no rule decides it: add one, or say more precisely which traffic is meant",
    };
    let problem = Problem::error(
        assertion.span,
        format!("the assertion fails: `{packet}` is {found} by {by}"),
    )
    .label(format!("all of this must {wanted}"))
    .hint(hint);
    match rule {
        Some(rule) => problem.related(rule.span, "this rule decides"),
        None => problem,
    }
}
