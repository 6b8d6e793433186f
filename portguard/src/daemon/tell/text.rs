//! A record of the kernel, told in the words of the policy.

use std::fmt::Write as _;
use std::path::Path;

use portguard_common::abi::EventHeader;
use portguard_policy::{Outcome, Policy, protocol_name};

use crate::control::{Event, EventAction};
use crate::observe::frame::contents;
use crate::policy_file;

/// What is to be known beside the record.
pub(super) struct About<'p> {
    /// What decided; `None` if that counts nothing that decides.
    pub(super) outcome: Option<Outcome>,
    /// The policy that decided.
    pub(super) policy: &'p Policy,
    /// Where it is from.
    pub(super) path: &'p Path,
    /// Its number.
    pub(super) number: u64,
    /// The interface on which the frame arrived.
    pub(super) interface: String,
    /// When, in seconds since 1970.
    pub(super) unix_time: f64,
}

/// An event, without the frame's bytes.
pub(super) fn event(header: &EventHeader, bytes: &[u8], about: About<'_>) -> Event {
    let outcome = match about.outcome {
        Some(outcome) => outcome.name(),
        None => format!("counter:{}", header.counter),
    };
    let rule = about
        .outcome
        .and_then(Outcome::rule)
        .and_then(|rule| about.policy.rules.get(rule));
    let contents = contents(bytes);
    Event {
        unix_time: about.unix_time,
        interface: about.interface,
        action: if header.has(EventHeader::REJECTED) {
            EventAction::Reject
        } else {
            EventAction::Drop
        },
        enforced: !header.has(EventHeader::NOT_ENFORCED),
        outcome,
        rule: rule.map(|rule| rule.name.clone()),
        line: rule.map(|rule| rule.place.line),
        policy: match rule {
            Some(rule) => policy_file::path_of(about.path, &rule.place),
            None => about.path.into(),
        },
        generation: about.number,
        length: header.frame_len,
        vlan: contents.vlan,
        ether_type: contents.ether_type,
        protocol: contents
            .protocol
            .map(|number| protocol_name(number).map_or_else(|| number.to_string(), str::to_owned)),
        source: contents.source,
        source_port: contents.source_port,
        destination: contents.destination,
        destination_port: contents.destination_port,
        icmp_type: contents.icmp.map(|(kind, _)| kind),
        icmp_code: contents.icmp.map(|(_, code)| code),
        later_fragment: contents.later_fragment,
        bytes: None,
    }
}

/// Bytes in hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // A text takes everything.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}
