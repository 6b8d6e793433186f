//! `types` of a rule: ICMP and ICMPv6 types, by name or number, with or without a code.

use crate::document::{Document, Node};
use crate::keys::Field;
use crate::policy::ServiceMatch;
use crate::problem::{Problem, Problems, quoted};
use crate::protocols::Protocols;
use crate::suggest::nearest;
use crate::values::{decimal, list, text};

/// Names of types in the IANA registry "ICMP Type Numbers".
const ICMP: [(&str, u8); 17] = [
    ("echo-reply", 0),
    ("destination-unreachable", 3),
    ("source-quench", 4),
    ("redirect", 5),
    ("echo-request", 8),
    ("router-advertisement", 9),
    ("router-solicitation", 10),
    ("time-exceeded", 11),
    ("parameter-problem", 12),
    ("timestamp", 13),
    ("timestamp-reply", 14),
    ("information-request", 15),
    ("information-reply", 16),
    ("address-mask-request", 17),
    ("address-mask-reply", 18),
    ("extended-echo-request", 42),
    ("extended-echo-reply", 43),
];

/// Names of types in the IANA registry "ICMPv6 \"type\" Numbers".
const ICMPV6: [(&str, u8); 32] = [
    ("destination-unreachable", 1),
    ("packet-too-big", 2),
    ("time-exceeded", 3),
    ("parameter-problem", 4),
    ("echo-request", 128),
    ("echo-reply", 129),
    ("multicast-listener-query", 130),
    ("multicast-listener-report", 131),
    ("multicast-listener-done", 132),
    ("router-solicitation", 133),
    ("router-advertisement", 134),
    ("neighbor-solicitation", 135),
    ("neighbor-advertisement", 136),
    ("redirect", 137),
    ("router-renumbering", 138),
    ("node-information-query", 139),
    ("node-information-response", 140),
    ("inverse-neighbor-discovery-solicitation", 141),
    ("inverse-neighbor-discovery-advertisement", 142),
    ("multicast-listener-report-v2", 143),
    ("home-agent-address-discovery-request", 144),
    ("home-agent-address-discovery-reply", 145),
    ("mobile-prefix-solicitation", 146),
    ("mobile-prefix-advertisement", 147),
    ("certification-path-solicitation", 148),
    ("certification-path-advertisement", 149),
    ("multicast-router-advertisement", 151),
    ("multicast-router-solicitation", 152),
    ("multicast-router-termination", 153),
    ("rpl-control", 155),
    ("extended-echo-request", 160),
    ("extended-echo-reply", 161),
];

/// The type of a name in one of the registries.
pub(crate) fn by_name(name: &str, is_ipv6: bool) -> Option<u8> {
    let found = registry(is_ipv6).iter().find(|(own, _)| *own == name);
    found.map(|(_, kind)| *kind)
}

/// The name of a type in one of the registries.
pub(crate) fn name_of(kind: u8, is_ipv6: bool) -> Option<&'static str> {
    let found = registry(is_ipv6).iter().find(|(_, own)| *own == kind);
    found.map(|(name, _)| *name)
}

/// All names of one of the registries.
pub(crate) fn names(is_ipv6: bool) -> impl Iterator<Item = &'static str> {
    registry(is_ipv6).iter().map(|(name, _)| *name)
}

fn registry(is_ipv6: bool) -> &'static [(&'static str, u8)] {
    if is_ipv6 { &ICMPV6 } else { &ICMP }
}

/// Which of the two registries a rule means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Icmp,
    Icmpv6,
    Both,
}

/// Reads `types` and adds what it matches to `services`. `protocols` is what `protocol` says.
pub(crate) fn read(
    document: &Document<'_>,
    field: Field<'_, '_>,
    protocols: &Protocols,
    services: &mut Vec<ServiceMatch>,
    problems: &mut Problems,
) {
    let Some(family) = family(protocols) else {
        problems.push(
            Problem::error(
                field.key,
                "`types` needs `protocol: icmp` or `protocol: icmpv6`",
            )
            .hint("types are those of ICMP or of ICMPv6; give other protocols a rule of their own"),
        );
        return;
    };
    for node in list(document, field, "types", "no `types` at all", problems) {
        if problems.is_full() {
            break;
        }
        match one(node, family) {
            Ok(matches) => services.extend(matches),
            Err(problem) => problems.push(*problem),
        }
    }
}

