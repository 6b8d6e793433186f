//! The rules that nearly matched a packet, and why they did not.

use std::fmt;

use portguard_common::classify::service;
use portguard_common::combine::source_port as source_port_index;
use portguard_common::packet::Headers;

use super::values::{name_of, protocol_of, ranges, single, some, typed};
use crate::compile::{service_indices, source_port_indices};
use crate::conditions::NO_VLAN;
use crate::packet::{Packet, Payload};
use crate::policy::{Policy, Rule, ServiceMatch, SourceMatch};

/// A rule that matches a packet but for a field or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// Index in [`Policy::rules`].
    pub rule: usize,
    /// What does not match, a field each.
    pub mismatches: Vec<Mismatch>,
    /// How much of the rule matches: protocol with port or type, source port, addresses.
    pub matched: usize,
}

/// A field of a rule that keeps it from matching a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The field's key in a policy; `essential` for what only a rule matches that means it.
    pub field: &'static str,
    /// What the rule says, the first few of many values.
    pub rule: String,
    /// What the packet has.
    pub packet: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            rule,
            packet,
        } = self;
        if *field == ESSENTIAL {
            return write!(
                f,
                "it matches {rule}, but {packet} is essential traffic, which a rule must mean expressly"
            );
        }
        write!(f, "`{field}` is {rule}, the packet has {packet}")
    }
}

const ESSENTIAL: &str = "essential";

/// Most fields that may fail.
const FAILED: usize = 2;

/// Of the first `asked` rules, those that match and only count, and those that nearly match, the nearest first.
pub(super) fn compare(
    policy: &Policy,
    packet: &Packet,
    headers: &Headers,
    asked: usize,
) -> (Vec<usize>, Vec<NearMiss>) {
    let own = service(headers, policy.essential);
    let asking = Asking {
        policy,
        packet,
        service: own.index,
        essential: own.is_essential(),
        ordinary: service(headers, false).index,
        source_port: source_port_index(headers),
    };
    let mut counted = Vec::new();
    let mut near = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate().take(asked) {
        let (mismatches, matched) = asking.compare(rule);
        if mismatches.is_empty() && !rule.enforce {
            counted.push(index);
        }
        if (1..=FAILED).contains(&mismatches.len()) && matched > 0 {
            near.push(NearMiss {
                rule: index,
                mismatches,
                matched,
            });
        }
    }
    near.sort_by_key(|own| {
        (
            own.mismatches.len(),
            std::cmp::Reverse(own.matched),
            own.rule,
        )
    });
    (counted, near)
}

/// A packet, as rules are asked about it.
struct Asking<'p> {
    policy: &'p Policy,
    packet: &'p Packet,
    /// Its place in the table of services.
    service: u32,
    essential: bool,
    /// The same, were it not essential.
    ordinary: u32,
    source_port: u32,
}

/// What is known of a rule's fields.
#[derive(Default)]
struct Fields {
    mismatches: Vec<Mismatch>,
    /// Interface and VLAN do not count: a rule that has nothing else in common with a packet is not near.
    matched: usize,
}

impl Fields {
    fn add(&mut self, matches: bool, mismatch: impl FnOnce() -> Mismatch) {
        if matches {
            self.matched += 1;
        } else {
            self.mismatches.push(mismatch());
        }
    }
}

