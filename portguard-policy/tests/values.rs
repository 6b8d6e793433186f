//! What a policy may say in its ports, protocols and words, and what is refused.

mod common;

use common::*;
use portguard_common::abi::{Action, Setting, service};
use portguard_policy::{
    AttachMode, Fate, Fragments, InterfacePattern, NoFiles, PortRange, Rate, RatePeriod,
    RuleAction, ServiceMatch, Severity, Transport, check,
};

const EXPECTED: &str = "expected a port, a range or a service name, found ";

#[test]
fn m02_reversed_empty_and_oversize_ranges_are_refused() {
    for (ports, message, hint) in [
        (
            "7200-7100",
            "the range `7200-7100` runs backwards",
            "`7100-7200`",
        ),
        ("2-1", "the range `2-1` runs backwards", "`1-2`"),
        ("80-", &format!("{EXPECTED}`80-`"), "both ends"),
        ("-80", &format!("{EXPECTED}`-80`"), "plain decimal"),
        ("-", &format!("{EXPECTED}`-`"), "plain decimal"),
        ("0-10", "the port `0` is out of range", "1 to 65535"),
        (
            "65535-65536",
            "the port `65536` is out of range",
            "1 to 65535",
        ),
        ("1-70000", "the port `70000` is out of range", "1 to 65535"),
        ("080-90", "the port `080` has leading zeros", "`80`"),
        ("80-090", "the port `090` has leading zeros", "`90`"),
        ("80:90", &format!("{EXPECTED}`80:90`"), "`80-90`"),
        ("80..90", &format!("{EXPECTED}`80..90`"), "`80-90`"),
        ("80--90", &format!("{EXPECTED}`80--90`"), "`80-90`"),
        ("80–90", &format!("{EXPECTED}`80–90`"), "`80-90`"),
        ("80 - 90", &format!("{EXPECTED}`80 - 90`"), "without blanks"),
        ("80 -90", &format!("{EXPECTED}`80 -90`"), "without blanks"),
        (
            "80-90-100",
            &format!("{EXPECTED}`80-90-100`"),
            "plain decimal",
        ),
        ("80-ssh", &format!("{EXPECTED}`80-ssh`"), "plain decimal"),
        (
            "7200-7100/tcp",
            "the range `7200-7100` runs backwards",
            "`7100-7200`",
        ),
    ] {
        for (written, column) in [
            (format!("\"{ports}\""), 37),
            (format!("[\"{ports}\"]"), 38),
            (format!("[22, \"{ports}\"]"), 42),
        ] {
            let text = with_ports(&written);
            let problem = only_problem(&text);
            assert_eq!(problem.message, message, "{written}");
            assert!(problem.hint.as_ref().unwrap().contains(hint), "{problem:?}");
            assert_eq!(at(&text, &problem), (4, column), "{written}");
            assert_eq!(pointed(&text, &problem), format!("\"{ports}\""));
        }
    }
}

#[test]
fn m02_a_range_of_one_port_is_that_port() {
    for ports in ["80-80", "\"80-80\"", "80-80/tcp", "[80-80]"] {
        let tables = tables(&with_ports(ports));
        assert_eq!(action(&tables, service::TCP + 79), Action::Undecided);
        assert_eq!(action(&tables, service::TCP + 80), Action::Drop);
        assert_eq!(action(&tables, service::TCP + 81), Action::Undecided);
    }
}

#[test]
fn y01_sexagesimals_are_the_same_error_quoted_or_not() {
    for (digits, hint) in [
        ("22:22", "`22-22`"),
        ("1082:21", "`1082-21`"),
        ("2122:22", "`2122-22`"),
        ("1:2:3", "plain decimal"),
    ] {
        let plain = with_ports(&format!("[{digits}]"));
        let quoted = with_ports(&format!("[\"{digits}\"]"));
        let single = with_ports(&format!("['{digits}']"));
        let message = format!("{EXPECTED}`{digits}`");
        assert_refused(&plain, &message, hint, digits);
        assert_refused(&quoted, &message, hint, &format!("\"{digits}\""));
        assert_refused(&single, &message, hint, &format!("'{digits}'"));
        assert_eq!(only_problem(&plain).hint, only_problem(&quoted).hint);
        assert_eq!(at(&plain, &only_problem(&plain)), (4, 38));
        let block = format!(
            "version: 1\nrules:\n  - name: r\n    action: drop\n    ports:\n      - {digits}\n"
        );
        assert_eq!(at(&block, &only_problem(&block)), (6, 9));
    }
}

