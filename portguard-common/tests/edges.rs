//! The parser where a header just fits and where a byte is missing: by the frame's end and by the packet's own length.

mod frames;

use frames::{
    CUSTOMER_TAG, DESTINATION_OPTIONS, ESP, Extension, FRAGMENT, GRE, HIP, HOP_BY_HOP, ICMP,
    ICMPV6, Ipv4, Ipv6, Link, MOBILITY, NO_NEXT_HEADER, OLD_SERVICE_TAG, Packet, ROUTING, SCTP,
    SERVICE_TAG, SHIM6, Segment, TCP, UDP, ethernet, icmp, icmpv6, portless, raw_ethernet, sctp,
    tcp, tcp_with, udp, udp_with,
};
use portguard_common::packet::{Family, Headers, Malformed, Transport, Unparsed, parse};
use portguard_common::plain::parse_plain;

fn read(frame: &[u8]) -> Result<Headers, Unparsed> {
    parse(&frame)
}

#[track_caller]
fn assert_malformed(frame: &[u8], reason: Malformed) {
    assert_eq!(
        read(frame),
        Err(Unparsed::Malformed(reason)),
        "{frame:02x?}"
    );
}

/// What is read of a frame that is well-formed.
#[track_caller]
fn sound(frame: &[u8]) -> Headers {
    match read(frame) {
        Ok(headers) => headers,
        Err(unparsed) => panic!("{unparsed:?}: {frame:02x?}"),
    }
}

/// A frame without its last bytes.
fn cut(frame: &[u8], bytes: usize) -> &[u8] {
    &frame[..frame.len() - bytes]
}

/// Each transport with its whole header and nothing more, in each family that it is read in.
fn transports() -> Vec<(Segment, Family, Malformed)> {
    let mut all = vec![
        (icmp(8, 0), Family::V4, Malformed::IcmpShort),
        (icmpv6(128, 0), Family::V6, Malformed::Icmpv6Short),
    ];
    for family in [Family::V4, Family::V6] {
        all.push((tcp(1, 2), family, Malformed::TcpShort));
        all.push((udp(1, 2, b""), family, Malformed::UdpShort));
        all.push((sctp(1, 2), family, Malformed::SctpShort));
    }
    all
}

/// A packet in a family, of which this is the IP length, in bytes of payload.
fn packet(segment: &Segment, family: Family, payload_len: Option<u16>) -> Packet {
    match family {
        Family::V4 => {
            let ip = Ipv4::carrying(segment.clone());
            match payload_len {
                Some(len) => ip.total_len(20 + len).into(),
                None => ip.into(),
            }
        }
        Family::V6 => {
            let ip = Ipv6::carrying(segment.clone());
            match payload_len {
                Some(len) => ip.payload_len(len).into(),
                None => ip.into(),
            }
        }
    }
}

#[test]
fn a_transport_header_fits_or_is_cut_short() {
    for (segment, family, reason) in transports() {
        let len = u16::try_from(segment.bytes.len()).unwrap_or(0);
        let frame = ethernet(packet(&segment, family, None));
        let headers = sound(&frame);
        assert_eq!(headers.protocol, segment.protocol);
        assert_ne!(headers.transport(), Transport::Portless);
        for bytes in 1..=usize::from(len) {
            assert_malformed(cut(&frame, bytes), reason);
        }
        // The IP length ends the packet, whatever follows in the frame.
        for short in 1..len {
            let mut frame = ethernet(packet(&segment, family, Some(short)));
            assert_malformed(&frame, reason);
            frame.extend([0; 64]);
            assert_malformed(&frame, reason);
        }
        // None at all: not even the header of the transport.
        if family == Family::V4 {
            assert_malformed(&ethernet(packet(&segment, family, Some(0))), reason);
        }
        // A length past the frame's end is no harm, and 0 means the frame's end.
        for long in [len + 1, len + 1000, 0xffff - 20] {
            let frame = ethernet(packet(&segment, family, Some(long)));
            assert_eq!(sound(&frame), headers);
            assert_malformed(cut(&frame, 1), reason);
        }
        let endless: Packet = match family {
            Family::V4 => Ipv4::carrying(segment.clone()).total_len(0).into(),
            Family::V6 => Ipv6::carrying(segment.clone()).payload_len(0).into(),
        };
        let frame = ethernet(endless);
        assert_eq!(sound(&frame), headers);
        assert_malformed(cut(&frame, 1), reason);
    }
}

