//! Whether a source is banned.
//!
//! A prefix is looked up for each length that is banned at all: mostly there are one or two. The kernel's own table of
//! prefixes would tell the longest one alone, and one that is over would hide a shorter one that is not.

use crate::abi::{BanEnd, BanKey, BanLengths, FOREVER};
use crate::packet::Frame;

/// The table of bans.
pub trait Bans {
    /// The lengths that are banned.
    fn lengths(&self) -> BanLengths;
    /// When the ban of a prefix ends, if there is one.
    fn end(&self, key: &BanKey) -> Option<BanEnd>;
    /// The present time in nanoseconds of the boot-time clock.
    fn now_ns(&self) -> u64;
    /// Whether the ban of one prefix of an address lasts: see [`lasts`].
    #[inline(always)]
    fn lasts(&self, address: Address, length: u64, before: u32) -> bool
    where
        Self: Sized,
    {
        lasts(self, address, length, before)
    }
}

/// The source of a packet, as the bits that prefixes are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The family.
    pub v6: bool,
    /// The upper half of an IPv6 address; an IPv4 address is the upper half of this.
    pub high: u64,
    /// The lower half of an IPv6 address.
    pub low: u64,
}

impl Address {
    /// The key of the prefix of a length from 1 on that holds this address.
    #[inline(always)]
    #[must_use]
    pub const fn key(self, length: u32) -> BanKey {
        let (high, low) = if length <= 64 {
            (u64::MAX << (64 - length), 0)
        } else {
            (u64::MAX, u64::MAX << (128 - length))
        };
        BanKey {
            high: self.high & high,
            low: self.low & low,
            length,
            v6: self.v6 as u32,
        }
    }
}

/// The source of a packet, by where its IP header begins; `None` where the frame ends before.
#[inline(always)]
#[must_use]
pub fn source<F: Frame>(frame: &F, network_offset: u32, v6: bool) -> Option<Address> {
    let (high, low) = if v6 {
        let high = frame.load::<8>(network_offset + 8)?;
        let low = frame.load::<8>(network_offset + 16)?;
        (u64::from_be_bytes(high), u64::from_be_bytes(low))
    } else {
        let address = frame.load::<4>(network_offset + 12)?;
        (u64::from(u32::from_be_bytes(address)) << 32, 0)
    };
    Some(Address { v6, high, low })
}

/// Whether a ban of any prefix of an address lasts.
#[inline(always)]
pub fn is_banned<B: Bans>(bans: &B, address: Address) -> bool {
    let lengths = bans.lengths();
    if address.v6 {
        any_lasts(bans, address, lengths.v6[0], 0) || any_lasts(bans, address, lengths.v6[1], 64)
    } else {
        any_lasts(bans, address, lengths.v4, 0)
    }
}

/// The same for the lengths of one word, whose lowest bit stands for one more than `before`.
#[inline(always)]
fn any_lasts<B: Bans>(bans: &B, address: Address, mut lengths: u64, before: u32) -> bool {
    for _ in 0..u64::BITS {
        if lengths == 0 {
            break;
        }
        let lowest = lengths & lengths.wrapping_neg();
        lengths ^= lowest;
        if bans.lasts(address, lowest, before) {
            return true;
        }
    }
    false
}

/// Whether the ban of the prefix of a length that holds an address lasts. The length is the only bit of a word whose lowest
/// bit stands for one more than `before`.
#[inline(always)]
pub fn lasts<B: Bans>(bans: &B, address: Address, length: u64, before: u32) -> bool {
    let length = before + length.trailing_zeros() + 1;
    match bans.end(&address.key(length)) {
        Some(end) => end == FOREVER || bans.now_ns() < end,
        None => false,
    }
}
