//! What the tables decide, against the specification and against a naive evaluation of the rules.

mod common;

use common::*;
use portguard_common::abi::{
    Action, Cell, FRAGMENTS_DROP, FRAGMENTS_PASS, FRAGMENTS_RATE, Setting, service,
};
use portguard_common::limits;
use portguard_policy::{
    AttachMode, Attribution, CompileError, Fate, Fragments, HostServices, OnStop, Policy,
    PortRange, Rule, RuleAction, ServiceMatch, Span, Transport,
};
use proptest::prelude::*;

#[test]
fn m01_a_range_holds_its_ports_and_no_others() {
    for (low, high) in [
        (1000_u16, 2000_u16),
        (255, 256),
        (255, 65280),
        (1, 65535),
        (256, 256),
    ] {
        let tables = tables(&with_ports(&format!("{low}-{high}/tcp")));
        let edges = [
            0, 1, 254, 255, 256, 257, 999, 1000, 1001, 1500, 1999, 2000, 2001, 65279, 65280, 65281,
            65534, 65535,
        ];
        let swapped = edges.map(u16::swap_bytes);
        for port in edges.into_iter().chain(swapped).chain([59395, 53255]) {
            let expected = if (low..=high).contains(&port) {
                Action::Drop
            } else {
                Action::Undecided
            };
            let (action, rule, _) = verdict(&tables, service::TCP + u32::from(port));
            assert_eq!(action, expected, "{low}-{high}: {port}");
            assert_eq!(rule, (expected == Action::Drop).then_some("r"));
            assert_eq!(action_of_udp(&tables, port), Action::Undecided);
        }
    }
}

fn action_of_udp(tables: &(Policy, portguard_policy::Tables), port: u16) -> Action {
    action(tables, service::UDP + u32::from(port))
}

#[test]
fn the_first_enforced_rule_decides() {
    let tables = tables(&with_rules(&[
        "{ name: count-all, action: drop, ports: 1-100, enforce: false }",
        "{ name: ssh, action: pass, ports: 22/tcp }",
        "{ name: ignored, action: pass, ports: 1-100, enforce: false }",
        "{ name: count-low, action: drop, ports: 1-50/tcp, enforce: false }",
        "{ name: low, action: drop, ports: 20-30 }",
        "{ name: never-asked, action: drop, ports: 20-30, enforce: false }",
    ]));
    let tcp = |port: u32| verdict(&tables, service::TCP + port);
    assert_eq!(tcp(0), (Action::Undecided, None, vec![]));
    assert_eq!(
        tcp(1),
        (Action::Undecided, None, vec!["count-all", "count-low"])
    );
    assert_eq!(
        tcp(19),
        (Action::Undecided, None, vec!["count-all", "count-low"])
    );
    assert_eq!(
        tcp(20),
        (Action::Drop, Some("low"), vec!["count-all", "count-low"])
    );
    assert_eq!(
        tcp(21),
        (Action::Drop, Some("low"), vec!["count-all", "count-low"])
    );
    assert_eq!(tcp(22), (Action::Pass, Some("ssh"), vec!["count-all"]));
    assert_eq!(
        tcp(30),
        (Action::Drop, Some("low"), vec!["count-all", "count-low"])
    );
    assert_eq!(
        tcp(31),
        (Action::Undecided, None, vec!["count-all", "count-low"])
    );
    assert_eq!(tcp(51), (Action::Undecided, None, vec!["count-all"]));
    assert_eq!(tcp(101), (Action::Undecided, None, vec![]));
    let udp = verdict(&tables, service::UDP + 22);
    assert_eq!(udp, (Action::Drop, Some("low"), vec!["count-all"]));
    assert_eq!(
        verdict(&tables, service::SCTP + 22),
        (Action::Undecided, None, vec![])
    );
}

