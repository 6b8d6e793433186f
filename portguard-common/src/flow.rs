//! What this side started, and which packets are replies to it.
//!
//! Only what leaves writes flows. What arrives is looked up when it is about to be dropped, and first by its local
//! port alone: a flood to ports from which nothing was sent costs one load of an array.

use crate::abi::{Flow, FlowKey, local_port, service};
use crate::classify::is_attempt;
use crate::packet::{Family, Frame, Headers, Transport, protocol};

/// How long a UDP flow or an echo lasts after the last packet sent.
pub const DATAGRAM_NS: u64 = 180 * 1_000_000_000;

/// How long a TCP flow lasts after the last packet sent.
pub const TCP_NS: u64 = 5 * 24 * 3600 * 1_000_000_000;

/// How long a TCP flow lasts after the last packet sent once this side has sent its FIN: as long as Linux keeps the
/// connection (`TCP_TIMEWAIT_LEN`).
pub const TCP_CLOSING_NS: u64 = 60 * 1_000_000_000;

/// How long no UDP flow is started from a port that has closed.
pub const CLOSED_NS: u64 = DATAGRAM_NS;

/// The state that flows leave behind.
pub trait Flows {
    /// The present time in nanoseconds of the monotonic clock; never 0.
    fn now_ns(&self) -> u64;
    /// When a packet last left by an index of [`local_port`]; 0 for never.
    fn last_sent(&self, index: u32) -> u64;
    /// When a UDP port closed; 0 for never.
    fn closed_at(&self, port: u16) -> u64;
    /// A flow.
    fn flow(&self, key: &FlowKey) -> Option<Flow>;
}

/// A packet that is no later fragment, by what tells whether it is a reply. The rest is in the frame: so little can
/// be passed to a function of its own, which keeps the kernel's small stack free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Its protocol.
    pub protocol: u8,
    /// The index of [`local_port`] by which a packet must have left for this one to be a reply; [`Candidate::ANY_PORT`]
    /// where the headers do not tell.
    pub local_port: u32,
    /// Where its headers begin, as in [`Headers`].
    pub network_offset: u32,
    /// Likewise.
    pub transport_offset: u32,
}

impl Candidate {
    /// No index of [`local_port`].
    pub const ANY_PORT: u32 = u32::MAX;

    /// A packet by its headers; `None` if it cannot be a reply.
    #[inline(always)]
    pub fn new(headers: &Headers) -> Option<Self> {
        let local_port = match headers.transport() {
            Transport::Ports { dst, .. } => match headers.protocol {
                protocol::TCP => local_port::TCP + u32::from(dst),
                protocol::UDP => local_port::UDP + u32::from(dst),
                _ => return None,
            },
            Transport::Icmp { .. } => Self::ANY_PORT,
            Transport::Portless => return None,
        };
        Some(Self {
            family: headers.family,
            protocol: headers.protocol,
            local_port,
            network_offset: headers.network_offset,
            transport_offset: headers.transport_offset,
        })
    }

    /// The same, of which the destination port is known by its place in the table of drops: so there is one number less to keep, since
    /// both tables have TCP and UDP at the same places.
    #[inline(always)]
    #[must_use]
    pub const fn by_index(self, drop: u32) -> Self {
        if self.local_port == Self::ANY_PORT {
            self
        } else {
            Self {
                local_port: drop,
                ..self
            }
        }
    }
}

const _: () = assert!(local_port::TCP == service::TCP && local_port::UDP == service::UDP);

/// Whether a packet that arrives is a reply to a flow, or an error that quotes what one sent.
#[inline(always)]
pub fn is_reply<F: Frame, S: Flows>(frame: &F, packet: &Candidate, flows: &S) -> bool {
    let Some([kind, second, third, fourth]) = frame.load::<4>(packet.transport_offset) else {
        return false;
    };
    let (index, ports) = match packet.protocol {
        protocol::TCP | protocol::UDP => {
            let first = if packet.protocol == protocol::TCP {
                local_port::TCP
            } else {
                local_port::UDP
            };
            let theirs = u16::from_be_bytes([kind, second]);
            let ours = u16::from_be_bytes([third, fourth]);
            (first + u32::from(ours), Ends { ours, theirs })
        }
        _ => {
            let (echo_reply, is_error) = match packet.family {
                Family::V4 => (0, matches!(kind, 3 | 11 | 12)),
                Family::V6 => (129, matches!(kind, 1..=4)),
            };
            if is_error {
                return quotes_flow(frame, packet, flows);
            }
            if kind != echo_reply {
                return false;
            }
            let Some(identifier) = load_u16(frame, packet.transport_offset + 4) else {
                return false;
            };
            let ports = Ends {
                ours: identifier,
                theirs: 0,
            };
            (local_port::ECHO + u32::from(identifier), ports)
        }
    };
    if flows.last_sent(index) == 0 {
        return false;
    }
    if packet.protocol == protocol::TCP && is_attempt(frame, packet.transport_offset) {
        return false;
    }
    match key(frame, packet, Ours::Destination, ports) {
        Some(key) => is_alive(&key, index, flows),
        None => false,
    }
}

