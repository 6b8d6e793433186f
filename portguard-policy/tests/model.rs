//! The classifier on the host against the reference model, over random policies of the whole language: what the
//! comparison with the kernel does at length (`portguard/tests/differential`), in a few seconds and without root.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

mod generated;

use portguard_common::abi::Setting;
use portguard_common::classify::Verdict;
use portguard_policy::{Evaluator, Policy, Stateless, Tables};
use portguard_reference::generate::{self, Arrival, INTERFACES, Kind, Step, play, policy_of};
use portguard_reference::model::{Judgement, Model};
use portguard_reference::random::Random;

use crate::generated::{WrittenFiles, outcome_name};

const POLICIES: u64 = 300;
const FRAMES: usize = 500;

/// Long enough for every bucket to be full again, so that no frame depends on those before it.
const PAUSE_NS: u64 = 24 * 3600 * 1_000_000_000;

/// What becomes of a frame: whether it is dropped, the name of its outcome, the rules that only count it.
type Fate = (bool, String, Vec<String>);

fn by_model(judgement: Judgement) -> Fate {
    let outcome = judgement.outcome.counter();
    (judgement.dropped, outcome, judgement.shadows)
}

fn by_host(policy: &Policy, tables: &Tables, arrival: &Arrival) -> Fate {
    let evaluator = Evaluator::new(tables, &arrival.interface, Stateless);
    let evaluation = evaluator.frame(&arrival.frame).expect("sound tables");
    let name = |rule: usize| policy.rules[rule].name.clone();
    let outcome = outcome_name(evaluation.outcome, name);
    let enforced = tables.settings[Setting::Enforce as usize] != 0;
    let dropped = enforced && evaluation.judgement.verdict != Verdict::Pass;
    (
        dropped,
        outcome,
        evaluation.shadows.iter().copied().map(name).collect(),
    )
}

#[test]
fn the_classifier_agrees_with_the_model() {
    let mut compared = 0;
    for seed in 0..POLICIES {
        let mut random = Random::new(seed);
        let (meant, written) = policy_of(Kind::Full, &mut random);
        let steps = generate::arrivals(&meant, FRAMES, &mut random);
        let mut model = Model::on(meant, &INTERFACES);
        let mut now_ns = 0;
        let checked = portguard_policy::check(&written.text, &mut WrittenFiles(&written));
        let policy = checked.expect("a valid policy").policy;
        let tables = portguard_policy::compile(&policy, &INTERFACES).expect("fits");
        for step in &steps {
            let pause = Step::Advance {
                nanoseconds: PAUSE_NS,
            };
            play(&mut model, &mut now_ns, &pause);
            let judgement = play(&mut model, &mut now_ns, step);
            let (Step::Arrives(arrival), Some(judgement)) = (step, judgement) else {
                // Time that passes.
                continue;
            };
            compared += 1;
            assert_eq!(
                by_host(&policy, &tables, arrival),
                by_model(judgement),
                "seed {seed}, at {}: {:02x?}\n{}",
                arrival.interface,
                arrival.frame,
                written.text
            );
        }
    }
    assert!(compared >= FRAMES * POLICIES as usize, "{compared}");
}
