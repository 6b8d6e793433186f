//! What is beyond a limit, and what tries to share another one's bucket, or none.

use super::case::{Case, SOURCE_V4, SOURCE_V6, with};
use crate::frames::{
    CUSTOMER_TAG, Extension, Ipv4, Ipv6, Link, Segment, ethernet, ipv4, ipv6, tcp, udp,
};

const ACK: u8 = 0x10;
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;

const FLOOD: &str = "{ name: flood, action: limit, ports: 53/udp, rate: 1/m, burst: 2 }";

const FEW: &str = "{ name: few, action: limit, ports: 22/tcp, rate: 1/m }";

fn segment(from: u16, to: u16, flags: u8) -> Segment {
    let mut segment = tcp(from, to);
    segment.bytes[13] = flags;
    segment
}

fn from_v4(last: u8) -> Vec<u8> {
    with(ipv4(udp(40_000, 53, b"query")), SOURCE_V4 + 3, &[last])
}

/// From 2001:db8:0:1::/64 or the one behind it, with any lower half.
fn from_v6(network: u8, host: u8) -> Vec<u8> {
    let frame = with(ipv6(udp(40_000, 53, b"query")), SOURCE_V6 + 7, &[network]);
    with(frame, SOURCE_V6 + 8, &[host; 8])
}

pub(super) fn cases() -> Vec<Case> {
    let limited = |name, about| Case::new(name, about).rules(&[FLOOD]);
    vec![
        limited(
            "limit-by-source",
            "One source is limited, its neighbour is not.",
        )
        .arrives(from_v4(9), "pass flood")
        .arrives(from_v4(9), "pass flood")
        .arrives(from_v4(9), "drop flood:limited udp/53")
        .arrives(from_v4(10), "pass flood"),
        limited(
            "rotation-within-a-64",
            "Another address of the same IPv6 /64 for each packet: all of them share one bucket.",
        )
        .arrives(from_v6(1, 1), "pass flood")
        .arrives(from_v6(1, 0xff), "pass flood")
        .arrives(from_v6(1, 0x80), "drop flood:limited udp/53")
        .arrives(from_v6(2, 1), "pass flood"),
        limited(
            "limit-by-source-port",
            "Another source port for each packet changes nothing.",
        )
        .arrives(ipv4(udp(1, 53, b"")), "pass flood")
        .arrives(ipv4(udp(2, 53, b"")), "pass flood")
        .arrives(ipv4(udp(3, 53, b"")), "drop flood:limited udp/53"),
        limited(
            "limit-in-two-families",
            "The same source by its IPv4 and its IPv6 address has two buckets.",
        )
        .arrives(from_v4(9), "pass flood")
        .arrives(from_v4(9), "pass flood")
        .arrives(from_v6(1, 1), "pass flood"),
        limited("limit-and-time", "A minute later there is one packet more.")
            .arrives(from_v4(9), "pass flood")
            .arrives(from_v4(9), "pass flood")
            .wait(59)
            .arrives(from_v4(9), "drop flood:limited udp/53")
            .wait(1)
            .arrives(from_v4(9), "pass flood")
            .arrives(from_v4(9), "drop flood:limited udp/53"),
        Case::new(
            "limit-per-rule",
            "Forged sources do not help against a limit that all share.",
        )
        .rules(&["{ name: all, action: limit, ports: 53/udp, rate: 1/m, per: rule }"])
        .arrives(from_v4(1), "pass all")
        .arrives(from_v4(2), "drop all:limited udp/53")
        .arrives(from_v6(1, 1), "drop all:limited udp/53"),
        limited(
            "limit-by-disguise",
            "The same source behind a tag, options or an extension header: its bucket stays the same.",
        )
        .arrives(from_v4(9), "pass flood")
        .arrives(
            Link::new().tag(CUSTOMER_TAG, 10).carry(Ipv4::carrying(udp(40_000, 53, b""))),
            "pass flood",
        )
        .arrives(
            ethernet(Ipv4::carrying(udp(40_000, 53, b"")).options(&[1; 4])),
            "drop flood:limited udp/53",
        )
        .arrives(from_v6(1, 1), "pass flood")
        .arrives(
            with(
                ethernet(Ipv6::carrying(udp(40_000, 53, b"").behind(Extension::Octets(60, 0)))),
                SOURCE_V6 + 7,
                &[1],
            ),
            "pass flood",
        )
        .arrives(from_v6(1, 2), "drop flood:limited udp/53"),
        Case::new(
            "fragments-under-a-limit",
            "Later fragments of a limited protocol count too.",
        )
        .rules(&["{ name: slow, action: limit, protocol: udp, ports: any, rate: 1/m }"])
        .arrives(from_v4(9), "pass slow")
        .arrives(
            ethernet(Ipv4::carrying(udp(40_000, 53, b"")).fragment(9, false)),
            "drop slow:limited udp",
        ),
        Case::new(
            "attempts-with-other-flags",
            "SYN with FIN, RST, PSH or ECN flags is an attempt to connect all the same.",
        )
        .rules(&[FEW])
        .arrives(ipv4(segment(40_000, 22, SYN)), "pass few")
        .all_arrive(
            [SYN, SYN | 1, SYN | 4, SYN | 8, 0xc2, 0xef]
                .map(|flags| ipv4(segment(40_000, 22, flags))),
            "drop few:limited tcp/22",
        )
        .arrives(ipv4(segment(40_000, 22, SYN_ACK)), "pass few"),
        Case::new(
            "established-under-a-limit",
            "Of TCP attempts alone count: an open connection is not slowed down by them.",
        )
        .rules(&[FEW])
        .arrives(ipv4(segment(40_000, 22, SYN)), "pass few")
        .arrives(ipv4(segment(40_000, 22, SYN)), "drop few:limited tcp/22")
        .arrives(ipv4(segment(40_000, 22, ACK)), "pass few"),
    ]
}
