//! `trusted` and bans.

use portguard_reference::model::{Model, Outcome};
use portguard_reference::policy::{
    Action, Limit, Per, Period, Policy, Protocol, ProtocolName, Rate, Rule, Trusted, Verdict,
};

use crate::bytes::{frame, ipv4, ipv6, turned};
use crate::fields::{drops, prefix};
use crate::rules::{policy, rule};

fn trusting(interfaces: &[&str]) -> Policy {
    Policy {
        trusted: vec![Trusted {
            from: vec![prefix("192.0.2.0/31"), prefix("2001:db8::1/128")],
            interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
        }],
        default: Verdict::Drop,
        malformed: Verdict::Drop,
        ..policy(&[
            drops("all"),
            rule("igmp", &[Protocol::Name(ProtocolName::Igmp)], &[]),
        ])
    }
}

#[test]
fn nothing_stops_a_trusted_source() {
    let mut model = Model::new(trusting(&[]));
    for frame in [
        ipv4(0, 64, 47, ""),
        ipv6(47, 64, ""),
        ipv4(2, 64, 17, ""),
        // Essential, and a rule means it.
        ipv4(0, 1, 2, ""),
    ] {
        let judgement = model.arrives("eth0", &frame, 0);
        assert_eq!(
            (judgement.outcome, judgement.dropped),
            (Outcome::Trusted, false)
        );
        assert_eq!(judgement.shadows, [""; 0]);
        // The source counts, not the destination.
        let other = model.arrives("eth0", &turned(frame), 0);
        assert!(other.dropped, "{other:?}");
    }
    // Malformed and not IP come first.
    let short = model.arrives("eth0", &ipv4(0, 64, 6, ""), 0);
    assert!(matches!(short.outcome, Outcome::Malformed(_)) && short.dropped);
    assert_eq!(
        model.arrives("eth0", &frame(&["8847"]), 0).outcome,
        Outcome::NonIp
    );
}

#[test]
fn trust_can_be_tied_to_interfaces() {
    let mut model = Model::on(trusting(&["mgmt*"]), &["eth0", "mgmt0"]);
    let packet = ipv4(0, 64, 47, "");
    assert_eq!(model.arrives("mgmt0", &packet, 0).outcome, Outcome::Trusted);
    assert!(model.arrives("eth0", &packet, 0).dropped);
}

#[test]
fn a_ban_drops_until_it_is_over() {
    let mut model = Model::new(policy(&[]));
    let packet = ipv4(0, 64, 47, "");
    model.ban(prefix("192.0.2.0/24"), Some(1000));
    let banned = model.arrives("eth0", &packet, 999);
    assert_eq!((banned.outcome, banned.dropped), (Outcome::Banned, true));
    assert_eq!(
        model.arrives("eth0", &packet, 1000).outcome,
        Outcome::DefaultPass
    );
    model.ban(prefix("192.0.2.1/32"), Some(5000));
    assert_eq!(
        model.arrives("eth0", &packet, 2000).outcome,
        Outcome::Banned
    );
    model.unban(prefix("192.0.2.1/32"));
    assert_eq!(
        model.arrives("eth0", &packet, 2000).outcome,
        Outcome::DefaultPass
    );

    // Trust goes before it, and a dry run drops nothing.
    let mut model = Model::new(trusting(&[]));
    model.ban(prefix("192.0.2.1/32"), Some(1000));
    assert_eq!(model.arrives("eth0", &packet, 0).outcome, Outcome::Trusted);
    let mut model = Model::new(Policy {
        enforce: false,
        ..Policy::default()
    });
    model.ban(prefix("192.0.2.1/32"), Some(1000));
    let dry = model.arrives("eth0", &packet, 0);
    assert_eq!((dry.outcome, dry.dropped), (Outcome::Banned, false));
}

#[test]
fn a_ban_lasts_as_long_as_any_that_holds_the_source() {
    let mut model = Model::new(policy(&[]));
    let packet = ipv4(0, 64, 47, "");
    let banned = |model: &mut Model, now_ns| {
        let judgement = model.arrives("eth0", &packet, now_ns);
        judgement.outcome == Outcome::Banned
    };
    // The narrow one is over first, then a wide one that is shorter than the widest.
    model.ban(prefix("192.0.2.1/32"), Some(1000));
    model.ban(prefix("192.0.2.0/24"), Some(2000));
    model.ban(prefix("192.0.0.0/16"), Some(1500));
    assert!(banned(&mut model, 1999));
    assert!(!banned(&mut model, 2000));
    // A shorter ban of the same source takes nothing away from the longer one.
    model.ban(prefix("192.0.2.1/32"), Some(4000));
    model.ban(prefix("192.0.2.1/32"), Some(3000));
    assert!(banned(&mut model, 3999));
    model.ban(prefix("192.0.2.1/32"), None);
    model.ban(prefix("192.0.2.1/32"), Some(5000));
    assert!(banned(&mut model, u64::MAX));
    model.unban(prefix("192.0.2.1/32"));
    assert!(!banned(&mut model, 4000));
}

#[test]
fn a_banned_packet_comes_to_no_rule_and_takes_no_token() {
    let limit = Rule::new(
        "few",
        Action::Limit(Limit {
            rate: Rate {
                packets: 1,
                per: Period::Minute,
            },
            burst: None,
            per: Per::Rule,
        }),
    );
    let mut counts = Rule::new("counts", Action::Drop);
    counts.enforce = false;
    let mut model = Model::new(policy(&[counts, limit]));
    let packet = ipv4(0, 64, 47, "");
    model.ban(prefix("192.0.2.1/32"), Some(10));
    for now_ns in 0..10 {
        let banned = model.arrives("eth0", &packet, now_ns);
        assert_eq!(banned.outcome, Outcome::Banned);
        assert!(banned.shadows.is_empty());
    }
    let passed = model.arrives("eth0", &packet, 10);
    assert_eq!(passed.outcome, Outcome::Rule("few".to_owned()));
    assert_eq!(passed.shadows, ["counts"]);
}