#[test]
fn cells_say_whether_only_counting_rules_match() {
    let (_, tables) = tables(&with_rules(&[
        "{ name: count, action: drop, ports: 1-100, enforce: false }",
        "{ name: decide, action: drop, ports: 50-60 }",
    ]));
    assert_eq!(tables.services.len(), service::LEN as usize);
    assert_eq!(tables.meaning.cells[0], Cell::NO_RULE);
    assert_eq!(tables.meaning.attributions[0], Attribution::default());
    assert_eq!(
        tables.meaning.cells.len(),
        tables.meaning.attributions.len()
    );
    let cell = |port: u32| tables.meaning.cells[usize::from(tables.services[port as usize])];
    assert_eq!(cell(1).action(), Action::Undecided);
    assert_eq!(cell(1).shadow, tables.services[1], "it counts them itself");
    assert_eq!(cell(50).action(), Action::Drop);
    assert_eq!(
        cell(50).shadow,
        tables.services[1],
        "for the case of a reply"
    );
    assert_eq!(cell(101), Cell::NO_RULE);
    assert_eq!(tables.meaning.cells.len(), 3, "like services share a cell");
}

#[test]
fn cells_are_in_the_order_of_their_actions() {
    // Each action by two rules, the last ones first, beside one that only counts.
    let rules = ["limit, rate: 5/s", "reject", "drop", "pass"];
    let mut texts =
        vec!["{ name: count, action: drop, ports: 1-8/tcp, enforce: false }".to_owned()];
    for (place, port) in (1..=8).enumerate() {
        let action = rules[place % 4];
        texts.push(format!(
            "{{ name: r{port}, action: {action}, ports: {port}/tcp }}"
        ));
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let text = format!(
        "replies: pass\ntrusted: [192.0.2.1]\n{}",
        with_rules(&texts)
    );
    let tables = tables(&text).1;
    let meaning = &tables.meaning;
    let actions: Vec<Action> = meaning.cells.iter().map(|cell| cell.action()).collect();
    assert!(actions.is_sorted_by_key(|action| *action as u8));
    assert_eq!(meaning.cells[0], Cell::NO_RULE);
    // The one that counts alone, for all that is a reply or beyond a limit, and two of each rule.
    let count = |action| actions.iter().filter(|own| **own == action).count();
    assert_eq!(Action::ALL.map(count), [2, 2, 2, 2, 2, 1]);
    let ends = Action::ALL.map(|action| meaning.cells_up_to(action));
    assert_eq!(ends, [2, 4, 6, 8, 10, 11]);
    for (cell, attribution) in meaning.cells.iter().zip(&meaning.attributions) {
        let decider = attribution.decider.map(|rule| rules[(rule - 1) % 4]);
        let expected = match cell.action() {
            Action::Undecided | Action::Trusted => None,
            Action::Pass => Some("pass"),
            Action::Drop => Some("drop"),
            Action::Reject => Some("reject"),
            Action::Limit => Some("limit, rate: 5/s"),
        };
        assert_eq!(decider, expected);
        // Where another way to decide is possible, what only counts is counted by cell 1.
        let shadow = match cell.action() {
            Action::Drop | Action::Reject | Action::Limit => 1,
            Action::Undecided => u16::from(!attribution.shadows.is_empty()),
            Action::Pass | Action::Trusted => 0,
        };
        assert_eq!(cell.shadow, shadow, "{cell:?}");
    }
}

#[test]
fn what_only_counts_has_a_cell_for_replies_where_they_pass() {
    let cells = |replies: &str, action: &str| {
        let text = with_rules(&[
            "{ name: count, action: drop, ports: 50-60/tcp, enforce: false }",
            &format!("{{ name: decide, action: {action}, ports: 50-60/tcp }}"),
        ]);
        let text = format!("replies: {replies}\n{text}");
        tables(&text).1.meaning.cells.len()
    };
    for action in ["drop", "reject"] {
        assert_eq!(cells("pass", action), 3, "{action}");
        assert_eq!(cells("rules", action), 2, "{action}");
    }
    assert_eq!(cells("pass", "pass"), 2);
    // What is beyond a limit is counted by the limit, and what only counts apart.
    assert_eq!(cells("rules", "limit, rate: 1/s"), 3);
}

#[test]
fn later_fragments_have_no_port() {
    let of = |rest: &str| {
        tables(&with_rules(&[&format!(
            "{{ name: r, action: drop, {rest} }}"
        )]))
    };
    let fragment = |tables: &(Policy, portguard_policy::Tables), number: u32| {
        (
            action(tables, service::PORTLESS_V4 + number),
            action(tables, service::PORTLESS_V6 + number),
        )
    };
    let (no, yes) = (Action::Undecided, Action::Drop);
    for ports in ["22", "1-65535", "ssh", "[22/tcp, 53/udp, 9/sctp]"] {
        let tables = of(&format!("ports: {ports}"));
        for number in [6, 17, 132] {
            assert_eq!(fragment(&tables, number), (no, no), "{ports}");
        }
    }
    let any = of("ports: any");
    assert_eq!(
        [6, 17, 132].map(|number| fragment(&any, number)),
        [(yes, yes), (yes, yes), (no, no)]
    );
    let sctp = of("ports: any/sctp");
    assert_eq!(
        [6, 17, 132].map(|number| fragment(&sctp, number)),
        [(no, no), (no, no), (yes, yes)]
    );
    assert_eq!(fragment(&of("protocol: icmp"), 1), (yes, no));
    assert_eq!(fragment(&of("protocol: icmpv6"), 58), (no, yes));
    assert_eq!(fragment(&of("protocol: 1"), 1), (yes, yes));
    assert_eq!(fragment(&of("protocol: 58"), 58), (yes, yes));
    assert_eq!(fragment(&of("protocol: 47"), 47), (yes, yes));
    assert_eq!(fragment(&of("protocol: any"), 6), (yes, yes));
}

#[test]
fn icmp_is_of_one_family_each() {
    let of = |protocol: &str| {
        tables(&with_rules(&[&format!(
            "{{ name: r, action: drop, protocol: {protocol} }}"
        )]))
    };
    let echo = |tables: &(Policy, portguard_policy::Tables)| {
        (
            action(tables, service::ICMP + (8 << 8)),
            action(tables, service::ICMPV6 + (128 << 8)),
        )
    };
    let (no, yes) = (Action::Undecided, Action::Drop);
    assert_eq!(echo(&of("icmp")), (yes, no));
    assert_eq!(echo(&of("icmpv6")), (no, yes));
    assert_eq!(echo(&of("1")), (yes, no));
    assert_eq!(echo(&of("58")), (no, yes));
    assert_eq!(echo(&of("any")), (yes, yes));
    assert_eq!(echo(&of("gre")), (no, no));
}

/// All indices of essential traffic.
fn essential() -> std::ops::Range<u32> {
    service::ESSENTIAL_ICMP..service::LEN
}

#[test]
fn essential_traffic_is_matched_only_by_rules_that_mean_it() {
    let matched = |rest: &str| -> Vec<u32> {
        let tables = tables(&with_rules(&[&format!(
            "{{ name: r, action: drop, {rest} }}"
        )]));
        essential()
            .filter(|index| action(&tables, *index) == Action::Drop)
            .collect()
    };
    for rest in [
        "protocol: any",
        "protocol: icmp",
        "protocol: [icmpv6, icmp, gre]",
        "protocol: 58",
        "ports: any",
        "ports: any/udp",
        "ports: 68",
        "ports: 1-65535/udp",
        "ports: 68-68/udp",
        "ports: bootpc",
        "ports: bootpc/udp",
        "ports: 546, protocol: udp",
        "ports: 67/udp",
    ] {
        assert!(matched(rest).is_empty(), "{rest}");
    }
    assert_eq!(matched("ports: 68/udp"), [service::ESSENTIAL_DHCP]);
    assert_eq!(
        matched("ports: [\"68/udp\"], protocol: udp"),
        [service::ESSENTIAL_DHCP]
    );
    assert_eq!(matched("ports: 546/udp"), [service::ESSENTIAL_DHCPV6]);
    assert_eq!(matched("protocol: igmp"), [service::ESSENTIAL_IGMP]);
    assert_eq!(matched("protocol: 2"), [service::ESSENTIAL_IGMP]);
}

#[test]
fn meaning_essential_traffic_means_the_ordinary_kind_too() {
    let tables = tables(&with_rules(&[
        "{ name: dhcp, action: drop, ports: 68/udp }",
        "{ name: igmp, action: drop, protocol: igmp }",
    ]));
    assert_eq!(action(&tables, service::UDP + 68), Action::Drop);
    assert_eq!(action(&tables, service::PORTLESS_V4 + 2), Action::Drop);
    assert_eq!(action(&tables, service::PORTLESS_V6 + 2), Action::Drop);
}

#[test]
fn any_protocol_is_all_that_is_not_essential() {
    for text in [
        with_rules(&["{ name: r, action: drop, protocol: any }"]),
        with_rules(&["{ name: r, action: drop, protocol: any }"])
            .replace("rules:", "essential: rules\nrules:"),
    ] {
        let tables = tables(&text);
        for index in 0..service::LEN {
            let expected = if essential().contains(&index) {
                Action::Undecided
            } else {
                Action::Drop
            };
            assert_eq!(action(&tables, index), expected, "{index}");
        }
    }
}

#[test]
fn settings_come_from_the_policy() {
    let settings = |lines: &str| {
        tables(&format!("version: 1\n{lines}rules: []\n"))
            .1
            .settings
    };
    let with = |pairs: &[(Setting, u32)]| {
        let mut settings = [0; portguard_common::abi::SETTINGS];
        for (setting, value) in pairs {
            settings[*setting as usize] = *value;
        }
        settings
    };
    use Setting::{DefaultDrop, Enforce, Essential, Fragments, MalformedDrop, NonIpDrop, Replies};
    assert_eq!(
        settings(""),
        with(&[
            (MalformedDrop, 1),
            (Essential, 1),
            (Enforce, 1),
            (Replies, 1),
            (Fragments, FRAGMENTS_PASS)
        ])
    );
    assert_eq!(
        settings(
            "default: drop\nnon_ip: drop\nmalformed: pass\nfragments: drop\nreplies: rules\nessential: rules\nenforce: false\n"
        ),
        with(&[
            (DefaultDrop, 1),
            (NonIpDrop, 1),
            (Fragments, FRAGMENTS_DROP)
        ])
    );
    let rate = settings("fragments: { rate: 5/s }\n");
    assert_eq!(rate[Fragments as usize], FRAGMENTS_RATE);
}

#[test]
fn a_rate_of_fragments_in_nanoseconds() {
    let times = |rate: &str| {
        let text = format!("version: 1\nfragments: {{ {rate} }}\nrules: []\n");
        let settings = tables(&text).1.settings;
        let whole = |low: Setting, high: Setting| {
            u64::from(settings[high as usize]) << 32 | u64::from(settings[low as usize])
        };
        (
            whole(Setting::FragmentIntervalLow, Setting::FragmentIntervalHigh),
            whole(
                Setting::FragmentToleranceLow,
                Setting::FragmentToleranceHigh,
            ),
        )
    };
    const SECOND: u64 = 1_000_000_000;
    // Burst is one second's worth, at least 1; the first packet of it takes no time.
    assert_eq!(times("rate: 5/s"), (SECOND / 5, 4 * SECOND / 5));
    assert_eq!(times("rate: 1/m"), (60 * SECOND, 0));
    assert_eq!(times("rate: 2/m, burst: 4"), (30 * SECOND, 90 * SECOND));
}

#[test]
fn whether_anything_is_rejected() {
    let rejects = |rules: &[&str]| tables(&with_rules(rules)).1.settings[Setting::Reject as usize];
    let [pass, drop, reject] = ["pass", "drop", "reject"]
        .map(|action| format!("{{ name: {action}, action: {action}, ports: 22 }}"));
    assert_eq!(rejects(&[]), 0);
    assert_eq!(rejects(&[&pass, &drop]), 0);
    assert_eq!(rejects(&[&pass, &reject]), 1);
}

#[test]
fn the_clock_of_the_last_tick_measures_bursts_of_a_tenth_of_a_second_and_more() {
    let is_coarse = |limits: &[&str]| {
        let rules: String = (1..)
            .zip(limits)
            .map(|(port, limit)| {
                format!("  - {{ name: l{port}, action: limit, ports: [{port}/udp], {limit} }}\n")
            })
            .collect();
        let settings = tables(&format!("version: 1\nrules:\n{rules}")).1.settings;
        settings[Setting::CoarseClock as usize] != 0
    };
    // One second's worth is the default.
    assert!(is_coarse(&["rate: 1000/s"]));
    // The first packet of a burst takes no time.
    assert!(is_coarse(&["rate: 1000/s, burst: 101"]));
    assert!(!is_coarse(&["rate: 1000/s, burst: 100"]));
    assert!(!is_coarse(&["rate: 1/s"]));
    assert!(is_coarse(&["rate: 2/s"]));
    // One that does not suit is enough.
    assert!(!is_coarse(&["rate: 1000/s", "rate: 1000/s, burst: 1"]));
}

fn policy_of(rules: Vec<Rule>) -> Policy {
    Policy {
        interfaces: Vec::new(),
        attach: AttachMode::Auto,
        default: Fate::Pass,
        replies: false,
        essential: true,
        metrics: portguard_policy::Metrics::default(),
        events: None,
        on_stop: OnStop::Detach,
        non_ip: Fate::Pass,
        malformed: Fate::Drop,
        fragments: Fragments::Pass,
        enforce: true,
        trusted: Vec::new(),
        services: HostServices::default(),
        rules,
        assertions: Vec::new(),
    }
}

fn rule(action: RuleAction, enforce: bool, services: Vec<ServiceMatch>) -> Rule {
    Rule {
        name: "r".to_owned(),
        action,
        services,
        source_ports: None,
        from: None,
        to: None,
        interfaces: None,
        vlans: None,
        enforce,
        events: true,
        comment: None,
        place: portguard_policy::Place {
            file: None,
            line: 1,
        },
        span: Span::default(),
    }
}

fn tcp(low: u16, high: u16) -> ServiceMatch {
    ServiceMatch::Ports(Transport::Tcp, PortRange { low, high })
}

#[test]
fn what_the_tables_cannot_hold_is_refused_with_sizes() {
    let many = vec![rule(RuleAction::Drop, true, vec![tcp(1, 1)]); limits::RULES + 1];
    let error = compiled(&policy_of(many)).unwrap_err();
    assert_eq!(
        error,
        CompileError::Rules {
            needed: 16_385,
            allowed: 16_384
        }
    );
    assert_eq!(
        error.to_string(),
        "the policy has 16385 rules, 16384 are allowed"
    );

    // Rules that only count, each from another port on: a triangle of overlaps.
    let triangle: Vec<Rule> = (1..=3_000)
        .map(|low| rule(RuleAction::Drop, false, vec![tcp(low, 65535)]))
        .collect();
    let error = compiled(&policy_of(triangle)).unwrap_err();
    let CompileError::Shadows { needed, allowed } = error else {
        panic!("{error}");
    };
    assert_eq!(allowed, limits::SHADOWS);
    assert!(
        (limits::SHADOWS + 1..=3_000 * 3_001 / 2).contains(&needed),
        "{needed}"
    );

    // Sixteen rules that only count, of which every port has another subset, before two that decide.
    let mut bits: Vec<Rule> = Vec::new();
    for bit in 0..16_u32 {
        let mut services = Vec::new();
        for transport in [Transport::Tcp, Transport::Udp] {
            for port in 1..=u16::MAX {
                if port >> bit & 1 == 1 {
                    services.push(ServiceMatch::Ports(
                        transport,
                        PortRange {
                            low: port,
                            high: port,
                        },
                    ));
                }
            }
        }
        bits.push(rule(RuleAction::Drop, false, services));
    }
    bits.push(rule(RuleAction::Drop, true, vec![tcp(1, 65535)]));
    bits.push(rule(
        RuleAction::Drop,
        true,
        vec![ServiceMatch::AnyPort(Transport::Udp)],
    ));
    let error = compiled(&policy_of(bits)).unwrap_err();
    let needed = 1 + 2 * 65_535 + 1;
    assert_eq!(
        error,
        CompileError::Classes {
            field: "services",
            needed,
            allowed: limits::CLASSES
        }
    );
}

#[test]
fn as_many_kinds_of_services_as_are_allowed() {
    // Sixteen rules that only count, of which every port from 1 on has another subset; other services have none.
    let counting = |ports: u16| -> Vec<Rule> {
        let services = |bit: u16| {
            (1..=ports)
                .filter(move |port| port >> bit & 1 == 1)
                .map(|port| tcp(port, port))
        };
        (0..16)
            .map(|bit| rule(RuleAction::Drop, false, services(bit).collect()))
            .collect()
    };
    let tables = compiled(&policy_of(counting(65_534))).unwrap();
    assert_eq!(tables.meaning.cells.len(), limits::CLASSES);
    assert_eq!(
        compiled(&policy_of(counting(65_535))),
        Err(CompileError::Classes {
            field: "services",
            needed: limits::CLASSES + 1,
            allowed: limits::CLASSES
        })
    );
}

/// Whether a rule matches a service, straight from the meaning of each kind of match.
fn matches(service: u32, rule: &Rule, essential: bool) -> bool {
    let ports = |transport: Transport| match transport {
        Transport::Tcp => service::TCP..service::UDP,
        Transport::Udp => service::UDP..service::SCTP,
        Transport::Sctp => service::SCTP..service::ICMP,
    };
    let icmp = (service::ICMP..service::ICMPV6).contains(&service);
    let icmpv6 = (service::ICMPV6..service::PORTLESS_V4).contains(&service);
    let v4 = |number: u8| service == service::PORTLESS_V4 + u32::from(number);
    let v6 = |number: u8| service == service::PORTLESS_V6 + u32::from(number);
    rule.services.iter().any(|own| match *own {
        ServiceMatch::Any => service < service::ESSENTIAL_ICMP,
        ServiceMatch::Ports(transport, range) => {
            let ports = ports(transport);
            ports.contains(&service)
                && (u32::from(range.low)..=u32::from(range.high)).contains(&(service - ports.start))
        }
        ServiceMatch::AnyPort(transport) => {
            ports(transport).contains(&service) || v4(transport.number()) || v6(transport.number())
        }
        ServiceMatch::Icmp => icmp || v4(1),
        ServiceMatch::Icmpv6 => icmpv6 || v6(58),
        ServiceMatch::Ah => v4(51),
        ServiceMatch::Protocol(1) => icmp || v4(1) || v6(1),
        ServiceMatch::Protocol(58) => icmpv6 || v4(58) || v6(58),
        ServiceMatch::Protocol(number) => v4(number) || v6(number),
        ServiceMatch::DhcpAnswer => essential && service == service::ESSENTIAL_DHCP,
        ServiceMatch::Dhcpv6Answer => essential && service == service::ESSENTIAL_DHCPV6,
        ServiceMatch::EssentialIgmp => essential && service == service::ESSENTIAL_IGMP,
        // `types` has examples of its own.
        ServiceMatch::IcmpType { .. } | ServiceMatch::Icmpv6Type { .. } => {
            unreachable!("the strategy makes none")
        }
    })
}

/// The deciding rule and the rules before it that only count, by trying one after another.
fn naive(service: u32, policy: &Policy) -> (Action, Option<usize>, Vec<usize>) {
    let mut shadows = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        if !matches(service, rule, policy.essential) {
            continue;
        }
        match (rule.enforce, rule.action) {
            (true, RuleAction::Pass) => return (Action::Pass, Some(index), shadows),
            (true, RuleAction::Drop) => return (Action::Drop, Some(index), shadows),
            (false, RuleAction::Drop) => shadows.push(index),
            (false, RuleAction::Pass) => {}
            (_, RuleAction::Reject | RuleAction::Limit(_)) => {
                unreachable!("the strategy makes none")
            }
        }
    }
    (Action::Undecided, None, shadows)
}

