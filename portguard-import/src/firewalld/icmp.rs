//! ICMP types by firewalld's names: as its daemon has them, type and code in each family.

use crate::ranges::Ranges;
use crate::region::Region;

/// The packets of a type, in each family that has it; none if the name is not known.
pub(super) fn regions(name: &str) -> Vec<Region> {
    let v4 = V4.iter().find(|(own, ..)| *own == name);
    let v6 = V6.iter().find(|(own, ..)| *own == name);
    let kinds = |(_, kind, code): &(&str, u8, Option<u8>)| {
        let first = u128::from(*kind) << 8;
        match code {
            Some(code) => Ranges::one(first | u128::from(*code)),
            None => Ranges::new([(first, first | 0xff)]),
        }
    };
    let v4 = v4.map(|own| Region::icmp(kinds(own)));
    let v6 = v6.map(|own| Region::icmpv6(kinds(own)));
    v4.into_iter().chain(v6).collect()
}

const V4: [(&str, u8, Option<u8>); 34] = [
    ("communication-prohibited", 3, Some(13)),
    ("destination-unreachable", 3, None),
    ("echo-reply", 0, None),
    ("echo-request", 8, None),
    ("fragmentation-needed", 3, Some(4)),
    ("host-precedence-violation", 3, Some(14)),
    ("host-prohibited", 3, Some(10)),
    ("host-redirect", 5, Some(1)),
    ("host-unknown", 3, Some(7)),
    ("host-unreachable", 3, Some(1)),
    ("ip-header-bad", 12, Some(1)),
    ("network-prohibited", 3, Some(8)),
    ("network-redirect", 5, Some(0)),
    ("network-unknown", 3, Some(6)),
    ("network-unreachable", 3, Some(0)),
    ("parameter-problem", 12, None),
    ("port-unreachable", 3, Some(3)),
    ("precedence-cutoff", 3, Some(15)),
    ("protocol-unreachable", 3, Some(2)),
    ("redirect", 5, None),
    ("required-option-missing", 12, Some(1)),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("source-quench", 4, None),
    ("source-route-failed", 3, Some(5)),
    ("time-exceeded", 11, None),
    ("timestamp-reply", 14, None),
    ("timestamp-request", 13, None),
    ("tos-host-redirect", 5, Some(3)),
    ("tos-host-unreachable", 3, Some(12)),
    ("tos-network-redirect", 5, Some(2)),
    ("tos-network-unreachable", 3, Some(11)),
    ("ttl-zero-during-reassembly", 11, Some(1)),
    ("ttl-zero-during-transit", 11, Some(0)),
];

const V6: [(&str, u8, Option<u8>); 23] = [
    ("address-unreachable", 1, Some(3)),
    ("bad-header", 4, Some(0)),
    ("beyond-scope", 1, Some(2)),
    ("communication-prohibited", 1, Some(1)),
    ("destination-unreachable", 1, None),
    ("echo-reply", 129, None),
    ("echo-request", 128, None),
    ("failed-policy", 1, Some(5)),
    ("neighbour-advertisement", 136, None),
    ("neighbour-solicitation", 135, None),
    ("no-route", 1, Some(0)),
    ("packet-too-big", 2, None),
    ("parameter-problem", 4, None),
    ("port-unreachable", 1, Some(4)),
    ("redirect", 137, None),
    ("reject-route", 1, Some(6)),
    ("router-advertisement", 134, None),
    ("router-solicitation", 133, None),
    ("time-exceeded", 3, None),
    ("ttl-zero-during-reassembly", 3, Some(1)),
    ("ttl-zero-during-transit", 3, Some(0)),
    ("unknown-header-type", 4, Some(1)),
    ("unknown-option", 4, Some(2)),
];
