//! What the kernel counts for each interface, by netlink (`struct rtnl_link_stats64`).

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::netlink::dump;

/// What is counted for an interface since it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStats {
    /// Its name.
    pub name: String,
    /// What came in.
    pub received: Direction,
    /// What was sent.
    pub sent: Direction,
    /// Multicast packets that came in.
    pub multicast: u64,
    /// Collisions.
    pub collisions: u64,
}

/// What is counted one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Packets with errors.
    pub errors: u64,
    /// Packets that were dropped, by an XDP program, too.
    pub dropped: u64,
    /// Packets for which a queue of the device had no room.
    pub overruns: u64,
}

/// All interfaces, by index.
///
/// # Errors
///
/// What the kernel says.
pub fn list() -> io::Result<Vec<LinkStats>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut found: Vec<(u32, LinkStats)> = dump(&request)?
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(message) => Some((message.header.index, stats(message)?)),
            _ => None,
        })
        .collect();
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, own)| own).collect())
}

fn stats(message: &LinkMessage) -> Option<LinkStats> {
    let mut name = None;
    let mut counted = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(own) => name = Some(own.clone()),
            LinkAttribute::Stats64(own) => counted = Some(*own),
            _ => {}
        }
    }
    let counted = counted?;
    Some(LinkStats {
        name: name?,
        received: Direction {
            packets: counted.rx_packets,
            bytes: counted.rx_bytes,
            errors: counted.rx_errors,
            dropped: counted.rx_dropped,
            overruns: counted.rx_fifo_errors + counted.rx_over_errors + counted.rx_missed_errors,
        },
        sent: Direction {
            packets: counted.tx_packets,
            bytes: counted.tx_bytes,
            errors: counted.tx_errors,
            dropped: counted.tx_dropped,
            overruns: counted.tx_fifo_errors,
        },
        multicast: counted.multicast,
        collisions: counted.collisions,
    })
}
