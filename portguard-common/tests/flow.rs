//! What this side starts, and what is a reply to it: to the nanosecond and to the byte.

mod frames;

use std::cell::RefCell;
use std::collections::HashMap;

use frames::{Ipv4, Ipv6, Packet, Segment, ethernet, icmp, icmpv6, portless, sctp, tcp, udp};
use portguard_common::flow::{Candidate, Flows, Sent, is_reply, sent};
use portguard_common::flow_table::{Flow, FlowKey};
use portguard_common::last_sent::LastSent;
use portguard_common::mix::Seed;
use portguard_common::packet::{Headers, parse};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1000 * SECOND;

/// Times that the specification gives.
const DATAGRAM: u64 = 180 * SECOND;
const TCP: u64 = 5 * 24 * 3600 * SECOND;
const CLOSING: u64 = 60 * SECOND;

/// Both ends of the frames of these tests: (first sender, first receiver).
const OURS: u16 = 40_000;
const THEIRS: u16 = 443;

const SEED: Seed = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

#[derive(Default)]
struct Memory {
    now: u64,
    last_sent: HashMap<u32, u64>,
    closed: HashMap<u16, u64>,
    flows: HashMap<FlowKey, Flow>,
    /// The indices that were asked for.
    asked: RefCell<Vec<u32>>,
}

impl Flows for Memory {
    fn now_ns(&self) -> u64 {
        self.now
    }

    fn last_sent(&self, index: u32) -> LastSent {
        self.asked.borrow_mut().push(index);
        let time = self.last_sent.get(&index);
        time.map_or(LastSent::NEVER, |time| LastSent::at(index, *time))
    }

    fn closed_at(&self, port: u16) -> u64 {
        self.closed.get(&port).copied().unwrap_or(0)
    }

    fn seed(&self) -> Seed {
        SEED
    }

    fn flow(&self, key: FlowKey) -> Option<Flow> {
        self.flows.get(&key).copied()
    }
}

fn headers(frame: &[u8]) -> Headers {
    match parse(&frame) {
        Ok(headers) => headers,
        Err(unparsed) => panic!("{unparsed:?}: {frame:02x?}"),
    }
}

fn leaves(frame: &[u8]) -> Sent {
    sent(&frame, &headers(frame), SEED)
}

impl Memory {
    /// After this frame has left at [`START`].
    fn after(frame: &[u8]) -> Self {
        let (Sent::Starts(key) | Sent::Datagram(key)) = leaves(frame) else {
            panic!("starts nothing: {frame:02x?}");
        };
        let flow = Flow {
            last_ns: START,
            closing: false,
        };
        Self {
            now: START,
            last_sent: HashMap::from([(key.index, START)]),
            flows: HashMap::from([(key, flow)]),
            ..Self::default()
        }
    }

    fn flow_mut(&mut self) -> &mut Flow {
        match self.flows.values_mut().next() {
            Some(flow) => flow,
            None => panic!("no flow"),
        }
    }

    fn takes(&self, frame: &[u8]) -> bool {
        Candidate::new(&headers(frame)).is_some_and(|packet| is_reply(&frame, &packet, self))
    }

    fn takes_after(&mut self, time: u64, frame: &[u8]) -> bool {
        self.now = START + time;
        self.takes(frame)
    }
}

fn segment(src: u16, dst: u16, flags: u8) -> Segment {
    let mut segment = tcp(src, dst);
    segment.bytes[13] = flags;
    segment
}

fn both(segment: Segment) -> [Vec<u8>; 2] {
    [frames::ipv4(segment.clone()), frames::ipv6(segment)]
}

/// The same with both addresses exchanged.
fn turned(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (start, len) = if frame[12] == 8 { (26, 4) } else { (22, 16) };
    for place in start..start + len {
        frame.swap(place, place + len);
    }
    frame
}

fn echo(kind: u8, identifier: u16, is_v6: bool) -> Segment {
    let mut segment = if is_v6 {
        icmpv6(kind, 0)
    } else {
        icmp(kind, 0)
    };
    segment.bytes[4..6].copy_from_slice(&identifier.to_be_bytes());
    segment
}

