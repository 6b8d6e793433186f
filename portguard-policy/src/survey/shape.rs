//! Which packets there are: fields that do not depend on each other within a group.
//!
//! Nearly all fields are independent: any source may come with any destination of its family. What is not, is split into
//! groups: the family; the protocol, which stands in the source port's index and in the service's; DHCP answers, which
//! are told by both ports.

use std::ops::RangeInclusive;

use portguard_common::abi::{service, source_port};

use super::Region;
use crate::packet::{Payload, USUAL_HOP_LIMIT, proof};
use crate::policy::Transport;
use crate::protocols::WALKED_IN_IPV6;
use crate::traffic::TrafficProtocol;

/// Packets of which source ports and services are independent of each other and of all other fields.
pub(super) struct Group {
    /// Indices of the table of source ports.
    pub(super) source_ports: Vec<RangeInclusive<u32>>,
    pub(super) blocks: Vec<Block>,
}

impl Group {
    /// Whether none of its packets is an attempt to connect, of a protocol of which only these count for limits: later
    /// fragments of TCP, which are a group of their own.
    pub(super) fn is_of_no_attempts(&self) -> bool {
        let is_tcp = |block: &Block| match block.kind {
            Kind::LaterFragment(first) => first == Transport::Tcp.number() && block.last == 0,
            _ => false,
        };
        self.blocks.iter().all(is_tcp)
    }
}

/// Services that stand one after another in each side's table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Index of the first in each table.
    pub(super) starts: [u32; 2],
    /// How many follow the first.
    pub(super) last: u32,
    /// Each side sets them apart as essential.
    pub(super) essential: [bool; 2],
    pub(super) kind: Kind,
    pub(super) hop_limit: u8,
}

/// What the first service of a block is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Ports(Transport, u16),
    /// `type << 8 | code`
    Icmp(u16),
    Portless(u8),
    LaterFragment(u8),
}

impl Block {
    /// What tells services of one class apart: who takes them for essential, and whether they are fragments.
    pub(super) fn tag(&self) -> u8 {
        let [left, right] = self.essential;
        let later = matches!(self.kind, Kind::LaterFragment(_));
        u8::from(left) | u8::from(right) << 1 | u8::from(later) << 2
    }

    /// The payload of a service and a source port.
    pub(super) fn payload(&self, offset: u32, source: u16) -> Payload {
        match self.kind {
            Kind::Ports(transport, first) => Payload::Ports {
                transport,
                source,
                destination: first.wrapping_add(offset as u16),
            },
            Kind::Icmp(first) => {
                let [kind, code] = first.wrapping_add(offset as u16).to_be_bytes();
                Payload::Icmp { kind, code }
            }
            Kind::Portless(first) => Payload::Portless(first.wrapping_add(offset as u8)),
            Kind::LaterFragment(first) => Payload::LaterFragment(first.wrapping_add(offset as u8)),
        }
    }

    /// Only the services whose port, type and code, or protocol lies between these.
    fn within(mut self, low: u16, high: u16) -> Option<Self> {
        let first = match self.kind {
            Kind::Ports(_, first) | Kind::Icmp(first) => first,
            Kind::Portless(first) | Kind::LaterFragment(first) => first.into(),
        };
        let (first, last) = (u32::from(first), u32::from(first) + self.last);
        let (low, high) = (first.max(low.into()), last.min(high.into()));
        self.last = high.checked_sub(low)?;
        let skipped = low - first;
        self.starts = self.starts.map(|start| start + skipped);
        self.kind = match self.kind {
            Kind::Ports(transport, first) => Kind::Ports(transport, first + skipped as u16),
            Kind::Icmp(first) => Kind::Icmp(first + skipped as u16),
            Kind::Portless(first) => Kind::Portless(first + skipped as u8),
            Kind::LaterFragment(first) => Kind::LaterFragment(first + skipped as u8),
        };
        Some(self)
    }

