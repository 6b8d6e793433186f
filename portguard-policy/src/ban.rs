//! What can be banned, as it is written.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use portguard_common::abi::BanKey;

use crate::prefix::{self, Prefix};

/// Bits of an IPv6 address that name a network of hosts: who has one has all of its addresses.
const NETWORK_BITS: u8 = 64;

/// All sources that a ban is for: a prefix of at least one bit. An IPv6 address without a length stands for its /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BanTarget(Prefix);

impl BanTarget {
    /// A prefix; `None` if that is every address of its family.
    pub fn new(prefix: Prefix) -> Option<Self> {
        (prefix.length() > 0).then_some(Self(prefix))
    }

    /// The prefix.
    pub fn prefix(&self) -> Prefix {
        self.0
    }

    /// What it is looked up by in the kernel's table.
    pub fn key(&self) -> BanKey {
        let prefix = self.0;
        let (high, low) = match prefix.first() {
            IpAddr::V4(first) => (u64::from(u32::from(first)) << 32, 0),
            IpAddr::V6(first) => {
                let bits = u128::from(first);
                ((bits >> 64) as u64, bits as u64)
            }
        };
        BanKey {
            high,
            low,
            length: prefix.length().into(),
            v6: u32::from(!prefix.is_ipv4()),
        }
    }

    /// Reads an address or a prefix. The answer also says whether bits behind the prefix were set, which were ignored.
    ///
    /// # Errors
    ///
    /// [`BanTargetError`] when the text is neither, or means every address.
    pub fn parse(text: &str) -> Result<(Self, bool), BanTargetError> {
        let Some(written) = prefix::parse(text.as_bytes()) else {
            let refusal = prefix::refusal(text, "an address or a prefix");
            return Err(BanTargetError {
                message: refusal.message,
                hint: refusal.hint,
            });
        };
        if !text.contains('/') && !written.prefix.is_ipv4() {
            let network = Prefix::new(written.prefix.first(), NETWORK_BITS);
            return Ok((Self(network.unwrap_or(written.prefix)), false));
        }
        match Self::new(written.prefix) {
            Some(target) => Ok((target, written.masked)),
            None => Err(BanTargetError {
                message: format!("`{text}` is every address"),
                hint: "a ban is for some sources: write `default: drop` in the policy instead"
                    .into(),
            }),
        }
    }
}

impl FromStr for BanTarget {
    type Err = BanTargetError;

    /// As [`BanTarget::parse`], where no bit behind the prefix may be set.
    fn from_str(text: &str) -> Result<Self, BanTargetError> {
        match Self::parse(text)? {
            (target, false) => Ok(target),
            (target, true) => Err(BanTargetError {
                message: format!("bits behind the prefix of `{text}` are set"),
                hint: format!("write `{target}`"),
            }),
        }
    }
}

/// As [`BanTarget::parse`] reads it.
impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            IpAddr::V6(first) => write!(f, "{first}/{}", self.0.length()),
            IpAddr::V4(_) => self.0.fmt(f),
        }
    }
}

/// Why something cannot be banned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}: {hint}")]
pub struct BanTargetError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_banned() {
        for (text, target, masked) in [
            ("192.0.2.1", "192.0.2.1", false),
            ("192.0.2.1/32", "192.0.2.1", false),
            ("192.0.2.1/24", "192.0.2.0/24", true),
            ("128.0.0.0/1", "128.0.0.0/1", false),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", false),
            ("2001:db8:1:2::", "2001:db8:1:2::/64", false),
            ("2001:db8::1/128", "2001:db8::1/128", false),
            ("2001:db8::1/32", "2001:db8::/32", true),
        ] {
            let read = BanTarget::parse(text).map(|(target, masked)| (target.to_string(), masked));
            assert_eq!(read, Ok((target.to_owned(), masked)), "{text}");
            assert_eq!(
                target.parse::<BanTarget>().map(|read| read.to_string()),
                Ok(target.to_owned()),
                "what is printed is read as the same"
            );
        }
    }

    #[test]
    fn what_cannot_be_banned_is_told_with_what_to_write() {
        for (text, part) in [
            ("0.0.0.0/0", "`default: drop`"),
            ("::/0", "`default: drop`"),
            ("1.2.3", "1.2.3.0"),
            ("010.1.2.3", "leading zeros"),
            ("::ffff:192.0.2.1", "write `192.0.2.1`"),
            ("192.0.2.1/33", "0 to 32 bits"),
            ("example.com", "not looked up"),
            ("fe80::1%eth0", "no zone"),
            ("", "expected an address or a prefix"),
        ] {
            let error = BanTarget::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
