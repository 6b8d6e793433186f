//! What the parser made of a frame, in one word.
//!
//! In the kernel the parser is a function of its own that judges nothing, so that its many ways to the end are not each followed
//! by all the ways of judging. Such a function gives back one number. Ports, type and code are left out: they are read again.

use crate::packet::{
    Family, Frame, Headers, Malformed, OFFSET_MASK, Transport, TransportFields, Unparsed,
};

/// Result of [`crate::packet::parse`], packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

/// Where each part begins, in bits.
mod shift {
    pub(super) const NETWORK: u32 = 0;
    pub(super) const TRANSPORT: u32 = 15;
    pub(super) const VLAN: u32 = 30;
    pub(super) const PROTOCOL: u32 = 42;
    pub(super) const HOP_LIMIT: u32 = 50;
    pub(super) const V6: u32 = 58;
    pub(super) const LATER_FRAGMENT: u32 = 59;
    pub(super) const FRAGMENTED: u32 = 60;
    pub(super) const KIND: u32 = 61;
}

const _: () = assert!(OFFSET_MASK.count_ones() == shift::TRANSPORT - shift::NETWORK);
const _: () = assert!(OFFSET_MASK.count_ones() == shift::VLAN - shift::TRANSPORT);

/// What follows the network header, or why that is not known.
mod kind {
    pub(super) const PORTLESS: u64 = 0;
    pub(super) const PORTS: u64 = 1;
    pub(super) const ICMP: u64 = 2;
    pub(super) const MALFORMED: u64 = 3;
    pub(super) const NOT_IP: u64 = 4;
}

impl Word {
    /// Packs what the parser found.
    #[inline(always)]
    #[must_use]
    pub fn new(parsed: &Result<Headers, Unparsed>) -> Self {
        match parsed {
            Ok(headers) => Self::of_headers(headers),
            Err(Unparsed::Malformed(reason)) => {
                Self(kind::MALFORMED << shift::KIND | u64::from(*reason as u8))
            }
            Err(Unparsed::NotIp { keeps_link }) => {
                Self(kind::NOT_IP << shift::KIND | u64::from(*keeps_link))
            }
        }
    }

    #[inline(always)]
    fn of_headers(headers: &Headers) -> Self {
        let kind = match headers.transport() {
            Transport::Portless => kind::PORTLESS,
            Transport::Ports { .. } => kind::PORTS,
            Transport::Icmp { .. } => kind::ICMP,
        };
        let is_v6 = headers.family == Family::V6;
        Self(
            u64::from(headers.network_offset & OFFSET_MASK) << shift::NETWORK
                | u64::from(headers.transport_offset & OFFSET_MASK) << shift::TRANSPORT
                | u64::from(headers.vlan & 0x0fff) << shift::VLAN
                | u64::from(headers.protocol) << shift::PROTOCOL
                | u64::from(headers.hop_limit) << shift::HOP_LIMIT
                | u64::from(is_v6) << shift::V6
                | u64::from(headers.later_fragment) << shift::LATER_FRAGMENT
                | u64::from(headers.fragmented) << shift::FRAGMENTED
                | kind << shift::KIND,
        )
    }

    /// The number of a [`Malformed`] reason, or `None` for anything else.
    #[inline(always)]
    #[must_use]
    pub fn malformed(self) -> Option<u32> {
        (self.kind() == kind::MALFORMED).then_some(self.0 as u32)
    }

    /// Of a frame that is not IP, whether `non_ip: drop` spares it ([`Unparsed::NotIp`]); `None` for anything else.
    #[inline(always)]
    #[must_use]
    pub fn not_ip(self) -> Option<bool> {
        (self.kind() == kind::NOT_IP).then_some(self.0 & 1 != 0)
    }

    /// The headers, or `None` where there are none. What follows the network header is read from the frame.
    #[inline(always)]
    #[must_use]
    pub fn headers<F: Frame>(self, frame: &F) -> Option<Headers> {
        let network_offset = (self.0 >> shift::NETWORK) as u32 & OFFSET_MASK;
        let transport_offset = (self.0 >> shift::TRANSPORT) as u32 & OFFSET_MASK;
        let kind = self.kind();
        // Both ports, or type, code and the checksum.
        let [a, b, c, d] = match kind {
            kind::PORTS | kind::ICMP => frame.load::<4>(transport_offset)?,
            kind::PORTLESS => [0; 4],
            _ => return None,
        };
        let fields = match kind {
            kind::PORTS => TransportFields::ports([a, b], [c, d]),
            kind::ICMP => TransportFields::icmp(a, b),
            _ => TransportFields::PORTLESS,
        };
        let is_set = |shift: u32| self.0 >> shift & 1 != 0;
        Some(Headers {
            vlan: (self.0 >> shift::VLAN) as u16 & 0x0fff,
            family: if is_set(shift::V6) {
                Family::V6
            } else {
                Family::V4
            },
            hop_limit: (self.0 >> shift::HOP_LIMIT) as u8,
            protocol: (self.0 >> shift::PROTOCOL) as u8,
            later_fragment: is_set(shift::LATER_FRAGMENT),
            fragmented: is_set(shift::FRAGMENTED),
            fields,
            network_offset,
            transport_offset,
        })
    }

    #[inline(always)]
    const fn kind(self) -> u64 {
        self.0 >> shift::KIND
    }
}

const _: () = assert!(Malformed::ALL.len() <= 256);
