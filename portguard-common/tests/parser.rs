//! Properties of the parser on any bytes, and what only the host can show: frames that the kernel does not
//! run, being shorter than an Ethernet header.

mod frames;

use frames::{Ipv4, Segment, random, tcp, udp};
use portguard_common::packet::{Extension, Family, Headers, Malformed, Transport, Unparsed, parse};
use portguard_common::plain::parse_plain;
use portguard_common::word::Word;
use proptest::prelude::*;

/// Enough that a shortcut which is wrong for one kind of frame in a thousand is found.
const CASES: u32 = 10_000;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        // A counterexample is printed; as a fixture it becomes a test with a name.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_the_short_way_reads_the_long_way_reads_too(frame in random::frame()) {
        let frame = frame.as_slice();
        if let Some(headers) = parse_plain(&frame) {
            prop_assert_eq!(parse(&frame), Ok(headers));
        }
    }

    #[test]
    fn a_word_says_what_was_read(frame in random::frame()) {
        let frame = frame.as_slice();
        let parsed = parse(&frame);
        let word = Word::new(&parsed);
        prop_assert_eq!(word.headers(&frame), parsed.ok());
        let (malformed, not_ip) = match parsed {
            Ok(_) => (None, None),
            Err(Unparsed::Malformed(reason)) => (Some(reason as u32), None),
            Err(Unparsed::NotIp { keeps_link }) => (None, Some(keeps_link)),
        };
        prop_assert_eq!(word.malformed(), malformed);
        prop_assert_eq!(word.not_ip(), not_ip);
    }

    #[test]
    fn an_extension_header_is_the_same_as_a_number(
        next: u8,
        end in 1_u32..=portguard_common::packet::OFFSET_MASK,
        fragment_units in 0_u16..=0x1fff,
    ) {
        let extension = Extension { next, end, fragment_units };
        prop_assert_ne!(extension.pack(), 0);
        prop_assert_eq!(Extension::unpack(extension.pack()), extension);
    }

    #[test]
    fn noise_is_read_without_panic(frame in proptest::collection::vec(any::<u8>(), 0..120)) {
        let frame = frame.as_slice();
        let parsed = parse(&frame);
        if let Some(headers) = parse_plain(&frame) {
            prop_assert_eq!(parsed, Ok(headers));
        }
    }

    #[test]
    fn offsets_lie_within_the_frame(frame in random::frame()) {
        let frame = frame.as_slice();
        if let Ok(headers) = parse(&frame) {
            prop_assert!(headers.network_offset >= 14);
            prop_assert!(headers.network_offset + 20 <= headers.transport_offset);
            prop_assert!(headers.transport_offset as usize <= frame.len());
            prop_assert!(headers.vlan < 4096);
            if headers.later_fragment {
                prop_assert_eq!(headers.transport(), Transport::Portless);
            }
        }
    }

    #[test]
    fn bytes_behind_the_packet_change_nothing(frame in random::frame(), more in 1_usize..100) {
        let mut padded = frame.clone();
        padded.resize(frame.len() + more, 0xff);
        // A packet without a length of its own ends where the frame ends, and one that was cut short
        // by the frame's end may be whole now.
        if let Ok(headers) = parse(&frame.as_slice()) {
            prop_assert_eq!(parse(&padded.as_slice()), Ok(headers));
        }
    }
}

#[test]
fn the_short_way_takes_the_common_frames() {
    let segments: [fn() -> Segment; 2] = [|| tcp(40_000, 22), || udp(40_000, 53, b"query")];
    for segment in segments {
        for frame in [frames::ipv4(segment()), frames::ipv6(segment())] {
            assert!(parse_plain(&frame.as_slice()).is_some(), "{frame:02x?}");
        }
    }
}

#[test]
fn a_frame_shorter_than_ethernet_is_malformed() {
    let frame = frames::ipv4(tcp(40_000, 22));
    for length in 0..14 {
        let cut = &frame[..length];
        let expected = Err(Unparsed::Malformed(Malformed::EthernetShort));
        assert_eq!(parse(&cut), expected, "{length} bytes");
        assert_eq!(parse_plain(&cut), None, "{length} bytes");
    }
}

#[test]
fn headers_are_those_of_the_frame() {
    let link = frames::Link::new()
        .tag(frames::SERVICE_TAG, 0x6000)
        .tag(frames::CUSTOMER_TAG, 0xa12c);
    let frame = link.carry(Ipv4::carrying(udp(5353, 53, b"")).options(&[1; 8]).ttl(7));
    let expected = Headers {
        // The first tag has the ID 0: it gives a priority and is no VLAN.
        vlan: 0x12c,
        family: Family::V4,
        hop_limit: 7,
        protocol: 17,
        later_fragment: false,
        fragmented: false,
        fields: Transport::Ports { src: 5353, dst: 53 }.into(),
        network_offset: 22,
        transport_offset: 50,
    };
    assert_eq!(parse(&frame.as_slice()), Ok(expected));
}
