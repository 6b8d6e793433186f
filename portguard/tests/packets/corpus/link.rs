//! Tags in front of the packet, and packets within packets.

use super::case::{Case, with};
use crate::frames::{
    CUSTOMER_TAG, GRE, IPIP, Ipv4, Ipv6, Link, OLD_SERVICE_TAG, Packet, SERVICE_TAG, ethernet,
    ipv4, ipv6, portless, raw_ethernet, tcp, udp,
};

fn ssh() -> Packet {
    Ipv4::carrying(tcp(40_000, 22)).into()
}

fn tagged(tags: &[(u16, u16)]) -> Link {
    tags.iter().fold(Link::new(), |link, (kind, control)| {
        link.tag(*kind, *control)
    })
}

fn inner() -> Vec<u8> {
    ssh().bytes
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = tags();
    cases.extend(pppoe());
    cases.extend(tunnels());
    cases.extend(not_ip());
    cases
}

fn tags() -> Vec<Case> {
    vec![
        Case::new("vlan-tag", "A VLAN tag in front of the packet.")
            .arrives(tagged(&[(CUSTOMER_TAG, 10)]).carry(ssh()), "drop ssh tcp/22"),
        Case::new("priority-tag", "A tag of VLAN 0, which untagged sockets get.")
            .arrives(tagged(&[(CUSTOMER_TAG, 0xe000)]).carry(ssh()), "drop ssh tcp/22"),
        Case::new("qinq", "A service tag and a customer tag.")
            .arrives(
                tagged(&[(SERVICE_TAG, 100), (CUSTOMER_TAG, 10)]).carry(ssh()),
                "drop ssh tcp/22",
            ),
        Case::new("old-service-tag", "The tag type 0x9100 of before 802.1ad.")
            .arrives(tagged(&[(OLD_SERVICE_TAG, 100)]).carry(ssh()), "drop ssh tcp/22"),
        Case::new("4-tags", "As many tags as are walked.")
            .arrives(tagged(&[(CUSTOMER_TAG, 1); 4]).carry(ssh()), "drop ssh tcp/22"),
        Case::new("5-tags", "One more: malformed, never passed unseen.")
            .arrives(
                tagged(&[(CUSTOMER_TAG, 1); 5]).carry(ssh()),
                "drop malformed:vlan-depth",
            ),
        Case::new(
            "vlan-hopping",
            "A rule on VLAN 10, and the tag of another VLAN in front of that tag: the first one counts.",
        )
        .rules(&["{ name: ten, action: pass, vlan: 10, ports: 22 }", super::case::SSH])
        .arrives(tagged(&[(CUSTOMER_TAG, 10)]).carry(ssh()), "pass ten")
        .arrives(
            tagged(&[(CUSTOMER_TAG, 1), (CUSTOMER_TAG, 10)]).carry(ssh()),
            "drop ssh tcp/22",
        ),
        Case::new(
            "priority-tag-and-vlan",
            "A priority tag is no VLAN: the one behind it is.",
        )
        .rules(&["{ name: ten, action: drop, vlan: 10, ports: any/tcp }"])
        .arrives(
            tagged(&[(CUSTOMER_TAG, 0), (CUSTOMER_TAG, 10)]).carry(ssh()),
            "drop ten tcp/22",
        ),
        Case::new(
            "drop-eligible",
            "The bits of a tag beside its VLAN ID change nothing.",
        )
        .rules(&["{ name: ten, action: drop, vlan: 10, ports: any/tcp }"])
        .all_arrive(
            [0x100a, 0xe00a, 0xf00a].map(|control| tagged(&[(CUSTOMER_TAG, control)]).carry(ssh())),
            "drop ten tcp/22",
        ),
        Case::new(
            "tag-against-untagged",
            "What is open to untagged frames alone: a tag gives nobody the same, a priority tag is none.",
        )
        .rules(&["{ name: plain, action: pass, vlan: none, ports: 22 }", super::case::SSH])
        .arrives(ethernet(ssh()), "pass plain")
        .arrives(tagged(&[(CUSTOMER_TAG, 0)]).carry(ssh()), "pass plain")
        .arrives(tagged(&[(CUSTOMER_TAG, 10)]).carry(ssh()), "drop ssh tcp/22")
        .arrives(
            tagged(&[(CUSTOMER_TAG, 0), (SERVICE_TAG, 10)]).carry(ssh()),
            "drop ssh tcp/22",
        )
        .arrives(tagged(&[(CUSTOMER_TAG, 4095)]).carry(ssh()), "drop ssh tcp/22"),
        Case::new(
            "unknown-tag",
            "A tag type that no host takes for one (0x9200): the frame is not IP.",
        )
        .settings("non_ip: drop")
        .arrives(tagged(&[(0x9200, 10)]).carry(ssh()), "drop non-ip"),
        Case::new("tag-cut-short", "The frame ends within a tag.")
            .arrives(raw_ethernet(CUSTOMER_TAG, &[0, 1]), "drop malformed:vlan-short"),
    ]
}

