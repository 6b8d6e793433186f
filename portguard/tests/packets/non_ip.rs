//! Frames that are not IP: `non_ip`, and what `non_ip: drop` spares.

use crate::filter::Filter;
use crate::frames::{CUSTOMER_TAG, Link, SERVICE_TAG, raw_ethernet};

const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const SLOW_PROTOCOLS: u16 = 0x8809;
const MPLS_UNICAST: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_DISCOVERY: u16 = 0x8863;
const EAPOL: u16 = 0x888e;
const LLDP: u16 = 0x88cc;

/// PPP protocol numbers.
const IPCP: u16 = 0x8021;
const IPV6CP: u16 = 0x8057;
const LCP: u16 = 0xc021;
const PAP: u16 = 0xc023;
const CHAP: u16 = 0xc223;
const PPP_MPLS: u16 = 0x0281;
const PPP_COMPRESSED_DATA: u16 = 0x00fd;

/// A rule that would match any IP packet: frames that are not IP never reach it.
const EVERYTHING: &str = "{ name: everything, action: drop, protocol: any }";

/// IPv4 with TCP to port 22, as the payload of something else.
fn inner_ip() -> Vec<u8> {
    let frame = crate::frames::ipv4(crate::frames::tcp(40_000, 22));
    frame[14..].to_vec()
}

/// Frames that keep a link alive.
fn spared() -> Vec<(&'static str, Vec<u8>)> {
    let link = Link::new();
    let pppoe = Link::new().pppoe();
    let tagged = Link::new().tag(CUSTOMER_TAG, 10);
    let stacked = Link::new().tag(SERVICE_TAG, 10).tag(CUSTOMER_TAG, 20);
    vec![
        ("arp", link.carry_raw(ARP, 0, &[0; 28])),
        ("arp with nothing in it", link.carry_raw(ARP, 0, &[])),
        ("arp, tagged", tagged.carry_raw(ARP, 0, &[0; 28])),
        ("arp, stacked tags", stacked.carry_raw(ARP, 0, &[0; 28])),
        ("eapol", link.carry_raw(EAPOL, 0, &[1, 1, 0, 0])),
        // The first byte of a slow protocol is its subtype; 1 is LACP.
        ("lacp", link.carry_raw(SLOW_PROTOCOLS, 0, &[1; 110])),
        (
            "pppoe discovery",
            link.carry_raw(PPPOE_DISCOVERY, 0, &[0x11, 9, 0, 0, 0, 0]),
        ),
        (
            "pppoe discovery, tagged",
            tagged.carry_raw(PPPOE_DISCOVERY, 0, &[0x11, 9, 0, 0, 0, 0]),
        ),
        ("lcp", pppoe.carry_raw(0, LCP, &[1, 1, 0, 4])),
        ("pap", pppoe.carry_raw(0, PAP, &[1, 1, 0, 4])),
        ("chap", pppoe.carry_raw(0, CHAP, &[1, 1, 0, 4])),
        ("ipcp", pppoe.carry_raw(0, IPCP, &[1, 1, 0, 4])),
        ("ipv6cp", pppoe.carry_raw(0, IPV6CP, &[1, 1, 0, 4])),
        (
            "lcp, tagged",
            tagged.pppoe().carry_raw(0, LCP, &[1, 1, 0, 4]),
        ),
    ]
}

/// Frames that nothing spares.
fn others() -> Vec<(&'static str, Vec<u8>)> {
    let pppoe = Link::new().pppoe();
    let tagged = Link::new().tag(CUSTOMER_TAG, 10);
    let labelled = [&[0, 1, 1, 64], inner_ip().as_slice()].concat();
    vec![
        ("rarp", raw_ethernet(RARP, &[0; 28])),
        ("lldp", raw_ethernet(LLDP, &[0; 40])),
        ("mpls", raw_ethernet(MPLS_UNICAST, &labelled)),
        ("mpls multicast", raw_ethernet(MPLS_MULTICAST, &labelled)),
        ("mpls, tagged", tagged.carry_raw(MPLS_UNICAST, 0, &labelled)),
        ("mpls in ppp", pppoe.carry_raw(0, PPP_MPLS, &labelled)),
        (
            "compressed ppp data",
            pppoe.carry_raw(0, PPP_COMPRESSED_DATA, &inner_ip()),
        ),
        (
            "spanning tree (a length, no EtherType)",
            raw_ethernet(38, &[0x42; 38]),
        ),
        (
            "IP behind a length, no EtherType",
            raw_ethernet(46, &inner_ip()),
        ),
        ("EtherType 0", raw_ethernet(0, &inner_ip())),
        ("EtherType 0xffff", raw_ethernet(0xffff, &inner_ip())),
        ("byte-swapped IPv4", raw_ethernet(0x0008, &inner_ip())),
        ("byte-swapped IPv6", raw_ethernet(0xdd86, &inner_ip())),
        ("nothing behind the EtherType", raw_ethernet(LLDP, &[])),
    ]
}

#[test]
fn frames_that_are_not_ip_pass_by_default() {
    let mut filter = Filter::new("default: drop", &[EVERYTHING]);
    for (case, frame) in spared().into_iter().chain(others()) {
        filter.expect(case, &frame, "pass non-ip");
    }
}

#[test]
fn non_ip_drop_spares_what_keeps_a_link_alive() {
    let mut filter = Filter::new("non_ip: drop", &[EVERYTHING]);
    for (case, frame) in spared() {
        filter.expect(case, &frame, "pass non-ip");
    }
}

#[test]
fn non_ip_drop_drops_all_else() {
    let passes = "{ name: everything, action: pass, protocol: any }";
    let mut filter = Filter::new("non_ip: drop", &[passes]);
    for (case, frame) in others() {
        filter.expect(case, &frame, "drop non-ip");
    }
}

#[test]
fn slow_protocols_other_than_lacp_are_not_spared() {
    let mut filter = Filter::new("non_ip: drop", &[]);
    for (case, subtype) in [("oam", 3), ("synchronisation status", 10), ("reserved", 0)] {
        let frame = raw_ethernet(SLOW_PROTOCOLS, &[subtype; 50]);
        filter.expect(case, &frame, "drop non-ip");
    }
}

#[test]
fn non_ip_does_not_reach_ip() {
    let mut filter = Filter::new("non_ip: drop", &[]);
    let syn = crate::frames::ipv4(crate::frames::tcp(40_000, 22));
    filter.expect("ipv4", &syn, "pass default-pass");
}
