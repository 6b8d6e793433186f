//! `diff`: what it says is so, and where it says nothing, nothing differs.

use std::collections::BTreeMap;

use portguard_common::abi::Builtin;
use portguard_common::classify::Verdict;
use portguard_policy::{
    AttachMode, Change, ChangeKind, Description, Effect, Evaluator, Fate, Fragments,
    InterfacePattern, Limit, Outcome, Packet, Per, Policy, Rate, RatePeriod, Rule, RuleAction,
    Stateless, Tables, compile, diff, explain,
};
use portguard_reference::generate::{Kind, arrival, policy_of};
use portguard_reference::random::Random;

use crate::{compiled, packet, read};

const PAIRS: u64 = 100;
const FRAMES: usize = 40;

/// Two policies that have much in common, or little.
fn pair(seed: u64, random: &mut Random) -> (portguard_reference::policy::Policy, Policy, Policy) {
    let (model, written) = policy_of(Kind::Full, random);
    let old = read(&written);
    if seed.is_multiple_of(8) {
        let (_, written) = policy_of(Kind::Full, random);
        return (model, old, read(&written));
    }
    let mut new = old.clone();
    for _ in 0..1 + random.below(3) {
        edit(&mut new, random);
    }
    (model, old, new)
}

/// What somebody might do to a policy.
fn edit(policy: &mut Policy, random: &mut Random) {
    let count = policy.rules.len();
    if count < 2 || random.one_in(4) {
        return edit_head(policy, random);
    }
    let place = random.below(count);
    let other = random.below(count);
    let rules = &mut policy.rules;
    match random.below(8) {
        0 => {
            rules.remove(place);
        }
        1 => rules.swap(place, other),
        2 => {
            rules[place].action =
                random.pick(&[RuleAction::Pass, RuleAction::Drop, RuleAction::Reject])
        }
        3 => rules[place].enforce ^= true,
        4 => rules[place].vlans = Some(vec![0, 10]),
        5 => rules[place].interfaces = Some(vec![InterfacePattern::Name("wan0".to_owned())]),
        6 => rules[place].from = rules[other].from.clone(),
        _ => {
            rules[place].name = format!("renamed-{place}");
            rules[place].comment = Some("renamed".to_owned());
        }
    }
}

fn edit_head(policy: &mut Policy, random: &mut Random) {
    match random.below(6) {
        0 => {
            policy.default = match policy.default {
                Fate::Pass => Fate::Drop,
                Fate::Drop => Fate::Pass,
            }
        }
        1 => policy.essential ^= true,
        2 => policy.fragments = random.pick(&[Fragments::Pass, Fragments::Drop]),
        3 => {
            policy.trusted.pop();
        }
        4 => policy.replies ^= true,
        _ => policy.attach = AttachMode::Native,
    }
}

fn evaluate(tables: &Tables, interface: &str, frame: &[u8]) -> (Outcome, Verdict) {
    let evaluator = Evaluator::new(tables, interface, Stateless);
    let evaluation = evaluator.frame(frame).expect("sound tables");
    (evaluation.outcome, evaluation.judgement.verdict)
}

/// With its rate, if it has one: two limits may be different ones.
fn rate(policy: &Policy, outcome: Outcome) -> Option<Limit> {
    match outcome {
        Outcome::Rule(index) => match policy.rules[index].action {
            RuleAction::Limit(limit) => Some(limit),
            _ => None,
        },
        Outcome::Builtin(Builtin::LaterFragment) => match policy.fragments {
            Fragments::Rate(rate) => Some(Limit {
                rate,
                per: Per::Rule,
            }),
            _ => None,
        },
        _ => None,
    }
}

fn verdict_of(effect: Effect) -> Verdict {
    match effect {
        Effect::Pass | Effect::Limit { .. } => Verdict::Pass,
        Effect::Drop => Verdict::Drop,
        Effect::Reject => Verdict::Reject,
    }
}

#[test]
fn no_difference_is_missed_and_none_invented() {
    let (mut same, mut differ, mut frames_that_differ, mut examples) = (0, 0, 0, 0);
    for seed in 0..PAIRS {
        let mut random = Random::new(seed);
        let (model, old, new) = pair(seed, &mut random);
        let tables = [compiled(&old), compiled(&new)];
        let found = diff((&old, &tables[0]), (&new, &tables[1])).expect("small policies");
        if found.is_none() {
            same += 1;
        } else {
            differ += 1;
        }
        for _ in 0..FRAMES {
            let arrival = arrival(&model, &mut random);
            if !old.guards(&arrival.interface) || !new.guards(&arrival.interface) {
                continue;
            }
            let [before, after] = [&tables[0], &tables[1]]
                .map(|own| evaluate(own, &arrival.interface, &arrival.frame));
            if before.1 == after.1 {
                continue;
            }
            let is_told =
                |own: &Change| (own.before.outcome, own.after.outcome) == (before.0, after.0);
            let told = packet(&arrival).is_none_or(|_| found.changes.iter().any(is_told));
            assert!(
                told && !found.is_none(),
                "seed {seed}: {before:?}, {after:?}\n{found:#?}"
            );
            frames_that_differ += 1;
        }
        let mut known = BTreeMap::new();
        for change in &found.changes {
            check_example([&old, &new], &mut known, change, seed);
            examples += 1;
        }
    }
    assert!(same > 10 && differ > 50, "{same}, {differ}");
    assert!(
        frames_that_differ > 120 && examples > 300,
        "{frames_that_differ}, {examples}"
    );
}

