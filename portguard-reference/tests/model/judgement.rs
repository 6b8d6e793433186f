//! "The order of judgement".

use portguard_reference::model::{Judgement, Outcome, judge};
use portguard_reference::policy::{
    Action, Essential, Fragments, Policy, Ports, Protocol, ProtocolName, Rule, Transport, Verdict,
};

use crate::bytes::{IPV4_TCP, TCP_22, frame, ipv4, ipv6};
use crate::rules::{entry, policy, rule};

fn all_dropped() -> Policy {
    Policy {
        default: Verdict::Drop,
        non_ip: Verdict::Drop,
        malformed: Verdict::Drop,
        fragments: Fragments::Drop,
        ..Policy::default()
    }
}

fn decided(dropped: bool, outcome: Outcome) -> Judgement {
    Judgement {
        dropped,
        outcome,
        shadows: vec![],
        answered: false,
        late: None,
    }
}

fn by_rule(dropped: bool, name: &str) -> Judgement {
    decided(dropped, Outcome::Rule(name.to_owned()))
}

fn tcp_22() -> Vec<u8> {
    frame(&["0800", IPV4_TCP, TCP_22])
}

fn ssh(name: &str, action: Action, enforce: bool) -> Rule {
    Rule {
        action,
        enforce,
        ..rule(name, &[], &[entry(Ports::Number(22), None)])
    }
}

#[test]
fn defaults() {
    assert_eq!(
        judge(&policy(&[]), &tcp_22()),
        decided(false, Outcome::DefaultPass)
    );
    assert_eq!(
        judge(&all_dropped(), &tcp_22()),
        decided(true, Outcome::DefaultDrop)
    );
    let short = &tcp_22()[..40];
    let judgement = judge(&policy(&[]), short);
    assert!(judgement.dropped);
    assert!(
        matches!(judgement.outcome, Outcome::Malformed(reason) if reason.name() == "tcp-short")
    );
    let mut lenient = all_dropped();
    lenient.malformed = Verdict::Pass;
    // Final: neither a rule nor the default sees it.
    lenient.rules = vec![rule("all", &[Protocol::Any], &[])];
    assert!(!judge(&lenient, short).dropped);
}

#[test]
fn frames_that_are_not_ip() {
    for (bytes, dropped) in [
        ("0806 0001", false),
        ("8847 00000140", true),
        ("8809 02", true),
    ] {
        let frame = frame(&[bytes]);
        assert_eq!(
            judge(&all_dropped(), &frame),
            decided(dropped, Outcome::NonIp)
        );
        assert_eq!(judge(&policy(&[]), &frame), decided(false, Outcome::NonIp));
    }
    // No rule sees them.
    let all = policy(&[rule("all", &[Protocol::Any], &[])]);
    assert_eq!(
        judge(&all, &frame(&["0806"])),
        decided(false, Outcome::NonIp)
    );
}

#[test]
fn the_first_enforced_match_decides() {
    let pass = ssh("pass", Action::Pass, true);
    let drop = ssh("drop", Action::Drop, true);
    let order = |rules: &[&Rule]| {
        let rules: Vec<Rule> = rules.iter().copied().cloned().collect();
        judge(&policy(&rules), &tcp_22())
    };
    assert_eq!(order(&[&pass, &drop]), by_rule(false, "pass"));
    assert_eq!(order(&[&drop, &pass]), by_rule(true, "drop"));

    let counts = ssh("counts", Action::Drop, false);
    let counts_too = ssh("counts-too", Action::Drop, false);
    let idle = ssh("idle", Action::Pass, false);
    assert_eq!(order(&[&idle, &pass]), by_rule(false, "pass"));
    let shadowed = Judgement {
        shadows: vec!["counts".to_owned(), "counts-too".to_owned()],
        ..by_rule(true, "drop")
    };
    assert_eq!(order(&[&counts, &idle, &counts_too, &drop]), shadowed);
    // Nothing behind the decision counts.
    assert_eq!(order(&[&pass, &counts]), by_rule(false, "pass"));
    let undecided = Judgement {
        shadows: vec!["counts".to_owned()],
        ..decided(false, Outcome::DefaultPass)
    };
    assert_eq!(order(&[&counts]), undecided);
}

#[test]
fn a_dry_run_drops_nothing_and_counts_the_same() {
    let mut dry = all_dropped();
    dry.enforce = false;
    dry.rules = vec![ssh("drop", Action::Drop, true)];
    assert_eq!(judge(&dry, &tcp_22()), by_rule(false, "drop"));
    assert_eq!(
        judge(&dry, &ipv4(0, 64, 47, "")),
        decided(false, Outcome::DefaultDrop)
    );
    assert_eq!(
        judge(&dry, &frame(&["8847"])),
        decided(false, Outcome::NonIp)
    );
    assert!(matches!(
        judge(&dry, &tcp_22()[..20]),
        Judgement {
            dropped: false,
            outcome: Outcome::Malformed(_),
            ..
        }
    ));
}

