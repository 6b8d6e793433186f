//! One walk over the table of services, from one index at which some rule begins or ends to the next.
//!
//! Between two such indices every rule matches all or nothing, so the cost depends on the number of
//! ranges in the policy and not on how wide they are.

use std::collections::BTreeSet;
use std::ops::Range;

use portguard_common::abi::service;

use crate::policy::{Policy, RuleAction, ServiceMatch, Transport};

/// Index of a rule in its policy.
pub(crate) type RuleIndex = u32;

/// What wants to know of a walk.
pub(crate) trait Visitor {
    /// A rule that only counts (`enforce: false`) matches from here on.
    fn enter(&mut self, rule: RuleIndex);
    /// It does not any more.
    fn leave(&mut self, rule: RuleIndex);
    /// Over these indices this enforced rule is the first to match, if any is.
    fn stretch(&mut self, indices: Range<u32>, decider: Option<RuleIndex>);
}

/// Where a rule begins or ends to match.
struct Edge {
    index: u32,
    rule: RuleIndex,
    begins: bool,
}

/// Walks over all services that a policy says something of. An unenforced rule that passes has no effect
/// and is left out.
pub(crate) fn sweep(policy: &Policy, visitor: &mut impl Visitor) {
    let mut edges = Vec::new();
    for (rule, index) in policy.rules.iter().zip(0..) {
        if !rule.enforce && rule.action == RuleAction::Pass {
            continue;
        }
        for range in indices(&rule.services, policy.essential) {
            edges.push(Edge {
                index: range.start,
                rule: index,
                begins: true,
            });
            edges.push(Edge {
                index: range.end,
                rule: index,
                begins: false,
            });
        }
    }
    edges.sort_unstable_by_key(|edge| edge.index);

    let mut enforced: BTreeSet<RuleIndex> = BTreeSet::new();
    let mut start = 0;
    for edge in edges {
        if edge.index > start {
            visitor.stretch(start..edge.index, enforced.first().copied());
            start = edge.index;
        }
        let is_enforced = policy
            .rules
            .get(edge.rule as usize)
            .is_some_and(|rule| rule.enforce);
        match (is_enforced, edge.begins) {
            (true, true) => {
                enforced.insert(edge.rule);
            }
            (true, false) => {
                enforced.remove(&edge.rule);
            }
            (false, true) => visitor.enter(edge.rule),
            (false, false) => visitor.leave(edge.rule),
        }
    }
    if start < service::LEN {
        visitor.stretch(start..service::LEN, None);
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
