//! What a rejected packet is answered with, and the headers of the answer.
//!
//! [`answer`] decides from the request alone; the rest builds headers whose checksums are right. Nothing is
//! answered that must not be (RFC 1122, 3.2.2; RFC 4443, 2.4; RFC 9293, 3.10.7.1), and no answer is longer
//! than its request, so that a forged source address gains nothing.

use crate::limits::{QUOTE_BYTES, VLAN_TAGS};
use crate::packet::{Family, Frame, Headers, Transport, protocol};

/// Bytes of the longest link header: Ethernet, VLAN tags, PPPoE. Every request that gets an answer has
/// that many, and an answer that many before its quote.
pub const LINK_BYTES: u32 = 14 + 4 * VLAN_TAGS + 8;

const _: () = assert!(LINK_BYTES.is_multiple_of(2) && LINK_BYTES <= 14 + IPV4_BYTES + ICMP_BYTES);
const _: () = assert!(QUOTE_BYTES.is_multiple_of(4));

/// Bytes of an answer's IPv4 header, which has no options.
pub const IPV4_BYTES: u32 = 20;
/// Bytes of an answer's IPv6 header, which has no extension headers.
pub const IPV6_BYTES: u32 = 40;
/// Bytes of a reset.
pub const TCP_BYTES: u32 = 20;
/// Bytes of an ICMP or ICMPv6 error before its quote.
pub const ICMP_BYTES: u32 = 8;

/// Bytes that an error quotes at least behind the headers before the transport's (RFC 1122, 3.2.2).
const QUOTED_BYTES: u32 = 8;

/// TCP flags (RFC 9293, 3.1).
mod flag {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const SYN: u8 = 0x02;
    pub(super) const RST: u8 = 0x04;
    pub(super) const ACK: u8 = 0x10;
}

/// What is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A TCP reset.
    Reset(Reset),
    /// An ICMP or ICMPv6 error.
    Unreachable(Unreachable),
}

/// A TCP reset from the request's destination port to its source port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
    /// Sequence number.
    pub sequence: u32,
    /// What it acknowledges, if anything.
    pub acknowledges: Option<u32>,
}

/// An error that says "destination unreachable" and quotes the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Its type: 3 in ICMP, 1 in ICMPv6.
    pub kind: u8,
    /// Its code: port unreachable or administratively prohibited.
    pub code: u8,
    /// Bytes of the request that it quotes, from the IP header on: a multiple of 4, at most
    /// [`QUOTE_BYTES`].
    pub quote_bytes: u32,
}

/// Decides how a rejected packet is answered; `None` is silence. `headers` are the frame's, `frame_bytes` is
/// the length of all of it.
#[inline(always)]
pub fn answer<F: Frame>(frame: &F, headers: &Headers, frame_bytes: u32) -> Option<Answer> {
    if headers.fragmented || !between_two_hosts(frame, headers)? {
        return None;
    }
    // Longer headers may go on in the next buffer of a frame, and nobody sends them who waits for an answer.
    if headers.transport_offset - headers.network_offset + QUOTED_BYTES > QUOTE_BYTES {
        return None;
    }
    let packet_bytes = packet_bytes(frame, headers, frame_bytes)?;
    match (headers.protocol, headers.family, headers.transport()) {
        (protocol::TCP, _, _) => reset(frame, headers, packet_bytes).map(Answer::Reset),
        (protocol::UDP, family, _) => {
            let code = match family {
                Family::V4 => 3,
                Family::V6 => 4,
            };
            unreachable(headers, code, packet_bytes, frame_bytes)
        }
        (_, family, Transport::Icmp { kind, .. }) if is_error(family, kind) => None,
        (_, family, _) => {
            let code = match family {
                Family::V4 => 13,
                Family::V6 => 1,
            };
            unreachable(headers, code, packet_bytes, frame_bytes)
        }
    }
}

/// Whether an ICMP message must not be answered: errors and redirects. What is not known counts as an error
/// where its number says so (RFC 4443, 2.1).
#[inline(always)]
fn is_error(family: Family, kind: u8) -> bool {
    const REDIRECT_V6: u8 = 137;
    match family {
        Family::V4 => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Family::V6 => kind < 128 || kind == REDIRECT_V6,
    }
}

