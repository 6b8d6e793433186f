//! Addresses and prefixes, as they are written.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::problem::quoted;
use crate::values::decimal;

/// All addresses that begin with the same bits; a single address has all of its bits in common. In order: IPv4 first, then
/// by the lowest address, the wider before the narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    first: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix of this length that holds an address; `None` if the family has fewer bits.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let first = match address {
            IpAddr::V4(address) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length));
                IpAddr::V6((u128::from(address) & mask.unwrap_or(0)).into())
            }
            _ => return None,
        };
        Some(Self { first, length })
    }

    /// Its lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Its highest address.
    pub fn last(&self) -> IpAddr {
        match self.first {
            IpAddr::V4(first) => IpAddr::V4((u32::from(first) | self.host_v4()).into()),
            IpAddr::V6(first) => IpAddr::V6((u128::from(first) | self.host_v6()).into()),
        }
    }

    /// Number of bits that its addresses have in common.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether it is one of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// Whether it holds an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4() && self.first() <= address && address <= self.last()
    }

    /// The bits behind the prefix.
    pub(crate) fn host_v4(&self) -> u32 {
        u32::MAX.checked_shr(self.length.into()).unwrap_or(0)
    }

    pub(crate) fn host_v6(&self) -> u128 {
        u128::MAX.checked_shr(self.length.into()).unwrap_or(0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = if self.is_ipv4() { 32 } else { 128 };
        write!(f, "{}", self.first)?;
        if self.length != single {
            write!(f, "/{}", self.length)?;
        }
        Ok(())
    }
}

/// An address or a prefix that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// What it stands for.
    pub(crate) prefix: Prefix,
    /// Bits behind the prefix were set, and are not any more.
    pub(crate) masked: bool,
}

/// Reads an address or a prefix; `None` if it is none, and [`refusal`] says why. A set has a million of
/// them: nothing here allocates.
pub(crate) fn parse(text: &[u8]) -> Option<Written> {
    let slash = text.iter().position(|byte| *byte == b'/');
    let (address, length) = match slash {
        None => (text, None),
        Some(slash) => (&text[..slash], Some(length(&text[slash + 1..])?)),
    };
    let (address, all) = match ipv4(address) {
        Some(address) => (IpAddr::V4(address.into()), 32),
        None => (IpAddr::V6(ipv6(address)?), 128),
    };
    let prefix = Prefix::new(address, length.unwrap_or(all))?;
    Some(Written {
        prefix,
        masked: prefix.first != address,
    })
}

/// Four plain decimal octets.
fn ipv4(text: &[u8]) -> Option<u32> {
    let (mut value, mut octet, mut dots) = (0_u32, None, 0);
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0');
                let next = match octet {
                    None => digit,
                    Some(0) => return None,
                    Some(before) => before * 10 + digit,
                };
                octet = Some(next).filter(|octet| *octet <= 255);
                octet?;
            }
            b'.' if dots < 3 => {
                value = value << 8 | octet.take()?;
                dots += 1;
            }
            _ => return None,
        }
    }
    let last = octet.filter(|_| dots == 3)?;
    Some(value << 8 | last)
}

/// An address of IPv6. No packet carries an IPv4-mapped one: what it would mean is written in IPv4.
fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    address.to_ipv4_mapped().is_none().then_some(address)
}

/// A plain decimal of at most three digits.
fn length(text: &[u8]) -> Option<u8> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', rest @ ..] if rest.len() < 3 && rest.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(text).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Why a text is no address or prefix.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// What is wrong with a text that [`parse`] refuses. `expected` names what may stand there.
pub(crate) fn refusal(text: &str, expected: &str) -> Refusal {
    let (address, length) = match text.split_once('/') {
        None => (text, None),
        Some((address, length)) => (address, Some(length)),
    };
    let wrong = |message: String, hint: String| Refusal { message, hint };
    let no_address = |hint: &str| {
        let message = format!("expected {expected}, found {}", quoted(text));
        wrong(message, hint.to_owned())
    };
    if text.trim().is_empty() {
        return no_address("write `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`");
    }
    if text.contains(char::is_whitespace) {
        return no_address("write it without blanks; several are a list");
    }
    if address.contains(':') {
        if address.contains('%') {
            return no_address("an address has no zone: name the interface with `interfaces`");
        }
        if address.contains(['[', ']']) {
            return no_address("write it without brackets: `2001:db8::1`");
        }
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return no_address(
                "an IPv6 address is written `2001:db8::1`, a prefix `2001:db8::/32`",
            );
        };
        return match address.to_ipv4_mapped() {
            Some(ipv4) => mapped(text, ipv4, length),
            None => wrong_length(&address.to_string(), length, 128),
        };
    }
    let octets: Vec<&str> = address.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !octets.iter().all(digits) {
        let is_range = address.contains('-') && address.starts_with(|c: char| c.is_ascii_digit());
        return no_address(if is_range {
            "a range of addresses is written as prefixes: `192.0.2.0/25, 192.0.2.128/26`"
        } else {
            "names of hosts are not looked up: write `192.0.2.1`, `192.0.2.0/24` or `2001:db8::/32`"
        });
    }
    let with_length = |address: String| match length {
        Some(length) => format!("write `{address}/{length}`"),
        None => format!("write `{address}`"),
    };
    let plain = |octet: &&str| -> String {
        let digits = octet.trim_start_matches('0');
        if digits.is_empty() { "0" } else { digits }.to_owned()
    };
    let spelled: Vec<String> = octets.iter().map(plain).collect();
    if octets.len() != 4 {
        let hint = if octets.len() < 4 {
            let missing = std::iter::repeat_n("0".to_owned(), 4 - octets.len());
            let all: Vec<String> = spelled.into_iter().chain(missing).collect();
            format!(
                "an IPv4 address has four octets: {}",
                with_length(all.join("."))
            )
        } else {
            "an IPv4 address has four octets".to_owned()
        };
        return no_address(&hint);
    }
    if let Some(octet) = octets
        .iter()
        .find(|octet| octet.len() > 1 && octet.starts_with('0'))
    {
        return wrong(
            format!(
                "the octet {} of {} has leading zeros",
                quoted(octet),
                quoted(text)
            ),
            format!(
                "{}; some readers take it for octal",
                with_length(spelled.join("."))
            ),
        );
    }
    if let Some(octet) = octets.iter().find(|octet| octet.parse::<u8>().is_err()) {
        return wrong(
            format!(
                "the octet {} of {} is out of range",
                quoted(octet),
                quoted(text)
            ),
            "an octet is 0 to 255".to_owned(),
        );
    }
    wrong_length(address, length, 32)
}

