//! From the bytes of a frame to its headers, or to the reason why they cannot be read.
//!
//! [`parse`] reads at an offset and checks each header once, against the frame's end and against the
//! packet's own length, so that what it returns needs no further check. It reads fixed sizes at bounded
//! offsets alone, which is what the kernel's verifier accepts.

use crate::limits::{EXTENSION_HEADERS, VLAN_TAGS};

/// A frame that can be read at an offset.
pub trait Frame {
    /// The `N` bytes at `offset` from the Ethernet header, or `None` where the frame ends before.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;

    /// The same offset, without its history. The kernel's verifier follows every way through the
    /// program separately as long as it can tell them apart by a known number; where it cannot, it
    /// checks what follows once.
    #[inline(always)]
    fn forget(&self, offset: u32) -> u32 {
        offset
    }

    /// The same number; in the kernel one of which the verifier knows nothing.
    #[inline(always)]
    fn forget_number(&self, number: u32) -> u32 {
        number
    }

    /// The extension header at an offset: see [`extension`]. In the kernel a function of its own, so that the verifier does not
    /// follow all its ways for each header.
    #[inline(always)]
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension>
    where
        Self: Sized,
    {
        extension(self, protocol, offset, end)
    }
}

/// No offset that [`parse`] reads from is above this mask: 14 bytes of Ethernet, 4 tags, 8 bytes of
/// PPPoE, 40 of IPv6, and 8 extension headers of at most 2,048 bytes.
pub const OFFSET_MASK: u32 = 0x7fff;

const _: () = assert!(14 + VLAN_TAGS * 4 + 8 + 40 + EXTENSION_HEADERS * 2048 <= OFFSET_MASK);

impl Frame for &[u8] {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.get(offset as usize..)?.first_chunk().copied()
    }
}

/// EtherTypes (IEEE 802) that the parser knows.
pub(crate) mod ether_type {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(super) const ARP: u16 = 0x0806;
    pub(super) const VLAN: u16 = 0x8100;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(super) const SLOW_PROTOCOLS: u16 = 0x8809;
    pub(super) const PPPOE_DISCOVERY: u16 = 0x8863;
    pub(super) const PPPOE_SESSION: u16 = 0x8864;
    pub(super) const EAPOL: u16 = 0x888e;
    pub(super) const SERVICE_VLAN: u16 = 0x88a8;
    pub(super) const OLD_SERVICE_VLAN: u16 = 0x9100;
}

/// The slow protocol (IEEE 802.3, 57A) that is LACP; OAM and others share its EtherType.
const LACP: u8 = 1;

/// PPP protocol numbers (RFC 1661) that the parser knows.
mod ppp {
    pub(super) const IPV4: u16 = 0x0021;
    pub(super) const IPV6: u16 = 0x0057;
    /// From here on: control protocols (NCP, LCP, authentication).
    pub(super) const CONTROL: u16 = 0x8000;
}

/// IP protocol numbers (IANA) that the parser knows.
pub mod protocol {
    /// ICMP (RFC 792).
    pub const ICMP: u8 = 1;
    /// IGMP (RFC 3376).
    pub const IGMP: u8 = 2;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// SCTP (RFC 9260).
    pub const SCTP: u8 = 132;

    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const HIP: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
}

/// Version of the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4 (RFC 791).
    V4,
    /// IPv6 (RFC 8200).
    V6,
}

/// What follows the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Neither ports nor a type: another protocol, or a later fragment.
    Portless,
    /// TCP, UDP or SCTP.
    Ports {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// ICMP in IPv4 or ICMPv6 in IPv6.
    Icmp {
        /// The message's type.
        kind: u8,
        /// The message's code.
        code: u8,
    },
}

/// A [`Transport`] in which every number is defined. Of the numbers of an `enum`, those of other variants are not, and the compiler may move
/// them to the stack with the rest, which the kernel's verifier takes for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFields {
    kind: TransportKind,
    /// The source port, or the type.
    first: u16,
    /// The destination port, or the code.
    second: u16,
}

/// Which variant of [`Transport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TransportKind {
    Portless,
    Ports,
    Icmp,
}

