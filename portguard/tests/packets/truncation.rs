//! Well-formed frames cut at every length: the header that is cut short says why the frame is malformed.
//!
//! Where each header ends is written down by hand.

use crate::filter::Filter;
use crate::frames::{
    AH, CUSTOMER_TAG, DESTINATION_OPTIONS, Extension, GRE, HOP_BY_HOP, Ipv4, Ipv6, Link, Packet,
    ROUTING, SERVICE_TAG, ethernet, icmp, icmpv6, portless, sctp, tcp, udp,
};

/// A frame, and for each header where it ends and the reason if the frame ends before.
struct Layout {
    name: &'static str,
    frame: Vec<u8>,
    headers: &'static [(usize, &'static str)],
    /// What happens to the frame once all its headers are there.
    whole: &'static str,
}

const ETHERNET: usize = 14;

fn layouts() -> Vec<Layout> {
    let mut layouts = plain_layouts();
    layouts.extend(link_layouts());
    layouts.extend(extension_layouts());
    layouts
}

fn plain_layouts() -> Vec<Layout> {
    let layout = |name, packet: Packet, headers, whole| Layout {
        name,
        frame: ethernet(packet),
        headers,
        whole,
    };
    vec![
        layout(
            "IPv4, TCP",
            Ipv4::carrying(tcp(40_000, 22)).into(),
            &[(34, "ipv4-short"), (54, "tcp-short")],
            "drop ports tcp/22",
        ),
        layout(
            "IPv4, UDP with a payload",
            Ipv4::carrying(udp(40_000, 53, b"question")).into(),
            &[(34, "ipv4-short"), (42, "udp-short")],
            "drop ports udp/53",
        ),
        layout(
            "IPv4 with 40 bytes of options, TCP",
            Ipv4::carrying(tcp(40_000, 22)).options(&[1; 40]).into(),
            &[(74, "ipv4-short"), (94, "tcp-short")],
            "drop ports tcp/22",
        ),
        layout(
            "IPv4 without a length of its own, SCTP",
            Ipv4::carrying(sctp(40_000, 9)).total_len(0).into(),
            &[(34, "ipv4-short"), (46, "sctp-short")],
            "drop ports sctp/9",
        ),
        layout(
            "IPv4, ICMP",
            Ipv4::carrying(icmp(8, 0)).into(),
            &[(34, "ipv4-short"), (42, "icmp-short")],
            "drop rest 1",
        ),
        layout(
            "IPv4, GRE",
            Ipv4::carrying(portless(GRE, &[0; 24])).into(),
            &[(34, "ipv4-short")],
            "drop rest 47",
        ),
        layout(
            "IPv4, first fragment of TCP",
            Ipv4::carrying(tcp(40_000, 22)).fragment(0, true).into(),
            &[(34, "ipv4-short"), (54, "tcp-short")],
            "drop ports tcp/22",
        ),
        layout(
            "IPv4, later fragment of UDP",
            Ipv4::carrying(portless(17, &[0; 24]))
                .fragment(3, true)
                .into(),
            &[(34, "ipv4-short")],
            "drop ports udp",
        ),
        layout(
            "IPv6, TCP",
            Ipv6::carrying(tcp(40_000, 22)).into(),
            &[(54, "ipv6-short"), (74, "tcp-short")],
            "drop ports tcp/22",
        ),
        layout(
            "IPv6 without a length of its own, ICMPv6",
            Ipv6::carrying(icmpv6(128, 0)).payload_len(0).into(),
            &[(54, "ipv6-short"), (62, "icmpv6-short")],
            "drop rest 58",
        ),
    ]
}

fn link_layouts() -> Vec<Layout> {
    let four = Link::new()
        .tag(SERVICE_TAG, 1)
        .tag(SERVICE_TAG, 2)
        .tag(CUSTOMER_TAG, 3)
        .tag(CUSTOMER_TAG, 4);
    let one = Link::new().tag(CUSTOMER_TAG, 5);
    vec![
        Layout {
            name: "four tags, IPv4, UDP",
            frame: four.carry(Ipv4::carrying(udp(40_000, 53, b""))),
            headers: &[(30, "vlan-short"), (50, "ipv4-short"), (58, "udp-short")],
            whole: "drop ports udp/53",
        },
        Layout {
            name: "a tag, PPPoE, IPv4, TCP",
            frame: one.clone().pppoe().carry(Ipv4::carrying(tcp(40_000, 22))),
            headers: &[
                (18, "vlan-short"),
                (26, "pppoe-short"),
                (46, "ipv4-short"),
                (66, "tcp-short"),
            ],
            whole: "drop ports tcp/22",
        },
        Layout {
            name: "a tag, PPPoE with one byte of protocol, IPv6, UDP",
            frame: one
                .compressed_pppoe()
                .carry(Ipv6::carrying(udp(40_000, 53, b""))),
            headers: &[
                (18, "vlan-short"),
                (25, "pppoe-short"),
                (65, "ipv6-short"),
                (73, "udp-short"),
            ],
            whole: "drop ports udp/53",
        },
    ]
}

