//! The protocol of a description of traffic.

use super::text::{FORM, Word, error};
use super::{TrafficError, TrafficProtocol};
use crate::policy::Transport;
use crate::problem::quoted;
use crate::protocols;
use crate::suggest::nearest;
use crate::types;
use crate::values::decimal;

/// A protocol by name or number, with a type of ICMP or ICMPv6 if wanted; `None` for any.
pub(super) fn read(word: &Word<'_>) -> Result<Option<TrafficProtocol>, TrafficError> {
    let (name, rest) = match word.text.find('/') {
        None => (*word, None),
        Some(at) => {
            let (name, rest) = word.split(at);
            (name, Some(rest))
        }
    };
    let mut parts = [None, None];
    if let Some(rest) = rest {
        let is_ipv6 = match name.text {
            "icmp" => false,
            "icmpv6" => true,
            _ => {
                return Err(error(
                    word.span,
                    format!("expected a protocol, found {}", quoted(word.text)),
                    "only `icmp` and `icmpv6` have types: `icmp/echo-request`; an address is written in full: `10.0.0.0/8`",
                ));
            }
        };
        parts = icmp_type(&rest, is_ipv6)?;
    }
    let [kind, code] = parts;
    Ok(Some(match name.text {
        "any" => return Ok(None),
        "icmp" => TrafficProtocol::Icmp { kind, code },
        "icmpv6" => TrafficProtocol::Icmpv6 { kind, code },
        found => {
            let number = decimal(found).and_then(|number| u8::try_from(number).ok());
            let Some(number) = protocols::number_of(found).or(number) else {
                let hint = match nearest(found, protocols::NAMES).first() {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => FORM.to_owned(),
                };
                let message = format!("expected a protocol, found {}", quoted(found));
                return Err(error(name.span, message, hint));
            };
            match Transport::from_number(number) {
                Some(transport) => TrafficProtocol::Transport(transport),
                None => TrafficProtocol::Number(number),
            }
        }
    }))
}

/// `TYPE` or `TYPE/CODE`
fn icmp_type(word: &Word<'_>, is_ipv6: bool) -> Result<[Option<u8>; 2], TrafficError> {
    let (kind, code) = match word.text.find('/') {
        None => (*word, None),
        Some(at) => {
            let (kind, code) = word.split(at);
            (kind, Some(code))
        }
    };
    let octet = |word: &Word<'_>| decimal(word.text).and_then(|number| u8::try_from(number).ok());
    let Some(number) = octet(&kind).or_else(|| types::by_name(kind.text, is_ipv6)) else {
        let hint = match nearest(kind.text, types::names(is_ipv6)).first() {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a number from 0 to 255, or a name such as `echo-request`".to_owned(),
        };
        let owner = if is_ipv6 { "ICMPv6" } else { "ICMP" };
        let message = format!("no type of {owner} is called {}", quoted(kind.text));
        return Err(error(kind.span, message, hint));
    };
    let code = match &code {
        None => None,
        Some(code) => Some(octet(code).ok_or_else(|| {
            let message = format!("the code {} is no number from 0 to 255", quoted(code.text));
            error(code.span, message, "write it as a plain decimal number")
        })?),
    };
    Ok([Some(number), code])
}
