//! Headers that hide or fake a port.

use crate::filter::Filter;
use crate::frames::{
    CUSTOMER_TAG, DESTINATION_OPTIONS, ESP, Extension, HOP_BY_HOP, Ipv4, Ipv6, Link,
    NO_NEXT_HEADER, ROUTING, SERVICE_TAG, Segment, ethernet, ipv4, ipv6, portless, tcp, udp,
};

/// IPv4 options were taken for the transport header: a stream ID (RFC 791) that reads like port 8080.
#[test]
fn p01_options_of_ipv4_move_the_ports() {
    let stream_id = [0x88, 4, 0x1f, 0x90];
    let mut real = Filter::new("", &["{ name: ssh, action: drop, ports: 22 }"]);
    let mut ghost = Filter::new("", &["{ name: proxy, action: drop, ports: 8080 }"]);
    let tagged = Link::new().tag(CUSTOMER_TAG, 10);
    for words in [1, 2, 9, 10] {
        for (name, segment) in [("tcp", tcp(40_000, 22)), ("udp", udp(40_000, 22, b"data"))] {
            let packet = Ipv4::carrying(segment).options(&stream_id.repeat(words));
            for link in [Link::new(), tagged.clone(), tagged.clone().pppoe()] {
                let frame = link.carry(packet.clone());
                let case = format!("{name}, header of {} words", 5 + words);
                real.expect(&case, &frame, &format!("drop ssh {name}/22"));
                ghost.expect(&case, &frame, "pass default-pass");
            }
        }
    }
    // The other way round: an option reads like the blocked port.
    let packet = Ipv4::carrying(tcp(40_000, 8080)).options(&[0x88, 4, 0, 22]);
    real.expect("ghost of port 22", &ethernet(packet), "pass default-pass");
    // Real options: router alert, record route, end of list within the padding.
    for options in [
        vec![0x94, 4, 0, 0],
        [vec![7, 39, 4], vec![0; 37]].concat(),
        vec![0x44, 8, 5, 0, 0, 0, 0, 22],
        vec![0, 0, 0, 22],
    ] {
        let frame = ethernet(Ipv4::carrying(tcp(40_000, 22)).options(&options));
        real.expect(&format!("{options:?}"), &frame, "drop ssh tcp/22");
    }
}

/// The payload of a later fragment was read as ports.
#[test]
fn p02_payload_of_a_later_fragment_is_no_port() {
    let mut filter = Filter::new("", &["{ name: ssh, action: drop, ports: 22 }"]);
    let whole = Segment {
        bytes: [tcp(40_000, 22).bytes, vec![0x61; 44]].concat(),
        ..tcp(40_000, 22)
    };
    let part = |range: std::ops::Range<usize>| portless(6, &whole.bytes[range]);
    let first = Ipv4::carrying(part(0..32)).fragment(0, true);
    filter.expect("first", &ethernet(first), "drop ssh tcp/22");
    let tail = Ipv4::carrying(part(32..64)).fragment(4, false);
    filter.expect("tail", &ethernet(tail), "pass later-fragment");

    // The payload spells the ports 40000 and 22.
    let spelled = [0x9c, 0x40, 0, 0x16].repeat(5);
    for units in [2, 8, 64, 185, 8191] {
        for more in [true, false] {
            for protocol in [6, 17, 132] {
                let segment = portless(protocol, &spelled);
                let case = format!("protocol {protocol} at {units} * 8");
                let v4 = Ipv4::carrying(segment.clone()).fragment(units, more);
                filter.expect(&case, &ethernet(v4), "pass later-fragment");
                let v6 = segment.behind(Extension::Fragment(units, more));
                filter.expect(&case, &ipv6(v6), "pass later-fragment");
            }
        }
    }
    // A datagram to an allowed port, whose second fragment spells the blocked one, arrives complete.
    let first = Ipv4::carrying(udp(5353, 5353, &[0; 24])).fragment(0, true);
    filter.expect(
        "first of an allowed datagram",
        &ethernet(first),
        "pass default-pass",
    );
    let second = Ipv4::carrying(portless(17, &spelled)).fragment(4, false);
    filter.expect("second of it", &ethernet(second), "pass later-fragment");
}

/// Fragments were lost when they came out of order, or in IPv6 altogether.
#[test]
fn p04_fragments_pass_in_any_order_in_both_families() {
    let mut filter = Filter::new("", &["{ name: ssh, action: drop, ports: 22/tcp }"]);
    let datagram = udp(53, 40_000, &[0; 1992]);
    let ping_v4 = Segment {
        bytes: [&[8, 0, 0, 0, 0, 1, 0, 1][..], &[0x61; 1500]].concat(),
        protocol: 1,
    };
    let ping_v6 = Segment {
        bytes: [&[128, 0, 0, 0, 0, 1, 0, 1][..], &[0x61; 1500]].concat(),
        protocol: 58,
    };
    for (name, segment) in [
        ("answer", &datagram),
        ("ping", &ping_v4),
        ("ping", &ping_v6),
    ] {
        let cut = |range: std::ops::Range<usize>| portless(segment.protocol, &segment.bytes[range]);
        let parts = [
            (cut(0..1448), 0, true),
            (cut(1448..segment.bytes.len()), 181, false),
        ];
        let v4 = parts
            .clone()
            .map(|(part, units, more)| ethernet(Ipv4::carrying(part).fragment(units, more)));
        let v6 =
            parts.map(|(part, units, more)| ipv6(part.behind(Extension::Fragment(units, more))));
        for [first, second] in [v4, v6] {
            for (order, frames) in [
                ("in order", [&first, &second]),
                ("reversed", [&second, &first]),
            ] {
                for frame in frames {
                    let expected = if frame == &first {
                        "pass default-pass"
                    } else {
                        "pass later-fragment"
                    };
                    filter.expect(&format!("{name} {order}"), frame, expected);
                }
            }
        }
    }
}

