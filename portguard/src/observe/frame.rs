//! What is in the first bytes of a frame.

use std::net::IpAddr;

use portguard_common::packet::{Family, Transport, parse};

/// EtherTypes (IEEE 802).
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// What can be told of a frame; what cannot is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The first VLAN ID that is not 0.
    pub vlan: Option<u16>,
    /// What the frame carries, behind its tags.
    pub ether_type: Option<u16>,
    /// Source address.
    pub source: Option<IpAddr>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// IP protocol, behind all extension headers.
    pub protocol: Option<u8>,
    /// Source port of TCP, UDP or SCTP.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Type and code of ICMP or ICMPv6.
    pub icmp: Option<(u8, u8)>,
    /// A fragment other than the first.
    pub later_fragment: bool,
}

/// Reads the bytes of a frame from its Ethernet header on. They may end anywhere, and need not make sense: what is malformed
/// is told as far as it goes.
#[must_use]
pub fn contents(bytes: &[u8]) -> Contents {
    let mut contents = outline(bytes);
    let Ok(headers) = parse(&bytes) else {
        return contents;
    };
    let is_v6 = headers.family == Family::V6;
    let (source, destination) = addresses(bytes, headers.network_offset as usize, is_v6);
    contents.source = source;
    contents.destination = destination;
    contents.protocol = Some(headers.protocol);
    contents.later_fragment = headers.later_fragment;
    match headers.transport() {
        Transport::Ports { src, dst } => {
            contents.source_port = Some(src);
            contents.destination_port = Some(dst);
        }
        Transport::Icmp { kind, code } => contents.icmp = Some((kind, code)),
        Transport::Portless => {}
    }
    contents
}

/// What can be told without the packet being in order.
fn outline(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut offset = 12;
    while let Some(ether_type) = half(bytes, offset) {
        offset += 2;
        if TAGS.contains(&ether_type) {
            let id = half(bytes, offset).map(|tag| tag & 0x0fff);
            contents.vlan = contents.vlan.or(id.filter(|id| *id != 0));
            offset += 2;
            continue;
        }
        contents.ether_type = Some(ether_type);
        let is_v6 = match ether_type {
            IPV4 => false,
            IPV6 => true,
            _ => break,
        };
        (contents.source, contents.destination) = addresses(bytes, offset, is_v6);
        let protocol = offset + if is_v6 { 6 } else { 9 };
        contents.protocol = bytes.get(protocol).copied();
        break;
    }
    contents
}

fn addresses(bytes: &[u8], network: usize, is_v6: bool) -> (Option<IpAddr>, Option<IpAddr>) {
    if is_v6 {
        let at = |offset: usize| array::<16>(bytes, network + offset).map(IpAddr::from);
        (at(8), at(24))
    } else {
        let at = |offset: usize| array::<4>(bytes, network + offset).map(IpAddr::from);
        (at(12), at(16))
    }
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_be_bytes)
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An Ethernet header with this type and these tags.
    fn ethernet(tags: &[[u8; 4]], ether_type: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 12];
        for tag in tags {
            bytes.extend_from_slice(tag);
        }
        bytes.extend_from_slice(&ether_type.to_be_bytes());
        bytes.extend_from_slice(rest);
        bytes
    }

    /// IPv4 from 192.0.2.1 to 198.51.100.2.
    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(20 + payload.len()).unwrap();
        let mut bytes = vec![0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0];
        bytes.extend_from_slice(&[192, 0, 2, 1, 198, 51, 100, 2]);
        bytes.extend_from_slice(payload);
        bytes
    }

    const UDP: [u8; 8] = [0x9c, 0x40, 0, 53, 0, 8, 0, 0];

    #[test]
    fn addresses_ports_and_tags_are_read() {
        let tags = [[0x88, 0xa8, 0, 0], [0x81, 0, 0x20, 7]];
        let found = contents(&ethernet(&tags, IPV4, &ipv4(17, &UDP)));
        let expected = Contents {
            vlan: Some(7),
            ether_type: Some(IPV4),
            source: Some([192, 0, 2, 1].into()),
            destination: Some([198, 51, 100, 2].into()),
            protocol: Some(17),
            source_port: Some(40_000),
            destination_port: Some(53),
            icmp: None,
            later_fragment: false,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn ipv6_is_read_behind_its_extension_headers() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
        packet.extend_from_slice(
            &"2001:db8::1"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets(),
        );
        packet.extend_from_slice(
            &"2001:db8::2"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets(),
        );
        // Hop-by-hop options, then an echo request.
        packet.extend_from_slice(&[58, 0, 1, 4, 0, 0, 0, 0, 128, 0, 0, 0, 0, 1, 0, 1]);
        let found = contents(&ethernet(&[], IPV6, &packet));
        assert_eq!(found.source, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(found.destination, Some("2001:db8::2".parse().unwrap()));
        assert_eq!((found.protocol, found.icmp), (Some(58), Some((128, 0))));
        assert_eq!(found.source_port, None);
        // Cut off within the options: the addresses are known all the same.
        let found = contents(&ethernet(&[], IPV6, &packet[..44]));
        assert_eq!(found.source, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(found.icmp, None);
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut packet = ipv4(17, &UDP);
        packet[7] = 5;
        let found = contents(&ethernet(&[], IPV4, &packet));
        assert!(found.later_fragment);
        assert_eq!((found.protocol, found.destination_port), (Some(17), None));
    }

    #[test]
    fn what_is_malformed_is_told_as_far_as_it_goes() {
        // UDP of four bytes.
        let found = contents(&ethernet(&[], IPV4, &ipv4(17, &UDP[..4])));
        assert_eq!(found.source, Some([192, 0, 2, 1].into()));
        assert_eq!((found.protocol, found.destination_port), (Some(17), None));
        let arp = contents(&ethernet(&[], 0x0806, &[0; 28]));
        assert_eq!((arp.ether_type, arp.source), (Some(0x0806), None));
        assert_eq!(contents(&[]), Contents::default());
    }

    #[test]
    fn every_way_to_cut_a_frame_off_is_read() {
        let frame = ethernet(&[[0x81, 0, 0, 1]; 5], IPV4, &ipv4(6, &[0; 20]));
        for length in 0..frame.len() {
            let found = contents(&frame[..length]);
            assert_eq!(
                found.destination.is_some(),
                length >= 12 + 20 + 2 + 20,
                "{length}"
            );
        }
    }
}
