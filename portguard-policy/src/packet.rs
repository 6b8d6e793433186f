//! One packet: the example that stands for many, and the frame that carries it.

use std::fmt;
use std::net::IpAddr;

use crate::policy::Transport;
use crate::protocols::{WALKED_IN_IPV6, protocol_name};

/// A packet, by all that a policy can tell packets apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the family of `source`.
    pub destination: IpAddr,
    /// What follows the IP header.
    pub payload: Payload,
    /// IPv4 TTL or IPv6 hop limit.
    pub hop_limit: u8,
    /// The interface at which it arrives; `None` if that makes no difference.
    pub interface: Option<String>,
    /// VLAN ID, or 0 for none.
    pub vlan: u16,
}

/// What follows the IP header of a [`Packet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Payload {
    /// A protocol that has ports; of TCP a new connection (SYN).
    Ports {
        /// The protocol.
        transport: Transport,
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp {
        /// The message's type.
        kind: u8,
        /// The message's code.
        code: u8,
    },
    /// Another protocol, by its number.
    Portless(u8),
    /// A fragment other than the first, of this protocol.
    LaterFragment(u8),
}

/// TTL and hop limit of a packet of which they do not matter.
pub(crate) const USUAL_HOP_LIMIT: u8 = 64;

/// TTL or hop limit as a packet has it mostly: messages of the link itself come with the one that proves that no router
/// forwarded them.
pub(crate) fn usual_hop_limit(payload: Payload, ipv4: bool) -> u8 {
    match payload {
        Payload::Icmp { kind, .. } => proof(!ipv4, kind).unwrap_or(USUAL_HOP_LIMIT),
        Payload::Portless(IGMP) | Payload::LaterFragment(IGMP) if ipv4 => 1,
        _ => USUAL_HOP_LIMIT,
    }
}

/// The hop limit without which an essential message of ICMP or ICMPv6 is an ordinary one.
pub(crate) fn proof(v6: bool, kind: u8) -> Option<u8> {
    match kind {
        _ if !v6 => None,
        130..=132 | 143 => Some(1),
        133..=137 => Some(255),
        _ => None,
    }
}

/// Control bits of TCP (RFC 9293).
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const ICMPV6: u8 = 58;
const FRAGMENT: u8 = 44;

impl Packet {
    /// The number of its IP protocol.
    pub fn protocol(&self) -> u8 {
        match self.payload {
            Payload::Ports { transport, .. } => transport.number(),
            Payload::Icmp { .. } if self.source.is_ipv4() => ICMP,
            Payload::Icmp { .. } => ICMPV6,
            Payload::Portless(protocol) | Payload::LaterFragment(protocol) => protocol,
        }
    }

    /// Whether there are such packets: in IPv6 some protocols are extension headers, which are walked.
    pub fn is_possible(&self) -> bool {
        let walked = self.source.is_ipv6() && WALKED_IN_IPV6.contains(&self.protocol());
        !walked || matches!(self.payload, Payload::LaterFragment(_))
    }

    /// An Ethernet frame that carries it. Its checksums are 0: a filter does not look at them.
    pub fn frame(&self) -> Vec<u8> {
        self.frame_with(SYN)
    }

    /// The same, but of TCP a packet of a connection that is open.
    pub fn frame_of_open_connection(&self) -> Vec<u8> {
        self.frame_with(ACK)
    }