impl TransportFields {
    /// Neither ports nor a type.
    pub const PORTLESS: Self = Self {
        kind: TransportKind::Portless,
        first: 0,
        second: 0,
    };

    /// By the source port and the destination port, as they stand in a header.
    #[inline(always)]
    #[must_use]
    pub const fn ports(source: [u8; 2], destination: [u8; 2]) -> Self {
        Self {
            kind: TransportKind::Ports,
            first: u16::from_be_bytes(source),
            second: u16::from_be_bytes(destination),
        }
    }

    /// By the type and code of a message.
    #[inline(always)]
    #[must_use]
    pub const fn icmp(kind: u8, code: u8) -> Self {
        Self {
            kind: TransportKind::Icmp,
            first: kind as u16,
            second: code as u16,
        }
    }
}

impl From<Transport> for TransportFields {
    #[inline(always)]
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Portless => Self::PORTLESS,
            Transport::Ports { src, dst } => Self {
                kind: TransportKind::Ports,
                first: src,
                second: dst,
            },
            Transport::Icmp { kind, code } => Self::icmp(kind, code),
        }
    }
}

/// The outermost headers of an IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// VLAN ID of the first tag whose ID is not 0; 0 without such a tag.
    pub vlan: u16,
    /// IPv4 or IPv6.
    pub family: Family,
    /// IPv4 TTL or IPv6 hop limit.
    pub hop_limit: u8,
    /// Protocol after all extension headers; of a later fragment, what its fragment header names.
    pub protocol: u8,
    /// A fragment other than the first: its payload begins in the middle of the packet.
    pub later_fragment: bool,
    /// Part of a fragmented packet, the first included, or behind an IPv6 fragment header of any kind.
    pub fragmented: bool,
    /// What follows: see [`Headers::transport`].
    pub fields: TransportFields,
    /// Where the network header begins, in bytes from the frame's start.
    pub network_offset: u32,
    /// Where the transport header (or a later fragment's payload) begins, likewise.
    pub transport_offset: u32,
}

impl Headers {
    /// What follows the network header.
    #[inline(always)]
    #[must_use]
    pub const fn transport(&self) -> Transport {
        let TransportFields {
            kind,
            first,
            second,
        } = self.fields;
        match kind {
            TransportKind::Portless => Transport::Portless,
            TransportKind::Ports => Transport::Ports {
                src: first,
                dst: second,
            },
            TransportKind::Icmp => Transport::Icmp {
                kind: first as u8,
                code: second as u8,
            },
        }
    }
}

/// Why a frame has no [`Headers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// Not IP; `keeps_link` where `non_ip: drop` spares it: ARP, EAPOL, LACP, PPPoE discovery, PPP
    /// control.
    NotIp {
        /// Without it the link itself would go down.
        keeps_link: bool,
    },
    /// A header that cannot be read.
    Malformed(Malformed),
}