fn extension_layouts() -> Vec<Layout> {
    let chain = [
        Extension::Octets(HOP_BY_HOP, 0),
        Extension::Octets(DESTINATION_OPTIONS, 4),
        Extension::Octets(ROUTING, 1),
        Extension::Fragment(0, true),
        Extension::Ah(4),
    ];
    let later = [
        Extension::Octets(HOP_BY_HOP, 0),
        Extension::Fragment(90, false),
    ];
    vec![
        Layout {
            name: "IPv6, five extension headers, TCP",
            frame: ethernet(Ipv6::carrying(tcp(40_000, 22).behind_all(&chain))),
            // 54 + 8 + 40 + 16 + 8 + 24.
            headers: &[
                (54, "ipv6-short"),
                (150, "extension-short"),
                (170, "tcp-short"),
            ],
            whole: "drop ports tcp/22",
        },
        Layout {
            name: "IPv6, later fragment of UDP",
            frame: ethernet(Ipv6::carrying(portless(17, &[0; 16]).behind_all(&later))),
            headers: &[(54, "ipv6-short"), (70, "extension-short")],
            whole: "drop ports udp",
        },
        Layout {
            name: "IPv6, no next header behind an authentication header",
            frame: ethernet(Ipv6::carrying(
                portless(59, &[0; 9]).behind(Extension::Ah(1)),
            )),
            headers: &[(54, "ipv6-short"), (66, "extension-short")],
            whole: "drop rest 59",
        },
        Layout {
            name: "IPv4, authentication header",
            frame: ethernet(Ipv4::carrying(portless(AH, &[0; 24]))),
            headers: &[(34, "ipv4-short")],
            whole: "drop rest 51",
        },
    ]
}

/// What is expected of the first `length` bytes.
fn expected(layout: &Layout, length: usize) -> String {
    let cut = layout.headers.iter().find(|(end, _)| length < *end);
    match cut {
        Some((_, reason)) => format!("drop malformed:{reason}"),
        None => layout.whole.to_owned(),
    }
}

const RULES: [&str; 2] = [
    "{ name: ports, action: drop, protocol: [tcp, udp, sctp], ports: any }",
    "{ name: rest, action: drop, protocol: any }",
];

#[test]
fn a_frame_cut_at_any_length_names_the_header_that_is_cut() {
    let mut filter = Filter::new("", &RULES);
    for layout in layouts() {
        let last = layout.headers.last().expect("a header").0;
        assert!(
            last <= layout.frame.len(),
            "{}: the layout is wrong",
            layout.name
        );
        for length in ETHERNET..=layout.frame.len() {
            let case = format!("{}, cut to {length} bytes", layout.name);
            filter.expect(&case, &layout.frame[..length], &expected(&layout, length));
        }
    }
}

/// The same by the length that the IP header states, with the bytes of the header still in the frame: a
/// header that goes on behind the packet's end is cut short just the same.
#[test]
fn a_packet_that_ends_before_its_frame_is_cut_there() {
    let mut filter = Filter::new("", &RULES);
    for payload in 1..=28_u16 {
        for (name, whole, segment) in [
            ("tcp", 20, tcp(40_000, 22)),
            ("udp", 8, udp(40_000, 53, b"12345678")),
            ("sctp", 12, sctp(40_000, 9)),
        ] {
            let port = match name {
                "tcp" => 22,
                "udp" => 53,
                _ => 9,
            };
            let wanted = if payload < whole {
                format!("drop malformed:{name}-short")
            } else {
                format!("drop ports {name}/{port}")
            };
            let v4 = Ipv4::carrying(segment.clone()).total_len(20 + payload);
            let v6 = Ipv6::carrying(segment).payload_len(payload);
            for (family, mut frame) in [("IPv4", ethernet(v4)), ("IPv6", ethernet(v6))] {
                frame.resize(120, 0);
                let case = format!("{name} in {family} with {payload} bytes of payload");
                filter.expect(&case, &frame, &wanted);
            }
        }
    }
}

#[test]
fn a_packet_that_is_nothing_but_its_ipv4_header_has_no_transport() {
    let mut filter = Filter::new("", &RULES);
    for (reason, segment) in [
        ("tcp-short", tcp(1, 22)),
        ("udp-short", udp(1, 53, b"")),
        ("sctp-short", sctp(1, 9)),
        ("icmp-short", icmp(8, 0)),
    ] {
        let frame = ethernet(Ipv4::carrying(segment).total_len(20));
        filter.expect(reason, &frame, &format!("drop malformed:{reason}"));
    }
}
