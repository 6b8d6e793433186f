//! Every reason why a packet is malformed, with its counter and its name, and what is close to it but well.

use std::collections::BTreeSet;

use portguard_common::packet::Malformed;

use crate::filter::Filter;
use crate::frames::{
    CUSTOMER_TAG, DESTINATION_OPTIONS, Extension, HOP_BY_HOP, Ipv4, Ipv6, Link, Packet,
    SERVICE_TAG, Segment, ethernet, icmp, icmpv6, ipv4, ipv6, portless, raw_ethernet, sctp, tcp,
    tcp_with, udp, udp_with,
};

/// Rules that pass whatever the malformed frames would be if they were read carelessly.
const RULES: [&str; 2] = [
    "{ name: ports, action: pass, protocol: [tcp, udp, sctp], ports: any }",
    "{ name: rest, action: pass, protocol: any }",
];

const OPTION: Extension = Extension::Octets(DESTINATION_OPTIONS, 0);

/// One frame or several for every reason that the kernel can be shown.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let four = (0..4).fold(Link::new(), |link, vid| link.tag(CUSTOMER_TAG, vid));
    let five = four.clone().tag(SERVICE_TAG, 7);
    let short = |mut segment: Segment, length: usize| {
        segment.bytes.truncate(length);
        segment
    };
    vec![
        ("vlan-short", raw_ethernet(CUSTOMER_TAG, &[])),
        ("vlan-short", raw_ethernet(SERVICE_TAG, &[0, 1, 8])),
        ("vlan-short", four.carry_raw(0x0800, 0, &[])[..29].to_vec()),
        ("vlan-depth", five.carry(Ipv4::carrying(tcp(1, 22)))),
        ("vlan-depth", five.carry_raw(0x0806, 0, &[0; 28])),
        ("pppoe-short", raw_ethernet(0x8864, &[0x11, 0, 0, 7, 0])),
        ("pppoe-short", raw_ethernet(0x8864, &[0x11, 0, 0, 7, 0, 2])),
        (
            "pppoe-short",
            raw_ethernet(0x8864, &[0x11, 0, 0, 7, 0, 2, 0]),
        ),
        ("ipv4-short", raw_ethernet(0x0800, &[])),
        ("ipv4-short", ipv4(tcp(1, 22))[..33].to_vec()),
        ("ipv4-short", raw_ethernet(0x0800, &[0x4f; 59])),
        (
            "ipv4-version",
            raw_ethernet(0x0800, &ipv6(tcp(1, 22))[14..]),
        ),
        (
            "ipv4-version",
            ethernet(Ipv4::carrying(tcp(1, 22)).first_byte(0x55)),
        ),
        (
            "ipv4-version",
            ethernet(Ipv4::carrying(tcp(1, 22)).first_byte(0x05)),
        ),
        (
            "ipv4-header-length",
            ethernet(Ipv4::carrying(udp(1, 53, b"")).first_byte(0x44)),
        ),
        (
            "ipv4-header-length",
            ethernet(Ipv4::carrying(udp(1, 53, b"")).first_byte(0x40)),
        ),
        (
            "ipv4-total-length",
            ethernet(Ipv4::carrying(tcp(1, 22)).total_len(19)),
        ),
        (
            "ipv4-total-length",
            ethernet(Ipv4::carrying(tcp(1, 22)).total_len(1)),
        ),
        (
            "ipv4-total-length",
            ethernet(Ipv4::carrying(tcp(1, 22)).options(&[1; 4]).total_len(20)),
        ),
        (
            "ipv4-total-length",
            ethernet(Ipv4::carrying(tcp(1, 22)).options(&[1; 40]).total_len(59)),
        ),
        ("ipv6-short", raw_ethernet(0x86dd, &[])),
        ("ipv6-short", ipv6(tcp(1, 22))[..53].to_vec()),
        (
            "ipv6-version",
            raw_ethernet(0x86dd, &[&ipv4(tcp(1, 22))[14..], &[0; 20][..]].concat()),
        ),
        (
            "ipv6-version",
            ethernet(Ipv6::carrying(tcp(1, 22)).first_byte(0x70)),
        ),
        (
            "extension-short",
            ipv6(portless(HOP_BY_HOP, &[6, 0, 1, 4, 0, 0, 0])),
        ),
        (
            "extension-short",
            ipv6(portless(HOP_BY_HOP, &[6, 1, 1, 4, 0, 0, 0, 0])),
        ),
        ("extension-short", ipv6(portless(HOP_BY_HOP, &[]))),
        ("extension-depth", ipv6(tcp(1, 22).behind_all(&[OPTION; 9]))),
        ("tcp-short", ipv4(short(tcp(1, 22), 19))),
        ("tcp-short", ipv4(short(tcp(1, 22), 0))),
        ("tcp-short", ipv6(short(tcp(1, 22), 19))),
        ("tcp-data-offset", ipv4(tcp_with(1, 22, 4))),
        ("tcp-data-offset", ipv4(tcp_with(1, 22, 0))),
        ("tcp-data-offset", ipv6(tcp_with(1, 22, 4))),
        (
            "tcp-fragment-offset",
            ethernet(Ipv4::carrying(tcp(1, 22)).fragment(1, true)),
        ),
        (
            "tcp-fragment-offset",
            ethernet(Ipv4::carrying(tcp(1, 22)).fragment(1, false)),
        ),
        (
            "tcp-fragment-offset",
            ipv6(tcp(1, 22).behind(Extension::Fragment(1, true))),
        ),
        (
            "tcp-fragment-offset",
            ipv6(tcp(1, 22).behind(Extension::Fragment(1, false))),
        ),
        ("udp-short", ipv4(short(udp(1, 53, b""), 7))),
        ("udp-short", ipv6(short(udp(1, 53, b""), 7))),
        ("udp-length", ipv4(udp_with(1, 53, 7, b""))),
        ("udp-length", ipv4(udp_with(1, 53, 5, b"payload"))),
        ("udp-length", ipv6(udp_with(1, 53, 0, b""))),
        ("sctp-short", ipv4(short(sctp(1, 9), 11))),
        ("sctp-short", ipv6(short(sctp(1, 9), 11))),
        ("icmp-short", ipv4(short(icmp(8, 0), 7))),
        ("icmpv6-short", ipv6(short(icmpv6(128, 0), 7))),
    ]
}

