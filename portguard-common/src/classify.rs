//! From the headers of a packet to what happens to it and what is counted.

use crate::abi::{
    Action, Builtin, Cell, FRAGMENTS_DROP, FRAGMENTS_PASS, Setting, counter, drops, service,
};
use crate::packet::{Family, Headers, Transport, Unparsed, protocol};

/// The tables of one generation.
pub trait Tables {
    /// A setting, frozen when the program was loaded.
    fn setting(&self, setting: Setting) -> u32;
    /// The cell of the service at an index below [`service::LEN`].
    fn service_cell(&self, index: u32) -> u16;
    /// What a cell says.
    fn cell(&self, cell: u16) -> Cell;
    /// Takes a token for a later fragment; `false` when the rate is used up.
    fn take_fragment_token(&self) -> bool;
}

/// Pass or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet goes on to the kernel's network stack.
    Pass,
    /// The packet is discarded.
    Drop,
}

/// What was decided about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What happens to the frame when verdicts are enforced.
    pub verdict: Verdict,
    /// Counter of the outcome.
    pub counter: u32,
    /// Counter of the matching rules that only count, where no rule decided; else [`counter::NONE`].
    pub shadow: u32,
    /// Index in the table of drops by port, or [`counter::NONE`].
    pub drop: u32,
}

/// Judges what [`crate::packet::parse`] made of a frame.
#[inline(always)]
pub fn judge<T: Tables>(parsed: &Result<Headers, Unparsed>, tables: &T) -> Judgement {
    match *parsed {
        Ok(ref headers) => classify(headers, tables),
        Err(Unparsed::NotIp { keeps_link }) => {
            let dropped = !keeps_link && tables.setting(Setting::NonIpDrop) != 0;
            builtin(dropped, Builtin::NonIp as u32, counter::NONE)
        }
        Err(Unparsed::Malformed(reason)) => builtin(
            tables.setting(Setting::MalformedDrop) != 0,
            counter::MALFORMED + reason as u32,
            counter::NONE,
        ),
    }
}

/// Judges an IP packet by its headers.
#[inline(always)]
pub fn classify<T: Tables>(headers: &Headers, tables: &T) -> Judgement {
    let service = service(headers, tables.setting(Setting::Essential) != 0);
    let cell_number = tables.service_cell(service.index);
    let cell = tables.cell(cell_number);
    let cell_counter = counter::CELL + u32::from(cell_number);

    let dropped = match cell.action() {
        Action::Pass => false,
        Action::Drop => true,
        Action::Undecided => {
            let (dropped, outcome) = undecided(headers, service.essential, tables);
            let drop = drop_index(dropped, service, headers);
            return Judgement {
                shadow: if cell.has_shadows() {
                    cell_counter
                } else {
                    counter::NONE
                },
                ..builtin(dropped, outcome as u32, drop)
            };
        }
    };
    Judgement {
        verdict: verdict(dropped),
        counter: cell_counter,
        shadow: counter::NONE,
        drop: drop_index(dropped, service, headers),
    }
}

/// What happens to a packet that no rule decides.
#[inline(always)]
fn undecided<T: Tables>(headers: &Headers, essential: bool, tables: &T) -> (bool, Builtin) {
    if essential {
        return (false, Builtin::Essential);
    }
    if headers.later_fragment {
        let dropped = match tables.setting(Setting::Fragments) {
            FRAGMENTS_PASS => false,
            FRAGMENTS_DROP => true,
            _ => !tables.take_fragment_token(),
        };
        return (dropped, Builtin::LaterFragment);
    }
    if tables.setting(Setting::DefaultDrop) != 0 {
        (true, Builtin::DefaultDrop)
    } else {
        (false, Builtin::DefaultPass)
    }
}

#[inline(always)]
fn builtin(dropped: bool, counter: u32, drop: u32) -> Judgement {
    Judgement {
        verdict: verdict(dropped),
        counter,
        shadow: counter::NONE,
        drop,
    }
}

#[inline(always)]
fn verdict(dropped: bool) -> Verdict {
    if dropped {
        Verdict::Drop
    } else {
        Verdict::Pass
    }
}

