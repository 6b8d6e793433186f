//! The rules of a policy as the compiler sees them: in the order in which they are tried, each with a condition on
//! some fields of a packet.

use std::ops::Range;

use portguard_common::abi::{Action, field, service, source_port};

use super::services::indices;
use crate::addresses::Addresses;
use crate::interface::InterfacePattern;
use crate::policy::{Limit, Policy, RuleAction, SourceMatch, Transport};

/// Index of an entry.
pub(super) type EntryIndex = u32;

/// Fields that not every entry has a condition on.
pub(super) const OPTIONAL_FIELDS: usize = field::SERVICE;

/// One entry.
pub(super) struct Entry<'p> {
    /// Index of the rule; `None` for trusted sources.
    pub(super) rule: Option<usize>,
    pub(super) action: Action,
    pub(super) enforce: bool,
    pub(super) limit: Option<Limit>,
    /// What it matches, as indices of the table of services.
    pub(super) services: Vec<Range<u32>>,
    pub(super) conditions: [Option<Condition<'p>>; OPTIONAL_FIELDS],
}

/// A condition on one field.
pub(super) enum Condition<'p> {
    /// The name of the interface.
    Interfaces(&'p [InterfacePattern]),
    /// A VLAN ID, or 0 for none.
    Vlans(&'p [u16]),
    /// An address.
    Addresses(&'p Addresses),
    /// Indices of the table of source ports.
    SourcePorts(Vec<Range<u32>>),
}

impl Entry<'_> {
    /// Whether the entry has a condition on a field other than the service.
    pub(super) fn is_conditional(&self) -> bool {
        self.conditions.iter().any(Option::is_some)
    }

    /// Whether, once the fields up to `last` match, the entry decides every packet that `other` could match.
    pub(super) fn swallows(&self, other: &Self, last: usize) -> bool {
        let has_more = self.conditions.iter().skip(last + 1).any(Option::is_some);
        self.enforce
            && !has_more
            && other.services.iter().all(|range| {
                let own = self.services.iter();
                own.clone()
                    .any(|own| own.start <= range.start && range.end <= own.end)
            })
    }

    /// Whether it matches whatever is ordinary, so that it is worth asking what it swallows.
    pub(super) fn is_wide(&self) -> bool {
        self.services
            .first()
            .is_some_and(|range| range.start == 0 && range.end >= service::ESSENTIAL_ICMP)
    }
}

/// All entries of a policy. An unenforced rule that passes has no effect and is left out.
pub(super) fn entries(policy: &Policy) -> Vec<Entry<'_>> {
    let trusted = policy.trusted.iter().map(|trusted| {
        let mut conditions = [const { None }; OPTIONAL_FIELDS];
        conditions[field::INTERFACE] = trusted.interfaces.as_deref().map(Condition::Interfaces);
        conditions[field::SOURCE] = Some(Condition::Addresses(&trusted.from));
        Entry {
            rule: None,
            action: Action::Trusted,
            enforce: true,
            limit: None,
            services: std::iter::once(0..service::LEN).collect(),
            conditions,
        }
    });
    let rules = policy.rules.iter().enumerate();
    let rules = rules.filter(|(_, rule)| rule.enforce || rule.action != RuleAction::Pass);
    let rules = rules.map(|(index, rule)| {
        let mut conditions = [const { None }; OPTIONAL_FIELDS];
        conditions[field::INTERFACE] = rule.interfaces.as_deref().map(Condition::Interfaces);
        conditions[field::VLAN] = rule.vlans.as_deref().map(Condition::Vlans);
        conditions[field::SOURCE] = rule.from.as_deref().map(Condition::Addresses);
        conditions[field::DESTINATION] = rule.to.as_deref().map(Condition::Addresses);
        conditions[field::SOURCE_PORT] = rule
            .source_ports
            .as_deref()
            .map(|ports| Condition::SourcePorts(source_port_indices(ports)));
        let (action, limit) = match rule.action {
            RuleAction::Pass => (Action::Pass, None),
            RuleAction::Drop => (Action::Drop, None),
            RuleAction::Reject => (Action::Reject, None),
            RuleAction::Limit(limit) => (Action::Limit, Some(limit)),
        };
        Entry {
            rule: Some(index),
            action,
            enforce: rule.enforce,
            limit,
            services: indices(&rule.services, policy.essential),
            conditions,
        }
    });
    trusted.chain(rules).collect()
}

/// The indices of the table of source ports that a rule matches.
pub(crate) fn source_port_indices(matches: &[SourceMatch]) -> Vec<Range<u32>> {
    let place = |transport: Transport| match transport {
        Transport::Tcp => 0,
        Transport::Udp => 1,
        Transport::Sctp => 2,
    };
    let mut ranges = Vec::with_capacity(matches.len());
    for own in matches {
        match *own {
            SourceMatch::Ports(transport, range) => {
                let first = source_port::PORTS + (place(transport) << 16);
                ranges.push(first + u32::from(range.low)..first + u32::from(range.high) + 1);
            }
            SourceMatch::AnyPort(transport) => {
                let first = source_port::PORTS + (place(transport) << 16);
                ranges.push(first..first + (1 << 16));
                let fragments = source_port::FRAGMENTS + place(transport);
                ranges.push(fragments..fragments + 1);
            }
        }
    }
    ranges
}