#[test]
fn malformed_packets_are_dropped_by_default_and_counted_by_reason() {
    let mut filter = Filter::new("", &RULES);
    for (reason, frame) in samples() {
        filter.expect(reason, &frame, &format!("drop malformed:{reason}"));
    }
}

#[test]
fn malformed_pass_hands_them_on_and_no_rule_sees_them() {
    let drops = RULES.map(|rule| rule.replace("pass", "drop"));
    let drops = drops.each_ref().map(String::as_str);
    let mut filter = Filter::new("malformed: pass\ndefault: drop", &drops);
    for (reason, frame) in samples() {
        filter.expect(reason, &frame, &format!("pass malformed:{reason}"));
    }
}

/// The kernel runs no frame without an Ethernet header; the tests of the parser have that reason.
#[test]
fn every_reason_has_a_sample() {
    let shown: BTreeSet<_> = samples().into_iter().map(|(reason, _)| reason).collect();
    let all: BTreeSet<_> = Malformed::ALL.iter().map(|reason| reason.name()).collect();
    let missing: Vec<_> = all.difference(&shown).copied().collect();
    assert_eq!(missing, [Malformed::EthernetShort.name()]);
    assert_eq!(all.len(), Malformed::ALL.len(), "two reasons share a name");
}

#[test]
fn malformed_packets_are_found_behind_tags_and_pppoe() {
    let links = [
        ("tag", Link::new().tag(CUSTOMER_TAG, 10)),
        ("pppoe", Link::new().pppoe()),
        ("compressed pppoe", Link::new().compressed_pppoe()),
        (
            "tags and pppoe",
            Link::new().tag(SERVICE_TAG, 1).tag(CUSTOMER_TAG, 2).pppoe(),
        ),
    ];
    let cut: fn(Segment, usize) -> Segment = |mut segment, length| {
        segment.bytes.truncate(length);
        segment
    };
    let packets: [(&str, Packet); 7] = [
        (
            "ipv4-version",
            Ipv4::carrying(tcp(1, 22)).first_byte(0x65).into(),
        ),
        (
            "ipv4-header-length",
            Ipv4::carrying(tcp(1, 22)).first_byte(0x42).into(),
        ),
        (
            "ipv4-total-length",
            Ipv4::carrying(tcp(1, 22)).total_len(10).into(),
        ),
        (
            "ipv6-version",
            Ipv6::carrying(tcp(1, 22)).first_byte(0x45).into(),
        ),
        ("tcp-short", Ipv4::carrying(cut(tcp(1, 22), 13)).into()),
        ("udp-length", Ipv6::carrying(udp_with(1, 53, 3, b"")).into()),
        (
            "icmpv6-short",
            Ipv6::carrying(cut(icmpv6(135, 0), 4)).hop_limit(255).into(),
        ),
    ];
    let mut filter = Filter::new("", &RULES);
    for (link_name, link) in links {
        for (reason, packet) in packets.clone() {
            let case = format!("{reason} in {link_name}");
            filter.expect(
                &case,
                &link.carry(packet),
                &format!("drop malformed:{reason}"),
            );
        }
    }
}

