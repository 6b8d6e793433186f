//! Fragments: first and atomic ones are judged like any packet, later ones have no ports.

use std::time::Instant;

use crate::filter::Filter;
use crate::frames::{
    DESTINATION_OPTIONS, Extension, HOP_BY_HOP, Ipv4, Ipv6, Segment, ethernet, icmp, icmpv6, ipv6,
    portless, sctp, tcp, udp,
};

const ATOMIC: Extension = Extension::Fragment(0, false);
const FIRST: Extension = Extension::Fragment(0, true);

/// Later fragments of a protocol, whose payload reads like a header with port 22 in both places.
fn later(protocol: u8) -> Vec<(String, Vec<u8>)> {
    let payload = [0, 22, 0, 22, 0, 22, 0, 22].repeat(4);
    let mut frames = Vec::new();
    // 8 bytes is an offset of its own for TCP, see the reasons of malformed packets.
    for (units, more) in [
        (2, true),
        (2, false),
        (185, true),
        (185, false),
        (8191, false),
    ] {
        let segment = portless(protocol, &payload);
        let v4 = Ipv4::carrying(segment.clone()).fragment(units, more);
        frames.push((
            format!("IPv4, offset {units} * 8, more: {more}"),
            ethernet(v4),
        ));
        let v6 = segment.behind(Extension::Fragment(units, more));
        frames.push((format!("IPv6, offset {units} * 8, more: {more}"), ipv6(v6)));
    }
    frames
}

#[test]
fn first_fragments_are_judged_like_any_packet() {
    let mut filter = Filter::new(
        "fragments: drop",
        &["{ name: ssh, action: drop, protocol: [tcp, udp, sctp], ports: 22 }"],
    );
    for (name, blocked, open) in [
        ("tcp", tcp(1, 22), tcp(22, 1)),
        ("udp", udp(1, 22, &[0; 40]), udp(22, 1, &[0; 40])),
        ("sctp", sctp(1, 22), sctp(22, 1)),
    ] {
        let v4 = |segment: &Segment| Ipv4::carrying(segment.clone()).fragment(0, true);
        let expected = format!("drop ssh {name}/22");
        filter.expect(name, &ethernet(v4(&blocked)), &expected);
        filter.expect(name, &ethernet(v4(&open)), "pass default-pass");
        filter.expect(name, &ipv6(blocked.behind(FIRST)), &expected);
        filter.expect(name, &ipv6(open.behind(FIRST)), "pass default-pass");
    }
}

#[test]
fn atomic_fragments_are_whole_packets() {
    let mut filter = Filter::new(
        "fragments: drop\ndefault: drop",
        &["{ name: web, action: pass, ports: 443/tcp }"],
    );
    let web = ipv6(tcp(40_000, 443).behind(ATOMIC));
    filter.expect("web", &web, "pass web");
    let other = ipv6(udp(40_000, 443, b"").behind(ATOMIC));
    filter.expect("udp", &other, "drop default-drop udp/443");
    let solicitation = Ipv6::carrying(icmpv6(135, 0).behind(ATOMIC)).hop_limit(255);
    filter.expect("solicitation", &ethernet(solicitation), "pass essential");
}

#[test]
fn flags_of_ipv4_other_than_more_do_not_matter() {
    let mut filter = Filter::new(
        "fragments: drop",
        &["{ name: ssh, action: drop, ports: 22 }"],
    );
    for (case, field) in [
        ("do not fragment", 0x4000),
        ("reserved", 0x8000),
        ("both", 0xc000),
        ("all with more", 0xe000),
    ] {
        let frame = ethernet(Ipv4::carrying(tcp(1, 22)).fragmentation(field));
        filter.expect(case, &frame, "drop ssh tcp/22");
    }
    let frame = ethernet(Ipv4::carrying(udp(1, 22, b"")).fragmentation(0xc001));
    filter.expect("all flags, offset 8", &frame, "drop later-fragment udp");
}

#[test]
fn ports_do_not_match_later_fragments() {
    let numbers = "{ name: number, action: drop, protocol: [tcp, udp, sctp], ports: 22 }";
    let ranges = "{ name: range, action: drop, protocol: [tcp, udp, sctp], ports: 1-65535 }";
    let names = "{ name: names, action: drop, ports: [ssh, domain] }";
    let mut filter = Filter::new("", &[numbers, ranges, names]);
    for protocol in [6, 17, 132] {
        for (case, frame) in later(protocol) {
            let case = format!("protocol {protocol}, {case}");
            filter.expect(&case, &frame, "pass later-fragment");
        }
    }
}