/// Whether both ends of the frame and of the packet are single hosts on a wire.
#[inline(always)]
fn between_two_hosts<F: Frame>(frame: &F, headers: &Headers) -> Option<bool> {
    let macs = frame.load::<12>(0)?;
    // The group bit (IEEE 802): multicast, and broadcast too.
    if macs[0] & 1 != 0 || macs[6] & 1 != 0 {
        return Some(false);
    }
    Some(match headers.family {
        Family::V4 => {
            is_host_v4(frame.load(headers.network_offset + 12)?)
                && is_host_v4(frame.load(headers.network_offset + 16)?)
        }
        Family::V6 => {
            is_host_v6(frame.load(headers.network_offset + 8)?)
                && is_host_v6(frame.load(headers.network_offset + 24)?)
        }
    })
}

#[inline(always)]
fn is_host_v4(address: [u8; 4]) -> bool {
    let multicast = address[0] & 0xf0 == 224;
    let loopback = address[0] == 127;
    !multicast && !loopback && address != [0; 4] && address != [255; 4]
}

#[inline(always)]
fn is_host_v6(address: [u8; 16]) -> bool {
    let [high, low] = halves(address);
    let multicast = address[0] == 0xff;
    let unspecified_or_loopback = high == 0 && low <= 1;
    !multicast && !unspecified_or_loopback
}

/// The two halves of an IPv6 address: the kernel's machine compares 8 bytes at once, and no slices.
#[inline(always)]
fn halves(address: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address;
    [
        u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        u64::from_be_bytes([i, j, k, l, m, n, o, p]),
    ]
}

/// Bytes of the packet from its IP header on, without the padding of the link: what its own length says (0
/// means the frame's end), as far as the frame goes.
#[inline(always)]
fn packet_bytes<F: Frame>(frame: &F, headers: &Headers, frame_bytes: u32) -> Option<u32> {
    let there = frame_bytes.checked_sub(headers.network_offset)?;
    let said = match headers.family {
        Family::V4 => load_u16(frame, headers.network_offset + 2)?,
        Family::V6 => match load_u16(frame, headers.network_offset + 4)? {
            0 => 0,
            payload => IPV6_BYTES + payload,
        },
    };
    Some(if said == 0 || said > there {
        there
    } else {
        said
    })
}

#[inline(always)]
fn load_u16<F: Frame>(frame: &F, offset: u32) -> Option<u32> {
    Some(u16::from_be_bytes(frame.load(offset)?).into())
}

/// The reset for a segment that belongs to no connection (RFC 9293, 3.10.7.1).
#[inline(always)]
fn reset<F: Frame>(frame: &F, headers: &Headers, packet_bytes: u32) -> Option<Reset> {
    let header = frame.load::<20>(headers.transport_offset)?;
    let flags = header[13];
    if flags & flag::RST != 0 {
        return None;
    }
    let src = u16::from_be_bytes([header[2], header[3]]);
    let dst = u16::from_be_bytes([header[0], header[1]]);
    if flags & flag::ACK != 0 {
        return Some(Reset {
            src,
            dst,
            sequence: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            acknowledges: None,
        });
    }
    let header_bytes = u32::from(header[12] >> 4) * 4;
    let before_payload = headers.transport_offset - headers.network_offset + header_bytes;
    // A data offset past the packet's end leaves no payload.
    let segment_len = packet_bytes.saturating_sub(before_payload)
        + u32::from(flags & flag::SYN != 0)
        + u32::from(flags & flag::FIN != 0);
    let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    Some(Reset {
        src,
        dst,
        sequence: 0,
        acknowledges: Some(sequence.wrapping_add(segment_len)),
    })
}

/// An error that quotes as much as fits. `None` where what the sender needs to know its packet by (all
/// headers before the transport's, and 8 bytes of that) does not fit.
#[inline(always)]
fn unreachable(headers: &Headers, code: u8, packet_bytes: u32, frame_bytes: u32) -> Option<Answer> {
    let (kind, header_bytes) = match headers.family {
        Family::V4 => (3, IPV4_BYTES),
        Family::V6 => (1, IPV6_BYTES),
    };
    let room = frame_bytes.checked_sub(headers.network_offset + header_bytes + ICMP_BYTES)?;
    let quote_bytes = packet_bytes.min(room).min(QUOTE_BYTES) & !3;
    let needed = headers.transport_offset - headers.network_offset + QUOTED_BYTES;
    (quote_bytes >= needed).then_some(Answer::Unreachable(Unreachable {
        kind,
        code,
        quote_bytes,
    }))
}

