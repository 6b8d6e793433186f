//! Single values.

use std::net::IpAddr;

use crate::policy::{Period, Prefix, Rate, address_of};
use crate::random::Random;

/// A list, or a single entry without one.
pub(super) fn list(entries: &[String], random: &mut Random) -> String {
    match entries {
        [single] if random.one_in(2) => single.clone(),
        entries => format!("[{}]", entries.join(", ")),
    }
}

/// With or without quotes, which mean nothing here.
pub(super) fn quoted(text: &str, random: &mut Random) -> String {
    let quote = random.pick(&["", "", "\"", "'"]);
    format!("{quote}{text}{quote}")
}

/// A name or glob; the signs of a glob mean something to YAML.
pub(super) fn pattern(name: &str, random: &mut Random) -> String {
    if name.chars().all(char::is_alphanumeric) {
        return quoted(name, random);
    }
    let quote = random.pick(&["\"", "'"]);
    format!("{quote}{name}{quote}")
}

/// An address or prefix within YAML, where colons mean something.
pub(super) fn prefix(prefix: Prefix, random: &mut Random) -> String {
    let text = prefix_line(prefix, random);
    if prefix.is_ipv6() {
        let quote = random.pick(&["\"", "'"]);
        return format!("{quote}{text}{quote}");
    }
    quoted(&text, random)
}

/// An address or prefix alone in a line.
pub(super) fn prefix_line(prefix: Prefix, random: &mut Random) -> String {
    let mut number = prefix.first();
    if !prefix.is_address() && random.one_in(10) {
        // Host bits are masked, with a warning.
        let span = prefix.last() - prefix.first();
        let host = u128::from(random.bits()) << 64 | u128::from(random.bits());
        number |= host & span;
    }
    let address = match address_of(prefix.is_ipv6(), number) {
        IpAddr::V6(address) if random.one_in(4) => {
            let groups = address.segments().map(|group| format!("{group:04x}"));
            groups.join(":")
        }
        IpAddr::V6(address) if random.one_in(6) => address.to_string().to_uppercase(),
        address => address.to_string(),
    };
    if prefix.is_address() && !random.one_in(3) {
        return address;
    }
    format!("{address}/{}", prefix.length())
}

pub(super) fn rate(rate: Rate) -> String {
    let per = match rate.per {
        Period::Second => "s",
        Period::Minute => "m",
    };
    format!("{}/{per}", rate.packets)
}
