//! The other fields of "A rule": addresses, source ports, types, interfaces, VLANs.

use std::net::IpAddr;

use portguard_reference::model::{Model, Outcome, judge};
use portguard_reference::policy::{
    Action, AddressEntry, Policy, Ports, Prefix, Protocol, ProtocolName, Rule, Set, SetPlace,
    Transport, TypeEntry, TypeKind, TypeName, Vlan,
};

use crate::bytes::{IPV4_TCP, TCP_22, frame, ipv4, ipv6, tcp, udp};
use crate::rules::{entry, policy};

pub(crate) fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').expect("a length");
    Prefix::new(address.parse().unwrap(), length.parse().unwrap())
}

pub(crate) fn from(prefixes: &[&str]) -> Vec<AddressEntry> {
    prefixes
        .iter()
        .map(|text| AddressEntry::Prefix(prefix(text)))
        .collect()
}

pub(crate) fn drops(name: &str) -> Rule {
    Rule::new(name, Action::Drop)
}

fn matched(rule: &Rule, frame: &[u8]) -> bool {
    let judgement = judge(&policy(std::slice::from_ref(rule)), frame);
    judgement.outcome == Outcome::Rule(rule.name.clone())
}

#[test]
fn prefixes_have_ends() {
    let within = |text: &str, address: &str| {
        prefix(text).contains(address.parse::<IpAddr>().expect("an address"))
    };
    for (text, inside, outside) in [
        (
            "10.0.0.0/8",
            ["10.0.0.0", "10.255.255.255"],
            ["9.255.255.255", "11.0.0.0"],
        ),
        (
            "192.0.2.6/31",
            ["192.0.2.6", "192.0.2.7"],
            ["192.0.2.5", "192.0.2.8"],
        ),
        (
            "192.0.2.1/32",
            ["192.0.2.1", "192.0.2.1"],
            ["192.0.2.0", "192.0.2.2"],
        ),
        (
            "2001:db8::/63",
            ["2001:db8::", "2001:db8:0:1:ffff:ffff:ffff:ffff"],
            ["2001:db8:0:2::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"],
        ),
        (
            "2001:db8::/65",
            ["2001:db8::", "2001:db8::7fff:ffff:ffff:ffff"],
            ["2001:db8::8000:0:0:0", "::"],
        ),
        (
            "2001:db8::1/128",
            ["2001:db8::1", "2001:db8::1"],
            ["2001:db8::", "2001:db8::2"],
        ),
    ] {
        assert!(inside.iter().all(|address| within(text, address)), "{text}");
        assert!(
            !outside.iter().any(|address| within(text, address)),
            "{text}"
        );
    }
    // All of a family, and nothing of the other.
    assert!(within("0.0.0.0/0", "255.255.255.255") && within("::/0", "ffff::"));
    assert!(!within("0.0.0.0/0", "::") && !within("::/0", "0.0.0.0"));
    // Host bits are masked.
    assert_eq!(prefix("10.1.2.3/8"), prefix("10.0.0.0/8"));
    // Compared literally: a mapped address is one of IPv6.
    assert!(!within("192.0.2.1/32", "::ffff:192.0.2.1"));
}

#[test]
fn from_and_to() {
    let (v4, v6) = (ipv4(0, 64, 47, ""), ipv6(47, 64, ""));
    let rule = Rule {
        from: from(&["192.0.2.1/32", "2001:db8::1/128"]),
        ..drops("from")
    };
    assert!(matched(&rule, &v4) && matched(&rule, &v6));
    let rule = Rule {
        to: from(&["192.0.2.1/32", "2001:db8::1/128"]),
        ..drops("to")
    };
    assert!(!matched(&rule, &v4) && !matched(&rule, &v6));
    let both = Rule {
        from: from(&["192.0.2.1/32"]),
        to: from(&["192.0.2.2/32"]),
        ..drops("both")
    };
    assert!(matched(&both, &v4) && !matched(&both, &v6));
    // A later fragment has addresses.
    assert!(matched(&both, &ipv4(2, 64, 6, "")));
}

#[test]
fn sets() {
    let rule = Rule {
        from: vec![AddressEntry::Set("some".to_owned())],
        ..drops("set")
    };
    let with = |prefixes: &[&str], place| Policy {
        sets: vec![Set {
            name: "some".to_owned(),
            prefixes: prefixes.iter().map(|text| prefix(text)).collect(),
            place,
        }],
        ..policy(std::slice::from_ref(&rule))
    };
    let outcome = |policy: &Policy| judge(policy, &ipv4(0, 64, 47, "")).outcome;
    for place in [SetPlace::Inline, SetPlace::File] {
        let hit = with(&["10.0.0.0/8", "192.0.2.0/24"], place);
        assert_eq!(outcome(&hit), Outcome::Rule("set".to_owned()));
    }
    // An empty one matches nothing; it is no missing condition.
    let empty = with(&[], SetPlace::File);
    assert_eq!(outcome(&empty), Outcome::DefaultPass);
}

