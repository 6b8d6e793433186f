//! Who is answered, and how much of a request an answer quotes, at the edges.

mod frames;

use frames::{
    CUSTOMER_TAG, Extension, GRE, HOP_BY_HOP, Ipv4, Ipv6, Link, Packet, Segment, ethernet,
    portless, tcp, udp,
};
use portguard_common::answer::{Answer, LINK_BYTES, Sum, answer, ipv4_start, ipv6_start};
use portguard_common::packet::parse;

fn decide(frame: &[u8]) -> Option<Answer> {
    decide_as_long_as(frame, frame.len())
}

/// As if the frame went on in another buffer.
fn decide_as_long_as(frame: &[u8], frame_bytes: usize) -> Option<Answer> {
    let headers = match parse(&frame) {
        Ok(headers) => headers,
        Err(unparsed) => panic!("{unparsed:?}: {frame:02x?}"),
    };
    answer(&frame, &headers, u32::try_from(frame_bytes).unwrap_or(0))
}

fn quoted(frame: &[u8]) -> Option<u32> {
    match decide(frame) {
        Some(Answer::Unreachable(error)) => Some(error.quote_bytes),
        Some(Answer::Reset(_)) => panic!("a reset"),
        None => None,
    }
}

fn acknowledged(frame: &[u8]) -> Option<u32> {
    match decide(frame) {
        Some(Answer::Reset(reset)) => reset.acknowledges,
        other => panic!("no reset: {other:?}"),
    }
}

/// Sets bytes of a frame.
fn with(mut frame: Vec<u8>, place: usize, bytes: &[u8]) -> Vec<u8> {
    frame[place..place + bytes.len()].copy_from_slice(bytes);
    frame
}

const V4_SOURCE: usize = 14 + 12;
const V4_DESTINATION: usize = 14 + 16;
const V6_SOURCE: usize = 14 + 8;
const V6_DESTINATION: usize = 14 + 24;

#[test]
fn only_hosts_are_answered_in_ipv4() {
    let frame = || frames::ipv4(tcp(40_000, 22));
    for (address, answers) in [
        ([0, 0, 0, 0], false),
        ([0, 0, 0, 1], true),
        ([1, 0, 0, 0], true),
        ([126, 255, 255, 255], true),
        ([127, 0, 0, 1], false),
        ([127, 255, 255, 255], false),
        ([128, 0, 0, 1], true),
        ([223, 255, 255, 255], true),
        ([224, 0, 0, 1], false),
        ([232, 1, 2, 3], false),
        ([239, 255, 255, 255], false),
        ([240, 0, 0, 1], true),
        ([255, 255, 255, 254], true),
        ([255, 255, 255, 255], false),
    ] {
        for place in [V4_SOURCE, V4_DESTINATION] {
            let answer = decide(&with(frame(), place, &address));
            assert_eq!(answer.is_some(), answers, "{address:?} at {place}");
        }
    }
}

#[test]
fn only_hosts_are_answered_in_ipv6() {
    let frame = || frames::ipv6(tcp(40_000, 22));
    let one = |place: usize, byte: u8| {
        let mut address = [0; 16];
        address[place] = byte;
        address
    };
    for (address, answers) in [
        ([0; 16], false),
        (one(15, 1), false),
        (one(15, 2), true),
        (one(8, 1), true),
        (one(7, 1), true),
        (one(0, 0x20), true),
        (one(0, 0xfe), true),
        (one(0, 0xff), false),
        ([0xff; 16], false),
    ] {
        for place in [V6_SOURCE, V6_DESTINATION] {
            let answer = decide(&with(frame(), place, &address));
            assert_eq!(answer.is_some(), answers, "{address:02x?} at {place}");
        }
    }
    // 1 in both halves is no loopback.
    let mut address = one(7, 1);
    address[15] = 1;
    assert!(decide(&with(frame(), V6_SOURCE, &address)).is_some());
}

