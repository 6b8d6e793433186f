//! Strategies for random frames: well-formed ones of every kind, damaged ones, and noise.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    AH, CUSTOMER_TAG, DESTINATION_OPTIONS, ESP, Extension, FRAGMENT, GRE, HIP, HOP_BY_HOP, ICMP,
    ICMPV6, IGMP, Ipv4, Ipv6, Link, MOBILITY, NO_NEXT_HEADER, OLD_SERVICE_TAG, Packet, ROUTING,
    SERVICE_TAG, SHIM6, Segment, icmp, icmpv6, portless, sctp, tcp, tcp_with, udp, udp_with,
};

/// Ports that policies of the tests speak of, so that rules match often.
const PORTS: [u16; 15] = [
    0, 1, 22, 53, 67, 68, 80, 443, 546, 547, 999, 1000, 1500, 2000, 65535,
];

/// Any frame: mostly well-formed or slightly damaged, since noise hardly gets past the EtherType.
pub(crate) fn frame() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        6 => plain(),
        12 => layered().boxed(),
        12 => damaged(layered().boxed()).boxed(),
        6 => damaged(plain().boxed()).boxed(),
        2 => announced_noise(),
        1 => vec(any::<u8>(), 0..200),
    ]
    .boxed()
}

/// TCP or UDP right behind an IP header on untagged Ethernet.
pub(crate) fn plain() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), port(), port(), any::<bool>(), 0_usize..64).prop_map(
        |(is_tcp, src, dst, is_v4, padding)| {
            let segment = if is_tcp {
                tcp(src, dst)
            } else {
                udp(src, dst, b"payload")
            };
            let mut frame = if is_v4 {
                super::ipv4(segment)
            } else {
                super::ipv6(segment)
            };
            frame.resize(frame.len() + padding, 0);
            frame
        },
    )
}

/// A frame of any layers.
pub(crate) fn layered() -> impl Strategy<Value = Vec<u8>> {
    // The layers are boxed: their strategies would nest too deep for a thread's stack.
    (link().boxed(), packet().boxed(), any::<u8>()).prop_map(|((link, compressed), packet, odd)| {
        if odd == 0 {
            return link.carry_raw(0x0806, 0xc021, &packet.bytes);
        }
        match compressed {
            None => link.carry(packet),
            Some(true) => link.compressed_pppoe().carry(packet),
            Some(false) => link.pppoe().carry(packet),
        }
    })
}

/// The same, cut, prolonged, or with some bytes replaced.
fn damaged(frames: BoxedStrategy<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        (any::<prop::sample::Index>()).prop_map(Damage::Cut),
        (0_usize..100).prop_map(Damage::Pad),
        vec((0_usize..120, any::<u8>()), 1..4).prop_map(Damage::Replace),
        // Small numbers in the fields of lengths and offsets do the most harm.
        vec((12_usize..90, 0_u8..16), 1..4).prop_map(Damage::Replace),
    ];
    (frames, damage).prop_map(|(mut frame, damage)| {
        match damage {
            Damage::Cut(index) => frame.truncate(index.index(frame.len() + 1)),
            Damage::Pad(count) => frame.resize(frame.len() + count, 0),
            Damage::Replace(bytes) => {
                for (place, byte) in bytes {
                    if let Some(old) = frame.get_mut(place) {
                        *old = byte;
                    }
                }
            }
        }
        frame
    })
}

#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Pad(usize),
    Replace(Vec<(usize, u8)>),
}

/// Noise behind an EtherType that is looked at.
fn announced_noise() -> impl Strategy<Value = Vec<u8>> {
    let ether_type = prop::sample::select(vec![
        0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100, 0x8864, 0x8863, 0x0806, 0x888e, 0x8809, 0x8847,
    ]);
    (ether_type, vec(any::<u8>(), 0..150))
        .prop_map(|(ether_type, bytes)| super::raw_ethernet(ether_type, &bytes))
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![3 => prop::sample::select(PORTS.to_vec()), 1 => any::<u16>()]
}

