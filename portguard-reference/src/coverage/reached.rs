//! What one judgement reached.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Item;
use crate::frame::{self, Frame, Packet, Segment, TCP};
use crate::matching::{
    EssentialKind, address_matches, essential, port_matches, protocol_matches, trusts, type_matches,
};
use crate::model::{End, Judgement, Outcome, Reply};
use crate::policy::{
    Action, AddressEntry, Essential, Fragments, Per, Policy, PortEntry, Ports, Protocol, Rule,
    Service, TypeKind, Vlan, names_interface,
};

/// More bytes than any first buffer of a frame holds: a page.
const FIRST_BUFFER: usize = 4096;

/// Place of the rule that decided.
pub(super) fn decider(policy: &Policy, judgement: &Judgement) -> Option<usize> {
    let name = judgement.outcome.rule()?;
    policy.rules.iter().position(|rule| rule.name == name)
}

pub(super) fn items(
    policy: &Policy,
    interface: &str,
    frame: &[u8],
    judgement: &Judgement,
) -> BTreeSet<Item> {
    let mut items = BTreeSet::new();
    if !policy.enforce {
        items.insert(Item::Outcome("not enforced"));
    }
    match frame::read(frame) {
        Ok(Frame::Packet(packet)) => {
            outcome(policy, interface, &packet, judgement, &mut items);
            beside(policy, &packet, judgement, &mut items);
            if let Some(index) = decider(policy, judgement) {
                let rule = &policy.rules[index];
                action(rule, &packet, judgement, &mut items);
                fields(policy, rule, &packet, interface, &mut items);
                if frame.len() > FIRST_BUFFER {
                    items.insert(Item::Beside("beyond the first buffer, by a rule"));
                }
            }
        }
        Ok(Frame::NonIp { spared: true }) => {
            items.insert(Item::Outcome("non-ip, spared"));
        }
        Ok(Frame::NonIp { spared: false }) => {
            let name = either(judgement, "non-ip, drop", "non-ip, pass");
            items.insert(Item::Outcome(name));
        }
        Err(reason) => {
            items.insert(Item::Malformed(reason));
            if !judgement.dropped {
                items.insert(Item::Beside("malformed, passed"));
            }
        }
    }
    items
}

fn either(judgement: &Judgement, drop: &'static str, pass: &'static str) -> &'static str {
    if judgement.dropped { drop } else { pass }
}

/// Other outcomes than rules.
fn outcome(
    policy: &Policy,
    interface: &str,
    packet: &Packet,
    judgement: &Judgement,
    items: &mut BTreeSet<Item>,
) {
    let name = match &judgement.outcome {
        Outcome::DefaultPass => "default-pass",
        Outcome::DefaultDrop => "default-drop",
        Outcome::Trusted => {
            let mut entries = policy
                .trusted
                .iter()
                .filter(|entry| trusts(entry, packet.source, interface));
            if entries.all(|entry| !entry.interfaces.is_empty()) {
                "trusted on some interfaces"
            } else {
                "trusted"
            }
        }
        Outcome::Banned => "banned",
        Outcome::Reply(Reply::Tcp) => "reply, TCP",
        Outcome::Reply(Reply::Udp) => "reply, UDP",
        Outcome::Reply(Reply::Echo) => "reply, echo",
        Outcome::Reply(Reply::Error) => "reply, error",
        Outcome::Essential => "essential",
        Outcome::LaterFragment => match policy.fragments {
            Fragments::Rate(_) => either(
                judgement,
                "later-fragment, beyond the rate",
                "later-fragment, within the rate",
            ),
            Fragments::Pass | Fragments::Drop => {
                either(judgement, "later-fragment, drop", "later-fragment, pass")
            }
        },
        Outcome::Rule(_) | Outcome::Limited(_) | Outcome::NonIp | Outcome::Malformed(_) => return,
    };
    items.insert(Item::Outcome(name));
}

fn action(rule: &Rule, packet: &Packet, judgement: &Judgement, items: &mut BTreeSet<Item>) {
    let is_limited = matches!(judgement.outcome, Outcome::Limited(_));
    let name = match rule.action {
        Action::Pass => "rule, pass",
        Action::Drop => "rule, drop",
        Action::Reject if judgement.answered => "rule, reject, answered",
        Action::Reject => "rule, reject, silent",
        Action::Limit(_) if packet.protocol == TCP && !packet.is_attempt() => {
            "rule, limit, TCP that is no attempt"
        }
        Action::Limit(limit) => match (limit.per, is_limited) {
            (Per::Source, false) => "rule, limit per source, passed",
            (Per::Source, true) => "rule, limit per source, limited",
            (Per::Rule, false) => "rule, limit per rule, passed",
            (Per::Rule, true) => "rule, limit per rule, limited",
        },
    };
    items.insert(Item::Outcome(name));
}