impl Asking<'_> {
    /// What of a rule does not match, and how many of its fields do.
    fn compare(&self, rule: &Rule) -> (Vec<Mismatch>, usize) {
        let mut fields = Fields::default();
        self.services(rule, &mut fields);
        if let Some(ports) = &rule.source_ports {
            let indices = source_port_indices(ports);
            let holds = |range: &std::ops::Range<u32>| range.contains(&self.source_port);
            fields.add(indices.iter().any(holds), || self.source_ports(ports));
        }
        let packet = self.packet;
        for (key, addresses, address) in [
            ("from", &rule.from, packet.source),
            ("to", &rule.to, packet.destination),
        ] {
            if let Some(addresses) = addresses {
                fields.add(addresses.contains(address), || Mismatch {
                    field: key,
                    rule: some(ranges(addresses)),
                    packet: address.to_string(),
                });
            }
        }
        if let Some(patterns) = &rule.interfaces {
            let name = packet.interface.as_deref().unwrap_or_default();
            if !patterns.iter().any(|own| own.matches(name)) {
                fields.mismatches.push(Mismatch {
                    field: "interfaces",
                    rule: some(patterns.iter().map(ToString::to_string)),
                    packet: name.to_owned(),
                });
            }
        }
        if let Some(ids) = &rule.vlans {
            let name = |id: u16| match id {
                0 => NO_VLAN.to_owned(),
                id => id.to_string(),
            };
            if !ids.contains(&packet.vlan) {
                fields.mismatches.push(Mismatch {
                    field: "vlan",
                    rule: some(ids.iter().map(|id| name(*id))),
                    packet: name(packet.vlan),
                });
            }
        }
        (fields.mismatches, fields.matched)
    }

    /// `protocol`, `ports` and `types`.
    fn services(&self, rule: &Rule, fields: &mut Fields) {
        let holds = |essential: bool, index: u32| {
            let indices = service_indices(&rule.services, essential);
            indices.iter().any(|range| range.contains(&index))
        };
        if holds(self.policy.essential, self.service) {
            fields.matched += usize::from(rule.services != [ServiceMatch::Any]);
            return;
        }
        let field = if self.essential && holds(false, self.ordinary) {
            fields.matched += 1;
            ESSENTIAL
        } else {
            self.failing_field(rule, &mut fields.matched)
        };
        let services = rule.services.iter();
        let (mut services, packet): (Vec<String>, String) = if field == "protocol" {
            let protocols = services.map(protocol_of).collect();
            (protocols, self.own_protocol())
        } else {
            let services = services
                .filter_map(|own| self.policy.service_word(own))
                .collect();
            (services, self.own_service())
        };
        services.dedup();
        fields.mismatches.push(Mismatch {
            field,
            rule: some(services.into_iter()),
            packet,
        });
    }

    /// Which of `protocol`, `ports` and `types` it is that does not match.
    fn failing_field(&self, rule: &Rule, matched: &mut usize) -> &'static str {
        let is_ipv4 = self.packet.source.is_ipv4();
        let has_type = |own: &ServiceMatch| match own {
            ServiceMatch::IcmpType { .. } => is_ipv4,
            ServiceMatch::Icmpv6Type { .. } => !is_ipv4,
            _ => false,
        };
        let mut services = rule.services.iter();
        match self.packet.payload {
            Payload::Icmp { .. } if services.any(has_type) => "types",
            Payload::Ports {
                transport,
                destination,
                ..
            } => {
                let mut other_protocol = false;
                for own in services {
                    let ServiceMatch::Ports(own, range) = own else {
                        continue;
                    };
                    if *own == transport {
                        return "ports";
                    }
                    other_protocol |= (range.low..=range.high).contains(&destination);
                }
                *matched += usize::from(other_protocol);
                "protocol"
            }
            Payload::LaterFragment(protocol)
                if services.any(|own| match own {
                    ServiceMatch::Ports(own, _) => own.number() == protocol,
                    _ => false,
                }) =>
            {
                "ports"
            }
            _ => "protocol",
        }
    }

    fn own_protocol(&self) -> String {
        match self.packet.payload {
            Payload::Icmp { .. } if self.packet.source.is_ipv4() => "icmp".to_owned(),
            Payload::Icmp { .. } => "icmpv6".to_owned(),
            _ => name_of(self.packet.protocol()),
        }
    }

    /// The packet's protocol with its port or type.
    fn own_service(&self) -> String {
        match self.packet.payload {
            Payload::Ports {
                transport,
                destination,
                ..
            } => self.policy.port_word(transport, single(destination)),
            Payload::Icmp { kind, code } => typed(!self.packet.source.is_ipv4(), kind, Some(code)),
            Payload::Portless(protocol) => name_of(protocol),
            Payload::LaterFragment(protocol) => {
                format!("a later fragment of {}", name_of(protocol))
            }
        }
    }

    fn source_ports(&self, ports: &[SourceMatch]) -> Mismatch {
        let names = ports.iter().map(|own| match own {
            SourceMatch::Ports(transport, range) => self.policy.port_word(*transport, *range),
            SourceMatch::AnyPort(transport) => format!("any/{transport}"),
        });
        let packet = match self.packet.payload {
            Payload::Ports {
                transport, source, ..
            } => self.policy.port_word(transport, single(source)),
            _ => "no port".to_owned(),
        };
        Mismatch {
            field: "source_ports",
            rule: some(names),
            packet,
        }
    }
}