#[test]
fn y02_only_plain_decimals_are_ports() {
    for (written, message, hint) in [
        ("080", "the port `080` has leading zeros", "`80`"),
        ("010", "the port `010` has leading zeros", "`10`"),
        ("00", "the port `00` has leading zeros", "1 to 65535"),
        ("0", "the port `0` is out of range", "port 0"),
        ("65536", "the port `65536` is out of range", "1 to 65535"),
        ("65558", "the port `65558` is out of range", "1 to 65535"),
        ("4294967318", "the port `4294967318` is out of range", ""),
        (
            "18446744073709551638",
            "the port `18446744073709551638` is out of range",
            "",
        ),
        ("0o20", &format!("{EXPECTED}`0o20`"), "plain decimal"),
        ("0x16", &format!("{EXPECTED}`0x16`"), "plain decimal"),
        ("0b10110", &format!("{EXPECTED}`0b10110`"), "plain decimal"),
        ("8_080", &format!("{EXPECTED}`8_080`"), "plain decimal"),
        ("22.0", &format!("{EXPECTED}`22.0`"), "plain decimal"),
        ("22.", &format!("{EXPECTED}`22.`"), "plain decimal"),
        ("2.2e1", &format!("{EXPECTED}`2.2e1`"), "plain decimal"),
        ("22e0", &format!("{EXPECTED}`22e0`"), "plain decimal"),
        ("+22", &format!("{EXPECTED}`+22`"), "plain decimal"),
        ("-1", &format!("{EXPECTED}`-1`"), "plain decimal"),
        (".inf", &format!("{EXPECTED}`.inf`"), "plain decimal"),
        ("２２", &format!("{EXPECTED}`２２`"), "plain decimal"),
        ("1,5", &format!("{EXPECTED}`1,5`"), "`[1, 5]`"),
    ] {
        assert_refused(
            &with_ports(&format!("\"{written}\"")),
            message,
            hint,
            &format!("\"{written}\""),
        );
        if !written.contains(',') {
            assert_refused(&with_ports(written), message, hint, written);
            assert_refused(&with_ports(&format!("[{written}]")), message, hint, written);
        }
    }
    for (written, found) in [
        ("\" 22 \"", "` 22 `"),
        ("\"22 \"", "`22 `"),
        ("'\t22'", "`\\t22`"),
        ("\"22\\n\"", "`22\\n`"),
        ("\"\"", "``"),
        ("\" \"", "` `"),
        ("[[22]]", "a list"),
        ("[~]", "`~`"),
        ("[null]", "`null`"),
        ("{ 22: x }", "a mapping"),
        ("[22: 23]", "a mapping"),
    ] {
        let problem = only_problem(&with_ports(written));
        assert_eq!(problem.message, format!("{EXPECTED}{found}"), "{written}");
        assert!(problem.hint.is_some(), "{written}");
        assert!(problem.span.is_some_and(|span| span.end > span.start));
    }
}

#[test]
fn y02_decimals_are_ports_as_numbers_and_as_text() {
    for (written, port) in [
        ("22", 22),
        ("\"22\"", 22),
        ("'22'", 22),
        ("1", 1),
        ("65535", 65535),
    ] {
        let tables = tables(&with_ports(written));
        assert_eq!(action(&tables, service::TCP + port), Action::Drop);
        assert_eq!(action(&tables, service::UDP + port), Action::Drop);
        assert_eq!(action(&tables, service::SCTP + port), Action::Undecided);
    }
}