    /// Only what a region holds.
    fn of(self, region: &Region) -> Option<Self> {
        let wanted = region.destination_ports;
        let (low, high) = wanted.map_or((0, u16::MAX), |range| (range.low, range.high));
        let ports = region.source_port.is_some() || wanted.is_some();
        let of_type = |kind: Option<u8>, code: Option<u8>| {
            let low = u16::from_be_bytes([kind.unwrap_or(0), code.unwrap_or(0)]);
            let high = u16::from_be_bytes([kind.unwrap_or(u8::MAX), code.unwrap_or(u8::MAX)]);
            self.within(low, high)
        };
        match (self.kind, region.protocol) {
            (Kind::LaterFragment(_), _) if ports || !region.later_fragments => None,
            (Kind::LaterFragment(_), Some(protocol)) => {
                let number = protocol.number().into();
                self.within(number, number)
            }
            (Kind::LaterFragment(_), None) => Some(self),
            _ if !region.others => None,
            (Kind::Ports(..), None) => self.within(low, high),
            (Kind::Ports(own, _), Some(TrafficProtocol::Transport(wanted))) if own == wanted => {
                self.within(low, high)
            }
            (_, None) => (!ports).then_some(self),
            (Kind::Icmp(_), Some(TrafficProtocol::Icmp { kind, code })) if !self.is_icmpv6() => {
                of_type(kind, code)
            }
            (Kind::Icmp(_), Some(TrafficProtocol::Icmpv6 { kind, code })) if self.is_icmpv6() => {
                of_type(kind, code)
            }
            (Kind::Icmp(_), Some(TrafficProtocol::Number(number))) => {
                (number == if self.is_icmpv6() { 58 } else { 1 }).then_some(self)
            }
            (Kind::Portless(_), Some(TrafficProtocol::Number(number))) => {
                self.within(number.into(), number.into())
            }
            _ => None,
        }
    }

    fn is_icmpv6(&self) -> bool {
        let start = self.starts[0];
        let essential = service::ESSENTIAL_ICMPV6..service::ESSENTIAL_OTHER;
        (service::ICMPV6..service::PORTLESS_V4).contains(&start) || essential.contains(&start)
    }
}

/// The groups of a family. `essential` tells which sides set essential traffic apart.
pub(super) fn groups(region: &Region, v6: bool, essential: [bool; 2]) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut push = |source_ports: Vec<RangeInclusive<u32>>, blocks: Vec<Block>| {
        let blocks: Vec<Block> = blocks.iter().filter_map(|block| block.of(region)).collect();
        if !source_ports.is_empty() && !blocks.is_empty() {
            groups.push(Group {
                source_ports,
                blocks,
            });
        }
    };
    for (place, transport) in (0_u32..).zip(Transport::ALL) {
        let first = source_port::PORTS + (place << 16);
        // Source ports from one to another that the region holds.
        let sources = |low: u16, high: u16| {
            let wanted = region.source_port;
            let (low, high) = (
                low.max(wanted.unwrap_or(low)),
                high.min(wanted.unwrap_or(high)),
            );
            (low <= high).then(|| first + u32::from(low)..=first + u32::from(high))
        };
        if transport == Transport::Udp {
            let (server, client, index) = if v6 {
                (547, 546, service::ESSENTIAL_DHCPV6)
            } else {
                (67, 68, service::ESSENTIAL_DHCP)
            };
            let others = [sources(0, server - 1), sources(server + 1, u16::MAX)];
            push(
                others.into_iter().flatten().collect(),
                vec![ports(transport, 0, u16::MAX)],
            );
            let mut answer = ports(transport, client, client);
            set_apart(&mut answer, index, essential);
            push(
                sources(server, server).into_iter().collect(),
                vec![
                    ports(transport, 0, client - 1),
                    answer,
                    ports(transport, client + 1, u16::MAX),
                ],
            );
        } else {
            push(
                sources(0, u16::MAX).into_iter().collect(),
                vec![ports(transport, 0, u16::MAX)],
            );
        }
        let fragments = source_port::FRAGMENTS + place;
        let own = transport.number();
        push(vec![fragments..=fragments], vec![later(v6, own, own)]);
    }
    push(
        vec![source_port::OTHER..=source_port::OTHER],
        others(v6, essential),
    );
    groups
}

