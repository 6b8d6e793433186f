//! Values of options: protocols, ICMP types, addresses.

use std::net::IpAddr;

use crate::protocols;
use crate::ranges::Ranges;
use crate::region::{Addresses, LAST_KIND};

/// A number or a name; the inner `None` is any.
pub(super) fn protocol(name: &str) -> Option<Option<u8>> {
    if matches!(name, "all" | "0") {
        return Some(None);
    }
    let number = protocols::number_of(name).or_else(|| name.parse().ok())?;
    Some(Some(number))
}

/// The same of ICMPv6.
pub(super) fn kinds_v6(text: &str) -> Option<Ranges> {
    let number = match text {
        "destination-unreachable" => "1",
        "packet-too-big" => "2",
        "time-exceeded" | "ttl-exceeded" => "3",
        "parameter-problem" => "4",
        "echo-request" | "ping" => "128",
        "echo-reply" | "pong" => "129",
        "router-solicitation" => "133",
        "router-advertisement" => "134",
        "neighbor-solicitation" | "neighbour-solicitation" => "135",
        "neighbor-advertisement" | "neighbour-advertisement" => "136",
        "redirect" => "137",
        number if number.starts_with(|first: char| first.is_ascii_digit()) => number,
        _ => return None,
    };
    kinds(number)
}

/// `8`, `3/4`, `any`, and the names that people write.
pub(super) fn kinds(text: &str) -> Option<Ranges> {
    let whole = |kind: u128| Ranges::new([(kind << 8, kind << 8 | 0xff)]);
    let number = |text: &str| text.parse::<u8>().ok().map(u128::from);
    if let Some((kind, code)) = text.split_once('/') {
        let code = number(code)?;
        return Some(Ranges::one(number(kind)? << 8 | code));
    }
    Some(match text {
        "any" | "255" => Ranges::up_to(LAST_KIND),
        "echo-request" | "ping" => whole(8),
        "echo-reply" | "pong" => whole(0),
        "destination-unreachable" => whole(3),
        "source-quench" => whole(4),
        "time-exceeded" | "ttl-exceeded" => whole(11),
        "parameter-problem" => whole(12),
        "fragmentation-needed" => Ranges::one(3 << 8 | 4),
        number_text => whole(number(number_text)?),
    })
}

/// Types of addresses at the hook for what this host gets: there each address is its own, or for all. Broadcast addresses
/// of networks are not known, and count as the host's own.
pub(crate) fn address_type(name: &str) -> Option<Addresses> {
    let broadcast = Ranges::one(u32::MAX.into());
    let multicast = Addresses {
        v4: Ranges::new([(0xe000_0000, 0xefff_ffff)]),
        v6: Ranges::new([(0xff << 120, u128::MAX)]),
    };
    let broadcast = Addresses {
        v4: broadcast,
        v6: Ranges::EMPTY,
    };
    match name.to_ascii_lowercase().as_str() {
        "local" => Some(multicast.union(&broadcast).complement()),
        "multicast" => Some(multicast),
        "broadcast" => Some(broadcast),
        _ => None,
    }
}

/// An address, a prefix, or an address with a netmask; the inner `None` for a mask with gaps.
pub(super) fn prefix(text: &str) -> Option<Option<Addresses>> {
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let Some(mask) = mask else {
        return Some(Addresses::prefix(address, all));
    };
    if let Ok(length) = mask.parse() {
        return Addresses::prefix(address, length).map(Some);
    }
    let bits = match mask.parse().ok()? {
        IpAddr::V4(mask) => u128::from(u32::from(mask)) << 96,
        IpAddr::V6(mask) => mask.into(),
    };
    let length = bits.leading_ones();
    if length < 128 && bits << length != 0 {
        return Some(None);
    }
    Some(Addresses::prefix(address, length))
}
