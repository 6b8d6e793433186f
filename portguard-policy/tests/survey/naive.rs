//! What a policy does with a packet, told rule by rule and field by field, and packets that stand for all that the
//! policies of these tests tell apart.

use std::net::IpAddr;
use std::sync::LazyLock;

use portguard_common::abi::Builtin;
use portguard_policy::{
    Effect, Fate, Fragments, InterfacePattern, Limit, Outcome, Packet, Payload, Per, Policy, Rate,
    Rule, RuleAction, ServiceMatch, SourceMatch, Traffic, TrafficProtocol, Transport,
};

/// The first rule that matches, or what decides without one.
pub(crate) fn decide(policy: &Policy, packet: &Packet) -> (Outcome, Effect) {
    let interface = packet.interface.as_deref().expect("an interface");
    let arrives = |patterns: &Option<Vec<InterfacePattern>>| {
        let matches = |own: &InterfacePattern| own.matches(interface);
        patterns.as_ref().is_none_or(|all| all.iter().any(matches))
    };
    for trusted in &policy.trusted {
        if trusted.from.contains(packet.source) && arrives(&trusted.interfaces) {
            return (Outcome::Builtin(Builtin::Trusted), Effect::Pass);
        }
    }
    let essential = policy.essential && is_essential(packet);
    for (index, rule) in policy.rules.iter().enumerate() {
        if rule.enforce && arrives(&rule.interfaces) && matches(rule, packet, essential) {
            // Of TCP only attempts to connect count for a limit, and a later fragment is none.
            let effect = match (rule.action, packet.payload) {
                (RuleAction::Limit(_), Payload::LaterFragment(6)) => Effect::Pass,
                (action, _) => effect(action),
            };
            return (Outcome::Rule(index), effect);
        }
    }
    let (builtin, effect) = match (policy.fragments, policy.default) {
        _ if essential => (Builtin::Essential, Effect::Pass),
        (fragments, _) if matches!(packet.payload, Payload::LaterFragment(_)) => {
            let effect = match fragments {
                Fragments::Pass => Effect::Pass,
                Fragments::Drop => Effect::Drop,
                Fragments::Rate(rate) => limit(rate, false),
            };
            (Builtin::LaterFragment, effect)
        }
        (_, Fate::Pass) => (Builtin::DefaultPass, Effect::Pass),
        (_, Fate::Drop) => (Builtin::DefaultDrop, Effect::Drop),
    };
    (Outcome::Builtin(builtin), effect)
}

fn effect(action: RuleAction) -> Effect {
    match action {
        RuleAction::Pass => Effect::Pass,
        RuleAction::Drop => Effect::Drop,
        RuleAction::Reject => Effect::Reject,
        RuleAction::Limit(Limit { rate, per }) => limit(rate, per == Per::Source),
    }
}

fn limit(rate: Rate, per_source: bool) -> Effect {
    Effect::Limit {
        interval_ns: rate.interval_ns(),
        tolerance_ns: rate.interval_ns() * (rate.burst - 1),
        per_source,
    }
}

/// The list of the specification, 4.6.
fn is_essential(packet: &Packet) -> bool {
    let v4 = packet.source.is_ipv4();
    match packet.payload {
        Payload::Icmp { kind, .. } if v4 => matches!(kind, 3 | 11 | 12),
        Payload::Icmp { kind, .. } => match kind {
            1..=4 => true,
            130..=132 | 143 => packet.hop_limit == 1,
            133..=137 => packet.hop_limit == 255,
            _ => false,
        },
        Payload::Ports {
            transport: Transport::Udp,
            source,
            destination,
        } => (source, destination) == if v4 { (67, 68) } else { (547, 546) },
        Payload::Portless(2) | Payload::LaterFragment(2) => v4 && packet.hop_limit == 1,
        _ => false,
    }
}

fn matches(rule: &Rule, packet: &Packet, essential: bool) -> bool {
    let vlan = rule.vlans.as_ref();
    let (from, to) = (rule.from.as_ref(), rule.to.as_ref());
    vlan.is_none_or(|ids| ids.contains(&packet.vlan))
        && from.is_none_or(|own| own.contains(packet.source))
        && to.is_none_or(|own| own.contains(packet.destination))
        && rule.source_ports.as_ref().is_none_or(|all| {
            all.iter().any(|own| match (*own, packet.payload) {
                (
                    SourceMatch::Ports(own, range),
                    Payload::Ports {
                        transport, source, ..
                    },
                ) => own == transport && (range.low..=range.high).contains(&source),
                (SourceMatch::AnyPort(own), _) => own.number() == packet.protocol(),
                _ => false,
            })
        })
        && rule
            .services
            .iter()
            .any(|own| serves(*own, packet, essential))
}

