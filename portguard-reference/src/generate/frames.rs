//! Frames: what lies before the IP header, and damage to the whole.

use super::INTERFACES;
use super::packets::{self, Aim, Built};
use crate::policy::{Policy, Vlan, names_interface};
use crate::random::Random;

/// The kernel's test run takes no frame below this.
const MIN_FRAME: usize = 14;

/// EtherTypes that are not IP, those that `non_ip: drop` spares more often than others.
const NON_IP: [u16; 13] = [
    0x0806, 0x0806, 0x888e, 0x888e, 0x8863, 0x8863, 0x8035, 0x8847, 0x8848, 0x88cc, 0x88e5, 0x0801,
    0x86dc,
];

/// PPP protocols: nothing, below and beyond the first control protocol, IPCP, IPV6CP, LCP, PAP, CHAP, MPLS.
const PPP: [u16; 12] = [
    0x0001, 0x0023, 0x0055, 0x0281, 0x7ffe, 0x7fff, 0x8000, 0x8021, 0x8057, 0xc021, 0xc023, 0xc223,
];

/// A frame that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Name of one of the guarded interfaces.
    pub interface: String,
    /// Of at least 14 bytes.
    pub frame: Vec<u8>,
}

/// A random frame of at least 14 bytes, often aimed at a rule of the policy.
#[must_use]
pub fn frame(policy: &Policy, random: &mut Random) -> Vec<u8> {
    arrival(policy, random).frame
}

/// A random frame and the interface at which it arrives, often aimed at a rule of the policy.
#[must_use]
pub fn arrival(policy: &Policy, random: &mut Random) -> Arrival {
    let aim = packets::aim(policy, random);
    let mut frame = Built {
        bytes: random.bytes(12),
        starts: Vec::new(),
    };
    // Hosts talk to one, mostly, and no group talks.
    for (at, often) in [(0, 8), (6, 16)] {
        if !random.one_in(often) {
            frame.bytes[at] &= 0xfe;
        }
    }
    match aim.vlan {
        Some(vlan) => aimed_tags(&mut frame, vlan, random),
        None => vlan_tags(&mut frame, random),
    }
    match random.below(100) {
        0..=6 => non_ip(&mut frame, random),
        7..=13 => pppoe(&mut frame, &aim, random),
        _ => {
            let packet = packets::packet(&aim, random);
            let ether_type: u16 = if aim.ipv6 { 0x86dd } else { 0x0800 };
            frame.bytes.extend(ether_type.to_be_bytes());
            frame.append(packet);
        }
    }
    Arrival {
        interface: interface(policy, &aim.interfaces, random),
        frame: damage(frame, random),
    }
}

/// One of the guarded interfaces, mostly one of these names and globs.
pub(super) fn interface(policy: &Policy, wanted: &[String], random: &mut Random) -> String {
    let guarded = INTERFACES
        .into_iter()
        .filter(|name| names_interface(&policy.interfaces, name));
    let (mut names, others): (Vec<&str>, Vec<&str>) =
        guarded.partition(|name| names_interface(wanted, name));
    if names.is_empty() || random.one_in(5) {
        names.extend(others);
    }
    random.pick(&names).to_owned()
}

fn vlan_tags(frame: &mut Built, random: &mut Random) {
    let tags = match random.below(20) {
        0..=11 => 0,
        12..=14 => 1,
        15 => 2,
        16 => 3,
        17 => 4,
        18 => 5 + random.below(2),
        _ => random.below(5),
    };
    for _ in 0..tags {
        let id = match random.below(4) {
            0 => 0,
            1 => random.pick(&[1, 10, 4094, 4095]),
            _ => random.word() & 0x0fff,
        };
        vlan_tag(frame, id, random);
    }
}

/// Tags that mean this, or nearly so.
fn aimed_tags(frame: &mut Built, vlan: Vlan, random: &mut Random) {
    if random.one_in(6) {
        vlan_tag(frame, 0, random);
    }
    let Vlan::Id(id) = vlan else {
        if random.one_in(12) {
            vlan_tag(frame, 1, random);
        }
        return;
    };
    let id = match random.below(12) {
        0 => id - 1,
        1 => id + 1,
        _ => id,
    };
    vlan_tag(frame, id, random);
    if random.one_in(6) {
        let id = random.word() & 0x0fff;
        vlan_tag(frame, id, random);
    }
}

