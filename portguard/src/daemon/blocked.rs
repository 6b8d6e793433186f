//! Saying which ports a policy blocks that the one before passed.

use portguard_policy::{ClosedPorts, Transport, newly_blocked_ports};

use crate::policy_file::Loaded;

/// Ranges of ports that are listed; of further ones only the number of ports is told.
const MOST_RANGES: usize = 10;

/// A note for who reloads: connections from outside to these ports are cut now. There is none where nothing is blocked
/// anew, or where policies are too complex to tell.
pub(super) fn note(old: &Loaded, new: &Loaded) -> Option<String> {
    if !new.policy.enforce {
        return None;
    }
    let blocked: Vec<String> = [
        (Transport::Tcp, "tcp"),
        (Transport::Udp, "udp"),
        (Transport::Sctp, "sctp"),
    ]
    .into_iter()
    .filter_map(|(transport, name)| {
        let ports = newly_blocked_ports(&old.tables, &new.tables, transport).ok()?;
        (!ports.is_empty()).then(|| format!("{name} {}", list(&ports)))
    })
    .collect();
    (!blocked.is_empty()).then(|| {
        format!(
            "note: blocked now, for some packets at least, and not before: {}; connections that were opened to these \
             ports from outside are cut",
            blocked.join("; ")
        )
    })
}

/// Ports as ranges, so many at most.
fn list(ports: &ClosedPorts) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports.iter() {
        match ranges.last_mut() {
            Some((_, high)) if high.checked_add(1) == Some(port) => *high = port,
            _ => ranges.push((port, port)),
        }
    }
    let shown: Vec<String> = ranges
        .iter()
        .take(MOST_RANGES)
        .map(|(low, high)| {
            if low == high {
                low.to_string()
            } else {
                format!("{low}-{high}")
            }
        })
        .collect();
    let shown = shown.join(", ");
    if ranges.len() > MOST_RANGES {
        format!("{shown} and more ({} ports)", ports.len())
    } else {
        shown
    }
}
