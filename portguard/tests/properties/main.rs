//! What `explain` and `diff` say, over random policies of the whole language.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

mod diff;
mod explain;
#[path = "../../../portguard-policy/tests/generated/mod.rs"]
mod generated;

use std::net::IpAddr;

use portguard_common::packet::{Family, Headers, Transport as Parsed, parse};
use portguard_policy::{Packet, Payload, Policy, Tables, Transport};
use portguard_reference::generate::{self, INTERFACES, Written};

use crate::generated::WrittenFiles;

/// What a generated policy means.
fn read(written: &Written) -> Policy {
    match portguard_policy::check(&written.text, &mut WrittenFiles(written)) {
        Ok(checked) => checked.policy,
        Err(problems) => panic!("refused:\n{}\n{problems:#?}", written.text),
    }
}

/// The tables of a policy for the interfaces of the generator's host.
fn compiled(policy: &Policy) -> Tables {
    portguard_policy::compile(policy, &INTERFACES).expect("fits")
}

/// The packet that a frame carries, if it is one of IP that can be read.
fn packet(arrival: &generate::Arrival) -> Option<Packet> {
    let frame = arrival.frame.as_slice();
    let headers = parse(&frame).ok()?;
    let at = headers.network_offset as usize;
    let (source, destination) = match headers.family {
        Family::V4 => (v4(frame, at + 12), v4(frame, at + 16)),
        Family::V6 => (v6(frame, at + 8), v6(frame, at + 24)),
    };
    Some(Packet {
        source,
        destination,
        payload: payload(&headers),
        hop_limit: headers.hop_limit,
        interface: Some(arrival.interface.clone()),
        vlan: headers.vlan,
    })
}

fn payload(headers: &Headers) -> Payload {
    match (headers.transport(), headers.protocol) {
        (_, protocol) if headers.later_fragment => Payload::LaterFragment(protocol),
        (Parsed::Ports { src, dst }, protocol) => Payload::Ports {
            transport: Transport::from_number(protocol).expect("a protocol with ports"),
            source: src,
            destination: dst,
        },
        (Parsed::Icmp { kind, code }, _) => Payload::Icmp { kind, code },
        (Parsed::Portless, protocol) => Payload::Portless(protocol),
    }
}

fn v4(frame: &[u8], at: usize) -> IpAddr {
    let bytes: [u8; 4] = frame[at..at + 4].try_into().expect("four bytes");
    bytes.into()
}

fn v6(frame: &[u8], at: usize) -> IpAddr {
    let bytes: [u8; 16] = frame[at..at + 16].try_into().expect("sixteen bytes");
    bytes.into()
}
