//! The classifier on the host against the reference model, over random policies of the whole language: what the
//! comparison with the kernel does at length (`portguard/tests/differential`), in a few seconds and without root.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

mod generated;
mod host;

use portguard_policy::{BanTarget, Policy, Tables, closed_udp_ports};
use portguard_reference::generate::{self, Arrival, INTERFACES, Kind, Step, Written, play};
use portguard_reference::model::{Judgement, Model};
use portguard_reference::policy::Prefix;
use portguard_reference::random::Random;

use crate::generated::WrittenFiles;
use crate::host::{Fate, Host};

/// One policy each, and frames that arrive.
const POLICIES: u64 = 300;
const FRAMES: usize = 500;

/// Of events, with some policies each.
const SEQUENCES: u64 = 60;
const ARRIVALS: usize = 700;

/// So many arrivals at least are replies, are answered, come from who is banned, and so on.
const RARE: usize = SEQUENCES as usize * 3;

#[test]
fn the_classifier_agrees_with_the_model() {
    let mut compared = Compared::default();
    for seed in 0..POLICIES {
        let mut random = Random::new(seed);
        let (meant, written) = generate::policy_of(Kind::Full, &mut random);
        let steps = generate::arrivals(&meant, FRAMES, &mut random);
        let model = Model::on(meant, &INTERFACES);
        compare(seed, model, &written, &steps, &mut compared);
    }
    assert!(
        compared.frames >= FRAMES * POLICIES as usize,
        "{compared:?}"
    );
}

#[test]
fn a_host_over_time_agrees_with_the_model() {
    let mut compared = Compared::default();
    for seed in 0..SEQUENCES {
        let sequence = generate::sequence(ARRIVALS, &mut Random::new(seed));
        let model = sequence.model();
        compare(
            seed,
            model,
            &sequence.written,
            &sequence.steps,
            &mut compared,
        );
    }
    let Compared {
        frames,
        replies,
        late,
        limited,
        answers,
        banned,
    } = compared;
    assert!(frames >= ARRIVALS * SEQUENCES as usize, "{compared:?}");
    let rarest = replies.min(late).min(limited).min(answers).min(banned);
    assert!(rarest >= RARE, "{compared:?}");
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default)]
struct Compared {
    frames: usize,
    replies: usize,
    /// What would have been a reply, had its flow lasted.
    late: usize,
    limited: usize,
    answers: usize,
    banned: usize,
}

impl Compared {
    fn add(&mut self, judgement: &Judgement) {
        let outcome = judgement.outcome.counter();
        self.frames += 1;
        self.replies += usize::from(outcome == "reply");
        self.late += usize::from(judgement.late.is_some());
        self.limited += usize::from(outcome.ends_with(", limited"));
        self.answers += usize::from(judgement.answered);
        self.banned += usize::from(outcome == "banned");
    }
}

fn load(written: &Written) -> (Policy, Tables) {
    let checked = portguard_policy::check(&written.text, &mut WrittenFiles(written));
    let policy = checked.expect("a valid policy").policy;
    let tables = portguard_policy::compile(&policy, &INTERFACES).expect("fits");
    (policy, tables)
}

/// A source in the product's words.
fn target(source: Prefix) -> BanTarget {
    source.to_string().parse().expect("a source")
}

/// Lets the same happen to both, and compares what they make of each frame, and where they count what was dropped.
fn compare(
    seed: u64,
    mut model: Model,
    written: &Written,
    steps: &[Step],
    compared: &mut Compared,
) {
    let mut host = Host::default();
    let (mut policy, mut tables) = load(written);
    let mut text = &written.text;
    let mut now_ns = 0;
    for (number, step) in steps.iter().enumerate() {
        let judgement = play(&mut model, &mut now_ns, step);
        host.set_time(now_ns);
        match step {
            Step::Arrives(Arrival { interface, frame }) => {
                let judgement = judgement.expect("the model judges what arrives");
                compared.add(&judgement);
                let by_model = Fate {
                    dropped: judgement.dropped,
                    outcome: judgement.outcome.counter(),
                    shadows: judgement.shadows,
                    answered: judgement.answered,
                };
                assert_eq!(
                    host.arrives(&policy, &tables, interface, frame),
                    by_model,
                    "seed {seed}, step {number}, {now_ns} ns, at {interface}: {frame:02x?}\n{text}"
                );
            }
            Step::Leaves(Arrival { interface, frame }) => host.leaves(&tables, interface, frame),
            Step::TakeEffect { written, .. } => {
                let (next_policy, next) = load(written);
                host.close(&closed_udp_ports(&tables, &next));
                (policy, tables, text) = (next_policy, next, &written.text);
            }
            Step::Ban {
                source,
                nanoseconds,
            } => host.ban(target(*source), *nanoseconds),
            Step::Unban { source } => host.unban(target(*source)),
            Step::Advance { .. } => {}
        }
    }
    assert_eq!(
        *host.drops.borrow(),
        *model.counters().drops(),
        "seed {seed}\n{text}"
    );
}
