//! Ethernet, VLAN tags and PPPoE around a packet.

use super::{Ipv4, Ipv6, Packet, Segment};

/// EtherTypes of VLAN tags.
pub(crate) const CUSTOMER_TAG: u16 = 0x8100;
pub(crate) const SERVICE_TAG: u16 = 0x88a8;
pub(crate) const OLD_SERVICE_TAG: u16 = 0x9100;

const PPPOE_SESSION: u16 = 0x8864;

/// What stands between the Ethernet addresses and the packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    tags: Vec<(u16, u16)>,
    pppoe: Pppoe,
}

#[derive(Clone, Copy, Debug, Default)]
enum Pppoe {
    #[default]
    None,
    /// With a protocol field of 2 bytes.
    Plain,
    /// With one byte (RFC 1661, 6.5).
    Compressed,
}

impl Link {
    /// Without tags, straight on Ethernet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an inner tag: its EtherType and the field of priority and VLAN ID.
    pub(crate) fn tag(mut self, ether_type: u16, control: u16) -> Self {
        self.tags.push((ether_type, control));
        self
    }

    pub(crate) fn pppoe(mut self) -> Self {
        self.pppoe = Pppoe::Plain;
        self
    }

    pub(crate) fn compressed_pppoe(mut self) -> Self {
        self.pppoe = Pppoe::Compressed;
        self
    }

    /// The frame that carries a packet.
    pub(crate) fn carry(&self, packet: impl Into<Packet>) -> Vec<u8> {
        let packet = packet.into();
        self.carry_raw(packet.ether_type, packet.ppp_protocol, &packet.bytes)
    }

    /// The frame that carries any bytes, announced by `ppp_protocol` in PPPoE, else by `ether_type`.
    pub(crate) fn carry_raw(&self, ether_type: u16, ppp_protocol: u16, bytes: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for (tag_type, control) in &self.tags {
            frame.extend(tag_type.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        let protocol = match self.pppoe {
            Pppoe::None => {
                frame.extend(ether_type.to_be_bytes());
                frame.extend(bytes);
                return frame;
            }
            Pppoe::Plain => ppp_protocol.to_be_bytes().to_vec(),
            Pppoe::Compressed => {
                vec![u8::try_from(ppp_protocol).expect("a protocol below 256 is compressible")]
            }
        };
        frame.extend(PPPOE_SESSION.to_be_bytes());
        let length = u16::try_from(protocol.len() + bytes.len()).unwrap_or(u16::MAX);
        // Version and type 1, session data, session 7.
        frame.extend([0x11, 0, 0, 7]);
        frame.extend(length.to_be_bytes());
        frame.extend(protocol);
        frame.extend(bytes);
        frame
    }
}

/// The untagged frame of a packet.
pub(crate) fn ethernet(packet: impl Into<Packet>) -> Vec<u8> {
    Link::new().carry(packet)
}

/// An untagged frame of any EtherType.
pub(crate) fn raw_ethernet(ether_type: u16, bytes: &[u8]) -> Vec<u8> {
    Link::new().carry_raw(ether_type, 0, bytes)
}

/// The untagged frame of a segment in plain IPv4.
pub(crate) fn ipv4(segment: Segment) -> Vec<u8> {
    ethernet(Ipv4::carrying(segment))
}

/// The untagged frame of a segment in plain IPv6.
pub(crate) fn ipv6(segment: Segment) -> Vec<u8> {
    ethernet(Ipv6::carrying(segment))
}
