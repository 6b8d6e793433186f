//! What a rule matches, in words.

use super::values::{name_of, ranges, some, typed};
use crate::conditions::NO_VLAN;
use crate::policy::{Policy, PortRange, Rule, ServiceMatch, SourceMatch, Transport};

impl Policy {
    /// What a rule of this policy matches, in the words of its fields: `22/tcp (ssh) from 10.0.0.0/8 on eth0`. Of many
    /// values the first few are told.
    pub fn words(&self, rule: &Rule) -> String {
        let services = self.service_words(&rule.services);
        let mut words = vec![match services.is_empty() {
            true => "nothing".to_owned(),
            false => some(services.into_iter()),
        }];
        if let Some(ports) = &rule.source_ports {
            let ports = ports.iter().map(|own| self.source_words(own));
            words.push(format!("from port {}", some(ports)));
        }
        for (word, addresses) in [("from", &rule.from), ("to", &rule.to)] {
            if let Some(addresses) = addresses {
                words.push(format!("{word} {}", some(ranges(addresses))));
            }
        }
        if let Some(patterns) = &rule.interfaces {
            let patterns = patterns.iter().map(ToString::to_string);
            words.push(format!("on {}", some(patterns)));
        }
        if let Some(ids) = &rule.vlans {
            let ids = ids.iter().map(|id| match id {
                0 => NO_VLAN.to_owned(),
                id => id.to_string(),
            });
            words.push(format!("in VLAN {}", some(ids)));
        }
        words.join(" ")
    }

    /// Ports that TCP and UDP share stand once.
    fn service_words(&self, services: &[ServiceMatch]) -> Vec<String> {
        let holds = |own: &ServiceMatch| services.contains(own);
        let mut words: Vec<String> = services
            .iter()
            .filter_map(|own| match *own {
                ServiceMatch::Ports(Transport::Udp, range)
                    if holds(&ServiceMatch::Ports(Transport::Tcp, range)) =>
                {
                    None
                }
                ServiceMatch::Ports(Transport::Tcp, range)
                    if holds(&ServiceMatch::Ports(Transport::Udp, range)) =>
                {
                    Some(format!("{range}/tcp+udp"))
                }
                _ => self.service_word(own),
            })
            .collect();
        words.dedup();
        words
    }

    fn source_words(&self, own: &SourceMatch) -> String {
        match own {
            SourceMatch::Ports(transport, range) => self.port_word(*transport, *range),
            SourceMatch::AnyPort(transport) => format!("any/{transport}"),
        }
    }

    /// Ports with their name, if one stands for them.
    pub(super) fn port_word(&self, transport: Transport, range: PortRange) -> String {
        let name = self.service_name(transport, range.low);
        match name.filter(|_| range.low == range.high) {
            Some(name) => format!("{range}/{transport} ({name})"),
            None => format!("{range}/{transport}"),
        }
    }

    /// What a rule matches, as a rule says it; nothing of the essential part of a port that stands there too.
    pub(super) fn service_word(&self, own: &ServiceMatch) -> Option<String> {
        Some(match *own {
            ServiceMatch::Any => "any".to_owned(),
            ServiceMatch::Ports(transport, range) => self.port_word(transport, range),
            ServiceMatch::AnyPort(transport) => format!("any/{transport}"),
            ServiceMatch::Icmp => "icmp".to_owned(),
            ServiceMatch::Icmpv6 => "icmpv6".to_owned(),
            ServiceMatch::IcmpType { kind, code } => typed(false, kind, code),
            ServiceMatch::Icmpv6Type { kind, code } => typed(true, kind, code),
            ServiceMatch::Ah => "ah".to_owned(),
            ServiceMatch::Protocol(number) => name_of(number),
            ServiceMatch::DhcpAnswer | ServiceMatch::Dhcpv6Answer | ServiceMatch::EssentialIgmp => {
                return None;
            }
        })
    }
}
