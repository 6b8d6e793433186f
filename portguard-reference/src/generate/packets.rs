//! IP packets.

mod aim;

use std::net::IpAddr;

use crate::frame::{ICMP, ICMPV6, SCTP, TCP, UDP};
use crate::random::Random;
pub(super) use aim::{Aim, aim, at_rule};

const IGMP: u8 = 2;
const FRAGMENT: u8 = 44;
const AH: u8 = 51;

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

/// A random IP packet that looks like this.
pub(super) fn packet(aim: &Aim, random: &mut Random) -> Built {
    let segment = segment(aim, random);
    if aim.ipv6 {
        ipv6(aim, segment, random)
    } else {
        ipv4(aim, segment, random)
    }
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
            if let Some(code) = aim.code {
                bytes[1] = code;
            }
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
    for (address, at) in [(aim.from, 12), (aim.to, 16)] {
        if let Some(IpAddr::V4(address)) = address {
            bytes[at..at + 4].copy_from_slice(&address.octets());
        }
    }
    bytes.extend(segment);
    Built {
        bytes,
        starts: vec![header],
    }
}

fn ipv6(aim: &Aim, segment: Vec<u8>, random: &mut Random) -> Built {
    let kinds = extensions(random);
    // Long headers push what follows them out of the first buffer of the frame.
    let long = random.one_in(12);
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
    for (address, at) in [(aim.from, 8), (aim.to, 24)] {
        if let Some(IpAddr::V6(address)) = address {
            bytes[at..at + 16].copy_from_slice(&address.octets());
        }
    }
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
