//! Traffic that passes whatever the default, and what pretends to be it.

use super::case::Case;
use crate::frames::{
    Extension, HOP_BY_HOP, Ipv4, Ipv6, Segment, ethernet, icmp, icmpv6, ipv4, ipv6, portless, tcp,
    udp,
};

/// A message with a kilobyte behind it.
fn long(message: &Segment) -> Segment {
    portless(
        message.protocol,
        &[message.bytes.as_slice(), &[0; 1000]].concat(),
    )
}

pub(super) fn cases() -> Vec<Case> {
    let discovery =
        |kind, hop_limit| ethernet(Ipv6::carrying(icmpv6(kind, 0)).hop_limit(hop_limit));
    let igmp = |ttl| ethernet(Ipv4::carrying(portless(2, &[0x11, 0, 0, 0, 0, 0, 0, 0])).ttl(ttl));
    vec![
        Case::new(
            "forged-neighbour-discovery",
            "A neighbour advertisement with hop limit 254 was forwarded: it is not from the link.",
        )
        .settings("default: drop")
        .arrives(discovery(136, 255), "pass essential")
        .arrives(discovery(136, 254), "drop default-drop 58"),
        Case::new(
            "forged-router-advertisement",
            "The same with a router advertisement.",
        )
        .settings("default: drop")
        .arrives(discovery(134, 64), "drop default-drop 58"),
        Case::new(
            "forged-listener-report",
            "A multicast listener report with another hop limit than 1.",
        )
        .settings("default: drop")
        .arrives(discovery(143, 1), "pass essential")
        .arrives(discovery(143, 255), "drop default-drop 58"),
        Case::new(
            "forged-igmp",
            "IGMP with another TTL than 1, and its number in IPv6, where it means nothing.",
        )
        .settings("default: drop")
        .arrives(igmp(1), "pass essential")
        .arrives(igmp(2), "drop default-drop 2")
        .arrives(igmp(255), "drop default-drop 2")
        .arrives(
            ethernet(Ipv6::carrying(portless(2, &[0x11, 0, 0, 0, 0, 0, 0, 0])).hop_limit(1)),
            "drop default-drop 2",
        ),
        Case::new(
            "listener-report-behind-router-alert",
            "Reports come behind hop-by-hop options: they are read past them.",
        )
        .settings("default: drop")
        .arrives(
            ethernet(Ipv6::carrying(icmpv6(143, 0).behind(Extension::Octets(HOP_BY_HOP, 0))).hop_limit(1)),
            "pass essential",
        )
        .arrives(
            ethernet(Ipv6::carrying(icmpv6(143, 0).behind(Extension::Octets(HOP_BY_HOP, 0))).hop_limit(2)),
            "drop default-drop 58",
        ),
        Case::new(
            "neighbour-discovery-in-fragments",
            "Neighbour discovery in an atomic fragment is whole; its later fragments are fragments like any.",
        )
        .settings("default: drop\nfragments: drop")
        .arrives(
            ethernet(Ipv6::carrying(icmpv6(135, 0).behind(Extension::Fragment(0, false))).hop_limit(255)),
            "pass essential",
        )
        .arrives(
            ethernet(Ipv6::carrying(icmpv6(135, 0).behind(Extension::Fragment(9, false))).hop_limit(255)),
            "drop later-fragment 58",
        ),
        Case::new(
            "types-beside-essential",
            "The types just beside those that are essential, with the hop limits of both kinds.",
        )
        .settings("default: drop")
        .all_arrive(
            [0, 5, 127, 128, 129, 138, 142, 144, 255]
                .into_iter()
                .flat_map(|kind| [discovery(kind, 255), discovery(kind, 1)]),
            "drop default-drop 58",
        )
        .all_arrive(
            [0, 1, 2, 4, 6, 8, 10, 13, 255].map(|kind| ipv4(icmp(kind, 0))),
            "drop default-drop 1",
        ),
        Case::new(
            "tunnel-in-essential-traffic",
            "Errors and neighbour discovery that carry a kilobyte of something else: their length is not judged.",
        )
        .settings("default: drop")
        .arrives(ipv4(long(&icmp(3, 0))), "pass essential")
        .arrives(
            ethernet(Ipv6::carrying(long(&icmpv6(136, 0))).hop_limit(255)),
            "pass essential",
        )
        .arrives(ipv4(udp(67, 68, &[0; 1000])), "pass essential")
        .arrives(ipv4(long(&icmp(8, 0))), "drop default-drop 1"),
        Case::new(
            "tunnel-in-essential-traffic-stopped",
            "`essential: rules` takes the exemption away, where no link depends on it.",
        )
        .settings("default: drop\nessential: rules")
        .arrives(ipv4(long(&icmp(3, 0))), "drop default-drop 1")
        .arrives(discovery(136, 255), "drop default-drop 58")
        .arrives(ipv4(udp(67, 68, b"")), "drop default-drop udp/68")
        .arrives(igmp(1), "drop default-drop 2"),
        Case::new(
            "essential-traffic-that-a-rule-means",
            "A rule that lists a type or a port stops it; one on a whole protocol or a range does not.",
        )
        .rules(&[
            "{ name: adverts, action: drop, protocol: icmpv6, types: router-advertisement }",
            "{ name: dhcp, action: drop, ports: 68/udp }",
            "{ name: all, action: drop, protocol: any }",
        ])
        .arrives(discovery(134, 255), "drop adverts 58")
        .arrives(discovery(135, 255), "pass essential")
        .arrives(ipv4(udp(67, 68, b"")), "drop dhcp udp/68")
        .arrives(ipv6(udp(547, 546, b"")), "pass essential")
        .arrives(ipv4(icmp(11, 0)), "pass essential")
        .arrives(igmp(1), "pass essential"),
        Case::new(
            "dhcp-reversed",
            "From a client's port to a server's: only answers are essential.",
        )
        .settings("default: drop")
        .arrives(ipv4(udp(67, 68, b"")), "pass essential")
        .arrives(ipv4(udp(68, 67, b"")), "drop default-drop udp/67")
        .arrives(ipv4(udp(67, 69, b"")), "drop default-drop udp/69")
        .arrives(ipv4(udp(53, 68, b"")), "drop default-drop udp/68")
        .arrives(ipv6(udp(546, 547, b"")), "drop default-drop udp/547"),
        Case::new(
            "dhcp-of-the-other-family",
            "The ports of DHCPv6 in IPv4, and those of DHCP in IPv6.",
        )
        .settings("default: drop")
        .arrives(ipv4(udp(547, 546, b"")), "drop default-drop udp/546")
        .arrives(ipv6(udp(67, 68, b"")), "drop default-drop udp/68"),
        Case::new("dhcp-over-tcp", "The ports of DHCP in TCP.")
            .settings("default: drop")
            .arrives(ipv4(tcp(67, 68)), "drop default-drop tcp/68"),
        Case::new(
            "icmpv6-in-ipv4",
            "Neighbour discovery in IPv4, and errors of ICMP in IPv6: each is essential in its own family.",
        )
        .settings("default: drop")
        .arrives(
            ethernet(Ipv4::carrying(icmpv6(135, 0)).ttl(255)),
            "drop default-drop 58",
        )
        .arrives(ipv6(icmp(3, 0)), "drop default-drop 1"),
        Case::new(
            "redirect",
            "An ICMP redirect would change the routes of this host: it is not essential.",
        )
        .settings("default: drop")
        .arrives(ipv4(icmp(5, 1)), "drop default-drop 1"),
        Case::new(
            "type-0-is-not-any",
            "Type 0 is a type: a rule on it does not match an echo request.",
        )
        .rules(&["{ name: zero, action: drop, protocol: icmp, types: 0 }"])
        .arrives(ipv4(icmp(8, 0)), "pass default-pass")
        .arrives(ipv4(icmp(0, 0)), "drop zero 1"),
    ]
}
