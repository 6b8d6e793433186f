//! The survey against the naive way, over small random policies and a packet of every kind that they tell apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use portguard_policy::{
    ChangeKind, Effect, Evaluator, Fate, Outcome, Packet, Payload, Policy, Stateless, Tables,
    Traffic, TrafficSurvey, Transport, changes, check_assertions, closed_udp_ports,
};
use proptest::prelude::*;
use proptest::sample::select;

use crate::common::{accepted, compiled};
use crate::naive::{UDP_PORTS, decide, is_meant, universe};

const ACTIONS: [&str; 6] = [
    "action: pass",
    "action: drop",
    "action: drop, enforce: false",
    "action: reject",
    "action: limit, rate: 5/s",
    "action: limit, rate: 7/s, per: rule",
];

/// What a rule matches, and whether source ports may stand beside it.
const SERVICES: [(&str, bool); 14] = [
    ("ports: 22/tcp", true),
    ("ports: 53/udp", true),
    ("ports: [53, 68/udp]", true),
    ("ports: 546/udp", true),
    ("ports: \"20-25\"", true),
    ("protocol: tcp, ports: any", true),
    ("protocol: udp, ports: any", true),
    ("protocol: sctp, ports: any", true),
    ("protocol: icmp", false),
    ("protocol: icmpv6", false),
    (
        "protocol: icmp, types: [echo-request, time-exceeded]",
        false,
    ),
    ("protocol: icmpv6, types: router-advertisement", false),
    ("protocol: igmp", false),
    ("protocol: any", false),
];

const ADDRESSES: [&str; 5] = [
    "",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "[10.1.0.0/16, \"2001:db8::/32\"]",
    "\"2001:db8::/32\"",
];

fn rule() -> impl Strategy<Value = String> {
    (
        select(&ACTIONS[..]),
        select(&SERVICES[..]),
        select(&ADDRESSES[..]),
        select(&ADDRESSES[..]),
        select(&["", "source_ports: 67", "source_ports: \"1024-65535\""][..]),
        select(&["", "", "interfaces: eth0", "interfaces: \"wan*\""][..]),
        select(&["", "", "vlan: 10", "vlan: none"][..]),
    )
        .prop_map(
            |(action, (service, ports), from, to, sources, interfaces, vlan)| {
                let mut fields = vec![action.to_owned(), service.to_owned()];
                for (key, addresses) in [("from", from), ("to", to)] {
                    if !addresses.is_empty() {
                        fields.push(format!("{key}: {addresses}"));
                    }
                }
                let sources = if ports { sources } else { "" };
                let others = [sources, interfaces, vlan];
                fields.extend(
                    others
                        .iter()
                        .filter(|own| !own.is_empty())
                        .map(|own| (*own).to_owned()),
                );
                fields.join(", ")
            },
        )
}

fn policy() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(rule(), 0..6),
        select(&["", "default: drop\n"][..]),
        select(&["", "", "essential: rules\n"][..]),
        select(&["", "fragments: drop\n", "fragments: { rate: 9/s }\n"][..]),
        select(
            &[
                "",
                "",
                "trusted: [10.1.0.0/16]\n",
                "trusted: [{ from: 10.0.0.0/8, interfaces: [eth0] }]\n",
            ][..],
        ),
    )
        .prop_map(|(rules, default, essential, fragments, trusted)| {
            let head = "version: 1\ninterfaces: [eth0, \"wan*\"]\n";
            let mut text = format!("{head}{default}{essential}{fragments}{trusted}rules:");
            if rules.is_empty() {
                text.push_str(" []");
            }
            for (number, rule) in rules.iter().enumerate() {
                text.push_str(&format!("\n  - {{ name: r{number}, {rule} }}"));
            }
            text + "\n"
        })
}

fn traffic() -> impl Strategy<Value = String> {
    const PROTOCOLS: [&str; 7] = ["", "tcp ", "udp ", "icmp ", "icmpv6/134 ", "igmp ", "gre "];
    const SOURCES: [&str; 4] = ["", "10.1.0.0/16", "192.0.2.9", "10.0.0.0/8"];
    (
        select(&PROTOCOLS[..]),
        select(&SOURCES[..]),
        select(&["", ":67"][..]),
        select(&SOURCES[..]),
        select(&["", "", ":22", ":68"][..]),
        select(&["", "", " via eth0"][..]),
        select(&["", "", " vlan 10", " vlan none"][..]),
    )
        .prop_map(|(protocol, source, sport, destination, port, via, vlan)| {
            format!("{protocol}{source}{sport} -> {destination}{port}{via}{vlan}")
        })
        .prop_filter("no such packets", |text| Traffic::parse(text).is_ok())
}

fn read(text: &str) -> (Policy, Tables) {
    let policy = accepted(text).policy;
    let tables = compiled(&policy).expect("fits");
    (policy, tables)
}

