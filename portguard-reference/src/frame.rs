//! Reading a frame (`docs/policy.md`, "How a frame is read").
//!
//! Headers are cut off the front of a slice one after the other, in the order in which they lie there; the slice's end
//! is the frame's end, and from the IP header on the packet's end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;

/// EtherTypes of a VLAN tag.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const MAX_VLAN_TAGS: usize = 4;
const MAX_EXTENSIONS: usize = 8;

/// A frame that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Not IP.
    NonIp {
        /// ARP, EAPOL, LACP, PPPoE discovery and PPP control: `non_ip: drop` does not drop it.
        spared: bool,
    },
    /// An IP packet.
    Packet(Packet),
}

/// What there is to know of an IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// ID of the first VLAN tag whose ID is not 0.
    pub vlan: Option<u16>,
    /// Source address; tells the family as well.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// Which part of a packet this is.
    pub fragment: Fragment,
    /// After the extension headers.
    pub protocol: u8,
    /// What the header of that protocol says.
    pub segment: Segment,
}

impl Packet {
    /// Whether it is an IPv6 packet.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// Whether it is a later fragment.
    #[must_use]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment == Fragment::Later
    }
}

/// Which part of a packet a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// All of it, an IPv6 atomic fragment included.
    Whole,
    /// Its beginning.
    First,
    /// Anything behind it, without ports and types.
    Later,
}

/// The header behind IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// TCP, UDP, SCTP.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Message {
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
    },
    /// Any other protocol, and any later fragment.
    Other,
}

macro_rules! reasons {
    ($($variant:ident = $name:literal,)*) => {
        /// Why a packet is malformed, by the names of `docs/policy.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Malformed { $(#[doc = $name] $variant,)* }

        impl Malformed {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As the documentation and the counters call it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    EthernetShort = "ethernet-short",
    VlanShort = "vlan-short",
    VlanDepth = "vlan-depth",
    PppoeShort = "pppoe-short",
    Ipv4Short = "ipv4-short",
    Ipv4Version = "ipv4-version",
    Ipv4HeaderLength = "ipv4-header-length",
    Ipv4TotalLength = "ipv4-total-length",
    Ipv6Short = "ipv6-short",
    Ipv6Version = "ipv6-version",
    ExtensionShort = "extension-short",
    ExtensionDepth = "extension-depth",
    TcpShort = "tcp-short",
    TcpDataOffset = "tcp-data-offset",
    TcpFragmentOffset = "tcp-fragment-offset",
    UdpShort = "udp-short",
    UdpLength = "udp-length",
    SctpShort = "sctp-short",
    IcmpShort = "icmp-short",
    Icmpv6Short = "icmpv6-short",
}

/// Reads a frame from its first byte.
///
/// # Errors
///
/// The first reason, in the order of the bytes, for which it is malformed.
pub fn read(frame: &[u8]) -> Result<Frame, Malformed> {
    let (ethernet, mut rest) = cut(frame, 14, Malformed::EthernetShort)?;
    let mut ether_type = be16(ethernet, 12);
    let mut vlan = None;
    let mut tags = 0;
    while VLAN_TAGS.contains(&ether_type) {
        // The EtherType before it tells that there is one tag too many, whether or not the frame holds all of it.
        tags += 1;
        if tags > MAX_VLAN_TAGS {
            return Err(Malformed::VlanDepth);
        }
        let (tag, after) = cut(rest, 4, Malformed::VlanShort)?;
        let id = be16(tag, 0) & 0x0fff;
        if vlan.is_none() && id != 0 {
            vlan = Some(id);
        }
        ether_type = be16(tag, 2);
        rest = after;
    }
    match ether_type {
        0x0800 => ipv4(rest, vlan).map(Frame::Packet),
        0x86dd => ipv6(rest, vlan).map(Frame::Packet),
        0x8864 => pppoe(rest, vlan),
        // ARP, EAPOL, PPPoE discovery.
        0x0806 | 0x888e | 0x8863 => Ok(Frame::NonIp { spared: true }),
        // The slow protocols; subtype 1 is LACP.
        0x8809 => Ok(Frame::NonIp {
            spared: rest.first() == Some(&1),
        }),
        _ => Ok(Frame::NonIp { spared: false }),
    }
}

fn pppoe(rest: &[u8], vlan: Option<u16>) -> Result<Frame, Malformed> {
    let (_, rest) = cut(rest, 6, Malformed::PppoeShort)?;
    // RFC 1661, 2 and 6.5: the last byte of a protocol is odd, all others are even; a compressed one has one byte.
    let (first, _) = cut(rest, 1, Malformed::PppoeShort)?;
    let (protocol, rest) = if first[0] & 1 == 1 {
        (u16::from(first[0]), &rest[1..])
    } else {
        let (field, rest) = cut(rest, 2, Malformed::PppoeShort)?;
        (be16(field, 0), rest)
    };
    match protocol {
        0x0021 => ipv4(rest, vlan).map(Frame::Packet),
        0x0057 => ipv6(rest, vlan).map(Frame::Packet),
        // RFC 1661, 2: from 0x8000 on the control protocols of the network layers and of the link.
        protocol => Ok(Frame::NonIp {
            spared: protocol >= 0x8000,
        }),
    }
}

fn ipv4(rest: &[u8], vlan: Option<u16>) -> Result<Packet, Malformed> {
    let (header, _) = cut(rest, 20, Malformed::Ipv4Short)?;
    if header[0] >> 4 != 4 {
        return Err(Malformed::Ipv4Version);
    }
    let header_length = usize::from(header[0] & 0x0f) * 4;
    if header_length < 20 {
        return Err(Malformed::Ipv4HeaderLength);
    }
    let total_length = usize::from(be16(header, 2));
    if total_length != 0 && total_length < header_length {
        return Err(Malformed::Ipv4TotalLength);
    }
    let packet = up_to(rest, total_length);
    let (_, payload) = cut(packet, header_length, Malformed::Ipv4Short)?;

    let flags = be16(header, 6);
    let offset = flags & 0x1fff;
    let more = flags & 0x2000 != 0;
    let fragment = match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    };
    let protocol = header[9];
    let segment = match fragment {
        Fragment::Later => later(protocol, offset)?,
        Fragment::Whole | Fragment::First if protocol == 1 => {
            message(payload, Malformed::IcmpShort)?
        }
        Fragment::Whole | Fragment::First => transport(protocol, payload)?,
    };
    Ok(Packet {
        vlan,
        source: IpAddr::V4(Ipv4Addr::from(array::<4>(header, 12))),
        destination: IpAddr::V4(Ipv4Addr::from(array::<4>(header, 16))),
        hop_limit: header[8],
        fragment,
        protocol,
        segment,
    })
}

fn ipv6(rest: &[u8], vlan: Option<u16>) -> Result<Packet, Malformed> {
    let (header, _) = cut(rest, 40, Malformed::Ipv6Short)?;
    if header[0] >> 4 != 6 {
        return Err(Malformed::Ipv6Version);
    }
    let mut payload = up_to(&rest[40..], usize::from(be16(header, 4)));

    let mut protocol = header[6];
    let mut fragment = Fragment::Whole;
    let mut offset = 0;
    let mut extensions = 0;
    while let Some(unit) = extension(protocol) {
        // As with VLAN tags.
        extensions += 1;
        if extensions > MAX_EXTENSIONS {
            return Err(Malformed::ExtensionDepth);
        }
        let (start, _) = cut(payload, 8, Malformed::ExtensionShort)?;
        let length = match unit {
            Unit::Eight => (usize::from(start[1]) + 1) * 8,
            Unit::Four => (usize::from(start[1]) + 2) * 4,
            Unit::Fragment => 8,
        };
        let (extension, after) = cut(payload, length, Malformed::ExtensionShort)?;
        payload = after;
        protocol = extension[0];
        if unit == Unit::Fragment {
            let field = be16(extension, 2);
            offset = field >> 3;
            if offset != 0 {
                fragment = Fragment::Later;
                // What follows is the middle of something.
                break;
            }
            if field & 1 == 1 {
                fragment = Fragment::First;
            }
        }
    }
    let segment = match fragment {
        Fragment::Later => later(protocol, offset)?,
        Fragment::Whole | Fragment::First if protocol == 58 => {
            message(payload, Malformed::Icmpv6Short)?
        }
        Fragment::Whole | Fragment::First => transport(protocol, payload)?,
    };
    Ok(Packet {
        vlan,
        source: IpAddr::V6(Ipv6Addr::from(array::<16>(header, 8))),
        destination: IpAddr::V6(Ipv6Addr::from(array::<16>(header, 24))),
        hop_limit: header[7],
        fragment,
        protocol,
        segment,
    })
}

/// How an extension header tells its length.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// In units of 8 bytes beyond the first (RFC 8200).
    Eight,
    /// In units of 4 bytes beyond the first two (AH, RFC 4302).
    Four,
    /// Not at all: always 8 bytes.
    Fragment,
}

