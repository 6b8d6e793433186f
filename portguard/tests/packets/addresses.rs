//! Rules on thousands of addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::filter::Filter;
use crate::frames::{Ipv4, Ipv6, Packet, ethernet, udp};

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

/// What tells the families apart. Addresses are numbers.
struct Family {
    bits: u32,
    show: fn(u128) -> String,
    /// A datagram from one address to another.
    frame: fn(u128, u128) -> Vec<u8>,
    /// An address that no rule names.
    other: u128,
}

const V4: Family = Family {
    bits: 32,
    show: |address| Ipv4Addr::from_bits(address as u32).to_string(),
    frame: |source, destination| {
        let mut packet = Packet::from(Ipv4::carrying(udp(1000, 53, b"")));
        packet.bytes[12..16].copy_from_slice(&(source as u32).to_be_bytes());
        packet.bytes[16..20].copy_from_slice(&(destination as u32).to_be_bytes());
        ethernet(packet)
    },
    other: 0x0808_0808,
};

const V6: Family = Family {
    bits: 128,
    show: |address| Ipv6Addr::from_bits(address).to_string(),
    frame: |source, destination| {
        let mut packet = Packet::from(Ipv6::carrying(udp(1000, 53, b"")));
        packet.bytes[8..24].copy_from_slice(&source.to_be_bytes());
        packet.bytes[24..40].copy_from_slice(&destination.to_be_bytes());
        ethernet(packet)
    },
    other: 0x2620_00fe << 96 | 9,
};

/// First address and length.
type Prefix = (u128, u32);

impl Family {
    fn highest(&self) -> u128 {
        u128::MAX >> (128 - self.bits)
    }

    fn mask(&self, len: u32) -> u128 {
        !self.highest().checked_shr(len).unwrap_or(0) & self.highest()
    }

    fn prefix(&self, address: u128, len: u32) -> Prefix {
        (address & self.mask(len), len)
    }

    fn holds(&self, prefixes: &[Prefix], address: u128) -> bool {
        prefixes
            .iter()
            .any(|(first, len)| address & self.mask(*len) == *first)
    }

