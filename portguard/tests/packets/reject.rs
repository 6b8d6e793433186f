//! What a rejected packet is answered with, byte by byte.
//!
//! The expected answer is built here from the request, by the standards, with checksums of its own.

use std::time::Instant;

use portguard_common::answer::answer;
use portguard_common::packet::parse;

use crate::filter::{Filter, load, rejecting_tables};
use crate::frames::{
    CUSTOMER_TAG, DESTINATION_OPTIONS, ESP, Extension, GRE, HIP, HOP_BY_HOP, Ipv4, Ipv6, Link,
    MOBILITY, OLD_SERVICE_TAG, Packet, ROUTING, SCTP, SERVICE_TAG, SHIM6, Segment, TCP, ethernet,
    icmp, icmpv6, portless, random, udp,
};

/// Everything is rejected.
const RULE: &str = "{ name: all, action: drop, protocol: any }";

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

fn rejecting() -> Filter {
    Filter::rejecting("essential: rules", &[RULE])
}

/// A TCP segment to port 22 with a header of `words`, which is there only if it is not longer than 20 bytes
/// and `payload` together.
fn segment(flags: u8, sequence: u32, acknowledged: u32, words: u8, payload: &[u8]) -> Segment {
    let mut bytes = vec![0x9c, 0x40, 0, 22];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([words << 4, flags, 0x20, 0, 0xab, 0xcd, 0, 7]);
    bytes.extend(payload);
    portless(TCP, &bytes)
}

fn syn() -> Segment {
    segment(SYN, 1000, 0, 5, b"")
}

/// The checksum of the Internet protocols (RFC 1071): one's complement sums are sums modulo 65,535.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    assert!(bytes.len().is_multiple_of(2));
    let sum: u64 = bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | u64::from(word[1]))
        .sum();
    let checksum = (0xffff - sum % 0xffff) % 0xffff;
    u16::try_from(checksum).unwrap().to_be_bytes()
}

fn be16(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

/// A request: its link header and its packet. `ppp` bytes of the link header are the PPP protocol field.
struct Request {
    link: Vec<u8>,
    ppp: usize,
    packet: Vec<u8>,
    padding: usize,
}

impl Request {
    fn new(packet: impl Into<Packet>) -> Self {
        Self::over(&Link::new(), 0, packet)
    }

    fn over(link: &Link, ppp: usize, packet: impl Into<Packet>) -> Self {
        let packet = packet.into();
        let frame = link.carry(packet.clone());
        Self {
            link: frame[..frame.len() - packet.bytes.len()].to_vec(),
            ppp,
            packet: packet.bytes,
            padding: 0,
        }
    }

    fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    fn frame(&self) -> Vec<u8> {
        let mut frame = [self.link.as_slice(), &self.packet].concat();
        frame.resize(frame.len() + self.padding, 0xee);
        frame
    }

    fn is_v4(&self) -> bool {
        self.packet[0] >> 4 == 4
    }

    /// Source and destination address.
    fn ends(&self) -> (&[u8], &[u8]) {
        if self.is_v4() {
            (&self.packet[12..16], &self.packet[16..20])
        } else {
            (&self.packet[8..24], &self.packet[24..40])
        }
    }

    /// The frame that goes back with a payload whose checksum, at a place in it, is not there yet.
    fn answered(&self, protocol: u8, mut payload: Vec<u8>, checksum_at: usize) -> Vec<u8> {
        let (from, to) = self.ends();
        let length = be16(payload.len());
        let pseudo: Vec<u8> = match protocol {
            // ICMP has none.
            1 => Vec::new(),
            _ => [to, from, &length[..], &[0, protocol]].concat(),
        };
        let sum = checksum(&[&pseudo, &payload]);
        payload[checksum_at..checksum_at + 2].copy_from_slice(&sum);

        let mut header = Vec::new();
        if self.is_v4() {
            header.extend([0x45, 0]);
            header.extend(be16(20 + payload.len()));
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend([to, from].concat());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum);
        } else {
            header.extend([0x60, 0, 0, 0]);
            header.extend(length);
            header.extend([protocol, 64]);
            header.extend([to, from].concat());
        }
        let mut link = [&self.link[6..12], &self.link[..6], &self.link[12..]].concat();
        if self.ppp > 0 {
            let at = link.len() - self.ppp - 2;
            let length = be16(self.ppp + header.len() + payload.len());
            link[at..at + 2].copy_from_slice(&length);
        }
        [link, header, payload].concat()
    }

    /// The reset with these flags and numbers.
    fn reset(&self, flags: u8, sequence: u32, acknowledged: u32) -> Vec<u8> {
        let mut bytes = vec![0, 22, 0x9c, 0x40];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(acknowledged.to_be_bytes());
        bytes.extend([5 << 4, flags, 0, 0, 0, 0, 0, 0]);
        self.answered(6, bytes, 16)
    }

    /// The error of this code in its family, with a quote of so many bytes.
    fn unreachable(&self, code: u8, quoted: usize) -> Vec<u8> {
        let (protocol, kind) = if self.is_v4() { (1, 3) } else { (58, 1) };
        let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
        bytes.extend(&self.packet[..quoted]);
        self.answered(protocol, bytes, 2)
    }
}

