//! IPv6 extension headers in front of the port.

use super::case::Case;
use crate::frames::{
    AH, CUSTOMER_TAG, DESTINATION_OPTIONS, ESP, Extension, HIP, HOP_BY_HOP, Ipv6, Link, MOBILITY,
    NO_NEXT_HEADER, ROUTING, SERVICE_TAG, SHIM6, TCP, ethernet, ipv6, portless, tcp, udp,
};

fn behind(extensions: &[Extension]) -> Vec<u8> {
    ipv6(tcp(40_000, 22).behind_all(extensions))
}

fn destinations(count: usize) -> Vec<u8> {
    behind(&vec![Extension::Octets(DESTINATION_OPTIONS, 0); count])
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = kinds();
    cases.extend(lengths());
    cases.extend(chains());
    cases
}

fn kinds() -> Vec<Case> {
    let octets = |kind| behind(&[Extension::Octets(kind, 0)]);
    vec![
        Case::new("hop-by-hop", "Hop-by-hop options in front of TCP.")
            .arrives(octets(HOP_BY_HOP), "drop ssh tcp/22"),
        Case::new("routing-header", "A routing header in front of TCP.")
            .arrives(octets(ROUTING), "drop ssh tcp/22"),
        Case::new("destination-options", "Destination options in front of TCP.")
            .arrives(octets(DESTINATION_OPTIONS), "drop ssh tcp/22"),
        Case::new("mobility-header", "A mobility header in front of TCP.")
            .arrives(octets(MOBILITY), "drop ssh tcp/22"),
        Case::new("hip-header", "A HIP header in front of TCP.")
            .arrives(octets(HIP), "drop ssh tcp/22"),
        Case::new("shim6-header", "A shim6 header in front of TCP.")
            .arrives(octets(SHIM6), "drop ssh tcp/22"),
        Case::new(
            "authentication-header",
            "An authentication header, whose length is counted in units of 4 bytes, in front of TCP.",
        )
        .arrives(behind(&[Extension::Ah(4)]), "drop ssh tcp/22"),
        Case::new(
            "routing-type-0",
            "A source route of type 0 (deprecated by RFC 5095), whose address looks like anything.",
        )
        .arrives(
            ipv6(portless(
                ROUTING,
                &[
                    &[6, 2, 0, 1, 0, 0, 0, 0][..],
                    &[0x20, 1, 0x0d, 0xb8, 0, 80, 0, 80, 0, 80, 0, 80, 0, 80, 0, 80],
                    &tcp(40_000, 22).bytes,
                ]
                .concat(),
            )),
            "drop ssh tcp/22",
        ),
        Case::new(
            "jumbogram",
            "A payload length of 0 with the jumbo payload option (RFC 2675).",
        )
        .arrives(
            ethernet(
                Ipv6::carrying(portless(
                    HOP_BY_HOP,
                    &[&[6, 0, 0xc2, 4, 0, 0, 0, 28], tcp(40_000, 22).bytes.as_slice()].concat(),
                ))
                .payload_len(0),
            ),
            "drop ssh tcp/22",
        ),
    ]
}

