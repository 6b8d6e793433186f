//! "Rules".

use portguard_reference::model::{Outcome, judge};
use portguard_reference::policy::{
    Action, Policy, PortEntry, Ports, Protocol, ProtocolName, Rule, Service, Transport,
};

use crate::bytes::{ipv4, ipv6};

/// A rule that drops.
pub(crate) fn rule(name: &str, protocols: &[Protocol], ports: &[PortEntry]) -> Rule {
    Rule {
        protocols: protocols.to_vec(),
        ports: ports.to_vec(),
        ..Rule::new(name, Action::Drop)
    }
}

pub(crate) fn entry(ports: Ports, suffix: Option<Transport>) -> PortEntry {
    PortEntry { ports, suffix }
}

pub(crate) fn policy(rules: &[Rule]) -> Policy {
    Policy {
        rules: rules.to_vec(),
        ..Policy::default()
    }
}

/// Ports 5000 to this one.
fn segment(transport: Transport, port: u16) -> String {
    let tail = match transport {
        Transport::Tcp => "00000001 00000000 5002 0400 0000 0000",
        Transport::Udp => "0008 0000",
        Transport::Sctp => "00000000 00000000",
    };
    format!("1388 {port:04x} {tail}")
}

fn matched(rule: &Rule, frame: &[u8]) -> bool {
    match judge(&policy(std::slice::from_ref(rule)), frame).outcome {
        Outcome::Rule(_) => true,
        Outcome::DefaultPass | Outcome::LaterFragment => false,
        other => panic!("{other:?}"),
    }
}

/// Which protocols it matches on this port, in both families.
fn on(rule: &Rule, port: u16) -> Vec<Transport> {
    let matches = |&transport: &Transport| {
        let segment = segment(transport, port);
        let protocol = transport.protocol().number();
        let v4 = matched(rule, &ipv4(0, 64, protocol, &segment));
        let v6 = matched(rule, &ipv6(protocol, 64, &segment));
        assert_eq!(v4, v6);
        v4
    };
    Transport::ALL.into_iter().filter(matches).collect()
}

const TCP: Transport = Transport::Tcp;
const UDP: Transport = Transport::Udp;
const SCTP: Transport = Transport::Sctp;

fn named(transport: Transport) -> Protocol {
    Protocol::Name(transport.protocol())
}

#[test]
fn ports_mean_tcp_and_udp_unless_something_says_otherwise() {
    let plain = entry(Ports::Number(443), None);
    assert_eq!(on(&rule("r", &[], &[plain]), 443), [TCP, UDP]);
    assert_eq!(on(&rule("r", &[], &[plain]), 442), []);
    assert_eq!(on(&rule("r", &[], &[plain]), 444), []);
    assert_eq!(on(&rule("r", &[named(SCTP)], &[plain]), 443), [SCTP]);
    let list = [named(TCP), named(SCTP)];
    assert_eq!(on(&rule("r", &list, &[plain]), 443), [TCP, SCTP]);
    for suffix in Transport::ALL {
        let entry = entry(Ports::Number(443), Some(suffix));
        assert_eq!(on(&rule("r", &[], &[entry]), 443), [suffix]);
    }
    // The suffix fixes the protocol of its own entry alone.
    let mixed = [
        entry(Ports::Number(443), Some(UDP)),
        entry(Ports::Number(80), None),
    ];
    assert_eq!(on(&rule("r", &[], &mixed), 443), [UDP]);
    assert_eq!(on(&rule("r", &[], &mixed), 80), [TCP, UDP]);
}

#[test]
fn ranges_include_both_ends() {
    let range = rule("r", &[], &[entry(Ports::Range(8000, 8100), None)]);
    let hits: Vec<bool> = [7999, 8000, 8050, 8100, 8101]
        .map(|port| !on(&range, port).is_empty())
        .into();
    assert_eq!(hits, [false, true, true, true, false]);
    let one = rule("r", &[], &[entry(Ports::Range(80, 80), Some(TCP))]);
    assert_eq!(
        (on(&one, 79), on(&one, 80), on(&one, 81)),
        (vec![], vec![TCP], vec![])
    );
    let all = rule("r", &[], &[entry(Ports::Range(1, 65535), None)]);
    assert_eq!((on(&all, 0), on(&all, 65535)), (vec![], vec![TCP, UDP]));
}

