//! Frames without a fault, of which every field is known: what hosts that talk to each other send.

use std::net::IpAddr;

use crate::frame::{ICMP, ICMPV6, TCP};
use crate::random::Random;

const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// A packet in parts.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) vlan: Option<u16>,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// From the header of that protocol on.
    pub(super) payload: Vec<u8>,
    /// Offset in units of 8 bytes, and whether more fragments follow.
    pub(super) fragment: Option<(u16, bool)>,
    /// Options of IPv4, or an extension header of IPv6.
    pub(super) options: bool,
}

impl Draft {
    pub(super) fn frame(&self, random: &mut Random) -> Vec<u8> {
        let mut frame = random.bytes(12);
        // Hosts talk to one, mostly.
        if !random.one_in(8) {
            frame[0] &= 0xfe;
        }
        if let Some(id) = self.vlan {
            frame.extend(random.pick(&[0x8100_u16, 0x88a8]).to_be_bytes());
            frame.extend(id.to_be_bytes());
        }
        let ether_type: u16 = if self.source.is_ipv6() {
            0x86dd
        } else {
            0x0800
        };
        frame.extend(ether_type.to_be_bytes());
        frame.extend(self.packet());
        if frame.len() < 60 && random.one_in(2) {
            frame.resize(60, 0);
        }
        frame
    }

    /// From its IP header on.
    pub(super) fn packet(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4(source.octets(), destination.octets())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6(source.octets(), destination.octets())
            }
            // Nobody writes those.
            _ => Vec::new(),
        }
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let words = if self.options { 7 } else { 5 };
        let length = usize::from(words) * 4 + self.payload.len();
        let (offset, more) = self.fragment.unwrap_or((0, false));
        let mut bytes = vec![0x40 | words, 0];
        bytes.extend(low_word(length).to_be_bytes());
        bytes.extend([0x12, 0x34]);
        bytes.extend((offset | if more { 0x2000 } else { 0 }).to_be_bytes());
        bytes.extend([64, self.protocol, 0, 0]);
        bytes.extend(source);
        bytes.extend(destination);
        // No operation, to the end.
        bytes.resize(usize::from(words) * 4, 1);
        bytes.extend(&self.payload);
        bytes
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let mut next = self.protocol;
        let mut payload = self.payload.clone();
        if let Some((offset, more)) = self.fragment {
            let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
            payload.splice(..0, [next, 0, high, low, 0, 0, 0, 1]);
            next = FRAGMENT;
        }
        if self.options {
            payload.splice(..0, [next, 0, 1, 4, 0, 0, 0, 0]);
            next = DESTINATION_OPTIONS;
        }
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(low_word(payload.len()).to_be_bytes());
        bytes.extend([next, 64]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(payload);
        bytes
    }
}

fn low_word(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// A TCP segment or a datagram, with so much data.
pub(super) fn segment(protocol: u8, ports: (u16, u16), flags: u8, data: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    if protocol == TCP {
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x04, 0, 0, 0, 0, 0]);
    } else {
        bytes.extend(low_word(8 + data).to_be_bytes());
        bytes.extend([0, 0]);
    }
    bytes.resize(bytes.len() + data, 0x5a);
    bytes
}

/// A message of ICMP or ICMPv6; behind the first 4 bytes these.
pub(super) fn message(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(rest);
    bytes
}

/// Number of the family's own ICMP.
pub(super) fn icmp(is_ipv6: bool) -> u8 {
    if is_ipv6 { ICMPV6 } else { ICMP }
}