#[test]
fn no_group_of_the_link_is_answered() {
    for frame in [frames::ipv4(tcp(1, 2)), frames::ipv6(tcp(1, 2))] {
        for place in [0, 6] {
            for (first, answers) in [
                (0, true),
                (2, true),
                (0xfe, true),
                (1, false),
                (0xff, false),
            ] {
                let answer = decide(&with(frame.clone(), place, &[first]));
                assert_eq!(answer.is_some(), answers, "{first:x} at {place}");
            }
            // The other bytes say nothing of the kind.
            assert!(decide(&with(frame.clone(), place + 1, &[0xff; 5])).is_some());
        }
    }
}

/// A payload that no checksum takes for zeros.
fn payload(segment: Segment, bytes: usize) -> Segment {
    let mut segment = segment;
    segment.bytes.extend(std::iter::repeat_n(0xa5, bytes));
    segment
}

#[test]
fn an_error_quotes_what_fits() {
    // In front of the quote come 28 bytes in IPv4, 48 in IPv6: so much room the request itself must leave.
    for bytes in 0..400_usize {
        let v4 = ethernet(Ipv4::carrying(payload(udp(1, 2, b""), bytes)));
        let packet = 20 + 8 + bytes as u32;
        let most = (packet - 28).min(256) / 4 * 4;
        assert_eq!(quoted(&v4), (most >= 28).then_some(most), "{bytes} in IPv4");

        let v6 = ethernet(Ipv6::carrying(payload(udp(1, 2, b""), bytes)));
        let packet = 40 + 8 + bytes as u32;
        let most = (packet - 48).min(256) / 4 * 4;
        assert_eq!(quoted(&v6), (most >= 48).then_some(most), "{bytes} in IPv6");
    }
}

#[test]
fn padding_is_room_but_is_not_quoted() {
    let short = || payload(udp(1, 2, b""), 3);
    let mut v4 = ethernet(Ipv4::carrying(short()));
    v4.resize(200, 0);
    assert_eq!(quoted(&v4), Some(28));
    let mut v6 = ethernet(Ipv6::carrying(short()));
    v6.resize(200, 0);
    assert_eq!(quoted(&v6), Some(48));
    // A length of 0 means the frame's end; one past it, no more than that.
    for total_len in [0, 186, 187, 0xffff] {
        let v4 = with(v4.clone(), 14 + 2, &u16::to_be_bytes(total_len));
        assert_eq!(quoted(&v4), Some((200 - 14 - 28) / 4 * 4), "{total_len}");
    }
    for payload_len in [0, 146, 147, 0xffff] {
        let v6 = with(v6.clone(), 14 + 4, &u16::to_be_bytes(payload_len));
        assert_eq!(quoted(&v6), Some((200 - 14 - 48) / 4 * 4), "{payload_len}");
    }
}

#[test]
fn long_headers_are_met_with_silence() {
    // 248 bytes of headers and 8 of what they carry are the most that is quoted.
    let behind =
        |len: u8| payload(portless(GRE, &[0; 8]), 400).behind(Extension::Octets(HOP_BY_HOP, len));
    assert_eq!(quoted(&ethernet(Ipv6::carrying(behind(25)))), Some(256));
    assert_eq!(quoted(&ethernet(Ipv6::carrying(behind(26)))), None);
    let segment = |len: u8| payload(tcp(1, 2), 400).behind(Extension::Octets(HOP_BY_HOP, len));
    assert!(decide(&ethernet(Ipv6::carrying(segment(25)))).is_some());
    assert_eq!(decide(&ethernet(Ipv6::carrying(segment(26)))), None);
    // Options are headers: they are quoted with 8 bytes of the transport.
    for bytes in 0..40_u32 {
        let ip = Ipv4::carrying(payload(udp(1, 2, b""), bytes as usize)).options(&[1; 12]);
        let frame = ethernet(ip);
        let most = (12 + bytes) / 4 * 4;
        assert_eq!(quoted(&frame), (most >= 40).then_some(most), "{bytes}");
    }
}