/// Evaluator and `explain` say the same of the example. `known` keeps the tables of both policies, by interface.
fn check_example(
    policies: [&Policy; 2],
    known: &mut BTreeMap<String, [Tables; 2]>,
    change: &Change,
    seed: u64,
) {
    let text = change.example.to_string();
    let case = format!("seed {seed}: `{text}` {change:?}");
    let interface = change.example.interface.clone();
    let interface = interface.unwrap_or_else(|| "eth0".to_owned());
    let tables = known
        .entry(interface.clone())
        .or_insert_with(|| policies.map(|own| compile(own, &[&interface]).expect("fits")));
    for side in 0..2 {
        let (policy, tables) = (policies[side], &tables[side]);
        let decision = [change.before, change.after][side];
        let found = evaluate(tables, &interface, &change.example.frame());
        assert_eq!(
            found,
            (decision.outcome, verdict_of(decision.effect)),
            "{case}"
        );
        let description = Description::parse(&text, policy).expect("a description");
        let explained = explain(policy, tables, &description).expect("sound tables");
        assert_eq!(explained.evaluation.outcome, decision.outcome, "{case}");
        assert_eq!(explained.effect, decision.effect, "{case}");
    }
    let [before, after] = [(0, change.before), (1, change.after)]
        .map(|(side, own)| (own.effect.name(), rate(policies[side], own.outcome)));
    match change.kind {
        ChangeKind::Effect => assert_ne!(change.before.effect, change.after.effect, "{case}"),
        ChangeKind::Sharing => assert_eq!(before, after, "{case}"),
    }
    assert!(is_whole(&change.example), "{case}");
}

/// All that a description can say is said.
fn is_whole(packet: &Packet) -> bool {
    packet.source.is_ipv4() == packet.destination.is_ipv4() && packet.is_possible()
}

#[test]
fn what_changes_nothing_is_no_difference() {
    for seed in 0..PAIRS / 3 {
        let mut random = Random::new(seed);
        let (_, written) = policy_of(Kind::Full, &mut random);
        let old = read(&written);
        let mut new = old.clone();
        for (place, rule) in new.rules.iter_mut().enumerate() {
            rule.name = format!("r{place}");
            rule.comment = Some("another".to_owned());
            rule.place.line += 7;
        }
        new.interfaces.reverse();
        new.assertions.clear();
        // Rules that only count, and neighbours that do the same, decide nothing by their order.
        new.rules.retain(|rule| rule.enforce);
        for place in 1..new.rules.len() {
            let acts = |place: usize| new.rules[place].action;
            let is_limit = matches!(acts(place), RuleAction::Limit(_));
            if acts(place - 1) == acts(place) && !is_limit {
                new.rules.swap(place - 1, place);
            }
        }
        let tables = [compiled(&old), compiled(&new)];
        let found = diff((&old, &tables[0]), (&new, &tables[1])).expect("small policies");
        assert!(found.is_none(), "seed {seed}: {found:#?}\n{}", written.text);
    }
}

/// Rules that share a bucket, and rules that do not.
#[test]
fn a_limit_that_is_split_is_another() {
    let (_, written) = policy_of(Kind::Full, &mut Random::new(1));
    let mut old = read(&written);
    let limit = RuleAction::Limit(Limit {
        rate: Rate {
            count: 5,
            period: RatePeriod::Second,
            burst: 5,
        },
        per: Per::Rule,
    });
    let Some(first) = old.rules.first().cloned() else {
        panic!("no rule");
    };
    let rule = |name: &str, vlans: Option<Vec<u16>>| Rule {
        name: name.to_owned(),
        action: limit,
        enforce: true,
        vlans,
        ..first.clone()
    };
    old.rules = vec![rule("one", None)];
    let mut new = old.clone();
    new.rules = vec![rule("one", Some(vec![10])), rule("two", None)];
    let tables = [compiled(&old), compiled(&new)];
    let found = diff((&old, &tables[0]), (&new, &tables[1])).expect("small policies");
    let kinds: Vec<ChangeKind> = found.changes.iter().map(|own| own.kind).collect();
    assert_eq!(kinds, [ChangeKind::Sharing; 2], "{found:#?}");
}