impl From<Malformed> for Unparsed {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

macro_rules! malformed {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet is malformed. The number is the distance of its counter from
        /// [`crate::abi::counter::MALFORMED`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Malformed {
            $($(#[$doc])* $variant,)*
        }

        impl Malformed {
            /// All reasons, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name of this reason in output.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

malformed! {
    /// The frame ends within its Ethernet header.
    EthernetShort = "ethernet-short",
    /// The frame ends within a VLAN tag.
    VlanShort = "vlan-short",
    /// More VLAN tags than [`VLAN_TAGS`].
    VlanDepth = "vlan-depth",
    /// The frame ends within a PPPoE or PPP header.
    PppoeShort = "pppoe-short",
    /// The frame or the packet ends within its IPv4 header, options included.
    Ipv4Short = "ipv4-short",
    /// The EtherType says IPv4, the version field another.
    Ipv4Version = "ipv4-version",
    /// The IPv4 header length is under 20 bytes.
    Ipv4HeaderLength = "ipv4-header-length",
    /// The IPv4 total length is not 0 and less than the header.
    Ipv4TotalLength = "ipv4-total-length",
    /// The frame ends within its IPv6 header.
    Ipv6Short = "ipv6-short",
    /// The EtherType says IPv6, the version field another.
    Ipv6Version = "ipv6-version",
    /// The packet ends within an extension header.
    ExtensionShort = "extension-short",
    /// More extension headers than [`EXTENSION_HEADERS`].
    ExtensionDepth = "extension-depth",
    /// The packet ends within the first 20 bytes of TCP.
    TcpShort = "tcp-short",
    /// The TCP data offset is under 20 bytes.
    TcpDataOffset = "tcp-data-offset",
    /// A TCP fragment at offset 8 bytes: it would overwrite the flags (RFC 1858, RFC 3128).
    TcpFragmentOffset = "tcp-fragment-offset",
    /// The packet ends within the UDP header.
    UdpShort = "udp-short",
    /// The UDP length field is under 8.
    UdpLength = "udp-length",
    /// The packet ends within the SCTP common header (12 bytes).
    SctpShort = "sctp-short",
    /// The packet ends within the first 8 bytes of ICMP.
    IcmpShort = "icmp-short",
    /// The packet ends within the first 8 bytes of ICMPv6.
    Icmpv6Short = "icmpv6-short",
}

const _: () = assert!(
    crate::abi::counter::MALFORMED as usize + Malformed::ALL.len()
        <= crate::abi::counter::CELL as usize
);

/// A packet length of 0 (segmentation offload, jumbograms) means the frame's end.
const FRAME_END: u32 = u32::MAX;

/// Reads the headers of a frame, from Ethernet to the outermost transport header.
///
/// # Errors
///
/// [`Unparsed`] where the frame does not carry IP or one of its headers cannot be read.
#[inline(always)]
pub fn parse<F: Frame>(frame: &F) -> Result<Headers, Unparsed> {
    let mut ether_type = match frame.load::<2>(12) {
        Some(bytes) => u16::from_be_bytes(bytes),
        None => return Err(Malformed::EthernetShort.into()),
    };
    let mut offset = 14;
    let mut vlan = 0;

    let mut tags = 0;
    while is_vlan(ether_type) {
        if tags == VLAN_TAGS {
            return Err(Malformed::VlanDepth.into());
        }
        let Some([high, low, type_high, type_low]) = frame.load::<4>(offset) else {
            return Err(Malformed::VlanShort.into());
        };
        if vlan == 0 {
            vlan = u16::from_be_bytes([high, low]) & 0x0fff;
        }
        ether_type = u16::from_be_bytes([type_high, type_low]);
        offset += 4;
        tags += 1;
    }

    let offset = frame.forget(offset);
    match ether_type {
        ether_type::IPV4 => ipv4(frame, offset, vlan),
        ether_type::IPV6 => ipv6(frame, offset, vlan),
        ether_type::PPPOE_SESSION => pppoe(frame, offset, vlan),
        ether_type::ARP | ether_type::EAPOL | ether_type::PPPOE_DISCOVERY => {
            Err(Unparsed::NotIp { keeps_link: true })
        }
        ether_type::SLOW_PROTOCOLS => Err(Unparsed::NotIp {
            keeps_link: frame.load::<1>(offset) == Some([LACP]),
        }),
        _ => Err(Unparsed::NotIp { keeps_link: false }),
    }
}

#[inline(always)]
fn is_vlan(ether_type: u16) -> bool {
    matches!(
        ether_type,
        ether_type::VLAN | ether_type::SERVICE_VLAN | ether_type::OLD_SERVICE_VLAN
    )
}

/// A PPPoE session header (RFC 2516) and the PPP protocol field, which may be one byte (RFC 1661, 6.5).
#[inline(always)]
fn pppoe<F: Frame>(frame: &F, offset: u32, vlan: u16) -> Result<Headers, Unparsed> {
    let Some(header) = frame.load::<7>(offset) else {
        return Err(Malformed::PppoeShort.into());
    };
    let first = header[6];
    // The last byte of a protocol number is odd and no other is (RFC 1661, 2).
    let (protocol, offset) = if first & 1 == 1 {
        (u16::from(first), offset + 7)
    } else {
        let Some([second]) = frame.load::<1>(offset + 7) else {
            return Err(Malformed::PppoeShort.into());
        };
        (u16::from_be_bytes([first, second]), offset + 8)
    };
    let offset = frame.forget(offset);
    match protocol {
        ppp::IPV4 => ipv4(frame, offset, vlan),
        ppp::IPV6 => ipv6(frame, offset, vlan),
        _ => Err(Unparsed::NotIp {
            keeps_link: protocol >= ppp::CONTROL,
        }),
    }
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &F, offset: u32, vlan: u16) -> Result<Headers, Unparsed> {
    let Some(header) = frame.load::<20>(offset) else {
        return Err(Malformed::Ipv4Short.into());
    };
    if header[0] >> 4 != 4 {
        return Err(Malformed::Ipv4Version.into());
    }
    let header_len = u32::from(header[0] & 0x0f) * 4;
    if header_len < 20 {
        return Err(Malformed::Ipv4HeaderLength.into());
    }
    let total_len = u32::from(u16::from_be_bytes([header[2], header[3]]));
    if total_len != 0 && total_len < header_len {
        return Err(Malformed::Ipv4TotalLength.into());
    }
    let transport_offset = offset + header_len;
    // The 20 bytes are there already; options are skipped, but they must be there too.
    if header_len > 20 && frame.load::<1>(transport_offset - 1).is_none() {
        return Err(Malformed::Ipv4Short.into());
    }
    let end = if total_len == 0 {
        FRAME_END
    } else {
        offset + total_len
    };
    let protocol = header[9];
    let fragmentation = u16::from_be_bytes([header[6], header[7]]);
    let fragment_units = fragmentation & 0x1fff;
    let fields = if fragment_units == 0 {
        transport(frame, Family::V4, protocol, transport_offset, end)?
    } else {
        later_fragment(protocol, fragment_units)?
    };
    Ok(Headers {
        vlan,
        family: Family::V4,
        hop_limit: header[8],
        protocol,
        later_fragment: fragment_units != 0,
        // More fragments, or an offset.
        fragmented: fragmentation & 0x3fff != 0,
        fields,
        network_offset: offset,
        transport_offset,
    })
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &F, offset: u32, vlan: u16) -> Result<Headers, Unparsed> {
    let Some(header) = frame.load::<40>(offset) else {
        return Err(Malformed::Ipv6Short.into());
    };
    if header[0] >> 4 != 6 {
        return Err(Malformed::Ipv6Version.into());
    }
    let payload_len = u32::from(u16::from_be_bytes([header[4], header[5]]));
    let mut protocol = header[6];
    let hop_limit = header[7];
    let mut transport_offset = offset + 40;
    let end = if payload_len == 0 {
        FRAME_END
    } else {
        transport_offset + payload_len
    };
    let mut fragment_units = 0;
    let mut fragmented = false;

    let mut walked = 0;
    while is_extension(protocol) {
        if walked == EXTENSION_HEADERS {
            return Err(Malformed::ExtensionDepth.into());
        }
        let Some(extension) = frame.extension(protocol, transport_offset, end) else {
            return Err(Malformed::ExtensionShort.into());
        };
        transport_offset = frame.forget(extension.end);
        walked += 1;
        let is_fragment = protocol == protocol::FRAGMENT;
        protocol = extension.next;
        if is_fragment {
            fragmented = true;
            fragment_units = extension.fragment_units;
            if fragment_units != 0 {
                break;
            }
        }
    }

    let fields = if fragment_units == 0 {
        transport(frame, Family::V6, protocol, transport_offset, end)?
    } else {
        later_fragment(protocol, fragment_units)?
    };
    Ok(Headers {
        vlan,
        family: Family::V6,
        hop_limit,
        protocol,
        later_fragment: fragment_units != 0,
        fragmented,
        fields,
        network_offset: offset,
        transport_offset,
    })
}

/// The extension headers that are walked. ESP and no-next-header end the walk: behind them is nothing
/// that could be read.
#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6
    )
}

/// What an extension header of IPv6 says (RFC 8200, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The protocol of what follows.
    pub next: u8,
    /// Where that begins, in bytes from the frame's start.
    pub end: u32,
    /// The offset of a fragment in units of 8 bytes; means nothing in any other header.
    pub fragment_units: u16,
}

impl Extension {
    const LOW_END: u32 = 8;
    const LOW_UNITS: u32 = 40;