/// Sends a request and compares what comes back, whole.
fn expect(filter: &mut Filter, case: &str, request: &Request, key: &str, answer: Option<&[u8]>) {
    let found = filter.answer(&request.frame(), key);
    assert_eq!(found.as_deref(), answer, "{case}");
    if let Some(answer) = found {
        assert!(answer.len() <= request.frame().len(), "{case}: too long");
    }
}

fn both(segment: &Segment) -> [(&'static str, Request); 2] {
    [
        ("IPv4", Request::new(Ipv4::carrying(segment.clone()))),
        ("IPv6", Request::new(Ipv6::carrying(segment.clone()))),
    ]
}

#[test]
fn tcp_without_an_acknowledgement_is_reset_with_one() {
    let mut filter = rejecting();
    // Flags, sequence number, payload; what is acknowledged (RFC 9293, 3.10.7.1).
    let cases: [(u8, u32, &[u8], u32); 8] = [
        (SYN, 1000, b"", 1001),
        (SYN, 1000, b"hello", 1006),
        (SYN, u32::MAX, b"", 0),
        (FIN, 1000, b"", 1001),
        (FIN | SYN, 1000, b"abc", 1005),
        (0, 1000, b"", 1000),
        (PSH, u32::MAX - 1, b"odd", 1),
        (0xe0, 7, b"", 7),
    ];
    for (flags, sequence, payload, acknowledged) in cases {
        for (family, request) in both(&segment(flags, sequence, 77, 5, payload)) {
            let case = format!("{family}, flags {flags:#x}, payload {payload:?}");
            let answer = request.reset(RST | ACK, 0, acknowledged);
            expect(&mut filter, &case, &request, "tcp/22", Some(&answer));
        }
    }
}

#[test]
fn tcp_with_an_acknowledgement_is_reset_in_its_place() {
    let mut filter = rejecting();
    for flags in [ACK, ACK | SYN, ACK | FIN, ACK | PSH] {
        for payload in [&b""[..], b"some data"] {
            for (family, request) in both(&segment(flags, 5, 0xfedc_ba98, 5, payload)) {
                let case = format!("{family}, flags {flags:#x}");
                let answer = request.reset(RST, 0xfedc_ba98, 0);
                expect(&mut filter, &case, &request, "tcp/22", Some(&answer));
            }
        }
    }
}

#[test]
fn options_and_padding_are_no_payload_of_tcp() {
    let mut filter = rejecting();
    // A header of 40 bytes and 3 bytes of payload.
    for (family, request) in both(&segment(SYN, 1000, 0, 10, &[1; 23])) {
        let answer = request.reset(RST | ACK, 0, 1004);
        expect(&mut filter, family, &request, "tcp/22", Some(&answer));
    }
    // A data offset past the packet's end.
    for (family, request) in both(&segment(SYN, 1000, 0, 15, &[1; 23])) {
        let answer = request.reset(RST | ACK, 0, 1001);
        expect(&mut filter, family, &request, "tcp/22", Some(&answer));
    }
    for (family, request) in both(&syn()) {
        let request = request.padding(6);
        let answer = request.reset(RST | ACK, 0, 1001);
        expect(&mut filter, family, &request, "tcp/22", Some(&answer));
    }
}

#[test]
fn a_length_of_0_means_the_frames_end() {
    let mut filter = rejecting();
    for packet in [
        Packet::from(Ipv4::carrying(segment(0, 1000, 0, 5, b"12345")).total_len(0)),
        Packet::from(Ipv6::carrying(segment(0, 1000, 0, 5, b"12345")).payload_len(0)),
    ] {
        let request = Request::new(packet);
        let answer = request.reset(RST | ACK, 0, 1005);
        expect(&mut filter, "tcp", &request, "tcp/22", Some(&answer));
    }
}

#[test]
fn udp_is_told_that_the_port_is_unreachable_and_anything_else_that_it_is_prohibited() {
    let mut filter = rejecting();
    let payload: Vec<u8> = (0..60).collect();
    let mut sctp = vec![0, 9, 0, 80, 0, 0, 0, 0, 1, 2, 3, 4];
    sctp.extend(&payload);
    let segments = [
        (udp(40_000, 53, &payload), "udp/53", 3, 4),
        (portless(SCTP, &sctp), "sctp/80", 13, 1),
        (portless(GRE, &payload), "47", 13, 1),
        (portless(ESP, &payload), "50", 13, 1),
        (portless(255, &payload), "255", 13, 1),
    ];
    for (segment, key, code_v4, code_v6) in segments {
        let v4 = Request::new(Ipv4::carrying(segment.clone()));
        // What fits: the frame without the new headers.
        let room = (v4.packet.len() - 28) / 4 * 4;
        let answer = v4.unreachable(code_v4, room);
        expect(&mut filter, "IPv4", &v4, key, Some(&answer));
        let v6 = Request::new(Ipv6::carrying(segment));
        let room = (v6.packet.len() - 48) / 4 * 4;
        let answer = v6.unreachable(code_v6, room);
        expect(&mut filter, "IPv6", &v6, key, Some(&answer));
    }
    let mut echo = icmp(8, 0);
    echo.bytes.extend(&payload);
    let request = Request::new(Ipv4::carrying(echo));
    let answer = request.unreachable(13, 60);
    expect(&mut filter, "echo", &request, "1", Some(&answer));
    let mut echo = icmpv6(128, 0);
    echo.bytes.extend(&payload);
    let request = Request::new(Ipv6::carrying(echo));
    let answer = request.unreachable(1, 60);
    expect(&mut filter, "echo in IPv6", &request, "58", Some(&answer));
}

#[test]
fn no_error_is_longer_than_its_request_or_quotes_too_little_to_be_known_by() {
    let mut filter = rejecting();
    for (payload, quoted) in [
        (0, None),
        (27, None),
        (28, Some(28)),
        (29, Some(28)),
        (31, Some(28)),
        (32, Some(32)),
        (255, Some(252)),
        (256, Some(256)),
        (1400, Some(256)),
    ] {
        let request = Request::new(Ipv4::carrying(udp(1, 53, &vec![7; payload])));
        let answer = quoted.map(|quoted| request.unreachable(3, quoted));
        let case = format!("IPv4, {payload} bytes");
        expect(&mut filter, &case, &request, "udp/53", answer.as_deref());
    }
    for (payload, quoted) in [
        (0, None),
        (47, None),
        (48, Some(48)),
        (51, Some(48)),
        (52, Some(52)),
        (256, Some(256)),
        (1400, Some(256)),
    ] {
        let request = Request::new(Ipv6::carrying(udp(1, 53, &vec![7; payload])));
        let answer = quoted.map(|quoted| request.unreachable(4, quoted));
        let case = format!("IPv6, {payload} bytes");
        expect(&mut filter, &case, &request, "udp/53", answer.as_deref());
    }
}

#[test]
fn the_padding_of_a_frame_is_room_for_an_answer_and_is_not_quoted() {
    let mut filter = rejecting();
    for (padding, answered) in [(27, false), (28, true), (100, true)] {
        let request = Request::new(Ipv4::carrying(udp(1, 53, b""))).padding(padding);
        let answer = answered.then(|| request.unreachable(3, 28));
        let case = format!("{padding} bytes");
        expect(&mut filter, &case, &request, "udp/53", answer.as_deref());
    }
}

#[test]
fn ipv4_options_are_quoted_and_not_sent_back() {
    let mut filter = rejecting();
    for words in 1..=10 {
        let options = vec![1; words * 4];
        let request = Request::new(Ipv4::carrying(syn()).options(&options));
        let answer = request.reset(RST | ACK, 0, 1001);
        expect(&mut filter, "tcp", &request, "tcp/22", Some(&answer));
        let udp = udp(1, 53, &vec![9; words * 4 + 28]);
        let request = Request::new(Ipv4::carrying(udp).options(&options));
        let answer = request.unreachable(3, 28 + words * 8);
        expect(&mut filter, "udp", &request, "udp/53", Some(&answer));
    }
}

#[test]
fn extension_headers_are_quoted_and_not_sent_back() {
    let mut filter = rejecting();
    let chains: [&[Extension]; 8] = [
        &[Extension::Octets(HOP_BY_HOP, 0)],
        &[Extension::Octets(ROUTING, 2)],
        &[Extension::Octets(DESTINATION_OPTIONS, 3)],
        &[Extension::Octets(MOBILITY, 0)],
        &[Extension::Octets(HIP, 4)],
        &[Extension::Octets(SHIM6, 1)],
        // 12 bytes: what follows is not aligned to 8.
        &[Extension::Ah(1)],
        &[
            Extension::Octets(HOP_BY_HOP, 1),
            Extension::Octets(ROUTING, 2),
            Extension::Ah(4),
            Extension::Octets(DESTINATION_OPTIONS, 0),
        ],
    ];
    for chain in chains {
        let case = format!("{chain:?}");
        let request = Request::new(Ipv6::carrying(syn().behind_all(chain)));
        let answer = request.reset(RST | ACK, 0, 1001);
        expect(&mut filter, &case, &request, "tcp/22", Some(&answer));
        let udp = udp(1, 53, &[9; 48]).behind_all(chain);
        let quoted = udp.bytes.len() - 8;
        let request = Request::new(Ipv6::carrying(udp));
        let answer = request.unreachable(4, quoted);
        expect(&mut filter, &case, &request, "udp/53", Some(&answer));
    }
    // The quote would end before the UDP header.
    let long = [Extension::Octets(HOP_BY_HOP, 26)];
    let request = Request::new(Ipv6::carrying(udp(1, 53, &[9; 900]).behind_all(&long)));
    expect(&mut filter, "a chain too long", &request, "udp/53", None);
    let request = Request::new(Ipv6::carrying(syn().behind_all(&long)));
    expect(&mut filter, "tcp", &request, "tcp/22", None);
    let shorter = [Extension::Octets(HOP_BY_HOP, 25)];
    let request = Request::new(Ipv6::carrying(syn().behind_all(&shorter)));
    let answer = request.reset(RST | ACK, 0, 1001);
    expect(&mut filter, "tcp", &request, "tcp/22", Some(&answer));
}

#[test]
fn tags_and_pppoe_stay_in_their_place() {
    let tags = [
        (SERVICE_TAG, 0xe064),
        (OLD_SERVICE_TAG, 0),
        (CUSTOMER_TAG, 0x600a),
        (CUSTOMER_TAG, 0x0fff),
    ];
    for count in 0..=tags.len() {
        let mut filter = rejecting();
        let link = tags[..count]
            .iter()
            .fold(Link::new(), |link, (kind, control)| {
                link.tag(*kind, *control)
            });
        let links = [
            (link.clone(), 0),
            (link.clone().pppoe(), 2),
            (link.compressed_pppoe(), 1),
        ];
        for (link, ppp) in links {
            let case = format!("{count} tags, {ppp} bytes of PPP");
            let packets = |segment: Segment| {
                let v4 = Ipv4::carrying(segment.clone()).options(&[1; 8]);
                [Packet::from(v4), Ipv6::carrying(segment).into()]
            };
            for packet in packets(segment(SYN, 1000, 0, 5, b"data")) {
                let request = Request::over(&link, ppp, packet);
                let answer = request.reset(RST | ACK, 0, 1005);
                expect(&mut filter, &case, &request, "tcp/22", Some(&answer));
            }
            // From the shortest to lengths whose low byte is 0, in the length field of PPPoE.
            for payload in [56, 226, 227, 228, 500] {
                for packet in packets(udp(1, 53, &vec![3; payload])) {
                    let request = Request::over(&link, ppp, packet);
                    let (code, headers) = if request.is_v4() { (3, 28) } else { (4, 48) };
                    let quoted = (request.packet.len() - headers).min(256) / 4 * 4;
                    let answer = request.unreachable(code, quoted);
                    expect(&mut filter, &case, &request, "udp/53", Some(&answer));
                }
            }
        }
    }
}

/// Sends requests of which none may be answered.
fn expect_silence(cases: Vec<(String, Request, &'static str)>) {
    let mut filter = rejecting();
    for (case, request, key) in cases {
        expect(&mut filter, &case, &request, key, None);
    }
}

/// A datagram long enough to be answered.
fn long_udp() -> Segment {
    udp(40_000, 53, &[5; 100])
}

#[test]
fn resets_and_errors_are_not_answered() {
    let mut cases = Vec::new();
    for flags in [RST, RST | ACK, RST | SYN, RST | FIN | PSH] {
        for (family, request) in both(&segment(flags, 1, 2, 5, b"")) {
            cases.push((format!("{family}, flags {flags:#x}"), request, "tcp/22"));
        }
    }
    let message = |mut segment: Segment| {
        segment.bytes.extend([0; 100]);
        segment
    };
    for kind in [3, 4, 5, 11, 12] {
        let request = Request::new(Ipv4::carrying(message(icmp(kind, 0))));
        cases.push((format!("ICMP {kind}"), request, "1"));
    }
    // Errors have the numbers below 128; RFC 4443, 2.4 (e.2) adds redirects.
    for kind in (0..128).chain([137]) {
        let request = Request::new(Ipv6::carrying(message(icmpv6(kind, 0))));
        cases.push((format!("ICMPv6 {kind}"), request, "58"));
    }
    expect_silence(cases);

    // Of the other types none is an error.
    for kinds in [0..3_u8, 6..11, 13..48] {
        let mut filter = rejecting();
        for kind in kinds {
            let request = Request::new(Ipv4::carrying(message(icmp(kind, 0))));
            let answer = request.unreachable(13, 100);
            expect(&mut filter, "ICMP", &request, "1", Some(&answer));
        }
    }
    let mut filter = rejecting();
    for kind in (128..137).chain(138..170) {
        let request = Request::new(Ipv6::carrying(message(icmpv6(kind, 0))));
        let answer = request.unreachable(1, 100);
        expect(&mut filter, "ICMPv6", &request, "58", Some(&answer));
    }
}

#[test]
fn fragments_are_not_answered() {
    let mut cases = Vec::new();
    for (segment, key, later_key) in [(syn(), "tcp/22", "tcp"), (long_udp(), "udp/53", "udp")] {
        let v4 = |units, more| Request::new(Ipv4::carrying(segment.clone()).fragment(units, more));
        cases.push(("first".into(), v4(0, true), key));
        cases.push(("middle".into(), v4(10, true), later_key));
        cases.push(("last".into(), v4(10, false), later_key));
        for (units, more) in [(0, false), (0, true), (10, true), (10, false)] {
            let key = if units == 0 { key } else { later_key };
            let chain = [
                Extension::Octets(HOP_BY_HOP, 0),
                Extension::Fragment(units, more),
            ];
            for chain in [&chain[..], &chain[1..]] {
                let request = Request::new(Ipv6::carrying(segment.clone().behind_all(chain)));
                cases.push((format!("{chain:?}"), request, key));
            }
        }
    }
    expect_silence(cases);

    // "Do not fragment" and the reserved bit make no fragment.
    let mut filter = rejecting();
    for field in [0x4000, 0x8000] {
        let request = Request::new(Ipv4::carrying(syn()).fragmentation(field));
        let answer = request.reset(RST | ACK, 0, 1001);
        expect(&mut filter, "whole", &request, "tcp/22", Some(&answer));
    }
}

#[test]
fn only_single_hosts_on_a_wire_are_answered_or_answer() {
    let bad_v4: [[u8; 4]; 6] = [
        [224, 0, 0, 1],
        [239, 255, 255, 250],
        [255; 4],
        [0; 4],
        [127, 0, 0, 1],
        [127, 255, 255, 254],
    ];
    let v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let bad_v6 = [v6("ff02::1"), v6("ff0e::1:2"), v6("::"), v6("::1")];
    let mut cases = Vec::new();
    for (segment, key) in [(syn(), "tcp/22"), (long_udp(), "udp/53")] {
        for at in [12, 16] {
            for address in bad_v4 {
                let mut request = Request::new(Ipv4::carrying(segment.clone()));
                request.packet[at..at + 4].copy_from_slice(&address);
                cases.push((format!("{address:?} at {at}"), request, key));
            }
        }
        for at in [8, 24] {
            for address in bad_v6 {
                let mut request = Request::new(Ipv6::carrying(segment.clone()));
                request.packet[at..at + 16].copy_from_slice(&address);
                cases.push((format!("{address:x?} at {at}"), request, key));
            }
        }
        for at in [0, 6] {
            for mac in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]] {
                for (family, mut request) in both(&segment) {
                    request.link[at..at + 6].copy_from_slice(&mac);
                    cases.push((format!("{family}, {mac:x?} at {at}"), request, key));
                }
            }
        }
    }
    expect_silence(cases);

    // Close to those, and hosts all the same.
    let mut filter = rejecting();
    for address in [
        [223, 255, 255, 255],
        [240, 0, 0, 1],
        [255, 255, 255, 254],
        [0, 0, 0, 1],
        [126, 0, 0, 1],
        [128, 0, 0, 1],
    ] {
        let mut request = Request::new(Ipv4::carrying(syn()));
        request.packet[12..16].copy_from_slice(&address);
        let answer = request.reset(RST | ACK, 0, 1001);
        expect(&mut filter, "IPv4", &request, "tcp/22", Some(&answer));
    }
    for address in ["fe80::1", "fdff::1", "::2", "1::", "1::1", "0:0:0:1::1"] {
        let mut request = Request::new(Ipv6::carrying(syn()));
        request.packet[24..40].copy_from_slice(&v6(address));
        let answer = request.reset(RST | ACK, 0, 1001);
        expect(&mut filter, address, &request, "tcp/22", Some(&answer));
    }
}

