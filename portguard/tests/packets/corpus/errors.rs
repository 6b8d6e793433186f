//! ICMP errors, which are answers if they quote what this side has sent.

use super::case::{Case, with};
use super::replies::{ACK, SYN, asked, echo, forged, out, out_v6, segment};
use crate::frames::{icmpv6, ipv4, ipv6, portless};

/// "Port unreachable", with what it quotes.
fn error(quoted: &[u8]) -> Vec<u8> {
    let mut bytes = vec![3, 3, 0, 0, 0, 0, 0, 0];
    bytes.extend(&quoted[14..]);
    ipv4(portless(1, &bytes))
}

/// An ICMPv6 message with what it quotes.
fn error_v6(kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut bytes = icmpv6(kind, 0).bytes;
    bytes.extend(&quoted[14..]);
    ipv6(portless(58, &bytes))
}

pub(super) fn cases() -> Vec<Case> {
    let strict = |name, about| forged(name, about).settings("default: drop\nessential: rules");
    vec![
        strict(
            "error-about-nothing",
            "An ICMP error that quotes a flow that does not exist.",
        )
        .leaves(asked())
        .arrives(
            error(&out(segment(40_000, 444, SYN))),
            "drop default-drop 1",
        )
        .arrives(error(&asked()), "pass reply"),
        strict(
            "error-about-the-other-side",
            "An ICMP error that quotes what this side never sent.",
        )
        .leaves(asked())
        .arrives(
            error(&ipv4(segment(443, 40_000, ACK))),
            "drop default-drop 1",
        ),
        strict(
            "error-in-ipv6",
            "ICMPv6 errors that quote a flow are answers; other messages are not, whatever they quote.",
        )
        .leaves(out_v6(segment(40_000, 443, SYN)))
        .all_arrive(
            [1, 2, 3, 4].map(|kind| error_v6(kind, &out_v6(segment(40_000, 443, SYN)))),
            "pass reply",
        )
        .arrives(
            error_v6(1, &out_v6(segment(40_000, 444, SYN))),
            "drop default-drop 58",
        )
        .all_arrive(
            [0, 5, 128, 137].map(|kind| error_v6(kind, &out_v6(segment(40_000, 443, SYN)))),
            "drop default-drop 58",
        ),
        strict(
            "error-about-the-other-family",
            "An ICMP error that quotes the IPv6 packet of a flow.",
        )
        .leaves(out_v6(segment(40_000, 443, SYN)))
        .arrives(
            error(&out_v6(segment(40_000, 443, SYN))),
            "drop default-drop 1",
        ),
        strict(
            "error-that-quotes-too-little",
            "An error that ends within the ports, or within the header, that it quotes.",
        )
        .leaves(asked())
        .arrives(error(&asked()[..14 + 20 + 7]), "drop default-drop 1")
        .arrives(error(&asked()[..14 + 19]), "drop default-drop 1")
        .arrives(error(&asked()[..14 + 20 + 8]), "pass reply"),
        strict(
            "error-that-quotes-padding",
            "An error whose own length ends before the ports, which the padding of the frame spells.",
        )
        .leaves(asked())
        .arrives(
            with(error(&asked()), 14 + 2, &[0, 20 + 8 + 20]),
            "drop default-drop 1",
        ),
        strict(
            "error-that-quotes-a-fragment",
            "An error about a later fragment, whose payload spells the ports of a flow.",
        )
        .leaves(asked())
        .arrives(
            error(&with(asked(), 14 + 6, &[0, 9])),
            "drop default-drop 1",
        ),
        strict(
            "redirect-that-quotes-a-flow",
            "A redirect is no error, whatever it quotes.",
        )
        .leaves(asked())
        .arrives(
            with(error(&asked()), 14 + 20, &[5, 1]),
            "drop default-drop 1",
        ),
        strict(
            "error-about-an-error",
            "An error that quotes an error that quotes a flow.",
        )
        .leaves(asked())
        .arrives(error(&error(&asked())), "drop default-drop 1"),
        strict(
            "error-about-an-answer",
            "An error that quotes an echo reply, where this side has sent a request.",
        )
        .leaves(out(echo(8, 7)))
        .arrives(error(&out(echo(8, 7))), "pass reply")
        .arrives(error(&out(echo(0, 7))), "drop default-drop 1"),
    ]
}
