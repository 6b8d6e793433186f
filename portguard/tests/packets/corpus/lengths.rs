//! Lengths that lie, and what else is broken.

use super::case::{Case, with};
use crate::frames::{
    Ipv4, Ipv6, Segment, ethernet, icmp, icmpv6, ipv4, ipv6, portless, sctp, tcp, tcp_with, udp,
    udp_with,
};

fn padded(mut frame: Vec<u8>, length: usize, padding: &[u8]) -> Vec<u8> {
    let bytes = padding
        .iter()
        .cycle()
        .take(length.saturating_sub(frame.len()));
    frame.extend(bytes.copied().collect::<Vec<u8>>());
    frame
}

/// A header without anything behind it, in a frame that is filled up with a segment to port 22.
fn empty_v4() -> Vec<u8> {
    let header = ethernet(Ipv4::carrying(portless(6, b"")));
    padded(header, 60, &tcp(40_000, 22).bytes)
}

/// A segment as segmentation offload hands it over.
fn long() -> Segment {
    portless(6, &[tcp(40_000, 22).bytes, vec![0; 8980]].concat())
}

/// A frame cut at every length; its IP header ends at `transport`.
fn cut_anywhere(case: Case, frame: &[u8], transport: usize, short: &'static str) -> Case {
    let cut = |length: usize| frame[..length].to_vec();
    case.all_arrive((14..transport).map(cut), short)
        .all_arrive(
            (transport..transport + 20).map(cut),
            "drop malformed:tcp-short",
        )
        .arrives(frame.to_vec(), "drop ssh tcp/22")
}

/// A frame that ends anywhere, in both families.
fn cut_short() -> Case {
    let case = Case::new(
        "cut-anywhere",
        "A frame that ends anywhere: within the IP header, within the TCP header, and complete.",
    );
    let segment = tcp(40_000, 22);
    let case = cut_anywhere(
        case,
        &ipv4(segment.clone()),
        34,
        "drop malformed:ipv4-short",
    );
    cut_anywhere(case, &ipv6(segment), 54, "drop malformed:ipv6-short")
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = of_ip();
    cases.extend(of_transport());
    cases
}

