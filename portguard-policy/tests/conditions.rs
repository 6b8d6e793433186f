//! Source ports, interfaces, VLANs, limits and trusted sources.

mod common;

use common::*;
use portguard_policy::{
    InterfacePattern, Limit, Per, PortRange, Rate, RatePeriod, Rule, RuleAction, ServiceMatch,
    SourceMatch, Transport,
};

use Transport::{Sctp, Tcp, Udp};

fn rule(fields: &str) -> Rule {
    let text = with_rules(&[&format!("{{ name: r, action: drop, {fields} }}")]);
    let checked = accepted(&text);
    assert!(
        checked.warnings.is_empty(),
        "{fields}: {:?}",
        checked.warnings
    );
    checked.policy.rules[0].clone()
}

fn dropping(fields: &str) -> String {
    with_rules(&[&format!("{{ name: r, action: drop, {fields} }}")])
}

fn source(transport: Transport, low: u16, high: u16) -> SourceMatch {
    SourceMatch::Ports(transport, PortRange { low, high })
}

fn ports(transport: Transport, low: u16, high: u16) -> ServiceMatch {
    ServiceMatch::Ports(transport, PortRange { low, high })
}

#[test]
fn source_ports_are_read_like_ports() {
    let amplifiers = rule("protocol: udp, ports: any, source_ports: [19, 53/udp, ntp, 11211]");
    assert_eq!(amplifiers.services, [ServiceMatch::AnyPort(Udp)]);
    assert_eq!(
        amplifiers.source_ports,
        Some(
            [19, 53, 123, 11211]
                .map(|port| source(Udp, port, port))
                .to_vec()
        )
    );
    let both = rule("ports: 8080, source_ports: 1024-65535");
    assert_eq!(
        both.services,
        [ports(Tcp, 8080, 8080), ports(Udp, 8080, 8080)]
    );
    assert_eq!(
        both.source_ports,
        Some(vec![source(Tcp, 1024, 65535), source(Udp, 1024, 65535)])
    );
}

#[test]
fn source_ports_alone_mean_every_port_of_their_protocols() {
    let plain = rule("source_ports: 53");
    assert_eq!(
        plain.services,
        [ServiceMatch::AnyPort(Tcp), ServiceMatch::AnyPort(Udp)]
    );
    assert_eq!(
        plain.source_ports,
        Some(vec![source(Tcp, 53, 53), source(Udp, 53, 53)])
    );
    let udp = rule("source_ports: [53/udp, any/sctp]");
    assert_eq!(
        udp.services,
        [ServiceMatch::AnyPort(Udp), ServiceMatch::AnyPort(Sctp)]
    );
    assert_eq!(
        udp.source_ports,
        Some(vec![source(Udp, 53, 53), SourceMatch::AnyPort(Sctp)])
    );
    let named = rule("source_ports: ssh");
    assert_eq!(named.services, [ServiceMatch::AnyPort(Tcp)]);
}

#[test]
fn any_source_port_is_no_condition_but_fixes_the_protocol() {
    let plain = rule("source_ports: any");
    assert_eq!(
        plain.services,
        [ServiceMatch::AnyPort(Tcp), ServiceMatch::AnyPort(Udp)]
    );
    assert_eq!(plain.source_ports, None);
    let udp = rule("source_ports: any/udp");
    assert_eq!(
        (udp.services, udp.source_ports),
        (vec![ServiceMatch::AnyPort(Udp)], None)
    );
    let narrowed = rule("ports: 53, source_ports: [any, 7]");
    assert_eq!(narrowed.services, [ports(Tcp, 53, 53), ports(Udp, 53, 53)]);
    assert_eq!(narrowed.source_ports, None);
    let sctp = rule("protocol: sctp, ports: 9, source_ports: any");
    assert_eq!(
        (sctp.services, sctp.source_ports),
        (vec![ports(Sctp, 9, 9)], None)
    );
}

#[test]
fn only_protocols_of_both_are_left() {
    let ssh = rule("ports: ssh, source_ports: 1024-65535");
    assert_eq!(ssh.services, [ports(Tcp, 22, 22)]);
    assert_eq!(ssh.source_ports, Some(vec![source(Tcp, 1024, 65535)]));

    let text = dropping("ports: [53], source_ports: 53/udp");
    let checked = accepted(&text);
    assert_eq!(
        checked.warnings[0].message,
        "this rule matches nothing of `tcp`"
    );
    assert_eq!(pointed(&text, &checked.warnings[0]), "source_ports");
    assert_eq!(checked.policy.rules[0].services, [ports(Udp, 53, 53)]);

    let text = dropping("protocol: [tcp, udp], ports: 53, source_ports: 53/udp");
    let checked = accepted(&text);
    assert_eq!(checked.warnings.len(), 1);
    assert_eq!(
        checked.warnings[0].message,
        "protocol `tcp` matches nothing in this rule"
    );
    assert_refused(
        &dropping("ports: 53/udp, source_ports: 53/tcp"),
        "`ports` and `source_ports` have no protocol in common",
        "two rules",
        "source_ports",
    );
}

