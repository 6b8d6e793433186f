//! IPv4: options, the packet's own length, padding.

use crate::filter::Filter;
use crate::frames::{
    CUSTOMER_TAG, Ipv4, Ipv6, Link, Segment, ethernet, icmp, sctp, tcp, udp, udp_with,
};

/// The second rule has the ports that a reader at a fixed offset would see.
const RULES: [&str; 2] = [
    "{ name: blocked, action: drop, protocol: [tcp, udp, sctp], ports: 22 }",
    "{ name: ghost, action: drop, protocol: [tcp, udp, sctp], ports: [257, 8080, 65535] }",
];

fn filter() -> Filter {
    Filter::new("", &RULES)
}

#[test]
fn options_of_every_length_move_the_transport_header() {
    let mut filter = filter();
    for words in 0..=10 {
        // What a reader at a fixed offset would take for the port: 8080, or 257 (two no-operations).
        for pattern in [
            [0x88, 4, 0x1f, 0x90],
            [1; 4],
            [0, 22, 0, 22],
            [0xff; 4],
            [0; 4],
        ] {
            let options = pattern.repeat(words);
            for (name, blocked, open) in [
                ("tcp", tcp(40_000, 22), tcp(22, 23)),
                ("udp", udp(40_000, 22, b"data"), udp(22, 23, b"data")),
                ("sctp", sctp(40_000, 22), sctp(22, 23)),
            ] {
                let frame = |segment| ethernet(Ipv4::carrying(segment).options(&options));
                let case = format!("{name} behind {words} words of {pattern:?}");
                filter.expect(&case, &frame(blocked), &format!("drop blocked {name}/22"));
                filter.expect(&case, &frame(open), "pass default-pass");
            }
        }
    }
}

#[test]
fn types_of_icmp_are_read_behind_options() {
    let mut filter = Filter::new("default: drop", &[]);
    let frame = |kind, options: &[u8]| ethernet(Ipv4::carrying(icmp(kind, 0)).options(options));
    // A reader at a fixed offset sees the first option's type: 3 and 8.
    filter.expect("unreachable", &frame(3, &[8; 4]), "pass essential");
    filter.expect("echo request", &frame(8, &[3; 4]), "drop default-drop 1");
    filter.expect("time exceeded", &frame(11, &[1; 40]), "pass essential");
}

#[test]
fn padding_of_short_frames_is_no_header() {
    let mut filter = filter();
    for padding in [1, 2, 4, 6, 18, 46, 200] {
        let mut tcp_frame = ethernet(Ipv4::carrying(tcp(40_000, 22)));
        tcp_frame.resize(tcp_frame.len() + padding, 0);
        filter.expect("padded tcp", &tcp_frame, "drop blocked tcp/22");

        let mut udp_frame = ethernet(Ipv6::carrying(udp(40_000, 22, b"")));
        udp_frame.resize(udp_frame.len() + padding, 0xff);
        filter.expect("padded udp", &udp_frame, "drop blocked udp/22");
    }
    // The packet has 4 bytes of UDP; the padding would complete its header and make it one for port 22.
    let short = Segment {
        protocol: 17,
        bytes: vec![0x9c, 0x40, 0, 22],
    };
    for mut frame in [
        ethernet(Ipv4::carrying(short.clone())),
        ethernet(Ipv6::carrying(short.clone())),
    ] {
        frame.extend([0, 8, 0, 0]);
        frame.resize(80, 0);
        filter.expect(
            "udp header in the padding",
            &frame,
            "drop malformed:udp-short",
        );
    }
}

#[test]
fn a_length_of_0_means_the_end_of_the_frame() {
    let mut filter = filter();
    let v4 = |segment| ethernet(Ipv4::carrying(segment).total_len(0));
    let v6 = |segment| ethernet(Ipv6::carrying(segment).payload_len(0));
    for (case, frame) in [("IPv4", v4(tcp(1, 22))), ("IPv6", v6(tcp(1, 22)))] {
        filter.expect(case, &frame, "drop blocked tcp/22");
        filter.expect(case, &frame[..frame.len() - 1], "drop malformed:tcp-short");
    }
    for (case, frame) in [
        ("IPv4", v4(udp(1, 23, b"x"))),
        ("IPv6", v6(udp(1, 23, b"x"))),
    ] {
        filter.expect(case, &frame, "pass default-pass");
    }
    // With options, in a large frame such as segmentation offload hands over.
    let large = Segment {
        bytes: [tcp(1, 22).bytes, vec![0; 3000]].concat(),
        ..tcp(1, 22)
    };
    let frame = ethernet(Ipv4::carrying(large.clone()).options(&[1; 12]).total_len(0));
    filter.expect("segmentation offload", &frame, "drop blocked tcp/22");
    let frame = ethernet(Ipv6::carrying(large).payload_len(0));
    filter.expect("jumbogram", &frame, "drop blocked tcp/22");
    // A length of 0 in the UDP header is under 8 all the same.
    let frame = v6(udp_with(1, 22, 0, b"data"));
    filter.expect("udp length 0", &frame, "drop malformed:udp-length");
}

#[test]
fn a_total_length_that_ends_with_the_header_is_well_formed() {
    let mut filter = Filter::new("default: drop", &[]);
    for words in 0..=10_u16 {
        let gre = Segment {
            protocol: 47,
            bytes: vec![0; 8],
        };
        let options = vec![1; usize::from(words) * 4];
        let ip = Ipv4::carrying(gre).options(&options);
        let case = format!("{words} words of options");
        let frame = ethernet(ip.clone().total_len(20 + words * 4));
        filter.expect(&case, &frame, "drop default-drop 47");
        let frame = ethernet(ip.total_len(19 + words * 4));
        filter.expect(&case, &frame, "drop malformed:ipv4-total-length");
    }
}

#[test]
fn the_other_fields_of_the_ip_header_do_not_matter() {
    let mut filter = filter();
    for byte in 0..=255_u8 {
        // Type of service; identification; TTL; checksum; the addresses.
        for place in [15, 18, 19, 22, 24, 25, 26, 33] {
            let mut frame = ethernet(Ipv4::carrying(tcp(40_000, 22)));
            frame[place] = byte;
            filter.expect(
                &format!("byte {place} is {byte}"),
                &frame,
                "drop blocked tcp/22",
            );
        }
    }
}

#[test]
fn options_and_tags_together() {
    let mut filter = filter();
    let link = Link::new().tag(CUSTOMER_TAG, 5);
    for words in [1, 5, 10] {
        let packet = Ipv4::carrying(tcp(40_000, 22)).options(&vec![1; words * 4]);
        for (case, link) in [
            ("tag", link.clone()),
            ("pppoe", Link::new().pppoe()),
            ("tag and pppoe", link.clone().compressed_pppoe()),
        ] {
            let case = format!("{case}, {words} words");
            filter.expect(&case, &link.carry(packet.clone()), "drop blocked tcp/22");
        }
    }
}
