//! `limit` and `fragments: { rate }`.

use portguard_reference::model::{Judgement, Model, Outcome};
use portguard_reference::policy::{
    Action, Fragments, Limit, Per, Period, Policy, Rate, Rule, Verdict,
};

use crate::bytes::{ipv4, ipv6, tcp, udp};
use crate::fields::{drops, from};
use crate::rules::policy;

const SECOND: u64 = 1_000_000_000;

fn rate(packets: u32, per: Period) -> Rate {
    Rate { packets, per }
}

fn limited(rate: Rate, burst: Option<u32>, per: Per) -> Rule {
    Rule::new("limit", Action::Limit(Limit { rate, burst, per }))
}

/// What so many of the same frames come to: `p` passed, `l` beyond the limit.
fn outcomes(model: &mut Model, frame: &[u8], count: usize, now_ns: u64) -> String {
    let letter = |judgement: Judgement| match (judgement.outcome, judgement.dropped) {
        (Outcome::Rule(_), false) => 'p',
        (Outcome::Limited(_), true) => 'l',
        (Outcome::Limited(_), false) => '-',
        (Outcome::LaterFragment, false) => 'f',
        (Outcome::LaterFragment, true) => 'F',
        other => panic!("{other:?}"),
    };
    (0..count)
        .map(|_| letter(model.arrives("eth0", frame, now_ns)))
        .collect()
}

fn datagram() -> Vec<u8> {
    ipv4(0, 64, 17, &udp(1000, 53, 0))
}

#[test]
fn a_bucket_starts_full_and_fills_with_time() {
    let rule = limited(rate(2, Period::Second), Some(3), Per::Rule);
    let mut model = Model::new(policy(&[rule]));
    assert_eq!(outcomes(&mut model, &datagram(), 4, 0), "pppl");
    // Half a second is one packet, a nanosecond less is none; what was there is not lost.
    assert_eq!(outcomes(&mut model, &datagram(), 1, SECOND / 2 - 1), "l");
    assert_eq!(outcomes(&mut model, &datagram(), 2, SECOND / 2), "pl");
    // Never more than the burst.
    assert_eq!(outcomes(&mut model, &datagram(), 4, 100 * SECOND), "pppl");
}

#[test]
fn a_rate_that_does_not_divide_loses_nothing() {
    let rule = limited(rate(7, Period::Minute), Some(1), Per::Rule);
    let mut model = Model::new(policy(&[rule]));
    let passed = (0..=600)
        .map(|second| outcomes(&mut model, &datagram(), 1, second * SECOND))
        .filter(|outcome| outcome == "p")
        .count();
    // One in 8.57 seconds, tried each second, and nothing beyond one is kept: one in 9.
    assert_eq!(passed, 67);
    let mut exact = Model::new(policy(&[limited(
        rate(7, Period::Minute),
        Some(7),
        Per::Rule,
    )]));
    assert_eq!(outcomes(&mut exact, &datagram(), 8, 0), "pppppppl");
    assert_eq!(outcomes(&mut exact, &datagram(), 1, 60 * SECOND / 7), "l");
    assert_eq!(
        outcomes(&mut exact, &datagram(), 1, 60 * SECOND / 7 + 1),
        "p"
    );
}

#[test]
fn burst_is_one_second_by_default_and_at_least_1() {
    for (rate, full) in [
        (rate(5, Period::Second), "pppppl"),
        (rate(120, Period::Minute), "ppl"),
        (rate(1, Period::Minute), "pl"),
    ] {
        let mut model = Model::new(policy(&[limited(rate, None, Per::Source)]));
        assert_eq!(outcomes(&mut model, &datagram(), full.len(), 0), full);
    }
}

#[test]
fn of_tcp_only_attempts_count() {
    let rule = limited(rate(1, Period::Minute), Some(1), Per::Source);
    let mut model = Model::new(policy(&[rule]));
    let segment = |flags| ipv4(0, 64, 6, &tcp(1000, 22, flags));
    assert_eq!(outcomes(&mut model, &segment(0x02), 2, 0), "pl");
    // SYN with ACK, ACK, RST, FIN.
    for flags in [0x12, 0x10, 0x04, 0x01, 0x00] {
        assert_eq!(outcomes(&mut model, &segment(flags), 2, 0), "pp");
    }
    assert_eq!(outcomes(&mut model, &ipv4(2, 64, 6, ""), 2, 0), "pp");
    // A first fragment has its flags, with ECN or without.
    let first = ipv4(0x2000, 64, 6, &tcp(1000, 22, 0xc2));
    assert_eq!(outcomes(&mut model, &first, 1, 0), "l");
    // Of other protocols everything counts.
    let mut model = Model::new(policy(&[limited(
        rate(1, Period::Minute),
        Some(1),
        Per::Source,
    )]));
    assert_eq!(outcomes(&mut model, &ipv4(2, 64, 17, ""), 2, 0), "pl");
    assert_eq!(outcomes(&mut model, &ipv4(0, 64, 47, ""), 1, 0), "l");
}

