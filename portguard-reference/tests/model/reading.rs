//! "How a frame is read".

use portguard_reference::frame::{Fragment, Frame, Malformed, Packet, Segment, read};

use crate::bytes::{IPV4_TCP, IPV4_UDP, IPV6_TCP, TCP_22, UDP_53, frame, ipv4, ipv6};

fn packet(frame: &[u8]) -> Packet {
    match read(frame) {
        Ok(Frame::Packet(packet)) => packet,
        other => panic!("{other:?}"),
    }
}

fn reason(frame: &[u8]) -> &'static str {
    read(frame).expect_err("malformed").name()
}

fn port(frame: &[u8]) -> Option<u16> {
    match packet(frame).segment {
        Segment::Ports { destination, .. } => Some(destination),
        Segment::Message { .. } | Segment::Other => None,
    }
}

fn spared(frame: &[u8]) -> bool {
    match read(frame) {
        Ok(Frame::NonIp { spared }) => spared,
        other => panic!("{other:?}"),
    }
}

#[test]
fn plain_packets() {
    let packet = packet(&frame(&["0800", IPV4_TCP, TCP_22]));
    assert_eq!(packet.source.to_string(), "192.0.2.1");
    assert_eq!(packet.destination.to_string(), "192.0.2.2");
    assert_eq!((packet.protocol, packet.hop_limit), (6, 64));
    assert_eq!((packet.vlan, packet.fragment), (None, Fragment::Whole));
    let segment = Segment::Ports {
        source: 5000,
        destination: 22,
    };
    assert_eq!(packet.segment, segment);

    assert_eq!(port(&frame(&["0800", IPV4_UDP, UDP_53])), Some(53));
    assert_eq!(port(&frame(&["86dd", IPV6_TCP, TCP_22])), Some(22));
    let sctp = "0bb8 0050 00000000 00000000";
    assert_eq!(port(&ipv4(0, 64, 132, sctp)), Some(80));
    assert_eq!(port(&ipv6(132, 64, sctp)), Some(80));
}

#[test]
fn every_truncation_names_the_header() {
    let ipv4 = frame(&["8100 0001 8864 11000001001e 21", IPV4_UDP, UDP_53]);
    for (length, name) in [
        (0, "ethernet-short"),
        (13, "ethernet-short"),
        (14, "vlan-short"),
        (17, "vlan-short"),
        (18, "pppoe-short"),
        (23, "pppoe-short"),
        (24, "pppoe-short"),
        (25, "ipv4-short"),
        (44, "ipv4-short"),
        (45, "udp-short"),
        (52, "udp-short"),
    ] {
        assert_eq!(reason(&ipv4[..length]), name, "{length}");
    }
    assert_eq!(port(&ipv4), Some(53));

    let ipv6 = ipv6(60, 64, &format!("06 00 000000000000 {TCP_22}"));
    for (length, name) in [
        (14, "ipv6-short"),
        (53, "ipv6-short"),
        (54, "extension-short"),
        (61, "extension-short"),
        (62, "tcp-short"),
        (81, "tcp-short"),
    ] {
        assert_eq!(reason(&ipv6[..length]), name, "{length}");
    }
    assert_eq!(port(&ipv6), Some(22));
}

#[test]
fn tags() {
    let tagged = |tags: &[&str]| frame(&[&tags.concat(), "0800", IPV4_TCP, TCP_22]);
    // The first tag whose ID is not 0; the priority does not belong to it.
    assert_eq!(packet(&tagged(&["8100 e000"])).vlan, None);
    assert_eq!(packet(&tagged(&["8100 e000", "88a8 600a"])).vlan, Some(10));
    let four = ["8100 0001", "88a8 0002", "9100 0003", "8100 0004"];
    assert_eq!(packet(&tagged(&four)).vlan, Some(1));
    assert_eq!(
        reason(&tagged(&[four.as_slice(), &["8100 0005"]].concat())),
        "vlan-depth"
    );
    // One EtherType is enough to know that there is a fifth.
    assert_eq!(reason(&frame(&[&four.concat(), "8100"])), "vlan-depth");
    assert!(spared(&tagged(&["8100 0001", "0806 0000"])));
}

