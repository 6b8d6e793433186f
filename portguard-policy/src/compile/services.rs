//! Services: what a packet's protocol, destination port or type make of it, reduced to classes.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::rc::Rc;

use portguard_common::abi::service;

use super::entries::{Entry, EntryIndex};
use super::sets::digest;
use crate::policy::{ServiceMatch, Transport};

/// All services, reduced to classes.
pub(super) struct Services {
    /// Where a class begins, up to where the next one does.
    pub(super) intervals: Vec<(u32, u16)>,
    pub(super) classes: Vec<ServiceClass>,
    /// Distinct classes met, also beyond what a table can hold.
    pub(super) needed: usize,
    /// Shadows of all classes.
    pub(super) shadows: usize,
}

/// Services that every entry treats alike, as far as it could decide them.
pub(super) struct ServiceClass {
    /// Of the entries without further conditions: the first enforced one.
    pub(super) decider: Option<EntryIndex>,
    /// Those before it that only count.
    pub(super) shadows: Rc<[EntryIndex]>,
}

/// Where an entry begins or ends to match.
struct Edge {
    index: u32,
    entry: EntryIndex,
}

/// Walks over all services, from one at which some entry begins or ends to match to the next. Between two of them
/// every entry matches all or nothing, so the cost depends on the number of ranges and not on their width.
pub(super) fn reduce(entries: &[Entry<'_>], allowed: usize) -> Services {
    let mut edges = Vec::new();
    for (index, entry) in (0..).zip(entries) {
        for range in &entry.services {
            for edge in [range.start, range.end] {
                edges.push(Edge {
                    index: edge,
                    entry: index,
                });
            }
        }
    }
    edges.sort_unstable_by_key(|edge| edge.index);

    let mut walk = Walk {
        services: Services {
            intervals: Vec::new(),
            classes: Vec::new(),
            needed: 0,
            shadows: 0,
        },
        numbers: HashMap::new(),
        allowed,
    };
    let mut deciders: BTreeSet<EntryIndex> = BTreeSet::new();
    let mut shadows: BTreeSet<EntryIndex> = BTreeSet::new();
    let mut rest = Prefixes::new(entries.len());
    // Class 0 is that of services which no entry matches, whether there are any or not.
    walk.number(&deciders, &shadows, &rest);
    let mut start = 0;
    for edge in edges {
        if edge.index > start {
            let class = walk.number(&deciders, &shadows, &rest);
            walk.stretch(start, class);
            start = edge.index;
        }
        let entry = &entries[edge.entry as usize];
        if entry.is_conditional() {
            rest.toggle(edge.entry);
        } else if entry.enforce {
            toggle(&mut deciders, edge.entry);
        } else {
            toggle(&mut shadows, edge.entry);
            rest.toggle(edge.entry);
        }
    }
    if start < service::LEN {
        walk.stretch(start, 0);
    }
    walk.services
}

fn toggle(set: &mut BTreeSet<EntryIndex>, entry: EntryIndex) {
    if !set.remove(&entry) {
        set.insert(entry);
    }
}

struct Walk {
    services: Services,
    numbers: HashMap<(Option<EntryIndex>, u128), u16>,
    allowed: usize,
}

impl Walk {
    fn number(
        &mut self,
        deciders: &BTreeSet<EntryIndex>,
        shadows: &BTreeSet<EntryIndex>,
        rest: &Prefixes,
    ) -> u16 {
        let decider = deciders.first().copied();
        let key = (decider, rest.before(decider));
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        self.services.needed += 1;
        let mut number = 0;
        if self.services.classes.len() < self.allowed
            && self.services.shadows <= portguard_common::limits::SHADOWS
        {
            number = u16::try_from(self.services.classes.len()).unwrap_or(0);
            let end = decider.unwrap_or(EntryIndex::MAX);
            let shadows: Rc<[EntryIndex]> = shadows.range(..end).copied().collect();
            self.services.shadows += shadows.len();
            self.services
                .classes
                .push(ServiceClass { decider, shadows });
        }
        self.numbers.insert(key, number);
        number
    }

    fn stretch(&mut self, start: u32, class: u16) {
        let intervals = &mut self.services.intervals;
        if intervals.last().is_none_or(|(_, last)| *last != class) {
            intervals.push((start, class));
        }
    }
}

/// A set of entries, with the digest of those before any of them in logarithmic time (a Fenwick tree).
struct Prefixes {
    sums: Vec<u128>,
}

impl Prefixes {
    fn new(entries: usize) -> Self {
        Self {
            sums: vec![0; entries + 1],
        }
    }

    /// An entry comes or goes.
    fn toggle(&mut self, entry: EntryIndex) {
        let digest = digest(entry);
        let mut at = entry as usize + 1;
        while let Some(sum) = self.sums.get_mut(at) {
            *sum ^= digest;
            at += at & at.wrapping_neg();
        }
    }

    /// The digest of the entries before this one, or of all.
    fn before(&self, entry: Option<EntryIndex>) -> u128 {
        let mut at = entry.map_or(self.sums.len() - 1, |entry| entry as usize);
        let mut digest = 0;
        while at > 0 {
            digest ^= self.sums[at];
            at -= at & at.wrapping_neg();
        }
        digest
    }
}

impl Services {
    /// By class: how many services are of it.
    pub(super) fn widths(&self) -> Vec<u32> {
        let mut widths = vec![0; self.classes.len()];
        let ends = self.intervals.iter().skip(1).map(|(start, _)| *start);
        for ((start, class), end) in self.intervals.iter().zip(ends.chain([service::LEN])) {
            widths[usize::from(*class)] += end - start;
        }
        widths
    }

    /// The classes that some of these services are of, in ascending order.
    pub(super) fn classes_of(&self, ranges: &[Range<u32>]) -> Vec<u16> {
        let mut classes = Vec::new();
        for range in ranges {
            let first = self
                .intervals
                .partition_point(|(start, _)| *start <= range.start);
            let from = first.saturating_sub(1);
            let touched = self.intervals[from..].iter();
            classes.extend(
                touched
                    .take_while(|(start, _)| *start < range.end)
                    .map(|(_, class)| *class),
            );
        }
        classes.sort_unstable();
        classes.dedup();
        classes
    }
}

#[cfg(test)]
impl Services {
    /// So many classes that no entry decides.
    pub(super) fn undecided(intervals: Vec<(u32, u16)>, classes: usize) -> Self {
        let class = || ServiceClass {
            decider: None,
            shadows: [].into(),
        };
        Self {
            intervals,
            classes: (0..classes).map(|_| class()).collect(),
            needed: 0,
            shadows: 0,
        }
    }
}

/// The indices that a rule matches: in order, none overlapping or touching the next.
pub(crate) fn indices(services: &[ServiceMatch], essential: bool) -> Vec<Range<u32>> {
    let mut ranges = Vec::with_capacity(services.len());
    for service in services {
        push_indices(*service, essential, &mut ranges);
    }
    ranges.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u32>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The indices of one kind of packet. `essential`: the classifier sets essential traffic apart.
fn push_indices(matches: ServiceMatch, essential: bool, ranges: &mut Vec<Range<u32>>) {
    let one = |index: u32| index..index + 1;
    let portless = |family: u32, number: u8| one(family + u32::from(number));
    match matches {
        // Essential traffic lies behind all that is ordinary.
        ServiceMatch::Any => ranges.push(0..service::ESSENTIAL_ICMP),
        ServiceMatch::Ports(transport, range) => {
            let first = first_port(transport);
            ranges.push(first + u32::from(range.low)..first + u32::from(range.high) + 1);
        }
        ServiceMatch::AnyPort(transport) => {
            let first = first_port(transport);
            ranges.push(first..first + (1 << 16));
            // Later fragments have no port, and are looked up by their protocol.
            ranges.push(portless(service::PORTLESS_V4, transport.number()));
            ranges.push(portless(service::PORTLESS_V6, transport.number()));
        }
        ServiceMatch::Icmp => {
            ranges.push(service::ICMP..service::ICMP + (1 << 16));
            ranges.push(portless(service::PORTLESS_V4, ICMP));
        }
        ServiceMatch::Icmpv6 => {
            ranges.push(service::ICMPV6..service::ICMPV6 + (1 << 16));
            ranges.push(portless(service::PORTLESS_V6, ICMPV6));
        }
        ServiceMatch::IcmpType { kind, code } => {
            ranges.push(codes(service::ICMP + (u32::from(kind) << 8), code));
            let types = &service::ESSENTIAL_ICMP_TYPES;
            if let Some(place) = place(types, kind).filter(|_| essential) {
                ranges.push(codes(service::ESSENTIAL_ICMP + (place << 8), code));
            }
        }
        ServiceMatch::Icmpv6Type { kind, code } => {
            ranges.push(codes(service::ICMPV6 + (u32::from(kind) << 8), code));
            let types = &service::ESSENTIAL_ICMPV6_TYPES;
            if let Some(place) = place(types, kind).filter(|_| essential) {
                ranges.push(codes(service::ESSENTIAL_ICMPV6 + (place << 8), code));
            }
        }
        ServiceMatch::Ah => ranges.push(portless(service::PORTLESS_V4, AH)),
        ServiceMatch::Protocol(number) => {
            match number {
                ICMP => ranges.push(service::ICMP..service::ICMP + (1 << 16)),
                ICMPV6 => ranges.push(service::ICMPV6..service::ICMPV6 + (1 << 16)),
                _ => {}
            }
            ranges.push(portless(service::PORTLESS_V4, number));
            ranges.push(portless(service::PORTLESS_V6, number));
        }
        ServiceMatch::DhcpAnswer if essential => ranges.push(one(service::ESSENTIAL_DHCP)),
        ServiceMatch::Dhcpv6Answer if essential => ranges.push(one(service::ESSENTIAL_DHCPV6)),
        ServiceMatch::EssentialIgmp if essential => ranges.push(one(service::ESSENTIAL_IGMP)),
        ServiceMatch::DhcpAnswer | ServiceMatch::Dhcpv6Answer | ServiceMatch::EssentialIgmp => {}
    }
}

/// The indices of one code of a type, or of all; `first` is that of code 0.
fn codes(first: u32, code: Option<u8>) -> Range<u32> {
    match code {
        None => first..first + 256,
        Some(code) => first + u32::from(code)..first + u32::from(code) + 1,
    }
}

/// Where a type stands among the essential ones.
fn place(types: &[u8], kind: u8) -> Option<u32> {
    types
        .iter()
        .zip(0..)
        .find(|(own, _)| **own == kind)
        .map(|(_, place)| place)
}

/// IP protocol numbers of the IANA registry.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const AH: u8 = 51;

fn first_port(transport: Transport) -> u32 {
    match transport {
        Transport::Tcp => service::TCP,
        Transport::Udp => service::UDP,
        Transport::Sctp => service::SCTP,
    }
}
