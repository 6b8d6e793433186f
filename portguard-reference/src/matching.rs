//! Whether a rule matches a packet (`docs/policy.md`, "Rules"), field by field, and what is essential.

use std::net::IpAddr;

use crate::frame::{ICMP, ICMPV6, Packet, Segment, UDP};
use crate::policy::{
    AddressEntry, Policy, PortEntry, Ports, Protocol, ProtocolName, Rule, Transport, Trusted,
    TypeEntry, Vlan, names_interface,
};

/// Whether all fields of a rule match.
#[must_use]
pub fn matches(policy: &Policy, rule: &Rule, packet: &Packet, interface: &str) -> bool {
    let (source, destination) = match packet.segment {
        Segment::Ports {
            source,
            destination,
        } => (Some(source), Some(destination)),
        // A later fragment: no port to compare, but `any` asks for none.
        Segment::Message { .. } | Segment::Other => (None, None),
    };
    protocol_field(rule, packet.protocol, packet.is_ipv6())
        && port_field(rule, &rule.ports, packet.protocol, destination)
        && port_field(rule, &rule.source_ports, packet.protocol, source)
        && address_field(policy, &rule.from, packet.source)
        && address_field(policy, &rule.to, packet.destination)
        && (rule.types.is_empty() || rule.types.iter().any(|&entry| type_matches(entry, packet)))
        && interface_field(&rule.interfaces, interface)
        && vlan_field(rule, packet.vlan)
}

/// Field `protocol`.
#[must_use]
pub fn protocol_field(rule: &Rule, protocol: u8, is_ipv6: bool) -> bool {
    rule.protocols.is_empty()
        || rule
            .protocols
            .iter()
            .any(|&entry| protocol_matches(entry, protocol, is_ipv6))
}

/// Whether an entry of `protocol` matches.
#[must_use]
pub fn protocol_matches(entry: Protocol, protocol: u8, is_ipv6: bool) -> bool {
    match entry {
        Protocol::Any => true,
        Protocol::Number(number) => protocol == number,
        Protocol::Name(ProtocolName::Icmp) => protocol == ICMP && !is_ipv6,
        Protocol::Name(ProtocolName::Icmpv6) => protocol == ICMPV6 && is_ipv6,
        // Walked in IPv6, so the name never matches there. A later fragment, where the walk ends, can have the number.
        Protocol::Name(ProtocolName::Ah) => protocol == 51 && !is_ipv6,
        Protocol::Name(name) => protocol == name.number(),
    }
}

/// Field `ports` or `source_ports`, with these entries.
#[must_use]
pub fn port_field(rule: &Rule, entries: &[PortEntry], protocol: u8, port: Option<u16>) -> bool {
    entries.is_empty()
        || entries
            .iter()
            .any(|&entry| port_matches(rule, entry, protocol, port))
}

/// Whether an entry of `ports` or `source_ports` matches, protocol included.
#[must_use]
pub fn port_matches(rule: &Rule, entry: PortEntry, protocol: u8, port: Option<u16>) -> bool {
    let transport = Transport::ALL
        .into_iter()
        .find(|transport| transport.protocol().number() == protocol);
    let Some(transport) = transport else {
        return false;
    };
    if !transports(rule, entry).contains(&transport) {
        return false;
    }
    match entry.ports {
        Ports::Any => true,
        Ports::Number(number) => port == Some(number),
        Ports::Range(low, high) => port.is_some_and(|port| low <= port && port <= high),
        Ports::Service(service) => port == Some(service.port()),
    }
}

/// The protocols that an entry means. Where `protocol` is given as well, it has to match besides.
fn transports(rule: &Rule, entry: PortEntry) -> Vec<Transport> {
    if let Some(suffix) = entry.suffix {
        return vec![suffix];
    }
    if let Ports::Service(service) = entry.ports {
        return service.transports().to_vec();
    }
    if rule.protocols.is_empty() {
        return vec![Transport::Tcp, Transport::Udp];
    }
    Transport::ALL.to_vec()
}

/// Field `from` or `to`.
#[must_use]
pub fn address_field(policy: &Policy, entries: &[AddressEntry], address: IpAddr) -> bool {
    entries.is_empty()
        || entries
            .iter()
            .any(|entry| address_matches(policy, entry, address))
}

