//! What a packet is to look like, so that it meets the policy where that decides.

use std::net::IpAddr;

use super::{AH, FRAGMENT, IGMP};
use crate::frame::{ICMP, ICMPV6, SCTP, TCP, UDP};
use crate::generate::addresses::{address, at_entries, near};
use crate::policy::{
    Policy, PortEntry, Ports, Protocol, Rule, Service, Transport, TypeEntry, Vlan,
};
use crate::random::Random;

/// Protocols of packets aimed at nothing: with ports, ESP, AH, no next header, tunnels, each other's ICMP, extension
/// headers (which IPv4 does not have), and neighbours of all of these.
const PROTOCOLS: [u8; 30] = [
    TCP, TCP, TCP, UDP, UDP, UDP, SCTP, SCTP, ICMP, ICMPV6, IGMP, 50, AH, 59, 4, 41, 47, 33, 136,
    88, 89, 0, 43, FRAGMENT, 60, 135, 139, 140, 131, 255,
];

/// What a packet is to look like.
pub(in crate::generate) struct Aim {
    pub(in crate::generate) ipv6: bool,
    pub(in crate::generate) protocol: u8,
    pub(in crate::generate) hop_limit: u8,
    pub(in crate::generate) source: u16,
    pub(in crate::generate) destination: u16,
    /// ICMP type.
    pub(in crate::generate) kind: u8,
    /// ICMP code; any, if none is wanted.
    pub(in crate::generate) code: Option<u8>,
    /// Source address; any, if none is wanted.
    pub(in crate::generate) from: Option<IpAddr>,
    /// Destination address.
    pub(in crate::generate) to: Option<IpAddr>,
    pub(in crate::generate) vlan: Option<Vlan>,
    /// Names and globs; any, if none are wanted.
    pub(in crate::generate) interfaces: Vec<String>,
}

/// At a rule, at what is essential or at a trusted source, or at nothing.
pub(in crate::generate) fn aim(policy: &Policy, random: &mut Random) -> Aim {
    let mut aim = match random.below(20) {
        0..=11 if !policy.rules.is_empty() => {
            let rule = &policy.rules[random.below(policy.rules.len())];
            return at_rule(policy, rule, random);
        }
        12..=15 => at_essential(random),
        _ => anywhere(random),
    };
    if !policy.trusted.is_empty() && random.one_in(3) {
        let entry = &policy.trusted[random.below(policy.trusted.len())];
        let source = near(random.pick(&entry.from), random);
        if aim.ipv6 == source.is_ipv6() {
            aim.from = Some(source);
            aim.interfaces.clone_from(&entry.interfaces);
        }
    }
    places(&mut aim, random);
    aim
}

/// Addresses that are still any, mostly those of hosts.
fn places(aim: &mut Aim, random: &mut Random) {
    for place in [&mut aim.from, &mut aim.to] {
        if place.is_none() && !random.one_in(4) {
            *place = Some(address(aim.ipv6, random));
        }
    }
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
        code: None,
        from: None,
        to: None,
        vlan: None,
        interfaces: Vec::new(),
    }
}

fn port(random: &mut Random) -> u16 {
    match random.below(3) {
        0 => random.pick(&[0, 1, 65534, 65535]),
        1 => random.pick(&[22, 53, 67, 68, 80, 546, 547]),
        _ => random.word(),
    }
}

/// On the edge of an entry of each field of this rule, or just beside it.
pub(in crate::generate) fn at_rule(policy: &Policy, rule: &Rule, random: &mut Random) -> Aim {
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
    let entries = [
        any_of(&rule.source_ports, random),
        any_of(&rule.ports, random),
    ];
    // The destination port's suffix comes last and wins.
    for entry in entries.into_iter().flatten() {
        transport(&mut aim, rule, entry, random);
    }
    if let Some(entry) = entries[0] {
        aim.source = at_port(entry, random);
    }
    if let Some(entry) = entries[1] {
        aim.destination = at_port(entry, random);
    }
    if let Some(entry) = any_of(&rule.types, random) {
        at_type(&mut aim, entry, random);
    }
    at_essential_by_rule(&mut aim, random);
    at_addresses(&mut aim, policy, rule, random);
    aim.interfaces.clone_from(&rule.interfaces);
    aim.vlan = any_of(&rule.vlans, random);
    if aim.vlan.is_none() && random.one_in(3) {
        aim.vlan = any_vlan(policy, random);
    }
    places(&mut aim, random);
    aim
}

