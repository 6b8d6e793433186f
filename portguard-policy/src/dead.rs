//! Rules that are never the first to match.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::policy::{Policy, Rule, RuleAction};
use crate::problem::{Problem, Problems, one_of};
use crate::sweep::{RuleIndex, Visitor, indices, sweep};

/// Rules named as the reason why another is dead.
const NAMED: usize = 3;

/// Warns of the rules that never take effect, since enforced rules before them decide all that they match.
pub(crate) fn warn(policy: &Policy, problems: &mut Problems) {
    let mut reach = Reach {
        live: vec![false; policy.rules.len()],
        waiting: BTreeSet::new(),
        deciders: Vec::new(),
    };
    sweep(policy, &mut reach);
    for (rule, live) in policy.rules.iter().zip(&reach.live) {
        let without_effect = !rule.enforce && rule.action == RuleAction::Pass;
        if !live && !without_effect {
            let causes = reach.causes(policy, rule);
            problems.push(problem(policy, rule, &causes));
        }
    }
}

fn problem(policy: &Policy, rule: &Rule, causes: &BTreeSet<RuleIndex>) -> Problem {
    let name = &rule.name;
    let causes: Vec<&Rule> = causes
        .iter()
        .filter_map(|cause| policy.rules.get(*cause as usize))
        .collect();
    let what = if rule.enforce { "decides" } else { "counts" };
    let mut problem = Problem::warning(
        rule.span,
        format!("rule `{name}` never {what} anything: earlier rules decide all that it matches"),
    )
    .label("never the first to match")
    .hint(format!(
        "move it above {}, or remove it",
        one_of(causes.iter().map(|cause| cause.name.as_str()))
    ));
    for cause in causes {
        problem = problem.related(
            cause.span,
            format!("rule `{}` (line {}) comes first", cause.name, cause.line),
        );
    }
    problem
}

struct Reach {
    /// By rule: it takes effect somewhere.
    live: Vec<bool>,
    /// The rules that only count, match at the current index, and have not been found alive yet.
    waiting: BTreeSet<RuleIndex>,
    /// Ends of the stretches, with who decides there.
    deciders: Vec<(u32, Option<RuleIndex>)>,
}

impl Reach {
    /// Who decides what a dead rule matches: the first few.
    fn causes(&self, policy: &Policy, rule: &Rule) -> BTreeSet<RuleIndex> {
        // A wide dead rule may span every stretch of the table, and thousands of rules may be dead.
        const LOOKED_AT: usize = 64;
        let mut causes = BTreeSet::new();
        let mut left = LOOKED_AT;
        for range in indices(&rule.services, policy.essential) {
            let first = self
                .deciders
                .partition_point(|(end, _)| *end <= range.start);
            for (end, decider) in self.deciders.iter().skip(first) {
                causes.extend(*decider);
                left -= 1;
                if causes.len() == NAMED || left == 0 {
                    return causes;
                }
                if *end >= range.end {
                    break;
                }
            }
        }
        causes
    }
}

impl Visitor for Reach {
    fn enter(&mut self, rule: RuleIndex) {
        if !self.live[rule as usize] {
            self.waiting.insert(rule);
        }
    }

    fn leave(&mut self, rule: RuleIndex) {
        self.waiting.remove(&rule);
    }

    fn stretch(&mut self, indices: Range<u32>, decider: Option<RuleIndex>) {
        self.deciders.push((indices.end, decider));
        if let Some(rule) = decider {
            self.live[rule as usize] = true;
        }
        while let Some(first) = self.waiting.first().copied() {
            if decider.is_some_and(|rule| rule < first) {
                break;
            }
            self.waiting.remove(&first);
            self.live[first as usize] = true;
        }
    }
}
