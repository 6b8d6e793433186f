//! Rules that let packets in for nobody.

use portguard_policy::{PortRange, Rule, RuleAction, ServiceMatch, Transport};

use crate::policy_file::path_of;

use super::{Facts, Finding, Fix, Kind, Severity};

/// Whether a rule names a port, by itself or in a range.
pub(super) fn names(rule: &Rule, transport: Transport, port: u16) -> bool {
    rule.services.iter().any(|own| match own {
        ServiceMatch::Ports(own, range) => {
            *own == transport && (range.low..=range.high).contains(&port)
        }
        _ => false,
    })
}

/// Rules that pass packets to ports at which nobody listens.
pub(super) fn unused(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(filter) = facts.judge.filter() else {
        return Vec::new();
    };
    let rules = filter.policy.rules.iter();
    rules
        .filter(|rule| {
            rule.enforce && matches!(rule.action, RuleAction::Pass | RuleAction::Limit(_))
        })
        // With a destination it may be for a host behind this one.
        .filter(|rule| rule.to.is_none())
        .filter_map(|rule| {
            let ports: Vec<(Transport, PortRange)> = rule
                .services
                .iter()
                .filter_map(|own| match own {
                    ServiceMatch::Ports(transport, range) => Some((*transport, *range)),
                    _ => None,
                })
                .collect();
            // `ports: 53` means TCP and UDP, of which one is enough.
            let is_used = |range: &PortRange| {
                let both = ports.iter().filter(|(_, own)| own == range);
                both.into_iter()
                    .any(|(transport, own)| is_served(facts, *transport, *own))
            };
            let unused: Vec<&(Transport, PortRange)> =
                ports.iter().filter(|(_, range)| !is_used(range)).collect();
            let (transport, range) = **unused.first()?;
            let mut told: Vec<String> = unused
                .iter()
                .map(|(transport, range)| format!("{range}/{transport}"))
                .collect();
            told.dedup();
            let (severity, unless) = if facts.forwards {
                (
                    Severity::Note,
                    ", unless it is for a host behind this one, which forwards",
                )
            } else {
                (Severity::Low, "")
            };
            let mut finding = Finding::of_host(
                severity,
                Kind::UnusedRule,
                format!(
                    "rule `{}` (line {}) passes {}, where nobody listens",
                    rule.name,
                    rule.place.line,
                    told.join(", ")
                ),
                &format!(
                    "whoever listens there tomorrow is open to all whom the rule passes{unless}"
                ),
                Fix::Edit(format!(
                    "take {} out of rule `{}`, line {} of `{}`",
                    told.join(", "),
                    rule.name,
                    rule.place.line,
                    path_of(&filter.path, &rule.place).display()
                )),
            );
            finding.ports = Some((transport, range));
            Some(finding)
        })
        .collect()
}

/// Whether somebody listens at one of these ports, or one is published.
fn is_served(facts: &Facts<'_>, transport: Transport, range: PortRange) -> bool {
    let within = |port: u16| (range.low..=range.high).contains(&port);
    let listens = facts.sockets.iter().any(|own| {
        own.transport() == Some(transport) && !own.is_local() && within(own.local.port())
    });
    let published = facts.published.iter().any(|own| {
        own.transport == transport && own.ports.low <= range.high && range.low <= own.ports.high
    });
    listens || published
}
