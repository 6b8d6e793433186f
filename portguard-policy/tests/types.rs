//! `types` of a rule, and the host's own `services`.

mod common;

use common::*;
use portguard_common::abi::{Action, service};

/// A drop rule of ICMP, ICMPv6 or both with these types.
fn typed(protocol: &str, types: &str) -> String {
    with_rules(&[&format!(
        "{{ name: r, action: drop, protocol: {protocol}, types: {types} }}"
    )])
}

fn icmp(kind: u32, code: u32) -> u32 {
    service::ICMP + (kind << 8) + code
}

fn icmpv6(kind: u32, code: u32) -> u32 {
    service::ICMPV6 + (kind << 8) + code
}

#[test]
fn a_type_matches_its_codes_and_no_other_type() {
    let tables = tables(&typed("icmp", "echo-request"));
    for code in [0, 1, 255] {
        assert_eq!(action(&tables, icmp(8, code)), Action::Drop);
    }
    for other in [
        icmp(0, 0),
        icmp(7, 255),
        icmp(9, 0),
        icmpv6(8, 0),
        icmpv6(128, 0),
    ] {
        assert_eq!(action(&tables, other), Action::Undecided, "{other}");
    }
    // A later fragment has no type.
    assert_eq!(action(&tables, service::PORTLESS_V4 + 1), Action::Undecided);
}

#[test]
fn p15_type_0_is_a_type_and_not_any() {
    let tables = tables(&typed("icmp", "[0]"));
    assert_eq!(action(&tables, icmp(0, 0)), Action::Drop);
    assert_eq!(action(&tables, icmp(8, 0)), Action::Undecided);
}

/// The registry calls type 13 "Timestamp", and its answer "Timestamp Reply".
#[test]
fn a_timestamp_is_called_what_the_registry_calls_it() {
    let tables = tables(&typed("icmp", "timestamp"));
    assert_eq!(action(&tables, icmp(13, 0)), Action::Drop);
    assert_eq!(action(&tables, icmp(14, 0)), Action::Undecided);
}

#[test]
fn a_code_narrows_a_type() {
    let tables = tables(&typed("icmp", "[5/1, redirect/3]"));
    for (code, expected) in [
        (0, Action::Undecided),
        (1, Action::Drop),
        (2, Action::Undecided),
        (3, Action::Drop),
    ] {
        assert_eq!(action(&tables, icmp(5, code)), expected, "{code}");
    }
}

#[test]
fn each_protocol_has_its_own_registry() {
    let four = tables(&typed("icmp", "destination-unreachable"));
    assert_eq!(action(&four, icmp(3, 0)), Action::Drop);
    assert_eq!(action(&four, icmpv6(1, 0)), Action::Undecided);
    let six = tables(&typed("icmpv6", "destination-unreachable"));
    assert_eq!(action(&six, icmpv6(1, 0)), Action::Drop);
    assert_eq!(action(&six, icmp(3, 0)), Action::Undecided);
    let both = tables(&typed("[icmp, icmpv6]", "[echo-request, redirect]"));
    for index in [icmp(8, 0), icmpv6(128, 0), icmp(5, 0), icmpv6(137, 0)] {
        assert_eq!(action(&both, index), Action::Drop, "{index}");
    }
}

#[test]
fn a_rule_that_lists_an_essential_type_means_it() {
    let tables = tables(&typed("icmpv6", "[neighbor-solicitation, 2/0]"));
    let essential = |place: u32, code: u32| service::ESSENTIAL_ICMPV6 + (place << 8) + code;
    // Types 135 and 2 are the tenth and the second of the essential ones.
    assert_eq!(action(&tables, essential(9, 0)), Action::Drop);
    assert_eq!(action(&tables, essential(9, 7)), Action::Drop);
    assert_eq!(action(&tables, essential(1, 0)), Action::Drop);
    assert_eq!(action(&tables, essential(1, 1)), Action::Undecided);
    assert_eq!(action(&tables, essential(8, 0)), Action::Undecided);
    // The same type with another hop limit is ordinary, and matched too.
    assert_eq!(action(&tables, icmpv6(135, 0)), Action::Drop);
    let four = common::tables(&typed("icmp", "time-exceeded"));
    assert_eq!(
        action(&four, service::ESSENTIAL_ICMP + (1 << 8)),
        Action::Drop
    );
    assert_eq!(action(&four, service::ESSENTIAL_ICMP), Action::Undecided);
}

#[test]
fn types_need_icmp_or_icmpv6_and_nothing_else() {
    let message = "`types` needs `protocol: icmp` or `protocol: icmpv6`";
    for protocol in ["tcp", "[icmp, tcp]", "any", "1", "[icmpv6, gre]"] {
        assert_refused(
            &typed(protocol, "8"),
            message,
            "a rule of their own",
            "types",
        );
    }
    let without = with_rules(&["{ name: r, action: drop, types: [8] }"]);
    assert_refused(&without, message, "ICMP", "types");
    let ports = with_rules(&["{ name: r, action: drop, protocol: icmp, types: [8], ports: 22 }"]);
    assert_refused(
        &ports,
        "`ports` and `types` exclude each other",
        "two rules",
        "ports",
    );
}

