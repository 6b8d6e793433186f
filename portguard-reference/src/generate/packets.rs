//! IP packets.

use crate::frame::{SCTP, TCP, UDP};
use crate::policy::{Policy, Ports, Protocol, Rule, Transport};
use crate::random::Random;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const FRAGMENT: u8 = 44;
const AH: u8 = 51;
const ICMPV6: u8 = 58;

/// Protocols of packets aimed at nothing: with ports, ESP, AH, no next header, tunnels, each other's ICMP, extension
/// headers (which IPv4 does not have), and neighbours of all of these.
const PROTOCOLS: [u8; 30] = [
    TCP, TCP, TCP, UDP, UDP, UDP, SCTP, SCTP, ICMP, ICMPV6, IGMP, 50, AH, 59, 4, 41, 47, 33, 136,
    88, 89, 0, 43, FRAGMENT, 60, 135, 139, 140, 131, 255,
];

/// Extension headers other than the fragment header, by next-header value.
const EXTENSIONS: [u8; 7] = [0, 43, AH, 60, 135, 139, 140];

/// Bytes under way, and where the headers begin in them.
pub(super) struct Built {
    pub(super) bytes: Vec<u8>,
    pub(super) starts: Vec<usize>,
}

impl Built {
    pub(super) fn append(&mut self, other: Self) {
        let length = self.bytes.len();
        self.starts.push(length);
        self.starts
            .extend(other.starts.iter().map(|start| length + start));
        self.bytes.extend(other.bytes);
    }
}

/// What a packet is to look like.
struct Aim {
    ipv6: bool,
    protocol: u8,
    hop_limit: u8,
    source: u16,
    destination: u16,
    /// ICMP type.
    kind: u8,
}

/// A random IP packet, and whether it is IPv6.
pub(super) fn packet(policy: &Policy, random: &mut Random) -> (bool, Built) {
    let aim = match random.below(20) {
        0..=11 if !policy.rules.is_empty() => {
            let rule = &policy.rules[random.below(policy.rules.len())];
            at_rule(rule, random)
        }
        12..=15 => at_essential(random),
        _ => anywhere(random),
    };
    let segment = segment(&aim, random);
    let packet = if aim.ipv6 {
        ipv6(&aim, segment, random)
    } else {
        ipv4(&aim, segment, random)
    };
    (aim.ipv6, packet)
}

fn anywhere(random: &mut Random) -> Aim {
    let protocol = if random.one_in(12) {
        random.byte()
    } else {
        random.pick(&PROTOCOLS)
    };
    let any_kind = random.byte();
    Aim {
        ipv6: random.one_in(2),
        protocol,
        hop_limit: random.pick(&[0, 1, 2, 64, 64, 64, 254, 255]),
        source: port(random),
        destination: port(random),
        kind: random.pick(&[0, 3, 5, 8, 11, 128, 129, any_kind]),
    }
}

fn port(random: &mut Random) -> u16 {
    match random.below(3) {
        0 => random.pick(&[0, 1, 65534, 65535]),
        1 => random.pick(&[22, 53, 67, 68, 80, 546, 547]),
        _ => random.word(),
    }
}

/// On the edge of an entry of this rule, or just beside it.
fn at_rule(rule: &Rule, random: &mut Random) -> Aim {
    let mut aim = anywhere(random);
    if let Some(protocol) = any_of(&rule.protocols, random) {
        match protocol {
            Protocol::Name(name) => aim.protocol = name.number(),
            Protocol::Number(number) => aim.protocol = number,
            Protocol::Any => {}
        }
        match aim.protocol {
            // Each in its own family, mostly.
            ICMP => aim.ipv6 = random.one_in(8),
            ICMPV6 => aim.ipv6 = !random.one_in(8),
            _ => {}
        }
    }
    if let Some(entry) = any_of(&rule.ports, random) {
        if let Some(suffix) = entry.suffix {
            aim.protocol = suffix.protocol().number();
        } else if rule.protocols.is_empty() {
            aim.protocol = random.pick(&[TCP, UDP]);
        }
        if random.one_in(16) {
            aim.protocol = random.pick(&Transport::ALL).protocol().number();
        }
        let (low, high) = match entry.ports {
            Ports::Number(number) => (number, number),
            Ports::Range(low, high) => (low, high),
            Ports::Service(service) => (service.port(), service.port()),
            Ports::Any => (0, u16::MAX),
        };
        let width = usize::from(high - low) + 1;
        let within = low.saturating_add(u16::try_from(random.below(width)).unwrap_or(0));
        aim.destination = match random.below(8) {
            0 => low.saturating_sub(1),
            1 | 2 => low,
            3 | 4 => high,
            5 => high.saturating_add(1),
            _ => within,
        };
    }
    aim
}

