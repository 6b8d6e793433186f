//! Enforcement off, for the whole file and for a rule.

use crate::filter::Filter;
use crate::frames::{
    IGMP, Ipv4, Ipv6, ethernet, icmp, icmpv6, ipv4, ipv6, portless, raw_ethernet, tcp, tcp_with,
    udp,
};

#[test]
fn a_file_off_enforcement_counts_all_and_drops_nothing() {
    let rules = [
        "{ name: ssh, action: drop, ports: 22/tcp }",
        "{ name: web, action: pass, ports: 80/tcp }",
        "{ name: dhcp, action: drop, ports: 68/udp }",
    ];
    let settings = "enforce: false\ndefault: drop\nnon_ip: drop\nfragments: drop";
    let mut filter = Filter::new(settings, &rules);
    let later = Ipv4::carrying(portless(17, &[0; 8])).fragment(9, false);
    let solicitation = Ipv6::carrying(icmpv6(135, 0)).hop_limit(255);
    let cases = [
        ("blocked", ipv4(tcp(1, 22)), "pass ssh tcp/22"),
        ("blocked, IPv6", ipv6(tcp(1, 22)), "pass ssh tcp/22"),
        ("passed", ipv4(tcp(1, 80)), "pass web"),
        (
            "undecided",
            ipv4(udp(1, 22, b"")),
            "pass default-drop udp/22",
        ),
        ("undecided echo", ipv4(icmp(8, 0)), "pass default-drop 1"),
        ("DHCP", ipv4(udp(67, 68, b"")), "pass dhcp udp/68"),
        ("essential", ethernet(solicitation), "pass essential"),
        ("later fragment", ethernet(later), "pass later-fragment udp"),
        ("not IP", raw_ethernet(0x8847, &[0; 46]), "pass non-ip"),
        ("ARP", raw_ethernet(0x0806, &[0; 28]), "pass non-ip"),
        (
            "malformed",
            ipv4(tcp_with(1, 22, 2)),
            "pass malformed:tcp-data-offset",
        ),
        (
            "five tags",
            raw_ethernet(0x8100, &[0x81, 0, 0x81, 0].repeat(5)),
            "pass malformed:vlan-depth",
        ),
    ];
    for (case, frame, expected) in cases {
        filter.expect(case, &frame, expected);
    }
}

#[test]
fn a_rule_off_enforcement_counts_beside_the_outcome() {
    let rules = ["{ name: watch, action: drop, ports: 22/tcp, enforce: false }"];
    let mut filter = Filter::new("", &rules);
    filter.expect("watched", &ipv4(tcp(1, 22)), "pass default-pass +watch");
    filter.expect(
        "watched, IPv6",
        &ipv6(tcp(1, 22)),
        "pass default-pass +watch",
    );
    filter.expect("other port", &ipv4(tcp(1, 23)), "pass default-pass");
    filter.expect(
        "other protocol",
        &ipv4(udp(1, 22, b"")),
        "pass default-pass",
    );
    let mut filter = Filter::new("default: drop", &rules);
    filter.expect(
        "dropped",
        &ipv4(tcp(1, 22)),
        "drop default-drop tcp/22 +watch",
    );
}

#[test]
fn evaluation_goes_on_behind_a_rule_off_enforcement() {
    let rules = [
        "{ name: first, action: drop, ports: 1-100/tcp, enforce: false }",
        "{ name: pass, action: pass, ports: 22/tcp }",
        "{ name: second, action: drop, ports: [22/tcp, 50-60/tcp], enforce: false }",
        "{ name: drop, action: drop, ports: [22/tcp, 55/tcp, 200/tcp] }",
        "{ name: third, action: drop, protocol: any, enforce: false }",
    ];
    let mut filter = Filter::new("", &rules);
    for (port, expected) in [
        (22, "pass pass +first"),
        (55, "drop drop tcp/55 +first +second"),
        (60, "pass default-pass +first +second +third"),
        (99, "pass default-pass +first +third"),
        (200, "drop drop tcp/200"),
        (201, "pass default-pass +third"),
    ] {
        filter.expect(&format!("port {port}"), &ipv4(tcp(1, port)), expected);
    }
    filter.expect("echo", &ipv4(icmp(8, 0)), "pass default-pass +third");
}