fn lengths() -> Vec<Case> {
    vec![
        Case::new(
            "extension-of-2048-bytes",
            "The longest extension header there is, so that the port lies far behind.",
        )
        .arrives(
            behind(&[Extension::Octets(DESTINATION_OPTIONS, 255)]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "extensions-beyond-the-first-buffer",
            "Headers of 6 KiB: the port lies in another buffer of the frame.",
        )
        .arrives(
            behind(&[Extension::Octets(DESTINATION_OPTIONS, 255); 3]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "authentication-of-every-length",
            "Authentication headers of 8, 12, 16 ... 44 and 1,028 bytes, of any alignment.",
        )
        .all_arrive(
            (0..10).chain([255]).map(|len| behind(&[Extension::Ah(len)])),
            "drop ssh tcp/22",
        ),
        Case::new(
            "extension-past-the-end",
            "An extension header whose length field is past the end of the packet.",
        )
        .arrives(
            ipv6(portless(HOP_BY_HOP, &[6, 9, 0, 0, 0, 0, 0, 0, 0, 0])),
            "drop malformed:extension-short",
        ),
        Case::new(
            "extension-without-end",
            "The packet ends with an extension header, and the padding of the frame spells a segment.",
        )
        .arrives(
            [
                ipv6(portless(TCP, b"").behind(Extension::Octets(DESTINATION_OPTIONS, 0))),
                tcp(40_000, 22).bytes,
            ]
            .concat(),
            "drop malformed:tcp-short",
        ),
        Case::new(
            "authentication-past-the-end",
            "An authentication header of 24 bytes of which 20 are there.",
        )
        .arrives(
            ipv6(portless(AH, &[&[6, 4][..], &[0; 18]].concat())),
            "drop malformed:extension-short",
        ),
    ]
}

fn chains() -> Vec<Case> {
    vec![
        Case::new(
            "extensions-mixed",
            "Hop-by-hop, destination options, routing and authentication in front of UDP.",
        )
        .arrives(
            ipv6(udp(40_000, 22, b"").behind_all(&[
                Extension::Octets(HOP_BY_HOP, 0),
                Extension::Octets(DESTINATION_OPTIONS, 1),
                Extension::Octets(ROUTING, 2),
                Extension::Ah(1),
            ])),
            "drop ssh udp/22",
        ),
        Case::new(
            "extensions-out-of-order",
            "Hop-by-hop options that do not come first, and twice.",
        )
        .arrives(
            behind(&[
                Extension::Octets(DESTINATION_OPTIONS, 0),
                Extension::Octets(HOP_BY_HOP, 0),
                Extension::Octets(HOP_BY_HOP, 1),
                Extension::Octets(ROUTING, 0),
            ]),
            "drop ssh tcp/22",
        ),
        Case::new(
            "extensions-behind-tags",
            "Extension headers behind two tags and PPPoE.",
        )
        .arrives(
            Link::new()
                .tag(SERVICE_TAG, 100)
                .tag(CUSTOMER_TAG, 10)
                .pppoe()
                .carry(Ipv6::carrying(
                    tcp(40_000, 22).behind_all(&[Extension::Octets(DESTINATION_OPTIONS, 3); 8]),
                )),
            "drop ssh tcp/22",
        ),
        Case::new("7-extensions", "Seven extension headers.")
            .arrives(destinations(7), "drop ssh tcp/22"),
        Case::new("8-extensions", "As many extension headers as are walked.")
            .arrives(destinations(8), "drop ssh tcp/22"),
        Case::new(
            "9-extensions",
            "One more: what cannot be read to its end is malformed, never passed unseen.",
        )
        .arrives(destinations(9), "drop malformed:extension-depth"),
        Case::new(
            "fragment-header-among-8",
            "A fragment header is an extension header: it counts.",
        )
        .arrives(
            ipv6(
                tcp(40_000, 22)
                    .behind(Extension::Fragment(0, false))
                    .behind_all(&[Extension::Octets(DESTINATION_OPTIONS, 0); 7]),
            ),
            "drop ssh tcp/22",
        )
        .arrives(
            ipv6(
                tcp(40_000, 22)
                    .behind(Extension::Fragment(0, false))
                    .behind_all(&[Extension::Octets(DESTINATION_OPTIONS, 0); 8]),
            ),
            "drop malformed:extension-depth",
        ),
        Case::new(
            "esp-behind-8-extensions",
            "A chain that ends with ESP or with \"no next header\" is read to its end.",
        )
        .all_arrive(
            [ESP, NO_NEXT_HEADER].map(|protocol| {
                let payload = portless(protocol, &tcp(40_000, 22).bytes);
                ipv6(payload.behind_all(&[Extension::Octets(DESTINATION_OPTIONS, 0); 8]))
            }),
            "pass default-pass",
        ),
    ]
}