    fn frame_with(&self, tcp_flags: u8) -> Vec<u8> {
        let mut frame = vec![
            0x02, 0, 0, 0, 0, 2, // destination: a local address (IEEE 802)
            0x02, 0, 0, 0, 0, 1, // source
        ];
        if self.vlan != 0 {
            frame.extend([0x81, 0x00]);
            frame.extend(self.vlan.to_be_bytes());
        }
        let payload = self.payload(tcp_flags);
        let is_fragment = matches!(self.payload, Payload::LaterFragment(_));
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let length = 20 + payload.len() as u16;
                let offset = if is_fragment { FRAGMENT_UNITS } else { 0 };
                frame.extend([0x08, 0x00, 0x45, 0]);
                frame.extend(length.to_be_bytes());
                frame.extend([0, 0]);
                frame.extend(offset.to_be_bytes());
                frame.extend([self.hop_limit, self.protocol(), 0, 0]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            _ => {
                let octets = |address: IpAddr| match address {
                    IpAddr::V6(address) => address.octets(),
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                };
                let extension: u16 = if is_fragment { 8 } else { 0 };
                let next = if is_fragment {
                    FRAGMENT
                } else {
                    self.protocol()
                };
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((extension + payload.len() as u16).to_be_bytes());
                frame.extend([next, self.hop_limit]);
                frame.extend(octets(self.source));
                frame.extend(octets(self.destination));
                if is_fragment {
                    frame.extend([self.protocol(), 0]);
                    frame.extend((FRAGMENT_UNITS << 3).to_be_bytes());
                    frame.extend([0; 4]);
                }
            }
        }
        frame.extend(payload);
        frame
    }

    fn payload(&self, tcp_flags: u8) -> Vec<u8> {
        match self.payload {
            Payload::Ports {
                transport,
                source,
                destination,
            } => {
                let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
                match transport {
                    // A data offset of 20 bytes, a window.
                    Transport::Tcp => {
                        bytes.extend([0, 0, 0, 1, 0, 0, 0, 0]);
                        bytes.extend([0x50, tcp_flags, 0xff, 0xff, 0, 0, 0, 0]);
                    }
                    // A length of 8 bytes (RFC 768).
                    Transport::Udp => bytes.extend([0, 8, 0, 0]),
                    Transport::Sctp => bytes.extend([0; 8]),
                }
                bytes
            }
            Payload::Icmp { kind, code } => vec![kind, code, 0, 0, 0, 0, 0, 0],
            Payload::Portless(_) | Payload::LaterFragment(_) => vec![0; 8],
        }
    }
}

/// Where a later fragment continues, in units of 8 bytes: behind 1,480 bytes, as on Ethernet.
const FRAGMENT_UNITS: u16 = 185;

