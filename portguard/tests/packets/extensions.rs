//! IPv6 extension headers: which are walked, how long they are, how many there may be.

use crate::filter::Filter;
use crate::frames::{
    DESTINATION_OPTIONS, ESP, Extension, HIP, HOP_BY_HOP, Ipv6, MOBILITY, NO_NEXT_HEADER, ROUTING,
    SHIM6, Segment, ethernet, icmpv6, ipv4, ipv6, portless, sctp, tcp, udp,
};

/// The headers of `(length field + 1) * 8` bytes.
const OCTETS: [u8; 6] = [
    HOP_BY_HOP,
    ROUTING,
    DESTINATION_OPTIONS,
    MOBILITY,
    HIP,
    SHIM6,
];

/// An atomic fragment: the whole packet in one.
const ATOMIC: Extension = Extension::Fragment(0, false);

const RULE: &str = "{ name: blocked, action: drop, protocol: [tcp, udp, sctp], ports: [22, 53] }";

/// One header of every kind that is walked.
fn every_kind() -> Vec<(String, Extension)> {
    let octets = OCTETS.map(|kind| (format!("header {kind}"), Extension::Octets(kind, 0)));
    let mut all = Vec::from(octets);
    all.push(("authentication".into(), Extension::Ah(4)));
    all.push(("atomic fragment".into(), ATOMIC));
    all.push(("first fragment".into(), Extension::Fragment(0, true)));
    all
}

fn expect_walked(filter: &mut Filter, case: &str, chain: &[Extension]) {
    for (name, segment) in [
        ("tcp/22", tcp(40_000, 22)),
        ("udp/53", udp(40_000, 53, b"query")),
        ("sctp/22", sctp(40_000, 22)),
    ] {
        let frame = ipv6(segment.behind_all(chain));
        filter.expect(
            &format!("{name} behind {case}"),
            &frame,
            &format!("drop blocked {name}"),
        );
    }
    let open = ipv6(tcp(22, 54).behind_all(chain));
    filter.expect(&format!("tcp/54 behind {case}"), &open, "pass default-pass");
}

#[test]
fn every_kind_alone() {
    let mut filter = Filter::new("", &[RULE]);
    for (case, extension) in every_kind() {
        expect_walked(&mut filter, &case, &[extension]);
    }
}

#[test]
fn every_pair() {
    let mut filter = Filter::new("", &[RULE]);
    for (outer_name, outer) in every_kind() {
        for (inner_name, inner) in every_kind() {
            let case = format!("{outer_name}, {inner_name}");
            expect_walked(&mut filter, &case, &[outer, inner]);
        }
    }
}

#[test]
fn every_length_of_a_header() {
    let mut filter = Filter::new("", &[RULE]);
    for len in 0..=255 {
        for kind in [HOP_BY_HOP, DESTINATION_OPTIONS] {
            let case = format!("header {kind}, length field {len}");
            let frame = ipv6(tcp(40_000, 22).behind(Extension::Octets(kind, len)));
            filter.expect(&case, &frame, "drop blocked tcp/22");
        }
        let case = format!("authentication header, length field {len}");
        let frame = ipv6(udp(40_000, 53, b"").behind(Extension::Ah(len)));
        filter.expect(&case, &frame, "drop blocked udp/53");
    }
}

#[test]
fn a_fragment_header_has_no_length_field() {
    let mut filter = Filter::new("", &[RULE]);
    for reserved in [1, 7, 255] {
        let mut frame = ipv6(tcp(40_000, 22).behind(ATOMIC));
        frame[55] = reserved;
        let case = format!("reserved byte {reserved}");
        filter.expect(&case, &frame, "drop blocked tcp/22");
    }
}

#[test]
fn eight_headers_are_walked_and_a_ninth_is_malformed() {
    let mut filter = Filter::new("", &[RULE]);
    for (case, extension) in every_kind() {
        for count in 1..=8 {
            let case = format!("{count} times {case}");
            expect_walked(&mut filter, &case, &vec![extension; count]);
        }
        for count in 9..=12 {
            let case = format!("{count} times {case}");
            for segment in [tcp(40_000, 22), udp(40_000, 54, b""), icmpv6(128, 0)] {
                let frame = ipv6(segment.behind_all(&vec![extension; count]));
                filter.expect(&case, &frame, "drop malformed:extension-depth");
            }
        }
    }
}

