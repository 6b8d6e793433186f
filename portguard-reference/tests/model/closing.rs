//! UDP ports that close when a policy takes effect.

use portguard_reference::generate::{INTERFACES, Kind, arrival, policy_of};
use portguard_reference::model::{Model, Outcome, Reply};
use portguard_reference::policy::{
    Action, Policy, Ports, Replies, Rule, Transport, Trusted, Verdict, Vlan,
};
use portguard_reference::random::Random;

use crate::bytes::{ipv4, turned, udp};
use crate::fields::{drops, from, prefix};
use crate::rules::{entry, policy};

const SECOND: u64 = 1_000_000_000;

fn udp_port(name: &str, action: Action, port: u16) -> Rule {
    Rule {
        ports: vec![entry(Ports::Number(port), Some(Transport::Udp))],
        ..Rule::new(name, action)
    }
}

/// Whether a datagram sent from this local port once the second policy is in force, and one sent before, are answered.
fn answered(old: Policy, new: Policy, port: u16) -> (bool, bool) {
    let query = turned(ipv4(0, 64, 17, &udp(port, 4000, 0)));
    let answer = ipv4(0, 64, 17, &udp(4000, port, 0));
    let mut model = Model::new(old);
    model.leaves("eth0", &query, 0);
    model.take_effect(new, SECOND);
    let outcome = |model: &mut Model| {
        let judgement = model.arrives("eth0", &answer, 2 * SECOND);
        matches!(judgement.outcome, Outcome::Reply(Reply::Udp)) || !judgement.dropped
    };
    let before = outcome(&mut model);
    model.leaves("eth0", &query, 2 * SECOND);
    (before, outcome(&mut model))
}

#[test]
fn a_port_that_is_blocked_closes_and_others_stay() {
    let block = || policy(&[udp_port("block", Action::Drop, 5000)]);
    assert_eq!(answered(policy(&[]), block(), 5000), (false, false));
    // It was blocked all along, so its flow goes on.
    assert_eq!(answered(block(), block(), 5000), (true, true));
    let reject = policy(&[udp_port("block", Action::Reject, 5000)]);
    assert_eq!(answered(block(), reject.clone(), 5000), (true, true));
    assert_eq!(answered(policy(&[]), reject, 5000), (false, false));
    // Another port, and another protocol on that one.
    let drop_all = || Policy {
        default: Verdict::Drop,
        ..policy(&[udp_port("pass", Action::Pass, 6000)])
    };
    let mut next = drop_all();
    next.rules[0].action = Action::Drop;
    assert_eq!(answered(drop_all(), next.clone(), 5999), (true, true));
    assert_eq!(answered(drop_all(), next, 6001), (true, true));
    let tcp = Rule {
        ports: vec![entry(Ports::Number(5000), Some(Transport::Tcp))],
        ..Rule::new("tcp", Action::Pass)
    };
    let closed = |rules: &[Rule]| Policy {
        default: Verdict::Drop,
        ..policy(rules)
    };
    assert_eq!(answered(closed(&[tcp]), closed(&[]), 5000), (true, true));
}

#[test]
fn it_closes_whatever_source_lost_it() {
    let closed = |rules: &[Rule]| Policy {
        default: Verdict::Drop,
        ..policy(rules)
    };
    let one_source = Rule {
        from: from(&["10.0.0.1/32"]),
        ..udp_port("one", Action::Pass, 5000)
    };
    assert_eq!(
        answered(closed(std::slice::from_ref(&one_source)), closed(&[]), 5000),
        (false, false)
    );
    assert_eq!(
        answered(closed(std::slice::from_ref(&one_source)), closed(&[]), 5001),
        (true, true)
    );
    // What is hidden behind another rule was not passed.
    let hides = Rule {
        from: from(&["10.0.0.0/8"]),
        ..drops("hides")
    };
    let hidden = closed(&[hides, one_source.clone()]);
    assert_eq!(answered(hidden, closed(&[]), 5000), (true, true));
    // Nor does a rule that only counts pass or drop.
    let counts = Rule {
        enforce: false,
        ..one_source
    };
    assert_eq!(answered(closed(&[counts]), closed(&[]), 5000), (true, true));
    // A limit passes, and so does trust, which has every port.
    let vlan = Rule {
        vlans: vec![Vlan::Id(7)],
        ..udp_port("vlan", Action::Pass, 5000)
    };
    assert_eq!(answered(closed(&[vlan]), closed(&[]), 5000), (false, false));
    let trusting = Policy {
        trusted: vec![Trusted {
            from: vec![prefix("10.0.0.1/32")],
            interfaces: Vec::new(),
        }],
        ..closed(&[])
    };
    assert_eq!(answered(trusting, closed(&[]), 1), (false, false));
}