#[test]
fn m12_service_names() {
    let drops = |ports: &str| -> Vec<(Transport, u16)> {
        let policy = accepted(&with_ports(ports)).policy;
        let matches = policy.rules[0].services.iter();
        matches
            .map(|service| match service {
                ServiceMatch::Ports(transport, range) if range.low == range.high => {
                    (*transport, range.low)
                }
                other => panic!("{other:?}"),
            })
            .collect()
    };
    use Transport::{Sctp, Tcp, Udp};
    assert_eq!(drops("ssh"), [(Tcp, 22)]);
    assert_eq!(drops("www"), [(Tcp, 80)]);
    assert_eq!(drops("http-alt"), [(Tcp, 8080)]);
    assert_eq!(drops("webcache"), [(Tcp, 8080)]);
    assert_eq!(drops("ms-wbt-server"), [(Tcp, 3389)]);
    assert_eq!(drops("x11-1"), [(Tcp, 6001)]);
    assert_eq!(drops("syslog"), [(Udp, 514)]);
    assert_eq!(drops("shell"), [(Tcp, 514)]);
    assert_eq!(drops("exec"), [(Tcp, 512)]);
    assert_eq!(drops("biff"), [(Udp, 512)]);
    assert_eq!(drops("512"), [(Tcp, 512), (Udp, 512)]);
    assert_eq!(drops("domain"), [(Tcp, 53), (Udp, 53)]);
    assert_eq!(drops("domain/udp"), [(Udp, 53)]);
    assert_eq!(drops("amqp"), [(Tcp, 5672), (Sctp, 5672)]);
    assert_eq!(drops("domain, protocol: udp"), [(Udp, 53)]);
    assert_eq!(drops("domain, protocol: [tcp, sctp]"), [(Tcp, 53)]);

    for (ports, message, hint) in [
        ("SSH", "no service is called `SSH`", "`ssh`"),
        ("Http", "no service is called `Http`", "`http`"),
        ("sssh", "no service is called `sssh`", "`ssh`"),
        (
            "nosuchname",
            "no service is called `nosuchname`",
            "as a number",
        ),
        ("x11-9", "no service is called `x11-9`", "`x11-1`"),
        (
            "ssh/udp",
            "the service `ssh` does not exist for `udp`",
            "22/tcp",
        ),
        (
            "syslog/tcp",
            "the service `syslog` does not exist for `tcp`",
            "there is `shell`",
        ),
        ("SSH/tcp", "no service is called `SSH`", "`ssh`"),
    ] {
        assert_refused(&with_ports(ports), message, hint, ports);
    }
    let text = with_rules(&["{ name: r, action: drop, protocol: udp, ports: [ssh] }"]);
    assert_refused(
        &text,
        "the service `ssh` does not exist for `udp`",
        "22/tcp",
        "ssh",
    );
}

#[test]
fn entries_carry_their_own_protocol() {
    let tables = tables(&with_ports(
        "[53/udp, 8000-8001/sctp, ssh/tcp, any/sctp, 9]",
    ));
    assert_eq!(action(&tables, service::UDP + 53), Action::Drop);
    assert_eq!(action(&tables, service::TCP + 53), Action::Undecided);
    assert_eq!(action(&tables, service::SCTP), Action::Drop);
    assert_eq!(action(&tables, service::TCP + 22), Action::Drop);
    assert_eq!(action(&tables, service::TCP + 9), Action::Drop);
    assert_eq!(action(&tables, service::UDP + 9), Action::Drop);
    for (ports, found) in [
        ("22/icmp", "`icmp`"),
        ("22/", "``"),
        ("22/tcp/udp", "`tcp/udp`"),
        ("22/6", "`6`"),
    ] {
        let message = format!("the protocol of a port is `tcp`, `udp` or `sctp`, found {found}");
        assert_refused(&with_ports(ports), &message, "", ports);
    }
    assert_refused(
        &with_ports("22/TCP"),
        "the protocol of a port is `tcp`, `udp` or `sctp`, found `TCP`",
        "did you mean `/tcp`?",
        "22/TCP",
    );
    assert_refused(
        &with_ports("/tcp"),
        &format!("{EXPECTED}`/tcp`"),
        "",
        "/tcp",
    );
}