/// Whether an entry of `from` or `to` matches.
#[must_use]
pub fn address_matches(policy: &Policy, entry: &AddressEntry, address: IpAddr) -> bool {
    match entry {
        AddressEntry::Prefix(prefix) => prefix.contains(address),
        AddressEntry::Set(name) => policy
            .sets
            .iter()
            .filter(|set| set.name == *name)
            .flat_map(|set| &set.prefixes)
            .any(|prefix| prefix.contains(address)),
    }
}

/// Whether an entry of `types` matches.
#[must_use]
pub fn type_matches(entry: TypeEntry, packet: &Packet) -> bool {
    match packet.segment {
        Segment::Message { kind, code } => {
            entry.number(packet.is_ipv6()) == Some(kind)
                && entry.code.is_none_or(|wanted| wanted == code)
        }
        Segment::Ports { .. } | Segment::Other => false,
    }
}

/// Field `interfaces`.
#[must_use]
pub fn interface_field(patterns: &[String], interface: &str) -> bool {
    patterns.is_empty() || names_interface(patterns, interface)
}

/// Field `vlan`.
#[must_use]
pub fn vlan_field(rule: &Rule, vlan: Option<u16>) -> bool {
    let entry = vlan.map_or(Vlan::None, Vlan::Id);
    rule.vlans.is_empty() || rule.vlans.contains(&entry)
}

/// Whether an entry of `trusted` holds this source on this interface.
#[must_use]
pub fn trusts(entry: &Trusted, source: IpAddr, interface: &str) -> bool {
    entry.from.iter().any(|prefix| prefix.contains(source))
        && interface_field(&entry.interfaces, interface)
}

/// Essential traffic, by what a rule must say to mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EssentialKind {
    /// An ICMP or ICMPv6 type: it has to be listed.
    Type(u8),
    /// An answer to a DHCP client: `68/udp`.
    Dhcpv4,
    /// An answer to a DHCPv6 client: `546/udp`.
    Dhcpv6,
    /// `protocol: igmp`.
    Igmp,
}

/// Whether a packet is essential traffic (`docs/policy.md`, "Essential traffic").
#[must_use]
pub fn essential(packet: &Packet) -> Option<EssentialKind> {
    let hop_limit = packet.hop_limit;
    match (packet.is_ipv6(), packet.protocol, packet.segment) {
        (true, ICMPV6, Segment::Message { kind, .. }) => match kind {
            1..=4 => Some(EssentialKind::Type(kind)),
            133..=137 if hop_limit == 255 => Some(EssentialKind::Type(kind)),
            130..=132 | 143 if hop_limit == 1 => Some(EssentialKind::Type(kind)),
            _ => None,
        },
        (false, ICMP, Segment::Message { kind, .. }) => {
            matches!(kind, 3 | 11 | 12).then_some(EssentialKind::Type(kind))
        }
        // It has a TTL in IPv4 only, where alone it is spoken; no header is read, so later fragments count.
        (false, 2, _) => (hop_limit == 1).then_some(EssentialKind::Igmp),
        (
            is_ipv6,
            UDP,
            Segment::Ports {
                source,
                destination,
            },
        ) => essential_ports(is_ipv6, source, destination),
        _ => None,
    }
}

/// Whether UDP from this port to that one is essential.
#[must_use]
pub fn essential_ports(is_ipv6: bool, source: u16, destination: u16) -> Option<EssentialKind> {
    match (is_ipv6, source, destination) {
        (false, 67, 68) => Some(EssentialKind::Dhcpv4),
        (true, 547, 546) => Some(EssentialKind::Dhcpv6),
        _ => None,
    }
}

/// Whether a rule means this essential traffic of this family expressly.
#[must_use]
pub fn means(rule: &Rule, kind: EssentialKind, is_ipv6: bool) -> bool {
    let holds = |port| {
        rule.ports.contains(&PortEntry {
            ports: Ports::Number(port),
            suffix: Some(Transport::Udp),
        })
    };
    match kind {
        EssentialKind::Type(kind) => rule
            .types
            .iter()
            .any(|entry| entry.number(is_ipv6) == Some(kind)),
        EssentialKind::Dhcpv4 => holds(68),
        EssentialKind::Dhcpv6 => holds(546),
        EssentialKind::Igmp => {
            rule.protocols.contains(&Protocol::Name(ProtocolName::Igmp))
                || rule.protocols.contains(&Protocol::Number(2))
        }
    }
}
