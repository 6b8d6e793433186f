//! Essential traffic: what keeps the network itself working passes unless a rule means it.

use crate::filter::Filter;
use crate::frames::{
    CUSTOMER_TAG, Extension, HOP_BY_HOP, IGMP, Ipv4, Ipv6, Link, Packet, icmp, icmpv6, portless,
    tcp, udp,
};

/// The hop limit that shows that no router forwarded a message of neighbour discovery.
const FROM_THE_LINK: u8 = 255;

fn discovery(kind: u8, hop_limit: u8) -> Packet {
    Ipv6::carrying(icmpv6(kind, 0)).hop_limit(hop_limit).into()
}

fn igmp(ttl: u8) -> Packet {
    let query = portless(IGMP, &[0x11, 100, 0, 0, 0, 0, 0, 0]);
    // Router alert (RFC 2113), as all of IGMP since version 2 carries.
    Ipv4::carrying(query)
        .options(&[0x94, 4, 0, 0])
        .ttl(ttl)
        .into()
}

fn dhcp_answer() -> Packet {
    Ipv4::carrying(udp(67, 68, &[2; 40])).into()
}

fn dhcpv6_answer() -> Packet {
    Ipv6::carrying(udp(547, 546, &[2; 40])).into()
}

/// All essential traffic, with the key that the table of drops has for it.
fn essential() -> Vec<(String, Packet, &'static str)> {
    let mut all: Vec<(String, Packet, &str)> = Vec::new();
    for kind in 133..=137 {
        all.push((
            format!("neighbour discovery {kind}"),
            discovery(kind, FROM_THE_LINK),
            "58",
        ));
    }
    for kind in [130, 131, 132, 143] {
        let alert = icmpv6(kind, 0).behind(Extension::Octets(HOP_BY_HOP, 0));
        let packet = Ipv6::carrying(alert).hop_limit(1).into();
        all.push((format!("listener discovery {kind}"), packet, "58"));
    }
    for kind in 1..=4 {
        for hop_limit in [1, 64, 255] {
            let packet = discovery(kind, hop_limit);
            all.push((
                format!("ICMPv6 error {kind}, hop limit {hop_limit}"),
                packet,
                "58",
            ));
        }
    }
    for kind in [3, 11, 12] {
        for code in [0, 1, 4, 15, 255] {
            let packet = Ipv4::carrying(icmp(kind, code)).into();
            all.push((format!("ICMP error {kind}, code {code}"), packet, "1"));
        }
    }
    all.push(("IGMP".into(), igmp(1), "2"));
    all.push(("DHCP".into(), dhcp_answer(), "udp/68"));
    all.push(("DHCPv6".into(), dhcpv6_answer(), "udp/546"));
    all
}

/// What is like essential traffic, but is none.
fn ordinary() -> Vec<(String, Packet, &'static str)> {
    let mut all: Vec<(String, Packet, &str)> = Vec::new();
    for kind in 133..=137 {
        for hop_limit in [0, 1, 64, 254] {
            let case = format!("neighbour discovery {kind}, hop limit {hop_limit}");
            all.push((case, discovery(kind, hop_limit), "58"));
        }
    }
    for kind in [130, 131, 132, 143] {
        for hop_limit in [0, 2, 64, 255] {
            let case = format!("listener discovery {kind}, hop limit {hop_limit}");
            all.push((case, discovery(kind, hop_limit), "58"));
        }
    }
    for kind in [0, 5, 100, 127, 128, 129, 138, 139, 142, 144, 255] {
        for hop_limit in [1, 64, 255] {
            let case = format!("ICMPv6 type {kind}, hop limit {hop_limit}");
            all.push((case, discovery(kind, hop_limit), "58"));
        }
    }
    for kind in [0, 1, 2, 4, 5, 8, 9, 10, 13, 14, 17, 30, 133, 135, 143] {
        for ttl in [1, 64, 255] {
            let packet = Ipv4::carrying(icmp(kind, 0)).ttl(ttl).into();
            all.push((format!("ICMP type {kind}, TTL {ttl}"), packet, "1"));
        }
    }
    for ttl in [0, 2, 64, 255] {
        all.push((format!("IGMP, TTL {ttl}"), igmp(ttl), "2"));
    }
    // IPv6 has no IGMP.
    let in_v6 = Ipv6::carrying(portless(IGMP, &[0x11; 8])).hop_limit(1);
    all.push(("IGMP in IPv6".into(), in_v6.into(), "2"));
    for (src, dst) in [
        (67, 67),
        (66, 68),
        (68, 68),
        (1067, 68),
        (0, 68),
        (547, 68),
        (53, 68),
    ] {
        let packet = Ipv4::carrying(udp(src, dst, b"")).into();
        let key = if dst == 68 { "udp/68" } else { "udp/67" };
        all.push((format!("DHCP from {src} to {dst}"), packet, key));
    }
    for src in [546, 67, 0, 1547, 53] {
        let packet = Ipv6::carrying(udp(src, 546, b"")).into();
        all.push((format!("DHCPv6 from {src}"), packet, "udp/546"));
    }
    let swapped = Ipv6::carrying(udp(67, 68, b"")).into();
    all.push(("DHCP in IPv6".into(), swapped, "udp/68"));
    let swapped = Ipv4::carrying(udp(547, 546, b"")).into();
    all.push(("DHCPv6 in IPv4".into(), swapped, "udp/546"));
    let over_tcp = Ipv4::carrying(tcp(67, 68)).into();
    all.push(("DHCP ports of TCP".into(), over_tcp, "tcp/68"));
    all
}

