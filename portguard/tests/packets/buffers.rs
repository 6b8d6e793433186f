//! Frames of several buffers: what the kernel keeps in the first one ends after some 3.5 KB here, and headers
//! may lie behind that or across its end.

use portguard_common::abi::Counter;

use crate::filter::{Filter, load, tables};
use crate::frames::{
    CUSTOMER_TAG, DESTINATION_OPTIONS, Extension, HOP_BY_HOP, Ipv4, Ipv6, Link, Segment, ethernet,
    icmpv6, ipv6, portless, sctp, tcp, udp,
};

const RULES: [&str; 2] = [
    "{ name: blocked, action: drop, protocol: [tcp, udp, sctp], ports: [22, 53] }",
    "{ name: ping, action: drop, protocol: icmpv6 }",
];

/// The longest extension header: 2,048 bytes.
const LONGEST: Extension = Extension::Octets(DESTINATION_OPTIONS, 255);

fn segments() -> [(&'static str, Segment, &'static str); 5] {
    [
        ("tcp", tcp(40_000, 22), "drop blocked tcp/22"),
        ("udp", udp(40_000, 53, b"x"), "drop blocked udp/53"),
        ("sctp", sctp(40_000, 22), "drop blocked sctp/22"),
        ("echo", icmpv6(128, 0), "drop ping 58"),
        ("other port", tcp(22, 23), "pass default-pass"),
    ]
}

#[test]
fn chains_of_two_kilobytes_a_header() {
    let mut filter = Filter::new("", &RULES);
    for count in 1..=8 {
        for (name, segment, expected) in segments() {
            let frame = ipv6(segment.behind_all(&vec![LONGEST; count]));
            let case = format!("{name} behind {count} headers, {} bytes", frame.len());
            filter.expect(&case, &frame, expected);
        }
    }
    let frame = ipv6(tcp(40_000, 22).behind_all(&[LONGEST; 9]));
    filter.expect("nine headers", &frame, "drop malformed:extension-depth");
}

#[test]
fn long_chains_behind_tags_and_pppoe() {
    let mut filter = Filter::new("", &RULES);
    let tags = (1..=4).fold(Link::new(), |link, vid| link.tag(CUSTOMER_TAG, vid));
    for link in [tags.clone(), tags.clone().pppoe(), tags.compressed_pppoe()] {
        for (name, segment, expected) in segments() {
            let packet = Ipv6::carrying(segment.behind_all(&[LONGEST; 8]));
            filter.expect(name, &link.carry(packet), expected);
        }
    }
}

/// Moves the transport header over the end of the first buffer in the smallest steps there are.
#[test]
fn headers_across_the_end_of_the_first_buffer() {
    let mut filter = Filter::new("", &RULES);
    // 54 + 2,048 bytes go before; where the buffer ends depends on the kernel: between 3,200 and 3,900.
    for words in 272..=454_u16 {
        // Authentication headers come in steps of 4 bytes, but are at most 1,028 long.
        let chain = [LONGEST, authentication(257), authentication(words - 257)];
        for (name, segment, expected) in segments() {
            let frame = ipv6(segment.behind_all(&chain));
            let case = format!("{name} in a frame of {} bytes", frame.len());
            filter.expect(&case, &frame, expected);
        }
    }
}

/// An authentication header of so many words of 4 bytes.
fn authentication(words: u16) -> Extension {
    Extension::Ah(u8::try_from(words - 2).expect("2 to 257 words"))
}

#[test]
fn what_is_cut_short_in_a_later_buffer_is_malformed() {
    let mut filter = Filter::new("", &RULES);
    let whole = ipv6(tcp(40_000, 22).behind_all(&[LONGEST; 3]));
    let headers_end = 54 + 3 * 2048;
    for length in (headers_end - 20)..=(headers_end + 20) {
        let expected = match length {
            _ if length < headers_end => "drop malformed:extension-short",
            _ if length < headers_end + 20 => "drop malformed:tcp-short",
            _ => "drop blocked tcp/22",
        };
        filter.expect(&format!("{length} bytes"), &whole[..length], expected);
    }
    // The second header begins in the first buffer and ends behind the frame.
    for length in [2200, 3000, 3500, 3600, 4000, 4149] {
        let case = format!("{length} bytes");
        filter.expect(&case, &whole[..length], "drop malformed:extension-short");
    }
}