#[test]
fn pppoe_has_a_protocol_of_one_or_two_bytes() {
    for (field, ip) in [
        ("21", IPV4_TCP),
        ("0021", IPV4_TCP),
        ("57", IPV6_TCP),
        ("0057", IPV6_TCP),
    ] {
        // Its own length says nothing.
        let frame = frame(&["8864 1100 0001 0003", field, ip, TCP_22]);
        assert_eq!(port(&frame), Some(22), "{field}");
    }
    assert_eq!(
        reason(&frame(&["8864 1100 0001 0003 0021", IPV6_TCP, TCP_22])),
        "ipv4-version"
    );
    assert_eq!(reason(&frame(&["8864 1100 0001 0003 00"])), "pppoe-short");
}

#[test]
fn not_ip() {
    for (bytes, expected) in [
        ("0806 0001", true),
        ("888e", true),
        ("8863", true),
        ("8809 01", true),
        ("8809 02", false),
        ("8809", false),
        ("8864 1100 0001 0002 c021", true),
        ("8864 1100 0001 0002 8021", true),
        ("8864 1100 0001 0002 0281", false),
        ("8864 1100 0001 0001 23", false),
        ("8847 00000140 4500", false),
        ("0026 4242 03", false),
        ("8035", false),
    ] {
        assert_eq!(spared(&frame(&[bytes])), expected, "{bytes}");
    }
}

#[test]
fn ipv4_header() {
    let with = |header: &str| frame(&["0800", header, TCP_22, TCP_22, TCP_22]);
    let tail = "0000 0000 4006 0000 c0000201 c0000202";
    let tcp = |start: &str| with(&format!("{start} {tail}"));
    assert_eq!(reason(&tcp("6500 0028")), "ipv4-version");
    assert_eq!(reason(&tcp("4400 0028")), "ipv4-header-length");
    assert_eq!(reason(&tcp("4000 0028")), "ipv4-header-length");
    assert_eq!(reason(&tcp("4500 0013")), "ipv4-total-length");
    assert_eq!(reason(&tcp("4600 0017")), "ipv4-total-length");
    assert_eq!(reason(&tcp("4600 0018")), "tcp-short");
    // 0 means the frame's end, and so does more than there is.
    assert_eq!(port(&tcp("4500 0000")), Some(22));
    assert_eq!(port(&tcp("4500 ffff")), Some(22));
    // Options are skipped, whatever they look like.
    let options = TCP_22.replace("0016", "0017");
    let skipped = frame(&["0800 4a00 003c", tail, &options, TCP_22]);
    assert_eq!(port(&skipped), Some(22));
    // The packet ends where IP says so, whatever follows in the frame.
    assert_eq!(reason(&tcp("4500 0027")), "tcp-short");
    // Options cut short by the frame's end.
    assert_eq!(reason(&frame(&["0800 4f00 0000", tail])), "ipv4-short");
    // Two reasons: the total length is read before the packet's end is known.
    assert_eq!(
        reason(&frame(&["0800 4f00 0014", tail])),
        "ipv4-total-length"
    );
}

#[test]
fn ipv6_header() {
    assert_eq!(reason(&frame(&["86dd", IPV4_TCP, TCP_22])), "ipv6-version");
    let with = |length: &str| {
        let addresses = "20010db8000000000000000000000001 20010db8000000000000000000000002";
        frame(&["86dd 60000000", length, "06 40", addresses, TCP_22])
    };
    assert_eq!(port(&with("0000")), Some(22));
    assert_eq!(port(&with("0014")), Some(22));
    assert_eq!(port(&with("ffff")), Some(22));
    assert_eq!(reason(&with("0013")), "tcp-short");
}

#[test]
fn extension_headers() {
    // Hop-by-hop, routing (16 bytes), destination options, mobility, HIP, shim6, AH (12 bytes), an atomic fragment.
    let eight =
        "2b00 000000000000 3c01 0000000000000000000000000000 8700 000000000000 8b00 000000000000
         8c00 000000000000 3300 000000000000 2c01 00000000000000000000 0600 0000 00000001";
    assert_eq!(port(&ipv6(0, 64, &format!("{eight}{TCP_22}"))), Some(22));
    // A ninth is too many, by its number already.
    assert_eq!(
        reason(&ipv6(60, 64, &format!("0000 000000000000 {eight}"))),
        "extension-depth"
    );
    let fourteen_hundred = ipv6(60, 64, &format!("06ff 000000000000 {TCP_22}"));
    assert_eq!(reason(&fourteen_hundred), "extension-short");
    // At least 8 bytes, also where AH claims less than a header.
    assert_eq!(reason(&ipv6(51, 64, "3b00 0000 000000")), "extension-short");
    // No next header and ESP end the walk, and nothing is read there.
    for next in [59, 50] {
        let packet = packet(&ipv6(next, 64, "00"));
        assert_eq!((packet.protocol, packet.segment), (next, Segment::Other));
    }
}

