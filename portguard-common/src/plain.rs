//! The commonest frames: TCP or UDP directly in IPv4 without options or in IPv6 without extension headers, untagged,
//! unfragmented and well-formed, but for answers of DHCP servers. They are read in a few steps, and judged where they are read.

use crate::classify::is_lease;
use crate::packet::{
    Extension, Family, Frame, Headers, Transport, TransportFields, ether_type, protocol,
};

/// What is done with the headers of a plain frame. It stands in the program once for each of the four kinds of them, so that the compiler knows
/// the family, the protocol and where each header begins.
pub trait Plain {
    /// What comes of it.
    type Output;

    /// Does it. To be inlined always.
    fn with<F: Frame>(&self, frame: &F, headers: &Headers) -> Self::Output;
}

/// Reads the headers of a plain frame.
///
/// It goes on with the same headers as [`crate::packet::parse`] gives, or returns `None`, which says nothing about the frame.
#[inline(always)]
pub fn with_plain<F: Direct, P: Plain>(frame: &F, plain: &P) -> Option<P::Output> {
    const IPV4: u16 = ether_type::IPV4.to_be();
    const IPV6: u16 = ether_type::IPV6.to_be();
    const FRAGMENT: u32 = 0x3fff_u16.to_be() as u32;
    let begun = &Begun::of::<BEGINNING_V4>(frame)?;
    let mut headers = Headers {
        vlan: 0,
        family: Family::V4,
        hop_limit: 0,
        protocol: 0,
        later_fragment: false,
        fragmented: false,
        fields: TransportFields::PORTLESS,
        network_offset: 14,
        transport_offset: 34,
    };
    match u16::from_ne_bytes(begun.bytes(ETHER_TYPE)) {
        IPV4 => {
            let [version] = begun.bytes(14);
            let fragmentation = u32::from(u16::from_ne_bytes(begun.bytes(20)));
            if version != 0x45 || fragmentation & FRAGMENT != 0 {
                return None;
            }
            let total_len = u32::from(u16::from_be_bytes(begun.bytes(16)));
            [headers.hop_limit] = begun.bytes(22);
            [headers.protocol] = begun.bytes(23);
            plain_transport(begun, plain, headers, 20, total_len)
        }
        IPV6 => {
            let begun = &Begun::of::<BEGINNING_V6>(frame)?;
            let [version] = begun.bytes(14);
            if version >> 4 != 6 {
                return None;
            }
            let payload_len = u16::from_be_bytes(begun.bytes(18));
            [headers.protocol] = begun.bytes(20);
            [headers.hop_limit] = begun.bytes(21);
            headers.family = Family::V6;
            headers.transport_offset = 54;
            plain_transport(begun, plain, headers, 0, payload_len.into())
        }
        _ => None,
    }
}

/// Goes on with the transport header of a plain frame, by what the network header says of the length from so many bytes before that one on.
#[inline(always)]
fn plain_transport<F: Direct, P: Plain>(
    begun: &Begun<'_, F>,
    plain: &P,
    network: Headers,
    before: u32,
    len: u32,
) -> Option<P::Output> {
    let offset = network.transport_offset;
    match network.protocol {
        protocol::TCP => {
            let [data_offset] = begun.frame.view::<20>(offset)?.bytes(12);
            if len < before + 20 || data_offset < 5 << 4 {
                return None;
            }
            let headers = Headers {
                protocol: protocol::TCP,
                fields: begun.ports(offset).into(),
                ..network
            };
            Some(plain.with(begun, &headers))
        }
        protocol::UDP => {
            let udp_len = u16::from_be_bytes(begun.bytes(offset + 4));
            if len < before + 8 || udp_len < 8 {
                return None;
            }
            let ports = begun.ports(offset);
            if let Transport::Ports { src, dst } = ports
                && is_lease(network.family, src, dst)
            {
                return None;
            }
            let headers = Headers {
                protocol: protocol::UDP,
                fields: ports.into(),
                ..network
            };
            Some(plain.with(begun, &headers))
        }
        _ => None,
    }
}

/// The headers of a plain frame: see [`with_plain`].
#[inline(always)]
pub fn parse_plain<F: Direct>(frame: &F) -> Option<Headers> {
    struct Keep;
    impl Plain for Keep {
        type Output = Headers;

        #[inline(always)]
        fn with<F: Frame>(&self, _frame: &F, headers: &Headers) -> Headers {
            *headers
        }
    }
    with_plain(frame, &Keep)
}

/// A frame of which bytes that have been found to be there can be read without asking again.
pub trait Direct: Frame {
    /// Bytes that are there.
    type View: View;

    /// The `N` bytes at `offset`, or `None` where the frame ends before.
    fn view<const N: usize>(&self, offset: u32) -> Option<Self::View>;

    /// The same number; in the kernel one of which the verifier knows, too, how many bits it has.
    #[inline(always)]
    fn bounded(number: u16) -> u16 {
        number
    }
}

/// Bytes that are there.
pub trait View {
    /// The `N` bytes at an offset within them, which the caller keeps to.
    fn bytes<const N: usize>(&self, offset: u32) -> [u8; N];
}

impl View for &[u8] {
    fn bytes<const N: usize>(&self, offset: u32) -> [u8; N] {
        match self[offset as usize..].first_chunk() {
            Some(bytes) => *bytes,
            None => [0; N],
        }
    }
}

impl Direct for &[u8] {
    type View = Self;

    fn view<const N: usize>(&self, offset: u32) -> Option<Self> {
        self.get(offset as usize..)?.get(..N)
    }
}

/// A frame of which the first bytes are there.
struct Begun<'f, F: Direct> {
    frame: &'f F,
    /// From the EtherType on.
    view: F::View,
    /// Where it ends.
    end: u32,
}

/// Where the EtherType stands.
const ETHER_TYPE: u32 = 12;

/// Bytes from the EtherType to the end of the shortest transport header, that of UDP, in IPv4.
const BEGINNING_V4: usize = 2 + 20 + 8;

/// The same in IPv6.
const BEGINNING_V6: usize = 2 + 40 + 8;

impl<'f, F: Direct> Begun<'f, F> {
    /// `None` where the frame ends within the first `N` bytes from the EtherType on.
    #[inline(always)]
    fn of<const N: usize>(frame: &'f F) -> Option<Self> {
        Some(Self {
            frame,
            view: frame.view::<N>(ETHER_TYPE)?,
            end: ETHER_TYPE + N as u32,
        })
    }

    /// The bytes at an offset that is known to be there.
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: u32) -> [u8; N] {
        self.view.bytes(offset - ETHER_TYPE)
    }

    /// The ports of the transport header at an offset.
    #[inline(always)]
    fn ports(&self, offset: u32) -> Transport {
        Transport::Ports {
            src: u16::from_be_bytes(self.bytes(offset)),
            dst: F::bounded(u16::from_be_bytes(self.bytes(offset + 2))),
        }
    }
}

impl<F: Direct> Frame for Begun<'_, F> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        if offset >= ETHER_TYPE && offset + N as u32 <= self.end {
            Some(self.bytes(offset))
        } else {
            self.frame.load(offset)
        }
    }

    #[inline(always)]
    fn forget(&self, offset: u32) -> u32 {
        self.frame.forget(offset)
    }

    #[inline(always)]
    fn forget_number(&self, number: u32) -> u32 {
        self.frame.forget_number(number)
    }

    #[inline(always)]
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension> {
        self.frame.extension(protocol, offset, end)
    }
}