#[test]
fn m05_source_ports_do_not_make_every_port() {
    assert_refused(
        &dropping("protocol: udp, source_ports: 53"),
        "protocol `udp` needs `ports`",
        "`ports: any`",
        "udp",
    );
    for (fields, message) in [
        ("source_ports: []", "`source_ports` is an empty list"),
        (
            "source_ports: null",
            "`source_ports` has no value, found `null`",
        ),
        (
            "protocol: icmp, source_ports: 53",
            "protocol `icmp` has no ports",
        ),
        (
            "protocol: any, source_ports: any",
            "protocol `any` has no ports",
        ),
        (
            "protocol: tcp, ports: any, source_ports: 53/udp",
            "`53/udp` contradicts `protocol`, which says `tcp`",
        ),
        (
            "protocol: icmp, types: 8, source_ports: 1",
            "`source_ports` and `types` exclude each other",
        ),
        ("source_ports: 0", "the port `0` is out of range"),
        ("source_ports: 65558", "the port `65558` is out of range"),
        (
            "source_ports: 22:22",
            "expected a port, a range or a service name, found `22:22`",
        ),
    ] {
        assert_eq!(only_problem(&dropping(fields)).message, message, "{fields}");
    }
}

#[test]
fn any_condition_makes_a_rule_particular() {
    for fields in [
        "from: 192.0.2.1",
        "to: 192.0.2.1",
        "interfaces: eth0",
        "vlan: 7",
    ] {
        assert_eq!(rule(fields).services, [ServiceMatch::Any], "{fields}");
    }
    assert_refused(
        &dropping("comment: nothing"),
        "a rule matches nothing in particular",
        "`protocol: any`",
        "name",
    );
}

#[test]
fn interfaces_are_among_those_guarded() {
    let with = |guarded: &str, own: &str| {
        dropping(&format!("interfaces: {own}")).replace("interfaces: [eth0]\n", guarded)
    };
    let name = |name: &str| InterfacePattern::Name(name.to_owned());
    for (guarded, own) in [
        ("interfaces: [eth0, wan0]\n", "wan0"),
        ("interfaces: [\"wan*\"]\n", "wan0"),
        ("interfaces: [eth0]\n", "\"eth*\""),
        ("interfaces: [\"wan*\"]\n", "\"*0\""),
        ("interfaces: [default-route]\n", "wan0"),
        ("", "wan0"),
    ] {
        let checked = accepted(&with(guarded, own));
        assert!(checked.warnings.is_empty());
        let interfaces = checked.policy.rules[0].interfaces.clone().expect("given");
        assert_eq!(interfaces.len(), 1, "{guarded} {own}");
        assert!(interfaces[0].matches("wan0") || interfaces[0].matches("eth0"));
    }
    let two = accepted(&with("interfaces: [a, b]\n", "[a, b]")).policy;
    assert_eq!(two.rules[0].interfaces, Some(vec![name("a"), name("b")]));
    for (guarded, own, message, hint) in [
        (
            "interfaces: [eth0]\n",
            "eht0",
            "the policy guards no interface `eht0`",
            "did you mean `eth0`?",
        ),
        (
            "interfaces: [eth0]\n",
            "\"wan*\"",
            "the policy guards no interface `wan*`",
            "eth0",
        ),
        (
            "interfaces: [\"*\"]\n",
            "lo",
            "the policy guards no interface `lo`",
            "*",
        ),
        (
            "interfaces: [default-route]\n",
            "default-route",
            "`default-route` has no meaning here",
            "names or globs",
        ),
        (
            "interfaces: [eth0]\n",
            "[a/b]",
            "`a/b` cannot be an interface",
            "eth0",
        ),
    ] {
        let problem = only_problem(&with(guarded, own));
        assert_eq!(problem.message, message);
        assert!(problem.hint.as_ref().unwrap().contains(hint), "{problem:?}");
    }
}

