//! Reads descriptions of traffic.

use super::{Traffic, TrafficError, TrafficProtocol, protocol};
use crate::conditions::{LAST_VLAN, NO_VLAN};
use crate::host_services::HostServices;
use crate::interface::InterfacePattern;
use crate::policy::Transport;
use crate::prefix::{self, Prefix, Written};
use crate::problem::{Span, one_of, quoted};
use crate::services;
use crate::values::decimal;

pub(super) const FORM: &str =
    "the form is `[PROTOCOL] [SOURCE][:PORT] -> [DESTINATION][:PORT] [via INTERFACE] [vlan N]`";

const FORM_OF_QUESTION: &str = "the form is `[PROTOCOL] [SOURCE][:PORT] -> [DESTINATION][:PORT] [via INTERFACE] \
                                [vlan N] [fragment] [ttl N]`";

/// What a description is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Promising something of all packets that it means.
    Promise,
    /// Asking about one packet. `fragment` and `ttl N` may follow then, and all that can be in a header may be said.
    Question,
}

impl Purpose {
    fn form(self) -> &'static str {
        match self {
            Self::Promise => FORM,
            Self::Question => FORM_OF_QUESTION,
        }
    }
}

/// What was read.
pub(crate) struct Read {
    pub(crate) traffic: Traffic,
    /// `fragment`: a later fragment is meant.
    pub(crate) later_fragment: bool,
    /// `ttl N`, or `hop-limit N`.
    pub(crate) hop_limit: Option<u8>,
    /// Prefixes whose bits behind the length were masked.
    pub(crate) masked: Vec<(Span, Prefix)>,
    /// Where the interface is named.
    pub(crate) interface: Option<Span>,
    /// Where all of it stands.
    pub(crate) whole: Span,
}

/// Reads a description. `host` has the host's own names of ports.
pub(crate) fn read(
    text: &str,
    host: &HostServices,
    purpose: Purpose,
) -> Result<Read, TrafficError> {
    let Some(arrow) = text.find("->") else {
        let span = Span {
            text: 0,
            start: 0,
            end: text.len(),
        };
        let message = format!("{} has no `->`", quoted(text));
        return Err(error(span, message, purpose.form()));
    };
    let mut reader = Reader {
        host,
        purpose,
        traffic: Traffic::default(),
        later_fragment: None,
        hop_limit: None,
        masked: Vec::new(),
        interface: None,
    };
    let before = words(text, 0, arrow);
    let after = words(text, arrow + 2, text.len());
    reader.before(&before)?;
    reader.after(&after)?;
    reader.check_fragment()?;
    let traffic = &reader.traffic;
    let whole = Span {
        text: 0,
        start: before.first().map_or(arrow, |word| word.span.start),
        end: after.last().map_or(arrow + 2, |word| word.span.end),
    };
    if !traffic.is_possible(true) && !traffic.is_possible(false) {
        return Err(error(
            whole,
            "no packet is like this: it holds IPv4 and IPv6",
            "source, destination and protocol are of one family; `icmp` is IPv4, `icmpv6` IPv6",
        ));
    }
    Ok(Read {
        traffic: reader.traffic,
        later_fragment: reader.later_fragment.is_some(),
        hop_limit: reader.hop_limit,
        masked: reader.masked,
        interface: reader.interface,
        whole,
    })
}

/// What may follow the destination.
const KEYS: [&str; 5] = ["via", "vlan", "fragment", "ttl", "hop-limit"];

/// A word of the text and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) span: Span,
}

impl<'t> Word<'t> {
    /// A part of it, from one byte to another.
    fn part(&self, start: usize, end: usize) -> Self {
        Self {
            text: &self.text[start..end],
            span: Span {
                text: 0,
                start: self.span.start + start,
                end: self.span.start + end,
            },
        }
    }

    /// What stands in front of a byte and what behind it.
    pub(super) fn split(&self, at: usize) -> (Self, Self) {
        (self.part(0, at), self.part(at + 1, self.text.len()))
    }
}

fn words(text: &str, start: usize, end: usize) -> Vec<Word<'_>> {
    let within = &text[start..end];
    within
        .split_whitespace()
        .map(|word| {
            // Both lie in the same text.
            let offset = start + (word.as_ptr() as usize - within.as_ptr() as usize);
            Word {
                text: word,
                span: Span {
                    text: 0,
                    start: offset,
                    end: offset + word.len(),
                },
            }
        })
        .collect()
}

struct Reader<'h> {
    host: &'h HostServices,
    purpose: Purpose,
    traffic: Traffic,
    /// Where it is said.
    later_fragment: Option<Span>,
    hop_limit: Option<u8>,
    masked: Vec<(Span, Prefix)>,
    interface: Option<Span>,
}

