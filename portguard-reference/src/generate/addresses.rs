//! Prefixes that nest and overlap, and addresses in, at and beside them.

use std::net::IpAddr;

use crate::policy::{AddressEntry, Policy, Prefix, address_of, width};
use crate::random::Random;

/// Few, so that prefixes around them overlap.
const IPV4: [u32; 10] = [
    0x0a00_0000,
    0x0a01_0203,
    0xc000_0200,
    0xc000_0201,
    0xc000_0280,
    0xcb00_71ff,
    0,
    0xffff_ffff,
    0xe000_0001,
    0x7f00_0001,
];
const IPV6: [u128; 10] = [
    0x2001_0db8_0000_0000_0000_0000_0000_0000,
    0x2001_0db8_0000_0000_0000_0000_0000_0001,
    0x2001_0db8_0000_0001_0000_0000_0000_0000,
    0x2001_0db8_0000_0001_8000_0000_0000_0000,
    0x2001_0db8_ffff_ffff_ffff_ffff_ffff_ffff,
    0x2001_0db9_0000_0000_0000_0000_0000_0000,
    0xfe80_0000_0000_0000_0000_0000_0000_0001,
    0xff02_0000_0000_0000_0000_0000_0000_0001,
    1,
    0,
];
/// How many of each are addresses of hosts; the rest are loopback, groups, the ends of the range.
const USUAL: usize = 6;

const IPV4_LENGTHS: [u8; 10] = [32, 32, 31, 30, 25, 24, 24, 16, 9, 8];
const IPV6_LENGTHS: [u8; 11] = [128, 128, 127, 65, 64, 64, 63, 48, 48, 33, 32];

/// A prefix; short ones only where they may be broad.
pub(super) fn prefix(is_broad: bool, random: &mut Random) -> Prefix {
    let is_ipv6 = random.one_in(2);
    let base = base(is_ipv6, random);
    let length = match (is_broad && random.one_in(6), is_ipv6) {
        (true, _) => random.pick(&[0, 0, 1, 2]),
        (false, false) => random.pick(&IPV4_LENGTHS),
        (false, true) => random.pick(&IPV6_LENGTHS),
    };
    Prefix::new(base, length)
}

fn base(is_ipv6: bool, random: &mut Random) -> IpAddr {
    let among = if random.one_in(12) { IPV4.len() } else { USUAL };
    let index = random.below(among);
    let number = if is_ipv6 {
        IPV6[index]
    } else {
        u128::from(IPV4[index])
    };
    address_of(is_ipv6, number)
}

/// One address of a host, or one near it.
pub(super) fn address(is_ipv6: bool, random: &mut Random) -> IpAddr {
    let base = base(is_ipv6, random);
    near(
        Prefix::new(base, random.pick(&[24, 32, 48, 64, 128])),
        random,
    )
}

/// At an end of a prefix, within it or just beside it.
pub(super) fn near(prefix: Prefix, random: &mut Random) -> IpAddr {
    let (first, last) = (prefix.first(), prefix.last());
    let any = u128::from(random.bits()) << 64 | u128::from(random.bits());
    let within = first | (any & (last - first));
    let number = match random.below(12) {
        0 => first.wrapping_sub(1),
        1 => last.wrapping_add(1),
        2..=4 => first,
        5..=7 => last,
        8 => first.saturating_add(1).min(last),
        _ => within,
    };
    address_of(prefix.is_ipv6(), number)
}

/// Near an entry of `from` or `to`; of this family, if one is wanted and there is one.
pub(super) fn at_entries(
    policy: &Policy,
    entries: &[AddressEntry],
    is_ipv6: Option<bool>,
    random: &mut Random,
) -> Option<IpAddr> {
    let mut prefixes = members(policy, entries);
    prefixes.retain(|prefix| is_ipv6.is_none_or(|wanted| prefix.is_ipv6() == wanted));
    if prefixes.is_empty() {
        return None;
    }
    let prefix = random.pick(&prefixes);
    Some(near(prefix, random))
}

/// All prefixes that entries stand for.
pub(super) fn members(policy: &Policy, entries: &[AddressEntry]) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    for entry in entries {
        match entry {
            AddressEntry::Prefix(prefix) => prefixes.push(*prefix),
            AddressEntry::Set(name) => {
                let sets = policy.sets.iter().filter(|set| set.name == *name);
                prefixes.extend(sets.flat_map(|set| set.prefixes.iter().copied()));
            }
        }
    }
    prefixes
}

/// Another address beside this one.
pub(super) fn neighbour(address: IpAddr, random: &mut Random) -> IpAddr {
    let prefix = Prefix::new(address, width(address.is_ipv6()));
    let number = if random.one_in(2) {
        prefix.first().wrapping_add(1)
    } else {
        prefix.first().wrapping_sub(1)
    };
    address_of(prefix.is_ipv6(), number)
}