#[test]
fn a_name_stands_for_the_protocols_that_it_has() {
    let name = |service, suffix| rule("r", &[], &[entry(Ports::Service(service), suffix)]);
    assert_eq!(on(&name(Service::Ssh, None), 22), [TCP]);
    assert_eq!(on(&name(Service::Domain, None), 53), [TCP, UDP]);
    assert_eq!(on(&name(Service::Domain, Some(UDP)), 53), [UDP]);
    let narrowed = rule(
        "r",
        &[named(UDP)],
        &[entry(Ports::Service(Service::Domain), None)],
    );
    assert_eq!(on(&narrowed, 53), [UDP]);
}

#[test]
fn any_port_includes_0_and_later_fragments() {
    let any = rule("r", &[], &[entry(Ports::Any, None)]);
    assert_eq!(on(&any, 0), [TCP, UDP]);
    assert!(matched(&any, &ipv4(2, 64, 6, "")));
    assert!(!matched(&any, &ipv4(2, 64, 132, "")));
    assert!(matched(&any, &ipv6(44, 64, "1100 0010 00000001")));
    assert!(!matched(&any, &ipv4(0, 64, 47, "")));
    let udp = rule("r", &[], &[entry(Ports::Any, Some(UDP))]);
    assert_eq!(on(&udp, 7), [UDP]);

    for ports in [
        Ports::Number(22),
        Ports::Range(1, 65535),
        Ports::Service(Service::Ssh),
    ] {
        let numbered = rule("r", &[], &[entry(ports, None)]);
        assert!(!matched(&numbered, &ipv4(2, 64, 6, &segment(TCP, 22))));
    }
}

#[test]
fn names_of_protocols_know_their_family_and_numbers_do_not() {
    let echo = "0800 0000 00000000";
    let echo6 = "8000 0000 00000000";
    let by = |protocol| rule("r", &[protocol], &[]);
    let icmp = by(Protocol::Name(ProtocolName::Icmp));
    let icmpv6 = by(Protocol::Name(ProtocolName::Icmpv6));
    for (rule, four, six) in [
        (&icmp, [true, false], [false, false]),
        (&icmpv6, [false, false], [false, true]),
        (&by(Protocol::Number(1)), [true, false], [true, false]),
        (&by(Protocol::Number(58)), [false, true], [false, true]),
    ] {
        let frames = [(1, echo), (58, echo6)];
        let v4 = frames.map(|(protocol, bytes)| matched(rule, &ipv4(0, 64, protocol, bytes)));
        let v6 = frames.map(|(protocol, bytes)| matched(rule, &ipv6(protocol, 64, bytes)));
        assert_eq!((v4, v6), (four, six));
    }
    for (name, number) in [
        (ProtocolName::Igmp, 2),
        (ProtocolName::Ipip, 4),
        (ProtocolName::Gre, 47),
        (ProtocolName::Esp, 50),
        (ProtocolName::Ah, 51),
    ] {
        assert!(matched(&by(Protocol::Name(name)), &ipv4(0, 64, number, "")));
        assert!(!matched(
            &by(Protocol::Name(name)),
            &ipv4(0, 64, number + 1, "")
        ));
    }
    // It is walked in IPv6, so what follows it counts.
    let ah = ipv6(51, 64, "0401 0000 00000000 00000000");
    assert!(!matched(&by(Protocol::Name(ProtocolName::Ah)), &ah));
    assert!(matched(&by(Protocol::Name(ProtocolName::Ipip)), &ah));
    assert!(matched(&by(Protocol::Any), &ah));
    // Where the walk ends, at a later fragment, the number can be left; the name still never matches.
    let later = ipv6(44, 64, "3300 0010 00000001");
    assert!(!matched(&by(Protocol::Name(ProtocolName::Ah)), &later));
    assert!(matched(&by(Protocol::Number(51)), &later));
    assert!(matched(&by(Protocol::Any), &ipv4(2, 64, 255, "")));
}