impl Reader<'_> {
    /// `[PROTOCOL] [SOURCE][:PORT]`
    fn before(&mut self, words: &[Word<'_>]) -> Result<(), TrafficError> {
        let is_endpoint = |word: &Word<'_>| word.text.contains(['.', ':', '[']);
        let (protocol, source) = match words {
            [] => (None, None),
            [only] if is_endpoint(only) => (None, Some(only)),
            [only] => (Some(only), None),
            [protocol, source] => (Some(protocol), Some(source)),
            [_, _, more, ..] => return Err(self.unexpected(more)),
        };
        if let Some(word) = protocol {
            self.traffic.protocol = protocol::read(word)?;
        }
        if let Some(word) = source {
            (self.traffic.source, self.traffic.source_port) = self.endpoint(word)?;
        }
        Ok(())
    }

    /// `[DESTINATION][:PORT] [via INTERFACE] [vlan N]`, in a question also `[fragment] [ttl N]`
    fn after(&mut self, words: &[Word<'_>]) -> Result<(), TrafficError> {
        let mut rest = words;
        if let [destination, others @ ..] = rest
            && !KEYS.contains(&destination.text)
        {
            (self.traffic.destination, self.traffic.destination_port) =
                self.endpoint(destination)?;
            rest = others;
        }
        while let [key, others @ ..] = rest {
            let value = others.first();
            match key.text {
                "via" if self.traffic.interface.is_none() => {
                    let value =
                        value.ok_or_else(|| self.incomplete(key, "the name of an interface"))?;
                    self.traffic.interface = Some(interface(value)?);
                    self.interface = Some(value.span);
                }
                "vlan" if self.traffic.vlan.is_none() => {
                    let value = value.ok_or_else(|| self.incomplete(key, "a VLAN ID or `none`"))?;
                    self.traffic.vlan = Some(self.vlan(value)?);
                }
                "fragment" | "ttl" | "hop-limit" if self.purpose == Purpose::Promise => {
                    return Err(error(
                        key.span,
                        format!("an assertion says nothing of `{}`", key.text),
                        "remove it: whole packets are meant, and every TTL; `portguard explain` knows both",
                    ));
                }
                "fragment" if self.later_fragment.is_none() => {
                    self.later_fragment = Some(key.span);
                    rest = others;
                    continue;
                }
                "ttl" | "hop-limit" if self.hop_limit.is_none() => {
                    let value =
                        value.ok_or_else(|| self.incomplete(key, "a number from 0 to 255"))?;
                    self.hop_limit = Some(hop_limit(value)?);
                }
                key_of_two if KEYS.contains(&key_of_two) => {
                    let message = format!("`{key_of_two}` stands twice");
                    return Err(error(key.span, message, "remove one of the two"));
                }
                _ => return Err(self.unexpected(key)),
            }
            rest = &others[1..];
        }
        Ok(())
    }

    fn unexpected(&self, word: &Word<'_>) -> TrafficError {
        error(
            word.span,
            format!("{} is unexpected here", quoted(word.text)),
            self.purpose.form(),
        )
    }

    fn incomplete(&self, key: &Word<'_>, wanted: &str) -> TrafficError {
        error(
            key.span,
            format!("behind `{}` {wanted} is missing", key.text),
            self.purpose.form(),
        )
    }

    /// A later fragment has no port and no type.
    fn check_fragment(&self) -> Result<(), TrafficError> {
        let Some(span) = self.later_fragment else {
            return Ok(());
        };
        let traffic = &self.traffic;
        let what = match traffic.protocol {
            _ if traffic.source_port.is_some() || traffic.destination_port.is_some() => "port",
            Some(
                TrafficProtocol::Icmp { kind: Some(_), .. }
                | TrafficProtocol::Icmpv6 { kind: Some(_), .. },
            ) => "type",
            _ => return Ok(()),
        };
        Err(error(
            span,
            format!("a later fragment has no {what}: only the first one does"),
            format!("remove `fragment`, or the {what}"),
        ))
    }

    /// An address or prefix, a port behind a `:`, or both. An address of IPv6 with a port is in brackets.
    fn endpoint(&mut self, word: &Word<'_>) -> Result<(Option<Prefix>, Option<u16>), TrafficError> {
        if word.text.starts_with('[') {
            let Some(end) = word.text.find(']') else {
                return Err(error(
                    word.span,
                    format!("{} has a `[` without its `]`", quoted(word.text)),
                    "an address of IPv6 with a port is written `[2001:db8::1]:22`",
                ));
            };
            let prefix = self.prefix(&word.part(1, end))?;
            let rest = word.part(end + 1, word.text.len());
            return match rest.text.strip_prefix(':') {
                Some(_) => Ok((
                    Some(prefix),
                    Some(self.port(&rest.part(1, rest.text.len()))?),
                )),
                None if rest.text.is_empty() => Ok((Some(prefix), None)),
                None => Err(error(
                    rest.span,
                    format!("expected `:` and a port, found {}", quoted(rest.text)),
                    "the length of a prefix is in the brackets: `[2001:db8::/32]:22`",
                )),
            };
        }
        let mut colons = word.text.match_indices(':').map(|(at, _)| at);
        match (colons.next(), colons.next()) {
            (Some(at), None) => {
                let (address, port) = word.split(at);
                let prefix = match address.text {
                    "" => None,
                    _ => Some(self.prefix(&address)?),
                };
                Ok((prefix, Some(self.port(&port)?)))
            }
            _ => Ok((Some(self.prefix(word)?), None)),
        }
    }

    fn prefix(&mut self, word: &Word<'_>) -> Result<Prefix, TrafficError> {
        if word.text == "any" {
            return Err(error(
                word.span,
                "`any` is no address",
                "leave it out: what is not stated may be anything",
            ));
        }
        match prefix::parse(word.text.as_bytes()) {
            Some(Written { prefix, masked }) => {
                if masked {
                    self.masked.push((word.span, prefix));
                }
                Ok(prefix)
            }
            None => {
                let refusal = prefix::refusal(word.text, "an address or a prefix");
                Err(error(word.span, refusal.message, refusal.hint))
            }
        }
    }

    /// A port by number, or by the name of a service of the protocol.
    fn port(&self, word: &Word<'_>) -> Result<u16, TrafficError> {
        let protocol = self.traffic.protocol;
        if let Some(protocol) = protocol.filter(|protocol| !protocol.has_ports()) {
            return Err(error(
                word.span,
                format!("protocol `{protocol}` has no ports"),
                "remove the port, or write `tcp`, `udp` or `sctp`",
            ));
        }
        let is_name = word.text.starts_with(|c: char| c.is_ascii_lowercase());
        if !is_name {
            let port = decimal(word.text).and_then(|port| u16::try_from(port).ok());
            let may_be_0 = self.purpose == Purpose::Question;
            return port.filter(|port| *port > 0 || may_be_0).ok_or_else(|| {
                error(
                    word.span,
                    format!("expected a port, found {}", quoted(word.text)),
                    "a port is a plain decimal number from 1 to 65535, or the name of a service",
                )
            });
        }
        let Some(TrafficProtocol::Transport(transport)) = protocol else {
            return Err(error(
                word.span,
                format!("the name {} needs a protocol", quoted(word.text)),
                format!("write `tcp` or `udp` first: `tcp -> :{}`", word.text),
            ));
        };
        self.named(word, transport)
    }

    fn vlan(&self, word: &Word<'_>) -> Result<u16, TrafficError> {
        if word.text == NO_VLAN {
            return Ok(0);
        }
        // The last ID is reserved, so no policy names it, but a tag can hold it (IEEE 802.1Q).
        let last = match self.purpose {
            Purpose::Promise => LAST_VLAN,
            Purpose::Question => LAST_VLAN + 1,
        };
        let vlan = decimal(word.text).and_then(|vlan| u16::try_from(vlan).ok());
        vlan.filter(|vlan| (1..=last).contains(vlan))
            .ok_or_else(|| {
                error(
                    word.span,
                    format!("expected a VLAN ID or `none`, found {}", quoted(word.text)),
                    format!("write a plain decimal number from 1 to {LAST_VLAN}"),
                )
            })
    }

    fn named(&self, word: &Word<'_>, transport: Transport) -> Result<u16, TrafficError> {
        let ports: Vec<(u16, u16)> = match self.host.find(word.text) {
            Some(ports) => ports
                .iter()
                .filter(|(own, _)| *own == transport)
                .map(|(_, range)| (range.low, range.high))
                .collect(),
            None => services::find(word.text)
                .into_iter()
                .flat_map(|service| &service.ports)
                .filter(|(own, _)| *own == transport)
                .map(|(_, port)| (*port, *port))
                .collect(),
        };
        match ports.as_slice() {
            [(low, high)] if low == high => Ok(*low),
            [] => {
                let near = services::suggestions(word.text, &[transport]);
                let hint = if near.is_empty() {
                    "write the port as a number".to_owned()
                } else {
                    format!("did you mean {}?", one_of(near))
                };
                Err(error(
                    word.span,
                    format!(
                        "no service of `{transport}` is called {}",
                        quoted(word.text)
                    ),
                    hint,
                ))
            }
            _ => Err(error(
                word.span,
                format!("{} stands for several ports", quoted(word.text)),
                "write one of them as a number",
            )),
        }
    }
}

fn interface(word: &Word<'_>) -> Result<String, TrafficError> {
    match InterfacePattern::parse(word.text) {
        Ok(InterfacePattern::Name(name)) => Ok(name),
        Ok(_) => Err(error(
            word.span,
            format!("{} is no name of one interface", quoted(word.text)),
            "a packet arrives at one interface: write its name",
        )),
        Err(reason) => Err(error(
            word.span,
            format!("{} cannot be an interface", quoted(word.text)),
            reason,
        )),
    }
}

fn hop_limit(word: &Word<'_>) -> Result<u8, TrafficError> {
    let number = decimal(word.text).and_then(|number| u8::try_from(number).ok());
    number.ok_or_else(|| {
        error(
            word.span,
            format!(
                "expected a number from 0 to 255, found {}",
                quoted(word.text)
            ),
            "a TTL or hop limit is a plain decimal number",
        )
    })
}

pub(super) fn error(
    span: Span,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> TrafficError {
    TrafficError {
        span,
        message: message.into(),
        hint: hint.into(),
    }
}
