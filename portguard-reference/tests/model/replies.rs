//! "Replies": 192.0.2.2 is this side, 192.0.2.1 the other.

use portguard_reference::model::{End, Ends, Flow, Model, Outcome, Reply};
use portguard_reference::policy::{
    Action, Essential, Fragments, Limit, Per, Period, Policy, Ports, Protocol, Rate, Replies, Rule,
    Verdict,
};

use crate::bytes::{ipv4, ipv6, tcp, turned, udp};
use crate::fields::{drops, from, prefix};
use crate::rules::{entry, policy, rule};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 24 * 3600 * SECOND;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

fn closed() -> Policy {
    Policy {
        default: Verdict::Drop,
        essential: Essential::Rules,
        fragments: Fragments::Drop,
        ..Policy::default()
    }
}

/// A segment that arrives, from port 22 to 5000.
fn segment(flags: u8) -> Vec<u8> {
    ipv4(0, 64, 6, &tcp(22, 5000, flags))
}

/// A segment that leaves, from port 5000 to 22.
fn leaving(flags: u8) -> Vec<u8> {
    turned(ipv4(0, 64, 6, &tcp(5000, 22, flags)))
}

fn datagram() -> Vec<u8> {
    ipv4(0, 64, 17, &udp(53, 5000, 0))
}

fn query() -> Vec<u8> {
    turned(ipv4(0, 64, 17, &udp(5000, 53, 0)))
}

fn reply(model: &mut Model, frame: &[u8], now_ns: u64) -> Option<Reply> {
    let judgement = model.arrives("eth0", frame, now_ns);
    match judgement.outcome {
        Outcome::Reply(reply) => {
            assert!(!judgement.dropped);
            Some(reply)
        }
        _ => {
            assert!(judgement.dropped, "{judgement:?}");
            None
        }
    }
}

#[test]
fn tcp_is_started_by_a_syn_that_leaves() {
    let mut model = Model::new(closed());
    assert_eq!(reply(&mut model, &segment(SYN | ACK), 0), None);
    for flags in [ACK, SYN | ACK, FIN | ACK] {
        model.leaves("eth0", &leaving(flags), 0);
        assert_eq!(reply(&mut model, &segment(ACK), 0), None);
    }
    model.leaves("eth0", &leaving(SYN), 0);
    for flags in [SYN | ACK, ACK, RST, FIN | ACK] {
        assert_eq!(reply(&mut model, &segment(flags), 0), Some(Reply::Tcp));
    }
    // An attempt is never a reply, nor is what comes from elsewhere or is a later fragment.
    assert_eq!(reply(&mut model, &segment(SYN), 0), None);
    assert_eq!(
        reply(&mut model, &ipv4(0, 64, 6, &tcp(23, 5000, ACK)), 0),
        None
    );
    assert_eq!(
        reply(&mut model, &ipv4(0, 64, 6, &tcp(22, 5001, ACK)), 0),
        None
    );
    assert_eq!(reply(&mut model, &turned(segment(ACK)), 0), None);
    assert_eq!(
        reply(&mut model, &ipv4(2, 64, 6, &tcp(22, 5000, ACK)), 0),
        None
    );
    // A first fragment is like a packet, whatever the interface and the VLAN.
    let first = ipv4(0x2000, 64, 6, &tcp(22, 5000, ACK));
    assert_eq!(reply(&mut model, &first, 0), Some(Reply::Tcp));
    let mut tagged = segment(ACK);
    tagged.splice(12..12, [0x81, 0x00, 0x00, 0x07]);
    assert!(matches!(
        model.arrives("eth1", &tagged, 0).outcome,
        Outcome::Reply(Reply::Tcp)
    ));
}

#[test]
fn tcp_lasts_five_days_from_what_left_last() {
    let mut model = Model::new(closed());
    model.leaves("eth0", &leaving(SYN), 0);
    assert_eq!(reply(&mut model, &segment(ACK), 5 * DAY), Some(Reply::Tcp));
    // What arrives keeps nothing alive.
    assert_eq!(reply(&mut model, &segment(ACK), 5 * DAY + 1), None);
    // Nor does what leaves revive it, other than a new attempt.
    model.leaves("eth0", &leaving(ACK), 5 * DAY + 1);
    assert_eq!(reply(&mut model, &segment(ACK), 5 * DAY + 1), None);
    model.leaves("eth0", &leaving(SYN), 6 * DAY);
    model.leaves("eth0", &leaving(ACK), 8 * DAY);
    assert_eq!(reply(&mut model, &segment(ACK), 13 * DAY), Some(Reply::Tcp));
}

