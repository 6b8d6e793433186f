//! Whom a packet says it is from, and to which port.

use super::case::{Case, DESTINATION_V4, SOURCE_V4, SOURCE_V6, with};
use crate::frames::{CUSTOMER_TAG, Ipv4, Link, ethernet, ipv4, ipv6, tcp, udp};

const ADMINS: &str = "{ name: admins, action: pass, ports: 22/tcp, from: 198.51.100.0/24 }";

fn from_v6(address: [u8; 16]) -> Vec<u8> {
    with(ipv6(tcp(40_000, 22)), SOURCE_V6, &address)
}

fn in_vlan(id: u16) -> Vec<u8> {
    Link::new()
        .tag(CUSTOMER_TAG, id)
        .carry(Ipv4::carrying(tcp(40_000, 22)))
}

/// An IPv4 address as it is written in IPv6.
fn mapped() -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 9]
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = addresses();
    cases.extend(ports());
    cases.extend(trust());
    cases
}

fn addresses() -> Vec<Case> {
    vec![
        Case::new(
            "ipv4-mapped-source",
            "The address of an administrator, written as IPv6: addresses are compared literally.",
        )
        .rules(&[ADMINS, super::case::SSH])
        .arrives(ipv4(tcp(40_000, 22)), "pass admins")
        .arrives(from_v6(mapped()), "drop ssh tcp/22"),
        Case::new(
            "ipv4-compatible-source",
            "The same as an IPv4-compatible address (RFC 4291, 2.5.5.1).",
        )
        .rules(&[ADMINS, super::case::SSH])
        .arrives(
            from_v6([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 198, 51, 100, 9]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "neighbour-of-a-prefix",
            "The addresses just before and just behind a prefix.",
        )
        .rules(&[ADMINS, super::case::SSH])
        .arrives(
            with(ipv4(tcp(40_000, 22)), SOURCE_V4, &[198, 51, 99, 255]),
            "drop ssh tcp/22",
        )
        .arrives(
            with(ipv4(tcp(40_000, 22)), SOURCE_V4, &[198, 51, 101, 0]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "address-of-nobody",
            "From this host itself, from nobody, from a group and from everybody: addresses make no exception.",
        )
        .all_arrive(
            [[127, 0, 0, 1], [0; 4], [224, 0, 0, 1], [255; 4], [192, 0, 2, 1]]
                .map(|source| with(ipv4(tcp(40_000, 22)), SOURCE_V4, &source)),
            "drop ssh tcp/22",
        )
        .arrives(from_v6(std::net::Ipv6Addr::LOCALHOST.octets()), "drop ssh tcp/22")
        .arrives(from_v6([0; 16]), "drop ssh tcp/22"),
        Case::new(
            "land",
            "From the destination's own address and port.",
        )
        .arrives(
            with(ipv4(tcp(22, 22)), SOURCE_V4, &[192, 0, 2, 1]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "group-as-destination",
            "To a group or to everybody: the port is blocked whoever is meant.",
        )
        .all_arrive(
            [[224, 0, 0, 251], [255; 4], [192, 0, 2, 255]]
                .map(|destination| with(ipv4(udp(40_000, 22, b"")), DESTINATION_V4, &destination)),
            "drop ssh udp/22",
        ),
        Case::new(
            "ipv4-in-other-ipv6",
            "The address of an administrator within one of 6to4 or NAT64.",
        )
        .rules(&[ADMINS, super::case::SSH])
        .arrives(
            from_v6([0x20, 2, 198, 51, 100, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            "drop ssh tcp/22",
        )
        .arrives(
            from_v6([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 198, 51, 100, 9]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "administrator-as-destination",
            "To the addresses of administrators instead of from them.",
        )
        .rules(&[ADMINS, super::case::SSH])
        .arrives(
            with(ipv4(tcp(40_000, 22)), SOURCE_V4, &[192, 0, 2, 1, 198, 51, 100, 9]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "administrator-from-another-vlan",
            "The right address, forged in another VLAN or without one.",
        )
        .rules(&[
            "{ name: admins, action: pass, ports: 22/tcp, from: 198.51.100.0/24, vlan: 10 }",
            super::case::SSH,
        ])
        .arrives(in_vlan(10), "pass admins")
        .arrives(in_vlan(20), "drop ssh tcp/22")
        .arrives(ipv4(tcp(40_000, 22)), "drop ssh tcp/22"),
    ]
}

fn ports() -> Vec<Case> {
    vec![
        Case::new(
            "source-port-53",
            "From port 53, as if it were an answer of a name server.",
        )
        .arrives(ipv4(tcp(53, 22)), "drop ssh tcp/22")
        .arrives(ipv4(udp(53, 22, b"answer")), "drop ssh udp/22"),
        Case::new(
            "source-port-53-under-default-drop",
            "The same to a high port, where nobody has asked.",
        )
        .settings("default: drop")
        .arrives(
            ipv4(udp(53, 40_000, b"answer")),
            "drop default-drop udp/40000",
        ),
        Case::new(
            "source-port-is-blocked-port",
            "From the blocked port to an open one: the destination counts.",
        )
        .arrives(ipv4(tcp(22, 40_000)), "pass default-pass"),
        Case::new(
            "source-port-of-a-service",
            "From the ports of DHCP, NTP, HTTPS and port 0 to the blocked one.",
        )
        .all_arrive(
            [0, 67, 68, 123, 443, 547].map(|port| ipv4(udp(port, 22, b""))),
            "drop ssh udp/22",
        )
        .all_arrive(
            [0, 20, 80, 443, 65_535].map(|port| ipv6(tcp(port, 22))),
            "drop ssh tcp/22",
        ),
        Case::new(
            "port-in-the-other-byte-order",
            "5632 is 22 with its bytes swapped: another port.",
        )
        .arrives(ipv4(tcp(40_000, 5632)), "pass default-pass"),
        Case::new(
            "amplification",
            "Datagrams from port 123, with whatever destination port the victim has open.",
        )
        .rules(&["{ name: ntp, action: drop, protocol: udp, ports: any, source_ports: 123 }"])
        .arrives(ipv4(udp(123, 443, b"monlist")), "drop ntp udp/443")
        .arrives(ipv4(udp(124, 443, b"")), "pass default-pass"),
        Case::new(
            "c05-published-port",
            "A published container port is blocked by its outer number, before it is translated.",
        )
        .rules(&["{ name: published, action: drop, ports: 8080/tcp }"])
        .arrives(ipv4(tcp(40_000, 8080)), "drop published tcp/8080"),
        Case::new(
            "c05-container-port",
            "And not by the number that the container sees.",
        )
        .rules(&["{ name: inner, action: drop, ports: 80/tcp }"])
        .arrives(ipv4(tcp(40_000, 8080)), "pass default-pass"),
    ]
}

fn trust() -> Vec<Case> {
    const TRUSTED: &str =
        "interfaces: [eth0, mgmt0]\ntrusted: [{ from: 198.51.100.9, interfaces: [mgmt0] }]";
    vec![
        Case::new(
            "trusted-from-elsewhere",
            "The address of a trusted source, forged from another interface.",
        )
        .settings(TRUSTED)
        .arrives_at("mgmt0", ipv4(tcp(40_000, 22)), "pass trusted")
        .arrives_at("eth0", ipv4(tcp(40_000, 22)), "drop ssh tcp/22"),
        Case::new("trusted-as-ipv6", "A trusted IPv4 source, written as IPv6.")
            .settings("trusted: [198.51.100.9]")
            .arrives(
                with(ipv6(tcp(40_000, 22)), SOURCE_V6, &mapped()),
                "drop ssh tcp/22",
            ),
        Case::new(
            "trusted-as-destination",
            "To a trusted address instead of from it.",
        )
        .settings("trusted: [198.51.100.9]")
        .arrives(
            with(
                ipv4(tcp(40_000, 22)),
                SOURCE_V4,
                &[192, 0, 2, 1, 198, 51, 100, 9],
            ),
            "drop ssh tcp/22",
        ),
        Case::new(
            "neighbour-of-trusted",
            "The addresses beside a trusted one.",
        )
        .settings("trusted: [198.51.100.9]")
        .all_arrive(
            [8, 10].map(|last| with(ipv4(tcp(40_000, 22)), SOURCE_V4 + 3, &[last])),
            "drop ssh tcp/22",
        ),
        Case::new(
            "malformed-from-trusted",
            "What cannot be read is malformed, whoever it says that it is from.",
        )
        .settings("trusted: [198.51.100.9]")
        .arrives(
            ethernet(Ipv4::carrying(tcp(40_000, 22)).first_byte(0x44)),
            "drop malformed:ipv4-header-length",
        ),
    ]
}
