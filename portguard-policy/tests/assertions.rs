//! Descriptions of traffic, and the assertions of a policy.

mod common;

use std::net::IpAddr;

use common::*;
use portguard_policy::{Fate, Prefix, Severity, Traffic, TrafficProtocol, Transport};
use proptest::prelude::*;

fn traffic(text: &str) -> Traffic {
    Traffic::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn prefix(address: &str, length: u8) -> Option<Prefix> {
    let address: Result<IpAddr, _> = address.parse();
    Prefix::new(address.unwrap_or_else(|error| panic!("{error}")), length)
}

const TCP: Option<TrafficProtocol> = Some(TrafficProtocol::Transport(Transport::Tcp));

#[test]
fn the_examples_of_the_language() {
    assert_eq!(
        traffic("tcp 10.1.2.3 -> :22"),
        Traffic {
            protocol: TCP,
            source: prefix("10.1.2.3", 32),
            destination_port: Some(22),
            ..Traffic::default()
        }
    );
    assert_eq!(
        traffic("udp 192.0.2.0/24:53 -> 198.51.100.1:1024 via eth0 vlan 7"),
        Traffic {
            protocol: Some(TrafficProtocol::Transport(Transport::Udp)),
            source: prefix("192.0.2.0", 24),
            source_port: Some(53),
            destination: prefix("198.51.100.1", 32),
            destination_port: Some(1024),
            interface: Some("eth0".to_owned()),
            vlan: Some(7),
        }
    );
    assert_eq!(traffic("->"), Traffic::default());
}

#[test]
fn what_is_written_and_what_is_shown() {
    for (written, shown) in [
        ("->", "->"),
        ("  any  ->  ", "->"),
        ("tcp->:22", "tcp -> :22"),
        ("6 -> :22", "tcp -> :22"),
        ("tcp -> :ssh", "tcp -> :22"),
        ("udp -> :domain", "udp -> :53"),
        (":1024 -> :22", ":1024 -> :22"),
        ("192.0.2.1 ->", "192.0.2.1 ->"),
        ("192.0.2.1/32 -> 10.0.0.0/8", "192.0.2.1 -> 10.0.0.0/8"),
        ("10.1.2.3/8 ->", "10.0.0.0/8 ->"),
        ("2001:DB8::1 -> ::", "2001:db8::1 -> ::"),
        ("tcp -> ::22", "tcp -> ::22"),
        (
            "tcp [2001:db8::1] -> [2001:db8::/32]:22",
            "tcp 2001:db8::1 -> [2001:db8::/32]:22",
        ),
        ("icmp ->", "icmp ->"),
        ("icmp/echo-request ->", "icmp/8 ->"),
        ("icmp/3/4 -> 192.0.2.1", "icmp/3/4 -> 192.0.2.1"),
        ("icmpv6/packet-too-big ->", "icmpv6/2 ->"),
        ("1 ->", "1 ->"),
        ("58 ->", "58 ->"),
        ("47 ->", "gre ->"),
        ("ah ->", "ah ->"),
        ("igmp -> 224.0.0.1", "igmp -> 224.0.0.1"),
        ("255 ->", "255 ->"),
        ("-> vlan none", "-> vlan none"),
        ("-> vlan 4094 via wan0", "-> via wan0 vlan 4094"),
        ("sctp -> :9 via eth0.7", "sctp -> :9 via eth0.7"),
    ] {
        let read = traffic(written);
        assert_eq!(read.to_string(), shown, "{written}");
        assert_eq!(traffic(shown), read, "{written}");
    }
    assert_eq!(
        traffic("icmp/8 ->").protocol,
        Some(TrafficProtocol::Icmp {
            kind: Some(8),
            code: None
        })
    );
    assert_eq!(traffic("1 ->").protocol, Some(TrafficProtocol::Number(1)));
    assert_eq!(traffic("-> vlan none").vlan, Some(0));
}

#[test]
fn wrong_descriptions_are_told_with_their_place() {
    for (written, message, hint, place) in [
        (
            "tcp 10.1.2.3 :22",
            "`tcp 10.1.2.3 :22` has no `->`",
            "[SOURCE]",
            "tcp 10.1.2.3 :22",
        ),
        ("", "`` has no `->`", "[SOURCE]", ""),
        (
            "tpc -> :22",
            "expected a protocol, found `tpc`",
            "`tcp`",
            "tpc",
        ),
        (
            "TCP -> :22",
            "expected a protocol, found `TCP`",
            "`tcp`",
            "TCP",
        ),
        (
            "256 -> ",
            "expected a protocol, found `256`",
            "[PROTOCOL]",
            "256",
        ),
        (
            "tcp 1.2.3 -> :22",
            "expected an address or a prefix, found `1.2.3`",
            "`1.2.3.0`",
            "1.2.3",
        ),
        (
            "tcp 010.0.0.1 ->",
            "the octet `010` of `010.0.0.1` has leading zeros",
            "`10.0.0.1`",
            "010.0.0.1",
        ),
        (
            "tcp any -> :22",
            "`any` is no address",
            "leave it out",
            "any",
        ),
        ("tcp a b -> :22", "`b` is unexpected here", "[SOURCE]", "b"),
        (
            "tcp -> :22 udp",
            "`udp` is unexpected here",
            "[via INTERFACE]",
            "udp",
        ),
        (
            "tcp -> 22",
            "expected an address or a prefix, found `22`",
            "four octets",
            "22",
        ),
        ("tcp -> :0", "expected a port, found `0`", "1 to 65535", "0"),
        (
            "tcp -> :65536",
            "expected a port, found `65536`",
            "1 to 65535",
            "65536",
        ),
        (
            "tcp -> :022",
            "expected a port, found `022`",
            "1 to 65535",
            "022",
        ),
        ("tcp -> :", "expected a port, found ``", "1 to 65535", ""),
        (
            "tcp -> :22-23",
            "expected a port, found `22-23`",
            "1 to 65535",
            "22-23",
        ),
        (
            "tcp -> :sssh",
            "no service of `tcp` is called `sssh`",
            "`ssh`",
            "sssh",
        ),
        (
            "udp -> :ssh",
            "no service of `udp` is called `ssh`",
            "",
            "ssh",
        ),
        (
            "-> :ssh",
            "the name `ssh` needs a protocol",
            "`tcp -> :ssh`",
            "ssh",
        ),
        (
            "icmp -> :22",
            "protocol `icmp` has no ports",
            "remove the port",
            "22",
        ),
        (
            "gre 192.0.2.1:5 ->",
            "protocol `gre` has no ports",
            "remove the port",
            "5",
        ),
        (
            "tcp/8 ->",
            "expected a protocol, found `tcp/8`",
            "`icmp/echo-request`",
            "tcp/8",
        ),
        (
            "icmp/echo ->",
            "no type of ICMP is called `echo`",
            "`echo-reply`",
            "echo",
        ),
        (
            "icmp/packet-too-big ->",
            "no type of ICMP is called `packet-too-big`",
            "0 to 255",
            "packet-too-big",
        ),
        (
            "icmp/8/256 ->",
            "the code `256` is no number from 0 to 255",
            "decimal",
            "256",
        ),
        ("icmp/ ->", "no type of ICMP is called ``", "0 to 255", ""),
        (
            "[2001:db8::]/32:22 ->",
            "expected `:` and a port, found `/32:22`",
            "`[2001:db8::/32]:22`",
            "/32:22",
        ),
        (
            "[2001:db8::1 ->",
            "`[2001:db8::1` has a `[` without its `]`",
            "`[2001:db8::1]:22`",
            "[2001:db8::1",
        ),
        (
            "::ffff:192.0.2.1 ->",
            "`::ffff:192.0.2.1` is IPv4 written as IPv6 (IPv4-mapped)",
            "`192.0.2.1`",
            "::ffff:192.0.2.1",
        ),
        (
            "tcp 192.0.2.1 -> 2001:db8::1",
            "no packet is like this: it holds IPv4 and IPv6",
            "one family",
            "tcp 192.0.2.1 -> 2001:db8::1",
        ),
        (
            "icmp -> 2001:db8::1 ",
            "no packet is like this: it holds IPv4 and IPv6",
            "`icmp` is IPv4",
            "icmp -> 2001:db8::1",
        ),
        (
            "icmpv6 192.0.2.1 ->",
            "no packet is like this: it holds IPv4 and IPv6",
            "`icmpv6` IPv6",
            "icmpv6 192.0.2.1 ->",
        ),
        (
            "-> via",
            "behind `via` the name of an interface is missing",
            "[via INTERFACE]",
            "via",
        ),
        (
            "-> via eth*",
            "`eth*` is no name of one interface",
            "its name",
            "eth*",
        ),
        (
            "-> via default-route",
            "`default-route` is no name of one interface",
            "its name",
            "default-route",
        ),
        (
            "-> via a/b",
            "`a/b` cannot be an interface",
            "no `/`",
            "a/b",
        ),
        ("-> via a via b", "`via` stands twice", "remove", "via"),
        (
            "-> vlan",
            "behind `vlan` a VLAN ID or `none` is missing",
            "[vlan N]",
            "vlan",
        ),
        (
            "-> vlan 0",
            "expected a VLAN ID or `none`, found `0`",
            "1 to 4094",
            "0",
        ),
        (
            "-> vlan 4095",
            "expected a VLAN ID or `none`, found `4095`",
            "1 to 4094",
            "4095",
        ),
        ("-> vlan 1 vlan 2", "`vlan` stands twice", "remove", "vlan"),
    ] {
        let error = Traffic::parse(written).expect_err(written);
        assert_eq!(error.message, message, "{written}");
        assert!(error.hint.contains(hint), "{error:?}");
        let span = error.span;
        assert_eq!(&written[span.start..span.end], place, "{written}");
    }
    let error = Traffic::parse("-> via a via b").expect_err("twice");
    assert_eq!(error.span.start, 9);
}

fn asserting(list: &str) -> String {
    format!(
        "version: 1\ninterfaces: [eth0]\nservices: {{ app: 8443/tcp, mesh: 1-2/tcp }}\nrules: []\nassert:\n{list}"
    )
}

#[test]
fn assertions_of_a_policy() {
    let text = asserting(
        "  - pass: tcp 10.1.2.3 -> :22\n  - drop: \"tcp [2001:db8::1]:1024 -> :app via eth0\"\n",
    );
    let checked = accepted(&text);
    assert!(checked.warnings.is_empty());
    let [first, second] = checked.policy.assertions.as_slice() else {
        panic!("{checked:?}");
    };
    assert_eq!((first.expected, first.place.line), (Fate::Pass, 6));
    assert_eq!(first.text, "tcp 10.1.2.3 -> :22");
    assert_eq!(first.traffic, traffic("tcp 10.1.2.3 -> :22"));
    assert_eq!(&text[first.span.start..first.span.end], first.text);
    assert_eq!((second.expected, second.place.line), (Fate::Drop, 7));
    assert_eq!(second.traffic.destination_port, Some(8443));

    let text = asserting("  - pass: -> :80\n");
    assert_eq!(
        accepted(&text).policy.assertions[0].traffic,
        traffic("-> :80")
    );
    assert!(
        accepted("version: 1\nrules: []\n")
            .policy
            .assertions
            .is_empty()
    );
    let text = asserting("  - pass: tcp 10.1.2.3/8 ->\n");
    let warning = &accepted(&text).warnings[0];
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(
        warning.message,
        "`10.1.2.3/8` has bits set behind its prefix"
    );
    assert_eq!(at(&text, warning), (6, 15));
}

#[test]
fn wrong_assertions_are_told_with_their_place() {
    for (list, message, hint, pointed, place) in [
        (
            "  - pass: tpc -> :22\n",
            "expected a protocol, found `tpc`",
            "`tcp`",
            "tpc",
            (6, 11),
        ),
        (
            "  - pass: 'tcp -> :0'\n",
            "expected a port, found `0`",
            "1 to 65535",
            "0",
            (6, 20),
        ),
        (
            "  - pass: \"tcp\\t-> :0\"\n",
            "expected a port, found `0`",
            "1 to 65535",
            "\"tcp\\t-> :0\"",
            (6, 11),
        ),
        (
            "  - pass: tcp -> :mesh\n",
            "`mesh` stands for several ports",
            "a number",
            "mesh",
            (6, 19),
        ),
        (
            "  - pass: -> via eth1\n",
            "the policy guards no interface `eth1`",
            "`eth0`",
            "eth1",
            (6, 18),
        ),
        (
            "  - tcp -> :22\n",
            "an assertion is a verdict with its traffic, found `tcp -> :22`",
            "`- pass:",
            "tcp -> :22",
            (6, 5),
        ),
        (
            "  - reject: -> :22\n",
            "an assertion has no key `reject`",
            "a `reject` as drop",
            "reject",
            (6, 5),
        ),
        (
            "  - pass: -> :22\n    drop: -> :23\n",
            "an assertion has one verdict",
            "its own `-`",
            "drop",
            (7, 5),
        ),
        (
            "  - {}\n",
            "an assertion has no verdict",
            "`- pass:",
            "{}",
            (6, 5),
        ),
        (
            "  - pass: [a]\n",
            "an assertion speaks of traffic, found a list",
            "needs quotes",
            "[a]",
            (6, 11),
        ),
        (
            "  []\n",
            "`assert` is an empty list",
            "write a value",
            "[]",
            (6, 3),
        ),
    ] {
        let text = asserting(list);
        assert_refused(&text, message, hint, pointed);
        assert_eq!(at(&text, &only_problem(&text)), place, "{list}");
    }
}

fn any_prefix(ipv4: bool) -> impl Strategy<Value = Option<Prefix>> {
    let prefix = (any::<u128>(), any::<u8>()).prop_map(move |(bits, length)| {
        if ipv4 {
            Prefix::new(IpAddr::V4((bits as u32).into()), length % 33)
        } else {
            Prefix::new(IpAddr::V6((bits | 1 << 125).into()), length % 129)
        }
    });
    prop_oneof![Just(None), prefix]
}

fn any_traffic() -> impl Strategy<Value = Traffic> {
    let port = || prop::option::of(1_u16..);
    (any::<bool>(), any::<u8>()).prop_flat_map(move |(ipv4, number)| {
        let transport = Transport::from_number(number);
        let protocol = match number {
            0..=99 => None,
            _ => {
                Some(transport.map_or(TrafficProtocol::Number(number), TrafficProtocol::Transport))
            }
        };
        let has_ports = protocol.is_none_or(TrafficProtocol::has_ports);
        let keep = move |port: Option<u16>| port.filter(|_| has_ports);
        (
            (any_prefix(ipv4), any_prefix(ipv4)),
            (port(), port()),
            prop::option::of("[a-z][a-z0-9.]{0,14}"),
            prop::option::of(0_u16..4095),
        )
            .prop_map(
                move |((source, destination), ports, interface, vlan)| Traffic {
                    protocol,
                    source,
                    source_port: keep(ports.0),
                    destination,
                    destination_port: keep(ports.1),
                    interface,
                    vlan,
                },
            )
    })
}

proptest! {
    #[test]
    fn what_is_shown_reads_back_as_the_same(traffic in any_traffic()) {
        prop_assert_eq!(Traffic::parse(&traffic.to_string()), Ok(traffic));
    }

    #[test]
    fn no_text_does_harm(text in ".{0,40}") {
        if let Err(error) = Traffic::parse(&text) {
            prop_assert!(text.get(error.span.start..error.span.end).is_some());
        }
    }

    #[test]
    fn nothing_like_traffic_does_harm(text in "[a-z0-9:./\\[\\] ]{0,12}->[a-z0-9:./\\[\\] ]{0,20}") {
        if let Err(error) = Traffic::parse(&text) {
            prop_assert!(text.get(error.span.start..error.span.end).is_some());
        }
    }
}