#[test]
fn tcp_ends_with_reset_and_fin_that_leave() {
    let mut model = Model::new(closed());
    model.leaves("eth0", &leaving(SYN), 0);
    model.leaves("eth0", &leaving(RST | ACK), 0);
    let late = model.arrives("eth0", &segment(ACK), 0);
    assert_eq!(
        (late.outcome, late.late),
        (Outcome::DefaultDrop, Some((Reply::Tcp, End::Cut)))
    );

    model.leaves("eth0", &leaving(SYN), 0);
    model.leaves("eth0", &leaving(FIN | ACK), SECOND);
    assert_eq!(
        reply(&mut model, &segment(ACK), 61 * SECOND),
        Some(Reply::Tcp)
    );
    // The last acknowledgement counts from itself, and does not open it again.
    model.leaves("eth0", &leaving(ACK), 61 * SECOND);
    assert_eq!(
        reply(&mut model, &segment(ACK), 121 * SECOND),
        Some(Reply::Tcp)
    );
    assert_eq!(reply(&mut model, &segment(ACK), 121 * SECOND + 1), None);
    // A FIN that arrives closes nothing.
    model.leaves("eth0", &leaving(SYN), 200 * SECOND);
    assert_eq!(
        reply(&mut model, &segment(FIN | ACK), 200 * SECOND),
        Some(Reply::Tcp)
    );
    assert_eq!(reply(&mut model, &segment(ACK), DAY), Some(Reply::Tcp));
}

#[test]
fn udp_is_started_by_what_would_be_refused_an_answer() {
    let mut model = Model::new(closed());
    assert_eq!(reply(&mut model, &datagram(), 0), None);
    model.leaves("eth0", &query(), 0);
    assert_eq!(
        reply(&mut model, &datagram(), 180 * SECOND),
        Some(Reply::Udp)
    );
    assert_eq!(reply(&mut model, &datagram(), 180 * SECOND + 1), None);
    model.leaves("eth0", &query(), 200 * SECOND);
    model.leaves("eth0", &query(), 300 * SECOND);
    assert_eq!(
        reply(&mut model, &datagram(), 480 * SECOND),
        Some(Reply::Udp)
    );
    assert_eq!(
        reply(
            &mut model,
            &ipv4(0, 64, 17, &udp(54, 5000, 0)),
            480 * SECOND
        ),
        None
    );
    assert_eq!(
        reply(
            &mut model,
            &ipv4(2, 64, 17, &udp(53, 5000, 0)),
            480 * SECOND
        ),
        None
    );
}

#[test]
fn udp_that_a_policy_passes_starts_nothing() {
    let answers = |action| Rule {
        source_ports: vec![entry(Ports::Number(53), None)],
        ..Rule::new("answers", action)
    };
    let limit = Action::Limit(Limit {
        rate: Rate {
            packets: 1,
            per: Period::Minute,
        },
        burst: Some(1),
        per: Per::Source,
    });
    for (action, starts) in [
        (Action::Pass, false),
        (limit, false),
        (Action::Drop, true),
        (Action::Reject, true),
    ] {
        let with = |rules: &[Rule]| Policy {
            rules: rules.to_vec(),
            ..closed()
        };
        let mut model = Model::new(with(&[answers(action)]));
        model.leaves("eth0", &query(), 0);
        // Every drop is rescued, if there is a flow, whatever drops it now.
        model.take_effect(with(&[rule("all", &[Protocol::Any], &[])]), 0);
        let closes = matches!(action, Action::Pass) || action == limit;
        assert_eq!(starts, !closes);
        assert_eq!(
            reply(&mut model, &datagram(), 0).is_some(),
            starts,
            "{action:?}"
        );
    }
    // Trust, essential traffic and a limit that is used up start nothing either.
    let dhcp = turned(ipv4(0, 64, 17, &udp(68, 67, 0)));
    let offer = ipv4(0, 64, 17, &udp(67, 68, 0));
    let essential = Policy {
        essential: Essential::Pass,
        ..closed()
    };
    let mut model = Model::new(essential);
    model.leaves("eth0", &dhcp, 0);
    assert_eq!(model.arrives("eth0", &offer, 0).outcome, Outcome::Essential);
    model.take_effect(closed(), 0);
    assert_eq!(reply(&mut model, &offer, 0), None);
}

