//! The order of judgement (`docs/policy.md`, under that heading).

use crate::frame::{self, Frame, Malformed, Packet, Segment, UDP};
use crate::policy::{
    Action, Essential, Policy, PortEntry, Ports, Protocol, ProtocolName, Rule, Transport, Verdict,
};

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is dropped.
    pub dropped: bool,
    /// The one outcome that it adds to.
    pub outcome: Outcome,
    /// Names of the rules that would have dropped it but only count, in file order.
    pub shadows: Vec<String>,
}

/// What decided a frame (`docs/policy.md`, "Counters").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule of this name.
    Rule(String),
    /// `default: pass`.
    DefaultPass,
    /// `default: drop`.
    DefaultDrop,
    /// Essential traffic that no rule decided.
    Essential,
    /// `non_ip`.
    NonIp,
    /// `fragments`.
    LaterFragment,
    /// `malformed`, with the reason.
    Malformed(Malformed),
}

/// Judges one frame, beginning with its Ethernet header.
#[must_use]
pub fn judge(policy: &Policy, frame: &[u8]) -> Judgement {
    let mut shadows = Vec::new();
    let (outcome, verdict) = decide(policy, frame, &mut shadows);
    Judgement {
        // "Dry runs": everything is judged and counted as if enforced, then passed.
        dropped: policy.enforce && verdict == Verdict::Drop,
        outcome,
        shadows,
    }
}

fn decide(policy: &Policy, frame: &[u8], shadows: &mut Vec<String>) -> (Outcome, Verdict) {
    // 1 and 2.
    let packet = match frame::read(frame) {
        Ok(Frame::NonIp { spared: true }) => return (Outcome::NonIp, Verdict::Pass),
        Ok(Frame::NonIp { spared: false }) => return (Outcome::NonIp, policy.non_ip),
        Err(reason) => return (Outcome::Malformed(reason), policy.malformed),
        Ok(Frame::Packet(packet)) => packet,
    };
    let essential = match policy.essential {
        Essential::Pass => essential(&packet),
        Essential::Rules => None,
    };
    // 3.
    for rule in &policy.rules {
        if !matches(rule, &packet) || essential.is_some_and(|kind| !means(rule, kind)) {
            continue;
        }
        match (rule.enforce, rule.action) {
            (true, Action::Pass) => return (Outcome::Rule(rule.name.clone()), Verdict::Pass),
            (true, Action::Drop) => return (Outcome::Rule(rule.name.clone()), Verdict::Drop),
            (false, Action::Drop) => shadows.push(rule.name.clone()),
            // It would drop nothing, so there is nothing to count.
            (false, Action::Pass) => {}
        }
    }
    // 4.
    if essential.is_some() {
        return (Outcome::Essential, Verdict::Pass);
    }
    // 5.
    if packet.is_later_fragment() {
        return (Outcome::LaterFragment, policy.fragments);
    }
    // 6.
    match policy.default {
        Verdict::Pass => (Outcome::DefaultPass, Verdict::Pass),
        Verdict::Drop => (Outcome::DefaultDrop, Verdict::Drop),
    }
}

/// Whether all fields of a rule match.
#[must_use]
pub fn matches(rule: &Rule, packet: &Packet) -> bool {
    let protocol = rule.protocols.is_empty()
        || rule
            .protocols
            .iter()
            .any(|&protocol| protocol_matches(protocol, packet));
    let ports = rule.ports.is_empty()
        || rule
            .ports
            .iter()
            .any(|&entry| port_matches(rule, entry, packet));
    protocol && ports
}

/// Whether an entry of `protocol` matches.
#[must_use]
pub fn protocol_matches(protocol: Protocol, packet: &Packet) -> bool {
    match protocol {
        Protocol::Any => true,
        Protocol::Number(number) => packet.protocol == number,
        Protocol::Name(ProtocolName::Icmp) => packet.protocol == 1 && !packet.is_ipv6(),
        Protocol::Name(ProtocolName::Icmpv6) => packet.protocol == 58 && packet.is_ipv6(),
        // Walked in IPv6, so the name never matches there. A later fragment, where the walk ends, can have the number.
        Protocol::Name(ProtocolName::Ah) => packet.protocol == 51 && !packet.is_ipv6(),
        Protocol::Name(name) => packet.protocol == name.number(),
    }
}

/// Whether an entry of `ports` matches, protocol included.
#[must_use]
pub fn port_matches(rule: &Rule, entry: PortEntry, packet: &Packet) -> bool {
    let transport = Transport::ALL
        .into_iter()
        .find(|transport| transport.protocol().number() == packet.protocol);
    let Some(transport) = transport else {
        return false;
    };
    if !transports(rule, entry).contains(&transport) {
        return false;
    }
    let port = match packet.segment {
        Segment::Ports { destination, .. } => Some(destination),
        // A later fragment: no port to compare, but `any` asks for none.
        Segment::Message { .. } | Segment::Other => None,
    };
    match entry.ports {
        Ports::Any => true,
        Ports::Number(number) => port == Some(number),
        Ports::Range(low, high) => port.is_some_and(|port| low <= port && port <= high),
        Ports::Service(service) => port == Some(service.port()),
    }
}

/// The protocols that an entry of `ports` means. Where `protocol` is given as well, it has to match besides.
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

/// Essential traffic, by what a rule must say to mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EssentialKind {
    /// An ICMP or ICMPv6 type: no rule can mean it yet.
    Type,
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
        (true, 58, Segment::Message { kind, .. }) => match kind {
            1..=4 => Some(EssentialKind::Type),
            133..=137 if hop_limit == 255 => Some(EssentialKind::Type),
            130..=132 | 143 if hop_limit == 1 => Some(EssentialKind::Type),
            _ => None,
        },
        (false, 1, Segment::Message { kind, .. }) => {
            matches!(kind, 3 | 11 | 12).then_some(EssentialKind::Type)
        }
        // It has a TTL in IPv4 only, where alone it is spoken; no header is read, so later fragments count.
        (false, 2, _) => (hop_limit == 1).then_some(EssentialKind::Igmp),
        (
            ipv6,
            UDP,
            Segment::Ports {
                source,
                destination,
            },
        ) => match (ipv6, source, destination) {
            (false, 67, 68) => Some(EssentialKind::Dhcpv4),
            (true, 547, 546) => Some(EssentialKind::Dhcpv6),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a rule means this essential traffic expressly.
#[must_use]
pub fn means(rule: &Rule, kind: EssentialKind) -> bool {
    let holds = |port| {
        rule.ports.contains(&PortEntry {
            ports: Ports::Number(port),
            suffix: Some(Transport::Udp),
        })
    };
    match kind {
        EssentialKind::Type => false,
        EssentialKind::Dhcpv4 => holds(68),
        EssentialKind::Dhcpv6 => holds(546),
        EssentialKind::Igmp => {
            rule.protocols.contains(&Protocol::Name(ProtocolName::Igmp))
                || rule.protocols.contains(&Protocol::Number(2))
        }
    }
}