#[test]
fn the_packet_may_end_before_a_later_buffer_does() {
    let mut filter = Filter::new("", &RULES);
    let chain = [LONGEST; 3];
    for (payload_len, expected) in [
        (3 * 2048 - 1, "drop malformed:extension-short"),
        (3 * 2048, "drop malformed:tcp-short"),
        (3 * 2048 + 19, "drop malformed:tcp-short"),
        (3 * 2048 + 20, "drop blocked tcp/22"),
        (0, "drop blocked tcp/22"),
    ] {
        let ip = Ipv6::carrying(tcp(40_000, 22).behind_all(&chain)).payload_len(payload_len);
        let mut frame = ethernet(ip);
        frame.resize(9000, 0);
        filter.expect(&format!("payload length {payload_len}"), &frame, expected);
    }
}

#[test]
fn fragments_behind_long_chains() {
    let mut filter = Filter::new("fragments: drop", &RULES);
    let chain = |last| [Extension::Octets(HOP_BY_HOP, 255), LONGEST, LONGEST, last];
    let behind = |segment: Segment, last| ipv6(segment.behind_all(&chain(last)));
    let first = behind(tcp(40_000, 22), Extension::Fragment(0, true));
    filter.expect("first fragment", &first, "drop blocked tcp/22");
    let atomic = behind(udp(40_000, 53, b""), Extension::Fragment(0, false));
    filter.expect("atomic fragment", &atomic, "drop blocked udp/53");
    let later = behind(
        portless(6, &tcp(1, 22).bytes),
        Extension::Fragment(2, false),
    );
    filter.expect("later fragment", &later, "drop later-fragment tcp");
    let tiny = behind(tcp(40_000, 22), Extension::Fragment(1, false));
    filter.expect(
        "overlapping fragment",
        &tiny,
        "drop malformed:tcp-fragment-offset",
    );
}

#[test]
fn large_frames_are_counted_whole() {
    let mut filter = Filter::new("", &RULES);
    // The ledger has the whole length of each.
    for length in [
        1514, 3000, 3400, 3500, 3520, 3521, 3600, 4096, 4097, 9014, 30_000, 65_000,
    ] {
        let payload = vec![0x16; length - 42];
        let open = ethernet(Ipv4::carrying(udp(1, 54, &payload)));
        filter.expect(&format!("{length} bytes"), &open, "pass default-pass");
        let blocked = ethernet(Ipv4::carrying(udp(1, 53, &payload)));
        filter.expect(&format!("{length} bytes"), &blocked, "drop blocked udp/53");
    }
}

/// A rule's packets and bytes share a word for as long as they have room there: 8.6 GB.
#[test]
fn more_bytes_than_have_room_in_a_word_are_counted() {
    const ROUND: u32 = 50_000;
    let (tables, _) = tables("", &RULES);
    let generation = load(&tables);
    let payload = vec![0x16; 65_000 - 42];
    let frame = ethernet(Ipv4::carrying(udp(1, 53, &payload)));
    for round in 1..=9 {
        generation.time(&frame, ROUND).expect("runs");
        let packets = round * u64::from(ROUND);
        let all = Counter {
            packets,
            bytes: packets * 65_000,
        };
        let counts = generation.counts().expect("counts");
        assert_eq!((counts.rule(0).decided, counts.frames()), (all, all));
    }
}

#[test]
fn large_frames_that_are_not_ip_or_malformed() {
    let mut filter = Filter::new("non_ip: drop", &RULES);
    let mut other = crate::frames::raw_ethernet(0x8847, &[0; 9000]);
    filter.expect("mpls", &other, "drop non-ip");
    other[12..14].copy_from_slice(&0x86dd_u16.to_be_bytes());
    filter.expect("version 0", &other, "drop malformed:ipv6-version");
    other[12..14].copy_from_slice(&0x0800_u16.to_be_bytes());
    filter.expect("version 0", &other, "drop malformed:ipv4-version");
    other[14] = 0x43;
    filter.expect(
        "header of 12 bytes",
        &other,
        "drop malformed:ipv4-header-length",
    );
}
