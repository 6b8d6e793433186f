//! Random policies and frames, biased to edges.

mod frames;
mod packets;

use crate::policy::{
    Action, Essential, Policy, PortEntry, Ports, Protocol, ProtocolName, Rule, Service, Transport,
    Verdict,
};
use crate::random::Random;
use crate::yaml;

pub use frames::frame;

/// Most rules of a policy.
const MAX_RULES: usize = 40;

/// Below this index a rule that matches nearly everything would leave nothing to the rules behind it.
const FIRST_BROAD_RULE: usize = 8;

/// Ports at and beside the ends of the range, of essential traffic and of the services.
const EDGE_PORTS: [u16; 20] = [
    1, 2, 21, 22, 23, 52, 53, 54, 67, 68, 69, 79, 80, 81, 545, 546, 547, 32768, 65534, 65535,
];

/// Protocol numbers of interest: names by their number, extension headers, and what is nothing in particular.
/// 6, 17 and 132 are left out, since they want `ports`.
const NUMBERS: [u8; 22] = [
    0, 1, 2, 4, 41, 43, 44, 47, 50, 51, 58, 59, 60, 88, 89, 115, 135, 136, 139, 140, 253, 255,
];

/// A random policy and a text that says it.
#[must_use]
pub fn policy(random: &mut Random) -> (Policy, String) {
    let verdict = |random: &mut Random| random.pick(&[Verdict::Pass, Verdict::Drop]);
    let count = if random.one_in(8) {
        random.below(4)
    } else {
        random.below(MAX_RULES + 1)
    };
    let policy = Policy {
        default: verdict(random),
        essential: random.pick(&[Essential::Pass, Essential::Pass, Essential::Rules]),
        non_ip: verdict(random),
        malformed: verdict(random),
        fragments: verdict(random),
        enforce: !random.one_in(6),
        rules: (0..count).map(|index| rule(index, random)).collect(),
    };
    let text = yaml::write(&policy, random);
    (policy, text)
}

fn rule(index: usize, random: &mut Random) -> Rule {
    let broad = index >= FIRST_BROAD_RULE || random.one_in(12);
    let (protocols, ports) = match random.below(20) {
        0..=8 => (Vec::new(), entries(&[], broad, random)),
        9..=11 => {
            let transports = transports(random);
            let ports = entries(&transports, broad, random);
            let protocols = transports.iter().map(|transport| {
                let name = transport.protocol();
                if random.one_in(6) {
                    Protocol::Number(name.number())
                } else {
                    Protocol::Name(name)
                }
            });
            (protocols.collect(), ports)
        }
        12 => (Vec::new(), dhcp(random)),
        13 if broad && random.one_in(2) => {
            let mut protocols = vec![Protocol::Any];
            if random.one_in(3) {
                // Now it means IGMP, and still nothing else that is essential.
                protocols.push(Protocol::Name(ProtocolName::Igmp));
            }
            (protocols, Vec::new())
        }
        _ => (protocols(random), Vec::new()),
    };
    let name = random.pick(&["rule-", "r.", "R_", "-x", "_.-", "a"]);
    Rule {
        name: format!("{name}{index}"),
        action: random.pick(&[Action::Pass, Action::Drop, Action::Drop]),
        // A rule that matches everything says more when others follow it.
        enforce: !random.one_in(if protocols.contains(&Protocol::Any) {
            2
        } else {
            6
        }),
        protocols,
        ports,
    }
}

/// Protocols without ports.
fn protocols(random: &mut Random) -> Vec<Protocol> {
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
fn transports(random: &mut Random) -> Vec<Transport> {
    let mut transports = Transport::ALL.to_vec();
    let first = random.below(3);
    transports.rotate_left(first);
    transports.truncate(1 + random.below(3));
    transports
}

/// Entries that mean answers to DHCP clients, and neighbours that look like it but do not.
fn dhcp(random: &mut Random) -> Vec<PortEntry> {
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
fn entries(protocols: &[Transport], broad: bool, random: &mut Random) -> Vec<PortEntry> {
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
            12..=14 => Ports::Service(random.pick(&Service::ALL)),
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

fn range(broad: bool, random: &mut Random) -> Ports {
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