fn transport(aim: &mut Aim, rule: &Rule, entry: PortEntry, random: &mut Random) {
    if let Some(suffix) = entry.suffix {
        aim.protocol = suffix.protocol().number();
    } else if rule.protocols.is_empty() {
        let transports: &[Transport] = match entry.ports {
            Ports::Service(service) => Service::transports(service),
            Ports::Number(_) | Ports::Range(..) | Ports::Any => &[Transport::Tcp, Transport::Udp],
        };
        let fits = |transport: &&Transport| transport.protocol().number() == aim.protocol;
        if !transports.iter().any(|transport| fits(&transport)) {
            aim.protocol = random.pick(transports).protocol().number();
        }
    }
    if random.one_in(16) {
        aim.protocol = random.pick(&Transport::ALL).protocol().number();
    }
}

fn at_port(entry: PortEntry, random: &mut Random) -> u16 {
    let (low, high) = match entry.ports {
        Ports::Number(number) => (number, number),
        Ports::Range(low, high) => (low, high),
        Ports::Service(service) => (service.port(), service.port()),
        Ports::Any => (0, u16::MAX),
    };
    let width = usize::from(high - low) + 1;
    let within = low.saturating_add(u16::try_from(random.below(width)).unwrap_or(0));
    match random.below(10) {
        0 => low.saturating_sub(1),
        1 | 2 => low,
        3 | 4 => high,
        5 => high.saturating_add(1),
        _ => within,
    }
}

fn at_type(aim: &mut Aim, entry: TypeEntry, random: &mut Random) {
    let number = entry.number(aim.ipv6).unwrap_or(aim.kind);
    aim.kind = match random.below(10) {
        0 => number.wrapping_sub(1),
        1 => number.wrapping_add(1),
        _ => number,
    };
    aim.code = entry.code.map(|code| match random.below(8) {
        0 => code.wrapping_add(1),
        _ => code,
    });
    // Then it is essential, mostly.
    if aim.ipv6 {
        aim.hop_limit = match aim.kind {
            133..=137 => random.pick(&[255, 255, 64]),
            130..=132 | 143 => random.pick(&[1, 1, 64]),
            _ => aim.hop_limit,
        };
    }
}

/// What would be essential but for a little mostly is.
fn at_essential_by_rule(aim: &mut Aim, random: &mut Random) {
    if random.one_in(3) {
        return;
    }
    match (aim.protocol, aim.destination) {
        (UDP, 68) => (aim.ipv6, aim.source) = (false, 67),
        (UDP, 546) => (aim.ipv6, aim.source) = (true, 547),
        (IGMP, _) => (aim.ipv6, aim.hop_limit) = (false, 1),
        _ => {}
    }
}

fn at_addresses(aim: &mut Aim, policy: &Policy, rule: &Rule, random: &mut Random) {
    // Where a protocol has chosen the family, that stays.
    let is_fixed = matches!(aim.protocol, ICMP | ICMPV6) && !rule.protocols.is_empty();
    let mut family = is_fixed.then_some(aim.ipv6);
    if let Some(source) = at_entries(policy, &rule.from, family, random) {
        aim.from = Some(source);
        family = Some(source.is_ipv6());
    }
    if let Some(destination) = at_entries(policy, &rule.to, family, random) {
        aim.to = Some(destination);
        family = Some(destination.is_ipv6());
    }
    if let Some(is_ipv6) = family {
        aim.ipv6 = is_ipv6;
    }
}

/// One that any rule names.
fn any_vlan(policy: &Policy, random: &mut Random) -> Option<Vlan> {
    let vlans: Vec<Vlan> = policy
        .rules
        .iter()
        .flat_map(|rule| rule.vlans.iter().copied())
        .collect();
    any_of(&vlans, random)
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