#[test]
fn a_limit_is_exceeded_by_attempts_not_by_replies() {
    let limit = Limit {
        rate: Rate {
            packets: 1,
            per: Period::Minute,
        },
        burst: Some(1),
        per: Per::Rule,
    };
    let mut model = Model::new(closed());
    model.leaves("eth0", &query(), 0);
    model.take_effect(policy(&[Rule::new("limit", Action::Limit(limit))]), 0);
    let outcomes = [0, 1, 2].map(|now_ns| model.arrives("eth0", &datagram(), now_ns).outcome);
    assert_eq!(outcomes[0], Outcome::Rule("limit".to_owned()));
    assert_eq!(
        outcomes[1..],
        [Outcome::Reply(Reply::Udp), Outcome::Reply(Reply::Udp)]
    );
    assert_eq!(model.counters().outcome("rule limit, limited").packets, 0);
}

#[test]
fn echo() {
    let mut model = Model::new(closed());
    let v4 = |kind: u8, id: u16| ipv4(0, 64, 1, &format!("{kind:02x}00 0000 {id:04x} 0001"));
    let v6 = |kind: u8, id: u16| ipv6(58, 64, &format!("{kind:02x}00 0000 {id:04x} 0001"));
    model.leaves("eth0", &turned(v4(8, 7)), 0);
    model.leaves("eth0", &turned(v6(128, 7)), 0);
    for (answer, other_id, other_type) in [
        (v4(0, 7), v4(0, 8), v4(8, 7)),
        (v6(129, 7), v6(129, 8), v6(128, 7)),
    ] {
        assert_eq!(reply(&mut model, &answer, 180 * SECOND), Some(Reply::Echo));
        assert_eq!(reply(&mut model, &answer, 180 * SECOND + 1), None);
        assert_eq!(reply(&mut model, &other_id, 0), None);
        assert_eq!(reply(&mut model, &other_type, 0), None);
        assert_eq!(reply(&mut model, &turned(answer), 0), None);
    }
}

/// An ICMP error of this type about a packet that left.
fn error(kind: u8, quoted: &str) -> Vec<u8> {
    ipv4(0, 64, 1, &format!("{kind:02x}01 0000 00000000 {quoted}"))
}

#[test]
fn errors_about_what_was_sent() {
    let mut model = Model::new(closed());
    model.leaves("eth0", &leaving(SYN), 0);
    model.leaves("eth0", &query(), 0);
    model.leaves("eth0", &turned(ipv4(0, 64, 1, "0800 0000 0007 0001")), 0);
    let addresses = "c0000202 c0000201";
    let quoted = |protocol: &str, transport: &str| {
        format!("4500 0028 0000 0000 40{protocol} 0000 {addresses} {transport}")
    };
    let sent = [
        quoted("06", "1388 0016 00000001"),
        quoted("11", "1388 0035 0008 0000"),
        quoted("01", "0800 0000 0007 0001"),
        // Options are skipped; a first fragment is one.
        format!("4600 0028 0000 2000 4006 0000 {addresses} 01010101 1388 0016 00000001"),
    ];
    for packet in &sent {
        for kind in [3, 11, 12] {
            assert_eq!(
                reply(&mut model, &error(kind, packet), 0),
                Some(Reply::Error)
            );
        }
        for kind in [4, 5, 0, 8] {
            assert_eq!(reply(&mut model, &error(kind, packet), 0), None);
        }
        assert_eq!(
            reply(&mut model, &error(3, &packet[..packet.len() - 2]), 0),
            None
        );
    }
    for other in [
        quoted("06", "1388 0017 00000001"),
        quoted("11", "1388 0016 0008 0000"),
        quoted("01", "0000 0000 0007 0001"),
        quoted("84", "1388 0016 00000001"),
        // The other side's packet, a later fragment, another version.
        "4500 0028 0000 0000 4006 0000 c0000201 c0000202 1388 0016 00000001".to_owned(),
        format!("4500 0028 0000 0001 4006 0000 {addresses} 1388 0016 00000001"),
        format!("6500 0028 0000 0000 4006 0000 {addresses} 1388 0016 00000001"),
    ] {
        assert_eq!(reply(&mut model, &error(3, &other), 0), None, "{other}");
    }
    // The flow is over.
    assert_eq!(
        reply(&mut model, &error(3, &sent[1]), 180 * SECOND),
        Some(Reply::Error)
    );
    assert_eq!(
        reply(&mut model, &error(3, &sent[1]), 180 * SECOND + 1),
        None
    );
}

