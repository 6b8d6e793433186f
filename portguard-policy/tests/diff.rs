//! What two policies do differently.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "tests"
)]

#[path = "common/mod.rs"]
mod common;

use portguard_common::abi::Builtin;
use portguard_policy::{ChangeKind, Difference, Effect, Outcome, diff};

use crate::common::tables;

const HEAD: &str = "version: 1\n";

fn differ(old: &str, new: &str) -> Difference {
    let [old, new] = [old, new].map(|own| tables(&format!("{HEAD}{own}")));
    diff((&old.0, &old.1), (&new.0, &new.1)).unwrap()
}

fn with(rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|own| format!("  - {own}\n")).collect();
    format!("interfaces: [eth0, \"wan*\"]\nrules:\n{rules}")
}

/// What changes, with its example.
fn changes(old: &[&str], new: &[&str]) -> Vec<(Outcome, Outcome, String)> {
    let found = differ(&with(old), &with(new));
    assert_eq!(found.settings, []);
    let changes = found.changes.into_iter();
    changes
        .map(|own| {
            (
                own.before.outcome,
                own.after.outcome,
                own.example.to_string(),
            )
        })
        .collect()
}

const DEFAULT: Outcome = Outcome::Builtin(Builtin::DefaultPass);

#[test]
fn a_change_has_an_example() {
    let admins = "{ name: admins, action: pass, ports: 22/tcp, from: 10.0.0.0/8 }";
    let ssh = "{ name: ssh, action: drop, ports: 22/tcp }";
    assert_eq!(
        changes(&[admins, ssh], &[ssh]),
        [(
            Outcome::Rule(0),
            Outcome::Rule(0),
            "tcp 10.0.0.1:40000 -> 192.0.2.1:22".to_owned()
        )]
    );
    // The other way round nobody sees the second rule.
    assert_eq!(
        changes(&[admins, ssh], &[ssh, admins]),
        [(
            Outcome::Rule(0),
            Outcome::Rule(0),
            "tcp 10.0.0.1:40000 -> 192.0.2.1:22".to_owned()
        )]
    );
}

#[test]
fn every_effect_is_told_from_the_others() {
    let actions = [
        "action: pass",
        "action: drop",
        "action: reject",
        "action: limit, rate: 5/s",
        "action: limit, rate: 5/s, burst: 6",
        "action: limit, rate: 5/s, per: rule",
    ];
    for old in actions {
        for new in actions {
            let [one, other] =
                [old, new].map(|own| format!("{{ name: r, {own}, ports: 22/tcp, enforce: true }}"));
            let found = differ(&with(&[&one]), &with(&[&other]));
            assert_eq!(found.is_none(), old == new, "{old}, {new}");
        }
    }
}

#[test]
fn what_is_told_differently_is_no_difference() {
    let old = "{ name: a, action: drop, ports: [22, 23], comment: x }";
    let count = "{ name: c, action: drop, ports: 80, enforce: false }";
    let one = "{ name: one, action: drop, ports: 22 }";
    let two = "{ name: two, action: drop, ports: 23-23, from: [0.0.0.0/0, \"::/0\"] }";
    assert_eq!(changes(&[old], &[one, two]), []);
    assert_eq!(changes(&[two, one], &[count, one, two]), []);
    let sets = |name: &str| {
        format!(
            "interfaces: [eth0]\nsets: {{ {name}: [10.0.0.0/9, 10.128.0.0/9] }}\n\
             rules: [{{ name: r, action: drop, from: ${name} }}]\n"
        )
    };
    let plain = "interfaces: [eth0]\nrules: [{ name: r, action: drop, from: 10.0.0.0/8 }]\n";
    assert!(differ(&sets("a"), &sets("b")).is_none());
    assert!(differ(&sets("a"), plain).is_none());
}

#[test]
fn limits_that_share_their_tokens_differ_from_those_that_do_not() {
    let limit = |name: &str, ports: &str| {
        format!("{{ name: {name}, action: limit, rate: 5/s, per: rule, ports: {ports} }}")
    };
    let (both, one, two) = (limit("r", "[22, 23]"), limit("r", "22"), limit("s", "23"));
    for (old, new) in [
        (&[&*both][..], &[&*one, &*two][..]),
        (&[&*one, &*two][..], &[&*both][..]),
    ] {
        let found = differ(&with(old), &with(new));
        let kinds: Vec<ChangeKind> = found.changes.iter().map(|own| own.kind).collect();
        assert_eq!(kinds, [ChangeKind::Sharing; 2]);
    }
    // Only their names are others.
    let swapped = [limit("s", "22"), limit("r", "23")];
    let swapped = [&*swapped[0], &*swapped[1]];
    assert_eq!(changes(&[&one, &two], &swapped), []);
}