    /// As a number, which is never 0.
    #[inline(always)]
    #[must_use]
    pub fn pack(self) -> u64 {
        u64::from(self.next)
            | u64::from(self.end) << Self::LOW_END
            | u64::from(self.fragment_units) << Self::LOW_UNITS
    }

    /// From the number that [`Extension::pack`] gave.
    #[inline(always)]
    #[must_use]
    pub fn unpack(word: u64) -> Self {
        Self {
            next: word as u8,
            end: (word >> Self::LOW_END) as u32,
            fragment_units: (word >> Self::LOW_UNITS) as u16,
        }
    }
}

/// Reads the extension header of a protocol at an offset; `None` where the frame or the packet (at `packet_end`) ends
/// within it.
#[inline(always)]
pub fn extension<F: Frame>(
    frame: &F,
    protocol: u8,
    offset: u32,
    packet_end: u32,
) -> Option<Extension> {
    let [next, len, high, low] = load_within::<4, F>(frame, offset, packet_end)?;
    let header_len = match protocol {
        protocol::FRAGMENT => 8,
        protocol::AUTHENTICATION => (u32::from(len) + 2) * 4,
        _ => (u32::from(len) + 1) * 8,
    };
    // Its last byte must be there, or nothing after it is.
    load_within::<1, F>(frame, offset + header_len - 1, packet_end)?;
    Some(Extension {
        next,
        end: offset + header_len,
        fragment_units: u16::from_be_bytes([high, low]) >> 3,
    })
}

/// What is known of a later fragment, whose offset is given in units of 8 bytes.
#[inline(always)]
fn later_fragment(protocol: u8, fragment_units: u16) -> Result<TransportFields, Malformed> {
    if protocol == protocol::TCP && fragment_units == 1 {
        return Err(Malformed::TcpFragmentOffset);
    }
    Ok(TransportFields::PORTLESS)
}

#[inline(always)]
fn transport<F: Frame>(
    frame: &F,
    family: Family,
    protocol: u8,
    offset: u32,
    end: u32,
) -> Result<TransportFields, Malformed> {
    match (protocol, family) {
        (protocol::TCP, _) => {
            let header = load_within::<20, F>(frame, offset, end).ok_or(Malformed::TcpShort)?;
            if header[12] >> 4 < 5 {
                return Err(Malformed::TcpDataOffset);
            }
            Ok(TransportFields::ports(
                [header[0], header[1]],
                [header[2], header[3]],
            ))
        }
        (protocol::UDP, _) => {
            let header = load_within::<8, F>(frame, offset, end).ok_or(Malformed::UdpShort)?;
            if u16::from_be_bytes([header[4], header[5]]) < 8 {
                return Err(Malformed::UdpLength);
            }
            Ok(TransportFields::ports(
                [header[0], header[1]],
                [header[2], header[3]],
            ))
        }
        (protocol::SCTP, _) => {
            let header = load_within::<12, F>(frame, offset, end).ok_or(Malformed::SctpShort)?;
            Ok(TransportFields::ports(
                [header[0], header[1]],
                [header[2], header[3]],
            ))
        }
        (protocol::ICMP, Family::V4) => {
            let header = load_within::<8, F>(frame, offset, end).ok_or(Malformed::IcmpShort)?;
            Ok(TransportFields::icmp(header[0], header[1]))
        }
        (protocol::ICMPV6, Family::V6) => {
            let header = load_within::<8, F>(frame, offset, end).ok_or(Malformed::Icmpv6Short)?;
            Ok(TransportFields::icmp(header[0], header[1]))
        }
        _ => Ok(TransportFields::PORTLESS),
    }
}

/// The `N` bytes at `offset`, or `None` where the frame or the packet (at `end`) ends before.
#[inline(always)]
fn load_within<const N: usize, F: Frame>(frame: &F, offset: u32, end: u32) -> Option<[u8; N]> {
    if offset + N as u32 > end {
        return None;
    }
    frame.load(offset)
}
