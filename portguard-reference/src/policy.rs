//! A policy as it is written (`docs/policy.md`, "Keys" and "Rules").

mod addresses;
mod protocols;
mod types;

pub use addresses::{AddressEntry, Prefix, Set, SetPlace};
pub(crate) use addresses::{address_of, width};
pub use protocols::{PortEntry, Ports, Protocol, ProtocolName, Service, Transport};
pub use types::{TypeEntry, TypeKind, TypeName};

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Names and globs of what is guarded.
    pub interfaces: Vec<String>,
    /// Fate of a packet that no rule decides.
    pub default: Verdict,
    /// Whether replies to what was started from this side pass.
    pub replies: Replies,
    /// Whether essential traffic passes that no rule means.
    pub essential: Essential,
    /// Frames that are not IP.
    pub non_ip: Verdict,
    /// IP packets that cannot be read.
    pub malformed: Verdict,
    /// Later fragments that no rule decides.
    pub fragments: Fragments,
    /// Whether anything is dropped at all.
    pub enforce: bool,
    /// Sources that nothing stops.
    pub trusted: Vec<Trusted>,
    /// The host's own port names.
    pub services: Vec<Service>,
    /// Named lists of addresses.
    pub sets: Vec<Set>,
    /// In file order.
    pub rules: Vec<Rule>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            interfaces: vec!["eth0".to_owned()],
            default: Verdict::Pass,
            replies: Replies::Pass,
            essential: Essential::Pass,
            non_ip: Verdict::Pass,
            malformed: Verdict::Drop,
            fragments: Fragments::Pass,
            enforce: true,
            trusted: Vec::new(),
            services: Vec::new(),
            sets: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel gets it.
    Pass,
    /// It is discarded.
    Drop,
}

/// The key `replies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// They pass whatever the rules say.
    Pass,
    /// They are judged like everything else.
    Rules,
}

/// The key `essential`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Essential {
    /// It passes unless a rule means it.
    Pass,
    /// It is judged like everything else.
    Rules,
}

/// The key `fragments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// They pass.
    Pass,
    /// They are discarded.
    Drop,
    /// They pass within this rate.
    Rate(Rate),
}

/// One entry of `trusted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The sources.
    pub from: Vec<Prefix>,
    /// Names and globs; none stands for every interface.
    pub interfaces: Vec<String>,
}

/// One rule. An empty list stands for a field that is not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Unique.
    pub name: String,
    /// What it does.
    pub action: Action,
    /// Field `protocol`.
    pub protocols: Vec<Protocol>,
    /// Field `ports`.
    pub ports: Vec<PortEntry>,
    /// Field `source_ports`.
    pub source_ports: Vec<PortEntry>,
    /// Field `from`.
    pub from: Vec<AddressEntry>,
    /// Field `to`.
    pub to: Vec<AddressEntry>,
    /// Field `types`.
    pub types: Vec<TypeEntry>,
    /// Field `interfaces`: names and globs.
    pub interfaces: Vec<String>,
    /// Field `vlan`.
    pub vlans: Vec<Vlan>,
    /// `false`: it only counts.
    pub enforce: bool,
}

impl Rule {
    /// An enforced rule without any field.
    #[must_use]
    pub fn new(name: &str, action: Action) -> Self {
        Self {
            name: name.to_owned(),
            action,
            protocols: Vec::new(),
            ports: Vec::new(),
            source_ports: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            types: Vec::new(),
            interfaces: Vec::new(),
            vlans: Vec::new(),
            enforce: true,
        }
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let it pass.
    Pass,
    /// Discard it.
    Drop,
    /// Discard it and answer.
    Reject,
    /// Let it pass up to a rate.
    Limit(Limit),
}

/// The fields `rate`, `burst` and `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Field `rate`.
    pub rate: Rate,
    /// Field `burst`, if given.
    pub burst: Option<u32>,
    /// Field `per`.
    pub per: Per,
}

impl Limit {
    /// Packets that a full bucket lets pass.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or_else(|| self.rate.usual_burst())
    }
}

/// Packets in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub packets: u32,
    /// In which time.
    pub per: Period,
}

impl Rate {
    /// One second's worth, at least 1.
    #[must_use]
    pub fn usual_burst(&self) -> u32 {
        match self.per {
            Period::Second => self.packets.max(1),
            Period::Minute => (self.packets / 60).max(1),
        }
    }
}

/// The time of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// `/s`.
    Second,
    /// `/m`.
    Minute,
}

impl Period {
    /// Its length.
    #[must_use]
    pub fn nanoseconds(self) -> u64 {
        match self {
            Self::Second => 1_000_000_000,
            Self::Minute => 60_000_000_000,
        }
    }
}

/// What shares a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The packets of one source: an IPv4 address, an IPv6 /64.
    Source,
    /// All packets of the rule.
    Rule,
}

/// One entry of `vlan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vlan {
    /// No tag whose ID is not 0.
    None,
    /// The first tag whose ID is not 0.
    Id(u16),
}

/// Whether a name is one of these names and globs.
#[must_use]
pub fn names_interface(patterns: &[String], name: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| glob(pattern.as_bytes(), name.as_bytes()))
}

/// `*`, `?` and `[...]` with single characters and ranges.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|skipped| glob(rest, &name[skipped..])),
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else {
                return false;
            };
            let (members, rest) = (&rest[..end], &rest[end + 1..]);
            match name {
                [first, name @ ..] => in_brackets(members, *first) && glob(rest, name),
                [] => false,
            }
        }
        [wanted, rest @ ..] => match name {
            [first, name @ ..] => (*wanted == b'?' || wanted == first) && glob(rest, name),
            [] => false,
        },
    }
}

fn in_brackets(members: &[u8], byte: u8) -> bool {
    match members {
        [low, b'-', high, rest @ ..] => (*low <= byte && byte <= *high) || in_brackets(rest, byte),
        [member, rest @ ..] => *member == byte || in_brackets(rest, byte),
        [] => false,
    }
}
