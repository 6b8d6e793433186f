//! Rules that do not do what their place in the file seems to say: those that are never the first to match, and drops
//! whose packets a limit passes before.

use crate::compile::Tables;
use crate::policy::{Policy, Rule, RuleAction};
use crate::problem::{Problem, one_of};
use crate::relation::{covers, overlap};

/// Rules named as the reason why another is dead.
const NAMED: usize = 3;

/// How many pairs of rules are compared to tell the reasons: with thousands of dead rules not all get one.
const COMPARED: usize = 2_000_000;

/// Warns of the rules that never take effect, since enforced rules before them decide all that they match, and of
/// drops that a limit before them takes packets from. `tables` are those of the policy.
#[must_use]
pub fn shadowed_rules(policy: &Policy, tables: &Tables) -> Vec<Problem> {
    let live = live(policy, tables);
    let mut compared = 0;
    let mut problems = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let without_effect = !rule.enforce && rule.action == RuleAction::Pass;
        if live[index] || without_effect || matches_nothing(rule) {
            continue;
        }
        let causes = causes(policy, index, &mut compared);
        problems.push(dead(rule, &causes));
    }
    let drops = |rule: &Rule| matches!(rule.action, RuleAction::Drop | RuleAction::Reject);
    for (index, limit) in policy.rules.iter().enumerate() {
        if !limit.enforce || !matches!(limit.action, RuleAction::Limit(_)) || !live[index] {
            continue;
        }
        for (later, drop) in policy.rules.iter().enumerate().skip(index + 1) {
            compared += 1;
            if compared > COMPARED {
                return problems;
            }
            // A drop of all the rest, behind a limit, is what one writes on purpose.
            if live[later]
                && drops(drop)
                && overlap(limit, drop, policy.essential)
                && !covers(drop, limit, policy.essential)
            {
                problems.push(passed_before(limit, drop));
            }
        }
    }
    problems
}

/// By rule: it takes effect somewhere.
fn live(policy: &Policy, tables: &Tables) -> Vec<bool> {
    let mut live = vec![false; policy.rules.len()];
    let decided = tables.meaning.attributions.iter();
    let decided = decided.flat_map(|cell| cell.decider.iter().chain(&cell.shadows));
    for rule in decided
        .copied()
        .chain(tables.meaning.limited.iter().map(|limited| limited.rule))
    {
        live[rule] = true;
    }
    live
}

/// An empty set, which its author allowed, matches nothing.
fn matches_nothing(rule: &Rule) -> bool {
    let empty = |addresses: &Option<std::sync::Arc<crate::Addresses>>| {
        addresses
            .as_ref()
            .is_some_and(|addresses| addresses.is_empty())
    };
    empty(&rule.from) || empty(&rule.to)
}

/// Who decides what a dead rule matches: the one that decides it all, or the first few that decide some.
fn causes<'p>(policy: &'p Policy, dead: usize, compared: &mut usize) -> Vec<&'p Rule> {
    let rule = &policy.rules[dead];
    let mut some = Vec::new();
    for before in policy.rules[..dead].iter().filter(|before| before.enforce) {
        *compared += 1;
        if *compared > COMPARED {
            break;
        }
        if covers(before, rule, policy.essential) {
            return vec![before];
        }
        if some.len() < NAMED && overlap(before, rule, policy.essential) {
            some.push(before);
        }
    }
    some
}

fn dead(rule: &Rule, causes: &[&Rule]) -> Problem {
    let name = &rule.name;
    let what = if rule.enforce { "decides" } else { "counts" };
    let hint = if causes.is_empty() {
        "move it up, or remove it".to_owned()
    } else {
        let names = causes.iter().map(|cause| cause.name.as_str());
        format!("move it above {}, or remove it", one_of(names))
    };
    let mut problem = Problem::warning(
        rule.span,
        format!("rule `{name}` never {what} anything: earlier rules decide all that it matches"),
    )
    .label("never the first to match")
    .hint(hint);
    for cause in causes {
        problem = problem.related(
            cause.span,
            format!("rule `{}` ({}) comes first", cause.name, cause.place),
        );
    }
    problem
}

fn passed_before(limit: &Rule, drop: &Rule) -> Problem {
    Problem::warning(
        drop.span,
        format!(
            "rule `{}` does not drop what rule `{}` passes before it",
            drop.name, limit.name
        ),
    )
    .label("some of its packets pass by a limit")
    .hint(format!(
        "a limit decides: what is within its rate passes; to drop these packets whatever their rate, move `{}` above it",
        drop.name
    ))
    .related(
        limit.span,
        format!("rule `{}` ({}) comes first", limit.name, limit.place),
    )
}