fn mapped(text: &str, ipv4: Ipv4Addr, length: Option<&str>) -> Refusal {
    let prefix = match length.map(|length| (decimal(length), length)) {
        None => Prefix::new(ipv4.into(), 32),
        Some((Some(bits @ 96..=128), _)) => u8::try_from(bits - 96)
            .ok()
            .and_then(|bits| Prefix::new(ipv4.into(), bits)),
        Some((Some(bits @ 0..=32), _)) => u8::try_from(bits)
            .ok()
            .and_then(|bits| Prefix::new(ipv4.into(), bits)),
        Some(_) => None,
    };
    Refusal {
        message: format!("{} is IPv4 written as IPv6 (IPv4-mapped)", quoted(text)),
        hint: match prefix {
            Some(prefix) => format!("no packet carries such an address: write `{prefix}`"),
            None => format!("no packet carries such an address: write a prefix of `{ipv4}`"),
        },
    }
}

/// The address is right, so its length is not.
fn wrong_length(address: &str, length: Option<&str>, most: u64) -> Refusal {
    let length = length.unwrap_or_default();
    let family = if most == 32 { "IPv4" } else { "IPv6" };
    let out_of_range = || Refusal {
        message: format!("the prefix length {} is out of range", quoted(length)),
        hint: format!("an {family} prefix has 0 to {most} bits"),
    };
    if decimal(length).is_some() {
        return out_of_range();
    }
    let mask: Option<u32> = length.parse::<Ipv4Addr>().ok().map(u32::from);
    let bits = match mask.filter(|_| most == 32) {
        Some(mask) if mask.leading_ones() + mask.trailing_zeros() >= 32 => {
            Some(u64::from(mask.leading_ones()))
        }
        Some(_) => None,
        None => {
            let bits = length.trim_start_matches('+').trim_start_matches('0');
            let zero = bits.is_empty() && length.contains('0');
            decimal(if zero { "0" } else { bits })
        }
    };
    Refusal {
        message: format!(
            "the prefix length {} is no plain decimal number",
            quoted(length)
        ),
        hint: match bits {
            Some(bits) if bits <= most => format!("write `{address}/{bits}`"),
            _ => format!("an {family} prefix has 0 to {most} bits: `{address}/{most}`"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, bool)> {
        parse(text.as_bytes()).map(|written| (written.prefix.to_string(), written.masked))
    }

    #[test]
    fn prefixes_are_masked() {
        for (text, prefix, masked) in [
            ("192.0.2.1", "192.0.2.1", false),
            ("192.0.2.1/32", "192.0.2.1", false),
            ("10.1.2.3/8", "10.0.0.0/8", true),
            ("10.0.0.0/0", "0.0.0.0/0", true),
            ("0.0.0.0/0", "0.0.0.0/0", false),
            ("255.255.255.255", "255.255.255.255", false),
            ("::/0", "::/0", false),
            ("2001:DB8::1/32", "2001:db8::/32", true),
            ("2001:db8::1", "2001:db8::1", false),
            ("::1.2.3.4", "::102:304", false),
        ] {
            assert_eq!(read(text), Some((prefix.to_owned(), masked)), "{text}");
        }
    }

    #[test]
    fn the_ends_of_a_prefix() {
        for (text, first, last) in [
            ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
            ("10.0.0.0/8", "10.0.0.0", "10.255.255.255"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
            ("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::/127", "2001:db8::", "2001:db8::1"),
            ("::1", "::1", "::1"),
        ] {
            let prefix = parse(text.as_bytes()).expect(text).prefix;
            assert_eq!(prefix.first().to_string(), first, "{text}");
            assert_eq!(prefix.last().to_string(), last, "{text}");
        }
    }

    #[test]
    fn quick_and_slow_parsers_agree_on_ipv4() {
        for text in [
            "1.2.3.4",
            "0.0.0.0",
            "255.0.0.255",
            "256.0.0.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "00.0.0.0",
            "1..2.3",
            ".1.2.3.4",
            "1.2.3.4.",
            "",
            "1.2.3.a",
            "1.2.3.-4",
            "+1.2.3.4",
            "1.2.3.1000",
            "99999999999.0.0.1",
        ] {
            let slow: Option<Ipv4Addr> = text.parse().ok();
            assert_eq!(ipv4(text.as_bytes()), slow.map(u32::from), "{text}");
        }
    }
}