#[test]
fn the_short_way_asks_for_no_more_than_the_headers() {
    for (segment, family, _) in transports() {
        if !matches!(segment.protocol, TCP | UDP) {
            continue;
        }
        let frame = ethernet(packet(&segment, family, None));
        assert_eq!(parse_plain(&frame.as_slice()), Some(sound(&frame)));
        let shorter = cut(&frame, 1);
        assert_eq!(parse_plain(&shorter), None);
        // What it leaves to the long way.
        let len = u16::try_from(segment.bytes.len()).unwrap_or(0);
        for short in [0, len - 1] {
            let frame = ethernet(packet(&segment, family, Some(short)));
            assert_eq!(parse_plain(&frame.as_slice()), None, "{short}");
        }
        for tagged in [
            Link::new()
                .tag(CUSTOMER_TAG, 5)
                .carry(packet(&segment, family, None)),
            Link::new().pppoe().carry(packet(&segment, family, None)),
        ] {
            assert_eq!(parse_plain(&tagged.as_slice()), None);
        }
    }
    for frame in [
        ethernet(Ipv4::carrying(tcp(1, 2)).options(&[1; 4])),
        ethernet(Ipv4::carrying(tcp(1, 2)).fragment(0, true)),
        ethernet(Ipv4::carrying(tcp(1, 2)).fragment(5, false)),
        ethernet(Ipv4::carrying(tcp(1, 2)).first_byte(0x55)),
        ethernet(Ipv6::carrying(tcp(1, 2)).first_byte(0x50)),
        ethernet(Ipv4::carrying(tcp_with(1, 2, 4))),
        ethernet(Ipv6::carrying(udp_with(1, 2, 7, b""))),
        ethernet(Ipv4::carrying(sctp(1, 2))),
        ethernet(Ipv6::carrying(
            tcp(1, 2).behind(Extension::Octets(HOP_BY_HOP, 0)),
        )),
    ] {
        assert_eq!(parse_plain(&frame.as_slice()), None, "{frame:02x?}");
    }
    // Don't fragment is no fragment.
    let frame = ethernet(Ipv4::carrying(tcp(1, 2)).fragmentation(0x4000));
    assert_eq!(parse_plain(&frame.as_slice()), Some(sound(&frame)));
}

#[test]
fn lengths_within_transport_headers() {
    for family in [Family::V4, Family::V6] {
        let frame_of = |segment: Segment| ethernet(packet(&segment, family, None));
        for words in 0..5 {
            assert_malformed(&frame_of(tcp_with(1, 2, words)), Malformed::TcpDataOffset);
        }
        // 15 words are past the packet's end here.
        for words in [5, 6, 15] {
            sound(&frame_of(tcp_with(1, 2, words)));
        }
        for len in 0..8 {
            assert_malformed(&frame_of(udp_with(1, 2, len, b"")), Malformed::UdpLength);
        }
        for len in [8, 9, 0x0100, 0xffff] {
            sound(&frame_of(udp_with(1, 2, len, b"")));
        }
    }
}