fn vlan_tag(frame: &mut Built, id: u16, random: &mut Random) {
    let tag_type = random.pick(&[0x8100_u16, 0x8100, 0x88a8, 0x9100]);
    let priority = u16::from(random.byte() >> 4) << 12;
    frame.bytes.extend(tag_type.to_be_bytes());
    frame.starts.push(frame.bytes.len());
    frame.bytes.extend((priority | id).to_be_bytes());
}

fn non_ip(frame: &mut Built, random: &mut Random) {
    let kind = random.below(10);
    let ether_type = match kind {
        // A length of 802.3 instead of an EtherType.
        0 => random.pick(&[0, 38, 1500, 1535]),
        1 => random.word(),
        2..=4 => 0x8809,
        _ => random.pick(&NON_IP),
    };
    frame.bytes.extend(ether_type.to_be_bytes());
    frame.starts.push(frame.bytes.len());
    if ether_type == 0x8809 {
        // LACP, marker, OAM, ESMC.
        let subtype = random.pick(&[1, 1, 1, 0, 2, 3, 10]);
        frame.bytes.push(subtype);
    }
    let length = random.pick(&[0, 1, 28, 46, 110]);
    frame.bytes.extend(random.bytes(length));
}

fn pppoe(frame: &mut Built, aim: &Aim, random: &mut Random) {
    frame.bytes.extend(0x8864_u16.to_be_bytes());
    frame.starts.push(frame.bytes.len());
    let (protocol, packet) = if random.one_in(4) {
        let length = random.pick(&[0, 4, 20, 40]);
        let bytes = random.bytes(length);
        let starts = Vec::new();
        let protocol = if random.one_in(4) {
            random.word()
        } else {
            random.pick(&PPP)
        };
        (protocol, Built { bytes, starts })
    } else {
        let packet = packets::packet(aim, random);
        (if aim.ipv6 { 0x0057 } else { 0x0021 }, packet)
    };
    let [high, low] = protocol.to_be_bytes();
    let field = if high == 0 && low & 1 == 1 && random.one_in(2) {
        vec![low]
    } else {
        vec![high, low]
    };
    let exact = field.len() + packet.bytes.len();
    let length = if random.one_in(8) {
        random.word()
    } else {
        u16::try_from(exact).unwrap_or(u16::MAX)
    };
    frame.bytes.extend([0x11, 0]);
    frame.bytes.extend(random.bytes(2));
    frame.bytes.extend(length.to_be_bytes());
    frame.bytes.extend(field);
    if random.one_in(16) {
        // Within the PPPoE header, its protocol field included.
        let at = frame.bytes.len() - random.below(8).min(frame.bytes.len() - MIN_FRAME);
        frame.bytes.truncate(at);
        return;
    }
    frame.append(packet);
}

fn damage(frame: Built, random: &mut Random) -> Vec<u8> {
    let Built { mut bytes, starts } = frame;
    if random.one_in(30) {
        // An EtherType, a tag, a header's field: anything behind the addresses.
        let at = 12 + random.below((bytes.len() - 12).min(70));
        bytes[at] = if random.one_in(2) {
            random.byte()
        } else {
            bytes[at] ^ (1 << random.below(8))
        };
    }
    match random.below(20) {
        // Within a header, where it matters, or anywhere.
        0 if !starts.is_empty() => {
            let at = random.pick(&starts) + random.below(24);
            bytes.truncate(at.max(MIN_FRAME));
        }
        1 => bytes.truncate(MIN_FRAME + random.below(bytes.len() - MIN_FRAME + 1)),
        // Padding to the least length of Ethernet, or whatever a driver leaves behind. It reads like headers.
        2..=4 if bytes.len() < 60 => bytes.extend(random.bytes(60 - bytes.len())),
        5 => {
            let length = 1 + random.below(40);
            bytes.extend(random.bytes(length));
        }
        _ => {}
    }
    bytes
}