#[test]
fn a_frame_of_several_buffers_is_answered_from_its_first() {
    let mut filter = rejecting();
    let (v4, v6) = (
        Request::new(Ipv4::carrying(udp(1, 53, &[8; 20_000]))),
        Request::new(Ipv6::carrying(udp(1, 53, &[8; 20_000]))),
    );
    let answer = v4.unreachable(3, 256);
    expect(&mut filter, "udp in IPv4", &v4, "udp/53", Some(&answer));
    let answer = v6.unreachable(4, 256);
    expect(&mut filter, "udp in IPv6", &v6, "udp/53", Some(&answer));
    for (family, request) in both(&segment(0, 1000, 0, 5, &[8; 20_000])) {
        let answer = request.reset(RST | ACK, 0, 21_000);
        expect(&mut filter, family, &request, "tcp/22", Some(&answer));
    }
    // The TCP header lies beyond the first buffer.
    let chain = [Extension::Octets(DESTINATION_OPTIONS, 255); 3];
    let request = Request::new(Ipv6::carrying(syn().behind_all(&chain)));
    expect(&mut filter, "headers beyond", &request, "tcp/22", None);
}

#[test]
fn a_hundred_answers_a_second_and_then_silence() {
    let mut filter = rejecting();
    let start = Instant::now();
    let request = Request::new(Ipv4::carrying(syn()));
    let expected = request.reset(RST | ACK, 0, 1001);
    let mut answers = 0;
    for _ in 0..300 {
        if let Some(answer) = filter.answer(&request.frame(), "tcp/22") {
            assert_eq!(answer, expected);
            answers += 1;
        }
    }
    let refilled = start.elapsed().as_millis() / 10;
    assert!((100..=101 + refilled).contains(&answers), "{answers}");

    // What is not answered takes nothing from those that are.
    let mut filter = rejecting();
    let reset = Request::new(Ipv4::carrying(segment(RST, 1, 2, 5, b"")));
    for _ in 0..300 {
        assert_eq!(filter.answer(&reset.frame(), "tcp/22"), None);
    }
    assert_eq!(filter.answer(&request.frame(), "tcp/22"), Some(expected));
}

