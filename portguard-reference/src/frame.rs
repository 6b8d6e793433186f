//! Reading a frame (`docs/policy.md`, "How a frame is read").
//!
//! Headers are cut off the front of a slice one after the other, in the order in which they lie there; the slice's end
//! is the frame's end, and from the IP header on the packet's end.

mod ip;

use std::net::IpAddr;

/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of SCTP.
pub const SCTP: u8 = 132;
/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// TCP flag.
pub const FIN: u8 = 0x01;
/// TCP flag.
pub const SYN: u8 = 0x02;
/// TCP flag.
pub const RST: u8 = 0x04;
/// TCP flag.
pub const ACK: u8 = 0x10;

/// EtherTypes of a VLAN tag.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const MAX_VLAN_TAGS: usize = 4;

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
    /// From the header of that protocol to the packet's end.
    pub payload: Vec<u8>,
    /// Where headers lie.
    pub layout: Layout,
}

/// Where the headers of a packet lie in its frame, for those who answer it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Bytes before the IP header.
    pub link_length: usize,
    /// Bytes of the IP header, extension headers included.
    pub ip_length: usize,
    /// Whether it says that it is part of a packet, or has an IPv6 fragment header.
    pub is_fragment: bool,
}

impl Packet {
    /// Whether it is an IPv6 packet.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// The flags of a TCP header, if one was read.
    #[must_use]
    pub fn tcp_flags(&self) -> Option<u8> {
        match self.segment {
            Segment::Ports { .. } if self.protocol == TCP => self.payload.get(13).copied(),
            _ => None,
        }
    }

    /// Whether it asks for a TCP connection: SYN without ACK.
    #[must_use]
    pub fn is_attempt(&self) -> bool {
        self.tcp_flags()
            .is_some_and(|flags| flags & (SYN | ACK) == SYN)
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
    let link = Link {
        vlan,
        length: frame.len() - rest.len(),
    };
    match ether_type {
        0x0800 => ip::ipv4(rest, link).map(Frame::Packet),
        0x86dd => ip::ipv6(rest, link).map(Frame::Packet),
        0x8864 => pppoe(rest, link),
        // ARP, EAPOL, PPPoE discovery.
        0x0806 | 0x888e | 0x8863 => Ok(Frame::NonIp { spared: true }),
        // The slow protocols; subtype 1 is LACP.
        0x8809 => Ok(Frame::NonIp {
            spared: rest.first() == Some(&1),
        }),
        _ => Ok(Frame::NonIp { spared: false }),
    }
}

/// What lies before the IP header.
#[derive(Clone, Copy)]
struct Link {
    vlan: Option<u16>,
    length: usize,
}

fn pppoe(session: &[u8], link: Link) -> Result<Frame, Malformed> {
    let (_, rest) = cut(session, 6, Malformed::PppoeShort)?;
    // RFC 1661, 2 and 6.5: the last byte of a protocol is odd, all others are even; a compressed one has one byte.
    let (first, _) = cut(rest, 1, Malformed::PppoeShort)?;
    let (protocol, rest) = if first[0] & 1 == 1 {
        (u16::from(first[0]), &rest[1..])
    } else {
        let (field, rest) = cut(rest, 2, Malformed::PppoeShort)?;
        (be16(field, 0), rest)
    };
    let link = Link {
        length: link.length + session.len() - rest.len(),
        ..link
    };
    match protocol {
        0x0021 => ip::ipv4(rest, link).map(Frame::Packet),
        0x0057 => ip::ipv6(rest, link).map(Frame::Packet),
        // RFC 1661, 2: from 0x8000 on the control protocols of the network layers and of the link.
        protocol => Ok(Frame::NonIp {
            spared: protocol >= 0x8000,
        }),
    }
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