/// Whether this next-header value is an extension header that is walked.
fn extension(next_header: u8) -> Option<Unit> {
    match next_header {
        // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
        0 | 43 | 60 | 135 | 139 | 140 => Some(Unit::Eight),
        44 => Some(Unit::Fragment),
        51 => Some(Unit::Four),
        _ => None,
    }
}

/// A later fragment, whose offset is in units of 8 bytes.
fn later(protocol: u8, offset: u16) -> Result<Segment, Malformed> {
    if protocol == TCP && offset == 1 {
        return Err(Malformed::TcpFragmentOffset);
    }
    Ok(Segment::Other)
}

fn message(payload: &[u8], short: Malformed) -> Result<Segment, Malformed> {
    let (header, _) = cut(payload, 8, short)?;
    Ok(Segment::Message {
        kind: header[0],
        code: header[1],
    })
}

fn transport(protocol: u8, payload: &[u8]) -> Result<Segment, Malformed> {
    let header = match protocol {
        TCP => {
            let (header, _) = cut(payload, 20, Malformed::TcpShort)?;
            if usize::from(header[12] >> 4) * 4 < 20 {
                return Err(Malformed::TcpDataOffset);
            }
            header
        }
        UDP => {
            let (header, _) = cut(payload, 8, Malformed::UdpShort)?;
            if be16(header, 4) < 8 {
                return Err(Malformed::UdpLength);
            }
            header
        }
        SCTP => cut(payload, 12, Malformed::SctpShort)?.0,
        _ => return Ok(Segment::Other),
    };
    Ok(Segment::Ports {
        source: be16(header, 0),
        destination: be16(header, 2),
    })
}

/// Cuts `length` bytes off the front.
fn cut(bytes: &[u8], length: usize, short: Malformed) -> Result<(&[u8], &[u8]), Malformed> {
    bytes.split_at_checked(length).ok_or(short)
}

/// The packet ends at the smaller of the frame's end and its length field, where that is not 0.
fn up_to(bytes: &[u8], length: usize) -> &[u8] {
    if length == 0 {
        bytes
    } else {
        &bytes[..length.min(bytes.len())]
    }
}

fn be16(header: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array::<2>(header, at))
}

fn array<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| header[at + index])
}