#[test]
fn nothing_is_answered_where_nothing_is_enforced() {
    let mut filter = Filter::rejecting("enforce: false", &[RULE]);
    let frame = ethernet(Ipv4::carrying(syn()));
    filter.expect("a dry run", &frame, "pass all tcp/22");
    let passing = "{ name: web, action: pass, ports: 22 }";
    let mut filter = Filter::rejecting("", &[passing, RULE]);
    filter.expect("another rule", &frame, "pass web");
    let other = ethernet(Ipv4::carrying(long_udp()));
    filter.expect("the rest", &other, "reject all udp/53");
}

/// The kernel answers what the decision on the host says, and never with more bytes than came.
#[test]
fn random_frames_are_answered_as_decided() {
    use proptest::strategy::{Strategy as _, ValueTree as _};

    /// Below the budget, so that what is not answered was decided so.
    const ANSWERS: usize = 90;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let frames = random::frame();
    for _ in 0..5 {
        let (tables, _names) = rejecting_tables("essential: rules", &[RULE]);
        let generation = load(&tables);
        let mut answers = 0;
        while answers < ANSWERS {
            let mut frame = frames.new_tree(&mut runner).unwrap().current();
            // Long enough for most to be answered.
            frame.resize(frame.len().max(14) + 60, 0);
            let bytes = frame.as_slice();
            let decided = parse(&bytes)
                .ok()
                .and_then(|headers| answer(&bytes, &headers, frame.len() as u32));
            let found = generation.run(&frame).unwrap().answer;
            assert_eq!(found.is_some(), decided.is_some(), "{frame:02x?}");
            if let Some(found) = found {
                assert!(found.len() <= frame.len(), "{frame:02x?}\n{found:02x?}");
                assert!(parse(&found.as_slice()).is_ok(), "{found:02x?}");
                answers += 1;
            }
        }
    }
}
