//! Counters over many frames: the sum over all outcomes is what was seen, and drops add up by destination.

use std::collections::BTreeMap;

use portguard::dataplane::counters::{DropKey, RuleCount};
use portguard_common::abi::{Builtin, Counter};
use portguard_common::packet::Malformed;

use crate::filter::{Filter, load, tables};
use crate::frames::{Ipv4, ethernet, icmp, ipv4, ipv6, portless, raw_ethernet, tcp, tcp_with, udp};

const RULES: [&str; 3] = [
    "{ name: watch, action: drop, ports: 80, enforce: false }",
    "{ name: ssh, action: drop, ports: 22/tcp }",
    "{ name: dns, action: pass, ports: 53 }",
];

fn counter(frames: &[(&Vec<u8>, u64)]) -> Counter {
    Counter {
        packets: frames.iter().map(|(_, times)| times).sum(),
        bytes: frames
            .iter()
            .map(|(frame, times)| frame.len() as u64 * times)
            .sum(),
    }
}

#[test]
fn packets_and_bytes_add_up() {
    let (tables, names) = tables("default: drop", &RULES);
    assert_eq!(names, ["watch", "ssh", "dns"]);
    let generation = load(&tables);
    let ssh = ipv4(tcp(1, 22));
    let ssh_v6 = ipv6(tcp(1, 22));
    let dns = ipv4(udp(1, 53, b"a question"));
    let web = ipv4(tcp(1, 80));
    let echo = ipv4(icmp(8, 0));
    let arp = raw_ethernet(0x0806, &[0; 46]);
    let error = ipv4(icmp(3, 3));
    let later = ethernet(Ipv4::carrying(portless(6, &[0; 100])).fragment(10, false));
    let broken = ipv4(tcp_with(1, 22, 3));
    let sent = [
        (&ssh, 3),
        (&ssh_v6, 4),
        (&dns, 5),
        (&web, 7),
        (&echo, 2),
        (&arp, 6),
        (&error, 1),
        (&later, 8),
        (&broken, 9),
    ];
    for (frame, times) in sent {
        for _ in 0..times {
            generation.run(frame).unwrap();
        }
    }

    let counts = generation.counts().unwrap();
    assert_eq!(counts.frames(), counter(&sent));
    let nothing = Counter::default();
    let watch = RuleCount {
        decided: nothing,
        limited: nothing,
        shadow: counter(&[(&web, 7)]),
    };
    assert_eq!(counts.rule(0), watch);
    assert_eq!(counts.rule(1).decided, counter(&[(&ssh, 3), (&ssh_v6, 4)]));
    assert_eq!(counts.rule(2).decided, counter(&[(&dns, 5)]));
    let builtin = |builtin| counts.builtin[&builtin];
    assert_eq!(
        builtin(Builtin::DefaultDrop),
        counter(&[(&web, 7), (&echo, 2)])
    );
    assert_eq!(builtin(Builtin::DefaultPass), nothing);
    assert_eq!(builtin(Builtin::NonIp), counter(&[(&arp, 6)]));
    assert_eq!(builtin(Builtin::Essential), counter(&[(&error, 1)]));
    assert_eq!(builtin(Builtin::LaterFragment), counter(&[(&later, 8)]));
    for (reason, count) in &counts.malformed {
        let expected = match reason {
            Malformed::TcpDataOffset => counter(&[(&broken, 9)]),
            _ => nothing,
        };
        assert_eq!(*count, expected, "{}", reason.name());
    }
    let key = |protocol, port| DropKey { protocol, port };
    let drops = [
        (key(6, Some(22)), 7),
        (key(6, Some(80)), 7),
        (key(1, None), 2),
    ];
    assert_eq!(counts.drops, BTreeMap::from(drops));
}

#[test]
fn every_outcome_is_listed_even_if_nothing_was_counted() {
    let filter = Filter::new("", &[]);
    let counts = filter.counts();
    assert!(counts.builtin.keys().eq(Builtin::ALL.iter()));
    assert!(counts.malformed.keys().eq(Malformed::ALL.iter()));
    assert!(counts.drops.is_empty());
}

#[test]
fn names_of_outcomes() {
    let names = Builtin::ALL.map(Builtin::name);
    let expected = [
        "default-pass",
        "default-drop",
        "essential",
        "non-ip",
        "later-fragment",
        "trusted",
        "reply",
        "banned",
    ];
    assert_eq!(names, expected);
}

#[test]
fn reading_counters_does_not_reset_them() {
    let (tables, _) = tables("", &[]);
    let generation = load(&tables);
    let frame = ipv4(tcp(1, 22));
    for round in 1..=3 {
        generation.run(&frame).unwrap();
        assert_eq!(generation.counts().unwrap(), generation.counts().unwrap());
        assert_eq!(
            generation.counts().unwrap().frames(),
            counter(&[(&frame, round)])
        );
    }
}

#[test]
fn rules_with_the_same_match_count_for_the_first() {
    let rules = [
        "{ name: first, action: drop, ports: 22/tcp }",
        "{ name: second, action: drop, ports: 22/tcp }",
    ];
    let mut filter = Filter::new("", &rules);
    filter.expect("ssh", &ipv4(tcp(1, 22)), "drop first tcp/22");
}

/// Drops were lost from the totals when they came faster than anybody read them.
#[test]
fn c03_a_million_drops_at_full_speed_are_all_counted() {
    const PACKETS: u32 = 1_000_000;
    let (tables, _) = tables("", &RULES);
    let generation = load(&tables);
    let frame = ipv4(tcp(1, 22));
    generation.time(&frame, PACKETS).unwrap();
    let counts = generation.counts().unwrap();
    let all = counter(&[(&frame, u64::from(PACKETS))]);
    assert_eq!((counts.rule(1).decided, counts.frames()), (all, all));
    assert_eq!(
        counts.drops,
        BTreeMap::from([(
            DropKey {
                protocol: 6,
                port: Some(22)
            },
            u64::from(PACKETS)
        )])
    );
}

/// The kernel refuses to run what has no Ethernet header: an error, and never an outcome.
#[test]
fn frames_shorter_than_ethernet_are_not_run() {
    let (tables, _) = tables("", &[]);
    let generation = load(&tables);
    for length in 0..14 {
        assert!(generation.run(&vec![0; length]).is_err(), "{length} bytes");
    }
    assert_eq!(generation.counts().unwrap().frames(), Counter::default());
    assert!(!generation.run(&[0; 14]).unwrap().dropped);
}
