//! From a description of a packet to the packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portguard_common::abi::{Stage, field};

use super::Description;
use crate::compile::Tables;
use crate::interface::InterfacePattern;
use crate::packet::{Packet, Payload, USUAL_HOP_LIMIT, usual_hop_limit};
use crate::policy::{Policy, Transport};
use crate::prefix::Prefix;
use crate::traffic::TrafficProtocol;
use crate::types;

/// What was not stated of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// What of it.
    pub what: &'static str,
    /// The value.
    pub value: String,
}

/// A number of a packet that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What of it.
    pub what: &'static str,
    /// The number, as a policy writes it.
    pub value: String,
    /// The name: of a service, or of a type of ICMP.
    pub name: String,
}

/// Addresses for documentation (RFC 5737, RFC 3849).
const SOURCES: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(203, 0, 113, 7),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7),
);
const DESTINATIONS: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
);

/// As a client's kernel chooses it.
const SOURCE_PORT: u16 = 40_000;
/// That of a web server.
const DESTINATION_PORT: u16 = 80;

/// Types of an echo request (RFC 792, RFC 4443).
const ECHO_REQUEST: (u8, u8) = (8, 128);

/// A packet in the making: what its description states, or what is usual.
struct Completion<'d> {
    description: &'d Description,
    is_ipv6: bool,
    assumed: Vec<Assumption>,
}

/// Adds what a description does not state. An interface and a VLAN are named only if rules tell them apart.
pub(super) fn complete(
    policy: &Policy,
    tables: &Tables,
    description: &Description,
) -> (Packet, Vec<Assumption>) {
    let traffic = &description.traffic;
    let mut own = Completion {
        description,
        is_ipv6: !traffic.is_possible(true),
        assumed: Vec::new(),
    };
    let protocol = traffic.protocol.unwrap_or_else(|| {
        own.assume("protocol", "tcp");
        TrafficProtocol::Transport(Transport::Tcp)
    });
    let source = own.address("source address", traffic.source, SOURCES);
    let destination = own.address("destination address", traffic.destination, DESTINATIONS);
    let payload = if description.later_fragment {
        Payload::LaterFragment(protocol.number())
    } else {
        own.payload(protocol)
    };
    let hop_limit = own.hop_limit(payload);
    let interface = traffic.interface.clone().or_else(|| {
        let name = usual_interface(policy)?;
        own.assume("interface", &name);
        Some(name)
    });
    let vlan = traffic.vlan.unwrap_or_else(|| {
        if tables.stages[field::VLAN].form != Stage::UNUSED {
            own.assume("VLAN", "none");
        }
        0
    });
    if let Payload::Ports {
        transport: Transport::Tcp,
        ..
    } = payload
    {
        own.assume("TCP flags", "SYN (a new connection)");
    }
    let packet = Packet {
        source,
        destination,
        payload,
        hop_limit,
        interface,
        vlan,
    };
    (packet, own.assumed)
}

/// The names that a policy knows of a packet's ports, or of its type.
pub(super) fn names(policy: &Policy, packet: &Packet) -> Vec<Named> {
    let mut names = Vec::new();
    match packet.payload {
        Payload::Ports {
            transport,
            source,
            destination,
        } => {
            for (what, port) in [("destination port", destination), ("source port", source)] {
                if let Some(name) = policy.service_name(transport, port) {
                    names.push(Named {
                        what,
                        value: format!("{port}/{transport}"),
                        name: name.to_owned(),
                    });
                }
            }
        }
        Payload::Icmp { kind, .. } => {
            if let Some(name) = types::name_of(kind, packet.source.is_ipv6()) {
                names.push(Named {
                    what: "type",
                    value: kind.to_string(),
                    name: name.to_owned(),
                });
            }
        }
        Payload::Portless(_) | Payload::LaterFragment(_) => {}
    }
    names
}

/// The first interface that the policy calls by its name, else an example; none where all are alike.
fn usual_interface(policy: &Policy) -> Option<String> {
    if !policy.tells_interfaces_apart() {
        return None;
    }
    let named = policy.interfaces.iter().find_map(|own| match own {
        InterfacePattern::Name(name) => Some(name.clone()),
        _ => None,
    });
    named.or_else(|| policy.example_interfaces().into_iter().next())
}

impl Completion<'_> {
    fn assume(&mut self, what: &'static str, value: impl ToString) {
        let value = value.to_string();
        self.assumed.push(Assumption { what, value });
    }

    fn address(
        &mut self,
        what: &'static str,
        prefix: Option<Prefix>,
        (v4, v6): (Ipv4Addr, Ipv6Addr),
    ) -> IpAddr {
        let usual = if self.is_ipv6 { v6.into() } else { v4.into() };
        let address = prefix.map_or(usual, |prefix| one_of(prefix, usual));
        if prefix.is_none_or(|own| own.first() != own.last()) {
            self.assume(what, address);
        }
        address
    }

    fn payload(&mut self, protocol: TrafficProtocol) -> Payload {
        let traffic = &self.description.traffic;
        match protocol {
            TrafficProtocol::Transport(transport) => {
                let (source, destination) = (traffic.source_port, traffic.destination_port);
                Payload::Ports {
                    transport,
                    source: source.unwrap_or_else(|| {
                        self.assume("source port", SOURCE_PORT);
                        SOURCE_PORT
                    }),
                    destination: destination.unwrap_or_else(|| {
                        self.assume("destination port", DESTINATION_PORT);
                        DESTINATION_PORT
                    }),
                }
            }
            TrafficProtocol::Icmp { kind, code } | TrafficProtocol::Icmpv6 { kind, code } => {
                self.icmp(kind, code)
            }
            TrafficProtocol::Number(1) if !self.is_ipv6 => self.icmp(None, None),
            TrafficProtocol::Number(58) if self.is_ipv6 => self.icmp(None, None),
            TrafficProtocol::Number(number) => Payload::Portless(number),
        }
    }

    fn icmp(&mut self, kind: Option<u8>, code: Option<u8>) -> Payload {
        let (v4, v6) = ECHO_REQUEST;
        let usual = if self.is_ipv6 { v6 } else { v4 };
        let kind = kind.unwrap_or_else(|| {
            let name = types::name_of(usual, self.is_ipv6).unwrap_or_default();
            self.assume("type", format!("{usual} ({name})"));
            usual
        });
        let code = code.unwrap_or_else(|| {
            self.assume("code", 0);
            0
        });
        Payload::Icmp { kind, code }
    }

    fn hop_limit(&mut self, payload: Payload) -> u8 {
        if let Some(stated) = self.description.hop_limit {
            return stated;
        }
        let usual = usual_hop_limit(payload, !self.is_ipv6);
        if usual != USUAL_HOP_LIMIT {
            self.assume(if self.is_ipv6 { "hop limit" } else { "TTL" }, usual);
        }
        usual
    }
}

/// An address of a prefix: the usual one if it holds that, else one behind the lowest, which is that of the network.
fn one_of(prefix: Prefix, usual: IpAddr) -> IpAddr {
    let (first, last) = (prefix.first(), prefix.last());
    let is_of_family = first.is_ipv4() == usual.is_ipv4();
    if is_of_family && (first..=last).contains(&usual) {
        return usual;
    }
    match first {
        _ if first == last => first,
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + 1).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + 1).into()),
    }
}