#[test]
fn later_fragments() {
    let later = ipv4(2, 64, 6, "");
    assert_eq!(
        judge(&policy(&[]), &later),
        decided(false, Outcome::LaterFragment)
    );
    assert_eq!(
        judge(&all_dropped(), &later),
        decided(true, Outcome::LaterFragment)
    );
    let mut passing = all_dropped();
    passing.fragments = Fragments::Pass;
    assert_eq!(
        judge(&passing, &later),
        decided(false, Outcome::LaterFragment)
    );
    passing.rules = vec![rule("tcp", &[], &[entry(Ports::Any, Some(Transport::Tcp))])];
    assert_eq!(judge(&passing, &later), by_rule(true, "tcp"));
    // Without its type nobody knows that it is essential.
    assert_eq!(
        judge(&all_dropped(), &ipv4(2, 64, 1, "0301 0000 00000000")),
        decided(true, Outcome::LaterFragment)
    );
}

/// Whether it passes as essential where everything else is dropped.
fn essential(frame: &[u8]) -> bool {
    let mut policy = all_dropped();
    // No rule that does not mean it takes it away.
    let broad = [
        Protocol::Any,
        Protocol::Name(ProtocolName::Icmp),
        Protocol::Number(58),
    ];
    policy.rules = vec![
        rule("broad", &broad, &[]),
        rule(
            "ports",
            &[],
            &[entry(Ports::Any, None), entry(Ports::Number(68), None)],
        ),
    ];
    let judgement = judge(&policy, frame);
    let mut ordinary = policy.clone();
    ordinary.essential = Essential::Rules;
    assert_eq!(judge(&ordinary, frame), by_rule(true, "broad"));
    match judgement.outcome {
        Outcome::Essential => assert!(!judgement.dropped),
        _ => assert!(judgement.dropped),
    }
    judgement.outcome == Outcome::Essential
}

#[test]
fn essential_messages() {
    let message = |kind: u8| format!("{kind:02x}00 0000 00000000");
    let types = |hop_limit: u8| {
        (0..=255)
            .filter(|&kind| essential(&ipv6(58, hop_limit, &message(kind))))
            .collect::<Vec<u8>>()
    };
    assert_eq!(types(255), [1, 2, 3, 4, 133, 134, 135, 136, 137]);
    assert_eq!(types(1), [1, 2, 3, 4, 130, 131, 132, 143]);
    for hop_limit in [0, 2, 64, 254] {
        assert_eq!(types(hop_limit), [1, 2, 3, 4]);
    }
    let v4 = (0..=255).filter(|&kind| essential(&ipv4(0, 64, 1, &message(kind))));
    assert_eq!(v4.collect::<Vec<u8>>(), [3, 11, 12]);
}

#[test]
fn essential_answers() {
    let ports = |source: u16, destination: u16| format!("{source:04x} {destination:04x} 0008 0000");
    assert!(essential(&ipv4(0, 64, 17, &ports(67, 68))));
    assert!(essential(&ipv6(17, 64, &ports(547, 546))));
    for (source, destination) in [(68, 67), (67, 67), (66, 68), (67, 69), (547, 546)] {
        assert!(!essential(&ipv4(0, 64, 17, &ports(source, destination))));
    }
    for (source, destination) in [(546, 547), (547, 547), (548, 546), (67, 68)] {
        assert!(!essential(&ipv6(17, 64, &ports(source, destination))));
    }
    assert!(!essential(&ipv4(
        0,
        64,
        6,
        &TCP_22.replace("1388 0016", "0043 0044")
    )));
    assert!(essential(&ipv4(0, 1, 2, "")));
    assert!(!essential(&ipv4(0, 2, 2, "")));
}

#[test]
fn rules_that_mean_essential_traffic() {
    let udp = Some(Transport::Udp);
    let v4 = ipv4(0, 64, 17, "0043 0044 0008 0000");
    let v6 = ipv6(17, 64, "0223 0222 0008 0000");
    let igmp = ipv4(0, 1, 2, "");
    let judged =
        |rule: &Rule, frame: &[u8]| judge(&policy(std::slice::from_ref(rule)), frame).dropped;
    assert!(judged(
        &rule("r", &[], &[entry(Ports::Number(68), udp)]),
        &v4
    ));
    assert!(judged(
        &rule("r", &[], &[entry(Ports::Number(546), udp)]),
        &v6
    ));
    assert!(judged(
        &rule("r", &[Protocol::Name(ProtocolName::Igmp)], &[]),
        &igmp
    ));
    // Not literally.
    for ports in [
        entry(Ports::Number(68), None),
        entry(Ports::Range(68, 68), udp),
        entry(Ports::Any, udp),
    ] {
        let rule = rule("r", &[Protocol::Name(ProtocolName::Udp)], &[ports]);
        assert!(!judged(&rule, &v4));
    }
    assert!(judged(&rule("r", &[Protocol::Number(2)], &[]), &igmp));
    // A rule that only counts must mean it as well.
    let mut counts = rule("r", &[Protocol::Any], &[]);
    counts.enforce = false;
    assert_eq!(
        judge(&policy(&[counts]), &igmp),
        decided(false, Outcome::Essential)
    );
}
