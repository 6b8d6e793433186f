//! Which packets are answered with what, and the checksums of the answers.

#![expect(
    clippy::unwrap_used,
    reason = "a test whose frame cannot be read is wrong, and fails"
)]

mod frames;

use frames::{
    CUSTOMER_TAG, Extension, FRAGMENT, GRE, HOP_BY_HOP, Ipv4, Ipv6, Link, Segment, TCP, ethernet,
    icmp, icmpv6, portless, random, sctp, tcp, udp,
};
use portguard_common::answer::{
    Answer, Reset, Sum, Unreachable, answer, ipv4_start, ipv6_start, ppp_protocol_bytes,
    pseudo_header,
};
use portguard_common::limits::QUOTE_BYTES;
use portguard_common::packet::{Family, parse};
use proptest::prelude::*;

fn decide(frame: &[u8]) -> Option<Answer> {
    let headers = parse(&frame).unwrap();
    answer(&frame, &headers, u32::try_from(frame.len()).unwrap())
}

/// What a segment is answered with in IPv4 and in IPv6.
fn decide_both(segment: &Segment) -> [Option<Answer>; 2] {
    [
        decide(&ethernet(Ipv4::carrying(segment.clone()))),
        decide(&ethernet(Ipv6::carrying(segment.clone()))),
    ]
}

/// The same followed by bytes, so that an error has room.
fn long(mut segment: Segment) -> Segment {
    segment.bytes.extend([0; 120]);
    segment
}

fn error(kind: u8, code: u8, quote_bytes: u32) -> Option<Answer> {
    Some(Answer::Unreachable(Unreachable {
        kind,
        code,
        quote_bytes,
    }))
}

fn reset(sequence: u32, acknowledges: Option<u32>) -> Option<Answer> {
    Some(Answer::Reset(Reset {
        src: 22,
        dst: 40_000,
        sequence,
        acknowledges,
    }))
}

/// A TCP segment with sequence number 100 that acknowledges 200.
fn segment(flags: u8, payload: &[u8]) -> Segment {
    let mut segment = tcp(40_000, 22);
    segment.bytes[4..12].copy_from_slice(&[0, 0, 0, 100, 0, 0, 0, 200]);
    segment.bytes[13] = flags;
    segment.bytes.extend(payload);
    segment
}

#[test]
fn tcp_is_reset_as_the_standard_says() {
    // Flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    for (flags, expected) in [
        (2, reset(0, Some(104))),
        (1, reset(0, Some(104))),
        (3, reset(0, Some(105))),
        (0, reset(0, Some(103))),
        (16, reset(200, None)),
        (18, reset(200, None)),
        (25, reset(200, None)),
        (4, None),
        (20, None),
        (6, None),
    ] {
        assert_eq!(
            decide_both(&segment(flags, b"abc")),
            [expected; 2],
            "{flags:#x}"
        );
    }
}

#[test]
fn a_reset_acknowledges_what_is_there() {
    // An IP length past the frame's end, 0 for the frame's end, and one before which padding lies.
    let segment = || segment(2, b"abc");
    for length in [24, 123, 0xffff - 20] {
        for frame in [
            ethernet(Ipv4::carrying(segment()).total_len(20 + length)),
            ethernet(Ipv6::carrying(segment()).payload_len(length)),
        ] {
            assert_eq!(decide(&frame), reset(0, Some(104)), "{length}");
        }
    }
    for frame in [
        ethernet(Ipv4::carrying(segment()).total_len(0)),
        ethernet(Ipv6::carrying(segment()).payload_len(0)),
    ] {
        assert_eq!(decide(&frame), reset(0, Some(104)));
    }
    for frame in [
        ethernet(Ipv4::carrying(segment()).total_len(42)),
        ethernet(Ipv6::carrying(segment()).payload_len(22)),
    ] {
        assert_eq!(decide(&frame), reset(0, Some(103)));
    }
}

#[test]
fn the_code_of_an_error_tells_a_port_from_a_prohibition() {
    let expected = [error(3, 3, 120), error(1, 4, 120)];
    assert_eq!(decide_both(&long(udp(1, 2, b""))), expected);
    let expected = [error(3, 13, 124), error(1, 1, 124)];
    assert_eq!(decide_both(&long(sctp(1, 2))), expected);
    let expected = [error(3, 13, 112), error(1, 1, 112)];
    assert_eq!(decide_both(&long(portless(GRE, b""))), expected);
    let echo = |family: &str| match family {
        "IPv4" => decide(&ethernet(Ipv4::carrying(long(icmp(8, 0))))),
        _ => decide(&ethernet(Ipv6::carrying(long(icmpv6(128, 0))))),
    };
    assert_eq!(echo("IPv4"), error(3, 13, 120));
    assert_eq!(echo("IPv6"), error(1, 1, 120));
}