#[test]
fn a_suffix_that_contradicts_protocol_is_refused() {
    let text = with_rules(&["{ name: r, action: drop, protocol: tcp, ports: [22, 53/udp] }"]);
    let message = "`53/udp` contradicts `protocol`, which says `tcp`";
    assert_refused(&text, message, "add `udp`", "53/udp");
    accepted(&with_rules(&[
        "{ name: r, action: drop, protocol: [6, udp], ports: [22, 53/udp] }",
    ]));
}

#[test]
fn a_protocol_without_any_port_of_its_own_is_warned_of() {
    let text = with_rules(&["{ name: r, action: drop, protocol: [tcp, udp], ports: 53/udp }"]);
    let warnings = accepted(&text).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].message,
        "protocol `tcp` matches nothing in this rule"
    );
    assert_eq!(pointed(&text, &warnings[0]), "tcp");
}

#[test]
fn m05_a_rule_without_ports_never_means_every_port() {
    let rule = |rest: &str| with_rules(&[&format!("{{ name: r, action: drop{rest} }}")]);
    for (protocol, first) in [
        ("tcp", "tcp"),
        ("udp", "udp"),
        ("sctp", "sctp"),
        ("[icmp, udp]", "udp"),
        ("[any, tcp]", "tcp"),
    ] {
        let text = rule(&format!(", protocol: {protocol}"));
        let problems = refused(&text);
        let problem = problems
            .iter()
            .find(|p| p.severity == Severity::Error)
            .unwrap();
        assert_eq!(problem.message, format!("protocol `{first}` needs `ports`"));
        assert_eq!(
            problem.hint.as_deref(),
            Some("write `ports: any` if every port is meant")
        );
        assert_eq!(pointed(&text, problem), first);
    }
    assert_refused(
        &rule(", protocol: 6"),
        "protocol `tcp` needs `ports`",
        "ports: any",
        "6",
    );
    assert_refused(
        &rule(", protocol: tcp, ports: []"),
        "`ports` is an empty list",
        "`ports: any`",
        "[]",
    );
    assert_refused(
        &rule(", ports: []"),
        "`ports` is an empty list",
        "`ports: any`",
        "[]",
    );
    assert_refused(
        &rule(", protocol: []"),
        "`protocol` is an empty list",
        "`protocol: any`",
        "[]",
    );
    assert_refused(
        &rule(", protocol: tcp, ports: null"),
        "`ports` has no value, found `null`",
        "`ports: any`",
        "null",
    );
    assert_refused(
        &rule(", protocol: tcp, ports: ~"),
        "`ports` has no value, found `~`",
        "`ports: any`",
        "~",
    );
    assert_refused(
        &rule(", protocol: tcp, ports: "),
        "`ports` has no value, found nothing",
        "`ports: any`",
        "ports",
    );
    assert_refused(
        &rule(""),
        "a rule matches nothing in particular",
        "`protocol: any`",
        "name",
    );

    let both = tables(&rule(", ports: [22]"));
    assert_eq!(action(&both, service::TCP + 22), Action::Drop);
    assert_eq!(action(&both, service::UDP + 22), Action::Drop);
    assert_eq!(action(&both, service::SCTP + 22), Action::Undecided);
    let any = tables(&rule(", protocol: tcp, ports: any"));
    for port in [0, 1, 65535] {
        assert_eq!(action(&any, service::TCP + port), Action::Drop);
        assert_eq!(action(&any, service::UDP + port), Action::Undecided);
    }
}