#[test]
fn ports_and_types_are_read_whole() {
    let ports = Transport::Ports {
        src: 0x1234,
        dst: 0xfedc,
    };
    for segment in [
        tcp(0x1234, 0xfedc),
        udp(0x1234, 0xfedc, b""),
        sctp(0x1234, 0xfedc),
    ] {
        for family in [Family::V4, Family::V6] {
            let headers = sound(&ethernet(packet(&segment, family, None)));
            assert_eq!(headers.transport(), ports);
            let start = if family == Family::V4 { 34 } else { 54 };
            assert_eq!(headers.transport_offset, start);
        }
    }
    let message = Transport::Icmp { kind: 3, code: 9 };
    assert_eq!(sound(&frames::ipv4(icmp(3, 9))).transport(), message);
    assert_eq!(sound(&frames::ipv6(icmpv6(3, 9))).transport(), message);
    // Each only in its own family, and neither needs bytes where it is none.
    for (frame, protocol) in [
        (frames::ipv6(portless(ICMP, b"")), ICMP),
        (frames::ipv4(portless(ICMPV6, b"")), ICMPV6),
        (frames::ipv4(portless(GRE, b"")), GRE),
        (frames::ipv6(portless(ESP, b"")), ESP),
        (frames::ipv6(portless(NO_NEXT_HEADER, b"")), NO_NEXT_HEADER),
        // What is an extension header in IPv6 is a protocol in IPv4.
        (frames::ipv4(portless(HOP_BY_HOP, b"")), HOP_BY_HOP),
        (frames::ipv4(portless(FRAGMENT, b"")), FRAGMENT),
    ] {
        let headers = sound(&frame);
        assert_eq!(headers.transport(), Transport::Portless);
        assert_eq!(headers.protocol, protocol);
    }
}

#[test]
fn an_ipv4_header_fits_or_is_cut_short() {
    let frame = frames::ipv4(portless(GRE, b""));
    sound(&frame);
    for bytes in 1..=20 {
        assert_malformed(cut(&frame, bytes), Malformed::Ipv4Short);
    }
    for words in 1..=10 {
        let ip = || Ipv4::carrying(portless(GRE, b"")).options(&vec![1; words * 4]);
        let frame = ethernet(ip());
        let header_len = 20 + words as u16 * 4;
        assert_eq!(sound(&frame).transport_offset, 14 + u32::from(header_len));
        assert_malformed(cut(&frame, 1), Malformed::Ipv4Short);
        assert_malformed(cut(&frame, words * 4), Malformed::Ipv4Short);
        // The total length, too, must hold the header.
        sound(&ethernet(ip().total_len(header_len)));
        sound(&ethernet(ip().total_len(0)));
        for total_len in [1, 20, header_len - 1] {
            let frame = ethernet(ip().total_len(total_len));
            assert_malformed(&frame, Malformed::Ipv4TotalLength);
        }
    }
    let ip = || Ipv4::carrying(tcp(1, 2));
    for words in 0..5 {
        let frame = ethernet(ip().first_byte(0x40 | words));
        assert_malformed(&frame, Malformed::Ipv4HeaderLength);
    }
    for version in (0..16).filter(|version| *version != 4) {
        let frame = ethernet(ip().first_byte(version << 4 | 5));
        assert_malformed(&frame, Malformed::Ipv4Version);
    }
}

#[test]
fn an_ipv6_header_fits_or_is_cut_short() {
    let frame = frames::ipv6(portless(NO_NEXT_HEADER, b""));
    sound(&frame);
    for bytes in 1..=40 {
        assert_malformed(cut(&frame, bytes), Malformed::Ipv6Short);
    }
    for version in (0..16).filter(|version| *version != 6) {
        let frame = ethernet(Ipv6::carrying(tcp(1, 2)).first_byte(version << 4));
        assert_malformed(&frame, Malformed::Ipv6Version);
    }
    // The rest of that byte is the traffic class.
    sound(&ethernet(Ipv6::carrying(tcp(1, 2)).first_byte(0x6f)));
}