#[test]
fn a_reset_acknowledges_the_whole_segment() {
    const SEQUENCE: usize = 4;
    const FLAGS: usize = 13;
    let segment = |sequence: u32, flags: u8, words: u8, bytes: usize| {
        let mut segment = payload(tcp(40_000, 22), bytes);
        segment.bytes[SEQUENCE..SEQUENCE + 4].copy_from_slice(&sequence.to_be_bytes());
        segment.bytes[FLAGS - 1] = words << 4;
        segment.bytes[FLAGS] = flags;
        segment
    };
    for (sequence, flags, words, bytes, expected) in [
        // SYN, FIN and each byte of payload count.
        (1000, 0x02, 5, 0, 1001),
        (1000, 0x00, 5, 0, 1000),
        (1000, 0x08, 5, 9, 1009),
        (1000, 0x03, 5, 9, 1011),
        // Options do not, whatever they take.
        (1000, 0x02, 6, 4, 1001),
        (1000, 0x01, 10, 20, 1001),
        (1000, 0x02, 15, 50, 1011),
        // A data offset past the packet's end leaves nothing.
        (1000, 0x02, 15, 30, 1001),
        // Sequence numbers go round.
        (0xffff_fffe, 0x03, 5, 3, 3),
        (0x0102_0304, 0x02, 5, 0, 0x0102_0305),
    ] {
        let own = segment(sequence, flags, words, bytes);
        for packet in [
            Packet::from(Ipv4::carrying(own.clone())),
            Ipv6::carrying(own.clone()).into(),
            Ipv4::carrying(own.clone()).options(&[1; 8]).into(),
            Ipv6::carrying(own.clone().behind(Extension::Octets(HOP_BY_HOP, 1))).into(),
        ] {
            let mut frame = ethernet(packet.clone());
            assert_eq!(
                acknowledged(&frame),
                Some(expected),
                "{flags:x} {words} {bytes}"
            );
            // Padding is no payload.
            frame.resize(frame.len() + 60, 0);
            assert_eq!(
                acknowledged(&frame),
                Some(expected),
                "{flags:x} {words} {bytes}"
            );
            let tagged = Link::new().tag(CUSTOMER_TAG, 5).pppoe().carry(packet);
            assert_eq!(acknowledged(&tagged), Some(expected));
        }
    }
}

#[test]
fn a_frame_of_several_buffers_is_as_long_as_all_of_them() {
    let mut frame = ethernet(Ipv4::carrying(payload(udp(1, 2, b""), 500)).total_len(0));
    frame.truncate(300);
    let quote = |bytes: usize| match decide_as_long_as(&frame, bytes) {
        Some(Answer::Unreachable(error)) => Some(error.quote_bytes),
        _ => None,
    };
    assert_eq!(quote(400), Some(256));
    assert_eq!(quote(14 + 28 + 40), Some(40));
    // A length that cannot be is no room.
    assert_eq!(quote(10), None);
    assert_eq!(quote(14 + 27), None);
}

#[test]
fn the_longest_link_header() {
    let link = (0..4).fold(Link::new(), |link, _| link.tag(CUSTOMER_TAG, 1));
    let frame = link.pppoe().carry(Ipv4::carrying(tcp(1, 2)));
    assert_eq!(
        Ok(LINK_BYTES),
        parse(&frame.as_slice()).map(|headers| headers.network_offset)
    );
}

/// The checksum of RFC 1071, bit by bit as its text says: the ones' complement of the ones' complement sum.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2);
    let sum = words.fold(0_u16, |sum, word| {
        let word = u16::from_be_bytes([word[0], word[1]]);
        let (sum, carries) = sum.overflowing_add(word);
        sum + u16::from(carries)
    });
    !sum
}

#[test]
fn checksums_of_many_headers() {
    for number in 0..2000_u32 {
        let ends: [u8; 8] = (u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes();
        let payload_bytes = number * 37 % 1480;
        let start = ipv4_start(Sum::default().with(ends), number as u8, payload_bytes);
        let header = [&start[..], &ends].concat();
        assert_eq!(checksum(&header), 0, "{header:02x?}");
        assert_eq!(
            u32::from(u16::from_be_bytes([start[2], start[3]])),
            20 + payload_bytes
        );
        assert_eq!(start[9], number as u8);
        let start = ipv6_start(number as u8, payload_bytes);
        assert_eq!(
            u32::from(u16::from_be_bytes([start[4], start[5]])),
            payload_bytes
        );
    }
}
