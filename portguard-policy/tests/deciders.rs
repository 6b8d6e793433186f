//! What decides the packets to some ports, and what rules match in words.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

use portguard_common::abi::Builtin;
use portguard_policy::{
    NoFiles, Outcome, Policy, PortRange, PortsError, Prefix, Tables, Transport, check, compile,
    deciders, parse_ports,
};

fn policy(rules: &str) -> (Policy, Tables) {
    let text = format!(
        "version: 1\ninterfaces: [eth0]\nservices: {{ app: [8443/tcp, 9000-9001/udp] }}\n{rules}"
    );
    let policy = check(&text, &mut NoFiles).expect("a policy").policy;
    let tables = compile(&policy, &["eth0"]).expect("tables");
    (policy, tables)
}

/// Names of what decides: of rules, and of outcomes.
fn named(rules: &str, (low, high): (u16, u16), from: Option<Prefix>) -> Vec<String> {
    let (policy, tables) = policy(rules);
    let found = deciders(&tables, Transport::Tcp, PortRange { low, high }, from).expect("told");
    let mut names: Vec<String> = found
        .iter()
        .map(|(decision, packet)| {
            let text = packet.to_string();
            assert!(text.starts_with("tcp "), "{text}");
            match decision.outcome {
                Outcome::Rule(index) => policy.rules[index].name.clone(),
                Outcome::Builtin(builtin) => builtin.name().to_owned(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    names.sort_unstable();
    names
}

const RULES: &str = "\
rules:
  - { name: admins, action: pass, ports: [22/tcp], from: 10.0.0.0/8 }
  - { name: ssh, action: drop, ports: [22/tcp] }
  - { name: high, action: reject, ports: [100-200/tcp] }
  - { name: udp, action: drop, ports: [22/udp] }
";

#[test]
fn everything_that_decides_is_told_once() {
    let default = Builtin::DefaultPass.name();
    assert_eq!(named(RULES, (22, 22), None), ["admins", "ssh"]);
    assert_eq!(named(RULES, (23, 23), None), [default]);
    assert_eq!(
        named(RULES, (22, 150), None),
        ["admins", default, "high", "ssh"]
    );
    let prefix = |text: &str, length| Prefix::new(text.parse().expect("an address"), length);
    assert_eq!(named(RULES, (22, 22), prefix("10.1.0.0", 16)), ["admins"]);
    assert_eq!(named(RULES, (22, 22), prefix("192.0.2.0", 24)), ["ssh"]);
    assert_eq!(named(RULES, (22, 22), prefix("2001:db8::", 32)), ["ssh"]);
    let trusting = format!("trusted: 192.0.2.0/28\n{RULES}");
    assert_eq!(
        named(&trusting, (22, 22), None),
        ["admins", "ssh", "trusted"]
    );
}

#[test]
fn ports_stand_alone_as_in_a_rule() {
    let (policy, _) = policy("rules: []\n");
    let parse = |text: &str| parse_ports(text, &policy.services);
    let one = |transport, low, high| (transport, PortRange { low, high });
    let both = |port| {
        vec![
            one(Transport::Tcp, port, port),
            one(Transport::Udp, port, port),
        ]
    };
    assert_eq!(parse("25/tcp"), Ok(vec![one(Transport::Tcp, 25, 25)]));
    assert_eq!(parse("25"), Ok(both(25)));
    assert_eq!(
        parse("6000-6063/tcp"),
        Ok(vec![one(Transport::Tcp, 6000, 6063)])
    );
    assert_eq!(parse("smtp"), Ok(vec![one(Transport::Tcp, 25, 25)]));
    assert_eq!(parse("68/udp"), Ok(vec![one(Transport::Udp, 68, 68)]));
    let app = vec![
        one(Transport::Tcp, 8443, 8443),
        one(Transport::Udp, 9000, 9001),
    ];
    assert_eq!(parse("app"), Ok(app));
    let refused = |text| {
        let PortsError { message, hint } = parse(text).expect_err(text);
        assert!(!hint.is_empty(), "{text}");
        message
    };
    assert_eq!(refused("smpt"), "no service is called `smpt`");
    assert_eq!(refused("0"), "the port `0` is out of range");
    assert_eq!(
        refused("25/tpc"),
        "the protocol of a port is `tcp`, `udp` or `sctp`, found `tpc`"
    );
    assert_eq!(
        refused("any"),
        "`any` is every port, and no port is meant so"
    );
    assert!(refused("").starts_with("expected a port"));
}

#[test]
fn what_a_rule_matches_is_told_in_words() {
    let (policy, _) = policy(
        "rules:
  - { name: a, action: drop, ports: [ssh, 8000-8100, 53/udp] }
  - { name: b, action: pass, protocol: any, from: [10.0.0.0/8, \"2001:db8::/32\"], to: 192.0.2.1 }
  - { name: c, action: drop, protocol: icmp, types: [echo-request] }
  - { name: d, action: drop, ports: 1/tcp, source_ports: 2/tcp, interfaces: eth0, vlan: [7, none] }
  - { name: e, action: drop, ports: [1/tcp, 3/tcp, 5/tcp, 7/tcp, 9/tcp] }
",
    );
    let words: Vec<String> = policy.rules.iter().map(|rule| policy.words(rule)).collect();
    assert_eq!(words[0], "22/tcp (ssh), 8000-8100/tcp+udp, 53/udp (domain)");
    assert_eq!(words[1], "any from 10.0.0.0/8, 2001:db8::/32 to 192.0.2.1");
    assert_eq!(words[2], "icmp/8 (echo-request)");
    assert!(
        words[3].starts_with("1/tcp (tcpmux) from port 2/tcp"),
        "{}",
        words[3]
    );
    assert!(
        words[3].ends_with(" on eth0 in VLAN none, 7")
            || words[3].ends_with(" on eth0 in VLAN 7, none"),
        "{}",
        words[3]
    );
    assert!(words[4].ends_with(", …"), "{}", words[4]);
}
