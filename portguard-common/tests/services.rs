//! Where packets stand in the tables of services and of source ports: essential traffic by its proofs, all else by
//! protocol, port and type.

mod frames;

use frames::{GRE, IGMP, Ipv4, Ipv6, Segment, ethernet, icmp, icmpv6, portless, sctp, tcp, udp};
use portguard_common::abi::{service, source_port};
use portguard_common::classify::{Service, is_attempt, service};
use portguard_common::combine;
use portguard_common::packet::{Headers, parse};

fn headers(frame: &[u8]) -> Headers {
    match parse(&frame) {
        Ok(headers) => headers,
        Err(unparsed) => panic!("{unparsed:?}: {frame:02x?}"),
    }
}

fn v4(segment: Segment, ttl: u8) -> Headers {
    headers(&ethernet(Ipv4::carrying(segment).ttl(ttl)))
}

fn v6(segment: Segment, hop_limit: u8) -> Headers {
    headers(&ethernet(Ipv6::carrying(segment).hop_limit(hop_limit)))
}

/// With the exemption of essential traffic and without it: that is where nothing is essential.
#[track_caller]
fn assert_place(headers: &Headers, essential: Option<u32>, ordinary: u32) {
    let otherwise = Service { index: ordinary };
    let expected = essential.map_or(otherwise, |index| Service { index });
    assert_eq!(service(headers, true), expected, "{headers:?}");
    assert_eq!(expected.is_essential(), essential.is_some(), "{headers:?}");
    assert_eq!(service(headers, false), otherwise, "{headers:?}");
    assert!(!otherwise.is_essential(), "{headers:?}");
}

#[test]
fn essential_icmp_is_errors_of_any_ttl() {
    for kind in 0..=255_u8 {
        for (code, ttl) in [(0, 64), (1, 1), (255, 255)] {
            let place = [3, 11, 12].iter().position(|own| *own == kind);
            let page = place.map(|place| service::ESSENTIAL_ICMP + 256 * place as u32);
            assert_place(
                &v4(icmp(kind, code), ttl),
                page.map(|page| page + u32::from(code)),
                service::ICMP + 256 * u32::from(kind) + u32::from(code),
            );
        }
    }
}

#[test]
fn essential_icmpv6_is_proved_by_its_hop_limit() {
    // Types in the order of their pages, with the hop limit that they need.
    let essential = [
        (1, None),
        (2, None),
        (3, None),
        (4, None),
        (130, Some(1)),
        (131, Some(1)),
        (132, Some(1)),
        (133, Some(255)),
        (134, Some(255)),
        (135, Some(255)),
        (136, Some(255)),
        (137, Some(255)),
        (143, Some(1)),
    ];
    for kind in 0..=255_u8 {
        for hop_limit in [0, 1, 2, 64, 254, 255] {
            let place = essential.iter().position(|(own, _)| *own == kind);
            let place = place.filter(|place| {
                let (_, proof) = essential[*place];
                proof.is_none_or(|proof| proof == hop_limit)
            });
            let page = place.map(|place| service::ESSENTIAL_ICMPV6 + 256 * place as u32);
            assert_place(
                &v6(icmpv6(kind, 7), hop_limit),
                page.map(|page| page + 7),
                service::ICMPV6 + 256 * u32::from(kind) + 7,
            );
        }
    }
}

#[test]
fn answers_of_dhcp_servers_are_essential_each_in_its_family() {
    let places = [
        (67, 68),
        (68, 67),
        (67, 67),
        (68, 68),
        (547, 546),
        (546, 547),
        (547, 68),
    ];
    for (src, dst) in places {
        let ordinary = service::UDP + u32::from(dst);
        let dhcp = ((src, dst) == (67, 68)).then_some(service::ESSENTIAL_DHCP);
        assert_place(&v4(udp(src, dst, b""), 64), dhcp, ordinary);
        let dhcpv6 = ((src, dst) == (547, 546)).then_some(service::ESSENTIAL_DHCPV6);
        assert_place(&v6(udp(src, dst, b""), 64), dhcpv6, ordinary);
        for headers in [v4(tcp(src, dst), 64), v6(tcp(src, dst), 64)] {
            assert_place(&headers, None, service::TCP + u32::from(dst));
        }
        for headers in [v4(sctp(src, dst), 64), v6(sctp(src, dst), 64)] {
            assert_place(&headers, None, service::SCTP + u32::from(dst));
        }
    }
}

#[test]
fn essential_igmp_has_ttl_1() {
    for ttl in [0, 1, 2, 255] {
        let igmp = (ttl == 1).then_some(service::ESSENTIAL_IGMP);
        let ordinary = service::PORTLESS_V4 + 2;
        assert_place(&v4(portless(IGMP, &[0; 8]), ttl), igmp, ordinary);
        assert_place(
            &v6(portless(IGMP, &[0; 8]), ttl),
            None,
            service::PORTLESS_V6 + 2,
        );
        assert_place(
            &v4(portless(GRE, &[0; 8]), ttl),
            None,
            service::PORTLESS_V4 + 47,
        );
        assert_place(
            &v6(portless(GRE, &[0; 8]), ttl),
            None,
            service::PORTLESS_V6 + 47,
        );
    }
    // A later fragment of UDP, as of all else, is found by its protocol.
    let fragment = ethernet(Ipv4::carrying(portless(17, &[0; 8])).fragment(9, false));
    assert_place(&headers(&fragment), None, service::PORTLESS_V4 + 17);
}

#[test]
fn source_ports_of_each_transport_lie_apart() {
    for (segments, first, fragments) in [
        ([tcp(0, 9), tcp(0x1234, 9), tcp(u16::MAX, 9)], 0, 0),
        (
            [udp(0, 9, b""), udp(0x1234, 9, b""), udp(u16::MAX, 9, b"")],
            0x1_0000,
            1,
        ),
        (
            [sctp(0, 9), sctp(0x1234, 9), sctp(u16::MAX, 9)],
            0x2_0000,
            2,
        ),
    ] {
        for (segment, port) in segments.into_iter().zip([0, 0x1234, 0xffff]) {
            let protocol = segment.protocol;
            for headers in [v4(segment.clone(), 64), v6(segment, 64)] {
                assert_eq!(combine::source_port(&headers), first + port);
            }
            let fragment = ethernet(Ipv4::carrying(portless(protocol, b"")).fragment(9, true));
            let expected = source_port::FRAGMENTS + fragments;
            assert_eq!(combine::source_port(&headers(&fragment)), expected);
        }
    }
    for other in [
        v4(icmp(8, 0), 64),
        v6(icmpv6(128, 0), 64),
        v4(portless(GRE, b""), 64),
    ] {
        assert_eq!(combine::source_port(&other), source_port::FRAGMENTS + 3);
    }
}

#[test]
fn an_attempt_to_connect_is_syn_without_ack() {
    for flags in 0..=255_u8 {
        let mut segment = tcp(1, 2);
        segment.bytes[13] = flags;
        let frame = frames::ipv4(segment);
        let expected = flags & 0x02 != 0 && flags & 0x10 == 0;
        assert_eq!(is_attempt(&frame.as_slice(), 34), expected, "{flags:x}");
        assert!(!is_attempt(&&frame[..47], 34), "a frame without flags");
    }
}
