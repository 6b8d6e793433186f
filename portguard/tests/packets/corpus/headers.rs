//! Headers that hide or fake a port.

use super::case::Case;
use crate::frames::{
    AH, CUSTOMER_TAG, DESTINATION_OPTIONS, ESP, Extension, Ipv4, Ipv6, Link, NO_NEXT_HEADER, TCP,
    ethernet, ipv4, ipv6, portless, sctp, tcp, udp,
};

const UDP_LITE: u8 = 136;

fn options(bytes: &[u8]) -> Vec<u8> {
    ethernet(Ipv4::carrying(tcp(40_000, 22)).options(bytes))
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = options_of_ipv4();
    cases.extend(without_ports());
    cases
}

fn options_of_ipv4() -> Vec<Case> {
    vec![
        Case::new(
            "option-as-port",
            "An IPv4 option lies where a fixed parser reads the port, and spells 8080.",
        )
        .arrives(options(&[0x88, 4, 0x1f, 0x90]), "drop ssh tcp/22"),
        Case::new(
            "option-fakes-blocked-port",
            "An option spells 22, the segment goes to 8080: what is open must not be blocked.",
        )
        .arrives(
            ethernet(Ipv4::carrying(tcp(40_000, 8080)).options(&[0x88, 4, 0, 22])),
            "pass default-pass",
        ),
        Case::new("options-of-40-bytes", "The longest IPv4 header there is.")
            .arrives(options(&[1; 40]), "drop ssh tcp/22"),
        Case::new(
            "options-of-every-length",
            "Headers of 24, 28 ... 60 bytes whose options spell 8080 all along.",
        )
        .all_arrive(
            (1..=10).map(|words| options(&[0x88, 4, 0x1f, 0x90].repeat(words))),
            "drop ssh tcp/22",
        ),
        Case::new(
            "options-behind-a-tag",
            "The same behind a VLAN tag, in UDP.",
        )
        .all_arrive(
            (1..=10).map(|words| {
                let options = [0x88, 4, 0x1f, 0x90].repeat(words);
                Link::new()
                    .tag(CUSTOMER_TAG, 10)
                    .carry(Ipv4::carrying(udp(40_000, 22, b"")).options(&options))
            }),
            "drop ssh udp/22",
        ),
        Case::new(
            "options-instead-of-tcp",
            "A packet that ends with its options, which spell a segment.",
        )
        .arrives(
            ethernet(Ipv4::carrying(portless(TCP, b"")).options(&tcp(40_000, 22).bytes)),
            "drop malformed:tcp-short",
        ),
        Case::new(
            "ttl-0",
            "A packet that no router would have forwarded, and of another class of service.",
        )
        .arrives(
            ethernet(Ipv4::carrying(tcp(40_000, 22)).ttl(0)),
            "drop ssh tcp/22",
        )
        .arrives(
            ethernet(
                Ipv6::carrying(tcp(40_000, 22))
                    .hop_limit(0)
                    .first_byte(0x6f),
            ),
            "drop ssh tcp/22",
        ),
        Case::new(
            "router-alert",
            "The router alert option in front of the port.",
        )
        .arrives(options(&[0x94, 4, 0, 0]), "drop ssh tcp/22"),
        Case::new(
            "source-route",
            "A loose source route, whose pointer and addresses look like anything.",
        )
        .arrives(options(&[0x83, 7, 4, 203, 0, 113, 9, 0]), "drop ssh tcp/22"),
        Case::new(
            "broken-option",
            "An option whose length is past the header: options are skipped, not interpreted.",
        )
        .arrives(options(&[7, 255, 4, 0]), "drop ssh tcp/22"),
    ]
}

fn without_ports() -> Vec<Case> {
    let spelled = &[0x9c, 0x40, 0, 22, 0, 0, 0, 0, 0, 0, 0, 0];
    vec![
        Case::new(
            "esp",
            "ESP whose first bytes spell port 22: what is encrypted has no ports that anybody could read.",
        )
        .arrives(ipv6(portless(ESP, spelled)), "pass default-pass")
        .arrives(ipv4(portless(ESP, spelled)), "pass default-pass"),
        Case::new("esp-by-protocol", "ESP is stopped by a rule on its protocol.")
            .rules(&["{ name: esp, action: drop, protocol: esp }"])
            .arrives(ipv6(portless(ESP, spelled)), "drop esp 50"),
        Case::new(
            "no-next-header",
            "Behind \"no next header\" bytes that spell port 22: nobody reads them.",
        )
        .arrives(
            ipv6(portless(NO_NEXT_HEADER, spelled)),
            "pass default-pass",
        ),
        Case::new(
            "authentication-in-ipv4",
            "AH is an extension header in IPv6 alone. In IPv4 it is a protocol, and a default of drop stops it.",
        )
        .settings("default: drop")
        .arrives(
            ipv4(portless(AH, &tcp(40_000, 22).behind(Extension::Ah(4)).bytes)),
            "drop default-drop 51",
        ),
        Case::new(
            "another-transport",
            "SCTP to a port that is blocked for TCP and UDP, and to one that is blocked for SCTP.",
        )
        .rules(&[
            super::case::SSH,
            "{ name: diameter, action: drop, protocol: sctp, ports: 3868 }",
        ])
        .arrives(ipv4(sctp(40_000, 22)), "pass default-pass")
        .arrives(ipv4(sctp(40_000, 3868)), "drop diameter sctp/3868"),
        Case::new(
            "udp-lite",
            "UDP-Lite has ports in the same place, but it is another protocol.",
        )
        .arrives(
            ipv4(portless(UDP_LITE, &udp(40_000, 22, b"").bytes)),
            "pass default-pass",
        ),
        Case::new(
            "experimental-protocol",
            "A protocol for experiments (RFC 3692) in front of TCP: nobody reads on.",
        )
        .settings("default: drop")
        .arrives(ipv4(portless(253, spelled)), "drop default-drop 253")
        .arrives(
            ipv6(portless(253, &tcp(40_000, 22).behind(Extension::Octets(253, 0)).bytes)),
            "drop default-drop 253",
        ),
        Case::new(
            "extension-header-number-in-ipv4",
            "Protocol 60 in IPv4, with TCP behind it: it is no extension header there, and no host reads on.",
        )
        .arrives(
            ethernet(Ipv4::carrying(
                tcp(40_000, 22).behind(Extension::Octets(DESTINATION_OPTIONS, 0)),
            )),
            "pass default-pass",
        ),
        Case::new(
            "ipv4-in-ethertype-of-ipv6",
            "An IPv4 header announced as IPv6: the version contradicts the EtherType.",
        )
        .arrives(
            with_type(&ipv4(tcp(40_000, 22)), [0x86, 0xdd]),
            "drop malformed:ipv6-version",
        ),
        Case::new(
            "ipv6-in-ethertype-of-ipv4",
            "The other way round.",
        )
        .arrives(
            with_type(&ethernet(Ipv6::carrying(tcp(40_000, 22))), [0x08, 0x00]),
            "drop malformed:ipv4-version",
        ),
    ]
}

fn with_type(frame: &[u8], ether_type: [u8; 2]) -> Vec<u8> {
    super::case::with(frame.to_vec(), 12, &ether_type)
}
