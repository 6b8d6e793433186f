//! Rules on types of ICMP and ICMPv6, and on services of the host's own.

use crate::filter::Filter;
use crate::frames::{Ipv4, Ipv6, Packet, ethernet, icmp, icmpv6, tcp, udp};

fn four(kind: u8, code: u8) -> Packet {
    Ipv4::carrying(icmp(kind, code)).into()
}

fn six(kind: u8, code: u8, hop_limit: u8) -> Packet {
    Ipv6::carrying(icmpv6(kind, code))
        .hop_limit(hop_limit)
        .into()
}

#[test]
fn a_type_is_matched_in_its_own_protocol() {
    let mut filter = Filter::new(
        "",
        &[
            "{name: ping, action: drop, protocol: [icmp, icmpv6], types: [echo-request]}",
            "{name: redirect, action: drop, protocol: icmp, types: [5/1]}",
        ],
    );
    for (case, packet, expected) in [
        ("ping", four(8, 0), "drop ping 1"),
        ("ping with a code", four(8, 9), "drop ping 1"),
        ("pong", four(0, 0), "pass default-pass"),
        ("redirect for a host", four(5, 1), "drop redirect 1"),
        ("redirect for a network", four(5, 0), "pass default-pass"),
        ("type 128 of ICMP", four(128, 0), "pass default-pass"),
        ("ping in IPv6", six(128, 0, 64), "drop ping 58"),
        ("pong in IPv6", six(129, 0, 64), "pass default-pass"),
        ("type 8 of ICMPv6", six(8, 0, 64), "pass default-pass"),
    ] {
        filter.expect(case, &ethernet(packet), expected);
    }
}

#[test]
fn p15_type_0_matches_type_0_alone() {
    let mut filter = Filter::new(
        "",
        &["{name: pong, action: drop, protocol: icmp, types: 0}"],
    );
    filter.expect("pong", &ethernet(four(0, 0)), "drop pong 1");
    filter.expect("ping", &ethernet(four(8, 0)), "pass default-pass");
    let later = Ipv4::carrying(icmp(0, 0)).fragment(2, false);
    filter.expect("a later fragment", &ethernet(later), "pass later-fragment");
}

#[test]
fn a_rule_that_lists_an_essential_type_decides_it_whatever_its_hop_limit() {
    let mut filter = Filter::new(
        "default: drop",
        &[
            "{name: ns, action: drop, protocol: icmpv6, types: neighbor-solicitation}",
            "{name: needed, action: drop, protocol: icmp, types: destination-unreachable/4}",
            "{name: maybe, action: drop, protocol: icmpv6, types: 134, enforce: false}",
        ],
    );
    for (case, packet, expected) in [
        ("from the link", six(135, 0, 255), "drop ns 58"),
        ("from afar", six(135, 0, 64), "drop ns 58"),
        ("another type", six(136, 0, 255), "pass essential"),
        (
            "another type from afar",
            six(136, 0, 64),
            "drop default-drop 58",
        ),
        ("only counted", six(134, 0, 255), "pass essential +maybe"),
        ("fragmentation needed", four(3, 4), "drop needed 1"),
        ("port unreachable", four(3, 3), "pass essential"),
    ] {
        filter.expect(case, &ethernet(packet), expected);
    }
}

#[test]
fn a_service_of_the_host_is_matched_by_its_ports() {
    let mut filter = Filter::new(
        "services: {app: 8443/tcp, mesh: [7946/tcp, 7946-7947/udp]}",
        &["{name: own, action: drop, ports: [app, mesh]}"],
    );
    for (case, packet, expected) in [
        ("app", Ipv4::carrying(tcp(1, 8443)), "drop own tcp/8443"),
        (
            "app by UDP",
            Ipv4::carrying(udp(1, 8443, b"")),
            "pass default-pass",
        ),
        (
            "mesh by TCP",
            Ipv4::carrying(tcp(1, 7946)),
            "drop own tcp/7946",
        ),
        (
            "mesh by UDP",
            Ipv4::carrying(udp(1, 7947, b"")),
            "drop own udp/7947",
        ),
        ("beyond", Ipv4::carrying(tcp(1, 7947)), "pass default-pass"),
    ] {
        filter.expect(case, &ethernet(packet), expected);
    }
}