#[test]
fn protocols() {
    let rule = |protocol: &str| {
        with_rules(&[&format!(
            "{{ name: r, action: drop, protocol: {protocol} }}"
        )])
    };
    for (written, matches) in [
        ("icmp", vec![ServiceMatch::Icmp]),
        ("icmpv6", vec![ServiceMatch::Icmpv6]),
        ("gre", vec![ServiceMatch::Protocol(47)]),
        ("esp", vec![ServiceMatch::Protocol(50)]),
        ("ipip", vec![ServiceMatch::Protocol(4)]),
        (
            "igmp",
            vec![ServiceMatch::Protocol(2), ServiceMatch::EssentialIgmp],
        ),
        (
            "2",
            vec![ServiceMatch::Protocol(2), ServiceMatch::EssentialIgmp],
        ),
        ("1", vec![ServiceMatch::Protocol(1)]),
        ("\"255\"", vec![ServiceMatch::Protocol(255)]),
        ("any", vec![ServiceMatch::Any]),
        (
            "[gre, 47, esp]",
            vec![ServiceMatch::Protocol(47), ServiceMatch::Protocol(50)],
        ),
    ] {
        let policy = accepted(&rule(written)).policy;
        assert_eq!(policy.rules[0].services, matches, "{written}");
    }
    for (written, message, hint) in [
        (
            "TCP",
            "expected a protocol by name or number, found `TCP`",
            "`tcp`",
        ),
        (
            "icmp6",
            "expected a protocol by name or number, found `icmp6`",
            "`icmp`",
        ),
        (
            "01",
            "expected a protocol by name or number, found `01`",
            "0 to 255",
        ),
        (
            "0x6",
            "expected a protocol by name or number, found `0x6`",
            "0 to 255",
        ),
        (
            "-1",
            "expected a protocol by name or number, found `-1`",
            "0 to 255",
        ),
        ("256", "protocol number `256` is out of range", "0 to 255"),
        ("262", "protocol number `262` is out of range", "0 to 255"),
    ] {
        assert_refused(&rule(written), message, hint, written);
    }
    for (protocol, hint) in [
        ("icmp", "two rules"),
        ("gre", "two rules"),
        ("any", "`protocol: [tcp, udp]`"),
    ] {
        let text = with_rules(&[&format!(
            "{{ name: r, action: drop, protocol: {protocol}, ports: 22 }}"
        )]);
        assert_refused(
            &text,
            &format!("protocol `{protocol}` has no ports"),
            hint,
            protocol,
        );
    }
    let text = with_rules(&["{ name: r, action: drop, protocol: [tcp, icmp], ports: any }"]);
    assert_refused(&text, "protocol `icmp` has no ports", "two rules", "icmp");
}

#[test]
fn ah_is_walked_in_ipv6() {
    let text = with_rules(&["{ name: r, action: drop, protocol: ah }"]);
    let warnings = accepted(&text).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].severity, Severity::Warning);
    assert_eq!(warnings[0].message, "in IPv6, protocol `ah` never matches");
    let tables = tables(&text);
    assert_eq!(action(&tables, service::PORTLESS_V4 + 51), Action::Drop);
    assert_eq!(
        action(&tables, service::PORTLESS_V6 + 51),
        Action::Undecided
    );
}

#[test]
fn a_header_that_ipv6_walks_is_met_there_in_later_fragments_alone() {
    let text = with_rules(&["{ name: r, action: drop, protocol: 51 }"]);
    let warnings = accepted(&text).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].message,
        "in IPv6, protocol `51` matches nothing but later fragments"
    );
    let tables = tables(&text);
    for family in [service::PORTLESS_V4, service::PORTLESS_V6] {
        assert_eq!(action(&tables, family + 51), Action::Drop);
    }
}

