//! IP headers.

use super::Segment;

/// An IP packet and how the layer below announces it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) ether_type: u16,
    pub(crate) ppp_protocol: u16,
    pub(crate) bytes: Vec<u8>,
}

/// An IPv4 packet; whatever is not said is right.
#[derive(Clone, Debug)]
pub(crate) struct Ipv4 {
    segment: Segment,
    options: Vec<u8>,
    ttl: u8,
    fragmentation: u16,
    first_byte: Option<u8>,
    total_len: Option<u16>,
}

impl Ipv4 {
    pub(crate) fn carrying(segment: Segment) -> Self {
        Self {
            segment,
            options: Vec::new(),
            ttl: 64,
            fragmentation: 0,
            first_byte: None,
            total_len: None,
        }
    }

    /// Options; a multiple of 4 bytes, 40 at most.
    pub(crate) fn options(mut self, options: &[u8]) -> Self {
        assert!(options.len() <= 40 && options.len().is_multiple_of(4));
        self.options = options.to_vec();
        self
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// A fragment at `units` of 8 bytes, with or without more to come.
    pub(crate) fn fragment(mut self, units: u16, more: bool) -> Self {
        const MORE_FRAGMENTS: u16 = 0x2000;
        self.fragmentation = units | if more { MORE_FRAGMENTS } else { 0 };
        self
    }

    /// The whole field of flags and offset.
    pub(crate) fn fragmentation(mut self, field: u16) -> Self {
        self.fragmentation = field;
        self
    }

    /// Version and header length as they stand in the first byte.
    pub(crate) fn first_byte(mut self, byte: u8) -> Self {
        self.first_byte = Some(byte);
        self
    }

    pub(crate) fn total_len(mut self, total_len: u16) -> Self {
        self.total_len = Some(total_len);
        self
    }
}

impl From<Ipv4> for Packet {
    fn from(ip: Ipv4) -> Self {
        let header_len = 20 + ip.options.len();
        let whole = header_len + ip.segment.bytes.len();
        let total_len = ip.total_len.unwrap_or_else(|| {
            u16::try_from(whole).expect("an IPv4 packet of at most 65,535 bytes")
        });
        let words = u8::try_from(header_len / 4).expect("at most 15 words");

        let mut bytes = vec![ip.first_byte.unwrap_or(0x40 | words), 0];
        bytes.extend(total_len.to_be_bytes());
        bytes.extend([0x12, 0x34]);
        bytes.extend(ip.fragmentation.to_be_bytes());
        bytes.extend([ip.ttl, ip.segment.protocol, 0, 0]);
        bytes.extend([198, 51, 100, 9, 192, 0, 2, 1]);
        bytes.extend(ip.options);
        bytes.extend(ip.segment.bytes);
        Self {
            ether_type: 0x0800,
            ppp_protocol: 0x0021,
            bytes,
        }
    }
}

/// An IPv6 packet; whatever is not said is right.
#[derive(Clone, Debug)]
pub(crate) struct Ipv6 {
    segment: Segment,
    hop_limit: u8,
    first_byte: u8,
    payload_len: Option<u16>,
}

impl Ipv6 {
    pub(crate) fn carrying(segment: Segment) -> Self {
        Self {
            segment,
            hop_limit: 64,
            first_byte: 0x60,
            payload_len: None,
        }
    }

    pub(crate) fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// Version and the upper half of the traffic class.
    pub(crate) fn first_byte(mut self, byte: u8) -> Self {
        self.first_byte = byte;
        self
    }

    pub(crate) fn payload_len(mut self, payload_len: u16) -> Self {
        self.payload_len = Some(payload_len);
        self
    }
}

impl From<Ipv6> for Packet {
    fn from(ip: Ipv6) -> Self {
        let payload_len = ip.payload_len.unwrap_or_else(|| {
            u16::try_from(ip.segment.bytes.len()).expect("an IPv6 payload of at most 65,535 bytes")
        });
        let mut bytes = vec![ip.first_byte, 0, 0, 0];
        bytes.extend(payload_len.to_be_bytes());
        bytes.extend([ip.segment.protocol, ip.hop_limit]);
        bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
        bytes.extend([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend(ip.segment.bytes);
        Self {
            ether_type: 0x86dd,
            ppp_protocol: 0x0057,
            bytes,
        }
    }
}