#[test]
fn every_unguarded_interface_is_named_but_none_if_the_guarded_are_wrong() {
    let text = dropping("interfaces: [eth1, wan0, eth0]");
    let messages: Vec<String> = refused(&text).into_iter().map(|p| p.message).collect();
    assert_eq!(
        messages,
        ["eth1", "wan0"].map(|name| format!("the policy guards no interface `{name}`"))
    );
    let text = text.replace("interfaces: [eth0]", "interfaces: [eth0, a/b]");
    assert_eq!(only_problem(&text).message, "`a/b` cannot be an interface");
}

#[test]
fn vlans() {
    for (written, vlans) in [
        ("1", vec![1]),
        ("4094", vec![4094]),
        ("none", vec![0]),
        ("[10, none, 7, 10]", vec![0, 7, 10]),
        ("\"12\"", vec![12]),
    ] {
        assert_eq!(
            rule(&format!("vlan: {written}")).vlans,
            Some(vlans),
            "{written}"
        );
    }
    for (written, message, hint) in [
        (
            "0",
            "VLAN `0` is no VLAN: it marks a priority alone",
            "`none`",
        ),
        ("4095", "VLAN `4095` is out of range", "1 to 4094"),
        ("65537", "VLAN `65537` is out of range", "1 to 4094"),
        (
            "010",
            "expected a VLAN ID or `none`, found `010`",
            "plain decimal",
        ),
        (
            "1-10",
            "expected a VLAN ID or `none`, found `1-10`",
            "a list",
        ),
        ("any", "expected a VLAN ID or `none`, found `any`", "a list"),
        ("[]", "`vlan` is an empty list", "none"),
        ("~", "`vlan` has no value, found `~`", "none"),
        (
            "[[1]]",
            "expected a VLAN ID or `none`, found a list",
            "a list",
        ),
    ] {
        let problem = only_problem(&dropping(&format!("vlan: {written}")));
        assert_eq!(problem.message, message, "{written}");
        assert!(problem.hint.as_ref().unwrap().contains(hint), "{problem:?}");
    }
}

#[test]
fn limits() {
    let limit = |fields: &str| {
        let text = with_rules(&[&format!(
            "{{ name: r, action: limit, ports: 53/udp, {fields} }}"
        )]);
        match accepted(&text).policy.rules[0].action {
            RuleAction::Limit(limit) => limit,
            other => panic!("{other}"),
        }
    };
    let rate = |count, period, burst| Rate {
        count,
        period,
        burst,
    };
    use RatePeriod::{Minute, Second};
    for (fields, rate, per) in [
        ("rate: 5000/s", rate(5000, Second, 5000), Per::Source),
        (
            "rate: 5000/s, burst: 10000, per: source",
            rate(5000, Second, 10_000),
            Per::Source,
        ),
        ("rate: 10/m, per: rule", rate(10, Minute, 1), Per::Rule),
        ("rate: 600/m", rate(600, Minute, 10), Per::Source),
    ] {
        assert_eq!(limit(fields), Limit { rate, per }, "{fields}");
    }
}

#[test]
fn wrong_limits_are_told_with_what_is_right() {
    for (fields, message, hint, pointed) in [
        (
            "action: limit",
            "`action: limit` needs a `rate`",
            "1000/s",
            "limit",
        ),
        (
            "action: limit, per: rule",
            "`action: limit` needs a `rate`",
            "1000/s",
            "limit",
        ),
        (
            "action: limit, rate: 0/s",
            "the rate `0/s` is out of range",
            "1 to",
            "0/s",
        ),
        (
            "action: limit, rate: 5",
            "`rate` is `N/s` or `N/m`, found `5`",
            "1000/s",
            "5",
        ),
        (
            "action: limit, rate: 5/s, burst: 0",
            "`burst` is a number of packets, found `0`",
            "1 to",
            "0",
        ),
        (
            "action: limit, rate: 5/s, per: host",
            "`per` is `source` or `rule`, found `host`",
            "source",
            "host",
        ),
        (
            "action: drop, rate: 5/s",
            "`rate` goes with `action: limit` alone",
            "`action: limit`",
            "rate",
        ),
        (
            "action: pass, burst: 5",
            "`burst` goes with `action: limit` alone",
            "`action: limit`",
            "burst",
        ),
        (
            "action: reject, per: rule",
            "`per` goes with `action: limit` alone",
            "`action: limit`",
            "per",
        ),
        (
            "action: rejct",
            "`action` is `pass`, `drop`, `reject` or `limit`, found `rejct`",
            "did you mean `reject`?",
            "rejct",
        ),
    ] {
        let text = with_rules(&[&format!("{{ name: r, ports: 22, {fields} }}")]);
        assert_refused(&text, message, hint, pointed);
    }
    let text = with_rules(&["{ name: r, action: reject, ports: 22 }"]);
    assert_eq!(accepted(&text).policy.rules[0].action, RuleAction::Reject);
}