#[test]
fn an_extension_header_fits_or_is_cut_short() {
    let kinds = [
        HOP_BY_HOP,
        ROUTING,
        DESTINATION_OPTIONS,
        MOBILITY,
        HIP,
        SHIM6,
    ];
    let mut extensions: Vec<(Extension, u32)> = Vec::new();
    for kind in kinds {
        for len in [0_u8, 1, 3, 255] {
            let bytes = (u32::from(len) + 1) * 8;
            extensions.push((Extension::Octets(kind, len), bytes));
        }
    }
    // RFC 4302 counts words of 4 bytes, less two.
    for len in [0_u8, 1, 4, 255] {
        extensions.push((Extension::Ah(len), (u32::from(len) + 2) * 4));
    }
    extensions.push((Extension::Fragment(0, false), 8));
    for (extension, bytes) in extensions {
        let segment = || portless(NO_NEXT_HEADER, b"").behind(extension);
        let frame = frames::ipv6(segment());
        let headers = sound(&frame);
        assert_eq!(headers.protocol, NO_NEXT_HEADER);
        assert_eq!(headers.transport_offset, 54 + bytes, "{extension:?}");
        for missing in [1, 4, bytes as usize] {
            assert_malformed(cut(&frame, missing), Malformed::ExtensionShort);
        }
        let bytes = u16::try_from(bytes).unwrap_or(0);
        for payload_len in [1, 3, 7, bytes - 1] {
            let mut frame = ethernet(Ipv6::carrying(segment()).payload_len(payload_len));
            frame.extend([0; 64]);
            assert_malformed(&frame, Malformed::ExtensionShort);
        }
        sound(&ethernet(Ipv6::carrying(segment()).payload_len(bytes)));
        // Behind it a transport header, as far as the packet goes.
        let frame = frames::ipv6(tcp(1, 2).behind(extension));
        assert_eq!(
            sound(&frame).transport(),
            Transport::Ports { src: 1, dst: 2 }
        );
        assert_malformed(cut(&frame, 1), Malformed::TcpShort);
    }
}

#[test]
fn eight_extension_headers_are_walked_and_no_more() {
    let chain = |len: usize| vec![Extension::Octets(DESTINATION_OPTIONS, 0); len];
    let frame = frames::ipv6(udp(1, 2, b"").behind_all(&chain(8)));
    assert_eq!(
        sound(&frame).transport(),
        Transport::Ports { src: 1, dst: 2 }
    );
    let frame = frames::ipv6(udp(1, 2, b"").behind_all(&chain(9)));
    assert_malformed(&frame, Malformed::ExtensionDepth);
    // A later fragment ends the walk.
    let mut fragment = chain(7);
    fragment.push(Extension::Fragment(10, false));
    let frame = frames::ipv6(portless(HOP_BY_HOP, b"").behind_all(&fragment));
    let headers = sound(&frame);
    assert!(headers.later_fragment && headers.fragmented);
    assert_eq!(headers.protocol, HOP_BY_HOP);
}

#[test]
fn fragments() {
    for units in [1, 2, 3, 0x1fff] {
        for more in [false, true] {
            for (frame, protocol) in [
                (
                    ethernet(Ipv4::carrying(portless(UDP, b"")).fragment(units, more)),
                    UDP,
                ),
                (
                    ethernet(Ipv4::carrying(portless(SCTP, b"")).fragment(units, more)),
                    SCTP,
                ),
                (
                    frames::ipv6(portless(UDP, b"").behind(Extension::Fragment(units, more))),
                    UDP,
                ),
                (
                    frames::ipv6(portless(ICMPV6, b"").behind(Extension::Fragment(units, more))),
                    ICMPV6,
                ),
            ] {
                let headers = sound(&frame);
                assert!(headers.later_fragment && headers.fragmented, "{frame:02x?}");
                assert_eq!(headers.transport(), Transport::Portless);
                assert_eq!(headers.protocol, protocol);
            }
            // Eight bytes into a TCP header are its flags.
            for frame in [
                ethernet(Ipv4::carrying(portless(TCP, &[0; 40])).fragment(units, more)),
                frames::ipv6(portless(TCP, &[0; 40]).behind(Extension::Fragment(units, more))),
            ] {
                if units == 1 {
                    assert_malformed(&frame, Malformed::TcpFragmentOffset);
                } else {
                    assert!(sound(&frame).later_fragment);
                }
            }
        }
    }
    for (segment, family, reason) in transports() {
        let first = match family {
            Family::V4 => ethernet(Ipv4::carrying(segment).fragment(0, true)),
            Family::V6 => frames::ipv6(segment.behind(Extension::Fragment(0, true))),
        };
        let headers = sound(&first);
        assert!(headers.fragmented && !headers.later_fragment);
        assert_ne!(headers.transport(), Transport::Portless);
        assert_malformed(cut(&first, 1), reason);
    }
    // Neither the reserved bit nor "don't fragment" makes a fragment.
    for field in [0x8000, 0x4000, 0xc000] {
        let headers = sound(&ethernet(Ipv4::carrying(tcp(1, 2)).fragmentation(field)));
        assert!(!headers.fragmented && !headers.later_fragment, "{field:x}");
    }
    let mut atomic = frames::ipv6(tcp(1, 2).behind(Extension::Fragment(0, false)));
    let headers = sound(&atomic);
    assert!(headers.fragmented && !headers.later_fragment);
    // What is reserved in a fragment header is ignored (RFC 8200, 4.5), and is no length.
    atomic[55] = 0xff;
    atomic[57] = 0b110;
    assert_eq!(sound(&atomic), headers);
}