#[test]
fn y05_booleans_are_true_and_false_alone() {
    for (written, value) in [("true", true), ("false", false)] {
        let text = format!("version: 1\nenforce: {written}\nrules: []\n");
        assert_eq!(accepted(&text).policy.enforce, value);
    }
    for (written, found, hint) in [
        ("no", "`no`", "write `false`"),
        ("off", "`off`", "write `false`"),
        ("yes", "`yes`", "write `true`"),
        ("True", "`True`", "write `true`"),
        ("FALSE", "`FALSE`", "write `false`"),
        ("0", "`0`", "write `false`"),
        ("\"no\"", "the text `\"no\"`", "write `false`"),
        (
            "\"true\"",
            "the text `\"true\"`",
            "remove the quotes: `enforce: true`",
        ),
        (
            "'false'",
            "the text `\"false\"`",
            "remove the quotes: `enforce: false`",
        ),
        ("null", "`null`", "`true` or `false`"),
        ("[true]", "a list", "`true` or `false`"),
    ] {
        let message = format!("`enforce` is `true` or `false`, found {found}");
        let top = format!("version: 1\nenforce: {written}\nrules: []\n");
        assert_refused(&top, &message, hint, written);
        assert_eq!(at(&top, &only_problem(&top)), (2, 10));
        let rule = with_rules(&[&format!(
            "{{ name: r, action: drop, ports: 22, enforce: {written} }}"
        )]);
        assert_refused(&rule, &message, hint, written);
    }
}

#[test]
fn y05_words_and_names_stay_text() {
    for name in [
        "NO", "no", "on", "true", "22", "010", "1e3", "0x16", "22.5", "-x", "a.b_c-D9",
    ] {
        let text = with_rules(&[&format!("{{ name: {name}, action: drop, ports: 22 }}")]);
        assert_eq!(accepted(&text).policy.rules[0].name, name);
    }
    for (written, found) in [
        ("\"\"", "``"),
        ("null", "`null`"),
        ("\"a b\"", "`a b`"),
        ("a/b", "`a/b`"),
        ("ä", "`ä`"),
        ("[a]", "a list"),
    ] {
        let text = with_rules(&[&format!("{{ name: {written}, action: drop, ports: 22 }}")]);
        let problem = only_problem(&text);
        assert_eq!(problem.message, format!("{found} is no name of a rule"));
    }
    for written in ["off", "\"off\"", "Drop", "deny", "null", "[drop]"] {
        let text = with_rules(&[&format!("{{ name: r, action: {written}, ports: 22 }}")]);
        let problem = only_problem(&text);
        assert!(
            problem
                .message
                .starts_with("`action` is `pass`, `drop`, `reject` or `limit`, found "),
            "{problem:?}"
        );
        assert_eq!(pointed(&text, &problem), written);
    }
}

#[test]
fn every_setting() {
    let text = "version: 1\ninterfaces: [eth0, \"wan*\", default-route]\nattach: native\ndefault: drop\n\
                essential: rules\nnon_ip: drop\nmalformed: pass\nfragments: drop\nenforce: false\nrules: []\n";
    let policy = accepted(text).policy;
    assert_eq!(policy.interfaces.len(), 3);
    assert_eq!(
        policy.interfaces[0],
        InterfacePattern::Name("eth0".to_owned())
    );
    assert_eq!(policy.interfaces[2], InterfacePattern::DefaultRoute);
    assert_eq!(policy.attach, AttachMode::Native);
    assert_eq!(policy.default, Fate::Drop);
    assert!(!policy.essential);
    assert_eq!(policy.non_ip, Fate::Drop);
    assert_eq!(policy.malformed, Fate::Pass);
    assert_eq!(policy.fragments, Fragments::Drop);
    assert!(!policy.enforce);

    let policy = accepted("version: 1\nrules: []\n").policy;
    assert!(policy.interfaces.is_empty());
    assert_eq!(policy.attach, AttachMode::Auto);
    assert_eq!(policy.default, Fate::Pass);
    assert!(policy.essential);
    assert_eq!(policy.non_ip, Fate::Pass);
    assert_eq!(policy.malformed, Fate::Drop);
    assert_eq!(policy.fragments, Fragments::Pass);
    assert!(policy.enforce);
}

