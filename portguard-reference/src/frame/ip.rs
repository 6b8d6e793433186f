//! IP headers and the one behind them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Fragment, ICMP, ICMPV6, Layout, Link, Malformed, Packet, SCTP, Segment, TCP, UDP, array, be16,
    cut, up_to,
};

const MAX_EXTENSIONS: usize = 8;

pub(super) fn ipv4(rest: &[u8], link: Link) -> Result<Packet, Malformed> {
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
        Fragment::Whole | Fragment::First if protocol == ICMP => {
            message(payload, Malformed::IcmpShort)?
        }
        Fragment::Whole | Fragment::First => transport(protocol, payload)?,
    };
    Ok(Packet {
        vlan: link.vlan,
        source: IpAddr::V4(Ipv4Addr::from(array::<4>(header, 12))),
        destination: IpAddr::V4(Ipv4Addr::from(array::<4>(header, 16))),
        hop_limit: header[8],
        fragment,
        protocol,
        segment,
        payload: payload.to_vec(),
        layout: Layout {
            link_length: link.length,
            ip_length: header_length,
            is_fragment: fragment != Fragment::Whole,
        },
    })
}

pub(super) fn ipv6(rest: &[u8], link: Link) -> Result<Packet, Malformed> {
    let (header, _) = cut(rest, 40, Malformed::Ipv6Short)?;
    if header[0] >> 4 != 6 {
        return Err(Malformed::Ipv6Version);
    }
    let whole = up_to(&rest[40..], usize::from(be16(header, 4)));
    let mut payload = whole;

    let mut protocol = header[6];
    let mut fragment = Fragment::Whole;
    let mut offset = 0;
    let mut extensions = 0;
    let mut has_fragment_header = false;
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
            has_fragment_header = true;
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
        Fragment::Whole | Fragment::First if protocol == ICMPV6 => {
            message(payload, Malformed::Icmpv6Short)?
        }
        Fragment::Whole | Fragment::First => transport(protocol, payload)?,
    };
    Ok(Packet {
        vlan: link.vlan,
        source: IpAddr::V6(Ipv6Addr::from(array::<16>(header, 8))),
        destination: IpAddr::V6(Ipv6Addr::from(array::<16>(header, 24))),
        hop_limit: header[7],
        fragment,
        protocol,
        segment,
        payload: payload.to_vec(),
        layout: Layout {
            link_length: link.length,
            ip_length: 40 + whole.len() - payload.len(),
            is_fragment: has_fragment_header,
        },
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
