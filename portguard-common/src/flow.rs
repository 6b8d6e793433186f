//! What this side started, and which packets are replies to it.
//!
//! Only what leaves writes flows. What arrives is looked up when it is about to be dropped, and first by its local
//! port alone: a flood to ports from which nothing was sent costs one load of an array.

use crate::abi::{local_port, service};
use crate::classify::is_attempt;
use crate::flow_table::{self, Flow, FlowKey, mix_v4, mix_v6};
use crate::last_sent::LastSent;
use crate::mix::Seed;
use crate::packet::{Family, Frame, Headers, Transport, protocol};

/// How long no UDP flow is started from a port that has closed.
pub const CLOSED_NS: u64 = flow_table::DATAGRAM_NS;

/// The state that flows leave behind.
pub trait Flows {
    /// The present time in nanoseconds of the monotonic clock; never 0.
    fn now_ns(&self) -> u64;
    /// When a packet last left by an index of [`local_port`].
    fn last_sent(&self, index: u32) -> LastSent;
    /// When a UDP port closed; 0 for never.
    fn closed_at(&self, port: u16) -> u64;
    /// What digests of flows are made with.
    fn seed(&self) -> Seed;
    /// A flow.
    fn flow(&self, key: FlowKey) -> Option<Flow>;
    /// Whether a packet that arrives has a flow, see [`has_flow`].
    #[inline(always)]
    fn has_flow(&self, ends: &Ends, last_sent: LastSent) -> bool {
        has_flow(ends, last_sent, self)
    }
}

/// Both ends of a packet that arrives, as far as they tell its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// What its addresses come to, see [`mix_v4`] and [`mix_v6`].
    pub addresses: u64,
    /// This side's index of [`local_port`].
    pub index: u32,
    /// The other side's port; 0 for an echo.
    pub theirs: u16,
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
    match last_sent(packet, flows) {
        Some(last_sent) => fits_flow(frame, packet, last_sent, flows),
        None => false,
    }
}

/// The first half of [`is_reply`], which needs nothing but the port: when a packet last left by it, never where the headers do not tell
/// the port; `None` where none ever did.
#[inline(always)]
pub fn last_sent<S: Flows>(packet: &Candidate, flows: &S) -> Option<LastSent> {
    if packet.local_port == Candidate::ANY_PORT {
        return Some(LastSent::NEVER);
    }
    match flows.last_sent(packet.local_port) {
        LastSent::NEVER => None,
        last_sent => Some(last_sent),
    }
}

/// The second half, with what the first one found. The port is read from the frame.
#[inline(always)]
pub fn fits_flow<F: Frame, S: Flows>(
    frame: &F,
    packet: &Candidate,
    last_sent: LastSent,
    flows: &S,
) -> bool {
    let Some([kind, _, third, fourth]) = frame.load::<4>(packet.transport_offset) else {
        return false;
    };
    let seed = flows.seed();
    if matches!(packet.protocol, protocol::TCP | protocol::UDP) {
        let ours = u16::from_be_bytes([third, fourth]);
        let index = first_port(packet.protocol == protocol::TCP) + u32::from(ours);
        return ends_of_ports(frame, packet, index, seed)
            .is_some_and(|ends| flows.has_flow(&ends, last_sent));
    }
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
    let Some(addresses) = addresses(frame, packet, Ours::Destination, seed) else {
        return false;
    };
    let index = local_port::ECHO + u32::from(identifier);
    let ends = Ends {
        addresses,
        index,
        theirs: 0,
    };
    flows.has_flow(&ends, flows.last_sent(index))
}

/// The ends of a TCP or UDP packet that goes to this index of [`local_port`]; `None` for an attempt to connect, which is no reply.
#[inline(always)]
pub fn ends_of_ports<F: Frame>(
    frame: &F,
    packet: &Candidate,
    index: u32,
    seed: Seed,
) -> Option<Ends> {
    if packet.protocol == protocol::TCP && is_attempt(frame, packet.transport_offset) {
        return None;
    }
    Some(Ends {
        addresses: addresses(frame, packet, Ours::Destination, seed)?,
        index,
        theirs: load_u16(frame, packet.transport_offset)?,
    })
}

/// The first index of [`local_port`] of a protocol with ports.
#[inline(always)]
const fn first_port(is_tcp: bool) -> u32 {
    if is_tcp {
        local_port::TCP
    } else {
        local_port::UDP
    }
}

/// What a packet that leaves does to the flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It belongs to no flow and starts none.
    Nothing,
    /// It starts a flow, or starts it anew.
    Starts(FlowKey),
    /// It goes on with a flow, if there is one.
    Continues(FlowKey),
    /// It is this side's last but for answers.
    Closes(FlowKey),
    /// It ends a flow at once.
    Ends(FlowKey),
    /// It starts a flow or goes on with one, if its answer would be dropped and its port has not closed.
    Datagram(FlowKey),
}