#[test]
fn tags() {
    let packet = || Packet::from(Ipv4::carrying(tcp(1, 2)));
    let mut link = Link::new();
    for (number, kind) in [CUSTOMER_TAG, SERVICE_TAG, OLD_SERVICE_TAG, CUSTOMER_TAG]
        .into_iter()
        .enumerate()
    {
        // Priority tags but for the third.
        link = link.tag(kind, if number == 2 { 0xefff } else { 0xe000 });
        let frame = link.carry(packet());
        let headers = sound(&frame);
        assert_eq!(headers.network_offset, 18 + 4 * number as u32);
        assert_eq!(headers.vlan, if number < 2 { 0 } else { 0xfff });
        let end = headers.network_offset as usize;
        for bytes in 1..=4 {
            assert_malformed(&frame[..end - bytes], Malformed::VlanShort);
        }
    }
    let frame = link.tag(SERVICE_TAG, 1).carry(packet());
    assert_malformed(&frame, Malformed::VlanDepth);
    // The first ID counts.
    let link = Link::new().tag(SERVICE_TAG, 7).tag(CUSTOMER_TAG, 8);
    assert_eq!(sound(&link.carry(packet())).vlan, 7);
}

#[test]
fn pppoe() {
    for (link, offset) in [
        (Link::new().pppoe(), 22),
        (Link::new().compressed_pppoe(), 21),
    ] {
        for packet in [
            Packet::from(Ipv4::carrying(tcp(1, 2))),
            Ipv6::carrying(tcp(1, 2)).into(),
        ] {
            let frame = link.carry(packet);
            assert_eq!(sound(&frame).network_offset, offset);
            for end in 14..offset as usize {
                assert_malformed(&frame[..end], Malformed::PppoeShort);
            }
        }
    }
    for (protocol, keeps_link) in [
        (0x0023, false),
        (0x0055, false),
        (0x2057, false),
        (0x7fff, false),
        (0x8001, true),
        (0x8021, true),
        (0xc021, true),
        (0xfefd, true),
    ] {
        let frame = Link::new().pppoe().carry_raw(0, protocol, &[0; 40]);
        assert_eq!(
            read(&frame),
            Err(Unparsed::NotIp { keeps_link }),
            "{protocol:x}"
        );
    }
}

#[test]
fn what_is_not_ip() {
    for (ether_type, bytes, keeps_link) in [
        (0x0806, &[0_u8; 28][..], true),
        (0x888e, &[], true),
        (0x8863, &[], true),
        (0x8809, &[1], true),
        (0x8809, &[3], false),
        (0x8809, &[], false),
        (0x8847, &[0x45; 40], false),
        (0x0000, &[], false),
        (0x0801, &[], false),
        (0x86dc, &[], false),
    ] {
        let frame = raw_ethernet(ether_type, bytes);
        assert_eq!(
            read(&frame),
            Err(Unparsed::NotIp { keeps_link }),
            "{ether_type:x}"
        );
    }
}
