//! The series of dropped packets by destination: the ports that rules name, and the rest by protocol.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use portguard_policy::Transport;

use crate::control::DropCount;

use super::encode::{Families, Unit};

/// Most ports with a series of their own.
const MOST: usize = 100;

/// The label of what has no series of its own.
const OTHER: &str = "other";

/// Protocols with a series of their own, beside those with ports.
const PROTOCOLS: [&str; 7] = ["icmp", "icmpv6", "igmp", "gre", "esp", "ah", "ipip"];

/// Dropped packets by protocol and port.
pub(super) struct DropSeries {
    ports: Vec<(Transport, u16, u64)>,
    /// By protocol.
    others: BTreeMap<&'static str, u64>,
    folded: usize,
}

impl DropSeries {
    /// The series of these drops, where these ports are named by rules.
    pub(super) fn of(drops: &[DropCount], named: &[(Transport, u16)]) -> Self {
        let own = &named[..named.len().min(MOST)];
        let is_own: HashSet<(Transport, u16)> = own.iter().copied().collect();
        let mut counts: HashMap<(Transport, u16), u64> = HashMap::new();
        let mut others: BTreeMap<&'static str, u64> = Transport::ALL
            .into_iter()
            .map(|transport| (transport.name(), 0))
            .collect();
        for drop in drops {
            let transport = Transport::from_name(&drop.protocol);
            let key = transport.zip(drop.port);
            match key.filter(|key| is_own.contains(key)) {
                Some(key) => *counts.entry(key).or_default() += drop.packets,
                None => {
                    *others
                        .entry(protocol(&drop.protocol, transport))
                        .or_default() += drop.packets
                }
            }
        }
        let ports = own.iter().map(|(transport, port)| {
            let packets = counts.get(&(*transport, *port)).copied();
            (*transport, *port, packets.unwrap_or_default())
        });
        Self {
            ports: ports.collect(),
            others,
            folded: named.len() - own.len(),
        }
    }

    /// Ports that rules name and that have no series.
    pub(super) const fn folded(&self) -> usize {
        self.folded
    }

    pub(super) fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        let ports: Vec<String> = self
            .ports
            .iter()
            .map(|(_, port, _)| port.to_string())
            .collect();
        let own = self
            .ports
            .iter()
            .zip(&ports)
            .map(|((transport, _, packets), port)| {
                (
                    [("protocol", transport.name()), ("port", port.as_str())],
                    *packets,
                )
            });
        let others = self
            .others
            .iter()
            .map(|(protocol, packets)| ([("protocol", *protocol), ("port", OTHER)], *packets));
        families.counters(
            "portguard_dropped",
            Unit::Packets,
            "Dropped packets by protocol, and by destination port where a rule names it.",
            own.chain(others),
        )
    }
}

fn protocol(name: &str, transport: Option<Transport>) -> &'static str {
    match transport {
        Some(transport) => transport.name(),
        None => PROTOCOLS
            .into_iter()
            .find(|own| *own == name)
            .unwrap_or(OTHER),
    }
}