#[test]
fn a_ninth_header_is_malformed_whatever_it_is() {
    let mut filter = Filter::new("malformed: pass", &[RULE]);
    for (case, extension) in every_kind() {
        let mut chain = vec![Extension::Octets(DESTINATION_OPTIONS, 0); 8];
        chain.push(extension);
        let frame = ipv6(tcp(40_000, 22).behind_all(&chain));
        filter.expect(&case, &frame, "pass malformed:extension-depth");
    }
    let mut chain = vec![Extension::Octets(DESTINATION_OPTIONS, 0); 8];
    chain.push(Extension::Fragment(40, false));
    let frame = ipv6(portless(6, &[0; 40]).behind_all(&chain));
    filter.expect("later fragment", &frame, "pass malformed:extension-depth");
}

#[test]
fn what_is_no_extension_header_ends_the_walk() {
    let mut filter = Filter::new("default: drop", &[RULE]);
    let chain = [Extension::Octets(DESTINATION_OPTIONS, 0); 8];
    // What follows looks like one more header with TCP to port 22 in it.
    let inside = tcp(40_000, 22)
        .behind(Extension::Octets(DESTINATION_OPTIONS, 0))
        .bytes;
    // IP in IP and in IPv6, ESP, no next header, OSPF, experimental numbers, reserved.
    for protocol in [4, 41, 47, ESP, NO_NEXT_HEADER, 89, 253, 254, 255] {
        let case = format!("protocol {protocol}");
        let expected = format!("drop default-drop {protocol}");
        filter.expect(&case, &ipv6(portless(protocol, &inside)), &expected);
        let behind = portless(protocol, &inside).behind_all(&chain);
        filter.expect(&case, &ipv6(behind), &expected);
    }
}

#[test]
fn extension_headers_are_not_walked_in_ipv4() {
    let mut filter = Filter::new("default: drop", &[RULE]);
    for (case, extension) in every_kind() {
        let segment = tcp(40_000, 22).behind(extension);
        let expected = format!("drop default-drop {}", segment.protocol);
        filter.expect(&case, &ipv4(segment), &expected);
    }
}

#[test]
fn a_chain_must_end_before_the_packet_does() {
    let mut filter = Filter::new("", &[RULE]);
    let chain = [
        Extension::Octets(HOP_BY_HOP, 0),
        Extension::Octets(ROUTING, 2),
    ];
    let segment = tcp(40_000, 22).behind_all(&chain);
    // 8 bytes, then 24, then TCP; the frame is padded with what would go on.
    for payload_len in 1..=60_u16 {
        let mut frame = ethernet(Ipv6::carrying(segment.clone()).payload_len(payload_len));
        frame.resize(200, 0);
        let expected = match payload_len {
            ..32 => "drop malformed:extension-short",
            32..52 => "drop malformed:tcp-short",
            _ => "drop blocked tcp/22",
        };
        filter.expect(&format!("payload length {payload_len}"), &frame, expected);
    }
}

#[test]
fn a_header_longer_than_the_packet_is_short() {
    let mut filter = Filter::new("", &[RULE]);
    for kind in OCTETS {
        for len in [5, 100, 255] {
            let mut frame = ipv6(tcp(40_000, 22).behind(Extension::Octets(kind, 0)));
            frame[55] = len;
            let case = format!("header {kind}, length field {len}");
            filter.expect(&case, &frame, "drop malformed:extension-short");
        }
    }
}

#[test]
fn a_chain_that_ends_with_the_packet() {
    let mut filter = Filter::new("default: drop", &[RULE]);
    let nothing = |protocol| Segment {
        protocol,
        bytes: Vec::new(),
    };
    let options = Extension::Octets(DESTINATION_OPTIONS, 1);
    for (protocol, expected) in [
        (NO_NEXT_HEADER, "drop default-drop 59"),
        (ESP, "drop default-drop 50"),
        (6, "drop malformed:tcp-short"),
        (17, "drop malformed:udp-short"),
        (132, "drop malformed:sctp-short"),
        (58, "drop malformed:icmpv6-short"),
        (HIP, "drop malformed:extension-short"),
    ] {
        let frame = ipv6(nothing(protocol).behind(options));
        filter.expect(&format!("protocol {protocol}"), &frame, expected);
    }
}
