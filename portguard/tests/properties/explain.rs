//! `explain`: it names what decides the packet, by the classifier and by the reference model.

use portguard_policy::{Description, Effect, Evaluator, Outcome, RuleAction, Stateless, explain};
use portguard_reference::generate::{INTERFACES, Kind, arrival, policy_of};
use portguard_reference::model::Model;
use portguard_reference::random::Random;

use crate::{compiled, packet, read};

const POLICIES: u64 = 100;
const FRAMES: usize = 40;

#[test]
fn it_names_what_decides() {
    let (mut explained, mut by_rule, mut counted) = (0, 0, 0);
    for seed in 0..POLICIES {
        let mut random = Random::new(seed);
        let (model, written) = policy_of(Kind::Full, &mut random);
        let policy = read(&written);
        let tables = compiled(&policy);
        for _ in 0..FRAMES {
            let arrival = arrival(&model, &mut random);
            let Some(packet) = packet(&arrival) else {
                continue;
            };
            let text = packet.to_string();
            let case = format!("seed {seed}: `{text}`\n{}", written.text);
            let description = Description::parse(&text, &policy)
                .unwrap_or_else(|error| panic!("{error}: {}\n{case}", error.hint));
            let own = explain(&policy, &tables, &description).expect("sound tables");
            // The text says all of the packet.
            assert_eq!(own.packet, packet, "{case}");

            let evaluator = Evaluator::new(&tables, &arrival.interface, Stateless);
            let evaluation = evaluator.frame(&arrival.frame).expect("sound tables");
            assert_eq!(own.evaluation.outcome, evaluation.outcome, "{case}");

            let judgement = Model::on(model.clone(), &INTERFACES).arrives(
                &arrival.interface,
                &arrival.frame,
                0,
            );
            let rule = match own.evaluation.outcome {
                Outcome::Rule(index) => Some(&policy.rules[index]),
                _ => None,
            };
            let decided = match (rule, own.evaluation.outcome) {
                (Some(rule), _) => format!("rule {}", rule.name),
                (None, Outcome::Builtin(builtin)) => builtin.name().to_owned(),
                (None, outcome) => panic!("{outcome:?}\n{case}"),
            };
            assert_eq!(decided, judgement.outcome.counter(), "{case}");
            if let Some(rule) = rule {
                assert!(rule.enforce, "{case}");
                let same = match (own.effect, rule.action) {
                    (Effect::Pass, RuleAction::Limit(_)) => {
                        text.ends_with(" fragment") || text.contains(" fragment ")
                    }
                    (effect, action) => effect.name() == action.to_string(),
                };
                assert!(same, "{:?}\n{case}", own.effect);
                by_rule += 1;
            }

            // What only counts is found by looking at the rules, so this holds that against the tables.
            let drops = |index: &usize| {
                let action = policy.rules[*index].action;
                matches!(action, RuleAction::Drop | RuleAction::Reject)
            };
            let would_drop: Vec<usize> = own.counted.iter().copied().filter(drops).collect();
            assert_eq!(would_drop, evaluation.shadows, "{case}");
            counted += would_drop.len();
            let last = match own.evaluation.outcome {
                Outcome::Rule(index) => index,
                _ => policy.rules.len(),
            };
            for near in &own.near {
                assert!(near.rule < last && !near.mismatches.is_empty(), "{case}");
                assert!(!own.counted.contains(&near.rule), "{case}");
            }
            explained += 1;
        }
    }
    assert!(explained > 2_500, "{explained}");
    assert!(by_rule > 1_000 && counted > 100, "{by_rule}, {counted}");
}

#[test]
fn what_else_decides_the_same_description_does() {
    let mut others = 0;
    for seed in 0..POLICIES {
        let mut random = Random::new(seed);
        let (model, written) = policy_of(Kind::Full, &mut random);
        let policy = read(&written);
        let tables = compiled(&policy);
        let arrival = arrival(&model, &mut random);
        for text in [
            "tcp ->",
            "udp -> :53",
            "icmp ->",
            "icmpv6 -> ttl 255",
            "17 -> fragment",
        ] {
            let description = Description::parse(text, &policy).expect("a description");
            let own = explain(&policy, &tables, &description).expect("sound tables");
            for other in &own.others {
                let case = format!("seed {seed}: {}\n{}", other.packet, written.text);
                assert_ne!(other.decision.outcome, own.evaluation.outcome, "{case}");
                let interface = other
                    .packet
                    .interface
                    .as_deref()
                    .unwrap_or(&arrival.interface);
                let evaluator = Evaluator::new(&tables, interface, Stateless);
                let evaluation = evaluator
                    .frame(&other.packet.frame())
                    .expect("sound tables");
                assert_eq!(evaluation.outcome, other.decision.outcome, "{case}");
                others += 1;
            }
        }
    }
    assert!(others > 150, "{others}");
}