/// The registries of these protocols; `None` if others are among them, or none at all.
fn family(protocols: &Protocols) -> Option<Family> {
    if !protocols.transports.is_empty() {
        return None;
    }
    let has = |wanted| protocols.portless.iter().any(|own| own.matches == wanted);
    let only = protocols
        .portless
        .iter()
        .all(|own| matches!(own.matches, ServiceMatch::Icmp | ServiceMatch::Icmpv6));
    match (only, has(ServiceMatch::Icmp), has(ServiceMatch::Icmpv6)) {
        (true, true, false) => Some(Family::Icmp),
        (true, false, true) => Some(Family::Icmpv6),
        (true, true, true) => Some(Family::Both),
        _ => None,
    }
}

/// One entry: `TYPE` or `TYPE/CODE`.
fn one(node: &Node<'_>, family: Family) -> Result<Vec<ServiceMatch>, Box<Problem>> {
    let entry = text(node).ok_or_else(|| expected(node))?;
    let (name, code) = match entry.split_once('/') {
        None => (entry, None),
        Some((name, code)) => (name, Some(octet(node, "code", code)?)),
    };
    let icmp = |kind| ServiceMatch::IcmpType { kind, code };
    let icmpv6 = |kind| ServiceMatch::Icmpv6Type { kind, code };
    if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
        let kind = octet(node, "type", name)?;
        return match family {
            Family::Icmp => Ok(vec![icmp(kind)]),
            Family::Icmpv6 => Ok(vec![icmpv6(kind)]),
            Family::Both => Err(Problem::error(
                node.span,
                format!(
                    "type {} means one thing in ICMP and another in ICMPv6",
                    quoted(name)
                ),
            )
            .hint("write a name that both have, such as `echo-request`, or make two rules")
            .into()),
        };
    }
    let find = |registry: &[(&str, u8)]| {
        let found = registry.iter().find(|(own, _)| *own == name);
        found.map(|(_, kind)| *kind)
    };
    let found = match family {
        Family::Icmp => find(&ICMP).map(|kind| vec![icmp(kind)]),
        Family::Icmpv6 => find(&ICMPV6).map(|kind| vec![icmpv6(kind)]),
        Family::Both => find(&ICMP)
            .zip(find(&ICMPV6))
            .map(|(four, six)| vec![icmp(four), icmpv6(six)]),
    };
    found.ok_or_else(|| no_type(node, name, family))
}

/// A number from 0 to 255.
fn octet(node: &Node<'_>, what: &str, digits: &str) -> Result<u8, Box<Problem>> {
    let number = decimal(digits).and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| {
        Problem::error(
            node.span,
            format!("the {what} {} is no number from 0 to 255", quoted(digits)),
        )
        .hint("write it as a plain decimal number: `destination-unreachable/4`")
        .into()
    })
}

fn no_type(node: &Node<'_>, name: &str, family: Family) -> Box<Problem> {
    let names = |registry: &'static [(&'static str, u8)]| registry.iter().map(|(name, _)| *name);
    let (owner, candidates): (&str, Vec<&str>) = match family {
        Family::Icmp => ("ICMP", names(&ICMP).collect()),
        Family::Icmpv6 => ("ICMPv6", names(&ICMPV6).collect()),
        Family::Both => {
            let common = names(&ICMP).filter(|name| names(&ICMPV6).any(|other| other == *name));
            ("both ICMP and ICMPv6", common.collect())
        }
    };
    let hint = match nearest(name, candidates.iter().copied()).first() {
        Some(near) => format!("did you mean `{near}`?"),
        None => "names are those of the IANA registry, such as `echo-request`".to_owned(),
    };
    Problem::error(
        node.span,
        format!("no type of {owner} is called {}", quoted(name)),
    )
    .hint(hint)
    .into()
}

fn expected(node: &Node<'_>) -> Box<Problem> {
    Problem::error(
        node.span,
        format!(
            "expected a type by name or number, found {}",
            node.describe()
        ),
    )
    .hint("write `echo-request`, `8` or `destination-unreachable/4`")
    .into()
}
