//! Where the packets of a session arrive.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::dataplane::features::tag_offload;
use crate::dataplane::interfaces::{self, Interface};
use crate::host::sessions::Session;

/// A device through which packets come, and the tag that they have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) index: u32,
    pub(super) name: String,
    /// VLAN ID, or 0 for none.
    pub(super) vlan: u16,
}

/// A session, and the devices through which its packets may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) session: Session,
    pub(super) by: Vec<Arrival>,
}

/// Devices upon devices: a loop is impossible, this is how deep it can reasonably be.
const MAX_DEPTH: usize = 8;

/// Finds where sessions arrive: where this host sends its answers, and every device below. Nowhere, if no route leads
/// there.
pub(super) fn of(
    sessions: Vec<Session>,
    interfaces: &[Interface],
) -> std::io::Result<Vec<Arrived>> {
    // Thousands may come from a few addresses.
    let mut known: HashMap<(IpAddr, IpAddr, Option<u32>), Vec<Arrival>> = HashMap::new();
    let mut arrived = Vec::new();
    for session in sessions {
        let ends = (session.peer.ip(), session.local.ip(), session.bound);
        let by = match known.get(&ends) {
            Some(by) => by.clone(),
            None => {
                let by = along(ends, interfaces)?;
                known.insert(ends, by.clone());
                by
            }
        };
        arrived.push(Arrived { session, by });
    }
    Ok(arrived)
}

/// The devices through which a peer's packets come to an address of this host, whose socket may be bound to an interface.
fn along(
    (peer, own, bound): (IpAddr, IpAddr, Option<u32>),
    interfaces: &[Interface],
) -> std::io::Result<Vec<Arrival>> {
    let mut by = Vec::new();
    if let Some(top) = interfaces::towards(peer, own, bound)? {
        descend(top, 0, interfaces, MAX_DEPTH, &mut by);
    }
    for arrival in &mut by {
        // The filter does not see the tag then.
        if arrival.vlan != 0 && tag_offload(&arrival.name).is_ok_and(|offload| offload.strips()) {
            arrival.vlan = 0;
        }
    }
    Ok(by)
}

/// Adds a device, where packets for it have this tag, and those below it. The lowest VLAN's tag is the first one. Which
/// member of a bridge or bond a packet comes by, nobody knows.
fn descend(
    index: u32,
    vlan: u16,
    interfaces: &[Interface],
    depth: usize,
    found: &mut Vec<Arrival>,
) {
    let known = interfaces.iter().find(|own| own.index == index);
    let (Some(device), 1..) = (known, depth) else {
        return;
    };
    found.push(Arrival {
        index,
        name: device.name.clone(),
        vlan,
    });
    if let Some(lower) = device.lower {
        let below = device.vlan.unwrap_or(vlan);
        descend(lower, below, interfaces, depth - 1, found);
    }
    let members = interfaces
        .iter()
        .filter(|own| own.controller == Some(index));
    for member in members {
        descend(member.index, vlan, interfaces, depth - 1, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: u32, name: &str) -> Interface {
        Interface::ethernet(index, name)
    }

    fn below(index: u32, interfaces: &[Interface]) -> Vec<(String, u16)> {
        let mut found = Vec::new();
        descend(index, 0, interfaces, MAX_DEPTH, &mut found);
        found.into_iter().map(|own| (own.name, own.vlan)).collect()
    }

    fn seen(expected: &[(&str, u16)]) -> Vec<(String, u16)> {
        let own = |(name, vlan): &(&str, u16)| ((*name).to_owned(), *vlan);
        expected.iter().map(own).collect()
    }

    #[test]
    fn vlans_have_the_tag_of_the_lowest_below() {
        let interfaces = [
            device(1, "lo"),
            device(2, "eth0"),
            Interface {
                lower: Some(2),
                vlan: Some(100),
                ..device(3, "eth0.100")
            },
            Interface {
                lower: Some(3),
                vlan: Some(10),
                ..device(4, "eth0.100.10")
            },
            Interface {
                lower: Some(3),
                ..device(5, "macvlan0")
            },
        ];
        assert_eq!(below(2, &interfaces), seen(&[("eth0", 0)]));
        assert_eq!(
            below(3, &interfaces),
            seen(&[("eth0.100", 0), ("eth0", 100)])
        );
        assert_eq!(
            below(4, &interfaces),
            seen(&[("eth0.100.10", 0), ("eth0.100", 10), ("eth0", 100)])
        );
        assert_eq!(
            below(5, &interfaces),
            seen(&[("macvlan0", 0), ("eth0.100", 0), ("eth0", 100)])
        );
        // Another namespace's device, of which only the index is known.
        assert_eq!(below(9, &interfaces), []);
    }

    #[test]
    fn any_member_of_a_bond_may_carry_it() {
        let member = |index, name| Interface {
            controller: Some(5),
            ..device(index, name)
        };
        let interfaces = [
            member(2, "eth0"),
            member(3, "eth1"),
            device(4, "eth2"),
            device(5, "bond0"),
            Interface {
                lower: Some(5),
                vlan: Some(10),
                ..device(6, "bond0.10")
            },
        ];
        assert_eq!(
            below(6, &interfaces),
            seen(&[("bond0.10", 0), ("bond0", 10), ("eth0", 10), ("eth1", 10)])
        );
    }

    #[test]
    fn what_has_no_end_ends() {
        let loops = Interface {
            lower: Some(2),
            ..device(2, "eth0")
        };
        assert_eq!(below(2, &[loops]).len(), MAX_DEPTH);
    }
}