#[test]
fn a_limit_of_tcp_says_nothing_of_its_later_fragments() {
    let limited = "{ name: r, action: limit, rate: 5/s, protocol: tcp, ports: any }";
    let passed = "{ name: r, action: pass, protocol: tcp, ports: any }";
    let found = differ(&with(&[limited]), &with(&[passed]));
    assert_eq!(found.changes.len(), 1);
    assert!(!found.changes[0].example.to_string().contains("fragment"));
    let first = "{ name: f, action: pass, protocol: tcp, ports: any, source_ports: 1-65535 }";
    let zero = "{ name: z, action: pass, ports: 1-65535/tcp }";
    // All attempts but those with port 0 pass before: that these are left is exact.
    let found = differ(
        &with(&[first, zero, limited]),
        &with(&[first, zero, passed]),
    );
    let examples: Vec<String> = found
        .changes
        .iter()
        .map(|own| own.example.to_string())
        .collect();
    assert_eq!(examples, ["tcp 203.0.113.7:0 -> 192.0.2.1:0"]);
}

#[test]
fn interfaces_that_only_both_policies_together_tell_apart() {
    let drop = |interfaces: &str| {
        format!("{{ name: r, action: drop, ports: 80/tcp, interfaces: \"{interfaces}\" }}")
    };
    let found = differ(&with(&[&drop("wan*")]), &with(&[&drop("w?n0")]));
    assert_eq!(found.changes.len(), 1, "{found:#?}");
    let change = &found.changes[0];
    assert_eq!(
        (change.before.outcome, change.after.outcome),
        (Outcome::Rule(0), DEFAULT)
    );
    let name = change.example.interface.clone().unwrap();
    assert!(name.starts_with("wan") && name != "wan0", "{name}");
    // On `wan0` both drop, and no name that `w?n0` means is guarded beside it.
    let found = differ(&with(&[&drop("wan0")]), &with(&[&drop("w?n0")]));
    assert!(found.is_none(), "{found:#?}");
}

#[test]
fn settings_that_no_packet_shows() {
    let base = "interfaces: [eth0, wan0]\n";
    for (key, before, after, line) in [
        ("interfaces", "eth0, wan0", "eth0", "interfaces: [eth0]\n"),
        ("attach", "auto", "generic", "attach: generic\n"),
        ("replies", "pass", "rules", "replies: rules\n"),
        ("non_ip", "pass", "drop", "non_ip: drop\n"),
        ("malformed", "drop", "pass", "malformed: pass\n"),
        ("enforce", "true", "false", "enforce: false\n"),
        (
            "metrics",
            "nowhere",
            "127.0.0.1:9477, [::1]:9477",
            "metrics: { listen: [\"[::1]:9477\", 127.0.0.1:9477] }\n",
        ),
        (
            "metrics",
            "nowhere",
            "127.0.0.1:1; page at loopback addresses",
            "metrics: { listen: 127.0.0.1:1, page: true }\n",
        ),
        (
            "metrics",
            "nowhere",
            "192.0.2.1:1; page at all of them, also as a, b",
            "metrics: { listen: 192.0.2.1:1, page: { exposed: true, hosts: [b, a] } }\n",
        ),
    ] {
        let head = if key == "interfaces" { "" } else { base };
        let found = differ(
            &format!("{base}rules: []\n"),
            &format!("{head}{line}rules: []\n"),
        );
        let [own] = &found.settings[..] else {
            panic!("{key}: {found:#?}");
        };
        assert_eq!(own.key, key);
        assert_eq!((&*own.before, &*own.after), (before, after));
        assert_eq!(found.changes, [], "{key}");
    }
    let turned = differ(
        &format!("{base}rules: []\n"),
        "interfaces: [wan0, eth0]\nrules: []\n",
    );
    assert!(turned.is_none());
    // Nothing is guarded by both.
    let apart = differ(
        "interfaces: [eth0]\nrules: []\n",
        "interfaces: [eth1]\ndefault: drop\nrules: []\n",
    );
    assert_eq!(apart.settings.len(), 1);
    assert_eq!(apart.changes, []);
}

#[test]
fn settings_that_packets_show() {
    let rules = "interfaces: [eth0]\nrules: [{ name: r, action: drop, protocol: icmpv6, from: \"2001:db8::/32\" }]\n";
    for (line, effect) in [
        ("default: drop\n", Effect::Drop),
        ("fragments: drop\n", Effect::Drop),
        ("essential: rules\n", Effect::Drop),
        ("trusted: [2001:db8::/48]\n", Effect::Pass),
    ] {
        let found = differ(rules, &format!("{line}{rules}"));
        assert_eq!(found.settings, [], "{line}");
        assert!(!found.changes.is_empty(), "{line}");
        assert!(
            found.changes.iter().all(|own| own.after.effect == effect),
            "{line}: {found:#?}"
        );
    }
    // Where every packet is decided before, the default says nothing.
    let all =
        "interfaces: [eth0]\nessential: rules\nrules: [{ name: r, action: drop, protocol: any }]\n";
    assert!(differ(all, &format!("default: drop\nfragments: drop\n{all}")).is_none());
}
