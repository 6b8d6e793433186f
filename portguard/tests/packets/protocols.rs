//! Rules on protocols, and what has no ports: ICMP, ESP, tunnels and whatever else.

use crate::filter::Filter;
use crate::frames::{
    AH, ESP, Extension, GRE, ICMP, ICMPV6, IGMP, IPIP, NO_NEXT_HEADER, Segment, icmp, icmpv6, ipv4,
    ipv6, portless, sctp, tcp, udp,
};

/// IPv4 with TCP to port 22, to be carried by something else.
fn inner_v4() -> Vec<u8> {
    ipv4(tcp(40_000, 22))[14..].to_vec()
}

fn inner_v6() -> Vec<u8> {
    ipv6(tcp(40_000, 22))[14..].to_vec()
}

const SSH: &str = "{ name: ssh, action: drop, protocol: [tcp, udp, sctp], ports: 22 }";

#[test]
fn a_protocol_matches_in_both_families() {
    for (name, number) in [
        ("igmp", IGMP),
        ("gre", GRE),
        ("esp", ESP),
        ("ipip", IPIP),
        ("59", 59),
        ("253", 253),
    ] {
        let rule = format!("{{ name: this, action: drop, protocol: {name} }}");
        let mut filter = Filter::new("", &[&rule]);
        let segment = portless(number, &[0; 12]);
        let expected = format!("drop this {number}");
        filter.expect(name, &ipv4(segment.clone()), &expected);
        filter.expect(name, &ipv6(segment), &expected);
        filter.expect(
            "another",
            &ipv4(portless(number + 1, &[0; 12])),
            "pass default-pass",
        );
        filter.expect("tcp", &ipv6(tcp(1, u16::from(number))), "pass default-pass");
    }
}

#[test]
fn icmp_is_of_ipv4_and_icmpv6_of_ipv6() {
    let rules = [
        "{ name: v4, action: drop, protocol: icmp }",
        "{ name: v6, action: drop, protocol: icmpv6 }",
    ];
    let mut filter = Filter::new("", &rules);
    for kind in [0, 8, 13, 128, 129, 255] {
        let case = format!("type {kind}");
        filter.expect(&case, &ipv4(icmp(kind, 0)), "drop v4 1");
        filter.expect(&case, &ipv6(icmpv6(kind, 0)), "drop v6 58");
        // The number of the one in the other family is no ICMP, and so short a packet is well-formed.
        filter.expect(
            &case,
            &ipv6(portless(ICMP, &[kind, 0])),
            "pass default-pass",
        );
        filter.expect(
            &case,
            &ipv4(portless(ICMPV6, &[kind, 0])),
            "pass default-pass",
        );
    }
}

#[test]
fn a_protocol_number_is_of_both_families() {
    let mut filter = Filter::new("", &["{ name: one, action: drop, protocol: 1 }"]);
    filter.expect("IPv4", &ipv4(icmp(8, 0)), "drop one 1");
    filter.expect("IPv6", &ipv6(portless(ICMP, &[8, 0])), "drop one 1");
    let mut filter = Filter::new("", &["{ name: one, action: drop, protocol: 58 }"]);
    filter.expect("IPv6", &ipv6(icmpv6(128, 0)), "drop one 58");
    filter.expect("IPv4", &ipv4(portless(ICMPV6, &[128, 0])), "drop one 58");
}

#[test]
fn authentication_headers_end_ipv4_and_are_walked_in_ipv6() {
    let rules = ["{ name: ah, action: drop, protocol: ah }", SSH];
    let mut filter = Filter::new("", &rules);
    let behind = |segment: Segment| segment.behind(Extension::Ah(4));
    filter.expect("IPv4", &ipv4(behind(tcp(1, 22))), "drop ah 51");
    filter.expect("IPv6", &ipv6(behind(tcp(1, 22))), "drop ssh tcp/22");
    filter.expect("IPv6", &ipv6(behind(tcp(1, 23))), "pass default-pass");
    let short = portless(AH, &[6, 4, 0, 0]);
    filter.expect("IPv4", &ipv4(short.clone()), "drop ah 51");
    filter.expect("IPv6", &ipv6(short), "drop malformed:extension-short");
}

#[test]
fn esp_and_no_next_header_have_no_ports() {
    let rules = [
        "{ name: ports, action: drop, protocol: [tcp, udp, sctp], ports: any }",
        "{ name: esp, action: drop, protocol: esp }",
    ];
    let mut filter = Filter::new("", &rules);
    let payload = [0, 22, 0, 22, 0, 22, 0, 22];
    for wrap in [ipv4, ipv6] {
        filter.expect("esp", &wrap(portless(ESP, &payload)), "drop esp 50");
        let nothing = portless(NO_NEXT_HEADER, &payload);
        filter.expect("no next header", &wrap(nothing), "pass default-pass");
    }
}