fn pppoe() -> Vec<Case> {
    vec![
        Case::new("pppoe", "PPPoE with a protocol field of two bytes.")
            .arrives(Link::new().pppoe().carry(ssh()), "drop ssh tcp/22"),
        Case::new(
            "pppoe-compressed",
            "PPPoE with a protocol field of one byte (RFC 1661, 6.5).",
        )
        .arrives(
            Link::new().compressed_pppoe().carry(ssh()),
            "drop ssh tcp/22",
        ),
        Case::new("pppoe-in-qinq", "PPPoE behind two tags, IPv6 in it.").arrives(
            tagged(&[(SERVICE_TAG, 100), (CUSTOMER_TAG, 10)])
                .pppoe()
                .carry(Ipv6::carrying(tcp(40_000, 22))),
            "drop ssh tcp/22",
        ),
        Case::new(
            "pppoe-behind-4-tags",
            "PPPoE behind as many tags as are walked.",
        )
        .arrives(
            tagged(&[(CUSTOMER_TAG, 1); 4]).pppoe().carry(ssh()),
            "drop ssh tcp/22",
        ),
        Case::new(
            "pppoe-length",
            "The length field of PPPoE is not the packet's, whatever it says.",
        )
        .all_arrive(
            [[0, 0], [0, 2], [0xff, 0xff]]
                .map(|length| with(Link::new().pppoe().carry(ssh()), 14 + 4, &length)),
            "drop ssh tcp/22",
        ),
        Case::new(
            "pppoe-discovery",
            "Discovery opens the session, so `non_ip: drop` spares it.",
        )
        .settings("non_ip: drop")
        .arrives(raw_ethernet(0x8863, &[0x11, 9, 0, 0, 0, 0]), "pass non-ip"),
        Case::new("pppoe-cut-short", "The frame ends within the PPPoE header.").arrives(
            raw_ethernet(0x8864, &[0x11, 0, 0, 7]),
            "drop malformed:pppoe-short",
        ),
        Case::new(
            "pppoe-control",
            "PPP control keeps the link alive, so `non_ip: drop` spares it.",
        )
        .settings("non_ip: drop")
        .arrives(
            Link::new().pppoe().carry_raw(0, 0xc021, &[1, 0, 0, 4]),
            "pass non-ip",
        ),
    ]
}

