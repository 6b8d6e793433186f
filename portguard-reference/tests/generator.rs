//! The generator: the same from the same seed, and reaching everything that a frame can come to.

use portguard_reference::coverage::Coverage;
use portguard_reference::generate::{self, Kind, Step, play, sequence};
use portguard_reference::model::judge;
use portguard_reference::random::Random;

const POLICIES: u64 = 400;
const FRAMES: u64 = 1000;

/// Of 2,000 frames one at least is decided by each item: 1,000 of two million.
const RARE: u64 = 2000;

#[test]
fn a_seed_fixes_everything() {
    let make = || {
        let mut random = Random::new(7);
        let (policy, text) = generate::policy(&mut random);
        let frames: Vec<Vec<u8>> = (0..50)
            .map(|_| generate::frame(&policy, &mut random))
            .collect();
        (policy, text, frames)
    };
    assert_eq!(make(), make());
}

#[test]
fn everything_decides() {
    let mut random = Random::new(1);
    let mut coverage = Coverage::new();
    for _ in 0..POLICIES {
        let (policy, _) = generate::policy(&mut random);
        for _ in 0..FRAMES {
            let frame = generate::frame(&policy, &mut random);
            assert!(frame.len() >= 14);
            coverage.record(&policy, &frame, &judge(&policy, &frame));
        }
    }
    println!("{coverage}");
    assert_eq!(coverage.frames(), POLICIES * FRAMES);
    assert_eq!(coverage.below(POLICIES * FRAMES / RARE), []);
    assert!(coverage.past_third_rule() >= 0.5);
}

#[test]
fn a_seed_fixes_a_sequence() {
    let make = || sequence(200, &mut Random::new(7));
    assert_eq!(make(), make());
}

#[test]
fn everything_of_the_whole_language_decides() {
    let mut random = Random::new(2);
    let mut coverage = Coverage::of(Kind::Full);
    for _ in 0..POLICIES {
        let sequence = sequence(1000, &mut random);
        let (mut model, mut now_ns) = (sequence.model(), 0);
        for step in &sequence.steps {
            let judgement = play(&mut model, &mut now_ns, step);
            if let (Some(judgement), Step::Arrives(arrival)) = (judgement, step) {
                let (interface, frame) = (&arrival.interface, &arrival.frame);
                assert!(frame.len() >= 14);
                coverage.record_at(model.policy(), interface, frame, &judgement);
            }
        }
        assert!(model.counters().sum().packets >= 1000);
    }
    println!("{coverage}");
    assert_eq!(coverage.below(coverage.frames() / RARE), []);
    assert!(coverage.past_third_rule() >= 0.3);
}
