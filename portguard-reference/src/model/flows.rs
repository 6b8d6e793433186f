//! Flows that were started from this side, and replies to them (`docs/policy.md`, "Replies").

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::is_refused;
use crate::frame::{FIN, Fragment, ICMP, ICMPV6, Layout, Packet, RST, Segment, TCP, UDP};
use crate::policy::Policy;

const SECOND: u64 = 1_000_000_000;
/// Of UDP and echo, from the last packet sent.
const SHORT_LIFETIME: u64 = 180 * SECOND;
/// Of TCP, from the last packet sent.
const TCP_LIFETIME: u64 = 5 * 24 * 3600 * SECOND;
/// Of TCP after a FIN.
const CLOSING_LIFETIME: u64 = 60 * SECOND;
/// How long a UDP port stays closed.
const CLOSED: u64 = 180 * SECOND;

/// What was started, as seen from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// A TCP connection.
    Tcp(Ends),
    /// Datagrams between two ports.
    Udp(Ends),
    /// Echo requests, of ICMP or ICMPv6 by the family of the addresses.
    Echo {
        /// Who asked.
        local: IpAddr,
        /// Who is to reply.
        remote: IpAddr,
        /// Of all these requests.
        identifier: u16,
    },
}

/// Addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ends {
    /// This side.
    pub local: (IpAddr, u16),
    /// The other side.
    pub remote: (IpAddr, u16),
}

/// How a packet replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// A segment of a TCP connection.
    Tcp,
    /// A datagram the other way round.
    Udp,
    /// An echo reply.
    Echo,
    /// An error about a packet of a flow.
    Error,
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Nothing was sent for long.
    Idle,
    /// Nothing was sent for a while after a FIN.
    Finished,
    /// At once: by a reset, or by a port that closed.
    Cut,
}

/// What flows say about a packet that arrives.
pub(super) enum Lookup {
    Reply(Reply),
    /// It would be one, were the flow not over.
    Late(Reply, End),
    Unknown,
}

/// When a flow was last used and how long it lasts from there. A flow that has ended lasts no more, but is not forgotten.
#[derive(Clone, Copy, Debug)]
struct Life {
    last_ns: u64,
    lifetime_ns: Option<u64>,
}

impl Life {
    fn is_valid(self, now_ns: u64) -> bool {
        self.lifetime_ns
            .is_some_and(|lifetime| now_ns - self.last_ns <= lifetime)
    }