/// What a packet that leaves does to the flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It belongs to no flow and starts none.
    Nothing,
    /// It starts a flow, or starts it anew.
    Starts(FlowKey, u32),
    /// It goes on with a flow, if there is one.
    Continues(FlowKey, u32),
    /// It is this side's last but for answers.
    Closes(FlowKey, u32),
    /// It ends a flow at once.
    Ends(FlowKey),
    /// It starts a flow or goes on with one, if its answer would be dropped and its port (the last number) has not
    /// closed.
    Datagram(FlowKey, u32, u16),
}

/// What a packet that leaves does to the flows. The second number of each is its index of [`local_port`].
#[inline(always)]
pub fn sent<F: Frame>(frame: &F, headers: &Headers) -> Sent {
    let Some(packet) = Candidate::new(headers) else {
        return Sent::Nothing;
    };
    match headers.transport() {
        Transport::Ports { src, dst } => {
            let ports = Ends {
                ours: src,
                theirs: dst,
            };
            let Some(key) = key(frame, &packet, Ours::Source, ports) else {
                return Sent::Nothing;
            };
            match headers.protocol {
                protocol::TCP => {
                    const FIN: u8 = 0x01;
                    const SYN: u8 = 0x02;
                    const RST: u8 = 0x04;
                    const ACK: u8 = 0x10;
                    let Some([flags]) = frame.load::<1>(headers.transport_offset + 13) else {
                        return Sent::Nothing;
                    };
                    let index = local_port::TCP + u32::from(src);
                    if flags & RST != 0 {
                        Sent::Ends(key)
                    } else if flags & (SYN | ACK) == SYN {
                        Sent::Starts(key, index)
                    } else if flags & FIN != 0 {
                        Sent::Closes(key, index)
                    } else {
                        Sent::Continues(key, index)
                    }
                }
                protocol::UDP => Sent::Datagram(key, local_port::UDP + u32::from(src), src),
                _ => Sent::Nothing,
            }
        }
        Transport::Icmp { kind, .. } => {
            let echo_request = match headers.family {
                Family::V4 => 8,
                Family::V6 => 128,
            };
            if kind != echo_request {
                return Sent::Nothing;
            }
            let Some(identifier) = load_u16(frame, headers.transport_offset + 4) else {
                return Sent::Nothing;
            };
            let ports = Ends {
                ours: identifier,
                theirs: 0,
            };
            match key(frame, &packet, Ours::Source, ports) {
                Some(key) => Sent::Starts(key, local_port::ECHO + u32::from(identifier)),
                None => Sent::Nothing,
            }
        }
        Transport::Portless => Sent::Nothing,
    }
}

/// Which end of a packet is on this side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    Source,
    Destination,
}

/// The ports (or the echo's identifier) of both ends.
#[derive(Clone, Copy)]
struct Ends {
    ours: u16,
    theirs: u16,
}

#[inline(always)]
fn key<F: Frame>(frame: &F, packet: &Candidate, ours: Ours, ports: Ends) -> Option<FlowKey> {
    let offset = packet.network_offset;
    let (source, destination, version) = match packet.family {
        Family::V4 => (
            widen(frame.load::<4>(offset + 12)?),
            widen(frame.load::<4>(offset + 16)?),
            4,
        ),
        Family::V6 => (
            (frame.load::<8>(offset + 8)?, frame.load::<8>(offset + 16)?),
            (frame.load::<8>(offset + 24)?, frame.load::<8>(offset + 32)?),
            6,
        ),
    };
    let (ours, theirs) = match ours {
        Ours::Source => (source, destination),
        Ours::Destination => (destination, source),
    };
    Some(FlowKey {
        ours: [u64::from_ne_bytes(ours.0), u64::from_ne_bytes(ours.1)],
        theirs: [u64::from_ne_bytes(theirs.0), u64::from_ne_bytes(theirs.1)],
        our_port: ports.ours,
        their_port: ports.theirs,
        protocol: packet.protocol,
        version,
        reserved: 0,
    })
}

/// An IPv4 address in the place of an IPv6 one. The version tells them apart.
#[inline(always)]
fn widen(address: [u8; 4]) -> ([u8; 8], [u8; 8]) {
    let [a, b, c, d] = address;
    ([0; 8], [0, 0, 0, 0, a, b, c, d])
}

/// Whether a TCP flow is over for good: only an attempt to connect starts it anew.
#[inline(always)]
pub const fn tcp_is_over(flow: &Flow, now_ns: u64) -> bool {
    let lifetime = if flow.closing != 0 {
        TCP_CLOSING_NS
    } else {
        TCP_NS
    };
    now_ns.saturating_sub(flow.last_ns) > lifetime
}