#[test]
fn wrong_types_are_told_with_what_is_right() {
    for (types, message, hint) in [
        (
            "[echo-requst]",
            "no type of ICMP is called `echo-requst`",
            "`echo-request`",
        ),
        (
            "[packet-too-big]",
            "no type of ICMP is called `packet-too-big`",
            "IANA",
        ),
        (
            "[256]",
            "the type `256` is no number from 0 to 255",
            "plain decimal",
        ),
        (
            "[010]",
            "the type `010` is no number from 0 to 255",
            "plain decimal",
        ),
        (
            "[3/x]",
            "the code `x` is no number from 0 to 255",
            "plain decimal",
        ),
        (
            "[3/]",
            "the code `` is no number from 0 to 255",
            "plain decimal",
        ),
        (
            "[3/256]",
            "the code `256` is no number from 0 to 255",
            "plain decimal",
        ),
    ] {
        let text = typed("icmp", types);
        assert_refused(&text, message, hint, types.trim_matches(['[', ']']));
    }
    assert_refused(
        &typed("[icmp, icmpv6]", "[8]"),
        "type `8` means one thing in ICMP and another in ICMPv6",
        "echo-request",
        "8",
    );
    assert_refused(
        &typed("[icmp, icmpv6]", "[packet-too-big]"),
        "no type of both ICMP and ICMPv6 is called `packet-too-big`",
        "IANA",
        "packet-too-big",
    );
    assert_refused(
        &typed("icmp", "[]"),
        "`types` is an empty list",
        "write a value",
        "[]",
    );
}

/// A policy with these `services` and one drop rule with these `ports`.
fn hosted(services: &str, ports: &str) -> String {
    format!(
        "version: 1\ninterfaces: [eth0]\nrules:\n  - {{ name: r, action: drop, ports: {ports} }}\nservices: {services}\n"
    )
}

#[test]
fn a_service_of_the_host_stands_for_its_ports() {
    let text = hosted(
        "{ app: 8443/tcp, mesh: [7946/tcp, 7946-7950/udp] }",
        "[app, mesh]",
    );
    let tables = tables(&text);
    let tcp = |port: u32| action(&tables, service::TCP + port);
    let udp = |port: u32| action(&tables, service::UDP + port);
    assert_eq!((tcp(8443), udp(8443)), (Action::Drop, Action::Undecided));
    assert_eq!((tcp(7946), tcp(7947)), (Action::Drop, Action::Undecided));
    assert_eq!(
        (udp(7946), udp(7950), udp(7951)),
        (Action::Drop, Action::Drop, Action::Undecided)
    );
}

#[test]
fn a_service_of_the_host_comes_before_the_catalogue_and_keeps_its_protocols() {
    let tables = tables(&hosted("{ ssh: 2222/tcp }", "ssh"));
    assert_eq!(action(&tables, service::TCP + 2222), Action::Drop);
    assert_eq!(action(&tables, service::TCP + 22), Action::Undecided);
    assert_refused(
        &hosted("{ app: 8443/tcp }", "app/udp"),
        "the service `app` does not exist for `udp`",
        "`app` is 8443/tcp",
        "app/udp",
    );
}

#[test]
fn a_misspelled_service_of_the_host_is_suggested() {
    assert_refused(
        &hosted("{ frontend: 8443/tcp }", "frontent"),
        "no service is called `frontent`",
        "`frontend`",
        "frontent",
    );
}

#[test]
fn wrong_services_are_told_with_what_is_right() {
    for (services, message, pointed_at) in [
        ("{ App: 1/tcp }", "`App` is no name of a service", "App"),
        ("{ any: 1/tcp }", "`any` is no name of a service", "any"),
        ("{ 80: 1/tcp }", "`80` is no name of a service", "80"),
        (
            "{ app: 8443 }",
            "expected a port with its protocol, found `8443`",
            "8443",
        ),
        (
            "{ app: ssh/tcp }",
            "expected a port in front of `/tcp`, found `ssh`",
            "ssh/tcp",
        ),
        (
            "{ app: 65536/tcp }",
            "the port `65536` is out of range",
            "65536/tcp",
        ),
        ("{ app: [] }", "`app` is an empty list", "[]"),
        (
            "{ app: 1/tcp, app: 2/tcp }",
            "the service `app` stands twice",
            "app",
        ),
    ] {
        assert_refused(&hosted(services, "22"), message, "", pointed_at);
    }
    let list = refused(&hosted("[8443/tcp]", "22"));
    assert!(
        list[0].message.starts_with("`services` is a mapping"),
        "{list:?}"
    );
}