fn tunnels() -> Vec<Case> {
    let gre = [vec![0, 0, 8, 0], inner()].concat();
    let vxlan = [vec![8, 0, 0, 0, 0, 0, 1, 0], ipv4(tcp(40_000, 22))].concat();
    let geneve = [
        vec![1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0],
        ipv4(tcp(40_000, 22)),
    ]
    .concat();
    vec![
        Case::new(
            "gre",
            "What a tunnel carries is its payload: only a rule on the tunnel stops it.",
        )
        .rules(&[
            super::case::SSH,
            "{ name: gre, action: drop, protocol: gre }",
        ])
        .arrives(ipv4(portless(GRE, &gre)), "drop gre 47"),
        Case::new(
            "gre-unnoticed",
            "Without such a rule it passes, port 22 and all.",
        )
        .arrives(ipv4(portless(GRE, &gre)), "pass default-pass")
        .arrives(ipv6(portless(GRE, &gre)), "pass default-pass"),
        Case::new(
            "ipip",
            "IPv4 in IPv4 and in IPv6, whose inner header a fixed parser takes for ports.",
        )
        .arrives(ipv4(portless(IPIP, &inner())), "pass default-pass")
        .arrives(ipv6(portless(IPIP, &inner())), "pass default-pass"),
        Case::new(
            "ipip-by-protocol",
            "It is stopped by a rule on its protocol.",
        )
        .rules(&["{ name: tunnel, action: drop, protocol: ipip }"])
        .arrives(ipv4(portless(IPIP, &inner())), "drop tunnel 4"),
        Case::new("6in4", "IPv6 in IPv4 (protocol 41).")
            .rules(&["{ name: tunnel, action: drop, protocol: 41 }"])
            .arrives(
                ipv4(portless(41, &ipv6(tcp(40_000, 22))[14..])),
                "drop tunnel 41",
            ),
        Case::new("mpls", "MPLS is not IP, so `non_ip` decides.").arrives(
            raw_ethernet(0x8847, &[&[0, 1, 1, 64], inner().as_slice()].concat()),
            "pass non-ip",
        ),
        Case::new("mpls-dropped", "The same with `non_ip: drop`.")
            .settings("non_ip: drop")
            .arrives(
                raw_ethernet(0x8847, &[&[0, 1, 1, 64], inner().as_slice()].concat()),
                "drop non-ip",
            ),
        Case::new(
            "vxlan",
            "A whole frame in a datagram: the inner port is payload.",
        )
        .arrives(ipv4(udp(40_000, 4789, &vxlan)), "pass default-pass"),
        Case::new("geneve", "The same in Geneve, with an option.")
            .arrives(ipv4(udp(40_000, 6081, &geneve)), "pass default-pass"),
        Case::new("vxlan-by-port", "Blocking UDP 4789 cuts every VNI.")
            .rules(&["{ name: vxlan, action: drop, ports: 4789/udp }"])
            .arrives(ipv4(udp(40_000, 4789, &vxlan)), "drop vxlan udp/4789")
            .arrives(
                with(ipv4(udp(40_000, 4789, &vxlan)), 14 + 20 + 8 + 6, &[9]),
                "drop vxlan udp/4789",
            ),
    ]
}

fn not_ip() -> Vec<Case> {
    vec![
        Case::new(
            "802.3-length",
            "A length of 802.3 in the place of the EtherType, and an IP header behind it.",
        )
        .settings("non_ip: drop")
        .arrives(raw_ethernet(0x002e, &inner()), "drop non-ip"),
        Case::new(
            "llc-snap",
            "IP behind LLC and SNAP (RFC 1042): no host takes it from Ethernet, so it is not IP.",
        )
        .settings("non_ip: drop")
        .arrives(
            raw_ethernet(0x0030, &[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], inner().as_slice()].concat()),
            "drop non-ip",
        )
        .arrives(
            raw_ethernet(0x002b, &[&[6, 6, 3], inner().as_slice()].concat()),
            "drop non-ip",
        ),
        Case::new(
            "arp-of-any-size",
            "`non_ip: drop` spares ARP, or the link would go down: empty, cut short, and long.",
        )
        .settings("non_ip: drop")
        .all_arrive(
            [0, 1, 27, 28, 46, 1500].map(|length| raw_ethernet(0x0806, &vec![0; length])),
            "pass non-ip",
        ),
        Case::new(
            "ip-as-arp",
            "An IP packet announced as ARP: no host takes it for IP.",
        )
        .settings("default: drop")
        .arrives(raw_ethernet(0x0806, &inner()), "pass non-ip"),
        Case::new(
            "link-protocols",
            "EAPOL and LACP are spared; the other slow protocols, RARP and MACsec are not.",
        )
        .settings("non_ip: drop")
        .arrives(raw_ethernet(0x888e, &[2, 1, 0, 0]), "pass non-ip")
        .arrives(raw_ethernet(0x8809, &[1, 1]), "pass non-ip")
        .arrives(raw_ethernet(0x8809, &[3, 0]), "drop non-ip")
        .arrives(raw_ethernet(0x8809, b""), "drop non-ip")
        .arrives(raw_ethernet(0x8035, &[0; 28]), "drop non-ip")
        .arrives(raw_ethernet(0x88e5, &[0; 46]), "drop non-ip"),
        Case::new(
            "hardware-address",
            "A frame to everybody, to a group, to nobody, or from itself is judged by what it carries.",
        )
        .all_arrive(
            [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0; 6], [2, 0, 0, 0, 0, 2]]
                .map(|address| with(ethernet(ssh()), 0, &address)),
            "drop ssh tcp/22",
        ),
    ]
}