fn of_ip() -> Vec<Case> {
    let segment = || tcp(40_000, 22);
    vec![
        Case::new(
            "padding-as-header",
            "The packet ends behind its IP header, and the padding of the frame spells a segment.",
        )
        .arrives(empty_v4(), "drop malformed:tcp-short"),
        Case::new(
            "padding-after-the-packet",
            "Padding that spells another port changes nothing.",
        )
        .arrives(
            padded(ipv4(tcp(40_000, 22)), 80, &[0, 80]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "total-length-0",
            "As segmentation offload leaves it: the packet goes to the end of the frame.",
        )
        .arrives(
            ethernet(Ipv4::carrying(segment()).total_len(0)),
            "drop ssh tcp/22",
        ),
        Case::new("payload-length-0", "The same in IPv6, as in jumbograms.").arrives(
            ethernet(Ipv6::carrying(segment()).payload_len(0)),
            "drop ssh tcp/22",
        ),
        Case::new("total-length-19", "Less than the header itself.").arrives(
            ethernet(Ipv4::carrying(segment()).total_len(19)),
            "drop malformed:ipv4-total-length",
        ),
        Case::new(
            "total-length-39",
            "It cuts the TCP header short, which is there all the same.",
        )
        .arrives(
            ethernet(Ipv4::carrying(segment()).total_len(39)),
            "drop malformed:tcp-short",
        ),
        Case::new("payload-length-19", "The same in IPv6.").arrives(
            ethernet(Ipv6::carrying(segment()).payload_len(19)),
            "drop malformed:tcp-short",
        ),
        Case::new(
            "length-past-the-end",
            "An IP length past the end of the frame: the frame's end is the packet's.",
        )
        .arrives(
            ethernet(Ipv4::carrying(segment()).total_len(65_535)),
            "drop ssh tcp/22",
        )
        .arrives(
            ethernet(Ipv6::carrying(segment()).payload_len(65_535)),
            "drop ssh tcp/22",
        ),
        Case::new(
            "header-length-4",
            "An IPv4 header of 16 bytes, behind which the port seems to lie elsewhere.",
        )
        .arrives(
            ethernet(Ipv4::carrying(segment()).first_byte(0x44)),
            "drop malformed:ipv4-header-length",
        ),
        Case::new(
            "header-length-past-the-end",
            "An IPv4 header of 60 bytes of which 40 are there.",
        )
        .arrives(
            ethernet(Ipv4::carrying(segment()).first_byte(0x4f).total_len(0)),
            "drop malformed:ipv4-short",
        ),
        Case::new("version-5", "Neither IPv4 nor IPv6.")
            .arrives(
                ethernet(Ipv4::carrying(segment()).first_byte(0x55)),
                "drop malformed:ipv4-version",
            )
            .arrives(
                ethernet(Ipv6::carrying(segment()).first_byte(0x50)),
                "drop malformed:ipv6-version",
            ),
        Case::new(
            "total-length-0-and-padding",
            "Where the packet goes to the end of the frame, its padding is read as a header.",
        )
        .arrives(
            padded(
                ethernet(Ipv4::carrying(portless(6, b"")).total_len(0)),
                60,
                &[0],
            ),
            "drop malformed:tcp-data-offset",
        ),
        Case::new(
            "offloaded-segment",
            "9,000 bytes in one frame, with a length of 0 as segmentation offload leaves it.",
        )
        .arrives(
            ethernet(Ipv4::carrying(long()).total_len(0)),
            "drop ssh tcp/22",
        )
        .arrives(
            ethernet(Ipv6::carrying(long()).payload_len(0)),
            "drop ssh tcp/22",
        ),
        cut_short(),
        Case::new("ipv6-of-39-bytes", "The frame ends within the IPv6 header.")
            .arrives(ipv6(segment())[..53].to_vec(), "drop malformed:ipv6-short"),
        Case::new(
            "malformed-passes-if-told",
            "`malformed: pass` hands it on and no rule sees it, even one that matched its bytes.",
        )
        .settings("malformed: pass")
        .arrives(
            ethernet(Ipv4::carrying(segment()).first_byte(0x44)),
            "pass malformed:ipv4-header-length",
        ),
    ]
}

fn of_transport() -> Vec<Case> {
    let flags = |flags: u8| with(ipv4(tcp(40_000, 22)), 14 + 20 + 13, &[flags]);
    vec![
        Case::new("data-offset-4", "A TCP header that says it has 16 bytes.").arrives(
            ipv4(tcp_with(40_000, 22, 4)),
            "drop malformed:tcp-data-offset",
        ),
        Case::new(
            "data-offset-15",
            "A TCP header that says it is longer than the packet.",
        )
        .arrives(ipv4(tcp_with(40_000, 22, 15)), "drop ssh tcp/22"),
        Case::new("udp-length-7", "A UDP length below its own header.").arrives(
            ipv4(udp_with(40_000, 22, 7, b"data")),
            "drop malformed:udp-length",
        ),
        Case::new("udp-length-0", "A UDP length of 0.").arrives(
            ipv4(udp_with(40_000, 22, 0, b"data")),
            "drop malformed:udp-length",
        ),
        Case::new(
            "udp-length-past-the-end",
            "A UDP length past the end of the packet.",
        )
        .arrives(
            ipv4(udp_with(40_000, 22, 60_000, b"data")),
            "drop ssh udp/22",
        ),
        Case::new(
            "udp-length-8",
            "A UDP length that leaves the payload out: the host takes an empty datagram.",
        )
        .arrives(ipv4(udp_with(40_000, 22, 8, b"data")), "drop ssh udp/22"),
        Case::new("sctp-cut-short", "An SCTP header of 11 bytes.").arrives(
            ipv4(portless(132, &sctp(40_000, 22).bytes[..11])),
            "drop malformed:sctp-short",
        ),
        Case::new("icmp-cut-short", "ICMP and ICMPv6 of 7 bytes.")
            .arrives(
                ipv4(portless(1, &icmp(8, 0).bytes[..7])),
                "drop malformed:icmp-short",
            )
            .arrives(
                ipv6(portless(58, &icmpv6(128, 0).bytes[..7])),
                "drop malformed:icmpv6-short",
            ),
        Case::new(
            "strange-flags",
            "No flags, all flags, FIN alone: a port is a port, whatever a scanner sets.",
        )
        .arrives(flags(0), "drop ssh tcp/22")
        .arrives(flags(0xff), "drop ssh tcp/22")
        .arrives(flags(1), "drop ssh tcp/22"),
        Case::new(
            "port-0",
            "0 is a port like any other, which a range from 1 does not hold.",
        )
        .rules(&["{ name: all, action: drop, ports: 1-65535 }"])
        .arrives(ipv4(tcp(0, 0)), "pass default-pass")
        .arrives(ipv4(udp(0, 1, b"")), "drop all udp/1")
        .arrives(ipv6(tcp(0, 65_535)), "drop all tcp/65535"),
    ]
}
