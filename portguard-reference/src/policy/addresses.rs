//! Addresses, prefixes and sets of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix of this length around an address. More than the family has is all of it.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Self {
        let length = length.min(width(address.is_ipv6()));
        let host = low_bits(width(address.is_ipv6()) - length);
        Self {
            address: address_of(address.is_ipv6(), number_of(address) & !host),
            length,
        }
    }

    /// Whether it is one of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Bits that count.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether that is every bit.
    #[must_use]
    pub fn is_address(&self) -> bool {
        self.length == width(self.is_ipv6())
    }

    /// The lowest address, as a number.
    #[must_use]
    pub fn first(&self) -> u128 {
        number_of(self.address)
    }

    /// The highest address, as a number.
    #[must_use]
    pub fn last(&self) -> u128 {
        self.first() | low_bits(width(self.is_ipv6()) - self.length)
    }

    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number_of(address);
        self.is_ipv6() == address.is_ipv6() && self.first() <= number && number <= self.last()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Bits of an address.
pub(crate) fn width(is_ipv6: bool) -> u8 {
    if is_ipv6 { 128 } else { 32 }
}

fn low_bits(count: u8) -> u128 {
    if count == 128 {
        u128::MAX
    } else {
        (1 << count) - 1
    }
}

/// An address as a number.
fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// The address of this number; of IPv4, its low 32 bits.
pub(crate) fn address_of(is_ipv6: bool, number: u128) -> IpAddr {
    if is_ipv6 {
        IpAddr::V6(Ipv6Addr::from(number))
    } else {
        let [.., a, b, c, d] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }
}

/// One entry of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressEntry {
    /// An address or a prefix.
    Prefix(Prefix),
    /// `$name`.
    Set(String),
}

/// A named list of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Without the `$`.
    pub name: String,
    /// What is in it; nothing only with `allow_empty`.
    pub prefixes: Vec<Prefix>,
    /// Where that is written.
    pub place: SetPlace,
}

/// Where the members of a set are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetPlace {
    /// In the policy.
    Inline,
    /// In a file of its own, one a line.
    File,
}
