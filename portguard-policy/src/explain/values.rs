//! Values of fields, as a policy writes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addresses::Addresses;
use crate::policy::{PortRange, ServiceMatch, Transport};
use crate::protocols::protocol_name;
use crate::types;

/// Values of a field that are told.
const SHOWN: usize = 4;

/// The protocol alone of what a rule matches.
pub(super) fn protocol_of(own: &ServiceMatch) -> String {
    match *own {
        ServiceMatch::Any => "any".to_owned(),
        ServiceMatch::Ports(transport, _) | ServiceMatch::AnyPort(transport) => {
            transport.to_string()
        }
        ServiceMatch::DhcpAnswer | ServiceMatch::Dhcpv6Answer => Transport::Udp.to_string(),
        ServiceMatch::Icmp | ServiceMatch::IcmpType { .. } => "icmp".to_owned(),
        ServiceMatch::Icmpv6 | ServiceMatch::Icmpv6Type { .. } => "icmpv6".to_owned(),
        ServiceMatch::Ah => "ah".to_owned(),
        ServiceMatch::Protocol(number) => name_of(number),
        ServiceMatch::EssentialIgmp => "igmp".to_owned(),
    }
}

pub(super) fn single(port: u16) -> PortRange {
    PortRange {
        low: port,
        high: port,
    }
}

/// A type of ICMP or ICMPv6, by its name if it has one.
pub(super) fn typed(is_ipv6: bool, kind: u8, code: Option<u8>) -> String {
    let protocol = if is_ipv6 { "icmpv6" } else { "icmp" };
    let code = code.map(|code| format!("/{code}")).unwrap_or_default();
    match types::name_of(kind, is_ipv6) {
        Some(name) => format!("{protocol}/{kind}{code} ({name})"),
        None => format!("{protocol}/{kind}{code}"),
    }
}

pub(super) fn name_of(protocol: u8) -> String {
    match protocol_name(protocol) {
        Some(name) if !matches!(protocol, 1 | 58) => name.to_owned(),
        _ => format!("protocol {protocol}"),
    }
}

/// Ranges of addresses, as a rule says them.
pub(super) fn ranges(addresses: &Addresses) -> impl Iterator<Item = String> {
    let v4 = addresses.v4().iter().map(|(low, high)| {
        let length = prefix_length(u128::from(low ^ high), (*low).into(), 32);
        let (low, high) = (Ipv4Addr::from(*low), Ipv4Addr::from(*high));
        range(low.into(), high.into(), length)
    });
    let v6 = addresses.v6().iter().map(|(low, high)| {
        let length = prefix_length(low ^ high, *low, 128);
        let (low, high) = (Ipv6Addr::from(*low), Ipv6Addr::from(*high));
        range(low.into(), high.into(), length)
    });
    v4.chain(v6)
}

/// The length of the prefix that a range is, if it is one; `differ` are the bits in which its ends differ.
fn prefix_length(differ: u128, low: u128, bits: u32) -> Option<u32> {
    let host = 128 - differ.leading_zeros();
    let is_prefix = differ.count_ones() == host && low & differ == 0;
    is_prefix.then(|| bits - host)
}

fn range(low: IpAddr, high: IpAddr, prefix: Option<u32>) -> String {
    match prefix {
        _ if low == high => low.to_string(),
        Some(bits) => format!("{low}/{bits}"),
        None => format!("{low}-{high}"),
    }
}

/// A few of some values.
pub(super) fn some(values: impl Iterator<Item = String>) -> String {
    let values: Vec<String> = values.take(SHOWN + 1).collect();
    match values.as_slice() {
        [] => "nothing".to_owned(),
        all if all.len() > SHOWN => format!("{}, …", all[..SHOWN].join(", ")),
        all => all.join(", "),
    }
}
