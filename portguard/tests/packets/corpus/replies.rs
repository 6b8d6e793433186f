//! What this side has started, and what pretends to belong to it.

use super::case::{Case, SOURCE_V4, with};
use crate::frames::{
    CUSTOMER_TAG, DESTINATION_OPTIONS, Extension, Ipv4, Ipv6, Link, Packet, Segment, ethernet,
    ipv4, ipv6, portless, sctp, tcp, udp,
};

const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;
const SYN_ACK: u8 = 0x12;

/// What this side sends: the addresses in their places.
pub(super) fn out(segment: Segment) -> Vec<u8> {
    let mut packet = Packet::from(Ipv4::carrying(segment));
    let (source, destination) = packet.bytes[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    ethernet(packet)
}

pub(super) fn out_v6(segment: Segment) -> Vec<u8> {
    let mut packet = Packet::from(Ipv6::carrying(segment));
    let (source, destination) = packet.bytes[8..40].split_at_mut(16);
    source.swap_with_slice(destination);
    ethernet(packet)
}

/// From port 443 to 40000, where no fixed parser finds them.
fn disguised_v4(flags: u8) -> Vec<u8> {
    Link::new()
        .tag(CUSTOMER_TAG, 10)
        .carry(Ipv4::carrying(segment(443, 40_000, flags)).options(&[0x88, 4, 0x1f, 0x90]))
}

fn disguised_v6(flags: u8) -> Vec<u8> {
    let chain = [
        Extension::Octets(DESTINATION_OPTIONS, 1),
        Extension::Fragment(0, false),
    ];
    ipv6(segment(443, 40_000, flags).behind_all(&chain))
}

pub(super) fn segment(from: u16, to: u16, flags: u8) -> Segment {
    let mut segment = tcp(from, to);
    segment.bytes[13] = flags;
    segment
}

/// An echo request or reply with this identifier.
pub(super) fn echo(kind: u8, identifier: u8) -> Segment {
    portless(1, &[kind, 0, 0, 0, 0, identifier, 0, 1])
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = of_flows();
    cases.extend(of_ends());
    cases
}

/// A host that drops what it has not asked for.
pub(super) fn forged(name: &'static str, about: &'static str) -> Case {
    Case::new(name, about).settings("default: drop").rules(&[])
}

pub(super) fn asked() -> Vec<u8> {
    out(segment(40_000, 443, SYN))
}

fn of_flows() -> Vec<Case> {
    vec![
        forged("reply", "The answer to a connection that this side opens.")
            .leaves(asked())
            .arrives(ipv4(segment(443, 40_000, SYN_ACK)), "pass reply"),
        forged(
            "forged-reply",
            "A segment that looks like an answer, where nobody has asked.",
        )
        .arrives(
            ipv4(segment(443, 40_000, ACK)),
            "drop default-drop tcp/40000",
        ),
        forged(
            "scan-by-strange-flags",
            "FIN, RST, SYN and ACK, nothing and everything, where nobody has asked.",
        )
        .all_arrive(
            [0, 1, RST, RST | ACK, SYN_ACK, 0x29, 0x3f, 0xff]
                .map(|flags| ipv4(segment(443, 40_000, flags))),
            "drop default-drop tcp/40000",
        ),
        forged(
            "syn-as-reply",
            "An attempt to connect is no answer, whatever flow it fits and whatever other flags it has.",
        )
        .leaves(asked())
        .all_arrive(
            [SYN, SYN | FIN, SYN | RST, SYN | 8, 0xc2]
                .map(|flags| ipv4(segment(443, 40_000, flags))),
            "drop default-drop tcp/40000",
        ),
        forged(
            "reply-from-another-port",
            "The right address, another port.",
        )
        .leaves(asked())
        .arrives(
            ipv4(segment(444, 40_000, ACK)),
            "drop default-drop tcp/40000",
        ),
        forged(
            "reply-from-another-address",
            "The right port, another address.",
        )
        .leaves(asked())
        .arrives(
            with(ipv4(segment(443, 40_000, ACK)), SOURCE_V4 + 3, &[10]),
            "drop default-drop tcp/40000",
        ),
        forged(
            "fragment-as-reply",
            "A later fragment between the ends of a flow is no answer.",
        )
        .settings("default: drop\nfragments: drop")
        .leaves(asked())
        .arrives(
            ethernet(Ipv4::carrying(segment(443, 40_000, ACK)).fragment(9, false)),
            "drop later-fragment tcp",
        ),
        forged(
            "late-reply",
            "An echo reply three minutes after the request.",
        )
        .leaves(out(echo(8, 7)))
        .arrives(ipv4(echo(0, 7)), "pass reply")
        .wait(181)
        .arrives(ipv4(echo(0, 7)), "drop default-drop 1"),
        forged(
            "reply-of-another-identifier",
            "An echo reply that nobody has asked for.",
        )
        .leaves(out(echo(8, 7)))
        .arrives(ipv4(echo(0, 8)), "drop default-drop 1"),
        forged(
            "request-as-reply",
            "An echo request between the ends of an echo.",
        )
        .leaves(out(echo(8, 7)))
        .arrives(ipv4(echo(8, 7)), "drop default-drop 1"),
        forged(
            "answer-opens-nothing",
            "What this host answers opens no way for more.",
        )
        .leaves(out(segment(40_000, 443, 0x14)))
        .leaves(out(segment(40_000, 443, SYN_ACK)))
        .arrives(
            ipv4(segment(443, 40_000, ACK)),
            "drop default-drop tcp/40000",
        ),
        Case::new(
            "blocked-server-goes-on",
            "A blocked port is blocked for open connections too.",
        )
        .leaves(out(segment(22, 40_000, SYN_ACK)))
        .arrives(ipv4(segment(40_000, 22, ACK)), "drop ssh tcp/22"),
        forged(
            "udp-protocol-mixed-up",
            "A datagram between the ports of a TCP connection.",
        )
        .leaves(asked())
        .arrives(
            ipv4(udp(443, 40_000, b"")),
            "drop default-drop udp/40000",
        ),
        forged(
            "sctp-as-reply",
            "Flows are those of TCP, UDP and echoes: SCTP has none.",
        )
        .leaves(out(sctp(40_000, 3868)))
        .arrives(ipv4(sctp(3868, 40_000)), "drop default-drop sctp/40000"),
        forged(
            "reply-in-disguise",
            "An answer behind a tag, options or extension headers is still one, and an attempt is still none.",
        )
        .leaves(asked())
        .leaves(out_v6(segment(40_000, 443, SYN)))
        .arrives(disguised_v4(ACK), "pass reply")
        .arrives(disguised_v6(ACK), "pass reply")
        .arrives(disguised_v4(SYN), "drop default-drop tcp/40000")
        .arrives(disguised_v6(SYN), "drop default-drop tcp/40000"),
        forged("replies-off", "`replies: rules` takes the exemption away.")
            .settings("default: drop\nreplies: rules")
            .arrives(
                ipv4(segment(443, 40_000, SYN_ACK)),
                "drop default-drop tcp/40000",
            ),
    ]
}

fn of_ends() -> Vec<Case> {
    let ack = || ipv4(segment(443, 40_000, ACK));
    vec![
        forged(
            "end-from-outside",
            "A forged FIN or RST ends no flow: only what leaves does.",
        )
        .leaves(asked())
        .arrives(ipv4(segment(443, 40_000, FIN | ACK)), "pass reply")
        .arrives(ipv4(segment(443, 40_000, RST)), "pass reply")
        .wait(3600)
        .arrives(ack(), "pass reply"),
        forged("reply-after-a-reset", "What this side has reset is over.")
            .leaves(asked())
            .leaves(out(segment(40_000, 443, RST)))
            .arrives(ack(), "drop default-drop tcp/40000"),
        forged(
            "reply-after-the-end",
            "A minute after this side has sent its FIN.",
        )
        .leaves(asked())
        .leaves(out(segment(40_000, 443, FIN | ACK)))
        .wait(59)
        .arrives(ack(), "pass reply")
        .wait(2)
        .arrives(ack(), "drop default-drop tcp/40000"),
        forged(
            "kept-alive-from-outside",
            "What arrives prolongs no flow: three minutes after the last question the port is closed.",
        )
        .leaves(out(udp(40_000, 53, b"query")))
        .wait(100)
        .arrives(ipv4(udp(53, 40_000, b"answer")), "pass reply")
        .wait(81)
        .arrives(ipv4(udp(53, 40_000, b"answer")), "drop default-drop udp/40000"),
        forged(
            "answer-from-another-server",
            "An answer of another name server, or from another port of the right one.",
        )
        .leaves(out(udp(40_000, 53, b"query")))
        .arrives(
            with(ipv4(udp(53, 40_000, b"answer")), SOURCE_V4 + 3, &[10]),
            "drop default-drop udp/40000",
        )
        .arrives(ipv4(udp(5353, 40_000, b"answer")), "drop default-drop udp/40000")
        .arrives(ipv4(udp(53, 40_001, b"answer")), "drop default-drop udp/40001"),
        Case::new(
            "answers-under-a-limit",
            "A server that answers opens its clients no way past a limit.",
        )
        .rules(&["{ name: dns, action: limit, ports: 53/udp, rate: 1/m }"])
        .arrives(ipv4(udp(40_000, 53, b"query")), "pass dns")
        .leaves(out(udp(53, 40_000, b"answer")))
        .arrives(ipv4(udp(40_000, 53, b"query")), "drop dns:limited udp/53"),
    ]
}
