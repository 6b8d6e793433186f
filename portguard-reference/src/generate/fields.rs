//! Entries of `protocol` and `ports`.

use crate::policy::{PortEntry, Ports, Protocol, ProtocolName, Service, Transport};
use crate::random::Random;

/// Ports at and beside the ends of the range, of essential traffic and of the services.
const EDGE_PORTS: [u16; 20] = [
    1, 2, 21, 22, 23, 52, 53, 54, 67, 68, 69, 79, 80, 81, 545, 546, 547, 32768, 65534, 65535,
];

/// Protocol numbers of interest: names by their number, extension headers, and what is nothing in particular.
/// 6, 17 and 132 are left out, since they want `ports`.
const NUMBERS: [u8; 22] = [
    0, 1, 2, 4, 41, 43, 44, 47, 50, 51, 58, 59, 60, 88, 89, 115, 135, 136, 139, 140, 253, 255,
];

/// Protocols without ports.
pub(super) fn protocols(random: &mut Random) -> Vec<Protocol> {
    let mut protocols = Vec::new();
    for _ in 0..=random.below(3) {
        let protocol = if random.one_in(2) {
            Protocol::Name(random.pick(&ProtocolName::PORTLESS))
        } else if random.one_in(4) {
            Protocol::Number(random.byte())
        } else {
            Protocol::Number(random.pick(&NUMBERS))
        };
        if protocol_is_free(protocol) && !protocols.contains(&protocol) {
            protocols.push(protocol);
        }
    }
    if protocols.is_empty() {
        protocols.push(Protocol::Name(ProtocolName::Igmp));
    }
    protocols
}

/// Whether it may stand without `ports`.
fn protocol_is_free(protocol: Protocol) -> bool {
    !Transport::ALL
        .iter()
        .any(|transport| protocol == Protocol::Number(transport.protocol().number()))
}

/// One to three of the protocols with ports.
pub(super) fn transports(random: &mut Random) -> Vec<Transport> {
    let mut transports = Transport::ALL.to_vec();
    let first = random.below(3);
    transports.rotate_left(first);
    transports.truncate(1 + random.below(3));
    transports
}

/// Entries that mean answers to DHCP clients, and neighbours that look like it but do not.
pub(super) fn dhcp(random: &mut Random) -> Vec<PortEntry> {
    let entry = |ports, suffix| PortEntry { ports, suffix };
    let udp = Some(Transport::Udp);
    let all = [
        entry(Ports::Number(68), udp),
        entry(Ports::Number(546), udp),
        entry(Ports::Number(68), None),
        entry(Ports::Number(546), None),
        entry(Ports::Range(68, 68), udp),
        entry(Ports::Range(60, 70), udp),
        entry(Ports::Range(540, 550), udp),
        entry(Ports::Number(68), Some(Transport::Tcp)),
    ];
    let mut entries = vec![random.pick(&all[..2])];
    if random.one_in(2) {
        entries = vec![random.pick(&all)];
    }
    while random.one_in(3) {
        entries.push(random.pick(&all));
    }
    entries
}

/// Entries of `ports` that fit a `protocol` of these, or one that is not given.
pub(super) fn entries(
    protocols: &[Transport],
    services: &[Service],
    broad: bool,
    random: &mut Random,
) -> Vec<PortEntry> {
    let allowed = if protocols.is_empty() {
        &Transport::ALL
    } else {
        protocols
    };
    let mut entries: Vec<PortEntry> = Vec::new();
    for _ in 0..=random.below(4) {
        let ports = match random.below(16) {
            0..=6 => Ports::Number(port(random)),
            7..=11 => range(broad, random),
            12..=14 => Ports::Service(random.pick(services)),
            _ if broad && random.one_in(3) => Ports::Any,
            _ => Ports::Number(port(random)),
        };
        let suffix = random.one_in(3).then(|| random.pick(allowed));
        // A name must exist for the protocol asked.
        let entry = match ports {
            Ports::Service(service) if !fits(service, suffix, allowed) => PortEntry {
                ports: Ports::Number(service.port()),
                suffix,
            },
            ports => PortEntry { ports, suffix },
        };
        entries.push(entry);
    }
    entries
}

fn fits(service: Service, suffix: Option<Transport>, allowed: &[Transport]) -> bool {
    match suffix {
        Some(suffix) => service.transports().contains(&suffix),
        None => service
            .transports()
            .iter()
            .any(|transport| allowed.contains(transport)),
    }
}

fn port(random: &mut Random) -> u16 {
    if random.one_in(2) {
        random.pick(&EDGE_PORTS)
    } else {
        random.word().max(1)
    }
}

pub(super) fn range(broad: bool, random: &mut Random) -> Ports {
    let low = port(random);
    let high = match random.below(6) {
        0 => low,
        1 => low.saturating_add(1),
        2 | 3 => low.saturating_add(u16::from(random.byte())),
        4 if broad => low.saturating_add(random.word() / 4),
        5 if broad => port(random),
        _ => low.saturating_add(9),
    };
    Ports::Range(low.min(high), low.max(high))
}