#[test]
fn words_of_settings() {
    for (line, message, hint) in [
        (
            "attach: Native",
            "`attach` is `auto`, `native` or `generic`, found `Native`",
            "`native`",
        ),
        (
            "attach: skb",
            "`attach` is `auto`, `native` or `generic`, found `skb`",
            "write",
        ),
        (
            "default: deny",
            "`default` is `pass` or `drop`, found `deny`",
            "write",
        ),
        (
            "default: accept",
            "`default` is `pass` or `drop`, found `accept`",
            "write",
        ),
        (
            "essential: drop",
            "`essential` is `pass` or `rules`, found `drop`",
            "write",
        ),
        (
            "non_ip: false",
            "`non_ip` is `pass` or `drop`, found `false`",
            "write",
        ),
        (
            "malformed: ~",
            "`malformed` is `pass` or `drop`, found `~`",
            "write",
        ),
        (
            "fragments: limit",
            "`fragments` is `pass`, `drop` or a rate, found `limit`",
            "1000/s",
        ),
        (
            "fragments: 1000/s",
            "`fragments` is `pass`, `drop` or a rate, found `1000/s`",
            "{ rate",
        ),
    ] {
        let text = format!("version: 1\n{line}\nrules: []\n");
        let problem = only_problem(&text);
        assert_eq!(problem.message, message);
        assert!(problem.hint.unwrap().contains(hint), "{line}");
    }
}

#[test]
fn rates_of_fragments() {
    for (written, count, period, burst, interval_ns) in [
        (
            "{ rate: 1000/s }",
            1000,
            RatePeriod::Second,
            1000,
            1_000_000,
        ),
        ("{ rate: 1/s }", 1, RatePeriod::Second, 1, 1_000_000_000),
        ("{ rate: 90/m }", 90, RatePeriod::Minute, 1, 666_666_667),
        ("{ rate: 600/m }", 600, RatePeriod::Minute, 10, 100_000_000),
        (
            "{ rate: \"5/s\", burst: 70 }",
            5,
            RatePeriod::Second,
            70,
            200_000_000,
        ),
    ] {
        let text = format!("version: 1\nfragments: {written}\nrules: []\n");
        let (policy, tables) = tables(&text);
        assert_eq!(
            policy.fragments,
            Fragments::Rate(Rate {
                count,
                period,
                burst
            })
        );
        let wide = |low: Setting, high: Setting| {
            u64::from(tables.settings[high as usize]) << 32
                | u64::from(tables.settings[low as usize])
        };
        assert_eq!(
            wide(Setting::FragmentIntervalLow, Setting::FragmentIntervalHigh),
            interval_ns,
            "{written}"
        );
        assert_eq!(
            wide(
                Setting::FragmentToleranceLow,
                Setting::FragmentToleranceHigh
            ),
            interval_ns * (burst - 1),
            "{written}"
        );
    }
    for written in [
        "0/s",
        "-1/s",
        "1000",
        "1000/h",
        "1000 /s",
        "1_000/s",
        "010/s",
        "1.5/s",
        "/s",
        "~",
        "[1/s]",
        "1000000001/s",
    ] {
        let text = format!("version: 1\nfragments: {{ rate: {written} }}\nrules: []\n");
        assert_eq!(only_problem(&text).severity, Severity::Error);
    }
    for (written, message) in [
        ("{ burst: 5 }", "`fragments` has no `rate`"),
        (
            "{ rate: 5/s, burst: 0 }",
            "`burst` is a number of packets, found `0`",
        ),
        (
            "{ rate: 5/s, burst: 1k }",
            "`burst` is a number of packets, found `1k`",
        ),
        ("{ rate: 5/s, per: source }", "`fragments` has no key `per`"),
    ] {
        let text = format!("version: 1\nfragments: {written}\nrules: []\n");
        assert_eq!(only_problem(&text).message, message);
    }
}