#[test]
fn a_rule_off_enforcement_that_passes_would_drop_nothing() {
    let rules = [
        "{ name: allow, action: pass, ports: 22/tcp, enforce: false }",
        "{ name: deny, action: drop, protocol: any, enforce: false }",
        "{ name: block, action: drop, ports: 22/tcp }",
    ];
    let mut filter = Filter::new("", &rules);
    filter.expect("ssh", &ipv4(tcp(1, 22)), "drop block tcp/22 +deny");
}

#[test]
fn a_rule_off_enforcement_on_fragments_and_protocols() {
    let rules = [
        "{ name: udp, action: drop, ports: any/udp, enforce: false }",
        "{ name: dns, action: drop, ports: 53/udp, enforce: false }",
        "{ name: gre, action: drop, protocol: gre, enforce: false }",
    ];
    let mut filter = Filter::new("fragments: drop", &rules);
    let later = Ipv4::carrying(portless(17, &[0, 53, 0, 53, 0, 8, 0, 0])).fragment(9, false);
    filter.expect(
        "later fragment",
        &ethernet(later),
        "drop later-fragment udp +udp",
    );
    filter.expect(
        "first",
        &ipv6(udp(1, 53, b"")),
        "pass default-pass +udp +dns",
    );
    filter.expect(
        "gre",
        &ipv6(portless(47, &[0; 4])),
        "pass default-pass +gre",
    );
}

#[test]
fn a_rule_off_enforcement_sees_essential_traffic_if_it_means_it() {
    let rules = [
        "{ name: dhcp, action: drop, ports: 68/udp, enforce: false }",
        "{ name: igmp, action: drop, protocol: igmp, enforce: false }",
        "{ name: all, action: drop, protocol: any, enforce: false }",
    ];
    let mut filter = Filter::new("default: drop", &rules);
    filter.expect("dhcp", &ipv4(udp(67, 68, b"")), "pass essential +dhcp");
    let query = Ipv4::carrying(portless(IGMP, &[0x11; 8])).ttl(1);
    filter.expect("igmp", &ethernet(query), "pass essential +igmp");
    filter.expect("unreachable", &ipv4(icmp(3, 1)), "pass essential");
    filter.expect(
        "no answer",
        &ipv4(udp(68, 68, b"")),
        "drop default-drop udp/68 +dhcp +all",
    );
}

#[test]
fn malformed_and_other_frames_reach_no_rule_off_enforcement() {
    let rules = ["{ name: all, action: drop, protocol: any, enforce: false }"];
    let mut filter = Filter::new("malformed: pass", &rules);
    filter.expect(
        "malformed",
        &ipv4(tcp_with(1, 22, 0)),
        "pass malformed:tcp-data-offset",
    );
    filter.expect("not IP", &raw_ethernet(0x0806, &[0; 28]), "pass non-ip");
}

#[test]
fn both_kinds_together() {
    let rules = [
        "{ name: watch, action: drop, ports: 22/tcp, enforce: false }",
        "{ name: block, action: drop, ports: [22/tcp, 23/tcp] }",
    ];
    let mut filter = Filter::new("enforce: false", &rules);
    filter.expect("watched", &ipv4(tcp(1, 22)), "pass block tcp/22 +watch");
    filter.expect("blocked", &ipv4(tcp(1, 23)), "pass block tcp/23");
}

#[test]
fn many_rules_off_enforcement_count_the_same_packet() {
    let rules: Vec<String> = (0..50)
        .map(|number| {
            format!(
                "{{ name: w{number}, action: drop, ports: {}-65535/tcp, enforce: false }}",
                number + 1
            )
        })
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let mut filter = Filter::new("", &rules);
    for port in [0, 1, 2, 25, 50, 51, 65_535_u16] {
        let counted = (0..50_u16).take_while(|number| *number < port);
        let names: String = counted.map(|number| format!(" +w{number}")).collect();
        let expected = format!("pass default-pass{names}");
        filter.expect(&format!("port {port}"), &ipv4(tcp(1, port)), &expected);
    }
}