#[test]
fn any_port_matches_later_fragments_of_its_protocol() {
    let mut filter = Filter::new("", &["{ name: all, action: drop, ports: any/udp }"]);
    for (case, frame) in later(17) {
        filter.expect(&case, &frame, "drop all udp");
    }
    for protocol in [6, 132] {
        for (case, frame) in later(protocol) {
            filter.expect(&case, &frame, "pass later-fragment");
        }
    }
}

#[test]
fn protocols_match_later_fragments() {
    let rules = [
        "{ name: icmp, action: drop, protocol: icmp }",
        "{ name: icmpv6, action: drop, protocol: icmpv6 }",
        "{ name: gre, action: pass, protocol: gre }",
    ];
    let mut filter = Filter::new("fragments: drop", &rules);
    for (case, frame) in later(1) {
        let expected = if case.starts_with("IPv4") {
            "drop icmp 1"
        } else {
            "drop later-fragment 1"
        };
        filter.expect(&format!("icmp, {case}"), &frame, expected);
    }
    for (case, frame) in later(58) {
        let expected = if case.starts_with("IPv6") {
            "drop icmpv6 58"
        } else {
            "drop later-fragment 58"
        };
        filter.expect(&format!("icmpv6, {case}"), &frame, expected);
    }
    for (case, frame) in later(47) {
        filter.expect(&format!("gre, {case}"), &frame, "pass gre");
    }
    for (case, frame) in later(50) {
        filter.expect(&format!("esp, {case}"), &frame, "drop later-fragment 50");
    }
}

#[test]
fn a_rule_on_everything_matches_later_fragments() {
    let mut filter = Filter::new("", &["{ name: all, action: drop, protocol: any }"]);
    for (protocol, key) in [(6, "tcp"), (17, "udp"), (1, "1"), (50, "50"), (253, "253")] {
        for (case, frame) in later(protocol) {
            filter.expect(
                &format!("{protocol}, {case}"),
                &frame,
                &format!("drop all {key}"),
            );
        }
    }
}

#[test]
fn fragments_decides_and_not_the_default() {
    for (settings, expected) in [
        ("default: drop", "pass later-fragment"),
        ("default: drop\nfragments: pass", "pass later-fragment"),
        ("fragments: drop", "drop later-fragment tcp"),
        ("fragments: drop\nenforce: false", "pass later-fragment tcp"),
    ] {
        let mut filter = Filter::new(settings, &["{ name: ssh, action: drop, ports: 22 }"]);
        for (case, frame) in later(6) {
            filter.expect(&format!("{case}, {settings}"), &frame, expected);
        }
    }
}

#[test]
fn the_walk_ends_at_a_later_fragment() {
    let mut filter = Filter::new("fragments: drop", &[]);
    // The fragment header names another extension header, but what follows is the middle of one.
    for (next, len) in [
        (DESTINATION_OPTIONS, 255),
        (HOP_BY_HOP, 9),
        (43, 1),
        (51, 3),
        (44, 0),
    ] {
        let segment = portless(next, &[6, len, 0, 0, 0, 0, 0, 22]);
        let frame = ipv6(segment.behind(Extension::Fragment(1, true)));
        let case = format!("next header {next}");
        filter.expect(&case, &frame, &format!("drop later-fragment {next}"));
    }
    // The eighth header may be that of a later fragment.
    let mut chain = vec![Extension::Octets(DESTINATION_OPTIONS, 0); 7];
    chain.push(Extension::Fragment(40, false));
    let frame = ipv6(portless(DESTINATION_OPTIONS, &[0; 8]).behind_all(&chain));
    filter.expect("eighth header", &frame, "drop later-fragment 60");
}

#[test]
fn only_tcp_may_not_begin_at_8_bytes() {
    let mut filter = Filter::new("", &[]);
    for protocol in [1, 17, 47, 50, 58, 132] {
        for more in [false, true] {
            let segment = portless(protocol, &[0; 16]);
            let v4 = ethernet(Ipv4::carrying(segment.clone()).fragment(1, more));
            let v6 = ipv6(segment.behind(Extension::Fragment(1, more)));
            let case = format!("protocol {protocol}, more: {more}");
            filter.expect(&case, &v4, "pass later-fragment");
            filter.expect(&case, &v6, "pass later-fragment");
        }
    }
}

