//! UDP ports that close: those for which any datagram passed one policy and is dropped by the next.
//!
//! Every condition of a policy holds over whole ranges, so it is enough to try one value of each. Field after field
//! gets a value and the lists of what may still decide get shorter; lists that were tried before are not tried again.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::frame::UDP;
use crate::matching::{
    EssentialKind, address_field, essential_ports, interface_field, means, port_field,
    protocol_field, vlan_field,
};
use crate::policy::{
    Action, AddressEntry, Essential, Policy, PortEntry, Ports, Prefix, Rule, Trusted, Verdict,
    Vlan, address_of,
};

/// The ports, as low and high.
pub(super) fn closing(old: &Policy, new: &Policy, interfaces: &[&str]) -> Vec<(u16, u16)> {
    let starts: Vec<u16> = port_starts(&[old, new], |rule| &rule.ports);
    let ends = starts
        .iter()
        .skip(1)
        .map(|start| start - 1)
        .chain([u16::MAX]);
    let mut search = Search {
        old,
        new,
        interfaces,
        tried: BTreeSet::new(),
        cuts: BTreeMap::new(),
    };
    starts
        .iter()
        .zip(ends)
        .filter(|&(&port, _)| [false, true].iter().any(|&ipv6| search.port(port, ipv6)))
        .map(|(&low, high)| (low, high))
        .collect()
}

/// What may decide.
#[derive(Clone, Copy)]
enum Clause<'a> {
    Trusted(&'a Trusted),
    Rule(&'a Rule),
    Default(Verdict),
}

/// Clauses of one policy, with their places in it.
type Clauses<'a> = Vec<(usize, Clause<'a>)>;

/// The fields that get a value, in this order, after the family and the destination port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Interface,
    Vlan,
    Source,
    Destination,
    SourcePort,
}

/// A value of a field.
#[derive(Clone, Copy)]
enum Value<'a> {
    Interface(&'a str),
    Vlan(Option<u16>),
    Source(u128),
    Destination(u128),
    SourcePort(u16),
}

/// The family, the port (which matters on its own only where it can be essential), the field and what is left.
type State = (bool, Option<u16>, Field, Vec<usize>, Vec<usize>);

struct Search<'a> {
    old: &'a Policy,
    new: &'a Policy,
    interfaces: &'a [&'a str],
    /// Without success.
    tried: BTreeSet<State>,
    /// Where ranges begin, computed once.
    cuts: BTreeMap<(Field, bool), Vec<Value<'a>>>,
}

impl<'a> Search<'a> {
    fn port(&mut self, port: u16, is_ipv6: bool) -> bool {
        let old = clauses(self.old, port, is_ipv6);
        let new = clauses(self.new, port, is_ipv6);
        self.field(Field::Interface, old, new, port, is_ipv6)
    }

    /// Whether any values of this field and those behind it make the old policy pass and the new one drop.
    fn field(
        &mut self,
        field: Field,
        old: Clauses<'a>,
        new: Clauses<'a>,
        port: u16,
        is_ipv6: bool,
    ) -> bool {
        let places = |clauses: &Clauses| clauses.iter().map(|&(place, _)| place).collect();
        let own_port = matches!(port, 68 | 546).then_some(port);
        let state = (is_ipv6, own_port, field, places(&old), places(&new));
        if self.tried.contains(&state) {
            return false;
        }
        for value in self.values(field, is_ipv6) {
            let old = holding(self.old, &old, value, is_ipv6);
            let new = holding(self.new, &new, value, is_ipv6);
            let found = match (next(field), value) {
                (Some(field), _) => self.field(field, old, new, port, is_ipv6),
                (None, Value::SourcePort(source)) => {
                    let kind = essential_ports(is_ipv6, source, port);
                    passes(self.old, &old, kind, is_ipv6) && !passes(self.new, &new, kind, is_ipv6)
                }
                (None, _) => false,
            };
            if found {
                return true;
            }
        }
        self.tried.insert(state);
        false
    }

    fn values(&mut self, field: Field, is_ipv6: bool) -> Vec<Value<'a>> {
        let policies = [self.old, self.new];
        let interfaces = self.interfaces;
        let make = || match field {
            Field::Interface => interfaces
                .iter()
                .map(|name| Value::Interface(name))
                .collect(),
            Field::Vlan => vlans(&policies).into_iter().map(Value::Vlan).collect(),
            Field::Source => address_starts(&policies, |rule| &rule.from, is_ipv6)
                .into_iter()
                .map(Value::Source)
                .collect(),
            Field::Destination => address_starts(&policies, |rule| &rule.to, is_ipv6)
                .into_iter()
                .map(Value::Destination)
                .collect(),
            Field::SourcePort => port_starts(&policies, |rule| &rule.source_ports)
                .into_iter()
                .map(Value::SourcePort)
                .collect(),
        };
        self.cuts
            .entry((field, is_ipv6))
            .or_insert_with(make)
            .clone()
    }
}

fn next(field: Field) -> Option<Field> {
    match field {
        Field::Interface => Some(Field::Vlan),
        Field::Vlan => Some(Field::Source),
        Field::Source => Some(Field::Destination),
        Field::Destination => Some(Field::SourcePort),
        Field::SourcePort => None,
    }
}