fn link() -> impl Strategy<Value = (Link, Option<bool>)> {
    let tag = (
        prop::sample::select(vec![CUSTOMER_TAG, SERVICE_TAG, OLD_SERVICE_TAG]),
        prop_oneof![Just(0), Just(0x2000), any::<u16>()],
    );
    let tags = prop_oneof![4 => vec(tag.clone(), 0..2), 1 => vec(tag, 0..6)];
    let pppoe = prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (tags, pppoe).prop_map(|(tags, pppoe)| {
        let link = tags
            .into_iter()
            .fold(Link::new(), |link, (kind, control)| link.tag(kind, control));
        (link, pppoe)
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        ipv4().prop_map(Packet::from).boxed(),
        ipv6().prop_map(Packet::from).boxed(),
    ]
}

fn ipv4() -> impl Strategy<Value = Ipv4> {
    let fragmentation = prop_oneof![
        6 => Just(0_u16),
        1 => Just(0x4000),
        1 => Just(0x2000),
        1 => Just(1),
        1 => Just(0x2001),
        1 => any::<u16>(),
    ];
    let total_len =
        prop_oneof![8 => Just(None), 1 => Just(Some(0)), 2 => (0_u16..90).prop_map(Some)];
    (
        segment().boxed(),
        0_usize..11,
        ttl(),
        fragmentation,
        total_len,
    )
        .prop_map(|(segment, words, ttl, fragmentation, total_len)| {
            let ip = Ipv4::carrying(segment)
                .options(&vec![1; words * 4])
                .ttl(ttl)
                .fragmentation(fragmentation);
            match total_len {
                Some(total_len) => ip.total_len(total_len),
                None => ip,
            }
        })
}

fn ipv6() -> impl Strategy<Value = Ipv6> {
    let kind = prop::sample::select(vec![
        HOP_BY_HOP,
        ROUTING,
        DESTINATION_OPTIONS,
        MOBILITY,
        HIP,
        SHIM6,
    ]);
    let units = prop_oneof![6 => Just(0_u16), 1 => Just(1), 1 => 0_u16..0x2000];
    let extension = prop_oneof![
        4 => (kind, prop_oneof![6 => 0_u8..3, 1 => any::<u8>()])
            .prop_map(|(kind, len)| Extension::Octets(kind, len)),
        1 => prop_oneof![4 => 0_u8..8, 1 => any::<u8>()].prop_map(Extension::Ah),
        1 => (units, any::<bool>()).prop_map(|(units, more)| Extension::Fragment(units, more)),
    ];
    let chain = prop_oneof![3 => vec(extension.clone(), 0..3), 1 => vec(extension, 0..11)];
    let payload_len =
        prop_oneof![8 => Just(None), 1 => Just(Some(0)), 2 => (0_u16..90).prop_map(Some)];
    (segment().boxed(), chain.boxed(), ttl(), payload_len).prop_map(
        |(segment, chain, hop_limit, payload_len)| {
            let ip = Ipv6::carrying(segment.behind_all(&chain)).hop_limit(hop_limit);
            match payload_len {
                Some(payload_len) => ip.payload_len(payload_len),
                None => ip,
            }
        },
    )
}

fn ttl() -> impl Strategy<Value = u8> {
    prop_oneof![Just(1), Just(64), Just(254), Just(255)]
}

fn segment() -> impl Strategy<Value = Segment> {
    let kind = prop_oneof![
        prop::sample::select(vec![
            0_u8, 3, 5, 8, 11, 12, 130, 133, 134, 135, 136, 137, 143
        ]),
        0_u8..5,
        any::<u8>(),
    ];
    let other = prop::sample::select(vec![
        GRE,
        ESP,
        AH,
        IGMP,
        ICMP,
        ICMPV6,
        NO_NEXT_HEADER,
        FRAGMENT,
        4,
        41,
        89,
        255,
    ]);
    prop_oneof![
        4 => (port(), port()).prop_map(|(src, dst)| tcp(src, dst)),
        1 => (port(), port(), 0_u8..16).prop_map(|(src, dst, words)| tcp_with(src, dst, words)),
        4 => (port(), port()).prop_map(|(src, dst)| udp(src, dst, b"payload")),
        1 => (port(), port(), 0_u16..20).prop_map(|(src, dst, len)| udp_with(src, dst, len, b"x")),
        2 => (port(), port()).prop_map(|(src, dst)| sctp(src, dst)),
        3 => (kind, 0_u8..6, any::<bool>()).prop_map(|(kind, code, is_v6)| {
            if is_v6 { icmpv6(kind, code) } else { icmp(kind, code) }
        }),
        2 => (other, vec(any::<u8>(), 0..40)).prop_map(|(kind, bytes)| portless(kind, &bytes)),
    ]
}