/// What leaves, its reply and how long it lasts.
fn exchanges() -> Vec<(Vec<u8>, Vec<u8>, u64)> {
    let mut all = Vec::new();
    for (out, back) in both(segment(OURS, THEIRS, 0x02))
        .into_iter()
        .zip(both(segment(THEIRS, OURS, 0x12)))
    {
        all.push((out, turned(&back), TCP));
    }
    for (out, back) in both(udp(OURS, THEIRS, b""))
        .into_iter()
        .zip(both(udp(THEIRS, OURS, b"")))
    {
        all.push((out, turned(&back), DATAGRAM));
    }
    let out = frames::ipv4(echo(8, 0x1234, false));
    let back = frames::ipv4(echo(0, 0x1234, false));
    all.push((out, turned(&back), DATAGRAM));
    let out = frames::ipv6(echo(128, 0x1234, true));
    let back = frames::ipv6(echo(129, 0x1234, true));
    all.push((out, turned(&back), DATAGRAM));
    all
}

#[test]
fn a_reply_passes_as_long_as_its_flow_lasts() {
    for (out, back, lifetime) in exchanges() {
        let mut memory = Memory::after(&out);
        for (time, passes) in [(0, true), (lifetime, true), (lifetime + 1, false)] {
            assert_eq!(
                memory.takes_after(time, &back),
                passes,
                "{time}: {back:02x?}"
            );
        }
        // The port was used by another flow meanwhile; this one has been idle.
        let later = START + lifetime;
        memory.last_sent.values_mut().for_each(|time| *time = later);
        assert!(memory.takes_after(lifetime, &back));
        assert!(!memory.takes_after(lifetime + 1, &back));
        // A time that lies ahead, as another CPU may write it.
        let ahead = START + 5;
        memory.last_sent.values_mut().for_each(|time| *time = ahead);
        memory.flow_mut().last_ns = ahead;
        assert!(memory.takes_after(0, &back));
    }
}

#[test]
fn only_the_reversed_tuple_is_a_reply() {
    for (out, back, _) in exchanges() {
        let memory = Memory::after(&out);
        assert!(memory.takes(&back));
        // Not what was sent, nor with the addresses of what was sent.
        assert!(!memory.takes(&out));
        assert!(!memory.takes(&turned(&back)));
        // Each byte of the addresses counts.
        let (start, end) = if back[12] == 8 { (26, 34) } else { (22, 54) };
        for place in start..end {
            let mut other = back.clone();
            other[place] ^= 0x10;
            assert!(!memory.takes(&other), "byte {place}: {back:02x?}");
        }
        // And each of the ports, or of the identifier.
        let is_icmp = matches!(headers(&back).protocol, 1 | 58);
        let ports = if is_icmp {
            end + 4..end + 6
        } else {
            end..end + 4
        };
        for place in ports {
            let mut other = back.clone();
            other[place] ^= 0x10;
            assert!(!memory.takes(&other), "byte {place}: {back:02x?}");
        }
        // Nothing was ever sent.
        assert!(!Memory::default().takes(&back));
        // A flow in the table alone is none: the port's time is asked first.
        let mut forgotten = Memory::after(&out);
        forgotten.last_sent.clear();
        assert!(!forgotten.takes(&back));
        let mut forgotten = Memory::after(&out);
        forgotten.flows.clear();
        assert!(!forgotten.takes(&back));
    }
}

#[test]
fn protocols_do_not_answer_for_each_other() {
    let exchanges = exchanges();
    for (number, (out, _, _)) in exchanges.iter().enumerate() {
        let memory = Memory::after(out);
        for (other, (_, back, _)) in exchanges.iter().enumerate() {
            assert_eq!(memory.takes(back), number == other, "{number} {other}");
        }
    }
    // Ports that nobody asked for: each kind has its own.
    let mut indices: Vec<u32> = Vec::new();
    for (out, back, _) in &exchanges {
        let memory = Memory::after(out);
        memory.takes(back);
        indices.extend(memory.last_sent.keys());
        assert!(
            memory
                .asked
                .borrow()
                .iter()
                .all(|index| memory.last_sent.contains_key(index))
        );
        if let Some(packet) = Candidate::new(&headers(back))
            && packet.local_port != Candidate::ANY_PORT
        {
            assert!(memory.last_sent.contains_key(&packet.local_port));
        }
    }
    assert_eq!(
        indices,
        [
            40_000,
            40_000,
            105_536,
            105_536,
            131_072 + 0x1234,
            131_072 + 0x1234
        ]
    );
}

