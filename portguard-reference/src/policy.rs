//! A policy as it is written (`docs/policy.md`, "Keys" and "Rules").

use crate::frame::{SCTP, TCP, UDP};

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Fate of a packet that no rule decides.
    pub default: Verdict,
    /// Whether essential traffic passes that no rule means.
    pub essential: Essential,
    /// Frames that are not IP.
    pub non_ip: Verdict,
    /// IP packets that cannot be read.
    pub malformed: Verdict,
    /// Later fragments that no rule decides.
    pub fragments: Verdict,
    /// Whether anything is dropped at all.
    pub enforce: bool,
    /// In file order.
    pub rules: Vec<Rule>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            default: Verdict::Pass,
            essential: Essential::Pass,
            non_ip: Verdict::Pass,
            malformed: Verdict::Drop,
            fragments: Verdict::Pass,
            enforce: true,
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

/// The key `essential`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Essential {
    /// It passes unless a rule means it.
    Pass,
    /// It is judged like everything else.
    Rules,
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
    /// `false`: it only counts.
    pub enforce: bool,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let it pass.
    Pass,
    /// Discard it.
    Drop,
}

/// One entry of `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// By name.
    Name(ProtocolName),
    /// By number, in both families.
    Number(u8),
    /// Every protocol.
    Any,
}

/// The names that `protocol` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolName {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// 132.
    Sctp,
    /// 1, in IPv4 only.
    Icmp,
    /// 58, in IPv6 only.
    Icmpv6,
    /// 2.
    Igmp,
    /// 47.
    Gre,
    /// 50.
    Esp,
    /// 51.
    Ah,
    /// 4.
    Ipip,
}

impl ProtocolName {
    /// Those without ports.
    pub const PORTLESS: [Self; 7] = [
        Self::Icmp,
        Self::Icmpv6,
        Self::Igmp,
        Self::Gre,
        Self::Esp,
        Self::Ah,
        Self::Ipip,
    ];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::Igmp => "igmp",
            Self::Gre => "gre",
            Self::Esp => "esp",
            Self::Ah => "ah",
            Self::Ipip => "ipip",
        }
    }

    /// Its number in the IANA registry.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
            Self::Sctp => SCTP,
            Self::Icmp => 1,
            Self::Icmpv6 => 58,
            Self::Igmp => 2,
            Self::Gre => 47,
            Self::Esp => 50,
            Self::Ah => 51,
            Self::Ipip => 4,
        }
    }
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Its name in the field `protocol`.
    #[must_use]
    pub fn protocol(self) -> ProtocolName {
        match self {
            Self::Tcp => ProtocolName::Tcp,
            Self::Udp => ProtocolName::Udp,
            Self::Sctp => ProtocolName::Sctp,
        }
    }
}

/// One entry of `ports`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortEntry {
    /// The ports.
    pub ports: Ports,
    /// What stands behind the `/`.
    pub suffix: Option<Transport>,
}

/// The ports of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// One.
    Number(u16),
    /// Low and high, both included.
    Range(u16, u16),
    /// A name from the catalogue.
    Service(Service),
    /// No condition.
    Any,
}

/// The few names of the catalogue that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// 22/tcp.
    Ssh,
    /// 53/tcp and 53/udp.
    Domain,
    /// 80/tcp.
    Http,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ssh, Self::Domain, Self::Http];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Domain => "domain",
            Self::Http => "http",
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Ssh => 22,
            Self::Domain => 53,
            Self::Http => 80,
        }
    }

    /// The protocols that it has.
    #[must_use]
    pub fn transports(self) -> &'static [Transport] {
        match self {
            Self::Ssh | Self::Http => &[Transport::Tcp],
            Self::Domain => &[Transport::Tcp, Transport::Udp],
        }
    }
}