/// Sends each packet untagged, tagged, and in PPPoE.
fn expect_all(
    filter: &mut Filter,
    packets: Vec<(String, Packet, &str)>,
    expected: impl Fn(&str) -> String,
) {
    let tagged = Link::new().tag(CUSTOMER_TAG, 30);
    let links = [Link::new(), tagged.clone(), tagged.pppoe()];
    for (case, packet, key) in packets {
        for link in &links {
            filter.expect(&case, &link.carry(packet.clone()), &expected(key));
        }
    }
}

#[test]
fn essential_traffic_passes_whatever_the_default() {
    for settings in [
        "default: pass",
        "default: drop",
        "default: drop\nfragments: drop\nnon_ip: drop",
    ] {
        let mut filter = Filter::new(settings, &[]);
        expect_all(&mut filter, essential(), |_| "pass essential".into());
    }
}

#[test]
fn what_only_looks_essential_is_ordinary() {
    let mut filter = Filter::new("default: drop", &[]);
    expect_all(&mut filter, ordinary(), |key| {
        format!("drop default-drop {key}")
    });
    let mut filter = Filter::new("default: pass", &[]);
    expect_all(&mut filter, ordinary(), |_| "pass default-pass".into());
}

/// Rules that match all of it, but by none of the ways that mean essential traffic.
const BROAD: [&str; 5] = [
    "{ name: icmp, action: drop, protocol: [icmp, icmpv6] }",
    "{ name: numbers, action: drop, protocol: [1, 58] }",
    "{ name: near-ports, action: drop, ports: [67-69/udp, 540-550/udp, bootpc] }",
    "{ name: all-ports, action: drop, protocol: udp, ports: any }",
    "{ name: all, action: drop, protocol: any }",
];

#[test]
fn broad_rules_do_not_mean_essential_traffic() {
    for rule in BROAD {
        let mut filter = Filter::new("default: drop", &[rule]);
        expect_all(&mut filter, essential(), |_| "pass essential".into());
    }
}

#[test]
fn broad_rules_match_what_only_looks_essential() {
    let mut filter = Filter::new("", &["{ name: all, action: drop, protocol: any }"]);
    expect_all(&mut filter, ordinary(), |key| format!("drop all {key}"));
}

#[test]
fn ports_that_are_written_in_full_mean_dhcp() {
    let rules = [
        "{ name: dhcp, action: drop, ports: 68/udp }",
        "{ name: dhcpv6, action: drop, ports: [53, 546/udp] }",
    ];
    let mut filter = Filter::new("", &rules);
    for (case, packet, key) in essential() {
        let expected = match key {
            "udp/68" => "drop dhcp udp/68",
            "udp/546" => "drop dhcpv6 udp/546",
            _ => "pass essential",
        };
        filter.expect(&case, &Link::new().carry(packet), expected);
    }
    // The same rules match whatever else goes to these ports, too.
    let other = Link::new().carry(Ipv6::carrying(udp(1, 68, b"")));
    filter.expect("IPv6", &other, "drop dhcp udp/68");
    let other = Link::new().carry(Ipv4::carrying(udp(547, 546, b"")));
    filter.expect("IPv4", &other, "drop dhcpv6 udp/546");
}

