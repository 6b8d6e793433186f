//! What a policy says. A [`Policy`] that [`crate::check`] returns cannot be invalid.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use portguard_common::bucket::LONGEST_NS;

use crate::addresses::Addresses;
use crate::host_services::HostServices;
use crate::interface::InterfacePattern;
use crate::problem::{Place, Span};
use crate::services;
use crate::traffic::Traffic;

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The interfaces to guard; empty if the text leaves them to the command line.
    pub interfaces: Vec<InterfacePattern>,
    /// How to attach.
    pub attach: AttachMode,
    /// Fate of a packet that no rule decides.
    pub default: Fate,
    /// Replies to traffic that was started from this side pass, though a rule or the default would drop them.
    pub replies: bool,
    /// Essential traffic is matched only by rules that mean it, and passes if none decides.
    pub essential: bool,
    /// Fate of frames that are not IP.
    pub non_ip: Fate,
    /// Fate of IP packets that cannot be parsed.
    pub malformed: Fate,
    /// Fate of later fragments that no rule decides.
    pub fragments: Fragments,
    /// `false`: everything is counted as if enforced, then passed.
    pub enforce: bool,
    /// Sources that no rule, ban or limit stops.
    pub trusted: Vec<Trusted>,
    /// The host's own names of ports.
    pub services: HostServices,
    /// The rules, in the order in which they are tried.
    pub rules: Vec<Rule>,
    /// What the policy promises to do. Whether it does is not a matter of its text.
    pub assertions: Vec<Assertion>,
    /// What is served over HTTP, and where.
    pub metrics: Metrics,
    /// What is told of dropped packets; `None` for nothing.
    pub events: Option<Events>,
    /// What an orderly stop of the daemon leaves behind.
    pub on_stop: OnStop,
}

/// What is served over HTTP, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Where metrics can be scraped; nowhere if it is empty.
    pub listen: Vec<SocketAddr>,
    /// The web page beside them; `None` for none. Where it is not exposed, one address at least is of the loopback.
    pub page: Option<Page>,
}

impl Metrics {
    /// The page that is served at one of the addresses, if any is.
    pub fn page_at(&self, address: SocketAddr) -> Option<&Page> {
        let page = self.page.as_ref()?;
        (page.exposed || address.ip().is_loopback()).then_some(page)
    }
}

/// The web page that shows what the daemon does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `true`: at every address at which metrics are. Otherwise at those of the loopback alone.
    pub exposed: bool,
    /// Names by which a browser may ask for it, in lower case; beside `localhost` and the addresses themselves.
    pub hosts: Vec<String>,
}

/// What is told of dropped packets one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// How many at most, over all outcomes and interfaces together. Its burst is not used.
    pub rate: Rate,
    /// Bytes of each frame that are kept, from its Ethernet header on: `SNAP_MIN` to `SNAP_MAX` of `portguard_common::limits`.
    pub snap_bytes: u32,
}

/// What an orderly stop leaves behind. A crash always keeps filtering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// Nothing: the filter is taken away.
    #[default]
    Detach,
    /// The filter, which goes on as it is.
    Keep,
}

/// A promise: all of this traffic meets this fate. A `limit` counts as pass, a `reject` as drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// What must become of it.
    pub expected: Fate,
    /// The packets.
    pub traffic: Traffic,
    /// The traffic as it was written.
    pub text: String,
    /// Where `text` stands.
    pub place: Place,
    /// The same, in bytes.
    pub span: Span,
}

impl Policy {
    /// Whether some rule or trusted source has a condition on the interface.
    pub fn tells_interfaces_apart(&self) -> bool {
        let rules = self.rules.iter().any(|rule| rule.interfaces.is_some());
        rules
            || self
                .trusted
                .iter()
                .any(|trusted| trusted.interfaces.is_some())
    }