fn ports(transport: Transport, low: u16, high: u16) -> Block {
    let first = match transport {
        Transport::Tcp => service::TCP,
        Transport::Udp => service::UDP,
        Transport::Sctp => service::SCTP,
    };
    Block {
        starts: [first + u32::from(low); 2],
        last: u32::from(high - low),
        essential: [false; 2],
        kind: Kind::Ports(transport, low),
        hop_limit: USUAL_HOP_LIMIT,
    }
}

fn portless(v6: bool, low: u8, high: u8) -> Block {
    let family = if v6 {
        service::PORTLESS_V6
    } else {
        service::PORTLESS_V4
    };
    Block {
        starts: [family + u32::from(low); 2],
        last: u32::from(high - low),
        essential: [false; 2],
        kind: Kind::Portless(low),
        hop_limit: USUAL_HOP_LIMIT,
    }
}

fn later(v6: bool, low: u8, high: u8) -> Block {
    Block {
        kind: Kind::LaterFragment(low),
        ..portless(v6, low, high)
    }
}

/// Where a side exempts them, the services of a block stand behind all others.
fn set_apart(block: &mut Block, index: u32, essential: [bool; 2]) {
    for (start, exempt) in block.starts.iter_mut().zip(essential) {
        if exempt {
            *start = index;
        }
    }
    block.essential = essential;
}

/// What has no port.
fn others(v6: bool, essential: [bool; 2]) -> Vec<Block> {
    let mut blocks = icmp(v6, essential);
    let has_no_port = |number: u8| Transport::from_number(number).is_none();
    let whole = |number: u8| {
        let walked = v6 && WALKED_IN_IPV6.contains(&number);
        has_no_port(number) && !walked && number != if v6 { ICMPV6 } else { ICMP }
    };
    for (low, high) in runs(whole) {
        blocks.push(portless(v6, low, high));
    }
    for (low, high) in runs(has_no_port) {
        blocks.push(later(v6, low, high));
    }
    if !v6 {
        for mut block in [portless(v6, IGMP, IGMP), later(v6, IGMP, IGMP)] {
            set_apart(&mut block, service::ESSENTIAL_IGMP, essential);
            block.hop_limit = 1;
            blocks.push(block);
        }
    }
    blocks
}

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;

/// From low to high, the numbers of which something holds.
fn runs(holds: impl Fn(u8) -> bool) -> Vec<(u8, u8)> {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for number in (0..=u8::MAX).filter(|number| holds(*number)) {
        match runs.last_mut() {
            Some((_, high)) if *high + 1 == number => *high = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// The messages of ICMP or ICMPv6.
fn icmp(v6: bool, essential: [bool; 2]) -> Vec<Block> {
    let (first, page, types): (u32, u32, &[u8]) = if v6 {
        let types = &service::ESSENTIAL_ICMPV6_TYPES;
        (service::ICMPV6, service::ESSENTIAL_ICMPV6, types)
    } else {
        let types = &service::ESSENTIAL_ICMP_TYPES;
        (service::ICMP, service::ESSENTIAL_ICMP, types)
    };
    let block = |low: u8, high: u8| Block {
        starts: [first + (u32::from(low) << 8); 2],
        last: u32::from(high - low) * 256 + 255,
        essential: [false; 2],
        kind: Kind::Icmp(u16::from(low) << 8),
        hop_limit: USUAL_HOP_LIMIT,
    };
    let mut blocks = Vec::new();
    for (place, kind) in (0..).zip(types) {
        let mut own = block(*kind, *kind);
        set_apart(&mut own, page + (place << 8), essential);
        own.hop_limit = proof(v6, *kind).unwrap_or(USUAL_HOP_LIMIT);
        blocks.push(own);
    }
    let ordinary = |kind: u8| !types.contains(&kind) || proof(v6, kind).is_some();
    blocks.extend(
        runs(ordinary)
            .into_iter()
            .map(|(low, high)| block(low, high)),
    );
    blocks
}
