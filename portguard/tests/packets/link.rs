//! VLAN tags and PPPoE in front of the packet.

use crate::filter::Filter;
use crate::frames::{
    CUSTOMER_TAG, Ipv4, Ipv6, Link, OLD_SERVICE_TAG, Packet, SERVICE_TAG, ethernet, tcp, udp,
};

const TAGS: [u16; 3] = [CUSTOMER_TAG, SERVICE_TAG, OLD_SERVICE_TAG];

/// VLAN control fields: none, a priority alone, an ID, both, and the reserved ID with everything set.
const CONTROLS: [u16; 5] = [0, 0xe000, 10, 0x600a, 0xffff];

const RULE: &str = "{ name: web, action: drop, ports: 80 }";

fn packets(port: u16) -> [(&'static str, Packet); 4] {
    [
        ("tcp in IPv4", Ipv4::carrying(tcp(40_000, port)).into()),
        (
            "udp in IPv4",
            Ipv4::carrying(udp(40_000, port, b"x")).into(),
        ),
        ("tcp in IPv6", Ipv6::carrying(tcp(40_000, port)).into()),
        (
            "udp in IPv6",
            Ipv6::carrying(udp(40_000, port, b"x")).into(),
        ),
    ]
}

/// Sends both families and protocols over a link, to the blocked port and to another.
fn expect_filtered(filter: &mut Filter, case: &str, link: &Link) {
    for (name, packet) in packets(80) {
        let port = if name.starts_with("tcp") {
            "tcp/80"
        } else {
            "udp/80"
        };
        let expected = format!("drop web {port}");
        filter.expect(&format!("{name}, {case}"), &link.carry(packet), &expected);
    }
    for (name, packet) in packets(81) {
        let case = format!("{name}, {case}, port 81");
        filter.expect(&case, &link.carry(packet), "pass default-pass");
    }
}

#[test]
fn one_tag_of_each_kind() {
    let mut filter = Filter::new("", &[RULE]);
    for tag in TAGS {
        for control in CONTROLS {
            let case = format!("tag {tag:#x}, control {control:#x}");
            expect_filtered(&mut filter, &case, &Link::new().tag(tag, control));
        }
    }
}

#[test]
fn two_tags_in_every_combination() {
    let mut filter = Filter::new("", &[RULE]);
    for outer in TAGS {
        for inner in TAGS {
            let link = Link::new().tag(outer, 10).tag(inner, 20);
            expect_filtered(&mut filter, &format!("{outer:#x} and {inner:#x}"), &link);
        }
    }
}

#[test]
fn four_tags_are_walked_and_a_fifth_is_malformed() {
    let mut filter = Filter::new("", &[RULE]);
    for tag in TAGS {
        for control in CONTROLS {
            let mut link = Link::new();
            for count in 1..=4 {
                link = link.tag(tag, control);
                expect_filtered(&mut filter, &format!("{count} tags {tag:#x}"), &link);
            }
            for count in 5..=7 {
                link = link.tag(tag, control);
                for (name, packet) in packets(81) {
                    let case = format!("{name} behind {count} tags");
                    let frame = link.carry(packet);
                    filter.expect(&case, &frame, "drop malformed:vlan-depth");
                }
            }
        }
    }
}

#[test]
fn pppoe_with_both_lengths_of_the_protocol_field() {
    let mut filter = Filter::new("", &[RULE]);
    expect_filtered(&mut filter, "pppoe", &Link::new().pppoe());
    expect_filtered(&mut filter, "compressed", &Link::new().compressed_pppoe());
}

#[test]
fn pppoe_behind_tags() {
    let mut filter = Filter::new("", &[RULE]);
    let mut link = Link::new();
    for (count, tag) in [SERVICE_TAG, OLD_SERVICE_TAG, CUSTOMER_TAG, CUSTOMER_TAG]
        .iter()
        .enumerate()
    {
        link = link.tag(*tag, 100);
        let case = format!("pppoe behind {} tags", count + 1);
        expect_filtered(&mut filter, &case, &link.clone().pppoe());
        expect_filtered(&mut filter, &case, &link.clone().compressed_pppoe());
    }
    let five = link.tag(CUSTOMER_TAG, 1).pppoe();
    let frame = five.carry(Ipv4::carrying(tcp(40_000, 81)));
    filter.expect("five tags", &frame, "drop malformed:vlan-depth");
}

#[test]
fn a_second_pppoe_header_or_a_tag_within_ppp_is_not_ip() {
    let mut filter = Filter::new("", &[RULE]);
    // Neither is a PPP protocol, so nothing in there is looked at.
    let inner = Link::new().pppoe().carry(Ipv4::carrying(tcp(40_000, 80)));
    for protocol in [0x8864, 0x8100] {
        let frame = Link::new().pppoe().carry_raw(0, protocol, &inner[14..]);
        filter.expect("nested", &frame, "pass non-ip");
    }
}

#[test]
fn the_length_field_of_pppoe_is_not_the_packets() {
    let mut filter = Filter::new("", &[RULE]);
    for length in [0_u16, 1, 22, 0xffff] {
        let mut frame = Link::new().pppoe().carry(Ipv4::carrying(tcp(40_000, 80)));
        frame[18..20].copy_from_slice(&length.to_be_bytes());
        filter.expect(&format!("length {length}"), &frame, "drop web tcp/80");
    }
}

#[test]
fn hardware_addresses_do_not_matter() {
    let mut filter = Filter::new("", &[RULE]);
    for address in [
        [0_u8; 6],
        [0xff; 6],
        [0x01, 0, 0x5e, 0, 0, 1],
        [0x33, 0x33, 0, 0, 0, 1],
    ] {
        let mut frame = ethernet(Ipv4::carrying(tcp(40_000, 80)));
        frame[..6].copy_from_slice(&address);
        filter.expect("destination", &frame, "drop web tcp/80");
        frame[6..12].copy_from_slice(&address);
        filter.expect("source", &frame, "drop web tcp/80");
    }
}
