//! Broken frames, and traffic without which a host goes silent.

use crate::filter::Filter;
use crate::frames::{
    CUSTOMER_TAG, Extension, HOP_BY_HOP, Ipv4, Ipv6, Link, Segment, ethernet, icmp, icmpv6, ipv4,
    ipv6, raw_ethernet, sctp, tcp, tcp_with, udp, udp_with,
};

/// Broken frames made programs abort, read past the end, or pass.
#[test]
fn p11_broken_frames_end_in_a_named_counter() {
    let rules = [
        "{ name: dns, action: drop, ports: 53 }",
        "{ name: all, action: pass, protocol: any }",
    ];
    let mut filter = Filter::new("", &rules);
    let dns = || udp(40_000, 53, b"query");
    let cases = [
        (
            "header of 16 bytes",
            ethernet(Ipv4::carrying(dns()).first_byte(0x44)),
            "ipv4-header-length",
        ),
        (
            "header of 0 bytes",
            ethernet(Ipv4::carrying(dns()).first_byte(0x40)),
            "ipv4-header-length",
        ),
        (
            "total length 19",
            ethernet(Ipv4::carrying(dns()).total_len(19)),
            "ipv4-total-length",
        ),
        (
            "total length 1",
            ethernet(Ipv4::carrying(dns()).total_len(1)),
            "ipv4-total-length",
        ),
        ("39 bytes of IPv6", ipv6(dns())[..53].to_vec(), "ipv6-short"),
        (
            "IPv6 called IPv4",
            raw_ethernet(0x0800, &ipv6(dns())[14..]),
            "ipv4-version",
        ),
        (
            "IPv4 called IPv6",
            raw_ethernet(0x86dd, &[&ipv4(dns())[14..], &[0; 9]].concat()),
            "ipv6-version",
        ),
        (
            "UDP length 5",
            ipv4(udp_with(40_000, 53, 5, b"query")),
            "udp-length",
        ),
        (
            "UDP length 0",
            ipv4(udp_with(40_000, 53, 0, b"query")),
            "udp-length",
        ),
        (
            "data offset 4",
            ipv4(tcp_with(40_000, 53, 4)),
            "tcp-data-offset",
        ),
        (
            "nothing but Ethernet",
            raw_ethernet(0x0800, &[]),
            "ipv4-short",
        ),
        (
            "nothing but Ethernet",
            raw_ethernet(0x86dd, &[]),
            "ipv6-short",
        ),
    ];
    for (case, frame, reason) in cases {
        filter.expect(case, &frame, &format!("drop malformed:{reason}"));
    }
    // As segmentation offload hands it over.
    let offloaded = ethernet(Ipv4::carrying(dns()).total_len(0));
    filter.expect("total length 0", &offloaded, "drop dns udp/53");
}

/// Every single byte of a header set to every value: whatever it makes of the frame, the program decides.
#[test]
fn p11_no_byte_makes_the_program_abort() {
    let mut filter = Filter::new("", &[]);
    let chain = [
        Extension::Octets(HOP_BY_HOP, 0),
        Extension::Fragment(0, true),
    ];
    let frames = [
        Link::new()
            .tag(CUSTOMER_TAG, 1)
            .pppoe()
            .carry(Ipv4::carrying(tcp(1, 22)).options(&[1; 8])),
        ethernet(Ipv6::carrying(udp(1, 53, b"").behind_all(&chain))),
    ];
    let mut packets = 0;
    for frame in frames {
        for place in 12..frame.len() {
            for byte in [
                0, 1, 2, 4, 5, 6, 0x0f, 0x10, 0x2c, 0x33, 0x3c, 0x40, 0x45, 0x4f, 0x60, 0x81, 0x86,
                0x88, 0xfe, 0xff,
            ] {
                let mut changed = frame.clone();
                changed[place] = byte;
                let found = filter.judge(&changed, None);
                let passed = ["pass default-pass", "pass non-ip", "pass later-fragment"]
                    .contains(&found.as_str());
                assert!(
                    passed || found.starts_with("drop malformed:"),
                    "byte {place} is {byte}: {found}"
                );
                packets += 1;
            }
        }
    }
    assert_eq!(filter.counts().frames().packets, packets);
}