/// Judges a packet by its frame.
fn evaluate(tables: &Tables, packet: &Packet) -> Outcome {
    let interface = packet.interface.as_deref().unwrap_or("eth0");
    let evaluator = Evaluator::new(tables, interface, Stateless);
    evaluator.frame(&packet.frame()).expect("judged").outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_are_those_of_the_naive_way(old in policy(), new in policy()) {
        let (old, old_tables) = read(&old);
        let (new, new_tables) = read(&new);
        let mut expected: BTreeSet<[(Outcome, Effect); 2]> = BTreeSet::new();
        let mut limits: BTreeSet<[(Outcome, Effect); 2]> = BTreeSet::new();
        for packet in universe() {
            let both = [decide(&old, packet), decide(&new, packet)];
            if both[0].1 != both[1].1 {
                expected.insert(both);
            } else if matches!(both[0].1, Effect::Limit { .. }) {
                limits.insert(both);
            }
        }
        // What took its tokens in one place must not take them in two, nor the other way round.
        for own in &limits {
            let apart = |other: &[(Outcome, Effect); 2]| {
                (own[0].0 == other[0].0) != (own[1].0 == other[1].0)
            };
            if limits.iter().any(apart) {
                expected.insert(*own);
            }
        }
        let found = changes(&old_tables, &new_tables).expect("small");
        let pairs: BTreeSet<[(Outcome, Effect); 2]> = found
            .iter()
            .map(|own| [own.before, own.after].map(|own| (own.outcome, own.effect)))
            .collect();
        prop_assert_eq!(pairs, expected);
        for change in &found {
            let is_other = change.before.effect != change.after.effect;
            prop_assert_eq!(change.kind == ChangeKind::Effect, is_other);
            let mut example = change.example.clone();
            prop_assert_eq!(evaluate(&old_tables, &example), change.before.outcome, "{}", example);
            prop_assert_eq!(evaluate(&new_tables, &example), change.after.outcome, "{}", example);
            // Where no rule tells interfaces apart, the example names none.
            example.interface.get_or_insert_with(|| "eth0".to_owned());
            let decided = (change.before.outcome, change.before.effect);
            prop_assert_eq!(decide(&old, &example), decided, "{}", example);
        }
    }

    #[test]
    fn a_policy_does_what_it_does(own in policy()) {
        let (_, tables) = read(&own);
        prop_assert_eq!(changes(&tables, &tables), Ok(Vec::new()));
        prop_assert!(closed_udp_ports(&tables, &tables).is_empty());
    }

    #[test]
    fn assertions_fail_where_some_packet_breaks_them(
        rules in policy(),
        promises in prop::collection::vec((select(&["pass", "drop"][..]), traffic()), 1..5),
    ) {
        let mut text = format!("{rules}assert:\n");
        for (verdict, traffic) in &promises {
            text.push_str(&format!("  - {verdict}: \"{traffic}\"\n"));
        }
        let (policy, tables) = read(&text);
        let broken: BTreeSet<usize> = check_assertions(&policy, &tables)
            .iter()
            .map(|problem| problem.span.expect("a place").start)
            .collect();
        for assertion in &policy.assertions {
            let counterexample = universe().iter().find(|packet| {
                is_meant(&assertion.traffic, packet)
                    && decide(&policy, packet).1.passes() != (assertion.expected == Fate::Pass)
            });
            prop_assert_eq!(
                broken.contains(&assertion.span.start),
                counterexample.is_some(),
                "{}: {:?}",
                assertion.text,
                counterexample.map(ToString::to_string)
            );
        }
    }

    #[test]
    fn udp_ports_close_where_some_packet_is_cut(old in policy(), new in policy()) {
        let (old, old_tables) = read(&old);
        let (new, new_tables) = read(&new);
        let closed = closed_udp_ports(&old_tables, &new_tables);
        let mut expected: BTreeMap<u16, bool> = UDP_PORTS.map(|port| (port, false)).into();
        for packet in universe() {
            if let Payload::Ports { transport: Transport::Udp, destination, .. } = packet.payload
                && decide(&old, packet).1.passes()
                && !decide(&new, packet).1.passes()
            {
                expected.insert(destination, true);
            }
        }
        for (port, is_closed) in expected {
            prop_assert_eq!(closed.contains(port), is_closed, "port {}", port);
        }
    }

    #[test]
    fn sources_are_told_apart_as_the_naive_way_does(own in policy(), meant in traffic()) {
        let (policy, tables) = read(&own);
        let traffic = Traffic::parse(&meant).expect("traffic");
        let found = TrafficSurvey::new(&tables).by_source(std::slice::from_ref(&traffic)).expect("small");
        let mut expected: BTreeMap<IpAddr, BTreeSet<(Outcome, Effect)>> = BTreeMap::new();
        for packet in universe() {
            if is_meant(&traffic, packet) {
                let decided = expected.entry(packet.source).or_default();
                decided.insert(decide(&policy, packet));
            }
        }
        for (source, decided) in expected {
            let holding: Vec<_> = found
                .iter()
                .filter(|own| own.sources.iter().any(|prefix| prefix.contains(source)))
                .collect();
            prop_assert_eq!(holding.len(), 1, "{} is in one answer", source);
            let told: BTreeSet<(Outcome, Effect)> = holding[0]
                .decisions
                .iter()
                .map(|own| (own.outcome, own.effect))
                .collect();
            prop_assert_eq!(told, decided, "{} {}", meant, source);
        }
    }
}