fn any_service() -> impl Strategy<Value = ServiceMatch> {
    let transport = prop_oneof![
        Just(Transport::Tcp),
        Just(Transport::Udp),
        Just(Transport::Sctp)
    ];
    let port = prop_oneof![
        1_u16..40,
        65500_u16..=65535,
        any::<u16>().prop_map(|port| port.max(1))
    ];
    let range = (port.clone(), port).prop_map(|(a, b)| PortRange {
        low: a.min(b),
        high: a.max(b),
    });
    prop_oneof![
        8 => (transport.clone(), range).prop_map(|(transport, range)| ServiceMatch::Ports(transport, range)),
        2 => transport.prop_map(ServiceMatch::AnyPort),
        2 => any::<u8>()
            .prop_filter("has ports", |number| Transport::from_number(*number).is_none())
            .prop_map(ServiceMatch::Protocol),
        1 => prop::sample::select(vec![
            ServiceMatch::Any,
            ServiceMatch::Icmp,
            ServiceMatch::Icmpv6,
            ServiceMatch::Ah,
            ServiceMatch::Protocol(1),
            ServiceMatch::Protocol(2),
            ServiceMatch::Protocol(58),
            ServiceMatch::DhcpAnswer,
            ServiceMatch::Dhcpv6Answer,
            ServiceMatch::EssentialIgmp,
        ]),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let rule = (
        any::<bool>(),
        prop::bool::weighted(0.6),
        prop::collection::vec(any_service(), 1..4),
    )
        .prop_map(|(pass, enforce, services)| {
            let action = if pass {
                RuleAction::Pass
            } else {
                RuleAction::Drop
            };
            rule(action, enforce, services)
        });
    (prop::collection::vec(rule, 0..14), any::<bool>()).prop_map(|(rules, essential)| Policy {
        essential,
        ..policy_of(rules)
    })
}

/// Every edge of a rule, its neighbours, and the edges of the table.
fn services_to_try(policy: &Policy) -> Vec<u32> {
    let mut services: Vec<u32> = (0..6)
        .flat_map(|block| [block << 16, (block << 16) + 1, (block << 16) + 65535])
        .collect();
    services.extend(service::PORTLESS_V4..service::LEN);
    for rule in &policy.rules {
        for own in &rule.services {
            if let ServiceMatch::Ports(_, range) = own {
                for port in [
                    range.low - 1,
                    range.low,
                    range.high,
                    range.high.saturating_add(1),
                ] {
                    services.extend((0..3).map(|block| (block << 16) + u32::from(port)));
                }
            }
        }
    }
    services.retain(|service| *service < service::LEN);
    services
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_agree_with_trying_one_rule_after_another(policy in any_policy()) {
        let tables = compiled(&policy).unwrap();
        for service in services_to_try(&policy) {
            let cell = usize::from(tables.services[service as usize]);
            let attribution = &tables.meaning.attributions[cell];
            let (action, decider, shadows) = naive(service, &policy);
            prop_assert_eq!(tables.meaning.cells[cell].action(), action, "{}", service);
            prop_assert_eq!(attribution.decider, decider);
            let counts = decider.is_none() && !shadows.is_empty();
            prop_assert_eq!(tables.meaning.cells[cell].shadow, if counts { tables.services[service as usize] } else { 0 });
            prop_assert_eq!(&attribution.shadows, &shadows);
        }
    }
}