/// In the language of [`crate::Description`], which reads it as this very packet.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ports = None;
        match self.payload {
            Payload::Ports {
                transport,
                source,
                destination,
            } => {
                ports = Some((source, destination));
                transport.fmt(f)?;
            }
            Payload::Icmp { kind, code } if self.source.is_ipv4() => {
                write!(f, "icmp/{kind}/{code}")?;
            }
            Payload::Icmp { kind, code } => write!(f, "icmpv6/{kind}/{code}")?,
            Payload::Portless(protocol) | Payload::LaterFragment(protocol) => {
                match protocol_name(protocol) {
                    Some(name) if !matches!(protocol, ICMP | ICMPV6) => f.write_str(name)?,
                    _ => write!(f, "{protocol}")?,
                }
            }
        }
        let endpoint = |address: IpAddr, port: Option<u16>| match (address, port) {
            (address, None) => address.to_string(),
            (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
            (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
        };
        let source = endpoint(self.source, ports.map(|(source, _)| source));
        let destination = endpoint(self.destination, ports.map(|(_, destination)| destination));
        write!(f, " {source} -> {destination}")?;
        if let Some(interface) = &self.interface {
            write!(f, " via {interface}")?;
        }
        if self.vlan != 0 {
            write!(f, " vlan {}", self.vlan)?;
        }
        if matches!(self.payload, Payload::LaterFragment(_)) {
            f.write_str(" fragment")?;
        }
        let usual = usual_hop_limit(self.payload, self.source.is_ipv4());
        if (self.hop_limit, usual) != (USUAL_HOP_LIMIT, USUAL_HOP_LIMIT) {
            let name = if self.source.is_ipv4() {
                "ttl"
            } else {
                "hop-limit"
            };
            write!(f, " {name} {}", self.hop_limit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use portguard_common::packet::{self, Family, parse};

    use super::*;

    fn packet(source: &str, destination: &str, payload: Payload) -> Packet {
        Packet {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            payload,
            hop_limit: USUAL_HOP_LIMIT,
            interface: None,
            vlan: 0,
        }
    }

    #[test]
    fn a_frame_carries_what_the_packet_says() {
        let ports = |transport| Payload::Ports {
            transport,
            source: 5555,
            destination: 22,
        };
        let payloads = [
            (ports(Transport::Tcp), 6),
            (ports(Transport::Udp), 17),
            (ports(Transport::Sctp), 132),
            (Payload::Portless(47), 47),
            (Payload::LaterFragment(6), 6),
        ];
        for (source, destination, family) in [
            ("203.0.113.7", "192.0.2.1", Family::V4),
            ("2001:db8::7", "2001:db8::1", Family::V6),
        ] {
            let icmp = Payload::Icmp { kind: 8, code: 1 };
            let number = if family == Family::V4 { 1 } else { 58 };
            for (payload, protocol) in payloads.into_iter().chain([(icmp, number)]) {
                let mut own = packet(source, destination, payload);
                own.vlan = 10;
                let headers = parse(&own.frame().as_slice()).expect("well-formed");
                assert_eq!(headers.family, family);
                assert_eq!((headers.vlan, headers.protocol), (10, protocol), "{own}");
                assert_eq!(headers.hop_limit, 64);
                assert_eq!(
                    headers.later_fragment,
                    matches!(payload, Payload::LaterFragment(_))
                );
                let expected = match payload {
                    Payload::Ports { .. } => packet::Transport::Ports { src: 5555, dst: 22 },
                    Payload::Icmp { kind, code } => packet::Transport::Icmp { kind, code },
                    _ => packet::Transport::Portless,
                };
                assert_eq!(headers.transport(), expected, "{own}");
            }
        }
    }

    #[test]
    fn an_open_connection_is_no_new_one() {
        let ports = Payload::Ports {
            transport: Transport::Tcp,
            source: 5555,
            destination: 22,
        };
        let own = packet("203.0.113.7", "192.0.2.1", ports);
        let mut frame = own.frame();
        // Behind Ethernet, IPv4 and 13 bytes of TCP; SYN is 2, ACK is 16.
        assert_eq!(std::mem::replace(&mut frame[14 + 20 + 13], 16), 2);
        assert_eq!(own.frame_of_open_connection(), frame);
    }

    #[test]
    fn it_is_written_like_an_assertion() {
        let ports = Payload::Ports {
            transport: Transport::Tcp,
            source: 5555,
            destination: 22,
        };
        let mut one = packet("203.0.113.7", "192.0.2.1", ports);
        assert_eq!(one.to_string(), "tcp 203.0.113.7:5555 -> 192.0.2.1:22");
        one.interface = Some("eth0".to_owned());
        one.vlan = 10;
        let text = "tcp 203.0.113.7:5555 -> 192.0.2.1:22 via eth0 vlan 10";
        assert_eq!(one.to_string(), text);
        crate::Traffic::parse(text).expect("an assertion");
        let mut six = packet("::1", "::2", ports);
        assert_eq!(six.to_string(), "tcp [::1]:5555 -> [::2]:22");
        six.payload = Payload::Icmp { kind: 135, code: 0 };
        six.hop_limit = 255;
        assert_eq!(six.to_string(), "icmpv6/135/0 ::1 -> ::2 hop-limit 255");
        six.payload = Payload::Icmp { kind: 135, code: 0 };
        six.hop_limit = USUAL_HOP_LIMIT;
        assert_eq!(six.to_string(), "icmpv6/135/0 ::1 -> ::2 hop-limit 64");
        six.payload = Payload::LaterFragment(58);
        six.hop_limit = USUAL_HOP_LIMIT;
        assert_eq!(six.to_string(), "58 ::1 -> ::2 fragment");
    }

    #[test]
    fn extension_headers_are_no_protocol_of_ipv6() {
        assert!(packet("192.0.2.1", "192.0.2.2", Payload::Portless(51)).is_possible());
        assert!(!packet("::1", "::2", Payload::Portless(51)).is_possible());
        assert!(packet("::1", "::2", Payload::LaterFragment(51)).is_possible());
    }
}