#[test]
fn errors_of_icmpv6() {
    let mut model = Model::new(closed());
    model.leaves("eth0", &turned(ipv6(6, 64, &tcp(5000, 22, SYN))), 0);
    let addresses = "20010db8000000000000000000000002 20010db8000000000000000000000001";
    let quoted = |next: &str, rest: &str| format!("60000000 0014 {next} 40 {addresses} {rest}");
    let error =
        |kind: u8, quoted: &str| ipv6(58, 64, &format!("{kind:02x}00 0000 00000000 {quoted}"));
    let sent = quoted("06", "1388 0016 00000001");
    for kind in 1..=4 {
        assert_eq!(
            reply(&mut model, &error(kind, &sent), 0),
            Some(Reply::Error)
        );
    }
    assert_eq!(reply(&mut model, &error(5, &sent), 0), None);
    // Extension headers are not walked.
    let walked = quoted("3c", "0600 000000000000 1388 0016 00000001");
    assert_eq!(reply(&mut model, &error(1, &walked), 0), None);
}

#[test]
fn who_leaves_what() {
    // Fragments: the first is like a packet, later ones write nothing, nor does what is malformed.
    let mut model = Model::new(closed());
    model.leaves("eth0", &turned(ipv4(2, 64, 17, &udp(5000, 53, 0))), 0);
    model.leaves("eth0", &query()[..40], 0);
    assert_eq!(reply(&mut model, &datagram(), 0), None);
    model.leaves("eth0", &turned(ipv4(0x2000, 64, 17, &udp(5000, 53, 0))), 0);
    assert_eq!(reply(&mut model, &datagram(), 0), Some(Reply::Udp));
}

#[test]
fn what_replies_are_not_for() {
    // `replies: rules`.
    let mut model = Model::new(Policy {
        replies: Replies::Rules,
        ..closed()
    });
    model.leaves("eth0", &leaving(SYN), 0);
    assert_eq!(reply(&mut model, &segment(ACK), 0), None);
    // A ban, and what a rule passes.
    let mut model = Model::new(closed());
    model.leaves("eth0", &leaving(SYN), 0);
    model.ban(prefix("192.0.2.1/32"), Some(SECOND));
    assert_eq!(
        model.arrives("eth0", &segment(ACK), 0).outcome,
        Outcome::Banned
    );
    let pass = Rule::new("pass", Action::Pass);
    model.take_effect(policy(&[pass]), SECOND);
    let passed = model.arrives("eth0", &segment(ACK), SECOND);
    assert_eq!(passed.outcome, Outcome::Rule("pass".to_owned()));
    // A shadow counts before the exemption.
    let counts = Rule {
        enforce: false,
        from: from(&["192.0.2.1/32"]),
        ..drops("counts")
    };
    model.take_effect(policy(&[counts, drops("all")]), SECOND);
    let judgement = model.arrives("eth0", &segment(ACK), SECOND);
    assert_eq!(judgement.outcome, Outcome::Reply(Reply::Tcp));
    assert_eq!(judgement.shadows, ["counts"]);
}

#[test]
fn connections_from_before_the_start_are_started() {
    let mut model = Model::new(closed());
    let ends = Ends {
        local: ("192.0.2.2".parse().unwrap(), 5000),
        remote: ("192.0.2.1".parse().unwrap(), 22),
    };
    model.started(Flow::Tcp(ends), 0);
    assert_eq!(reply(&mut model, &segment(ACK), DAY), Some(Reply::Tcp));
}