#[test]
fn tcp_from_its_start_to_its_end() {
    // FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    for frame in both(segment(OURS, THEIRS, 0)) {
        let key = match leaves(&frame) {
            Sent::Continues(key) => key,
            other => panic!("{other:?}"),
        };
        assert_eq!((key.index, key.our_port()), (40_000, OURS));
        let at = headers(&frame).transport_offset as usize + 13;
        for (flags, expected) in [
            (0x02, Sent::Starts(key)),
            (0xc2, Sent::Starts(key)),
            (0x03, Sent::Starts(key)),
            (0x0a, Sent::Starts(key)),
            (0x12, Sent::Continues(key)),
            (0x10, Sent::Continues(key)),
            (0x18, Sent::Continues(key)),
            (0x01, Sent::Closes(key)),
            (0x11, Sent::Closes(key)),
            (0x13, Sent::Closes(key)),
            (0x04, Sent::Ends(key)),
            (0x14, Sent::Ends(key)),
            (0x06, Sent::Ends(key)),
            (0x05, Sent::Ends(key)),
        ] {
            let mut frame = frame.clone();
            frame[at] = flags;
            assert_eq!(leaves(&frame), expected, "{flags:x}");
        }
    }
    for (out, back, lifetime) in exchanges().into_iter().take(2) {
        assert_eq!(lifetime, TCP);
        let mut memory = Memory::after(&out);
        // An attempt to connect is never a reply, whatever else it says.
        let at = headers(&back).transport_offset as usize + 13;
        for (flags, passes) in [
            (0x02, false),
            (0x0a, false),
            (0xc2, false),
            (0x12, true),
            (0x10, true),
            (0x04, true),
            (0x11, true),
            (0, true),
        ] {
            let mut back = back.clone();
            back[at] = flags;
            assert_eq!(memory.takes(&back), passes, "{flags:x}");
        }
        memory.flow_mut().closing = true;
        assert!(memory.takes_after(CLOSING, &back));
        assert!(!memory.takes_after(CLOSING + 1, &back));
    }
    for (closing, lifetime) in [(false, TCP), (true, CLOSING)] {
        let flow = Flow {
            last_ns: START,
            closing,
        };
        assert_eq!(Flow::of_word(flow.word()), flow);
        assert!(!flow.is_over(40_000, START + lifetime));
        assert!(flow.is_over(40_000, START + lifetime + 1));
        assert!(!flow.is_over(40_000, START - 1));
    }
}

#[test]
fn udp_of_a_port_that_closed() {
    for (out, back, _) in exchanges().into_iter().skip(2).take(2) {
        let mut memory = Memory::after(&out);
        memory.now = START + 10;
        for (closed_at, passes) in [(START - 1, true), (START, false), (START + 1, false)] {
            memory.closed = HashMap::from([(OURS, closed_at)]);
            assert_eq!(memory.takes(&back), passes, "{closed_at}");
        }
        memory.closed = HashMap::from([(THEIRS, START + 1), (OURS + 1, START + 1)]);
        assert!(memory.takes(&back));
    }
    // Ports of TCP and identifiers of echoes do not close.
    for place in [0, 1, 4, 5] {
        let (out, back, _) = exchanges().swap_remove(place);
        let mut memory = Memory::after(&out);
        memory.closed = HashMap::from([(OURS, START + 1), (0x1234, START + 1)]);
        assert!(memory.takes(&back), "{place}");
    }
}

#[test]
fn an_echo_whose_identifier_is_that_of_a_closed_port() {
    let v4 = [8, 0].map(|kind| frames::ipv4(echo(kind, 0, false)));
    let v6 = [128, 129].map(|kind| frames::ipv6(echo(kind, 0, true)));
    for [out, back] in [v4, v6] {
        let mut memory = Memory::after(&out);
        memory.closed = HashMap::from([(0, START + 1)]);
        assert!(memory.takes(&turned(&back)), "{back:02x?}");
    }
}