    /// Names of interfaces that stand for all: for each pattern of a rule or a trusted source one that it means and that
    /// is guarded, others of the guarded, and where any interface may be guarded, [`Self::OTHER_INTERFACE`]. Enough to
    /// compile the policy where no interface is at hand. Where three patterns overlap, a name that all mean may be missing.
    pub fn example_interfaces(&self) -> Vec<String> {
        let rules = self
            .rules
            .iter()
            .filter_map(|rule| rule.interfaces.as_ref());
        let trusted = self
            .trusted
            .iter()
            .filter_map(|trusted| trusted.interfaces.as_ref());
        let patterns: HashSet<&InterfacePattern> = rules.chain(trusted).flatten().collect();
        let guarded = &self.interfaces;
        let is_open = guarded.is_empty() || guarded.contains(&InterfacePattern::DefaultRoute);
        let mut names: Vec<String> = guarded
            .iter()
            .flat_map(InterfacePattern::examples)
            .collect();
        for pattern in patterns {
            names.extend(guarded.iter().filter_map(|own| own.common_example(pattern)));
            if is_open {
                names.extend(pattern.examples());
            }
        }
        if is_open {
            names.push(Self::OTHER_INTERFACE.to_owned());
        }
        let asserted = self.assertions.iter();
        names.extend(asserted.filter_map(|own| own.traffic.interface.clone()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The name of a port: that of the policy's own `services`, or of the catalogue.
    pub fn service_name(&self, transport: Transport, port: u16) -> Option<&str> {
        let own = self.services.name_of(transport, port);
        own.or_else(|| services::name_of(transport, port))
    }

    /// Whether an interface of this name may be guarded: also where the text leaves that to the routes or to the command
    /// line.
    pub fn guards(&self, name: &str) -> bool {
        let guarded = &self.interfaces;
        guarded.is_empty()
            || guarded
                .iter()
                .any(|own| *own == InterfacePattern::DefaultRoute || own.matches(name))
    }

    /// A name for any interface that no rule names.
    pub const OTHER_INTERFACE: &'static str = "other0";
}

/// Sources that pass before any rule, on some interfaces or on all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// The sources.
    pub from: Arc<Addresses>,
    /// The interfaces on which they are trusted; `None` for all.
    pub interfaces: Option<Vec<InterfacePattern>>,
}

/// Pass or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The packet goes on to the kernel.
    Pass,
    /// The packet is discarded.
    Drop,
}

/// Where in the kernel the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver if it can, else behind it.
    Auto,
    /// In the driver.
    Native,
    /// Behind the driver, where any device can.
    Generic,
}

/// What happens to later fragments that no rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragments {
    /// They pass.
    Pass,
    /// They are dropped.
    Drop,
    /// They pass up to a rate and are dropped beyond.
    Rate(Rate),
}

/// So many packets in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Packets, 1 or more.
    pub count: u64,
    /// The time.
    pub period: RatePeriod,
    /// Packets that may come at once, 1 or more.
    pub burst: u64,
}

impl Rate {
    /// Most packets that a rate or a burst may say: one a nanosecond, the unit of the kernel's clock.
    pub const MAX: u64 = 1_000_000_000;

    /// The burst of a rate that names none: what it passes in a second, at least 1.
    pub fn default_burst(count: u64, period: RatePeriod) -> u64 {
        match period {
            RatePeriod::Second => count,
            RatePeriod::Minute => count / 60,
        }
        .max(1)
    }

    /// The rate as it is written, without its burst.
    #[must_use]
    pub fn text(&self) -> String {
        let period = match self.period {
            RatePeriod::Second => 's',
            RatePeriod::Minute => 'm',
        };
        format!("{}/{period}", self.count)
    }

    /// Nanoseconds for one packet, rounded to the nearest.
    pub fn interval_ns(&self) -> u64 {
        let period_ns: u64 = match self.period {
            RatePeriod::Second => 1_000_000_000,
            RatePeriod::Minute => 60_000_000_000,
        };
        let count = self.count.max(1);
        ((period_ns + count / 2) / count).max(1)
    }