#[test]
fn source_ports() {
    let numbered = Rule {
        source_ports: vec![entry(Ports::Range(123, 124), None)],
        ..drops("source")
    };
    assert!(matched(&numbered, &ipv4(0, 64, 17, &udp(123, 9, 0))));
    assert!(matched(&numbered, &ipv4(0, 64, 6, &tcp(124, 9, 2))));
    assert!(!matched(&numbered, &ipv4(0, 64, 17, &udp(9, 123, 0))));
    assert!(!matched(&numbered, &ipv4(0, 64, 17, &udp(125, 9, 0))));
    // TCP and UDP alone, and no later fragment.
    let sctp = "007b 0050 00000000 00000000";
    assert!(!matched(&numbered, &ipv4(0, 64, 132, sctp)));
    assert!(!matched(&numbered, &ipv4(2, 64, 17, "")));

    let both = Rule {
        protocols: vec![Protocol::Name(ProtocolName::Udp)],
        ports: vec![entry(Ports::Any, None)],
        source_ports: vec![entry(Ports::Number(53), Some(Transport::Udp))],
        ..drops("both")
    };
    assert!(matched(&both, &ipv6(17, 64, &udp(53, 0, 0))));
    assert!(!matched(&both, &ipv6(6, 64, &tcp(53, 0, 2))));
    assert!(!matched(&both, &ipv6(17, 64, &udp(54, 53, 0))));
}

#[test]
fn types() {
    let typed = |protocols: &[ProtocolName], kind, code| Rule {
        protocols: protocols.iter().copied().map(Protocol::Name).collect(),
        types: vec![TypeEntry { kind, code }],
        ..drops("type")
    };
    let v4 = |kind: u8, code: u8| ipv4(0, 64, 1, &format!("{kind:02x}{code:02x} 0000 00000000"));
    let v6 = |kind: u8, code: u8| ipv6(58, 64, &format!("{kind:02x}{code:02x} 0000 00000000"));
    let icmp = typed(&[ProtocolName::Icmp], TypeKind::Number(0), None);
    assert!(matched(&icmp, &v4(0, 0)) && matched(&icmp, &v4(0, 9)));
    assert!(!matched(&icmp, &v4(1, 0)) && !matched(&icmp, &v6(0, 0)));
    let coded = typed(&[ProtocolName::Icmp], TypeKind::Number(5), Some(1));
    assert!(matched(&coded, &v4(5, 1)) && !matched(&coded, &v4(5, 0)));
    // Each in its own registry.
    let both = [ProtocolName::Icmp, ProtocolName::Icmpv6];
    let echo = typed(&both, TypeKind::Name(TypeName::EchoRequest), None);
    assert!(matched(&echo, &v4(8, 0)) && matched(&echo, &v6(128, 0)));
    assert!(!matched(&echo, &v4(128, 0)) && !matched(&echo, &v6(8, 0)));
    // A later fragment has no type, a first one has.
    assert!(!matched(&icmp, &ipv4(2, 64, 1, "0000 0000 00000000")));
    assert!(matched(&icmp, &ipv4(0x2000, 64, 1, "0000 0000 00000000")));
}

#[test]
fn types_mean_essential_traffic() {
    let typed = |kind, code| Rule {
        protocols: vec![Protocol::Name(ProtocolName::Icmpv6)],
        types: vec![TypeEntry { kind, code }],
        ..drops("type")
    };
    let advertisement = ipv6(58, 255, "8600 0000 00000000");
    assert!(matched(&typed(TypeKind::Number(134), None), &advertisement));
    let named = TypeKind::Name(TypeName::RouterAdvertisement);
    assert!(matched(&typed(named, None), &advertisement));
    assert!(matched(&typed(named, Some(0)), &advertisement));
    assert!(!matched(&typed(named, Some(1)), &advertisement));
    assert!(!matched(
        &typed(TypeKind::Number(133), None),
        &advertisement
    ));
    let all = Rule {
        protocols: vec![Protocol::Name(ProtocolName::Icmpv6)],
        ..drops("all")
    };
    assert!(!matched(&all, &advertisement));
    assert!(matched(&all, &ipv6(58, 64, "8600 0000 00000000")));
}

#[test]
fn interfaces() {
    let arrives = |patterns: &[&str], interface: &str| {
        let rule = Rule {
            interfaces: patterns.iter().map(|&name| name.to_owned()).collect(),
            ..drops("here")
        };
        let mut model = Model::new(policy(&[rule]));
        model.arrives(interface, &ipv4(0, 64, 47, ""), 0).dropped
    };
    for (pattern, names, others) in [
        ("eth0", ["eth0", "eth0"], ["eth1", "eth00"]),
        ("wan*", ["wan", "wan0.7"], ["xwan0", "wa"]),
        ("wan?", ["wan0", "wanx"], ["wan", "wan10"]),
        ("wan[0-3x]", ["wan3", "wanx"], ["wan4", "wan-"]),
        ("*0", ["eth0", "0"], ["eth01", "eth"]),
    ] {
        assert!(
            names.iter().all(|name| arrives(&[pattern], name)),
            "{pattern}"
        );
        assert!(
            !others.iter().any(|name| arrives(&[pattern], name)),
            "{pattern}"
        );
    }
    assert!(arrives(&["eth0", "wan*"], "wan1"));
}

#[test]
fn vlans() {
    let tagged = |tags: &str| frame(&[tags, "0800", IPV4_TCP, TCP_22]);
    let on = |vlans: &[Vlan], tags: &str| {
        let rule = Rule {
            vlans: vlans.to_vec(),
            ..drops("vlan")
        };
        matched(&rule, &tagged(tags))
    };
    let ten = [Vlan::Id(10)];
    assert!(on(&ten, "8100 000a"));
    assert!(on(&ten, "8100 e000 88a8 600a"));
    assert!(on(&ten, "8100 000a 8100 000b"));
    assert!(!on(&ten, "8100 000b 8100 000a") && !on(&ten, "") && !on(&ten, "8100 0000"));
    let none = [Vlan::None];
    assert!(on(&none, "") && on(&none, "8100 e000"));
    assert!(!on(&none, "8100 0001") && !on(&none, "8100 0fff"));
    assert!(on(&[Vlan::None, Vlan::Id(4094)], "8100 0ffe"));
}