#[test]
fn a_flow_of_port_0_lasts_as_long_as_any() {
    for (start, answer, lifetime) in [
        (segment(0, THEIRS, 0x02), segment(THEIRS, 0, 0x12), TCP),
        (udp(0, THEIRS, b""), udp(THEIRS, 0, b""), DATAGRAM),
    ] {
        for (out, back) in both(start).into_iter().zip(both(answer)) {
            let mut memory = Memory::after(&out);
            let back = turned(&back);
            assert!(memory.takes_after(lifetime, &back), "{back:02x?}");
            assert!(!memory.takes_after(lifetime + 1, &back), "{back:02x?}");
        }
    }
}

#[test]
fn what_starts_nothing() {
    for frame in both(sctp(OURS, THEIRS))
        .into_iter()
        .chain(both(portless(47, b"")))
        .chain([
            frames::ipv4(echo(0, 1, false)),
            frames::ipv4(echo(3, 1, false)),
            frames::ipv4(echo(13, 1, false)),
            frames::ipv6(echo(129, 1, true)),
            frames::ipv6(echo(1, 1, true)),
            // Each family has numbers of its own.
            frames::ipv4(echo(128, 1, false)),
            frames::ipv6(echo(8, 1, true)),
        ])
    {
        assert_eq!(leaves(&frame), Sent::Nothing, "{frame:02x?}");
    }
    for frame in both(sctp(OURS, THEIRS))
        .into_iter()
        .chain(both(portless(47, b"")))
    {
        assert_eq!(Candidate::new(&headers(&frame)), None);
    }
    for frame in both(udp(OURS, THEIRS, b"")) {
        let Sent::Datagram(key) = leaves(&frame) else {
            panic!("{:?}", leaves(&frame));
        };
        assert_eq!((key.index, key.our_port()), (105_536, OURS));
    }
}

/// An error of this type that quotes the bytes of a packet.
fn error(kind: u8, quote: &[u8], is_v6: bool) -> Vec<u8> {
    let mut segment = if is_v6 {
        icmpv6(kind, 0)
    } else {
        icmp(kind, 0)
    };
    segment.bytes.extend(quote);
    if is_v6 {
        frames::ipv6(segment)
    } else {
        frames::ipv4(segment)
    }
}

#[test]
fn errors_that_quote_a_flow() {
    for (out, _, lifetime) in exchanges() {
        let is_v6 = out[12] != 8;
        let header = if is_v6 { 40 } else { 20 };
        let quote = &out[14..14 + header + 8];
        let mut memory = Memory::after(&out);
        for kind in 0..=255 {
            let passes = if is_v6 {
                (1..=4).contains(&kind)
            } else {
                matches!(kind, 3 | 11 | 12)
            };
            assert_eq!(memory.takes(&error(kind, quote, is_v6)), passes, "{kind}");
        }
        let kind = if is_v6 { 1 } else { 3 };
        let whole = error(kind, quote, is_v6);
        // As long as the flow lasts.
        assert!(memory.takes_after(lifetime, &whole));
        assert!(!memory.takes_after(lifetime + 1, &whole));
        memory.now = START;
        // 8 bytes behind the quoted header are needed, by the frame's end and by the error's own length.
        for bytes in 1..quote.len() {
            let short = error(kind, &quote[..quote.len() - bytes], is_v6);
            assert!(!memory.takes(&short), "{bytes}");
            let mut padded = short.clone();
            padded.extend(&quote[quote.len() - bytes..]);
            assert!(!memory.takes(&padded), "{bytes}");
            assert!(!memory.takes(&whole[..whole.len() - bytes]), "{bytes}");
        }
        let mut longer = whole.clone();
        longer.extend([0; 20]);
        assert!(memory.takes(&longer));
        // A length of 0 means the frame's end.
        let mut endless = whole.clone();
        let length = if is_v6 { 18 } else { 16 };
        endless[length..length + 2].fill(0);
        assert!(memory.takes(&endless));
        assert!(!memory.takes(&endless[..endless.len() - 1]));
        // Each byte of the quoted addresses and ports counts; what was sent is quoted as it was sent.
        let start = if is_v6 { 8 } else { 12 };
        let is_icmp = matches!(headers(&out).protocol, 1 | 58);
        let ports = if is_icmp {
            header + 4..header + 6
        } else {
            header..header + 4
        };
        for place in (start..header).chain(ports) {
            let mut other = quote.to_vec();
            other[place] ^= 0x10;
            assert!(!memory.takes(&error(kind, &other, is_v6)), "{place}");
        }
        // Neither the protocol nor the version may be another.
        let protocol = if is_v6 { 6 } else { 9 };
        for (place, byte) in [(protocol, 132), (protocol, 0), (0, 0x75), (0, 0x05)] {
            let mut other = quote.to_vec();
            other[place] = byte;
            assert!(!memory.takes(&error(kind, &other, is_v6)), "{place} {byte}");
        }
        // Before anything was sent.
        memory.last_sent.clear();
        assert!(!memory.takes(&whole));
    }
}