fn beside(policy: &Policy, packet: &Packet, judgement: &Judgement, items: &mut BTreeSet<Item>) {
    let decider = decider(policy, judgement);
    if let Some(kind) = essential(packet)
        && judgement.outcome != Outcome::Essential
    {
        let is_type = matches!(kind, EssentialKind::Type(_));
        let name = match (policy.essential, decider) {
            (Essential::Pass, Some(_)) if is_type => "essential, by a rule on its type",
            (Essential::Pass, Some(_)) => "essential, by a rule that means it",
            _ => "essential types, as ordinary traffic",
        };
        items.insert(Item::Beside(name));
    }
    if !judgement.shadows.is_empty() {
        items.insert(Item::Beside(match decider {
            Some(_) => "shadow, then a rule",
            None => "shadow, then no rule",
        }));
    }
    let shadows = policy
        .rules
        .iter()
        .filter(|rule| judgement.shadows.contains(&rule.name));
    for rule in shadows {
        match rule.action {
            Action::Limit(_) => items.insert(Item::Beside("shadow of a limit")),
            Action::Reject => items.insert(Item::Beside("shadow of a reject")),
            Action::Pass | Action::Drop => false,
        };
    }
    if packet.is_later_fragment() && decider.is_some() {
        items.insert(Item::Beside("later fragment, by a rule"));
    }
    match judgement.late {
        Some((Reply::Tcp, End::Idle)) => items.insert(Item::Beside("too late, TCP, idle")),
        Some((Reply::Tcp, End::Finished)) => items.insert(Item::Beside("too late, TCP, finished")),
        Some((Reply::Tcp, End::Cut)) => items.insert(Item::Beside("too late, TCP, reset")),
        Some((Reply::Udp, End::Cut)) => items.insert(Item::Beside("too late, UDP, port closed")),
        Some((Reply::Udp, _)) => items.insert(Item::Beside("too late, UDP, idle")),
        Some((Reply::Echo, _)) => items.insert(Item::Beside("too late, echo")),
        Some((Reply::Error, _)) | None => false,
    };
}

fn fields(
    policy: &Policy,
    rule: &Rule,
    packet: &Packet,
    interface: &str,
    items: &mut BTreeSet<Item>,
) {
    let mut names = BTreeSet::new();
    for &protocol in &rule.protocols {
        if protocol_matches(protocol, packet.protocol, packet.is_ipv6()) {
            names.insert(match protocol {
                Protocol::Name(_) => "protocol by name",
                Protocol::Number(_) => "protocol by number",
                Protocol::Any => "protocol any",
            });
        }
    }
    let (source, destination) = match packet.segment {
        Segment::Ports {
            source,
            destination,
        } => (Some(source), Some(destination)),
        Segment::Message { .. } | Segment::Other => (None, None),
    };
    let matched = |entries: &[PortEntry], port| -> Vec<PortEntry> {
        let matches = |&entry: &PortEntry| port_matches(rule, entry, packet.protocol, port);
        entries.iter().copied().filter(matches).collect()
    };
    for entry in matched(&rule.ports, destination) {
        names.insert(match entry.ports {
            Ports::Number(_) => "ports by number",
            Ports::Range(..) => "ports by range",
            Ports::Service(service) if Service::OWN.contains(&service) => {
                "ports by the host's own name"
            }
            Ports::Service(_) => "ports by name",
            Ports::Any => "ports any",
        });
        if entry.suffix.is_some() {
            names.insert("ports with suffix");
        }
    }
    for entry in matched(&rule.source_ports, source) {
        names.insert(match entry.ports {
            Ports::Number(_) => "source ports by number",
            Ports::Range(..) => "source ports by range",
            Ports::Service(_) => "source ports by name",
            Ports::Any => "source ports any",
        });
        if entry.suffix.is_some() {
            names.insert("source ports with suffix");
        }
        if !rule.ports.is_empty() {
            names.insert("ports and source ports");
        }
    }
    let from = ["from by address", "from by prefix", "from by set"];
    names.extend(addresses(policy, &rule.from, packet.source, from));
    let to = ["to by address", "to by prefix", "to by set"];
    names.extend(addresses(policy, &rule.to, packet.destination, to));
    for &entry in &rule.types {
        if type_matches(entry, packet) {
            names.insert(match entry.kind {
                TypeKind::Number(_) => "types by number",
                TypeKind::Name(_) if rule.protocols.len() == 2 => "types of both families",
                TypeKind::Name(_) => "types by name",
            });
            if entry.code.is_some() {
                names.insert("types with code");
            }
        }
    }
    for pattern in &rule.interfaces {
        if names_interface(std::slice::from_ref(pattern), interface) {
            names.insert(if pattern == interface {
                "interfaces by name"
            } else {
                "interfaces by glob"
            });
        }
    }
    if !rule.vlans.is_empty() {
        let is_none = packet.vlan.map_or(Vlan::None, Vlan::Id) == Vlan::None;
        names.insert(if is_none { "vlan none" } else { "vlan by ID" });
    }
    if rule.protocols.is_empty() && rule.ports.is_empty() && rule.source_ports.is_empty() {
        names.insert("no protocol and no ports");
    }
    items.extend(names.into_iter().map(Item::Field));
}

/// Which of the three ways to write an address matched.
fn addresses(
    policy: &Policy,
    entries: &[AddressEntry],
    address: IpAddr,
    [by_address, by_prefix, by_set]: [&'static str; 3],
) -> Vec<&'static str> {
    let matches = |entry: &&AddressEntry| address_matches(policy, entry, address);
    entries
        .iter()
        .filter(matches)
        .map(|entry| match entry {
            AddressEntry::Prefix(prefix) if prefix.is_address() => by_address,
            AddressEntry::Prefix(_) => by_prefix,
            AddressEntry::Set(_) => by_set,
        })
        .collect()
}