/// Bytes of the PPP protocol field before the IP header, which the length field of PPPoE counts too: 1 or
/// 2; 0 without PPPoE. `before` is the byte before the IP header, at `network_offset`.
#[inline(always)]
pub fn ppp_protocol_bytes(before: u8, network_offset: u32) -> u32 {
    match before {
        // The low bytes of the EtherTypes 0x0800 and 0x86dd; those of PPP are 0x21 and 0x57.
        0x00 | 0xdd => 0,
        // Ethernet, tags and the rest of PPPoE are of even length.
        _ if network_offset.is_multiple_of(2) => 2,
        _ => 1,
    }
}

/// A sum of 16-bit words for the checksum of the Internet protocols (RFC 1071).
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u32);

impl Sum {
    /// Adds bytes, which lie at an even place and are even in number. 65,536 words may be added.
    #[inline(always)]
    #[must_use]
    pub fn with<const N: usize>(self, bytes: [u8; N]) -> Self {
        const { assert!(N.is_multiple_of(2)) };
        let mut sum = self.0;
        let mut place = 0;
        while place < N {
            sum += u32::from(u16::from_be_bytes([bytes[place], bytes[place + 1]]));
            place += 2;
        }
        Self(sum)
    }

    /// The sum of both.
    #[inline(always)]
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum.
    #[inline(always)]
    #[must_use]
    pub fn checksum(self) -> [u8; 2] {
        let once = (self.0 >> 16) + (self.0 & 0xffff);
        let twice = (once >> 16) + (once & 0xffff);
        (!(twice as u16)).to_be_bytes()
    }
}

/// Hop limit and TTL of an answer (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// The first 12 bytes of the IPv4 header of an answer; its two addresses follow, whose sum is `ends`. It has
/// no options and is never fragmented, so that its identification is free (RFC 6864).
#[inline(always)]
pub fn ipv4_start(ends: Sum, protocol: u8, payload_bytes: u32) -> [u8; 12] {
    const DONT_FRAGMENT: u8 = 0x40;
    let [length_high, length_low] = ((IPV4_BYTES + payload_bytes) as u16).to_be_bytes();
    let mut start = [0; 12];
    start[0] = 0x45;
    start[2] = length_high;
    start[3] = length_low;
    start[6] = DONT_FRAGMENT;
    start[8] = HOP_LIMIT;
    start[9] = protocol;
    [start[10], start[11]] = ends.with(start).checksum();
    start
}

/// The first 8 bytes of the IPv6 header of an answer; its two addresses follow.
#[inline(always)]
pub fn ipv6_start(protocol: u8, payload_bytes: u32) -> [u8; 8] {
    let [length_high, length_low] = (payload_bytes as u16).to_be_bytes();
    [0x60, 0, 0, 0, length_high, length_low, protocol, HOP_LIMIT]
}

/// The part of a checksum that stands for the IP header (RFC 9293, 3.1; RFC 8200, 8.1). `ends` is the sum
/// of both addresses.
#[inline(always)]
pub fn pseudo_header(ends: Sum, protocol: u8, payload_bytes: u32) -> Sum {
    ends.with((payload_bytes as u16).to_be_bytes())
        .with([0, protocol])
}

impl Reset {
    /// The segment. `pseudo_header` is the sum over that.
    #[inline(always)]
    #[must_use]
    pub fn segment(&self, pseudo_header: Sum) -> [u8; 20] {
        let mut bytes = [0; 20];
        [bytes[0], bytes[1]] = self.src.to_be_bytes();
        [bytes[2], bytes[3]] = self.dst.to_be_bytes();
        [bytes[4], bytes[5], bytes[6], bytes[7]] = self.sequence.to_be_bytes();
        let acknowledged = self.acknowledges.unwrap_or(0);
        [bytes[8], bytes[9], bytes[10], bytes[11]] = acknowledged.to_be_bytes();
        bytes[12] = (TCP_BYTES as u8 / 4) << 4;
        bytes[13] = match self.acknowledges {
            Some(_) => flag::RST | flag::ACK,
            None => flag::RST,
        };
        [bytes[16], bytes[17]] = pseudo_header.with(bytes).checksum();
        bytes
    }
}

impl Unreachable {
    /// The message up to its quote. `rest` is the sum over the quote and, in IPv6, the pseudo header.
    #[inline(always)]
    #[must_use]
    pub fn message(&self, rest: Sum) -> [u8; 8] {
        let mut bytes = [self.kind, self.code, 0, 0, 0, 0, 0, 0];
        [bytes[2], bytes[3]] = rest.with(bytes).checksum();
        bytes
    }
}