#[test]
fn later_fragments_may_be_of_any_size() {
    let mut filter = Filter::new("", &[]);
    for size in [0, 1, 7, 8, 9] {
        for protocol in [6, 17, 132, 1, 58] {
            let segment = portless(protocol, &vec![0; size]);
            let v4 = ethernet(Ipv4::carrying(segment.clone()).fragment(5, false));
            let v6 = ipv6(segment.behind(Extension::Fragment(5, false)));
            let case = format!("{size} bytes of protocol {protocol}");
            filter.expect(&case, &v4, "pass later-fragment");
            filter.expect(&case, &v6, "pass later-fragment");
        }
    }
}

#[test]
fn a_later_fragment_of_icmp_has_no_type() {
    let mut filter = Filter::new("fragments: drop", &[]);
    let v4 = Ipv4::carrying(icmp(3, 4)).fragment(4, false);
    filter.expect("icmp", &ethernet(v4), "drop later-fragment 1");
    let v6 = Ipv6::carrying(icmpv6(135, 0).behind(Extension::Fragment(4, false)));
    filter.expect(
        "icmpv6",
        &ethernet(v6.hop_limit(255)),
        "drop later-fragment 58",
    );
}

#[test]
fn a_rate_passes_its_burst_and_drops_beyond() {
    // One a minute: no token comes back while the test runs.
    let mut filter = Filter::new("fragments: { rate: 1/m, burst: 5 }", &[]);
    let frames = later(17);
    for round in 0..20 {
        let (case, frame) = &frames[round % frames.len()];
        let expected = if round < 5 {
            "pass later-fragment"
        } else {
            "drop later-fragment udp"
        };
        filter.expect(&format!("{case}, round {round}"), frame, expected);
    }
    let whole = ethernet(Ipv4::carrying(udp(1, 53, b"")));
    filter.expect("no fragment", &whole, "pass default-pass");
}

#[test]
fn a_rate_without_burst_has_at_least_one() {
    let mut filter = Filter::new("default: drop\nfragments: { rate: 2/m }", &[]);
    let (case, frame) = &later(6)[0];
    filter.expect(case, frame, "pass later-fragment");
    filter.expect(case, frame, "drop later-fragment tcp");
}

#[test]
fn a_rate_is_for_fragments_that_no_rule_decides() {
    let rules = [
        "{ name: passed, action: pass, ports: any/udp }",
        "{ name: dropped, action: drop, ports: any/tcp }",
    ];
    let mut filter = Filter::new("fragments: { rate: 1/m, burst: 1 }", &rules);
    for (case, frame) in later(17) {
        filter.expect(&case, &frame, "pass passed");
    }
    for (case, frame) in later(6) {
        filter.expect(&case, &frame, "drop dropped tcp");
    }
    let (case, frame) = &later(132)[0];
    filter.expect(case, frame, "pass later-fragment");
    filter.expect(case, frame, "drop later-fragment sctp");
}

#[test]
fn a_rate_refills_up_to_its_burst() {
    const RATE: u128 = 1000;
    const BURST: u128 = 20;
    let start = Instant::now();
    let mut filter = Filter::new("fragments: { rate: 1000/s, burst: 20 }", &[]);
    let (_, frame) = &later(17)[0];
    let mut passed = 0;
    let mut sent = 0;
    while passed < 3 * BURST && sent < 100_000 {
        sent += 1;
        passed += u128::from(filter.judge(frame, Some("udp")) == "pass later-fragment");
    }
    let due = start.elapsed().as_millis() * RATE / 1000;
    assert!(
        passed >= 3 * BURST,
        "{passed} of {sent} passed: tokens do not come back"
    );
    assert!(
        passed <= BURST + due + 1,
        "{passed} passed, {BURST} and {due} were due"
    );
}

#[test]
fn a_rate_off_enforcement_counts_what_it_would_drop() {
    let mut filter = Filter::new("enforce: false\nfragments: { rate: 1/m, burst: 2 }", &[]);
    let (case, frame) = &later(17)[0];
    filter.expect(case, frame, "pass later-fragment");
    filter.expect(case, frame, "pass later-fragment");
    filter.expect(case, frame, "pass later-fragment udp");
}