    /// Of one that is not valid.
    fn end(self) -> End {
        match self.lifetime_ns {
            None => End::Cut,
            Some(CLOSING_LIFETIME) => End::Finished,
            Some(_) => End::Idle,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Flows {
    flows: BTreeMap<Flow, Life>,
    /// UDP ports, low and high, and when they closed.
    closed: Vec<(u16, u16, u64)>,
}

impl Flows {
    /// A flow begins, or begins anew.
    pub(super) fn start(&mut self, flow: Flow, now_ns: u64) {
        let lifetime = match flow {
            Flow::Tcp(_) => TCP_LIFETIME,
            Flow::Udp(_) | Flow::Echo { .. } => SHORT_LIFETIME,
        };
        let life = Life {
            last_ns: now_ns,
            lifetime_ns: Some(lifetime),
        };
        self.flows.insert(flow, life);
    }

    /// UDP ports close: their flows end, and none starts for a while.
    pub(super) fn close(&mut self, ports: Vec<(u16, u16)>, now_ns: u64) {
        for (low, high) in ports {
            self.closed.push((low, high, now_ns));
            for (flow, life) in &mut self.flows {
                if let Flow::Udp(ends) = flow
                    && (low..=high).contains(&ends.local.1)
                {
                    life.lifetime_ns = None;
                }
            }
        }
    }

    /// A packet leaves.
    pub(super) fn sent(&mut self, policy: &Policy, interface: &str, packet: &Packet, now_ns: u64) {
        let Some(flow) = flow_of(packet) else {
            return;
        };
        match flow {
            Flow::Tcp(_) => self.sent_tcp(flow, packet, now_ns),
            Flow::Udp(ends) => {
                let is_closed = self.closed.iter().any(|&(low, high, since_ns)| {
                    (low..=high).contains(&ends.local.1) && now_ns - since_ns <= CLOSED
                });
                if !is_closed && is_refused(policy, &reverse(packet, ends), interface) {
                    self.start(flow, now_ns);
                }
            }
            Flow::Echo { .. } => self.start(flow, now_ns),
        }
    }

    fn sent_tcp(&mut self, flow: Flow, packet: &Packet, now_ns: u64) {
        let flags = packet.tcp_flags().unwrap_or(0);
        if packet.is_attempt() {
            self.start(flow, now_ns);
        }
        let Some(life) = self.flows.get_mut(&flow) else {
            return;
        };
        if !life.is_valid(now_ns) {
            return;
        }
        life.last_ns = now_ns;
        if flags & FIN != 0 {
            life.lifetime_ns = Some(CLOSING_LIFETIME);
        }
        if flags & RST != 0 {
            life.lifetime_ns = None;
        }
    }

    /// Whether a packet that arrives is a reply.
    pub(super) fn reply(&self, packet: &Packet, now_ns: u64) -> Lookup {
        let Some((flow, reply)) = answers(packet) else {
            return Lookup::Unknown;
        };
        match self.flows.get(&flow) {
            Some(life) if life.is_valid(now_ns) => Lookup::Reply(reply),
            Some(life) => Lookup::Late(reply, life.end()),
            None => Lookup::Unknown,
        }
    }
}

/// The flow that a packet which leaves belongs to.
fn flow_of(packet: &Packet) -> Option<Flow> {
    let (local, remote) = (packet.source, packet.destination);
    match (packet.protocol, packet.segment) {
        (
            protocol @ (TCP | UDP),
            Segment::Ports {
                source,
                destination,
            },
        ) => {
            let ends = Ends {
                local: (local, source),
                remote: (remote, destination),
            };
            Some(if protocol == TCP {
                Flow::Tcp(ends)
            } else {
                Flow::Udp(ends)
            })
        }
        (_, Segment::Message { kind, .. }) if kind == echo_request(packet.is_ipv6()) => {
            Some(Flow::Echo {
                local,
                remote,
                identifier: word(&packet.payload, 4)?,
            })
        }
        _ => None,
    }
}

/// The flow that a packet which arrives replies to, if that was started.
fn answers(packet: &Packet) -> Option<(Flow, Reply)> {
    let (remote, local) = (packet.source, packet.destination);
    let is_ipv6 = packet.is_ipv6();
    match (packet.protocol, packet.segment) {
        (
            TCP,
            Segment::Ports {
                source,
                destination,
            },
        ) if !packet.is_attempt() => {
            let ends = Ends {
                local: (local, destination),
                remote: (remote, source),
            };
            Some((Flow::Tcp(ends), Reply::Tcp))
        }
        (
            UDP,
            Segment::Ports {
                source,
                destination,
            },
        ) => {
            let ends = Ends {
                local: (local, destination),
                remote: (remote, source),
            };
            Some((Flow::Udp(ends), Reply::Udp))
        }
        (_, Segment::Message { kind, .. }) if kind == echo_reply(is_ipv6) => {
            let identifier = word(&packet.payload, 4)?;
            let flow = Flow::Echo {
                local,
                remote,
                identifier,
            };
            Some((flow, Reply::Echo))
        }
        (_, Segment::Message { kind, .. }) if is_error(is_ipv6, kind) => {
            let quoted = packet.payload.get(8..)?;
            let flow = if is_ipv6 {
                quoted_ipv6(quoted)
            } else {
                quoted_ipv4(quoted)
            };
            Some((flow?, Reply::Error))
        }
        _ => None,
    }
}

fn echo_request(is_ipv6: bool) -> u8 {
    if is_ipv6 { 128 } else { 8 }
}

fn echo_reply(is_ipv6: bool) -> u8 {
    if is_ipv6 { 129 } else { 0 }
}

fn is_error(is_ipv6: bool, kind: u8) -> bool {
    if is_ipv6 {
        matches!(kind, 1..=4)
    } else {
        matches!(kind, 3 | 11 | 12)
    }
}

/// The flow of the packet that an ICMP error quotes.
fn quoted_ipv4(quoted: &[u8]) -> Option<Flow> {
    let header = quoted.get(..20)?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let is_later = (u16::from(header[6]) << 8 | u16::from(header[7])) & 0x1fff != 0;
    if header[0] >> 4 != 4 || length < 20 || is_later {
        return None;
    }
    let source: [u8; 4] = header[12..16].try_into().ok()?;
    let destination: [u8; 4] = header[16..20].try_into().ok()?;
    let transport = quoted.get(length..)?;
    quoted_flow(header[9], source.into(), destination.into(), transport)
}

/// The flow of the packet that an ICMPv6 error quotes. Its extension headers are not walked.
fn quoted_ipv6(quoted: &[u8]) -> Option<Flow> {
    let header = quoted.get(..40)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let source: [u8; 16] = header[8..24].try_into().ok()?;
    let destination: [u8; 16] = header[24..40].try_into().ok()?;
    quoted_flow(header[6], source.into(), destination.into(), &quoted[40..])
}

fn quoted_flow(protocol: u8, local: IpAddr, remote: IpAddr, transport: &[u8]) -> Option<Flow> {
    let transport = transport.get(..8)?;
    let ends = Ends {
        local: (local, word(transport, 0)?),
        remote: (remote, word(transport, 2)?),
    };
    let is_ipv6 = local.is_ipv6();
    let icmp = if is_ipv6 { ICMPV6 } else { ICMP };
    match protocol {
        TCP => Some(Flow::Tcp(ends)),
        UDP => Some(Flow::Udp(ends)),
        protocol if protocol == icmp && transport[0] == echo_request(is_ipv6) => Some(Flow::Echo {
            local,
            remote,
            identifier: word(transport, 4)?,
        }),
        _ => None,
    }
}

/// What would answer a datagram that leaves: whole, over the same interface and VLAN.
fn reverse(packet: &Packet, ends: Ends) -> Packet {
    Packet {
        vlan: packet.vlan,
        source: packet.destination,
        destination: packet.source,
        hop_limit: packet.hop_limit,
        fragment: Fragment::Whole,
        protocol: UDP,
        segment: Segment::Ports {
            source: ends.remote.1,
            destination: ends.local.1,
        },
        payload: Vec::new(),
        layout: Layout::default(),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let field: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(field))
}