#[inline(always)]
fn is_alive<S: Flows>(key: &FlowKey, index: u32, flows: &S) -> bool {
    let now_ns = flows.now_ns();
    let lifetime = if index < local_port::UDP {
        TCP_NS
    } else {
        DATAGRAM_NS
    };
    // The port's time is that of its latest flow.
    if now_ns.saturating_sub(flows.last_sent(index)) > lifetime {
        return false;
    }
    let Some(flow) = flows.flow(key) else {
        return false;
    };
    let lifetime = if flow.closing != 0 {
        TCP_CLOSING_NS
    } else {
        lifetime
    };
    if now_ns.saturating_sub(flow.last_ns) > lifetime {
        return false;
    }
    let is_udp = (local_port::UDP..local_port::ECHO).contains(&index);
    !is_udp || flow.last_ns > flows.closed_at(key.our_port)
}

/// Whether an ICMP error quotes a packet that a flow of this side sent. The quoted header is the first one alone: what
/// follows extension headers may not have been quoted.
#[inline(always)]
fn quotes_flow<F: Frame, S: Flows>(frame: &F, packet: &Candidate, flows: &S) -> bool {
    let Some(end) = packet_end(frame, packet) else {
        return false;
    };
    let quote = frame.forget(packet.transport_offset) + 8;
    let Some((quoted_protocol, transport, addresses)) = quoted(frame, packet.family, quote) else {
        return false;
    };
    if transport + 8 > end {
        return false;
    }
    let transport = frame.forget(transport);
    let Some([a, b, c, d, e, f, ..]) = frame.load::<8>(transport) else {
        return false;
    };
    let (index, ports) = match quoted_protocol {
        protocol::TCP | protocol::UDP => {
            let first = if quoted_protocol == protocol::TCP {
                local_port::TCP
            } else {
                local_port::UDP
            };
            let ours = u16::from_be_bytes([a, b]);
            let theirs = u16::from_be_bytes([c, d]);
            (first + u32::from(ours), Ends { ours, theirs })
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let echo_request = match packet.family {
                Family::V4 => (protocol::ICMP, 8),
                Family::V6 => (protocol::ICMPV6, 128),
            };
            if (quoted_protocol, a) != echo_request {
                return false;
            }
            let ours = u16::from_be_bytes([e, f]);
            (local_port::ECHO + u32::from(ours), Ends { ours, theirs: 0 })
        }
        _ => return false,
    };
    if flows.last_sent(index) == 0 {
        return false;
    }
    let (ours, theirs) = addresses;
    let key = FlowKey {
        ours,
        theirs,
        our_port: ports.ours,
        their_port: ports.theirs,
        protocol: quoted_protocol,
        version: match packet.family {
            Family::V4 => 4,
            Family::V6 => 6,
        },
        reserved: 0,
    };
    is_alive(&key, index, flows)
}

/// Addresses as they stand in a [`FlowKey`].
type Addresses = ([u64; 2], [u64; 2]);

/// Protocol, transport offset and addresses (source, destination) of a quoted packet that is no later fragment.
#[inline(always)]
fn quoted<F: Frame>(frame: &F, family: Family, offset: u32) -> Option<(u8, u32, Addresses)> {
    let wide = |address: ([u8; 8], [u8; 8])| {
        [u64::from_ne_bytes(address.0), u64::from_ne_bytes(address.1)]
    };
    match family {
        Family::V4 => {
            let header = frame.load::<20>(offset)?;
            let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
            let header_len = u32::from(header[0] & 0x0f) * 4;
            if header[0] >> 4 != 4 || header_len < 20 || is_fragment {
                return None;
            }
            let source = widen([header[12], header[13], header[14], header[15]]);
            let destination = widen([header[16], header[17], header[18], header[19]]);
            Some((
                header[9],
                offset + header_len,
                (wide(source), wide(destination)),
            ))
        }
        Family::V6 => {
            let [first, _, _, _, _, _, next, _] = frame.load::<8>(offset)?;
            if first >> 4 != 6 {
                return None;
            }
            let source = (frame.load::<8>(offset + 8)?, frame.load::<8>(offset + 16)?);
            let destination = (frame.load::<8>(offset + 24)?, frame.load::<8>(offset + 32)?);
            Some((next, offset + 40, (wide(source), wide(destination))))
        }
    }
}

/// Where the packet ends by its own length: padding is no part of it. The frame may end before.
#[inline(always)]
fn packet_end<F: Frame>(frame: &F, packet: &Candidate) -> Option<u32> {
    let offset = packet.network_offset;
    let (start, length) = match packet.family {
        Family::V4 => (offset, load_u16(frame, offset + 2)?),
        Family::V6 => (offset + 40, load_u16(frame, offset + 4)?),
    };
    Some(match length {
        0 => u32::MAX,
        length => start + u32::from(length),
    })
}

#[inline(always)]
fn load_u16<F: Frame>(frame: &F, offset: u32) -> Option<u16> {
    frame.load::<2>(offset).map(u16::from_be_bytes)
}