#[test]
fn fragments_of_ipv4() {
    assert_eq!(
        packet(&ipv4(0x2000, 64, 6, TCP_22)).fragment,
        Fragment::First
    );
    assert_eq!(port(&ipv4(0x2000, 64, 6, TCP_22)), Some(22));
    assert_eq!(port(&ipv4(0xc000, 64, 6, TCP_22)), Some(22));
    assert_eq!(reason(&ipv4(0x2000, 64, 6, "1388 0016")), "tcp-short");
    let later = packet(&ipv4(0x0002, 64, 6, TCP_22));
    assert_eq!(
        (later.fragment, later.segment),
        (Fragment::Later, Segment::Other)
    );
    assert_eq!(packet(&ipv4(0x3fff, 64, 17, "")).fragment, Fragment::Later);
    assert_eq!(reason(&ipv4(0x0001, 64, 6, TCP_22)), "tcp-fragment-offset");
    assert_eq!(packet(&ipv4(0x0001, 64, 17, "")).fragment, Fragment::Later);
}

#[test]
fn fragments_of_ipv6() {
    let with = |fragment: &str, rest: &str| ipv6(44, 64, &format!("{fragment} {rest}"));
    // Atomic; the reserved bits do not matter.
    assert_eq!(
        packet(&with("0600 0006 00000001", TCP_22)).fragment,
        Fragment::Whole
    );
    assert_eq!(port(&with("0600 0001 00000001", TCP_22)), Some(22));
    assert_eq!(reason(&with("0600 0001 00000001", "00")), "tcp-short");
    assert_eq!(
        reason(&with("0600 0008 00000001", TCP_22)),
        "tcp-fragment-offset"
    );
    assert_eq!(reason(&ipv6(44, 64, "0600 0010 000000")), "extension-short");
    // The walk ends at a later fragment: its protocol is what the fragment header says, an extension header or not.
    let later = packet(&with("3c00 0011 00000001", "0600 0000"));
    assert_eq!((later.protocol, later.fragment), (60, Fragment::Later));
}

#[test]
fn headers_of_protocols() {
    let tcp = |offset: &str| {
        ipv4(
            0,
            64,
            6,
            &format!("1388 0016 00000000 00000000 {offset}02 0000 0000 0000"),
        )
    };
    assert_eq!(reason(&tcp("4f")), "tcp-data-offset");
    assert_eq!(port(&tcp("f0")), Some(22));
    assert_eq!(
        reason(&ipv4(0, 64, 17, "1388 0035 0007 0000")),
        "udp-length"
    );
    assert_eq!(reason(&ipv6(17, 64, "1388 0035 0000 0000")), "udp-length");
    assert_eq!(port(&ipv4(0, 64, 17, "1388 0035 ffff 0000")), Some(53));
    assert_eq!(
        reason(&ipv4(0, 64, 132, "0bb8 0050 00000000 000000")),
        "sctp-short"
    );
    assert_eq!(reason(&ipv4(0, 64, 1, "0800 0000 000000")), "icmp-short");
    assert_eq!(reason(&ipv6(58, 64, "8000 0000 000000")), "icmpv6-short");
    // In the other family they are protocols like any.
    assert_eq!(packet(&ipv4(0, 64, 58, "")).segment, Segment::Other);
    assert_eq!(packet(&ipv6(1, 64, "")).segment, Segment::Other);
    let message = Segment::Message { kind: 3, code: 1 };
    assert_eq!(
        packet(&ipv4(0, 64, 1, "0301 0000 00000000")).segment,
        message
    );
}

#[test]
fn names_are_those_of_the_documentation() {
    let page = include_str!("../../../docs/policy.md");
    for reason in Malformed::ALL {
        assert!(page.contains(&format!("`{}`", reason.name())), "{reason:?}");
    }
}