#[test]
fn versions() {
    let of = |line: &str| format!("{line}\nrules: []\n");
    accepted(&of("version: 1"));
    assert_refused(
        &of("version: 2"),
        "version `2` is not known",
        "`version: 1`",
        "2",
    );
    assert_refused(
        &of("version: 1.0"),
        "`version` is `1`, found `1.0`",
        "`version: 1`",
        "1.0",
    );
    assert_refused(
        &of("version: v1"),
        "`version` is `1`, found `v1`",
        "`version: 1`",
        "v1",
    );
    assert_refused(
        &of("enforce: true"),
        "the key `version` is missing",
        "`version: 1`",
        "enforce",
    );
}

#[test]
fn interfaces() {
    let of = |list: &str| format!("version: 1\ninterfaces: {list}\nrules: []\n");
    for (list, bad) in [
        ("[a234567890123456]", "a234567890123456"),
        ("[eth0, \"a b\"]", "\"a b\""),
        ("[a/b]", "a/b"),
        ("[eth0:1]", "eth0:1"),
        ("[.]", "."),
        ("['..']", "'..'"),
        ("[\"\"]", "\"\""),
        ("[\"eth[0\"]", "\"eth[0\""),
        ("[~]", "~"),
        ("[[eth0]]", "[eth0]"),
    ] {
        let text = of(list);
        assert_eq!(pointed(&text, &only_problem(&text)), bad);
    }
    assert_refused(
        &of("[]"),
        "`interfaces` is an empty list",
        "no `interfaces`",
        "[]",
    );
    let patterns = accepted(&of("\"wan*\"")).policy.interfaces;
    assert!(patterns[0].matches("wan7"));
    assert!(!accepted(&of("[\"*\"]")).policy.interfaces[0].matches("lo"));
    let twice = accepted(&of("[eth0, eth0]"));
    assert_eq!(twice.policy.interfaces.len(), 1);
    assert_eq!(twice.warnings[0].message, "`eth0` stands twice");
}

#[test]
fn an_asterisk_without_quotes_is_explained() {
    for (list, shown) in [("[*]", "`*`"), ("[eth0, *lan]", "`*lan`"), ("*", "`*`")] {
        let text = format!("version: 1\ninterfaces: {list}\nrules: []\n");
        let problem = only_problem(&text);
        assert_eq!(
            problem.message,
            format!("{shown} reads as an alias, and no anchor has this name")
        );
        assert!(problem.hint.unwrap().contains("needs quotes"));
    }
}

#[test]
fn rules_keep_their_place_and_comment() {
    let text = "version: 1\r\ninterfaces: [eth0]\r\nrules:\r\n  - action: pass\r\n    comment: \"höher\"\r\n    \
                name: first\r\n    ports: ssh\r\n  - { name: second, action: drop, ports: 1-3, comment: 42 }\r\n";
    let policy = accepted(text).policy;
    assert_eq!(
        (policy.rules[0].place.line, policy.rules[1].place.line),
        (6, 8)
    );
    assert_eq!(
        &text[policy.rules[1].span.start..policy.rules[1].span.end],
        "second"
    );
    assert_eq!(policy.rules[0].comment.as_deref(), Some("höher"));
    assert_eq!(policy.rules[1].comment.as_deref(), Some("42"));
    assert_eq!(policy.rules[0].action, RuleAction::Pass);
    let range = PortRange { low: 1, high: 3 };
    assert_eq!(
        policy.rules[1].services,
        [
            ServiceMatch::Ports(Transport::Tcp, range),
            ServiceMatch::Ports(Transport::Udp, range)
        ]
    );
    let text = with_rules(&["{ name: r, action: drop, ports: 22, comment: [a] }"]);
    assert_refused(&text, "`comment` is a text, found a list", "quotes", "[a]");
}

#[test]
fn a_policy_is_never_accepted_in_part() {
    // One bad entry among good ones refuses the whole.
    for bad in ["nosuch", "0", "22:22", "null"] {
        assert!(check(&with_ports(&format!("[22, {bad}, 23]")), &mut NoFiles).is_err());
    }
}
