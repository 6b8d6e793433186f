//! The interfaces through which packets from outside come to this host, and where the filter sees them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use crate::dataplane::addresses;
use crate::dataplane::features::tag_offload;
use crate::dataplane::interfaces::{self, Interface};

/// Devices upon devices: a loop is impossible, this is how deep it can reasonably be.
const MAX_DEPTH: usize = 8;

/// An interface with an address through which packets from outside come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether strangers may come by it: it carries a default route, or no interface does.
    pub is_outside: bool,
    /// Where a filter sees all that comes by it; `None` if it may come past the filter.
    pub filtered: Option<Vec<Point>>,
}

/// A device where a filter sees packets, with the tag that they have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// VLAN ID, or 0 for none.
    pub vlan: u16,
}

/// The ways into this network namespace, where these interfaces are guarded.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn ways(guarded: &BTreeSet<String>) -> io::Result<Vec<Way>> {
    let links = interfaces::list_links()?;
    let with_default_route = interfaces::with_default_route()?;
    let addresses = addresses::list()?;
    let all: Vec<Interface> = links.iter().map(|link| link.interface.clone()).collect();
    let entrances = links.iter().filter(|link| {
        let own = &link.interface;
        link.is_up && own.kind != "loopback" && own.controller.is_none()
    });
    let mut ways: Vec<Way> = entrances
        .map(|link| {
            let own = &link.interface;
            let of_it = addresses.iter().filter(|(index, _)| *index == own.index);
            Way {
                index: own.index,
                name: own.name.clone(),
                addresses: of_it.map(|(_, address)| *address).collect(),
                is_outside: with_default_route.contains(&own.index),
                filtered: points(own.index, 0, guarded, &all, MAX_DEPTH).map(without_tags),
            }
        })
        .filter(|way| !way.addresses.is_empty())
        .collect();
    if !ways.iter().any(|way| way.is_outside) {
        for way in &mut ways {
            way.is_outside = true;
        }
    }
    Ok(ways)
}

/// Where a filter sees all that comes by a device, whose packets have this tag there: the device itself, the one below
/// it, or all its members.
fn points(
    index: u32,
    vlan: u16,
    guarded: &BTreeSet<String>,
    interfaces: &[Interface],
    depth: usize,
) -> Option<Vec<Point>> {
    let device = interfaces.iter().find(|own| own.index == index)?;
    let depth = depth.checked_sub(1)?;
    if guarded.contains(&device.name) {
        let name = device.name.clone();
        return Some(vec![Point { name, vlan }]);
    }
    if let Some(lower) = device.lower {
        let below = device.vlan.unwrap_or(vlan);
        return points(lower, below, guarded, interfaces, depth);
    }
    let members = interfaces
        .iter()
        .filter(|own| own.controller == Some(index))
        .map(|own| points(own.index, vlan, guarded, interfaces, depth));
    let members: Vec<Vec<Point>> = members.collect::<Option<_>>()?;
    (!members.is_empty()).then(|| members.concat())
}

/// Where a device takes tags out, the filter does not see them.
fn without_tags(mut points: Vec<Point>) -> Vec<Point> {
    for point in &mut points {
        if point.vlan != 0 && tag_offload(&point.name).is_ok_and(|offload| offload.strips()) {
            point.vlan = 0;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(index: u32, guarded: &[&str], interfaces: &[Interface]) -> Option<Vec<(String, u16)>> {
        let guarded = guarded.iter().map(|name| (*name).to_owned()).collect();
        let points = points(index, 0, &guarded, interfaces, MAX_DEPTH)?;
        Some(points.into_iter().map(|own| (own.name, own.vlan)).collect())
    }

    #[test]
    fn a_device_is_filtered_by_itself_by_what_is_below_or_by_all_members() {
        let interfaces = [
            Interface::ethernet(2, "eth0"),
            Interface {
                lower: Some(2),
                vlan: Some(10),
                ..Interface::ethernet(3, "eth0.10")
            },
            Interface::ethernet(4, "br0"),
            Interface {
                controller: Some(4),
                ..Interface::ethernet(5, "eth1")
            },
            Interface {
                controller: Some(4),
                ..Interface::ethernet(6, "eth2")
            },
        ];
        let at = |name: &str, vlan| Some(vec![(name.to_owned(), vlan)]);
        assert_eq!(seen(2, &["eth0"], &interfaces), at("eth0", 0));
        assert_eq!(seen(3, &["eth0"], &interfaces), at("eth0", 10));
        assert_eq!(seen(3, &["eth0.10", "eth0"], &interfaces), at("eth0.10", 0));
        assert_eq!(seen(2, &["eth0.10"], &interfaces), None);
        assert_eq!(seen(4, &["br0"], &interfaces), at("br0", 0));
        // One member is not enough.
        assert_eq!(seen(4, &["eth1"], &interfaces), None);
        assert_eq!(
            seen(4, &["eth1", "eth2"], &interfaces),
            Some(vec![("eth1".to_owned(), 0), ("eth2".to_owned(), 0)])
        );
    }
}