    fn list(&self, prefixes: &[Prefix]) -> String {
        let each = prefixes
            .iter()
            .map(|(first, len)| format!("\"{}/{len}\"", (self.show)(*first)));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The addresses at both ends of some prefixes, and beside them.
    fn edges(&self, prefixes: &[Prefix]) -> impl Iterator<Item = u128> {
        prefixes.iter().flat_map(|(first, len)| {
            let last = first | !self.mask(*len) & self.highest();
            let beside = [first.wrapping_sub(1), last.wrapping_add(1)];
            beside
                .map(|address| address & self.highest())
                .into_iter()
                .chain([*first, last])
        })
    }

    /// Expects of each source, and of each destination, that the first rule which holds it decides.
    fn expect_first(&self, rules: &[(&str, &[Prefix])], addresses: &[u128]) {
        for field in ["from", "to"] {
            let text: Vec<String> = rules
                .iter()
                .map(|(name, prefixes)| {
                    format!(
                        "{{ name: {name}, action: drop, protocol: udp, ports: any, {field}: [{}] }}",
                        self.list(prefixes)
                    )
                })
                .collect();
            let text: Vec<&str> = text.iter().map(String::as_str).collect();
            let mut filter = Filter::new("", &text);
            for address in addresses {
                let decider = rules
                    .iter()
                    .find(|(_, prefixes)| self.holds(prefixes, *address));
                let expected = match decider {
                    Some((name, _)) => format!("drop {name} udp/53"),
                    None => "pass default-pass".to_owned(),
                };
                let frame = match field {
                    "from" => (self.frame)(*address, self.other),
                    _ => (self.frame)(self.other, *address),
                };
                let case = format!("{field} {}", (self.show)(*address));
                filter.expect(&case, &frame, &expected);
            }
        }
    }
}

#[test]
fn thousands_of_prefixes_in_one_rule() {
    let mut numbers = Numbers(1);
    let prefixes: Vec<Prefix> = (0..3000)
        .map(|number| V4.prefix(numbers.next().into(), 12 + number % 21))
        .collect();
    let addresses: Vec<u128> = V4.edges(&prefixes[..600]).collect();
    V4.expect_first(&[("listed", &prefixes)], &addresses);
}

#[test]
fn rules_whose_prefixes_overlap() {
    let mut numbers = Numbers(2);
    // Few networks, so that those of the rules meet.
    let mut some = |count: u32, lens: std::ops::Range<u32>| -> Vec<Prefix> {
        (0..count)
            .map(|number| {
                let address = numbers.below(300) << 16 | numbers.below(1 << 16);
                V4.prefix(
                    address.into(),
                    lens.start + number % (lens.end - lens.start),
                )
            })
            .collect()
    };
    let (first, second, third) = (some(900, 24..33), some(900, 20..29), some(200, 14..20));
    let addresses: Vec<u128> = V4
        .edges(&first[..150])
        .chain(V4.edges(&second[..150]))
        .chain(V4.edges(&third[..50]))
        .collect();
    let rules: [(&str, &[Prefix]); 3] = [("first", &first), ("second", &second), ("third", &third)];
    V4.expect_first(&rules, &addresses);
}

#[test]
fn a_rule_for_each_of_many_prefixes() {
    let mut numbers = Numbers(4);
    for (family, lens) in [(V4, 12..33), (V6, 33..129)] {
        let rules: Vec<(String, [Prefix; 1])> = (0..400)
            .map(|number| {
                let network = match family.bits {
                    32 => u128::from(numbers.below(40)) << 24,
                    _ => 0x2001_0db8 << 96 | u128::from(numbers.below(200)) << 80,
                };
                let address = network | u128::from(numbers.below(1 << 24));
                let len = lens.start + number % (lens.end - lens.start);
                (format!("r{number}"), [family.prefix(address, len)])
            })
            .collect();
        let addresses: Vec<u128> = rules
            .iter()
            .flat_map(|(_, prefixes)| family.edges(prefixes))
            .collect();
        let rules: Vec<(&str, &[Prefix])> = rules
            .iter()
            .map(|(name, prefixes)| (name.as_str(), &prefixes[..]))
            .collect();
        family.expect_first(&rules, &addresses);
    }
}

#[test]
fn a_network_with_as_many_ranges_as_a_list_holds_and_with_more() {
    // Hosts of one /16 each: 31 give 62 starts, with the last address 63; 32 give 64, which takes a node.
    let hosts = |network: u32, count: u32, last: bool| {
        let hosts = (0..count).map(move |number| network << 16 | (number * 1999 + 17));
        hosts.chain(last.then_some(network << 16 | 0xffff))
    };
    let others = (0..500).map(|number| (0x4000 + number) << 16 | 0x0101);
    let hosts: Vec<u32> = hosts(0x0a00, 31, false)
        .chain(hosts(0x0a01, 31, true))
        .chain(hosts(0x0a02, 32, false))
        .chain(hosts(0x0a03, 0, true))
        .chain(others)
        .collect();
    let prefixes: Vec<Prefix> = hosts.iter().map(|host| (u128::from(*host), 32)).collect();
    let addresses: Vec<u128> = V4
        .edges(&prefixes[..100])
        .chain([
            0x0a00_0000,
            0x0a00_ffff,
            0x0a01_0000,
            0x0a02_0000,
            0x0a02_ffff,
        ])
        .chain([0x0a04_0000, 0, u32::MAX.into()])
        .collect();
    V4.expect_first(&[("hosts", &prefixes)], &addresses);
}

#[test]
fn ipv6_where_more_parts_than_lists_hold() {
    let mut numbers = Numbers(3);
    let host = |network: u128, shift: u32, number: u32| {
        let number = u128::from(number * 211 % 0xffff);
        V6.prefix(network | number << shift | u128::from(shift == 0) | 5, 128)
    };
    // Most of them begin alike, and part at each of the two bytes that follow: in a few places at more of them than a list holds, in more
    // networks than there are tables for.
    let trunk = 0x2001_0db8 << 96_u32;
    let mut prefixes: Vec<Prefix> = Vec::new();
    for (place, shift) in (0_u128..).zip([80, 64, 48, 32, 16, 0]) {
        let network = if shift == 80 {
            trunk
        } else {
            trunk | place << 80
        };
        prefixes.extend((0..100).map(|number| host(network, shift, number)));
    }
    for network in 0..24_u128 {
        let network = (0x2a00_0000 + network) << 96;
        prefixes.extend((0..40).map(|number| host(network, 80, number)));
    }
    // And whatever else there may be.
    let mut any = || (0..4).fold(0_u128, |all, _| all << 32 | u128::from(numbers.next()));
    let others: Vec<Prefix> = (0..300)
        .map(|number| {
            let within = if number % 2 == 0 {
                trunk
            } else {
                0x2000 << 112
            };
            let len = if number % 2 == 0 { 33 } else { 17 } + number % 96;
            let address = within | any() & !V6.mask(if number % 2 == 0 { 32 } else { 16 });
            V6.prefix(address, len.min(128))
        })
        .collect();
    let addresses: Vec<u128> = V6.edges(&prefixes).chain(V6.edges(&others)).collect();
    V6.expect_first(&[("hosts", &prefixes), ("others", &others)], &addresses);
}
