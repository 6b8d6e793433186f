//! Rules.

use std::fmt::Display;

use super::values::{list, pattern, prefix, quoted, rate};
use crate::policy::{
    Action, AddressEntry, Limit, Per, PortEntry, Ports, Protocol, Rule, TypeEntry, TypeKind, Vlan,
};
use crate::random::Random;

pub(super) fn write(rule: &Rule, random: &mut Random, lines: &mut Vec<String>) {
    let action = match rule.action {
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Reject => "reject",
        Action::Limit(_) => "limit",
    };
    let mut fields = vec![
        format!("name: {}", quoted(&rule.name, random)),
        format!("action: {action}"),
    ];
    let mut field = |name: &str, entries: Vec<String>, random: &mut Random| {
        if !entries.is_empty() {
            fields.push(format!("{name}: {}", list(&entries, random)));
        }
    };
    let protocols = rule.protocols.iter().map(protocol).collect();
    field("protocol", protocols, random);
    let ports = ports(&rule.ports, random);
    field("ports", ports, random);
    let source_ports = self::ports(&rule.source_ports, random);
    field("source_ports", source_ports, random);
    let from = addresses(&rule.from, random);
    field("from", from, random);
    let to = addresses(&rule.to, random);
    field("to", to, random);
    let types = rule
        .types
        .iter()
        .map(|&entry| quoted(&type_entry(entry), random))
        .collect();
    field("types", types, random);
    let interfaces = rule
        .interfaces
        .iter()
        .map(|name| pattern(name, random))
        .collect();
    field("interfaces", interfaces, random);
    let vlans = rule
        .vlans
        .iter()
        .map(|vlan| match vlan {
            Vlan::None => "none".to_owned(),
            Vlan::Id(id) => id.to_string(),
        })
        .collect();
    field("vlan", vlans, random);

    if let Action::Limit(limit) = rule.action {
        write_limit(limit, random, &mut fields);
    }
    if !rule.enforce || random.one_in(8) {
        fields.push(format!("enforce: {}", rule.enforce));
    }
    if random.one_in(10) {
        fields.push("comment: \"means: nothing\"".to_owned());
    }
    // The order of the fields has no meaning.
    let first = random.below(fields.len());
    fields.rotate_left(first);
    if random.one_in(3) {
        lines.push(format!("  - {{ {} }}", fields.join(", ")));
    } else {
        lines.push(format!("  - {}", fields.join("\n    ")));
    }
}

fn write_limit(limit: Limit, random: &mut Random, fields: &mut Vec<String>) {
    fields.push(format!("rate: {}", rate(limit.rate)));
    if let Some(burst) = limit.burst {
        fields.push(format!("burst: {burst}"));
    }
    match limit.per {
        Per::Source if random.one_in(2) => {}
        Per::Source => fields.push("per: source".to_owned()),
        Per::Rule => fields.push("per: rule".to_owned()),
    }
}

fn ports(entries: &[PortEntry], random: &mut Random) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in entries {
        let ports = match entry.ports {
            Ports::Number(number) => number.to_string(),
            Ports::Range(low, high) => format!("{low}-{high}"),
            Ports::Service(service) => service.name().to_owned(),
            Ports::Any => "any".to_owned(),
        };
        let suffix = entry.suffix.map_or_else(String::new, |suffix| {
            format!("/{}", suffix.protocol().name())
        });
        texts.push(quoted(&format!("{ports}{suffix}"), random));
    }
    texts
}

fn addresses(entries: &[AddressEntry], random: &mut Random) -> Vec<String> {
    entries
        .iter()
        .map(|entry| match entry {
            AddressEntry::Prefix(address) => prefix(*address, random),
            AddressEntry::Set(name) => quoted(&format!("${name}"), random),
        })
        .collect()
}

fn type_entry(entry: TypeEntry) -> String {
    let kind = match entry.kind {
        TypeKind::Number(number) => number.to_string(),
        TypeKind::Name(name) => name.name().to_owned(),
    };
    match entry.code {
        Some(code) => format!("{kind}/{code}"),
        None => kind,
    }
}

fn protocol(protocol: &Protocol) -> String {
    let text: &dyn Display = match protocol {
        Protocol::Name(name) => &name.name(),
        Protocol::Number(number) => number,
        Protocol::Any => &"any",
    };
    text.to_string()
}
