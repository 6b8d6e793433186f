//! Rules on thousands of addresses: more than a flat table has room for.

use std::net::Ipv4Addr;

use crate::filter::Filter;
use crate::frames::{Ipv4, Packet, ethernet, udp};

/// Numbers that look random and are the same in each run (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.next() % bound
    }
}

/// First address and length.
type Prefix = (u32, u32);

fn mask(len: u32) -> u32 {
    u32::MAX.checked_shl(32 - len).unwrap_or(0)
}

fn prefix(address: u32, len: u32) -> Prefix {
    (address & mask(len), len)
}

fn holds(prefixes: &[Prefix], address: u32) -> bool {
    prefixes
        .iter()
        .any(|(first, len)| address & mask(*len) == *first)
}

fn list(prefixes: &[Prefix]) -> String {
    let each = prefixes
        .iter()
        .map(|(first, len)| format!("{}/{len}", Ipv4Addr::from_bits(*first)));
    each.collect::<Vec<_>>().join(", ")
}

fn frame(source: u32, destination: u32) -> Vec<u8> {
    let mut packet = Packet::from(Ipv4::carrying(udp(1000, 53, b"")));
    packet.bytes[12..16].copy_from_slice(&source.to_be_bytes());
    packet.bytes[16..20].copy_from_slice(&destination.to_be_bytes());
    ethernet(packet)
}

/// The addresses at both ends of some prefixes, and beside them.
fn edges(prefixes: &[Prefix]) -> impl Iterator<Item = u32> {
    prefixes.iter().flat_map(|(first, len)| {
        let last = first | !mask(*len);
        [first.wrapping_sub(1), *first, last, last.wrapping_add(1)]
    })
}

/// Expects of each source, and of each destination, that the first rule which holds it decides.
fn expect_first(rules: &[(&str, &[Prefix])], addresses: &[u32]) {
    for field in ["from", "to"] {
        let text: Vec<String> = rules
            .iter()
            .map(|(name, prefixes)| {
                format!(
                    "{{ name: {name}, action: drop, protocol: udp, ports: any, {field}: [{}] }}",
                    list(prefixes)
                )
            })
            .collect();
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let mut filter = Filter::new("", &text);
        for address in addresses {
            let decider = rules.iter().find(|(_, prefixes)| holds(prefixes, *address));
            let expected = match decider {
                Some((name, _)) => format!("drop {name} udp/53"),
                None => "pass default-pass".to_owned(),
            };
            let frame = match field {
                "from" => frame(*address, 0x0808_0808),
                _ => frame(0x0808_0808, *address),
            };
            let case = format!("{field} {}", Ipv4Addr::from_bits(*address));
            filter.expect(&case, &frame, &expected);
        }
    }
}

#[test]
fn thousands_of_prefixes_in_one_rule() {
    let mut numbers = Numbers(1);
    let prefixes: Vec<Prefix> = (0..3000)
        .map(|number| prefix(numbers.next(), 12 + number % 21))
        .collect();
    let addresses: Vec<u32> = edges(&prefixes[..600]).collect();
    expect_first(&[("listed", &prefixes)], &addresses);
}

#[test]
fn rules_whose_prefixes_overlap() {
    let mut numbers = Numbers(2);
    // Few networks, so that those of the rules meet.
    let mut some = |count: u32, lens: std::ops::Range<u32>| -> Vec<Prefix> {
        (0..count)
            .map(|number| {
                let address = numbers.below(300) << 16 | numbers.below(1 << 16);
                prefix(address, lens.start + number % (lens.end - lens.start))
            })
            .collect()
    };
    let (first, second, third) = (some(900, 24..33), some(900, 20..29), some(200, 14..20));
    let addresses: Vec<u32> = edges(&first[..150])
        .chain(edges(&second[..150]))
        .chain(edges(&third[..50]))
        .collect();
    let rules: [(&str, &[Prefix]); 3] = [("first", &first), ("second", &second), ("third", &third)];
    expect_first(&rules, &addresses);
}

#[test]
fn a_network_with_as_many_ranges_as_a_list_holds_and_with_more() {
    // Hosts of one /16 each: 31 give 62 starts, with the last address 63; 32 give 64, which takes a node.
    let hosts = |network: u32, count: u32, last: bool| {
        let hosts = (0..count).map(move |number| network << 16 | (number * 1999 + 17));
        hosts.chain(last.then_some(network << 16 | 0xffff))
    };
    // Others, so that there is no flat table.
    let others = (0..500).map(|number| (0x4000 + number) << 16 | 0x0101);
    let hosts: Vec<u32> = hosts(0x0a00, 31, false)
        .chain(hosts(0x0a01, 31, true))
        .chain(hosts(0x0a02, 32, false))
        .chain(hosts(0x0a03, 0, true))
        .chain(others)
        .collect();
    let prefixes: Vec<Prefix> = hosts.iter().map(|host| (*host, 32)).collect();
    let addresses: Vec<u32> = edges(&prefixes[..100])
        .chain([
            0x0a00_0000,
            0x0a00_ffff,
            0x0a01_0000,
            0x0a02_0000,
            0x0a02_ffff,
        ])
        .chain([0x0a04_0000, 0, u32::MAX])
        .collect();
    expect_first(&[("hosts", &prefixes)], &addresses);
}
