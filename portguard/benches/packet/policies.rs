//! The policies that are measured. Their prefixes are made of the same numbers as the addresses that the kernel side
//! draws.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use portguard_common::draw::{destination_v4, destination_v6, source_v4, source_v6};

/// A policy of rules that drop, each with the fields given.
pub(crate) fn rules(head: &str, fields: impl IntoIterator<Item = String>) -> String {
    let mut text = format!("version: 1\n{head}rules:\n");
    for (number, fields) in fields.into_iter().enumerate() {
        let _infallible = writeln!(text, "  - {{name: r{number}, action: drop, {fields}}}");
    }
    text
}

/// One rule for each of so many ports.
pub(crate) fn a_rule_each(ports: u32) -> String {
    rules("", (1..=ports).map(|port| format!("ports: [{port}/udp]")))
}

/// One rule for all of so many prefixes.
pub(crate) fn prefixes_in_one_rule(prefixes: u32) -> String {
    let list: Vec<String> = (0..prefixes).map(source_prefix_v4).collect();
    rules(
        "",
        [format!("ports: [53/udp], from: [{}]", list.join(", "))],
    )
}

/// One rule for each of so many prefixes, all with one port.
pub(crate) fn a_rule_each_prefix(prefixes: u32) -> String {
    let rule = |number| format!("ports: [53/udp], from: [{}]", source_prefix_v4(number));
    rules("", (0..prefixes).map(rule))
}

/// Rules that each pair a prefix of their own with a port of their own.
pub(crate) fn pairs(count: u32) -> String {
    let rule = |number: u32| {
        let port = number + 1;
        format!("ports: [{port}/udp], from: [{}]", source_prefix_v4(number))
    };
    rules("", (0..count).map(rule))
}

/// So many rules that have conditions on everything: sources, some on one of 16 destinations, one of 50 ports, one of
/// two interfaces. Sources and destinations are prefixes of both families.
pub(crate) fn mixed(count: u32) -> String {
    let rule = |number: u32| {
        let mut fields = format!(
            "ports: [{}/udp], from: [{}, \"{}\"]",
            number % 50 + 1,
            source_prefix_v4(number),
            prefix_v6(source_v6(number), number)
        );
        if number.is_multiple_of(3) {
            let place = number / 3 % 16;
            let _infallible = write!(
                fields,
                ", to: [{}, \"{}\"]",
                prefix_v4(destination_v4(place), 24),
                prefix_v6(destination_v6(place), place)
            );
        }
        match number % 4 {
            0 => fields += ", interfaces: [lo]",
            1 => fields += ", interfaces: [eth0]",
            _ => {}
        }
        fields
    };
    rules("default: drop\n", (0..count).map(rule))
}

/// A prefix of 24 to 32 bits that holds the address of a source.
pub(crate) fn source_prefix(number: u32) -> (Ipv4Addr, u8) {
    let length = 24 + (number % 9) as u8;
    let address = source_v4(number) & u32::MAX << (32 - length);
    (address.into(), length)
}

fn source_prefix_v4(number: u32) -> String {
    let (address, length) = source_prefix(number);
    format!("{address}/{length}")
}

fn prefix_v4(address: u32, length: u8) -> String {
    let address = Ipv4Addr::from(address & u32::MAX << (32 - length));
    format!("{address}/{length}")
}

/// A prefix of 48 to 64 bits, or for every eighth number the address itself.
fn prefix_v6(halves: [u64; 2], number: u32) -> String {
    let [high, low] = halves;
    let address = u128::from(high) << 64 | u128::from(low);
    let length = match number % 8 {
        7 => 128,
        place => [48, 52, 56, 60, 62, 63, 64][place as usize],
    };
    let address = Ipv6Addr::from(address & u128::MAX << (128 - length));
    format!("{address}/{length}")
}

/// A file of so many prefixes, one a line, in no order.
pub(crate) fn set_file(prefixes: u32) -> String {
    let mut text = String::new();
    for number in 0..prefixes {
        let _infallible = writeln!(text, "{}", source_prefix_v4(number));
    }
    text
}

/// A policy that drops the sources of a file.
pub(crate) const DROPS_A_SET: &str =
    "version: 1\nsets: {bad: {file: set}}\nrules:\n  - {name: bad, action: drop, from: [$bad]}\n";

/// A policy under which most packets are dropped, but replies pass.
pub(crate) const REPLIES: &str = "version: 1\ndefault: drop\nreplies: pass\nrules:\n  - {name: web, action: pass, ports: [443/tcp]}\n";

/// A policy that leaves nothing out of the program.
pub(crate) const EVERYTHING: &str = "\
version: 1
default: drop
replies: pass
non_ip: drop
fragments: {rate: 1000/s}
trusted: [198.51.100.0/24, \"2001:db8:1::/48\"]
rules:
  - {name: seen, action: limit, protocol: any, rate: 100/s, enforce: false}
  - {name: dns, action: limit, ports: [53], rate: 100/s, burst: 200}
  - {name: all-dns, action: limit, ports: [53/udp], rate: 100/s, per: rule, enforce: false}
  - {name: refused, action: reject, ports: [23], to: [192.0.2.0/24, \"2001:db8:2::/64\"]}
  - {name: tagged, action: drop, ports: [80], vlan: 7}
  - {name: local, action: pass, ports: [80], interfaces: [lo]}
  - {name: forged, action: drop, ports: any, protocol: udp, source_ports: [19, 53]}
";
