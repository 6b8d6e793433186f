//! Packets in pieces.

use super::case::Case;
use crate::frames::{
    CUSTOMER_TAG, DESTINATION_OPTIONS, Extension, Ipv4, Link, Segment, TCP, UDP, ethernet, icmp,
    ipv6, portless, tcp, udp,
};

/// The payload spells ports 40000 and 22.
fn spelled(protocol: u8) -> Segment {
    portless(protocol, &[0x9c, 0x40, 0, 22].repeat(6))
}

fn piece(segment: Segment, units: u16, more: bool) -> Vec<u8> {
    ethernet(Ipv4::carrying(segment).fragment(units, more))
}

fn piece_v6(segment: Segment, units: u16, more: bool) -> Vec<u8> {
    ipv6(segment.behind(Extension::Fragment(units, more)))
}

/// A segment with so many bytes of its header.
fn cut(mut segment: Segment, bytes: usize) -> Segment {
    segment.bytes.truncate(bytes);
    segment
}

pub(super) fn cases() -> Vec<Case> {
    let data =
        |segment: Segment| portless(segment.protocol, &[segment.bytes, vec![0; 40]].concat());
    vec![
        Case::new(
            "first-fragment",
            "The first fragment has the port: without it nobody gets the rest together.",
        )
        .arrives(piece(data(tcp(40_000, 22)), 0, true), "drop ssh tcp/22")
        .arrives(piece_v6(data(tcp(40_000, 22)), 0, true), "drop ssh tcp/22"),
        Case::new(
            "payload-as-port",
            "A later fragment whose payload spells port 22: it has no ports.",
        )
        .arrives(piece(spelled(TCP), 64, false), "pass later-fragment")
        .arrives(piece_v6(spelled(UDP), 64, true), "pass later-fragment"),
        Case::new(
            "later-fragments-dropped",
            "`fragments: drop` stops all that no rule decides.",
        )
        .settings("fragments: drop")
        .arrives(piece(spelled(UDP), 64, false), "drop later-fragment udp")
        .arrives(piece_v6(spelled(TCP), 64, false), "drop later-fragment tcp"),
        Case::new(
            "fragments-under-default-drop",
            "A default of drop does not stop later fragments, without which legitimate ones would be lost.",
        )
        .settings("default: drop")
        .arrives(piece(spelled(UDP), 64, false), "pass later-fragment"),
        Case::new(
            "any-port-catches-fragments",
            "A rule on any port of a protocol stops its later fragments too.",
        )
        .rules(&["{ name: udp, action: drop, protocol: udp, ports: any }"])
        .arrives(piece(spelled(UDP), 64, false), "drop udp udp"),
        Case::new(
            "tiny-fragment",
            "A first fragment of 8 bytes, so that the flags come in the next one (RFC 1858).",
        )
        .arrives(piece(cut(tcp(40_000, 80), 8), 0, true), "drop malformed:tcp-short"),
        Case::new(
            "fragment-over-the-header",
            "A fragment at offset 8 bytes overwrites the flags of the first one (RFC 1858, RFC 3128).",
        )
        .arrives(piece(spelled(TCP), 1, false), "drop malformed:tcp-fragment-offset")
        .arrives(piece_v6(spelled(TCP), 1, false), "drop malformed:tcp-fragment-offset"),
        Case::new(
            "overlapping-ports",
            "A second first fragment, with another port, over the first one: each is judged by its own.",
        )
        .arrives(piece(data(tcp(40_000, 80)), 0, true), "pass default-pass")
        .arrives(piece(data(tcp(40_000, 22)), 0, true), "drop ssh tcp/22"),
        Case::new(
            "overlapping-offsets",
            "Fragments that overlap behind the header: to put them together or not is the host's business.",
        )
        .arrives(piece(spelled(UDP), 2, true), "pass later-fragment")
        .arrives(piece(spelled(UDP), 3, false), "pass later-fragment"),
        Case::new(
            "atomic-fragment",
            "A fragment header on a whole packet (RFC 6946) hides nothing.",
        )
        .arrives(piece_v6(tcp(40_000, 22), 0, false), "drop ssh tcp/22"),
        Case::new(
            "atomic-fragment-twice",
            "Two fragment headers, both on a whole packet.",
        )
        .arrives(
            ipv6(
                tcp(40_000, 22)
                    .behind(Extension::Fragment(0, false))
                    .behind(Extension::Fragment(0, true)),
            ),
            "drop ssh tcp/22",
        ),
        Case::new(
            "later-fragment-in-a-first-one",
            "The second of two fragment headers says that it is a later fragment.",
        )
        .arrives(
            ipv6(
                tcp(40_000, 22)
                    .behind(Extension::Fragment(9, false))
                    .behind(Extension::Fragment(0, true)),
            ),
            "pass later-fragment",
        ),
        Case::new(
            "headers-beyond-the-first-fragment",
            "A first fragment that ends before the port, within an extension header or behind it (RFC 7112).",
        )
        .arrives(
            ipv6(portless(DESTINATION_OPTIONS, &[6, 1, 1, 4, 0, 0, 0, 0]).behind(Extension::Fragment(0, true))),
            "drop malformed:extension-short",
        )
        .arrives(
            ipv6(
                cut(tcp(40_000, 22), 8)
                    .behind(Extension::Octets(DESTINATION_OPTIONS, 0))
                    .behind(Extension::Fragment(0, true)),
            ),
            "drop malformed:tcp-short",
        ),
        Case::new(
            "fragment-of-extension-header",
            "A later fragment whose fragment header names another extension header: the walk ends there.",
        )
        .arrives(
            ipv6(
                tcp(40_000, 22)
                    .behind(Extension::Octets(60, 0))
                    .behind(Extension::Fragment(9, false)),
            ),
            "pass later-fragment",
        ),
        Case::new(
            "fragment-at-the-end",
            "The last offset there is: together it would be longer than a packet can be.",
        )
        .arrives(piece(spelled(UDP), 8191, true), "pass later-fragment")
        .arrives(piece_v6(spelled(UDP), 8191, true), "pass later-fragment"),
        Case::new(
            "datagram-at-8-bytes",
            "A UDP fragment at offset 8 bytes overwrites nothing that is judged.",
        )
        .arrives(piece(spelled(UDP), 1, false), "pass later-fragment"),
        Case::new(
            "fragment-behind-tags",
            "Later fragments behind options, a tag and PPPoE: no port there either.",
        )
        .arrives(
            Link::new().tag(CUSTOMER_TAG, 10).pppoe().carry(
                Ipv4::carrying(spelled(TCP))
                    .options(&[0x88, 4, 0, 22])
                    .fragment(64, true),
            ),
            "pass later-fragment",
        ),
        Case::new(
            "fragment-of-a-type",
            "A later fragment has no type, even if its first byte spells one.",
        )
        .rules(&["{ name: ping, action: drop, protocol: icmp, types: echo-request }"])
        .arrives(piece(icmp(8, 0), 0, true), "drop ping 1")
        .arrives(piece(icmp(8, 0), 9, false), "pass later-fragment"),
        Case::new(
            "flood-of-fragments",
            "Later fragments beyond `fragments: { rate: 1/m }`.",
        )
        .settings("fragments: { rate: 1/m }")
        .arrives(piece(spelled(UDP), 9, false), "pass later-fragment")
        .arrives(piece_v6(spelled(TCP), 10, false), "drop later-fragment tcp")
        .wait(60)
        .arrives(piece(spelled(UDP), 9, false), "pass later-fragment"),
        Case::new(
            "short-udp-fragment",
            "A first fragment that ends within the UDP header.",
        )
        .arrives(piece(cut(udp(1, 22, b""), 7), 0, true), "drop malformed:udp-short"),
        Case::new(
            "reserved-flag",
            "The reserved bit of IPv4 (RFC 3514) and \"do not fragment\" make no fragment.",
        )
        .arrives(
            ethernet(Ipv4::carrying(tcp(40_000, 22)).fragmentation(0xc000)),
            "drop ssh tcp/22",
        ),
        Case::new(
            "p04-out-of-order",
            "A reply in two fragments, the second first: both arrive.",
        )
        .arrives(piece(spelled(UDP), 100, false), "pass later-fragment")
        .arrives(piece(data(udp(53, 40_000, b"")), 0, true), "pass default-pass"),
    ]
}
