//! Descriptions of traffic: what an assertion speaks of, and what a user asks about.

mod protocol;
pub(crate) mod text;

use std::fmt;

use crate::conditions::NO_VLAN;
use crate::host_services::HostServices;
use crate::policy::Transport;
use crate::prefix::Prefix;
use crate::problem::Span;
use crate::protocols::protocol_name;
use crate::traffic::text::Purpose;

/// Packets that have something in common. What is not stated may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The protocol. With a port and without a protocol, every protocol that has ports is meant.
    pub protocol: Option<TrafficProtocol>,
    /// Source addresses.
    pub source: Option<Prefix>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination addresses, of the family of `source`.
    pub destination: Option<Prefix>,
    /// Destination port.
    pub destination_port: Option<u16>,
    /// The interface that the packets arrive at, by name.
    pub interface: Option<String>,
    /// VLAN ID from 1 to 4094, or 0 for none.
    pub vlan: Option<u16>,
}

/// The protocol of [`Traffic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrafficProtocol {
    /// One that has ports. TCP means a new connection (SYN).
    Transport(Transport),
    /// Protocol 1 in IPv4.
    Icmp {
        /// The message's type.
        kind: Option<u8>,
        /// Its code; only with a type.
        code: Option<u8>,
    },
    /// Protocol 58 in IPv6.
    Icmpv6 {
        /// The message's type.
        kind: Option<u8>,
        /// Its code; only with a type.
        code: Option<u8>,
    },
    /// Any other protocol by its number, in both families.
    Number(u8),
}

/// Why a text describes no traffic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TrafficError {
    /// Where in the text.
    pub span: Span,
    /// What is wrong, with what was found in backticks.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl Traffic {
    /// Reads `[PROTOCOL] [SOURCE][:PORT] -> [DESTINATION][:PORT] [via INTERFACE] [vlan N]`. Services are
    /// those of the built-in catalogue. Bits set behind a prefix are masked.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TrafficError> {
        text::read(text, &HostServices::default(), Purpose::Promise).map(|read| read.traffic)
    }

    /// Whether packets of a family can be meant.
    pub fn is_possible(&self, ipv4: bool) -> bool {
        let of_family = |prefix: &Option<Prefix>| prefix.is_none_or(|own| own.is_ipv4() == ipv4);
        let protocol = match self.protocol {
            Some(TrafficProtocol::Icmp { .. }) => ipv4,
            Some(TrafficProtocol::Icmpv6 { .. }) => !ipv4,
            _ => true,
        };
        protocol && of_family(&self.source) && of_family(&self.destination)
    }
}

impl TrafficProtocol {
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Self::Transport(transport) => transport.number(),
            Self::Icmp { .. } => 1,
            Self::Icmpv6 { .. } => 58,
            Self::Number(number) => number,
        }
    }

    /// Whether it has ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::Transport(_))
    }
}

impl fmt::Display for TrafficProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, kind, code) = match *self {
            Self::Transport(transport) => return transport.fmt(f),
            Self::Icmp { kind, code } => ("icmp", kind, code),
            Self::Icmpv6 { kind, code } => ("icmpv6", kind, code),
            // By these names they are protocols of one family.
            Self::Number(number @ (1 | 58)) => return write!(f, "{number}"),
            Self::Number(number) => match protocol_name(number) {
                Some(name) => (name, None, None),
                None => return write!(f, "{number}"),
            },
        };
        f.write_str(name)?;
        for part in [kind, code].into_iter().flatten() {
            write!(f, "/{part}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(protocol) = self.protocol {
            write!(f, "{protocol} ")?;
        }
        let source = endpoint(self.source, self.source_port);
        if !source.is_empty() {
            write!(f, "{source} ")?;
        }
        f.write_str("->")?;
        let destination = endpoint(self.destination, self.destination_port);
        if !destination.is_empty() {
            write!(f, " {destination}")?;
        }
        if let Some(interface) = &self.interface {
            write!(f, " via {interface}")?;
        }
        match self.vlan {
            Some(0) => write!(f, " vlan {NO_VLAN}"),
            Some(vlan) => write!(f, " vlan {vlan}"),
            None => Ok(()),
        }
    }
}

fn endpoint(prefix: Option<Prefix>, port: Option<u16>) -> String {
    match (prefix, port) {
        (None, None) => String::new(),
        (Some(prefix), None) => prefix.to_string(),
        (None, Some(port)) => format!(":{port}"),
        (Some(prefix), Some(port)) if prefix.is_ipv4() => format!("{prefix}:{port}"),
        (Some(prefix), Some(port)) => format!("[{prefix}]:{port}"),
    }
}
