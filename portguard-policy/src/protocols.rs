//! `protocol` of a rule.

use crate::document::{Document, Node};
use crate::keys::Field;
use crate::policy::{ServiceMatch, Transport};
use crate::problem::{Problem, Problems, Span, one_of, quoted};
use crate::suggest::nearest;
use crate::values::{decimal, list, text};

/// What `protocol` may say beside a number.
pub(crate) const NAMES: [&str; 11] = [
    "tcp", "udp", "sctp", "icmp", "icmpv6", "igmp", "gre", "esp", "ah", "ipip", "any",
];

/// Headers that the parser walks in IPv6, so that no packet has them as its protocol there.
pub(crate) const WALKED_IN_IPV6: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

/// The name of an IP protocol number, where a policy has one.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        132 => "sctp",
        _ => return None,
    })
}

/// The number of a protocol that has a name and no family of its own.
pub(crate) fn number_of(name: &str) -> Option<u8> {
    (0..=u8::MAX).find(|number| !matches!(number, 1 | 58) && protocol_name(*number) == Some(name))
}

/// What `protocol` of a rule says.
#[derive(Default)]
pub(crate) struct Protocols {
    /// Those that have ports, with their places.
    pub(crate) transports: Vec<(Transport, Span)>,
    /// Those that have none, as written.
    pub(crate) portless: Vec<Portless>,
}

/// A protocol without ports.
pub(crate) struct Portless {
    pub(crate) written: String,
    pub(crate) span: Span,
    pub(crate) matches: ServiceMatch,
}

/// Reads `protocol`; `None` if some of it is wrong.
pub(crate) fn read(
    document: &Document<'_>,
    field: Field<'_, '_>,
    problems: &mut Problems,
) -> Option<Protocols> {
    let before = problems.errors();
    let mut protocols = Protocols::default();
    for node in list(document, field, "protocol", "`protocol: any`", problems) {
        if problems.is_full() {
            break;
        }
        match one(node) {
            Ok(One::Transport(transport)) => protocols.transports.push((transport, node.span)),
            Ok(One::Portless(matches)) => {
                let written = text(node).unwrap_or_default().to_owned();
                let span = node.span;
                if walked(matches) {
                    // A later fragment has as its protocol whatever its fragment header names.
                    let what = match matches {
                        ServiceMatch::Ah => "never matches",
                        _ => "matches nothing but later fragments",
                    };
                    problems.push(
                        Problem::warning(
                            span,
                            format!("in IPv6, protocol {} {what}", quoted(&written)),
                        )
                        .hint(
                            "portguard walks this header in IPv6 and judges what follows it: \
                             the rule works in IPv4 alone",
                        ),
                    );
                }
                protocols.portless.push(Portless {
                    written,
                    span,
                    matches,
                });
            }
            Err(problem) => problems.push(*problem),
        }
    }
    (problems.errors() == before).then_some(protocols)
}

enum One {
    Transport(Transport),
    Portless(ServiceMatch),
}

fn one(node: &Node<'_>) -> Result<One, Box<Problem>> {
    let Some(found) = text(node) else {
        return Err(unknown(node));
    };
    if let Some(transport) = Transport::from_name(found) {
        return Ok(One::Transport(transport));
    }
    let matches = match found {
        "any" => ServiceMatch::Any,
        "icmp" => ServiceMatch::Icmp,
        "icmpv6" => ServiceMatch::Icmpv6,
        "ah" => ServiceMatch::Ah,
        "igmp" => ServiceMatch::Protocol(2),
        "ipip" => ServiceMatch::Protocol(4),
        "gre" => ServiceMatch::Protocol(47),
        "esp" => ServiceMatch::Protocol(50),
        _ => {
            let number = decimal(found).ok_or_else(|| unknown(node))?;
            let number = u8::try_from(number).map_err(|_| {
                Problem::error(
                    node.span,
                    format!("protocol number {} is out of range", quoted(found)),
                )
                .hint("a protocol number is 0 to 255")
            })?;
            if let Some(transport) = Transport::from_number(number) {
                return Ok(One::Transport(transport));
            }
            ServiceMatch::Protocol(number)
        }
    };
    Ok(One::Portless(matches))
}

fn walked(matches: ServiceMatch) -> bool {
    match matches {
        ServiceMatch::Ah => true,
        ServiceMatch::Protocol(number) => WALKED_IN_IPV6.contains(&number),
        _ => false,
    }
}

fn unknown(node: &Node<'_>) -> Box<Problem> {
    let hint = match text(node).map(|found| nearest(found, NAMES)).as_deref() {
        Some([near, ..]) => format!("did you mean `{near}`?"),
        _ => format!("write {}, or a number from 0 to 255", one_of(NAMES)),
    };
    Problem::error(
        node.span,
        format!(
            "expected a protocol by name or number, found {}",
            node.describe()
        ),
    )
    .hint(hint)
    .into()
}
