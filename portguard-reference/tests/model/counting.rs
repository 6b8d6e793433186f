//! "Counters".

use portguard_reference::generate::{Step, play, sequence};
use portguard_reference::model::{Counter, Model};
use portguard_reference::policy::{Action, Ports, Rule, Verdict};
use portguard_reference::random::Random;

use crate::bytes::{frame, ipv4, tcp, udp};
use crate::fields::drops;
use crate::rules::{entry, policy};

#[test]
fn every_frame_adds_to_one_outcome() {
    let mut random = Random::new(5);
    for _ in 0..10 {
        let sequence = sequence(300, &mut random);
        let (mut model, mut now_ns) = (sequence.model(), 0);
        let mut seen = Counter::default();
        for step in &sequence.steps {
            play(&mut model, &mut now_ns, step);
            if let Step::Arrives(arrival) = step {
                seen.packets += 1;
                seen.bytes += arrival.frame.len() as u64;
            }
            assert_eq!(model.counters().sum(), seen);
        }
    }
}

#[test]
fn packets_and_bytes_by_outcome() {
    let web = Rule {
        ports: vec![entry(Ports::Number(80), None)],
        ..drops("web")
    };
    let mut model = Model::new(policy(&[web]));
    let segment = ipv4(0, 64, 6, &tcp(5000, 80, 2));
    for _ in 0..3 {
        model.arrives("eth0", &segment, 0);
    }
    model.arrives("eth0", &ipv4(0, 64, 17, &udp(5000, 80, 7)), 0);
    model.arrives("eth0", &ipv4(0, 64, 17, &udp(5000, 81, 0)), 0);
    model.arrives("eth0", &frame(&["0806"]), 0);
    let counters = model.counters();
    let web = Counter {
        packets: 4,
        bytes: 3 * 54 + 49,
    };
    assert_eq!(counters.outcome("rule web"), web);
    assert_eq!(counters.outcome("default-pass").bytes, 42);
    assert_eq!(counters.outcome("non-ip").packets, 1);
    let drops: Vec<_> = counters.drops().iter().collect();
    assert_eq!(drops, [(&(6, Some(80)), &3), (&(17, Some(80)), &1)]);
}

#[test]
fn a_name_keeps_its_counters() {
    let mut model = Model::new(policy(&[drops("a")]));
    let packet = ipv4(0, 64, 47, "");
    model.arrives("eth0", &packet, 0);
    let mut next = policy(&[Rule::new("b", Action::Pass), drops("a")]);
    model.take_effect(next.clone(), 0);
    model.arrives("eth0", &packet, 0);
    next.rules.clear();
    next.default = Verdict::Drop;
    model.take_effect(next, 0);
    model.arrives("eth0", &packet, 0);
    for name in ["rule a", "rule b", "default-drop"] {
        assert_eq!(model.counters().outcome(name).packets, 1, "{name}");
    }
}
