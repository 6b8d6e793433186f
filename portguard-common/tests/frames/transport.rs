//! What an IP header carries: transport headers, and the extension headers before them.

/// IP protocol numbers (IANA).
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
pub(crate) const IGMP: u8 = 2;
pub(crate) const IPIP: u8 = 4;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const GRE: u8 = 47;
pub(crate) const ESP: u8 = 50;
pub(crate) const AH: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const NO_NEXT_HEADER: u8 = 59;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;
pub(crate) const SCTP: u8 = 132;
pub(crate) const MOBILITY: u8 = 135;
pub(crate) const HIP: u8 = 139;
pub(crate) const SHIM6: u8 = 140;

/// A protocol number and the bytes that it announces.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) protocol: u8,
    pub(crate) bytes: Vec<u8>,
}

/// An IPv6 extension header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extension {
    /// A header of `(len + 1) * 8` bytes, by its protocol and length field.
    Octets(u8, u8),
    /// An authentication header of `(len + 2) * 4` bytes, by its length field.
    Ah(u8),
    /// A fragment header: offset in units of 8 bytes, more fragments.
    Fragment(u16, bool),
}

impl Segment {
    /// The same behind an extension header.
    pub(crate) fn behind(self, extension: Extension) -> Self {
        let (protocol, mut bytes) = match extension {
            Extension::Octets(protocol, len) => {
                let mut bytes = vec![0; (usize::from(len) + 1) * 8];
                bytes[1] = len;
                // A padding option (RFC 8200, 4.2) over the first 6 bytes, then single ones.
                bytes[2] = 1;
                bytes[3] = 4;
                (protocol, bytes)
            }
            Extension::Ah(len) => {
                let mut bytes = vec![0x5a; (usize::from(len) + 2) * 4];
                bytes[1] = len;
                (AH, bytes)
            }
            Extension::Fragment(units, more) => {
                let field = (units << 3 | u16::from(more)).to_be_bytes();
                let bytes = vec![0, 0, field[0], field[1], 0xde, 0xad, 0xbe, 0xef];
                (FRAGMENT, bytes)
            }
        };
        bytes[0] = self.protocol;
        bytes.extend(self.bytes);
        Self { protocol, bytes }
    }

    /// The same behind several, the first of them outermost.
    pub(crate) fn behind_all(self, extensions: &[Extension]) -> Self {
        extensions
            .iter()
            .rev()
            .fold(self, |inner, extension| inner.behind(*extension))
    }
}

/// A TCP SYN without options.
pub(crate) fn tcp(src_port: u16, dst_port: u16) -> Segment {
    tcp_with(src_port, dst_port, 5)
}

/// A TCP SYN with a data offset field of `words` (of 4 bytes); the header has 20 bytes all the same.
pub(crate) fn tcp_with(src_port: u16, dst_port: u16, words: u8) -> Segment {
    const SYN: u8 = 2;
    let mut bytes = ports(src_port, dst_port);
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    bytes.extend([words << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    Segment {
        protocol: TCP,
        bytes,
    }
}

/// A UDP datagram.
pub(crate) fn udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Segment {
    let length = u16::try_from(8 + payload.len()).unwrap_or(0xffff);
    udp_with(src_port, dst_port, length, payload)
}

/// A UDP datagram with any length field.
pub(crate) fn udp_with(src_port: u16, dst_port: u16, length: u16, payload: &[u8]) -> Segment {
    let mut bytes = ports(src_port, dst_port);
    bytes.extend(length.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    Segment {
        protocol: UDP,
        bytes,
    }
}

/// An SCTP common header.
pub(crate) fn sctp(src_port: u16, dst_port: u16) -> Segment {
    let mut bytes = ports(src_port, dst_port);
    bytes.extend([0, 0, 0, 0, 1, 2, 3, 4]);
    Segment {
        protocol: SCTP,
        bytes,
    }
}

/// An ICMP message.
pub(crate) fn icmp(kind: u8, code: u8) -> Segment {
    portless(ICMP, &[kind, code, 0, 0, 0, 1, 0, 1])
}

/// An ICMPv6 message.
pub(crate) fn icmpv6(kind: u8, code: u8) -> Segment {
    portless(ICMPV6, &[kind, code, 0, 0, 0, 1, 0, 1])
}

/// Any protocol with any bytes.
pub(crate) fn portless(protocol: u8, bytes: &[u8]) -> Segment {
    Segment {
        protocol,
        bytes: bytes.to_vec(),
    }
}

fn ports(src_port: u16, dst_port: u16) -> Vec<u8> {
    [src_port.to_be_bytes(), dst_port.to_be_bytes()].concat()
}