fn any_of<T: Copy>(entries: &[T], random: &mut Random) -> Option<T> {
    (!entries.is_empty()).then(|| random.pick(entries))
}

/// Essential traffic, or nearly so.
fn at_essential(random: &mut Random) -> Aim {
    let mut aim = anywhere(random);
    match random.below(5) {
        0 => {
            aim.ipv6 = false;
            aim.protocol = ICMP;
            aim.kind = random.pick(&[2, 3, 4, 10, 11, 12, 13]);
        }
        1 => {
            aim.ipv6 = true;
            aim.protocol = ICMPV6;
            aim.kind = random.pick(&[
                0, 1, 2, 3, 4, 5, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 142, 143, 144,
            ]);
            aim.hop_limit = random.pick(&[255, 255, 255, 254, 1, 1, 1, 0, 2, 64]);
        }
        2 => {
            aim.ipv6 = random.one_in(8);
            aim.protocol = IGMP;
            aim.hop_limit = random.pick(&[1, 1, 1, 2, 0, 255]);
        }
        3 => {
            aim.ipv6 = random.one_in(8);
            aim.protocol = UDP;
            (aim.source, aim.destination) =
                random.pick(&[(67, 68), (67, 68), (67, 68), (68, 67), (67, 67), (66, 68)]);
        }
        _ => {
            aim.ipv6 = !random.one_in(8);
            aim.protocol = UDP;
            (aim.source, aim.destination) = random.pick(&[
                (547, 546),
                (547, 546),
                (547, 546),
                (546, 547),
                (547, 547),
                (548, 546),
            ]);
        }
    }
    if aim.protocol == UDP && random.one_in(20) {
        aim.protocol = random.pick(&[TCP, SCTP]);
    }
    aim
}

fn segment(aim: &Aim, random: &mut Random) -> Vec<u8> {
    let ports = |bytes: &mut Vec<u8>| {
        bytes[..2].copy_from_slice(&aim.source.to_be_bytes());
        bytes[2..4].copy_from_slice(&aim.destination.to_be_bytes());
    };
    let data = random.pick(&[0, 0, 1, 3, 18, 40]);
    let (mut bytes, least) = match aim.protocol {
        TCP => {
            let words = if random.one_in(4) {
                6 + random.below(10)
            } else {
                5
            };
            let mut bytes = random.bytes(words * 4 + data);
            ports(&mut bytes);
            // 15 mostly points past the packet's end, which is nobody's business.
            let offset = match random.below(24) {
                0 => random.below(5),
                1 => 15,
                _ => words,
            };
            bytes[12] = (u8::try_from(offset).unwrap_or(5) << 4) | (bytes[12] & 0x0f);
            (bytes, 20)
        }
        UDP => {
            let mut bytes = random.bytes(8 + data);
            ports(&mut bytes);
            let length = match random.below(24) {
                0 => random.below(8),
                1 => random.pick(&[8, 9, 65535]),
                _ => bytes.len(),
            };
            bytes[4..6].copy_from_slice(&u16::try_from(length).unwrap_or(8).to_be_bytes());
            (bytes, 8)
        }
        SCTP => {
            let mut bytes = random.bytes(12 + data);
            ports(&mut bytes);
            (bytes, 12)
        }
        ICMP | ICMPV6 => {
            let mut bytes = random.bytes(8 + data);
            bytes[0] = aim.kind;
            (bytes, 8)
        }
        _ => (random.bytes(data), 0),
    };
    if least != 0 && random.one_in(16) {
        bytes.truncate(random.below(least));
    }
    bytes
}

/// The fields of a fragment: offset in units of 8 bytes, more fragments.
fn fragment(random: &mut Random) -> Option<(u16, bool)> {
    match random.below(20) {
        0 => Some((0, true)),
        1..=2 => Some((random.pick(&[1, 1, 2, 3, 185, 0x1fff]), random.one_in(2))),
        // In IPv6 an atomic fragment, in IPv4 just a packet.
        3 => Some((0, false)),
        _ => None,
    }
}