/// What may decide a whole datagram to this port.
fn clauses(policy: &Policy, port: u16, is_ipv6: bool) -> Clauses<'_> {
    let fits = |rule: &&Rule| {
        rule.enforce
            && rule.types.is_empty()
            && protocol_field(rule, UDP, is_ipv6)
            && port_field(rule, &rule.ports, UDP, Some(port))
    };
    let trusted = policy.trusted.iter().map(Clause::Trusted);
    let rules = policy.rules.iter().filter(fits).map(Clause::Rule);
    trusted
        .chain(rules)
        .chain([Clause::Default(policy.default)])
        .map(|clause| (place(policy, clause), clause))
        .collect()
}

/// A number for each clause of a policy.
fn place(policy: &Policy, clause: Clause) -> usize {
    let trusted = policy.trusted.len();
    let index = match clause {
        Clause::Trusted(entry) => policy
            .trusted
            .iter()
            .position(|other| std::ptr::eq(other, entry)),
        Clause::Rule(rule) => policy
            .rules
            .iter()
            .position(|other| std::ptr::eq(other, rule))
            .map(|index| trusted + index),
        Clause::Default(_) => None,
    };
    index.unwrap_or(trusted + policy.rules.len())
}

fn holding<'a>(policy: &Policy, clauses: &Clauses<'a>, value: Value, is_ipv6: bool) -> Clauses<'a> {
    let holds = |clause: Clause| match (clause, value) {
        (Clause::Default(_), _) => true,
        (Clause::Trusted(entry), Value::Interface(name)) => {
            interface_field(&entry.interfaces, name)
        }
        (Clause::Trusted(entry), Value::Source(source)) => {
            let source = address_of(is_ipv6, source);
            entry.from.iter().any(|prefix| prefix.contains(source))
        }
        (Clause::Trusted(_), _) => true,
        (Clause::Rule(rule), Value::Interface(name)) => interface_field(&rule.interfaces, name),
        (Clause::Rule(rule), Value::Vlan(vlan)) => vlan_field(rule, vlan),
        (Clause::Rule(rule), Value::Source(source)) => {
            address_field(policy, &rule.from, address_of(is_ipv6, source))
        }
        (Clause::Rule(rule), Value::Destination(destination)) => {
            address_field(policy, &rule.to, address_of(is_ipv6, destination))
        }
        (Clause::Rule(rule), Value::SourcePort(port)) => {
            port_field(rule, &rule.source_ports, UDP, Some(port))
        }
    };
    clauses
        .iter()
        .copied()
        .filter(|&(_, clause)| holds(clause))
        .collect()
}

/// The verdict on a datagram that is this kind of essential, if any, by what is left of a policy.
fn passes(policy: &Policy, left: &Clauses, kind: Option<EssentialKind>, is_ipv6: bool) -> bool {
    let exempt = kind.filter(|_| policy.essential == Essential::Pass);
    for &(_, clause) in left {
        match clause {
            Clause::Trusted(_) => return true,
            Clause::Rule(rule) => {
                if exempt.is_none_or(|kind| means(rule, kind, is_ipv6)) {
                    return matches!(rule.action, Action::Pass | Action::Limit(_));
                }
            }
            Clause::Default(verdict) => return exempt.is_some() || verdict == Verdict::Pass,
        }
    }
    true
}

fn vlans(policies: &[&Policy]) -> BTreeSet<Option<u16>> {
    let entries = policies
        .iter()
        .flat_map(|policy| &policy.rules)
        .flat_map(|rule| &rule.vlans);
    // Besides those of the rules: none, and 4095, which no rule can name.
    entries
        .filter_map(|&vlan| match vlan {
            Vlan::Id(id) => Some(Some(id)),
            Vlan::None => None,
        })
        .chain([None, Some(4095)])
        .collect()
}

/// Where ranges of ports begin. Those of essential traffic are ranges of one.
fn port_starts(policies: &[&Policy], field: impl Fn(&Rule) -> &Vec<PortEntry>) -> Vec<u16> {
    let entries = policies
        .iter()
        .flat_map(|policy| &policy.rules)
        .flat_map(field);
    let mut starts = BTreeSet::from([0]);
    let ranges = entries
        .filter_map(|entry| match entry.ports {
            Ports::Number(number) => Some((number, number)),
            Ports::Range(low, high) => Some((low, high)),
            Ports::Service(service) => Some((service.port(), service.port())),
            Ports::Any => None,
        })
        .chain([67, 68, 546, 547].map(|port| (port, port)));
    for (low, high) in ranges {
        starts.insert(low);
        starts.extend(high.checked_add(1));
    }
    starts.into_iter().collect()
}

/// Where ranges of addresses begin.
fn address_starts(
    policies: &[&Policy],
    field: impl Fn(&Rule) -> &Vec<AddressEntry>,
    is_ipv6: bool,
) -> Vec<u128> {
    let mut prefixes: Vec<Prefix> = Vec::new();
    for policy in policies {
        prefixes.extend(policy.sets.iter().flat_map(|set| &set.prefixes));
        prefixes.extend(policy.trusted.iter().flat_map(|entry| &entry.from));
        for entry in policy.rules.iter().flat_map(&field) {
            if let AddressEntry::Prefix(prefix) = entry {
                prefixes.push(*prefix);
            }
        }
    }
    let mut starts = BTreeSet::from([0]);
    let all = Prefix::new(address_of(is_ipv6, 0), 0);
    for prefix in prefixes.iter().filter(|prefix| prefix.is_ipv6() == is_ipv6) {
        starts.insert(prefix.first());
        if prefix.last() != all.last() {
            starts.insert(prefix.last() + 1);
        }
    }
    starts.into_iter().collect()
}