/// What a tunnel carries is not looked at, whatever the tunnel.
#[test]
fn p16_only_the_outermost_ip_header_counts() {
    let mut filter = Filter::new("", &[SSH]);
    let gre = |ether_type: u16, inner: Vec<u8>| {
        let header = [0, 0].into_iter().chain(ether_type.to_be_bytes());
        portless(GRE, &header.chain(inner).collect::<Vec<u8>>())
    };
    let ethernet = [vec![0; 8], ipv4(tcp(40_000, 22))].concat();
    let of_another_vni = [&[8, 0, 0, 0, 0, 1, 2, 0], ipv4(tcp(40_000, 22)).as_slice()].concat();
    let tunnels = [
        ("IP in IP", portless(IPIP, &inner_v4())),
        ("IPv6 in IP", portless(41, &inner_v6())),
        ("GRE, IPv4", gre(0x0800, inner_v4())),
        ("GRE, IPv6", gre(0x86dd, inner_v6())),
        ("VXLAN", udp(50_000, 4789, &ethernet)),
        ("VXLAN", udp(50_000, 4789, &of_another_vni)),
        ("Geneve", udp(50_000, 6081, &ethernet)),
        ("GTP", udp(50_000, 2152, &[vec![0; 8], inner_v4()].concat())),
        ("ESP in UDP", udp(4500, 4500, &inner_v4())),
        ("L2TP", portless(115, &inner_v4())),
    ];
    for (case, segment) in &tunnels {
        for wrap in [ipv4, ipv6] {
            filter.expect(case, &wrap(segment.clone()), "pass default-pass");
        }
    }
    let outer = [
        "{ name: vxlan, action: drop, ports: 4789/udp }",
        "{ name: tunnels, action: drop, protocol: [gre, ipip, 41] }",
    ];
    let mut filter = Filter::new("", &outer);
    for (case, segment) in &tunnels {
        let expected = match segment.protocol {
            17 if *case == "VXLAN" => "drop vxlan udp/4789".to_owned(),
            4 | 41 | 47 => format!("drop tunnels {}", segment.protocol),
            _ => "pass default-pass".to_owned(),
        };
        for wrap in [ipv4, ipv6] {
            filter.expect(case, &wrap(segment.clone()), &expected);
        }
    }
}

/// An ICMP error quotes the packet that it is about: its ports are not those of the error.
#[test]
fn ports_quoted_by_an_icmp_error_do_not_count() {
    let mut filter = Filter::new("", &[SSH]);
    let quoting = |mut error: Segment, quoted: Vec<u8>| {
        error.bytes.extend(quoted);
        error
    };
    let v4 = quoting(icmp(3, 4), inner_v4());
    filter.expect("fragmentation needed", &ipv4(v4), "pass essential");
    let v6 = quoting(icmpv6(2, 0), inner_v6());
    filter.expect("packet too big", &ipv6(v6), "pass essential");
}

#[test]
fn any_is_every_ip_packet() {
    let mut filter = Filter::new("", &["{ name: all, action: drop, protocol: any }"]);
    for (key, segment) in [
        ("tcp/0", tcp(1, 0)),
        ("udp/65535", udp(1, 65_535, b"")),
        ("sctp/9", sctp(1, 9)),
        ("1", portless(ICMP, &[8, 0, 0, 0, 0, 0, 0, 0])),
        ("58", portless(ICMPV6, &[128, 0, 0, 0, 0, 0, 0, 0])),
        ("47", portless(GRE, &[])),
        ("255", portless(255, &[])),
    ] {
        let expected = format!("drop all {key}");
        filter.expect(key, &ipv4(segment.clone()), &expected);
        filter.expect(key, &ipv6(segment), &expected);
    }
    filter.expect("0 in IPv4", &ipv4(portless(0, &[])), "drop all 0");
}

#[test]
fn every_protocol_number_counts_for_itself() {
    let mut filter = Filter::new("default: drop", &[]);
    for number in 0..=255 {
        // ICMP, TCP, UDP and SCTP have headers of their own.
        if !matches!(number, 1 | 6 | 17 | 132) {
            let expected = format!("drop default-drop {number}");
            filter.expect("IPv4", &ipv4(portless(number, &[0; 40])), &expected);
        }
    }
}
