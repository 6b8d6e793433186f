//! Protocols, ports and their names.

use crate::frame::{SCTP, TCP, UDP};

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

/// The few names of ports that are used here: of the catalogue, and of the host's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// 22/tcp.
    Ssh,
    /// 53/tcp and 53/udp.
    Domain,
    /// 80/tcp.
    Http,
    /// The host's own: 8443/tcp.
    App,
    /// The host's own: 7946/tcp and 7946/udp.
    Mesh,
    /// The host's own `http`, which goes before that of the catalogue: 8081/tcp and 8081/udp.
    OwnHttp,
}

impl Service {
    /// Those of the catalogue.
    pub const CATALOGUE: [Self; 3] = [Self::Ssh, Self::Domain, Self::Http];

    /// Those that a policy has to define.
    pub const OWN: [Self; 3] = [Self::App, Self::Mesh, Self::OwnHttp];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Domain => "domain",
            Self::Http | Self::OwnHttp => "http",
            Self::App => "app",
            Self::Mesh => "mesh",
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Ssh => 22,
            Self::Domain => 53,
            Self::Http => 80,
            Self::App => 8443,
            Self::Mesh => 7946,
            Self::OwnHttp => 8081,
        }
    }

    /// The protocols that it has.
    #[must_use]
    pub fn transports(self) -> &'static [Transport] {
        match self {
            Self::Ssh | Self::Http | Self::App => &[Transport::Tcp],
            Self::Domain | Self::Mesh | Self::OwnHttp => &[Transport::Tcp, Transport::Udp],
        }
    }
}