#[test]
fn a_source_is_an_ipv4_address_or_an_ipv6_64() {
    let with_source = |mut frame: Vec<u8>, at: usize, byte: u8| {
        frame[at] = byte;
        frame
    };
    let v4 = |last| with_source(datagram(), 29, last);
    let six = ipv6(17, 64, &udp(1000, 53, 0));
    let network = |byte| with_source(six.clone(), 29, byte);
    let host = |byte| with_source(six.clone(), 30, byte);
    for (per, other) in [(Per::Source, "p"), (Per::Rule, "l")] {
        let mut model = Model::new(policy(&[limited(rate(1, Period::Minute), None, per)]));
        assert_eq!(outcomes(&mut model, &v4(1), 2, 0), "pl");
        assert_eq!(outcomes(&mut model, &v4(2), 1, 0), other);
        assert_eq!(outcomes(&mut model, &network(0), 1, 0), other);
        assert_eq!(outcomes(&mut model, &host(1), 1, 0), "l");
        assert_eq!(outcomes(&mut model, &network(1), 1, 0), other);
    }
}

#[test]
fn a_limit_that_only_counts_has_a_bucket_of_its_own() {
    let counts = Rule {
        enforce: false,
        ..limited(rate(1, Period::Minute), Some(2), Per::Rule)
    };
    let only = Rule {
        from: from(&["192.0.2.1/32"]),
        ..drops("drop")
    };
    let mut model = Model::new(policy(&[counts, only]));
    let shadows: Vec<usize> = (0..4)
        .map(|_| {
            let judgement = model.arrives("eth0", &datagram(), 0);
            assert_eq!(judgement.outcome, Outcome::Rule("drop".to_owned()));
            judgement.shadows.len()
        })
        .collect();
    assert_eq!(shadows, [0, 0, 1, 1]);
    assert_eq!(model.counters().shadow("limit").packets, 2);
}

#[test]
fn a_dry_run_limits_and_passes() {
    let dry = Policy {
        enforce: false,
        ..policy(&[limited(rate(1, Period::Minute), None, Per::Rule)])
    };
    let mut model = Model::new(dry);
    assert_eq!(outcomes(&mut model, &datagram(), 3, 0), "p--");
}

#[test]
fn later_fragments_have_a_rate() {
    let mut model = Model::new(Policy {
        fragments: Fragments::Rate(rate(2, Period::Second)),
        default: Verdict::Drop,
        ..Policy::default()
    });
    let later = ipv4(2, 64, 17, "");
    assert_eq!(outcomes(&mut model, &later, 3, 0), "ffF");
    // Of the host, not of the source.
    assert_eq!(
        outcomes(&mut model, &ipv6(44, 64, "1100 0010 00000001"), 1, 0),
        "F"
    );
    assert_eq!(outcomes(&mut model, &later, 2, SECOND / 2), "fF");
}

#[test]
fn buckets_outlive_a_policy_by_the_name_of_their_rule() {
    let rule = limited(rate(1, Period::Second), Some(2), Per::Rule);
    let mut model = Model::new(policy(std::slice::from_ref(&rule)));
    assert_eq!(outcomes(&mut model, &datagram(), 3, 0), "ppl");
    model.take_effect(policy(std::slice::from_ref(&rule)), 0);
    assert_eq!(outcomes(&mut model, &datagram(), 1, 0), "l");
    // Another name, another bucket.
    let other = Rule {
        name: "other".to_owned(),
        ..rule.clone()
    };
    model.take_effect(policy(&[other]), 0);
    assert_eq!(outcomes(&mut model, &datagram(), 3, 0), "ppl");
    // What the first one has in the meantime.
    model.take_effect(policy(&[rule]), SECOND);
    assert_eq!(outcomes(&mut model, &datagram(), 2, SECOND), "pl");
}

#[test]
fn at_another_rate_a_bucket_is_full_at_the_same_time() {
    let at = |packets, burst| limited(rate(packets, Period::Second), Some(burst), Per::Rule);
    let mut model = Model::new(policy(&[at(1, 2)]));
    assert_eq!(outcomes(&mut model, &datagram(), 3, 0), "ppl");
    // Full in two seconds: at 2 packets a second, of 10 tokens 4 are missing.
    model.take_effect(policy(&[at(2, 10)]), 0);
    assert_eq!(outcomes(&mut model, &datagram(), 7, 0), "ppppppl");
    // Full in 5 seconds, in which 10 of 1 are missing at 2 a second: it was emptied at another rate, and has one.
    model.take_effect(policy(&[at(2, 1)]), 0);
    assert_eq!(outcomes(&mut model, &datagram(), 2, 0), "pl");
}

#[test]
fn the_bucket_of_later_fragments_outlives_a_policy() {
    let limited = Policy {
        fragments: Fragments::Rate(rate(1, Period::Second)),
        ..policy(&[])
    };
    let fragment = ipv4(0x2003, 64, 17, "0000000000000000");
    let mut model = Model::new(limited.clone());
    assert_eq!(outcomes(&mut model, &fragment, 2, 0), "fF");
    model.take_effect(limited, 0);
    assert_eq!(outcomes(&mut model, &fragment, 1, 0), "F");
}
