//! Attempts to make the filter answer somebody who has not asked.

use super::case::{Case, SOURCE_V4, with};
use crate::frames::{Ipv4, Segment, ethernet, icmp, ipv4, ipv6, tcp, udp};

/// Not even errors are exempt.
const SETTINGS: &str = "essential: rules";
const ALL: &str = "{ name: all, action: reject, protocol: any }";

fn rejected(name: &'static str, about: &'static str) -> Case {
    Case::new(name, about).settings(SETTINGS).rules(&[ALL])
}

fn flags(flags: u8) -> Segment {
    let mut segment = tcp(40_000, 22);
    segment.bytes[13] = flags;
    segment
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        rejected(
            "refusal",
            "An attempt to connect and a datagram are answered.",
        )
        .arrives(ipv4(tcp(40_000, 22)), "reject all tcp/22")
        .arrives(ipv6(udp(40_000, 22, &[0; 48])), "reject all udp/22"),
        rejected(
            "reset-for-a-reset",
            "Resets are not answered, or two filters would reset each other for ever.",
        )
        .all_arrive(
            [4, 0x14, 6].map(|bits| ipv4(flags(bits))),
            "drop all tcp/22",
        ),
        rejected(
            "error-for-an-error",
            "Nor are ICMP errors and redirects (RFC 1122, 3.2.2).",
        )
        .all_arrive([3, 5, 11, 12].map(|kind| ipv4(icmp(kind, 0))), "drop all 1"),
        rejected(
            "reflection-to-everybody",
            "Nor what seems to come from a group, from everybody, from nobody or from this host.",
        )
        .all_arrive(
            [[224, 0, 0, 1], [255; 4], [0; 4], [127, 0, 0, 1]]
                .map(|source| with(ipv4(tcp(40_000, 22)), SOURCE_V4, &source)),
            "drop all tcp/22",
        ),
        rejected(
            "error-for-a-fragment",
            "Nor a fragment, even the first one.",
        )
        .arrives(
            ethernet(Ipv4::carrying(tcp(40_000, 22)).fragment(0, true)),
            "drop all tcp/22",
        )
        .arrives(
            ethernet(Ipv4::carrying(udp(40_000, 22, &[0; 64])).fragment(9, false)),
            "drop all udp",
        ),
        rejected(
            "amplification-by-refusal",
            "A datagram that is shorter than the answer would be.",
        )
        .arrives(ipv4(udp(40_000, 22, &[0; 27])), "drop all udp/22")
        .arrives(ipv4(udp(40_000, 22, &[0; 28])), "reject all udp/22")
        .arrives(ipv6(udp(40_000, 22, &[0; 47])), "drop all udp/22"),
        rejected(
            "reflection-by-flood",
            "At most 100 answers leave at once; all the rest is dropped in silence.",
        )
        .all_arrive(vec![ipv4(tcp(40_000, 22)); 100], "reject all tcp/22")
        .all_arrive(vec![ipv4(tcp(40_000, 22)); 20], "drop all tcp/22")
        .wait(1)
        .arrives(ipv4(tcp(40_000, 22)), "reject all tcp/22"),
    ]
}