/// Where a dropped packet is counted by protocol and port.
#[inline(always)]
fn drop_index(dropped: bool, service: Service, headers: &Headers) -> u32 {
    if !dropped {
        return counter::NONE;
    }
    match service.index {
        port if port < drops::PORTLESS => port,
        service::ESSENTIAL_DHCP => service::UDP + 68,
        service::ESSENTIAL_DHCPV6 => service::UDP + 546,
        _ => drops::PORTLESS + u32::from(headers.protocol),
    }
}

/// Where a packet stands in the table of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its index, below [`service::LEN`].
    pub index: u32,
    /// Essential traffic, which only a rule that means it matches.
    pub essential: bool,
}

/// Finds a packet's place in the table of services. `exempt` is [`Setting::Essential`].
#[inline(always)]
pub fn service(headers: &Headers, exempt: bool) -> Service {
    match headers.transport {
        Transport::Ports { src, dst } => ports(headers, src, dst, exempt),
        Transport::Icmp { kind, code } => {
            let low = u32::from(code);
            let (first, essential) = match headers.family {
                Family::V4 => (service::ICMP, essential_icmp(kind)),
                Family::V6 => (service::ICMPV6, essential_icmpv6(kind, headers.hop_limit)),
            };
            match essential {
                Some(page) if exempt => Service {
                    index: page + low,
                    essential: true,
                },
                _ => ordinary(first + (u32::from(kind) << 8) + low),
            }
        }
        Transport::Portless => {
            let protocol = u32::from(headers.protocol);
            match headers.family {
                Family::V4 if exempt && is_essential_igmp(headers) => Service {
                    index: service::ESSENTIAL_IGMP,
                    essential: true,
                },
                Family::V4 => ordinary(service::PORTLESS_V4 + protocol),
                Family::V6 => ordinary(service::PORTLESS_V6 + protocol),
            }
        }
    }
}

#[inline(always)]
fn ordinary(index: u32) -> Service {
    Service {
        index,
        essential: false,
    }
}

#[inline(always)]
fn ports(headers: &Headers, src: u16, dst: u16, exempt: bool) -> Service {
    let first = match headers.protocol {
        protocol::TCP => service::TCP,
        protocol::UDP => {
            let dhcp = match headers.family {
                Family::V4 => (67, 68, service::ESSENTIAL_DHCP),
                Family::V6 => (547, 546, service::ESSENTIAL_DHCPV6),
            };
            if exempt && src == dhcp.0 && dst == dhcp.1 {
                return Service {
                    index: dhcp.2,
                    essential: true,
                };
            }
            service::UDP
        }
        _ => service::SCTP,
    };
    ordinary(first + u32::from(dst))
}

/// The page of an essential ICMP type: its place in [`service::ESSENTIAL_ICMP_TYPES`].
#[inline(always)]
fn essential_icmp(kind: u8) -> Option<u32> {
    let place = match kind {
        3 => 0,
        11 => 1,
        12 => 2,
        _ => return None,
    };
    Some(service::ESSENTIAL_ICMP + (place << 8))
}

/// The page of an essential ICMPv6 type: its place in [`service::ESSENTIAL_ICMPV6_TYPES`]. Messages of
/// the link itself count only with the hop limit that proves that no router forwarded them.
#[inline(always)]
fn essential_icmpv6(kind: u8, hop_limit: u8) -> Option<u32> {
    let (place, proof) = match kind {
        1..=4 => (kind - 1, None),
        130..=132 => (kind - 130 + 4, Some(1)),
        133..=137 => (kind - 133 + 7, Some(255)),
        143 => (12, Some(1)),
        _ => return None,
    };
    match proof {
        Some(expected) if hop_limit != expected => None,
        _ => Some(service::ESSENTIAL_ICMPV6 + (u32::from(place) << 8)),
    }
}

/// IGMP queries and reports never leave the link: RFC 3376 sends them with TTL 1.
#[inline(always)]
fn is_essential_igmp(headers: &Headers) -> bool {
    headers.protocol == protocol::IGMP && headers.hop_limit == 1
}