/// An IP length: mostly the exact one.
fn length(exact: usize, header: usize, random: &mut Random) -> [u8; 2] {
    let length = match random.below(40) {
        0 => 0,
        // Less than the header has.
        1 => random.below(header + 1),
        2..=3 => random.below(exact + 1),
        4 => exact + 1 + random.below(64),
        5 => usize::from(u16::MAX),
        _ => exact,
    };
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn version(usual: u8, random: &mut Random) -> u8 {
    if random.one_in(80) {
        random.pick(&[0, 4, 5, 6, 15])
    } else {
        usual
    }
}

fn ipv4(aim: &Aim, segment: Vec<u8>, random: &mut Random) -> Built {
    let words = if random.one_in(5) {
        6 + random.below(10)
    } else {
        5
    };
    let written = match random.below(60) {
        0 => random.below(5),
        1 => 15,
        _ => words,
    };
    let header = words * 4;
    // Options, addresses and the rest are whatever they are.
    let mut bytes = random.bytes(header);
    bytes[0] = (version(4, random) << 4) | u8::try_from(written).unwrap_or(5);
    bytes[2..4].copy_from_slice(&length(header + segment.len(), header, random));
    let (offset, more) = fragment(random).unwrap_or((0, false));
    let mut flags = offset | if more { 0x2000 } else { 0 };
    if random.one_in(3) {
        // Don't fragment, and the reserved bit.
        flags |= random.pick(&[0x4000, 0x8000]);
    }
    bytes[6..8].copy_from_slice(&flags.to_be_bytes());
    bytes[8] = aim.hop_limit;
    bytes[9] = aim.protocol;
    bytes.extend(segment);
    Built {
        bytes,
        starts: vec![header],
    }
}

fn ipv6(aim: &Aim, segment: Vec<u8>, random: &mut Random) -> Built {
    let kinds = extensions(random);
    // Long headers push what follows them out of the first buffer of the frame.
    let long = random.one_in(25);
    let mut payload = Built {
        bytes: Vec::new(),
        starts: Vec::new(),
    };
    let followers = kinds
        .iter()
        .skip(1)
        .map(|&(kind, _)| kind)
        .chain([aim.protocol]);
    for (&(kind, fragment), next) in kinds.iter().zip(followers) {
        payload.append(extension(kind, next, fragment, long, random));
    }
    payload.starts.push(payload.bytes.len());
    payload.bytes.extend(segment);

    let mut bytes = random.bytes(40);
    bytes[0] = (version(6, random) << 4) | (bytes[0] & 0x0f);
    bytes[4..6].copy_from_slice(&length(payload.bytes.len(), 40, random));
    bytes[6] = kinds.first().map_or(aim.protocol, |&(kind, _)| kind);
    bytes[7] = aim.hop_limit;
    let mut packet = Built {
        bytes,
        starts: Vec::new(),
    };
    packet.append(payload);
    packet
}

/// A chain of extension headers; a fragment header among them comes with its fields.
fn extensions(random: &mut Random) -> Vec<(u8, (u16, bool))> {
    let count = match random.below(20) {
        0..=11 => 0,
        12..=14 => 1,
        15..=16 => 2 + random.below(5),
        17 => 7,
        18 => 8,
        _ => 9 + random.below(2),
    };
    let mut kinds = Vec::new();
    for _ in 0..count {
        if random.one_in(16) {
            kinds.push((FRAGMENT, (0, random.one_in(4))));
        } else {
            kinds.push((random.pick(&EXTENSIONS), (0, false)));
        }
    }
    if let Some(fields) = fragment(random) {
        let at = random.below(kinds.len() + 1);
        kinds.insert(at, (FRAGMENT, fields));
    }
    kinds
}

fn extension(
    kind: u8,
    next: u8,
    (offset, more): (u16, bool),
    long: bool,
    random: &mut Random,
) -> Built {
    let units = if long {
        random.pick(&[100, 255])
    } else {
        random.pick(&[0, 0, 0, 1, 2])
    };
    let length = match kind {
        FRAGMENT => 8,
        AH => (units + 2) * 4,
        _ => (units + 1) * 8,
    };
    let mut bytes = random.bytes(length);
    bytes[0] = next;
    if kind == FRAGMENT {
        let field = (offset << 3) | (u16::from(random.byte() & 3) << 1) | u16::from(more);
        bytes[2..4].copy_from_slice(&field.to_be_bytes());
    } else {
        bytes[1] = u8::try_from(units).unwrap_or(u8::MAX);
        if random.one_in(60) {
            let any = random.byte();
            bytes[1] = random.pick(&[0, 1, bytes[1].wrapping_add(1), 255, any]);
        }
    }
    Built {
        bytes,
        starts: Vec::new(),
    }
}