/// Extension headers hid the ports.
#[test]
fn p06_extension_headers_do_not_hide_the_ports() {
    let rules = ["{ name: web, action: drop, ports: [80/tcp, 53/udp] }"];
    let mut filter = Filter::new("", &rules);
    let hop = Extension::Octets(HOP_BY_HOP, 0);
    let options = Extension::Octets(DESTINATION_OPTIONS, 0);
    let routing = Extension::Octets(ROUTING, 2);
    let chains: [(&str, Vec<Extension>); 8] = [
        ("hop-by-hop", vec![hop]),
        ("options", vec![options]),
        ("routing", vec![routing]),
        ("three", vec![hop, options, routing]),
        (
            "four with ah",
            vec![hop, options, routing, Extension::Ah(4)],
        ),
        (
            "2,048 bytes",
            vec![Extension::Octets(DESTINATION_OPTIONS, 255)],
        ),
        ("seven", vec![options; 7]),
        ("eight", vec![options; 8]),
    ];
    let tagged = Link::new().tag(CUSTOMER_TAG, 4);
    for (case, chain) in &chains {
        for link in [Link::new(), tagged.clone()] {
            let carry = |segment: Segment| link.carry(Ipv6::carrying(segment.behind_all(chain)));
            filter.expect(case, &carry(tcp(40_000, 80)), "drop web tcp/80");
            filter.expect(case, &carry(udp(40_000, 53, b"")), "drop web udp/53");
            filter.expect(case, &carry(tcp(80, 53)), "pass default-pass");
        }
    }
    for port in [80, 81] {
        let frame = ipv6(tcp(40_000, port).behind_all(&[options; 9]));
        filter.expect("nine", &frame, "drop malformed:extension-depth");
    }
    for protocol in [ESP, NO_NEXT_HEADER] {
        let inside = portless(protocol, &tcp(40_000, 80).bytes);
        filter.expect("no ports", &ipv6(inside.clone()), "pass default-pass");
        filter.expect(
            "no ports",
            &ipv6(inside.behind_all(&[options; 8])),
            "pass default-pass",
        );
    }
}

/// Only untagged frames were filtered.
#[test]
fn p08_tags_do_not_hide_the_packet() {
    let mut filter = Filter::new("", &["{ name: web, action: drop, ports: 80/tcp }"]);
    let links = [
        ("untagged", Link::new()),
        ("tag 10", Link::new().tag(CUSTOMER_TAG, 10)),
        ("priority tag", Link::new().tag(CUSTOMER_TAG, 0x6000)),
        ("tag 0", Link::new().tag(CUSTOMER_TAG, 0)),
        (
            "stacked",
            Link::new().tag(SERVICE_TAG, 100).tag(CUSTOMER_TAG, 10),
        ),
        (
            "stacked, both 0x8100",
            Link::new().tag(CUSTOMER_TAG, 100).tag(CUSTOMER_TAG, 10),
        ),
        (
            "stacked, old",
            Link::new().tag(0x9100, 100).tag(CUSTOMER_TAG, 10),
        ),
        (
            "stacked over a priority tag",
            Link::new().tag(SERVICE_TAG, 100).tag(CUSTOMER_TAG, 0),
        ),
    ];
    for (case, link) in links {
        for (packet, expected) in [(80, "drop web tcp/80"), (81, "pass default-pass")] {
            filter.expect(case, &link.carry(Ipv4::carrying(tcp(1, packet))), expected);
            filter.expect(case, &link.carry(Ipv6::carrying(tcp(1, packet))), expected);
        }
    }
}

/// Nothing in PPPoE was filtered.
#[test]
fn p10_pppoe_does_not_hide_the_packet() {
    let mut filter = Filter::new("", &["{ name: web, action: drop, ports: 443/tcp }"]);
    let stacked = Link::new().tag(SERVICE_TAG, 100).tag(CUSTOMER_TAG, 10);
    for (case, link) in [
        ("plain", Link::new().pppoe()),
        ("compressed", Link::new().compressed_pppoe()),
        ("stacked tags", stacked.clone().pppoe()),
        ("stacked tags, compressed", stacked.compressed_pppoe()),
    ] {
        for (port, expected) in [(443, "drop web tcp/443"), (80, "pass default-pass")] {
            filter.expect(case, &link.carry(Ipv4::carrying(tcp(1, port))), expected);
            filter.expect(case, &link.carry(Ipv6::carrying(tcp(1, port))), expected);
        }
    }
    let control = Link::new()
        .pppoe()
        .carry_raw(0, 0xc021, &[9, 1, 0, 8, 0, 0, 0, 0]);
    filter.expect("link control", &control, "pass non-ip");
    let frame = ipv4(tcp(1, 443));
    filter.expect("untagged", &frame, "drop web tcp/443");
}