#[test]
fn errors_and_fragments_are_met_with_silence() {
    for kind in [3, 4, 5, 11, 12] {
        let frame = ethernet(Ipv4::carrying(long(icmp(kind, 0))));
        assert_eq!(decide(&frame), None, "ICMP {kind}");
    }
    for kind in (0..128).chain([137]) {
        let frame = ethernet(Ipv6::carrying(long(icmpv6(kind, 0))));
        assert_eq!(decide(&frame), None, "ICMPv6 {kind}");
    }
    for (units, more) in [(0, true), (10, true), (10, false)] {
        let frame = ethernet(Ipv4::carrying(segment(2, b"")).fragment(units, more));
        assert_eq!(decide(&frame), None, "at {units}");
    }
    for (units, more) in [(0, false), (0, true), (10, false)] {
        let chain = [
            Extension::Octets(HOP_BY_HOP, 0),
            Extension::Fragment(units, more),
        ];
        let frame = ethernet(Ipv6::carrying(segment(2, b"").behind_all(&chain)));
        assert_eq!(decide(&frame), None, "at {units}");
    }
    // A second fragment header is one, too; one in IPv4 is a protocol like any other.
    let frame = ethernet(Ipv4::carrying(long(portless(FRAGMENT, &[TCP; 8]))));
    assert_eq!(decide(&frame), error(3, 13, 120));
}

#[test]
fn the_bytes_of_ppp_before_the_packet_are_counted() {
    let link = || Link::new().tag(CUSTOMER_TAG, 5);
    for (link, expected) in [
        (link(), 0),
        (link().pppoe(), 2),
        (link().compressed_pppoe(), 1),
    ] {
        for packet in [
            frames::Packet::from(Ipv4::carrying(tcp(1, 2))),
            Ipv6::carrying(tcp(1, 2)).into(),
        ] {
            let frame = link.carry(packet);
            let offset = parse(&frame.as_slice()).unwrap().network_offset;
            let before = frame[offset as usize - 1];
            assert_eq!(ppp_protocol_bytes(before, offset), expected);
        }
    }
}

#[test]
fn the_example_of_rfc_1071() {
    let sum = Sum::default().with([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    assert_eq!(sum.checksum(), (!0xddf2_u16).to_be_bytes());
    let halves = Sum::default().with([0x00, 0x01, 0xf2, 0x03]);
    let halves = halves.plus(Sum::default().with([0xf4, 0xf5, 0xf6, 0xf7]));
    assert_eq!(halves.checksum(), sum.checksum());
}

#[test]
fn a_sum_that_carries_twice() {
    // 0xffff + 0xffff + 1 = 0x1ffff: folded once 0x10000, twice 1.
    let sum = Sum::default().with([0xff, 0xff, 0xff, 0xff, 0x00, 0x01]);
    assert_eq!(sum.checksum(), (!1_u16).to_be_bytes());
    assert_eq!(Sum::default().checksum(), [0xff, 0xff]);
    assert_eq!(Sum::default().with([0xff; 512]).checksum(), [0, 0]);
}

#[test]
fn an_ipv4_header_byte_by_byte() {
    let ends = Sum::default().with([192, 168, 0, 1, 192, 168, 0, 199]);
    let expected = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61,
    ];
    assert_eq!(ipv4_start(ends, 17, 0x73 - 20), expected);
}

#[test]
fn an_ipv6_header_byte_by_byte() {
    assert_eq!(ipv6_start(58, 0x0123), [0x60, 0, 0, 0, 0x01, 0x23, 58, 64]);
}

#[test]
fn a_reset_byte_by_byte() {
    let reset = Reset {
        src: 0x1234,
        dst: 0x5678,
        sequence: 0,
        acknowledges: Some(0x9abc_def0),
    };
    let ends = Sum::default().with([10, 0, 0, 1, 10, 0, 0, 2]);
    // 0a00 + 0001 + 0a00 + 0002 + 0006 + 0014 + 1234 + 5678 + 9abc + def0 + 5014 = 2_4689; folded 468b.
    let expected = [
        0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 0x9a, 0xbc, 0xde, 0xf0, 0x50, 0x14, 0, 0, 0xb9, 0x74,
        0, 0,
    ];
    assert_eq!(reset.segment(pseudo_header(ends, 6, 20)), expected);
}

#[test]
fn an_error_byte_by_byte() {
    let error = Unreachable {
        kind: 3,
        code: 13,
        quote_bytes: 4,
    };
    let quote = Sum::default().with([0x12, 0x34, 0x56, 0x78]);
    // 030d + 1234 + 5678 = 6bb9
    assert_eq!(error.message(quote), [3, 13, 0x94, 0x46, 0, 0, 0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_answer_is_longer_than_its_request(frame in random::frame(), more in 0_usize..100) {
        let mut frame = frame;
        frame.resize(frame.len() + more, 0);
        if let Ok(headers) = parse(&frame.as_slice())
            && let Some(answer) = decide(&frame)
        {
            let ip = match headers.family {
                Family::V4 => 20,
                Family::V6 => 40,
            };
            let link = headers.network_offset;
            let length = match answer {
                Answer::Reset(_) => link + ip + 20,
                Answer::Unreachable(error) => {
                    prop_assert!(error.quote_bytes.is_multiple_of(4));
                    prop_assert!(error.quote_bytes <= QUOTE_BYTES);
                    prop_assert!(error.quote_bytes >= headers.transport_offset - link + 8);
                    link + ip + 8 + error.quote_bytes
                }
            };
            prop_assert!(length as usize <= frame.len());
        }
    }
}
