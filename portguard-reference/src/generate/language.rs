//! Policies of the whole language.

use super::addresses::prefix;
use super::fields::{dhcp, entries, protocols, range, transports};
use super::name;
use crate::policy::{
    Action, AddressEntry, Essential, Fragments, Limit, Per, Period, Policy, PortEntry, Ports,
    Protocol, ProtocolName, Rate, Replies, Rule, Service, Set, SetPlace, Transport, Trusted,
    TypeEntry, TypeKind, TypeName, Verdict, Vlan,
};
use crate::random::Random;

const MAX_RULES: usize = 20;

/// Below this index a rule that matches nearly everything would leave nothing to the rules behind it.
const FIRST_BROAD_RULE: usize = 8;

/// Ways to guard all interfaces of the host.
const GUARDS: [&[&str]; 4] = [
    &["eth0", "wan*", "mgmt0"],
    &["eth0", "wan0", "wan1", "mgmt0"],
    &["eth?", "wan[01]", "mgmt0"],
    &["[em]*", "wan[0-9]"],
];

/// Names and globs for rules and trust: of one interface, of several, of all, and exact matches that look like globs'.
const PATTERNS: [&str; 9] = [
    "eth0", "wan0", "wan1", "mgmt0", "wan*", "wan?", "wan[1-9]", "*0", "[ew]*",
];

/// They divide a second or a minute without rest.
const RATES: [(u32, Period); 10] = [
    (1, Period::Second),
    (1, Period::Second),
    (2, Period::Second),
    (5, Period::Second),
    (1000, Period::Second),
    (1, Period::Minute),
    (2, Period::Minute),
    (6, Period::Minute),
    (60, Period::Minute),
    (120, Period::Minute),
];

/// Types at the edges, of echo, of errors and of what is essential, and their neighbours.
const TYPES: [u8; 22] = [
    0, 1, 2, 3, 4, 5, 8, 11, 12, 127, 128, 129, 130, 132, 133, 135, 136, 137, 138, 143, 144, 255,
];

pub(super) fn policy(random: &mut Random) -> Policy {
    let sets = sets(random);
    let services: Vec<Service> = Service::OWN
        .into_iter()
        .filter(|_| random.one_in(3))
        .collect();
    let count = if random.one_in(8) {
        random.below(4)
    } else {
        random.below(MAX_RULES + 1)
    };
    let mut policy = Policy {
        interfaces: owned(random.pick(&GUARDS)),
        default: random.pick(&[Verdict::Pass, Verdict::Drop]),
        replies: random.pick(&[Replies::Pass, Replies::Pass, Replies::Pass, Replies::Rules]),
        essential: random.pick(&[Essential::Pass, Essential::Pass, Essential::Rules]),
        non_ip: random.pick(&[Verdict::Pass, Verdict::Drop]),
        malformed: random.pick(&[Verdict::Pass, Verdict::Drop]),
        fragments: match random.below(3) {
            0 => Fragments::Pass,
            1 => Fragments::Drop,
            _ => Fragments::Rate(rate(random)),
        },
        enforce: !random.one_in(6),
        trusted: trusted(random),
        services,
        sets,
        rules: Vec::new(),
    };
    for index in 0..count {
        let rule = rule(&policy, index, random);
        policy.rules.push(rule);
    }
    policy
}