fn serves(own: ServiceMatch, packet: &Packet, essential: bool) -> bool {
    let v4 = packet.source.is_ipv4();
    let protocol = packet.protocol();
    let of_type = |own: u8, wanted: Option<u8>| match packet.payload {
        Payload::Icmp { kind, code } => kind == own && wanted.is_none_or(|wanted| wanted == code),
        _ => false,
    };
    match own {
        ServiceMatch::IcmpType { kind, code } => v4 && of_type(kind, code),
        ServiceMatch::Icmpv6Type { kind, code } => !v4 && of_type(kind, code),
        ServiceMatch::DhcpAnswer => essential && v4 && protocol == 17,
        ServiceMatch::Dhcpv6Answer => essential && !v4 && protocol == 17,
        ServiceMatch::EssentialIgmp => essential && protocol == 2,
        _ if essential => false,
        ServiceMatch::Any => true,
        ServiceMatch::Ports(own, range) => match packet.payload {
            Payload::Ports {
                transport,
                destination,
                ..
            } => own == transport && (range.low..=range.high).contains(&destination),
            _ => false,
        },
        ServiceMatch::AnyPort(own) => own.number() == protocol,
        ServiceMatch::Icmp => v4 && protocol == 1,
        ServiceMatch::Icmpv6 => !v4 && protocol == 58,
        ServiceMatch::Ah => v4 && protocol == 51,
        ServiceMatch::Protocol(own) => own == protocol,
    }
}

/// Whether an assertion is about a packet.
pub(crate) fn is_meant(traffic: &Traffic, packet: &Packet) -> bool {
    let within = |prefix: portguard_policy::Prefix, address: IpAddr| {
        prefix.is_ipv4() == address.is_ipv4() && (prefix.first()..=prefix.last()).contains(&address)
    };
    let v4 = packet.source.is_ipv4();
    let ports = match packet.payload {
        Payload::Ports {
            source,
            destination,
            ..
        } => Some((source, destination)),
        Payload::LaterFragment(_) => return false,
        _ => None,
    };
    let icmp = |wanted: Option<u8>, code: Option<u8>| match packet.payload {
        Payload::Icmp { kind, code: own } => {
            wanted.is_none_or(|wanted| wanted == kind) && code.is_none_or(|code| code == own)
        }
        _ => false,
    };
    let protocol = match traffic.protocol {
        None => true,
        Some(TrafficProtocol::Transport(own)) => own.number() == packet.protocol(),
        Some(TrafficProtocol::Number(own)) => own == packet.protocol(),
        Some(TrafficProtocol::Icmp { kind, code }) => v4 && icmp(kind, code),
        Some(TrafficProtocol::Icmpv6 { kind, code }) => !v4 && icmp(kind, code),
    };
    let (source_port, destination_port) = (traffic.source_port, traffic.destination_port);
    protocol
        && traffic.source.is_none_or(|own| within(own, packet.source))
        && traffic
            .destination
            .is_none_or(|own| within(own, packet.destination))
        && source_port.is_none_or(|own| ports.is_some_and(|(source, _)| source == own))
        && destination_port.is_none_or(|own| ports.is_some_and(|(_, port)| port == own))
        && (traffic.interface.is_none() || traffic.interface == packet.interface)
        && traffic.vlan.is_none_or(|own| own == packet.vlan)
}

/// UDP destination ports of which [`universe`] has packets.
pub(crate) const UDP_PORTS: [u16; 10] = [1, 20, 22, 26, 53, 68, 69, 546, 547, 65_535];

/// Packets of every kind that the policies of these tests tell apart.
pub(crate) fn universe() -> &'static [Packet] {
    static ALL: LazyLock<Vec<Packet>> = LazyLock::new(all);
    &ALL
}

fn all() -> Vec<Packet> {
    let mut packets = Vec::new();
    let v4 = ["10.1.2.3", "10.2.0.1", "192.0.2.9"];
    let v6 = ["2001:db8::1", "2001:db9::1"];
    for (is_v4, addresses) in [(true, &v4[..]), (false, &v6[..])] {
        for (source, destination) in pairs(addresses) {
            for interface in ["eth0", "wan"] {
                for vlan in [0, 10, 20] {
                    for (payload, hop_limit) in payloads(is_v4) {
                        packets.push(Packet {
                            source: source.parse().expect("an address"),
                            destination: destination.parse().expect("an address"),
                            payload,
                            hop_limit,
                            interface: Some(interface.to_owned()),
                            vlan,
                        });
                    }
                }
            }
        }
    }
    packets
}

fn pairs<'a>(all: &'a [&'a str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    all.iter()
        .flat_map(move |one| all.iter().map(move |other| (*one, *other)))
}

fn payloads(v4: bool) -> Vec<(Payload, u8)> {
    let mut payloads = Vec::new();
    for source in [67, 547, 1023, 40_000] {
        let tcp = [20, 22, 26, 53, 68].map(|port| (Transport::Tcp, port));
        let udp = UDP_PORTS.map(|port| (Transport::Udp, port));
        let sctp = [22, 26, 68].map(|port| (Transport::Sctp, port));
        for (transport, destination) in tcp.into_iter().chain(udp).chain(sctp) {
            let ports = Payload::Ports {
                transport,
                source,
                destination,
            };
            payloads.push((ports, 64));
        }
    }
    // Named by a rule and not, essential and not; router advertisements are essential by their hop limit.
    let types = if v4 {
        [8, 13, 11, 3]
    } else {
        [128, 129, 134, 2]
    };
    for kind in types {
        for hop_limit in [64, 255] {
            payloads.push((Payload::Icmp { kind, code: 0 }, hop_limit));
        }
    }
    for hop_limit in [64, 1] {
        payloads.push((Payload::Portless(2), hop_limit));
        payloads.push((Payload::LaterFragment(2), hop_limit));
    }
    for protocol in [1, 6, 17, 47, 58, 132] {
        payloads.push((Payload::LaterFragment(protocol), 64));
    }
    payloads.push((Payload::Portless(47), 64));
    payloads
}
