//! What is said of one packet.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "tests"
)]

#[path = "common/mod.rs"]
mod common;

use portguard_common::abi::Builtin;
use portguard_policy::{
    Description, Effect, Explanation, Outcome, Policy, Replies, Tables, TrafficError, explain,
};

use crate::common::tables;

const POLICY: &str = "\
version: 1
interfaces: [eth0, \"wan*\"]
default: drop
services: { app: 8443/tcp }
trusted: [10.9.0.0/16]
rules:
  - { name: admins, action: pass, ports: ssh, from: [10.0.0.0/8, \"2001:db8::/32\"] }
  - { name: watch, action: drop, ports: [20-25, app], enforce: false }
  - { name: ssh, action: limit, ports: 22/tcp, rate: 5/s, interfaces: eth0 }
  - { name: echo, action: reject, protocol: icmp, types: echo-request, vlan: [10, 20] }
  - { name: dns, action: pass, protocol: udp, ports: any, source_ports: domain }
  - { name: web, action: pass, ports: [80, 443], to: 192.0.2.0/28 }
";

fn explained(policy: &(Policy, Tables), text: &str) -> Explanation {
    let (policy, tables) = policy;
    let description = Description::parse(text, policy)
        .unwrap_or_else(|error| panic!("`{text}`: {error} ({})", error.hint));
    explain(policy, tables, &description).unwrap()
}

fn of(text: &str) -> Explanation {
    explained(&tables(POLICY), text)
}

/// The rules that nearly match, each with what keeps it.
fn near(own: &Explanation) -> Vec<(usize, Vec<String>)> {
    let near = own.near.iter();
    near.map(|own| {
        let mismatches = own.mismatches.iter().map(ToString::to_string);
        (own.rule, mismatches.collect())
    })
    .collect()
}

fn refusal(text: &str) -> TrafficError {
    let (policy, _) = tables(POLICY);
    match Description::parse(text, &policy) {
        Ok(read) => panic!("`{text}` is accepted: {read:?}"),
        Err(error) => error,
    }
}

#[test]
fn the_rule_that_decides_and_those_before_it() {
    let own = of("tcp 203.0.113.7:50555 -> 192.0.2.1:22 via eth0 vlan 10");
    assert_eq!(own.evaluation.outcome, Outcome::Rule(2));
    assert!(matches!(own.effect, Effect::Limit { .. }));
    assert_eq!(own.counted, [1]);
    let why = "`from` is 10.0.0.0/8, 2001:db8::/32, the packet has 203.0.113.7";
    assert_eq!(near(&own), [(0, vec![why.to_owned()])]);
    assert_eq!(own.replies, Some(Replies::NotTheFirst));
    // All of it is stated.
    let assumed: Vec<&str> = own.assumed.iter().map(|own| own.what).collect();
    assert_eq!(assumed, ["TCP flags"]);
    assert!(own.others.is_empty());
}

#[test]
fn each_field_that_keeps_a_rule_from_matching() {
    for (text, rule, why) in [
        (
            "tcp 203.0.113.7 -> 192.0.2.1:22 via wan0",
            2,
            "`interfaces` is eth0, the packet has wan0",
        ),
        (
            "udp 10.1.1.1 -> 192.0.2.1:22 via eth0",
            2,
            "`protocol` is tcp, the packet has udp",
        ),
        (
            "icmp/8 203.0.113.7 -> 192.0.2.1 via eth0",
            3,
            "`vlan` is 10, 20, the packet has none",
        ),
        (
            "udp 203.0.113.7:123 -> 192.0.2.1:5353 via eth0",
            4,
            "`source_ports` is 53/udp (domain), the packet has 123/udp (ntp)",
        ),
        (
            "tcp 203.0.113.7 -> 198.51.100.1:443 via eth0",
            5,
            "`to` is 192.0.2.0/28, the packet has 198.51.100.1",
        ),
        (
            "tcp 203.0.113.7 -> 192.0.2.1:8443 via eth0",
            5,
            "`ports` is 80/tcp (http), 443/tcp (https), 80/udp, 443/udp (https), the packet has 8443/tcp (app)",
        ),
        (
            "tcp 10.1.1.1 -> 192.0.2.1 fragment",
            0,
            "`ports` is 22/tcp (ssh), the packet has a later fragment of tcp",
        ),
    ] {
        let found = near(&of(text));
        let own = found.iter().find(|(own, _)| *own == rule);
        assert_eq!(
            own,
            Some(&(rule, vec![why.to_owned()])),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn a_rule_with_nothing_in_common_is_not_near() {
    assert_eq!(near(&of("gre 203.0.113.7 -> 198.51.100.1 via eth0")), []);
}

#[test]
fn essential_traffic_says_why_no_rule_takes_it() {
    let policy = tables(
        "version: 1\ninterfaces: [eth0]\nrules:\n  - { name: r, action: drop, protocol: icmpv6 }\n",
    );
    let own = explained(&policy, "icmpv6/neighbor-solicitation fe80::1 -> fe80::2");
    assert_eq!(own.evaluation.outcome, Outcome::Builtin(Builtin::Essential));
    assert_eq!(
        near(&own),
        [(
            0,
            vec![
                "it matches icmpv6, but icmpv6/135/0 (neighbor-solicitation) is essential traffic, which a rule must \
                 mean expressly"
                    .to_owned()
            ]
        )]
    );
    // With another hop limit a router may have forwarded it.
    let own = explained(&policy, "icmpv6/135 fe80::1 -> fe80::2 hop-limit 64");
    assert_eq!(own.evaluation.outcome, Outcome::Rule(0));
}

#[test]
fn no_rule_is_asked_about_a_trusted_source() {
    let own = of("tcp 10.9.1.1 -> 192.0.2.1:22 via eth0");
    assert_eq!(own.evaluation.outcome, Outcome::Builtin(Builtin::Trusted));
    assert!(own.near.is_empty() && own.counted.is_empty());
}

#[test]
fn what_is_not_stated_is_assumed_and_may_matter() {
    let own = of("tcp -> :ssh");
    assert_eq!(
        own.packet.to_string(),
        "tcp 203.0.113.7:40000 -> 192.0.2.1:22 via eth0"
    );
    let assumed: Vec<&str> = own.assumed.iter().map(|own| own.what).collect();
    assert_eq!(
        assumed,
        [
            "source address",
            "destination address",
            "source port",
            "interface",
            "VLAN",
            "TCP flags"
        ]
    );
    let others: Vec<Outcome> = own.others.iter().map(|own| own.decision.outcome).collect();
    for wanted in [
        Outcome::Rule(0),
        Outcome::Builtin(Builtin::Trusted),
        Outcome::Builtin(Builtin::DefaultDrop),
    ] {
        assert!(others.contains(&wanted), "{others:?}");
    }
    assert_eq!(others.len(), 3);
}

#[test]
fn numbers_have_names() {
    let names = |text: &str| -> Vec<(&str, String, String)> {
        let own = of(text).names.into_iter();
        own.map(|own| (own.what, own.value, own.name)).collect()
    };
    let owned = |what, value: &str, name: &str| (what, value.to_owned(), name.to_owned());
    assert_eq!(
        names("udp :domain -> :546"),
        [
            owned("destination port", "546/udp", "dhcpv6-client"),
            owned("source port", "53/udp", "domain")
        ]
    );
    // The policy's own name.
    assert_eq!(
        names("tcp -> :app"),
        [owned("destination port", "8443/tcp", "app")]
    );
    assert_eq!(names("icmp/11 ->"), [owned("type", "11", "time-exceeded")]);
    assert_eq!(names("icmpv6/3 ->"), [owned("type", "3", "time-exceeded")]);
    assert_eq!(names("gre ->"), []);
}

#[test]
fn which_packets_may_be_replies() {
    for (text, expected) in [
        (
            "tcp 203.0.113.7:443 -> 192.0.2.1:9",
            Some(Replies::NotTheFirst),
        ),
        ("udp 203.0.113.7:99 -> 192.0.2.1:9", Some(Replies::This)),
        (
            "icmp/echo-reply 203.0.113.7 -> 192.0.2.1",
            Some(Replies::This),
        ),
        ("icmp/echo-request 203.0.113.7 -> 192.0.2.1", None),
        ("sctp 203.0.113.7:99 -> 192.0.2.1:9", None),
        ("gre 203.0.113.7 -> 192.0.2.1", None),
        ("tcp 203.0.113.7 -> 192.0.2.1 fragment", None),
        // It passes.
        ("udp 203.0.113.7:53 -> 192.0.2.1:9", None),
    ] {
        assert_eq!(of(text).replies, expected, "{text}");
    }
    let policy =
        tables("version: 1\ninterfaces: [eth0]\nreplies: rules\ndefault: drop\nrules: []\n");
    assert_eq!(explained(&policy, "udp -> :9").replies, None);
}

#[test]
fn limits_count_attempts_of_tcp_alone() {
    let policy = tables(
        "version: 1\ninterfaces: [eth0]\nrules:\n  \
         - { name: r, action: limit, protocol: [tcp, udp], ports: any, rate: 5/s }\n",
    );
    let is_limited = |text: &str| matches!(explained(&policy, text).effect, Effect::Limit { .. });
    assert!(is_limited("tcp -> :80"));
    assert!(is_limited("udp -> fragment"));
    assert!(!is_limited("tcp -> fragment"));
}

#[test]
fn a_packet_that_cannot_be_read_is_refused_with_its_place() {
    for (text, pointed, message, hint) in [
        (
            "tcp -> :sssh",
            "sssh",
            "no service of `tcp` is called `sssh`",
            "did you mean `ssh`?",
        ),
        (
            "tcp :22",
            "tcp :22",
            "`tcp :22` has no `->`",
            "[fragment] [ttl N]",
        ),
        (
            "tcp -> :22 via",
            "via",
            "behind `via` the name of an interface is missing",
            "[fragment] [ttl N]",
        ),
        (
            "tcp -> :22 via eth7",
            "eth7",
            "the policy does not guard interface `eth7`",
            "`eth0` or `wan*`",
        ),
        (
            "tcp 10.1.2.3/8 -> :22",
            "10.1.2.3/8",
            "`10.1.2.3/8` has bits set behind its prefix",
            "`10.1.2.3`, or the prefix `10.0.0.0/8`",
        ),
        (
            "tcp -> :22 fragment",
            "fragment",
            "a later fragment has no port: only the first one does",
            "remove `fragment`",
        ),
        (
            "icmp/8 -> fragment",
            "fragment",
            "a later fragment has no type: only the first one does",
            "remove `fragment`",
        ),
        (
            "ah 2001:db8::7 ->",
            "ah 2001:db8::7 ->",
            "no packet of IPv6 has protocol 51",
            "name that protocol",
        ),
        (
            "tcp -> ttl 256",
            "256",
            "expected a number from 0 to 255, found `256`",
            "plain decimal",
        ),
        (
            "tcp -> ttl 1 hop-limit 2",
            "hop-limit",
            "`hop-limit` stands twice",
            "remove one",
        ),
        (
            "tcp -> fragment fragment",
            "fragment",
            "`fragment` stands twice",
            "remove one",
        ),
        (
            "tcp -> vlan 4096",
            "4096",
            "expected a VLAN ID or `none`, found `4096`",
            "1 to 4094",
        ),
    ] {
        let error = refusal(text);
        assert_eq!(&text[error.span.start..error.span.end], pointed, "{text}");
        assert_eq!(error.message, message);
        assert!(error.hint.contains(hint), "{text}: {}", error.hint);
    }
}

#[test]
fn an_assertion_is_of_whole_packets() {
    let text = "version: 1\ninterfaces: [eth0]\nrules: []\nassert:\n  - pass: tcp -> ";
    for word in ["fragment", "ttl", "hop-limit"] {
        common::assert_refused(
            &format!("{text}{word} 1\n"),
            &format!("an assertion says nothing of `{word}`"),
            "remove it",
            word,
        );
    }
}