#[test]
fn rules_of_two_families_match_nothing() {
    for (fields, key) in [
        ("from: 192.0.2.1, to: \"2001:db8::1\"", "to"),
        ("protocol: icmp, from: \"2001:db8::1\"", "from"),
        ("protocol: icmpv6, to: 192.0.2.1", "to"),
        (
            "protocol: icmp, types: echo-request, from: \"2001:db8::1\"",
            "from",
        ),
    ] {
        let text = dropping(fields);
        let warnings = accepted(&text).warnings;
        let warning = warnings
            .iter()
            .find(|w| w.message == "this rule matches nothing");
        let warning = warning.unwrap_or_else(|| panic!("{fields}: {warnings:?}"));
        assert_eq!(pointed(&text, warning), key, "{fields}");
    }
    for fields in [
        "from: 192.0.2.1, to: [\"2001:db8::1\", 192.0.2.2]",
        "protocol: [icmp, icmpv6], types: echo-request, from: \"2001:db8::1\"",
    ] {
        rule(fields);
    }
}

#[test]
fn trusted_sources() {
    let text = |trusted: &str| {
        format!(
            "version: 1\ninterfaces: [mgmt0]\nsets: {{ s: 192.0.2.7 }}\ntrusted: {trusted}\nrules: []\n"
        )
    };
    let plain = accepted(&text("[198.51.100.0/28, $s]")).policy.trusted;
    assert_eq!(plain.len(), 1);
    assert!(plain[0].from.contains([192, 0, 2, 7].into()));
    assert!(plain[0].from.contains([198, 51, 100, 15].into()));
    assert_eq!(plain[0].interfaces, None);
    let tied = accepted(&text("[$s, { from: 10.0.0.0/8, interfaces: [mgmt0] }]"))
        .policy
        .trusted;
    assert_eq!(tied.len(), 2);
    assert!(tied[0].from.contains([192, 0, 2, 7].into()));
    assert_eq!(
        tied[1].interfaces,
        Some(vec![InterfacePattern::Name("mgmt0".to_owned())])
    );
    assert_eq!(accepted(&text("{ from: $s }")).policy.trusted.len(), 1);
    for (written, message) in [
        ("[]", "`trusted` is an empty list"),
        ("~", "`trusted` has no value, found `~`"),
        (
            "[$s, { interfaces: mgmt0 }]",
            "an entry of `trusted` has no `from`",
        ),
        (
            "[$s, { from: $s, interface: mgmt0 }]",
            "an entry of `trusted` has no key `interface`",
        ),
        (
            "[{ from: $s, interfaces: eth0 }]",
            "the policy guards no interface `eth0`",
        ),
        (
            "[$s, any]",
            "expected an address, a prefix or a `$set`, found `any`",
        ),
    ] {
        let problems = refused(&text(written));
        assert!(
            problems.iter().any(|problem| problem.message == message),
            "{problems:?}"
        );
    }
}

#[test]
fn y04_misspelled_conditions_never_widen_a_rule() {
    for (fields, key, meant) in [
        ("ports: 22, form: 192.0.2.1", "form", "from"),
        ("ports: 22, source_port: 53", "source_port", "source_ports"),
        ("ports: 22, interface: eth0", "interface", "interfaces"),
        ("ports: 22, vlans: 7", "vlans", "vlan"),
        ("ports: 22, brust: 7", "brust", "burst"),
        ("ports: 22, From: 192.0.2.1", "From", "from"),
    ] {
        assert_refused(
            &dropping(fields),
            &format!("a rule has no key `{key}`"),
            &format!("did you mean `{meant}`?"),
            key,
        );
    }
    let text = "version: 1\nset: { a: 192.0.2.1 }\nrules: []\n";
    assert_refused(
        text,
        "a policy has no key `set`",
        "did you mean `sets`?",
        "set",
    );
    for (text, key) in [
        ("version: 1\nfrom: 192.0.2.1\nrules: []\n", "from"),
        ("version: 1\nvlan: 7\nrules: []\n", "vlan"),
    ] {
        let message = format!("a policy has no key `{key}`");
        assert_refused(text, &message, "is a key of a rule", key);
    }
}
