//! The addresses of this host, by netlink.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};

use super::netlink::dump;

/// All addresses of this namespace, each with the index of its interface, in order.
///
/// # Errors
///
/// What the kernel says.
pub fn list() -> io::Result<Vec<(u32, IpAddr)>> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut addresses: Vec<(u32, IpAddr)> = dump(&request)?
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(message) => address(message),
            _ => None,
        })
        .collect();
    addresses.sort_unstable();
    Ok(addresses)
}

fn address(message: &AddressMessage) -> Option<(u32, IpAddr)> {
    let mut found = None;
    for attribute in &message.attributes {
        match attribute {
            // Of an interface with a peer, the other attribute is the peer's.
            AddressAttribute::Local(address) => return Some((message.header.index, *address)),
            AddressAttribute::Address(address) => found = Some((message.header.index, *address)),
            _ => {}
        }
    }
    found
}
