//! Assertions: what they mean, and what is said when they fail.

use portguard_policy::{Problem, Severity, check_assertions};

use crate::common::{accepted, at, compiled, pointed};

/// The problems of a policy with these rules and assertions.
fn broken(head: &str, rules: &[&str], assertions: &[&str]) -> (String, Vec<Problem>) {
    let mut text = format!("version: 1\n{head}\nrules:\n");
    for rule in rules {
        text.push_str(&format!("  - {rule}\n"));
    }
    text.push_str("assert:\n");
    for assertion in assertions {
        text.push_str(&format!("  - {assertion}\n"));
    }
    let policy = accepted(&text).policy;
    let problems = check_assertions(&policy, &compiled(&policy).unwrap());
    (text, problems)
}

fn messages(head: &str, rules: &[&str], assertions: &[&str]) -> Vec<String> {
    let (_, problems) = broken(head, rules, assertions);
    problems.into_iter().map(|own| own.message).collect()
}

const ETH0: &str = "interfaces: [eth0]";
const ADMINS: &str = "{ name: admins, action: pass, ports: 22/tcp, from: 10.0.0.0/8 }";
const SSH: &str = "{ name: ssh, action: drop, ports: 22/tcp }";

#[test]
fn the_example_of_the_specification_holds() {
    let assertions = ["pass: tcp 10.1.2.3 -> :22", "drop: tcp 203.0.113.9 -> :22"];
    assert_eq!(messages(ETH0, &[ADMINS, SSH], &assertions), [""; 0]);
}

#[test]
fn a_failure_shows_a_packet_and_who_decided() {
    let assertions = ["pass: tcp 10.1.2.3 -> :22", "drop: tcp -> :22"];
    let (text, problems) = broken(ETH0, &[ADMINS, SSH], &assertions);
    let [problem] = &problems[..] else {
        panic!("{problems:#?}");
    };
    assert_eq!(problem.severity, Severity::Error);
    assert_eq!(
        problem.message,
        "the assertion fails: `tcp 10.0.0.1:40000 -> 192.0.2.1:22` is passed by rule `admins` (line 4)"
    );
    assert_eq!(at(&text, problem), (8, 11));
    assert_eq!(pointed(&text, problem), "tcp -> :22");
    assert_eq!(
        problem.label.as_deref(),
        Some("all of this must be dropped")
    );
    assert_eq!(problem.related.len(), 1);
    let span = problem.related[0].span;
    assert_eq!(&text[span.start..span.end], "admins");
}

#[test]
fn what_is_not_stated_means_every_value() {
    // Any protocol with ports, both families, port 0 as source.
    let all = "{ name: all, action: drop, ports: 22, protocol: [tcp, udp, sctp] }";
    assert_eq!(messages(ETH0, &[all], &["drop: -> :22"]), [""; 0]);
    let v4 = "{ name: v4, action: drop, ports: 22, protocol: [tcp, udp, sctp], from: 0.0.0.0/0 }";
    assert_eq!(
        messages(ETH0, &[v4], &["drop: -> :22", "drop: 0.0.0.0/0 -> :22"]),
        [
            "the assertion fails: `tcp [2001:db8::7]:40000 -> [2001:db8::1]:22` is passed by `default: pass`"
        ]
    );
    let two = "{ name: two, action: drop, ports: 22 }";
    assert_eq!(
        messages(ETH0, &[two], &["drop: -> :22"]),
        [
            "the assertion fails: `sctp 203.0.113.7:40000 -> 192.0.2.1:22` is passed by `default: pass`"
        ]
    );
    let ports = "{ name: ports, action: drop, ports: 22/tcp, source_ports: \"1-65535\" }";
    assert_eq!(
        messages(ETH0, &[ports], &["drop: tcp -> :22"]),
        ["the assertion fails: `tcp 203.0.113.7:0 -> 192.0.2.1:22` is passed by `default: pass`"]
    );
    let vlan = "{ name: vlan, action: drop, ports: 22/tcp, vlan: [10, none] }";
    let wanted = [
        "drop: tcp -> :22",
        "drop: tcp -> :22 vlan 10",
        "drop: tcp -> :22 vlan none",
    ];
    assert_eq!(
        messages(ETH0, &[vlan], &wanted),
        [
            "the assertion fails: `tcp 203.0.113.7:40000 -> 192.0.2.1:22 vlan 1` is passed by `default: pass`"
        ]
    );
}

#[test]
fn a_prefix_must_hold_as_a_whole() {
    let rules = ["{ name: half, action: drop, ports: 22/tcp, from: 10.0.0.0/9 }"];
    let assertions = ["drop: tcp 10.0.0.0/9 -> :22", "drop: tcp 10.0.0.0/8 -> :22"];
    assert_eq!(
        messages(ETH0, &rules, &assertions),
        [
            "the assertion fails: `tcp 10.128.0.1:40000 -> 192.0.2.1:22` is passed by `default: pass`"
        ]
    );
}