/// What a packet that leaves does to the flows.
#[inline(always)]
pub fn sent<F: Frame>(frame: &F, headers: &Headers, seed: Seed) -> Sent {
    let Some(packet) = Candidate::new(headers) else {
        return Sent::Nothing;
    };
    let (index, theirs) = match headers.transport() {
        Transport::Ports { src, dst } => {
            let is_tcp = headers.protocol == protocol::TCP;
            (first_port(is_tcp) + u32::from(src), dst)
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
            (local_port::ECHO + u32::from(identifier), 0)
        }
        Transport::Portless => return Sent::Nothing,
    };
    let Some(addresses) = addresses(frame, &packet, Ours::Source, seed) else {
        return Sent::Nothing;
    };
    let key = FlowKey::new(seed, addresses, index, theirs);
    match headers.protocol {
        protocol::TCP => {
            const FIN: u8 = 0x01;
            const SYN: u8 = 0x02;
            const RST: u8 = 0x04;
            const ACK: u8 = 0x10;
            let Some([flags]) = frame.load::<1>(headers.transport_offset + 13) else {
                return Sent::Nothing;
            };
            if flags & RST != 0 {
                Sent::Ends(key)
            } else if flags & (SYN | ACK) == SYN {
                Sent::Starts(key)
            } else if flags & FIN != 0 {
                Sent::Closes(key)
            } else {
                Sent::Continues(key)
            }
        }
        protocol::UDP => Sent::Datagram(key),
        _ => Sent::Starts(key),
    }
}

/// Which end of a packet is on this side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ours {
    Source,
    Destination,
}

/// What the addresses of a packet come to.
#[inline(always)]
fn addresses<F: Frame>(frame: &F, packet: &Candidate, ours: Ours, seed: Seed) -> Option<u64> {
    let offset = packet.network_offset;
    Some(match packet.family {
        Family::V4 => {
            let (source, destination) = (frame.load(offset + 12)?, frame.load(offset + 16)?);
            match ours {
                Ours::Source => mix_v4(seed, source, destination),
                Ours::Destination => mix_v4(seed, destination, source),
            }
        }
        Family::V6 => {
            let source = (frame.load(offset + 8)?, frame.load(offset + 16)?);
            let destination = (frame.load(offset + 24)?, frame.load(offset + 32)?);
            match ours {
                Ours::Source => mix_v6(seed, source, destination),
                Ours::Destination => mix_v6(seed, destination, source),
            }
        }
    })
}

/// Whether a packet has a flow that is alive, by when a packet last left by its port: that is the time of the port's latest one.
#[inline(always)]
pub fn has_flow<S: Flows + ?Sized>(ends: &Ends, last_sent: LastSent, flows: &S) -> bool {
    if last_sent == LastSent::NEVER {
        return false;
    }
    let now_ns = flows.now_ns();
    if last_sent.is_over(ends.index, now_ns) {
        return false;
    }
    let key = FlowKey::new(flows.seed(), ends.addresses, ends.index, ends.theirs);
    let Some(flow) = flows.flow(key) else {
        return false;
    };
    if flow.is_over(key.index, now_ns) {
        return false;
    }
    let is_udp = (local_port::UDP..local_port::ECHO).contains(&key.index);
    !is_udp || flow.last_ns > flows.closed_at(key.our_port())
}

/// Whether an ICMP error quotes a packet that a flow of this side sent. The quoted header is the first one alone: what
/// follows extension headers may not have been quoted.
#[inline(always)]
fn quotes_flow<F: Frame, S: Flows>(frame: &F, packet: &Candidate, flows: &S) -> bool {
    let Some(end) = packet_end(frame, packet) else {
        return false;
    };
    let quote = frame.forget(packet.transport_offset) + 8;
    let seed = flows.seed();
    let Some((quoted_protocol, transport, addresses)) = quoted(frame, packet.family, quote, seed)
    else {
        return false;
    };
    if transport + 8 > end {
        return false;
    }
    let transport = frame.forget(transport);
    let Some([a, b, c, d, e, f, ..]) = frame.load::<8>(transport) else {
        return false;
    };
    let (index, theirs) = match quoted_protocol {
        protocol::TCP | protocol::UDP => {
            let first = first_port(quoted_protocol == protocol::TCP);
            let ours = u16::from_be_bytes([a, b]);
            (first + u32::from(ours), u16::from_be_bytes([c, d]))
        }
        protocol::ICMP | protocol::ICMPV6 => {
            let echo_request = match packet.family {
                Family::V4 => (protocol::ICMP, 8),
                Family::V6 => (protocol::ICMPV6, 128),
            };
            if (quoted_protocol, a) != echo_request {
                return false;
            }
            let identifier = u16::from_be_bytes([e, f]);
            (local_port::ECHO + u32::from(identifier), 0)
        }
        _ => return false,
    };
    let ends = Ends {
        addresses,
        index,
        theirs,
    };
    flows.has_flow(&ends, flows.last_sent(index))
}

/// Protocol and transport offset of a quoted packet that is no later fragment, and what its addresses come to: the source is ours.
#[inline(always)]
fn quoted<F: Frame>(frame: &F, family: Family, offset: u32, seed: Seed) -> Option<(u8, u32, u64)> {
    match family {
        Family::V4 => {
            let header = frame.load::<20>(offset)?;
            let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
            let header_len = u32::from(header[0] & 0x0f) * 4;
            if header[0] >> 4 != 4 || header_len < 20 || is_fragment {
                return None;
            }
            let source = [header[12], header[13], header[14], header[15]];
            let destination = [header[16], header[17], header[18], header[19]];
            let addresses = mix_v4(seed, source, destination);
            Some((header[9], offset + header_len, addresses))
        }
        Family::V6 => {
            let [first, _, _, _, _, _, next, _] = frame.load::<8>(offset)?;
            if first >> 4 != 6 {
                return None;
            }
            let source = (frame.load(offset + 8)?, frame.load(offset + 16)?);
            let destination = (frame.load(offset + 24)?, frame.load(offset + 32)?);
            Some((next, offset + 40, mix_v6(seed, source, destination)))
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