#[test]
fn other_spellings_of_the_ports_do_not_mean_dhcp() {
    for ports in [
        "68",
        "[68]",
        "546",
        "bootpc",
        "bootpc/udp",
        "68-68/udp",
        "60-70/udp",
        "any/udp",
        "dhcpv6-client",
    ] {
        let rule = format!("{{ name: near, action: drop, ports: {ports} }}");
        let mut filter = Filter::new("default: drop", &[&rule]);
        for packet in [dhcp_answer(), dhcpv6_answer()] {
            filter.expect(ports, &Link::new().carry(packet), "pass essential");
        }
    }
    let rule = "{ name: near, action: drop, protocol: udp, ports: [68, 546] }";
    let mut filter = Filter::new("default: drop", &[rule]);
    for packet in [dhcp_answer(), dhcpv6_answer()] {
        filter.expect(rule, &Link::new().carry(packet), "pass essential");
    }
}

#[test]
fn protocol_igmp_means_igmp() {
    for (rule, expected) in [
        (
            "{ name: multicast, action: drop, protocol: igmp }",
            "drop multicast 2",
        ),
        (
            "{ name: multicast, action: pass, protocol: igmp }",
            "pass multicast",
        ),
        (
            "{ name: multicast, action: drop, protocol: [gre, igmp] }",
            "drop multicast 2",
        ),
    ] {
        let mut filter = Filter::new("", &[rule]);
        for ttl in [1, 2, 64] {
            filter.expect(rule, &Link::new().carry(igmp(ttl)), expected);
        }
    }
}

#[test]
fn a_rule_that_passes_essential_traffic_counts_it() {
    let rules = [
        "{ name: dhcp, action: pass, ports: 68/udp }",
        "{ name: all, action: drop, protocol: any }",
    ];
    let mut filter = Filter::new("default: drop", &rules);
    filter.expect("dhcp", &Link::new().carry(dhcp_answer()), "pass dhcp");
    filter.expect(
        "dhcpv6",
        &Link::new().carry(dhcpv6_answer()),
        "pass essential",
    );
}

#[test]
fn the_first_rule_that_means_it_decides() {
    let rules = [
        "{ name: all, action: drop, protocol: any }",
        "{ name: dhcp, action: drop, ports: 68/udp }",
        "{ name: late, action: pass, ports: [68/udp, 546/udp] }",
    ];
    let mut filter = Filter::new("", &rules);
    filter.expect(
        "dhcp",
        &Link::new().carry(dhcp_answer()),
        "drop dhcp udp/68",
    );
    filter.expect("dhcpv6", &Link::new().carry(dhcpv6_answer()), "pass late");
}

#[test]
fn essential_rules_takes_the_exemption_away() {
    let mut filter = Filter::new("default: drop\nessential: rules", &[]);
    expect_all(&mut filter, essential(), |key| {
        format!("drop default-drop {key}")
    });
    let mut filter = Filter::new("default: pass\nessential: rules", &[]);
    expect_all(&mut filter, essential(), |_| "pass default-pass".into());
    let all = "{ name: all, action: drop, protocol: any }";
    let mut filter = Filter::new("essential: rules", &[all]);
    expect_all(&mut filter, essential(), |key| format!("drop all {key}"));
    expect_all(&mut filter, ordinary(), |key| format!("drop all {key}"));
}

#[test]
fn essential_rules_leaves_the_rules_to_decide() {
    let rules = [
        "{ name: icmpv6, action: pass, protocol: icmpv6 }",
        "{ name: icmp, action: drop, protocol: icmp }",
        "{ name: igmp, action: drop, protocol: igmp }",
        "{ name: dhcp, action: drop, ports: [68/udp, 546] }",
    ];
    let mut filter = Filter::new("default: drop\nessential: rules", &rules);
    expect_all(&mut filter, essential(), |key| match key {
        "58" => "pass icmpv6".into(),
        "1" => "drop icmp 1".into(),
        "2" => "drop igmp 2".into(),
        _ => format!("drop dhcp {key}"),
    });
}