#[test]
fn it_opens_after_180_seconds() {
    let query = turned(ipv4(0, 64, 17, &udp(5000, 4000, 0)));
    let answer = ipv4(0, 64, 17, &udp(4000, 5000, 0));
    let mut model = Model::new(policy(&[]));
    model.take_effect(policy(&[udp_port("block", Action::Drop, 5000)]), SECOND);
    model.leaves("eth0", &query, 181 * SECOND);
    assert!(model.arrives("eth0", &answer, 181 * SECOND).dropped);
    model.leaves("eth0", &query, 181 * SECOND + 1);
    assert!(!model.arrives("eth0", &answer, 181 * SECOND + 1).dropped);
}

/// Whatever datagram one policy passes and the next drops, its port is closed; and a policy closes nothing of itself.
#[test]
fn no_loss_goes_unseen() {
    let mut random = Random::new(3);
    let mut losses = 0;
    for _ in 0..200 {
        let mut next_policy = || {
            let (policy, _) = policy_of(Kind::Full, &mut random);
            Policy {
                replies: Replies::Pass,
                enforce: true,
                ..policy
            }
        };
        let (old, new) = (next_policy(), next_policy());
        let guards = old.interfaces.clone();
        let new = Policy {
            interfaces: guards,
            ..new
        };
        for _ in 0..800 {
            let arrival = arrival(&old, &mut random);
            let Some((answer, query)) = plain_datagram(&arrival.frame) else {
                continue;
            };
            let interface = &arrival.interface;
            let before = Model::on(old.clone(), &INTERFACES).arrives(interface, &answer, 0);
            let after = Model::on(new.clone(), &INTERFACES).arrives(interface, &answer, 0);
            let is_judged = matches!(after.outcome, Outcome::Rule(_) | Outcome::DefaultDrop);
            if before.dropped || !after.dropped || !is_judged {
                continue;
            }
            losses += 1;
            let mut model = Model::on(old.clone(), &INTERFACES);
            model.leaves(interface, &query, 0);
            model.take_effect(new.clone(), 0);
            model.leaves(interface, &query, SECOND);
            assert!(model.arrives(interface, &answer, SECOND).dropped);
            // Where nothing changes nothing closes.
            let mut model = Model::on(new.clone(), &INTERFACES);
            model.take_effect(new.clone(), 0);
            model.leaves(interface, &query, SECOND);
            assert!(!model.arrives(interface, &answer, SECOND).dropped);
        }
    }
    assert!(losses > 300, "{losses}");
}

/// A whole IPv4 datagram without tags and options, and the one that it answers.
fn plain_datagram(frame: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let header = frame.get(12..42)?;
    let is_plain = header[..3] == [0x08, 0x00, 0x45] && header[8..10] == [0, 0] && header[11] == 17;
    let length = u16::from_be_bytes([header[4], header[5]]);
    if !is_plain || length < 28 || usize::from(length) + 14 > frame.len() {
        return None;
    }
    let answer = frame.to_vec();
    let mut query = turned(answer.clone());
    query[34..38].rotate_left(2);
    Some((answer, query))
}