#[test]
fn a_limit_passes_and_a_reject_drops() {
    let rules = [
        "{ name: dns, action: limit, ports: 53/udp, rate: 1/s }",
        "{ name: ident, action: reject, ports: 113/tcp }",
        "{ name: counts, action: drop, ports: 80/tcp, enforce: false }",
    ];
    let assertions = ["pass: udp -> :53", "drop: tcp -> :113", "pass: tcp -> :80"];
    assert_eq!(messages(ETH0, &rules, &assertions), [""; 0]);
}

#[test]
fn essential_traffic_and_trusted_sources_pass() {
    let all = "{ name: all, action: drop, protocol: any }";
    let assertions = ["drop: tcp -> ", "drop: icmp -> ", "drop: icmpv6/134 ->"];
    assert_eq!(
        messages(ETH0, &[all], &assertions),
        [
            "the assertion fails: `icmp/3/0 203.0.113.7 -> 192.0.2.1` is passed by the exemption of essential traffic",
            "the assertion fails: `icmpv6/134/0 2001:db8::7 -> 2001:db8::1 hop-limit 255` is passed by the exemption of \
             essential traffic",
        ]
    );
    let trusting = "interfaces: [eth0]\ntrusted: [192.0.2.0/28]";
    assert_eq!(
        messages(
            trusting,
            &[all],
            &["drop: tcp -> :22", "pass: tcp 192.0.2.3 -> :22"]
        ),
        ["the assertion fails: `tcp 192.0.2.1:40000 -> 192.0.2.1:22` is passed by `trusted`"]
    );
    let off = "interfaces: [eth0]\nessential: rules";
    assert_eq!(messages(off, &[all], &assertions), [""; 0]);
}

#[test]
fn later_fragments_are_not_meant() {
    let head = "interfaces: [eth0]\nfragments: pass";
    let rules = ["{ name: web, action: drop, ports: \"1-65535\", protocol: tcp }"];
    let assertions = ["drop: tcp -> :80"];
    assert_eq!(messages(head, &rules, &assertions), [""; 0]);
}

#[test]
fn without_via_every_interface_is_meant() {
    let rule = "{ name: wan, action: drop, ports: 22/tcp, interfaces: \"wan*\" }";
    let both = "interfaces: [eth0, \"wan*\"]";
    let assertions = [
        "drop: tcp -> :22 via wan7",
        "pass: tcp -> :22 via eth0",
        "drop: tcp -> :22",
    ];
    assert_eq!(
        messages(both, &[rule], &assertions),
        [
            "the assertion fails: `tcp 203.0.113.7:40000 -> 192.0.2.1:22 via eth0` is passed by `default: pass`"
        ]
    );
    // Where all that is guarded is named, it holds.
    assert_eq!(
        messages("interfaces: [\"wan*\"]", &[rule], &["drop: tcp -> :22"]),
        [""; 0]
    );
    // A rule may name more than is guarded.
    let wide = "{ name: wide, action: drop, ports: 22/tcp, interfaces: [\"*n0\", \"e*\"] }";
    assert_eq!(
        messages("interfaces: [wan0, eth0]", &[wide], &["drop: tcp -> :22"]),
        [""; 0]
    );
    // Which interfaces the command line names is not known: some may be named by no rule.
    let open = "interfaces: [default-route]";
    assert_eq!(
        messages(open, &[rule], &["drop: tcp -> :22"]),
        [
            "the assertion fails: `tcp 203.0.113.7:40000 -> 192.0.2.1:22 via other0` is passed by `default: pass`"
        ]
    );
    // Of a glob more than its shortest name is looked at.
    let one = "{ name: one, action: drop, ports: 22/tcp, interfaces: wan }";
    assert_eq!(
        messages("interfaces: [\"wan*\"]", &[one], &["drop: tcp -> :22"]).len(),
        1
    );
}

#[test]
fn protocols_by_number_are_those_of_both_families() {
    let rules = ["{ name: gre, action: drop, protocol: [gre, 51] }"];
    // In IPv6 no packet has protocol 51: its header is walked.
    assert_eq!(
        messages(
            ETH0,
            &rules,
            &["drop: gre ->", "drop: 51 ->", "drop: gre ::/0 ->"]
        ),
        [""; 0]
    );
    let four = ["{ name: one, action: drop, protocol: icmp, types: [3, 11, 12] }"];
    assert_eq!(
        messages(
            ETH0,
            &four,
            &["drop: icmp/3 ->", "drop: icmp/11/1 ->", "drop: icmp/8 ->"]
        ),
        ["the assertion fails: `icmp/8/0 203.0.113.7 -> 192.0.2.1` is passed by `default: pass`"]
    );
}