/// A default of drop stopped neighbour discovery and ARP, and with them everything, minutes later.
#[test]
fn p13_a_default_of_drop_leaves_the_link_alive() {
    let rules = ["{ name: web, action: pass, ports: 443/tcp }"];
    let mut filter = Filter::new("default: drop\nnon_ip: drop", &rules);
    for link in [Link::new(), Link::new().tag(CUSTOMER_TAG, 10)] {
        for operation in [1, 2] {
            let arp = [&[0, 1, 8, 0, 6, 4, 0, operation][..], &[0; 20]].concat();
            filter.expect("arp", &link.carry_raw(0x0806, 0, &arp), "pass non-ip");
        }
        for kind in 133..=137 {
            let packet = Ipv6::carrying(icmpv6(kind, 0)).hop_limit(255);
            filter.expect(
                &format!("type {kind}"),
                &link.carry(packet),
                "pass essential",
            );
        }
        let too_big = Ipv6::carrying(icmpv6(2, 0));
        filter.expect("packet too big", &link.carry(too_big), "pass essential");
        let needed = Ipv4::carrying(icmp(3, 4));
        filter.expect(
            "fragmentation needed",
            &link.carry(needed),
            "pass essential",
        );
        for packet in [
            Ipv4::carrying(tcp(40_000, 443)).into(),
            Ipv6::carrying(tcp(40_000, 443)).into(),
        ] {
            let packet: crate::frames::Packet = packet;
            filter.expect("web", &link.carry(packet), "pass web");
        }
        let closed = Ipv4::carrying(tcp(40_000, 22));
        filter.expect("ssh", &link.carry(closed), "drop default-drop tcp/22");
        let echo = Ipv6::carrying(icmpv6(128, 0));
        filter.expect("echo", &link.carry(echo), "drop default-drop 58");
    }
}

/// 0 was taken for "not set".
#[test]
fn p15_0_is_a_value() {
    let mut filter = Filter::new(
        "",
        &["{ name: low, action: drop, protocol: [tcp, udp, sctp], ports: 1-65535 }"],
    );
    let to_0: [(&str, Segment); 3] = [
        ("tcp", tcp(0, 0)),
        ("udp", udp(0, 0, b"")),
        ("sctp", sctp(0, 0)),
    ];
    for (name, segment) in &to_0 {
        filter.expect(name, &ipv4(segment.clone()), "pass default-pass");
        filter.expect(name, &ipv6(segment.clone()), "pass default-pass");
    }
    filter.expect("from port 0", &ipv4(tcp(0, 22)), "drop low tcp/22");
    let mut filter = Filter::new(
        "",
        &["{ name: any, action: drop, protocol: [tcp, udp, sctp], ports: any }"],
    );
    for (name, segment) in &to_0 {
        filter.expect(name, &ipv4(segment.clone()), &format!("drop any {name}/0"));
    }
    let mut filter = Filter::new("default: drop", &[]);
    filter.expect(
        "echo reply is type 0",
        &ipv4(icmp(0, 0)),
        "drop default-drop 1",
    );
    filter.expect(
        "type 0 of ICMPv6",
        &ipv6(icmpv6(0, 0)),
        "drop default-drop 58",
    );
    let mut filter = Filter::new("", &["{ name: zero, action: drop, protocol: 0 }"]);
    filter.expect(
        "protocol 0",
        &ipv4(Segment {
            protocol: 0,
            bytes: vec![0; 8],
        }),
        "drop zero 0",
    );
    filter.expect("another protocol", &ipv4(tcp(1, 22)), "pass default-pass");
}