    /// Nanoseconds for the burst less one packet, at most [`LONGEST_NS`], which is a burst for ever.
    pub fn tolerance_ns(&self) -> u64 {
        let others = self.burst.saturating_sub(1);
        self.interval_ns().saturating_mul(others).min(LONGEST_NS)
    }
}

/// The time of a [`Rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePeriod {
    /// `N/s`
    Second,
    /// `N/m`
    Minute,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique in the policy: the identity of its counters.
    pub name: String,
    /// What it does with what it matches.
    pub action: RuleAction,
    /// What it matches: any of these, if all that follows holds too.
    pub services: Vec<ServiceMatch>,
    /// Source ports, any of these; `None` is no condition.
    pub source_ports: Option<Vec<SourceMatch>>,
    /// Source addresses; `None` is no condition.
    pub from: Option<Arc<Addresses>>,
    /// Destination addresses; `None` is no condition.
    pub to: Option<Arc<Addresses>>,
    /// Interfaces, any of these; `None` is no condition.
    pub interfaces: Option<Vec<InterfacePattern>>,
    /// VLAN IDs from 1 to 4094, any of these, where 0 is no VLAN; `None` is no condition.
    pub vlans: Option<Vec<u16>>,
    /// `false`: it only counts what it would drop.
    pub enforce: bool,
    /// `false`: nothing is told of the packets that it drops.
    pub events: bool,
    /// Free text.
    pub comment: Option<String>,
    /// Where its name stands.
    pub place: Place,
    /// The same, in bytes.
    pub span: Span,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Passes.
    Pass,
    /// Drops.
    Drop,
    /// Drops, and answers the sender.
    Reject,
    /// Passes up to a rate, and drops beyond.
    Limit(Limit),
}

impl fmt::Display for RuleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Limit(_) => "limit",
        })
    }
}

/// The ceiling of a rule with `action: limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What passes.
    pub rate: Rate,
    /// What has a ceiling of its own.
    pub per: Per,
}

/// What has a ceiling of its own in a [`Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each source: an IPv4 address, an IPv6 /64.
    Source,
    /// The rule.
    Rule,
}

/// Source ports that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceMatch {
    /// Ports of a protocol. No later fragment matches.
    Ports(Transport, PortRange),
    /// Every packet of a protocol, later fragments included.
    AnyPort(Transport),
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// Its name in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// The protocol of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.name() == name)
    }

    /// The protocol of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.number() == number)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Ports from `low` to `high`, both included, `low` not above `high`, neither 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// First port.
    pub low: u16,
    /// Last port.
    pub high: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}

/// One kind of packet that a rule matches. Essential traffic is matched by the variants that say so
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceMatch {
    /// `protocol: any`: every IP packet.
    Any,
    /// Destination ports of a protocol, as a number, a range or a name.
    Ports(Transport, PortRange),
    /// `ports: any` of a protocol, port 0 and later fragments included.
    AnyPort(Transport),
    /// `protocol: icmp`: protocol 1 in IPv4.
    Icmp,
    /// `protocol: icmpv6`: protocol 58 in IPv6.
    Icmpv6,
    /// A type of ICMP, essential or not, with one code or any.
    IcmpType {
        /// The message's type.
        kind: u8,
        /// Its code; `None` for any.
        code: Option<u8>,
    },
    /// A type of ICMPv6, essential or not, with one code or any.
    Icmpv6Type {
        /// The message's type.
        kind: u8,
        /// Its code; `None` for any.
        code: Option<u8>,
    },
    /// `protocol: ah`: protocol 51 in IPv4. IPv6 walks this header, so no packet has it there.
    Ah,
    /// An IP protocol by its number, in both families; never that of a [`Transport`].
    Protocol(u8),
    /// The essential part of `68/udp`, written so: an answer of a DHCP server.
    DhcpAnswer,
    /// The essential part of `546/udp`, written so: an answer of a DHCPv6 server.
    Dhcpv6Answer,
    /// The essential part of `protocol: igmp`: IGMP with TTL 1.
    EssentialIgmp,
}