#[test]
fn lengths_past_the_end_of_the_frame_are_well_formed() {
    let mut filter = Filter::new("", &["{ name: ssh-dns, action: drop, ports: [22, 53] }"]);
    let cases = [
        (
            "IPv4 total length",
            ethernet(Ipv4::carrying(tcp(1, 22)).total_len(1500)),
            "tcp/22",
        ),
        (
            "largest total length",
            ethernet(Ipv4::carrying(tcp(1, 22)).total_len(65_535)),
            "tcp/22",
        ),
        (
            "IPv6 payload length",
            ethernet(Ipv6::carrying(tcp(1, 22)).payload_len(1500)),
            "tcp/22",
        ),
        (
            "largest payload length",
            ethernet(Ipv6::carrying(udp(1, 53, b"")).payload_len(65_535)),
            "udp/53",
        ),
        ("UDP length", ipv4(udp_with(1, 53, 9, b"")), "udp/53"),
        (
            "largest UDP length",
            ipv6(udp_with(1, 53, 65_535, b"x")),
            "udp/53",
        ),
        ("TCP data offset 6", ipv4(tcp_with(1, 22, 6)), "tcp/22"),
        ("TCP data offset 15", ipv6(tcp_with(1, 22, 15)), "tcp/22"),
    ];
    for (case, frame, port) in cases {
        filter.expect(case, &frame, &format!("drop ssh-dns {port}"));
    }
}

#[test]
fn other_protocols_have_no_header_that_could_be_short() {
    let mut filter = Filter::new("default: drop", &[]);
    for protocol in [0, 2, 4, 41, 43, 44, 47, 50, 51, 58, 59, 60, 89, 135, 255] {
        let case = format!("protocol {protocol} in IPv4, without payload");
        let frame = ipv4(portless(protocol, b""));
        filter.expect(&case, &frame, &format!("drop default-drop {protocol}"));
    }
    for protocol in [1, 2, 4, 41, 47, 50, 59, 89, 255] {
        let case = format!("protocol {protocol} in IPv6, without payload");
        let frame = ipv6(portless(protocol, b""));
        filter.expect(&case, &frame, &format!("drop default-drop {protocol}"));
    }
}