#[test]
fn quoted_echoes_are_requests() {
    for (is_v6, request) in [(false, 8), (true, 128)] {
        let frame = |kind: u8| {
            let segment = echo(kind, 0x1234, is_v6);
            if is_v6 {
                frames::ipv6(segment)
            } else {
                frames::ipv4(segment)
            }
        };
        let memory = Memory::after(&frame(request));
        let kind = if is_v6 { 1 } else { 3 };
        for quoted in 0..=255 {
            let takes = memory.takes(&error(kind, &frame(quoted)[14..], is_v6));
            assert_eq!(takes, quoted == request, "{quoted}");
        }
        // The protocol of the other family, with the type of either.
        let protocol = if is_v6 { (6, 1) } else { (9, 58) };
        for quoted in [8, 128] {
            let mut quote = frame(quoted)[14..].to_vec();
            quote[protocol.0] = protocol.1;
            assert!(!memory.takes(&error(kind, &quote, is_v6)));
        }
    }
}

#[test]
fn quoted_ipv4_headers() {
    let out = frames::ipv4(udp(OURS, THEIRS, b""));
    let memory = Memory::after(&out);
    let quote = |ip: Ipv4| Packet::from(ip).bytes;
    let ip = || Ipv4::carrying(udp(OURS, THEIRS, b""));
    for options in [0, 4, 8, 40] {
        let quote = quote(ip().options(&vec![1; options]));
        assert!(memory.takes(&error(3, &quote, false)), "{options}");
        let short = &quote[..quote.len() - 1];
        assert!(!memory.takes(&error(3, short, false)), "{options}");
    }
    // A header of less than 20 bytes is none.
    for words in 0..5 {
        let quote = quote(ip().first_byte(0x40 | words));
        assert!(!memory.takes(&error(3, &quote, false)), "{words}");
    }
    // A first fragment has its ports, a later one has other bytes there.
    for (field, passes) in [
        (0x4000, true),
        (0x2000, true),
        (0x8000, true),
        (1, false),
        (0x2001, false),
        (0x1000, false),
        (0x0100, false),
        (0x00ff, false),
    ] {
        let quote = quote(ip().fragmentation(field));
        assert_eq!(memory.takes(&error(11, &quote, false)), passes, "{field:x}");
    }
    // Behind options of the error itself.
    let mut segment = icmp(12, 0);
    segment.bytes.extend(quote(ip()));
    let frame = ethernet(Ipv4::carrying(segment).options(&[1; 12]));
    assert!(memory.takes(&frame));
}

#[test]
fn errors_behind_extension_headers() {
    let out = frames::ipv6(udp(OURS, THEIRS, b""));
    let memory = Memory::after(&out);
    let mut segment = icmpv6(1, 4);
    segment.bytes.extend(&out[14..]);
    let extension = frames::Extension::Octets(frames::DESTINATION_OPTIONS, 1);
    let frame = ethernet(Ipv6::carrying(segment.clone().behind(extension)));
    assert!(memory.takes(&frame));
    // Its length counts the extension header.
    let payload_len = u16::try_from(segment.bytes.len() + 16).unwrap_or(0);
    let ip =
        |payload_len| Ipv6::carrying(segment.clone().behind(extension)).payload_len(payload_len);
    assert!(memory.takes(&ethernet(ip(payload_len))));
    assert!(!memory.takes(&ethernet(ip(payload_len - 1))));
}
