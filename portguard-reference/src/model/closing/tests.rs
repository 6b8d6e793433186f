//! The search against trying everything: each end of each range, and what lies beside it.

use std::collections::BTreeSet;

use super::closing;
use crate::frame::{Fragment, Layout, Packet, Segment, UDP};
use crate::generate::{INTERFACES, Kind, policy_of};
use crate::model::is_refused;
use crate::policy::{AddressEntry, Policy, PortEntry, Ports, Rule, Trusted, Vlan, address_of};
use crate::random::Random;

const PAIRS: usize = 400;
const MAX_RULES: usize = 2;

#[test]
fn a_port_closes_if_and_only_if_something_is_lost() {
    let mut random = Random::new(11);
    let (mut closed, mut open) = (0, 0);
    for _ in 0..PAIRS {
        let old = small_policy(&mut random);
        let new = small_policy(&mut random);
        let found = closing(&old, &new, &INTERFACES);
        let ports: Vec<u16> = ports(&old, &new, |rule| &rule.ports);
        for _ in 0..4 {
            let port = random.pick(&ports);
            let is_closed = found.iter().any(|&(low, high)| low <= port && port <= high);
            let is_lost = [false, true]
                .iter()
                .any(|&is_ipv6| loses(&old, &new, port, is_ipv6));
            assert_eq!(is_closed, is_lost, "port {port}: {old:#?}\n{new:#?}");
            *if is_closed { &mut closed } else { &mut open } += 1;
        }
    }
    assert!(closed > 20 && open > 20, "{closed} closed, {open} open");
}

/// Few conditions, since all are tried with all.
fn small_policy(random: &mut Random) -> Policy {
    let (mut policy, _) = policy_of(Kind::Full, random);
    policy
        .rules
        .retain(|rule| rule.types.is_empty() && rule.from.len() < 3 && rule.to.len() < 3);
    policy.rules.truncate(MAX_RULES);
    policy.trusted.truncate(1);
    for set in &mut policy.sets {
        set.prefixes.truncate(1);
    }
    policy
}

fn loses(old: &Policy, new: &Policy, port: u16, is_ipv6: bool) -> bool {
    let sources = addresses(old, new, |rule| &rule.from, is_ipv6);
    let destinations = addresses(old, new, |rule| &rule.to, is_ipv6);
    let source_ports = ports(old, new, |rule| &rule.source_ports);
    let rules = || old.rules.iter().chain(&new.rules);
    let mut vlans = BTreeSet::from([None, Some(4095)]);
    vlans.extend(rules().flat_map(|rule| &rule.vlans).map(|vlan| match vlan {
        Vlan::None => None,
        Vlan::Id(id) => Some(*id),
    }));
    let mut packet = Packet {
        vlan: None,
        source: address_of(is_ipv6, 0),
        destination: address_of(is_ipv6, 0),
        hop_limit: 64,
        fragment: Fragment::Whole,
        protocol: UDP,
        segment: Segment::Other,
        payload: Vec::new(),
        layout: Layout::default(),
    };
    for interface in INTERFACES {
        for &vlan in &vlans {
            packet.vlan = vlan;
            for &source in &sources {
                packet.source = address_of(is_ipv6, source);
                for &destination in &destinations {
                    packet.destination = address_of(is_ipv6, destination);
                    for &source_port in &source_ports {
                        packet.segment = Segment::Ports {
                            source: source_port,
                            destination: port,
                        };
                        if !is_refused(old, &packet, interface)
                            && is_refused(new, &packet, interface)
                        {
                            return true;
                        }
                    }
                }
            }
        }
    }
    false
}

fn ports(old: &Policy, new: &Policy, field: impl Fn(&Rule) -> &Vec<PortEntry>) -> Vec<u16> {
    let mut ports = BTreeSet::from([0, 67, 547, 68, 546, 65535]);
    for entry in old.rules.iter().chain(&new.rules).flat_map(field) {
        let (low, high) = match entry.ports {
            Ports::Number(number) => (number, number),
            Ports::Range(low, high) => (low, high),
            Ports::Service(service) => (service.port(), service.port()),
            Ports::Any => continue,
        };
        ports.extend([low - 1, low, high, high.saturating_add(1)]);
    }
    ports.into_iter().collect()
}

fn addresses(
    old: &Policy,
    new: &Policy,
    field: impl Fn(&Rule) -> &Vec<AddressEntry>,
    is_ipv6: bool,
) -> BTreeSet<u128> {
    let mut prefixes = Vec::new();
    for policy in [old, new] {
        let trusted = policy.trusted.iter();
        prefixes.extend(trusted.flat_map(|Trusted { from, .. }| from.iter().copied()));
        for entry in policy.rules.iter().flat_map(&field) {
            match entry {
                AddressEntry::Prefix(prefix) => prefixes.push(*prefix),
                AddressEntry::Set(name) => {
                    let sets = policy.sets.iter().filter(|set| set.name == *name);
                    prefixes.extend(sets.flat_map(|set| set.prefixes.iter().copied()));
                }
            }
        }
    }
    let mut numbers = BTreeSet::from([0]);
    for prefix in prefixes {
        if prefix.is_ipv6() == is_ipv6 {
            let (first, last) = (prefix.first(), prefix.last());
            let beside = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
            numbers.extend(beside);
        }
    }
    numbers
}
