//! The conditions of a rule beside its protocol and ports: addresses, interfaces, VLANs.

use std::sync::Arc;

use crate::addresses::Addresses;
use crate::document::Node;
use crate::interface::InterfacePattern;
use crate::keys::{Field, Fields};
use crate::policy::ServiceMatch;
use crate::problem::{Problem, Span, quoted};
use crate::suggest::nearest;
use crate::validate::Validator;
use crate::values::{decimal, list, text};

/// Highest VLAN ID; 4095 is reserved (IEEE 802.1Q).
pub(crate) const LAST_VLAN: u16 = 4094;

/// The word for no VLAN, which is 0 in a [`crate::Rule`].
pub(crate) const NO_VLAN: &str = "none";

/// The conditions that narrow what a rule matches.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) from: Option<Arc<Addresses>>,
    pub(crate) to: Option<Arc<Addresses>>,
    pub(crate) interfaces: Option<Vec<InterfacePattern>>,
    pub(crate) vlans: Option<Vec<u16>>,
}

impl Conditions {
    /// Their keys.
    pub(crate) const KEYS: [&'static str; 4] = ["from", "to", "interfaces", "vlan"];

    /// There are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.from.is_none()
            && self.to.is_none()
            && self.interfaces.is_none()
            && self.vlans.is_none()
    }
}

impl<'d, 'a> Validator<'d, 'a, '_> {
    pub(crate) fn conditions(&mut self, fields: &Fields<'d, 'a>) -> Conditions {
        let mut addresses = |key| fields.get(key).map(|field| self.addresses(field, key));
        let (from, to) = (addresses("from"), addresses("to"));
        Conditions {
            from,
            to,
            interfaces: fields
                .get("interfaces")
                .map(|field| self.some_interfaces(field)),
            vlans: fields.get("vlan").map(|field| self.vlans(field)),
        }
    }

    /// Warns of a rule whose addresses and protocols are never of one family.
    pub(crate) fn warn_of_families(
        &mut self,
        fields: &Fields<'_, '_>,
        conditions: &Conditions,
        services: &[ServiceMatch],
    ) {
        let span = |key| fields.get(key).map_or(fields.head, |field| field.key);
        let of = |addresses: &Option<Arc<Addresses>>| match addresses {
            Some(set) if !set.is_empty() => (!set.v4().is_empty(), !set.v6().is_empty()),
            _ => (true, true),
        };
        let (from, to) = (of(&conditions.from), of(&conditions.to));
        let both = (from.0 && to.0, from.1 && to.1);
        if !both.0 && !both.1 {
            self.problems.push(
                Problem::warning(span("to"), "this rule matches nothing")
                    .label("`from` and `to` have no address of the same family")
                    .hint("a packet is IPv4 or IPv6 from end to end")
                    .related(span("from"), "`from` is given here"),
            );
            return;
        }
        let only = |six: bool| {
            let in_family = |service: &ServiceMatch| match service {
                ServiceMatch::Icmp | ServiceMatch::IcmpType { .. } => !six,
                ServiceMatch::Icmpv6 | ServiceMatch::Icmpv6Type { .. } => six,
                _ => false,
            };
            !services.is_empty() && services.iter().all(in_family)
        };
        let key = if from.0 && from.1 { "to" } else { "from" };
        for (protocol, wanted, lacks) in [
            ("icmp", only(false), !both.0),
            ("icmpv6", only(true), !both.1),
        ] {
            if wanted && lacks {
                let family = if protocol == "icmp" { "IPv4" } else { "IPv6" };
                self.problems.push(
                    Problem::warning(span(key), "this rule matches nothing")
                        .label(format!("no address of {family}"))
                        .hint(format!("`{protocol}` exists in {family} alone"))
                        .related(span("protocol"), "`protocol` is given here"),
                );
            }
        }
    }

    /// Names and globs among the interfaces that the policy guards.
    pub(crate) fn some_interfaces(&mut self, field: Field<'d, 'a>) -> Vec<InterfacePattern> {
        let patterns = self.patterns(field, "no such key at all");
        let mut kept: Vec<InterfacePattern> = Vec::new();
        for (node, pattern) in patterns {
            match pattern {
                InterfacePattern::DefaultRoute => self.problems.push(
                    Problem::error(node.span, "`default-route` has no meaning here").hint(
                        "what carries the default route changes while the policy is in force: \
                             write names or globs",
                    ),
                ),
                pattern => {
                    self.refuse_unguarded(node.span, &pattern);
                    kept.push(pattern);
                }
            }
        }
        kept
    }

    /// Refuses a name or a glob that can match none of the guarded interfaces.
    pub(crate) fn refuse_unguarded(&mut self, span: Span, pattern: &InterfacePattern) {
        let guarded = &self.interfaces;
        // Left to the command line or to the routes, or wrong itself.
        if guarded.is_empty() || guarded.contains(&InterfacePattern::DefaultRoute) {
            return;
        }
        if guarded.iter().any(|own| own.may_meet(pattern)) {
            return;
        }
        let names: Vec<String> = guarded.iter().map(ToString::to_string).collect();
        let wanted = pattern.to_string();
        let hint = match nearest(&wanted, names.iter().map(String::as_str)).first() {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let some: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
                format!("`interfaces` of the policy has {}", some.join(", "))
            }
        };
        self.problems.push(
            Problem::error(
                span,
                format!("the policy guards no interface {}", quoted(&wanted)),
            )
            .hint(hint),
        );
    }

    /// VLAN IDs, sorted, 0 for none.
    fn vlans(&mut self, field: Field<'d, 'a>) -> Vec<u16> {
        let mut vlans = Vec::new();
        for node in list(
            self.source.document,
            field,
            "vlan",
            "`vlan: none`",
            self.problems,
        ) {
            if self.problems.is_full() {
                break;
            }
            match vlan(node) {
                Ok(vlan) => vlans.push(vlan),
                Err(problem) => self.problems.push(*problem),
            }
        }
        vlans.sort_unstable();
        vlans.dedup();
        vlans
    }
}

fn vlan(node: &Node<'_>) -> Result<u16, Box<Problem>> {
    let found = text(node);
    if found == Some(NO_VLAN) {
        return Ok(0);
    }
    let (message, hint) = match found.and_then(decimal) {
        Some(number) => match u16::try_from(number) {
            Ok(0) => (
                "VLAN `0` is no VLAN: it marks a priority alone".to_owned(),
                "write `none` for packets without a VLAN".to_owned(),
            ),
            Ok(vlan) if vlan <= LAST_VLAN => return Ok(vlan),
            _ => (
                format!("VLAN {} is out of range", node.describe()),
                format!("a VLAN ID is 1 to {LAST_VLAN}"),
            ),
        },
        None => (
            format!("expected a VLAN ID or `none`, found {}", node.describe()),
            format!("write a plain decimal number from 1 to {LAST_VLAN}, or a list of them"),
        ),
    };
    Err(Problem::error(node.span, message).hint(hint).into())
}
