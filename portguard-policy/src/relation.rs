//! How what one rule matches relates to what another one does.

use crate::addresses::Addresses;
use crate::compile::{service_indices, source_port_indices};
use crate::interface::InterfacePattern;
use crate::policy::Rule;

/// Whether `wide` matches all that `narrow` does, field by field.
pub(crate) fn covers(wide: &Rule, narrow: &Rule, essential: bool) -> bool {
    let services = |rule: &Rule| inclusive(service_indices(&rule.services, essential));
    let source_ports = |rule: &Rule| {
        let ports = rule.source_ports.as_deref();
        ports.map(|ports| inclusive(source_port_indices(ports)))
    };
    contains(&services(wide), &services(narrow))
        && optional(
            &source_ports(wide),
            &source_ports(narrow),
            |wide, narrow| contains(wide, narrow),
        )
        && optional(&wide.from, &narrow.from, |wide, narrow| {
            contains_all(wide, narrow)
        })
        && optional(&wide.to, &narrow.to, |wide, narrow| {
            contains_all(wide, narrow)
        })
        && optional(&wide.vlans, &narrow.vlans, |wide, narrow| {
            narrow.iter().all(|id| wide.contains(id))
        })
        && optional(&wide.interfaces, &narrow.interfaces, |wide, narrow| {
            narrow.iter().all(|pattern| means(wide, pattern))
        })
}

/// Whether some packet is matched by both, as far as one field after another tells.
pub(crate) fn overlap(one: &Rule, other: &Rule, essential: bool) -> bool {
    fn both<T>(one: &Option<T>, other: &Option<T>, meet: impl Fn(&T, &T) -> bool) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => meet(one, other),
            _ => true,
        }
    }
    let services = |rule: &Rule| inclusive(service_indices(&rule.services, essential));
    let source_ports = |rule: &Rule| {
        let ports = rule.source_ports.as_deref();
        ports.map(|ports| inclusive(source_port_indices(ports)))
    };
    let addresses = |one: &std::sync::Arc<Addresses>, other: &std::sync::Arc<Addresses>| {
        meet(one.v4(), other.v4()) || meet(one.v6(), other.v6())
    };
    meet(&services(one), &services(other))
        && both(&source_ports(one), &source_ports(other), |one, other| {
            meet(one, other)
        })
        && both(&one.from, &other.from, addresses)
        && both(&one.to, &other.to, addresses)
        && both(&one.vlans, &other.vlans, |one, other| {
            one.iter().any(|id| other.contains(id))
        })
        && both(&one.interfaces, &other.interfaces, |one, other| {
            one.iter().any(|pattern| means(other, pattern))
                || other.iter().any(|pattern| means(one, pattern))
        })
}

fn optional<T>(wide: &Option<T>, narrow: &Option<T>, covers: impl Fn(&T, &T) -> bool) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => covers(wide, narrow),
    }
}

/// Whether one of the patterns means every interface that another one does, as far as its example tells.
fn means(patterns: &[InterfacePattern], narrow: &InterfacePattern) -> bool {
    patterns.iter().any(|own| {
        own == narrow || matches!(narrow, InterfacePattern::Name(name) if own.matches(name))
    })
}

fn inclusive(ranges: Vec<std::ops::Range<u32>>) -> Vec<(u32, u32)> {
    let ranges = ranges.into_iter().map(|range| (range.start, range.end - 1));
    crate::addresses::join(ranges.collect())
}

fn contains_all(wide: &Addresses, narrow: &Addresses) -> bool {
    contains(wide.v4(), narrow.v4()) && contains(wide.v6(), narrow.v6())
}

/// Whether each of these joined ranges lies in one of the others.
fn contains<T: Ord + Copy>(wide: &[(T, T)], narrow: &[(T, T)]) -> bool {
    narrow.iter().all(|(low, high)| {
        let place = wide.partition_point(|(_, end)| end < high);
        wide.get(place).is_some_and(|(start, _)| start <= low)
    })
}

/// Whether some value lies in a range of each.
fn meet<T: Ord + Copy>(one: &[(T, T)], other: &[(T, T)]) -> bool {
    one.iter().any(|(low, high)| {
        let place = other.partition_point(|(_, end)| end < low);
        other.get(place).is_some_and(|(start, _)| start <= high)
    })
}