/// A policy that another one could become by an edit, over the same interfaces.
pub(super) fn edited(policy: &Policy, random: &mut Random) -> Policy {
    let mut next = policy.clone();
    if policy.rules.is_empty() || random.one_in(6) {
        next.default = match policy.default {
            Verdict::Pass => Verdict::Drop,
            Verdict::Drop => Verdict::Pass,
        };
    }
    if policy.rules.is_empty() {
        return next;
    }
    let index = random.below(policy.rules.len());
    match random.below(6) {
        0 => {
            next.rules.remove(index);
        }
        1 => {
            let other = random.below(policy.rules.len());
            next.rules.swap(index, other);
        }
        2 => next.trusted = trusted(random),
        _ => {
            // What a user does who blocks a port, or takes that back.
            for rule in &mut next.rules[index..] {
                rule.enforce |= random.one_in(2);
                rule.action = match rule.action {
                    Action::Pass | Action::Limit(_) => Action::Drop,
                    Action::Drop | Action::Reject => action(random),
                };
            }
        }
    }
    next
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn patterns(random: &mut Random) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for _ in 0..=random.below(3) / 2 {
        let name = random.pick(&PATTERNS);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    owned(&names)
}

fn prefixes(most: usize, is_broad: bool, random: &mut Random) -> Vec<crate::policy::Prefix> {
    let mut prefixes = Vec::new();
    for _ in 0..=random.below(most) {
        let prefix = prefix(is_broad, random);
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    prefixes
}

fn sets(random: &mut Random) -> Vec<Set> {
    let mut sets = Vec::new();
    for name in ["admins", "abusers", "s-1"] {
        let place = random.pick(&[SetPlace::Inline, SetPlace::File]);
        let prefixes = match place {
            SetPlace::File if random.one_in(8) => Vec::new(),
            SetPlace::File | SetPlace::Inline => prefixes(5, false, random),
        };
        sets.push(Set {
            name: name.to_owned(),
            prefixes,
            place,
        });
    }
    sets.truncate(random.below(4));
    sets
}

fn trusted(random: &mut Random) -> Vec<Trusted> {
    let count = random.pick(&[0, 0, 1, 1, 2]);
    let entry = |_| Trusted {
        from: prefixes(2, false, random),
        interfaces: if random.one_in(2) {
            patterns(random)
        } else {
            Vec::new()
        },
    };
    (0..count).map(entry).collect()
}

fn addresses(policy: &Policy, is_broad: bool, random: &mut Random) -> Vec<AddressEntry> {
    let mut entries = Vec::new();
    for _ in 0..=random.below(3) {
        let entry = if policy.sets.is_empty() || !random.one_in(3) {
            AddressEntry::Prefix(prefix(is_broad, random))
        } else {
            let index = random.below(policy.sets.len());
            AddressEntry::Set(policy.sets[index].name.clone())
        };
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries
}

fn rate(random: &mut Random) -> Rate {
    let (packets, per) = random.pick(&RATES);
    Rate { packets, per }
}

fn action(random: &mut Random) -> Action {
    match random.below(18) {
        0..=3 => Action::Pass,
        4..=8 => Action::Drop,
        9..=12 => Action::Reject,
        _ => {
            let limit = Limit {
                rate: rate(random),
                burst: random.pick(&[None, Some(1), Some(2), Some(3), Some(10)]),
                per: random.pick(&[Per::Source, Per::Rule]),
            };
            Action::Limit(limit)
        }
    }
}

fn rule(policy: &Policy, index: usize, random: &mut Random) -> Rule {
    let is_broad = index >= FIRST_BROAD_RULE;
    let mut rule = Rule::new(&name(index, random), action(random));
    let services = services(policy);
    match random.below(20) {
        0..=4 => rule.ports = entries(&[], &services, is_broad, random),
        5 => rule.source_ports = entries(&[], &services, is_broad, random),
        6..=7 => {
            let transports = transports(random);
            rule.ports = entries(&transports, &services, is_broad, random);
            rule.protocols = transports.into_iter().map(protocol).collect();
        }
        8..=10 => both_ports(&mut rule, &services, is_broad, random),
        11 if random.one_in(2) => rule.ports = dhcp(random),
        11 => rule.protocols = vec![Protocol::Name(ProtocolName::Igmp)],
        12..=14 => types(&mut rule, random),
        15 => rule.protocols = protocols(random),
        16 if is_broad => rule.protocols = vec![Protocol::Any],
        _ => {}
    }
    let is_bare =
        rule.protocols.is_empty() && rule.ports.is_empty() && rule.source_ports.is_empty();
    let often = if is_bare { 2 } else { 4 };
    if random.one_in(often) {
        rule.from = addresses(policy, is_broad, random);
    }
    if random.one_in(often + 1) {
        rule.to = addresses(policy, is_broad, random);
    }
    if random.one_in(6) {
        rule.interfaces = patterns(random);
    }
    if random.one_in(6) {
        rule.vlans = vlans(random);
    }
    let has_other = !(rule.from.is_empty()
        && rule.to.is_empty()
        && rule.interfaces.is_empty()
        && rule.vlans.is_empty());
    if is_bare && !has_other {
        rule.from = addresses(policy, is_broad, random);
    }
    rule.enforce = !random.one_in(6);
    rule
}

/// Names of ports that a rule of this policy can use.
fn services(policy: &Policy) -> Vec<Service> {
    let mut services = policy.services.clone();
    let own: Vec<&str> = services.iter().map(|service| service.name()).collect();
    let catalogue: Vec<Service> = Service::CATALOGUE
        .into_iter()
        .filter(|service| !own.contains(&service.name()))
        .collect();
    services.extend(catalogue);
    services
}

fn protocol(transport: Transport) -> Protocol {
    Protocol::Name(transport.protocol())
}

/// Source and destination port of one protocol: suffixes of two would contradict each other.
fn both_ports(rule: &mut Rule, services: &[Service], is_broad: bool, random: &mut Random) {
    let transport = random.pick(&Transport::ALL);
    if transport == Transport::Sctp || random.one_in(2) {
        rule.protocols = vec![protocol(transport)];
        rule.ports = entries(&[transport], services, is_broad, random);
        rule.source_ports = entries(&[transport], services, is_broad, random);
        return;
    }
    let suffixed = entries(&[transport], services, is_broad, random);
    let plain = plain(is_broad, random);
    if random.one_in(2) {
        (rule.ports, rule.source_ports) = (suffixed, plain);
    } else {
        (rule.ports, rule.source_ports) = (plain, suffixed);
    }
}

/// Entries of both TCP and UDP.
fn plain(is_broad: bool, random: &mut Random) -> Vec<PortEntry> {
    let mut entries = Vec::new();
    for _ in 0..=random.below(3) {
        let ports = match random.below(4) {
            0 => Ports::Any,
            1 => Ports::Range(1, 65535),
            2 => Ports::Number(random.word().max(1)),
            _ => range(is_broad, random),
        };
        entries.push(PortEntry {
            ports,
            suffix: None,
        });
    }
    entries
}

fn types(rule: &mut Rule, random: &mut Random) {
    let named = |kind: TypeName, code| TypeEntry {
        kind: TypeKind::Name(kind),
        code,
    };
    let families = random.pick(&[(true, false), (false, true), (true, true)]);
    let icmp = Protocol::Name(ProtocolName::Icmp);
    let icmpv6 = Protocol::Name(ProtocolName::Icmpv6);
    rule.protocols = match families {
        (true, false) => vec![icmp],
        (false, true) => vec![icmpv6],
        _ => vec![icmpv6, icmp],
    };
    for _ in 0..=random.below(4) {
        let name = random.pick(TypeName::ALL);
        let has_name =
            (!families.0 || name.icmp().is_some()) && (!families.1 || name.icmpv6().is_some());
        let code = random.one_in(3).then(|| random.pick(&[0, 1, 4, 255]));
        let entry = match families {
            // Of both only names, which both have.
            (true, true) if !has_name => named(TypeName::EchoReply, None),
            (true, true) => named(name, None),
            _ if has_name && random.one_in(2) => named(name, code),
            _ => TypeEntry {
                kind: TypeKind::Number(random.pick(&TYPES)),
                code,
            },
        };
        if !rule.types.contains(&entry) {
            rule.types.push(entry);
        }
    }
}

fn vlans(random: &mut Random) -> Vec<Vlan> {
    let mut vlans = Vec::new();
    for _ in 0..=random.below(3) {
        let any = 1 + random.word() % 4094;
        let vlan = random.pick(&[
            Vlan::None,
            Vlan::Id(1),
            Vlan::Id(10),
            Vlan::Id(4094),
            Vlan::Id(any),
        ]);
        if !vlans.contains(&vlan) {
            vlans.push(vlan);
        }
    }
    vlans
}
