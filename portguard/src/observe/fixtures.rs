//! What the tests of several models count.

use std::path::PathBuf;

use crate::control::{Count, Event, EventAction, RuleCount};

pub(super) fn count(packets: u64) -> Count {
    Count {
        packets,
        bytes: packets * 100,
    }
}

pub(super) fn rule(name: &str, packets: u64) -> RuleCount {
    RuleCount {
        name: name.into(),
        action: Some("drop".into()),
        count: count(packets),
        limited: count(0),
        shadow: count(0),
    }
}

/// A dropped TCP packet from a source, if that is an address, to a port; by a rule, or by default.
pub(crate) fn event(source: &str, rule: Option<&str>, port: u16) -> Event {
    Event {
        unix_time: 0.0,
        interface: "eth0".into(),
        action: EventAction::Drop,
        enforced: true,
        outcome: rule.map_or("default-drop", |_| "rule").into(),
        rule: rule.map(str::to_owned),
        line: None,
        policy: PathBuf::new(),
        generation: 2,
        length: 60,
        vlan: None,
        ether_type: None,
        protocol: Some("tcp".into()),
        source: source.parse().ok(),
        source_port: None,
        destination: None,
        destination_port: Some(port),
        icmp_type: None,
        icmp_code: None,
        later_fragment: false,
        bytes: None,
    }
}
