//! Packets, by all that a rule of portguard can tell them apart by.

use std::net::IpAddr;

use crate::interfaces::Interfaces;
use crate::ranges::Ranges;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

/// Protocols whose ports portguard reads.
pub(crate) const WITH_PORTS: [u8; 3] = [TCP, UDP, SCTP];

pub(crate) const LAST_V4: u128 = u32::MAX as u128;
pub(crate) const LAST_V6: u128 = u128::MAX;
pub(crate) const LAST_PORT: u128 = u16::MAX as u128;
/// Of an ICMP type times 256 and its code.
pub(crate) const LAST_KIND: u128 = u16::MAX as u128;
const LAST_PROTOCOL: u128 = u8::MAX as u128;

/// All packets for which all of this holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// IPv4 and IPv6 sources; a family of which there are none is not meant.
    pub(crate) from: Addresses,
    pub(crate) to: Addresses,
    pub(crate) protocols: Ranges,
    /// Of those in [`WITH_PORTS`]; the field is of no meaning for others.
    pub(crate) source_ports: Ranges,
    pub(crate) ports: Ranges,
    /// Types of ICMP in IPv4: type times 256, and the code.
    pub(crate) icmp: Ranges,
    /// The same of ICMPv6 in IPv6.
    pub(crate) icmpv6: Ranges,
    pub(crate) interfaces: Interfaces,
}

/// Addresses of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) v4: Ranges,
    pub(crate) v6: Ranges,
}

impl Addresses {
    pub(crate) fn all() -> Self {
        Self {
            v4: Ranges::up_to(LAST_V4),
            v6: Ranges::up_to(LAST_V6),
        }
    }

    pub(crate) fn none() -> Self {
        Self {
            v4: Ranges::EMPTY,
            v6: Ranges::EMPTY,
        }
    }

    /// The addresses from one to another of the same family.
    pub(crate) fn range(first: IpAddr, last: IpAddr) -> Option<Self> {
        let mut own = Self::none();
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                own.v4 = Ranges::new([(u32::from(first).into(), u32::from(last).into())]);
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                own.v6 = Ranges::new([(first.into(), last.into())]);
            }
            _ => return None,
        }
        Some(own)
    }

    /// The addresses that begin with so many bits of one; `None` if the family has fewer.
    pub(crate) fn prefix(address: IpAddr, length: u32) -> Option<Self> {
        let host = |bits: u32| {
            let length = bits.checked_sub(length)?;
            Some(
                1_u128
                    .checked_shl(length)
                    .map_or(u128::MAX, |size| size - 1),
            )
        };
        let mut own = Self::none();
        match address {
            IpAddr::V4(address) => {
                let (address, host) = (u128::from(u32::from(address)), host(32)?);
                own.v4 = Ranges::new([(address & !host, address | host)]);
            }
            IpAddr::V6(address) => {
                let (address, host) = (u128::from(address), host(128)?);
                own.v6 = Ranges::new([(address & !host, address | host)]);
            }
        }
        Some(own)
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.union(&other.v4),
            v6: self.v6.union(&other.v6),
        }
    }

    /// The other addresses of the families that it has.
    pub(crate) fn complement(&self) -> Self {
        let other = |own: &Ranges, most| {
            if own.is_empty() {
                Ranges::EMPTY
            } else {
                own.complement(most)
            }
        };
        Self {
            v4: other(&self.v4, LAST_V4),
            v6: other(&self.v6, LAST_V6),
        }
    }

    fn intersect(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.intersect(&other.v4),
            v6: self.v6.intersect(&other.v6),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        self.v4.covers(&other.v4) && self.v6.covers(&other.v6)
    }
}

impl Region {
    /// Every packet of IP.
    pub(crate) fn all() -> Self {
        Self {
            from: Addresses::all(),
            to: Addresses::all(),
            protocols: Ranges::up_to(LAST_PROTOCOL),
            source_ports: Ranges::up_to(LAST_PORT),
            ports: Ranges::up_to(LAST_PORT),
            icmp: Ranges::up_to(LAST_KIND),
            icmpv6: Ranges::up_to(LAST_KIND),
            interfaces: Interfaces::default(),
        }
    }

    pub(crate) fn v4() -> Self {
        Self::all().of_v4()
    }

    pub(crate) fn v6() -> Self {
        Self::all().of_v6()
    }

    pub(crate) fn protocol(number: u8) -> Self {
        Self::all().with_protocols(Ranges::one(number.into()))
    }

    pub(crate) fn of_v4(mut self) -> Self {
        self.from.v6 = Ranges::EMPTY;
        self.to.v6 = Ranges::EMPTY;
        self
    }

    pub(crate) fn of_v6(mut self) -> Self {
        self.from.v4 = Ranges::EMPTY;
        self.to.v4 = Ranges::EMPTY;
        self
    }

    pub(crate) fn with_protocols(mut self, protocols: Ranges) -> Self {
        self.protocols = protocols;
        self
    }

    pub(crate) fn with_from(mut self, from: Addresses) -> Self {
        self.from = from;
        self
    }

    pub(crate) fn with_to(mut self, to: Addresses) -> Self {
        self.to = to;
        self
    }

    pub(crate) fn with_ports(mut self, ports: Ranges) -> Self {
        self.ports = ports;
        self
    }

    pub(crate) fn with_source_ports(mut self, ports: Ranges) -> Self {
        self.source_ports = ports;
        self
    }

    pub(crate) fn with_interfaces(mut self, interfaces: Interfaces) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// Types of ICMP, which is of IPv4.
    pub(crate) fn icmp(kinds: Ranges) -> Self {
        let mut own = Self::protocol(ICMP).of_v4();
        own.icmp = kinds;
        own
    }

    /// Types of ICMPv6.
    pub(crate) fn icmpv6(kinds: Ranges) -> Self {
        let mut own = Self::protocol(ICMPV6).of_v6();
        own.icmpv6 = kinds;
        own
    }

    pub(crate) fn has_v4(&self) -> bool {
        !self.from.v4.is_empty() && !self.to.v4.is_empty()
    }

    pub(crate) fn has_v6(&self) -> bool {
        !self.from.v6.is_empty() && !self.to.v6.is_empty()
    }

    /// Whether the source or destination port makes a difference.
    pub(crate) fn tells_ports(&self) -> bool {
        let all = Ranges::up_to(LAST_PORT);
        self.ports != all || self.source_ports != all
    }

    /// `None` if no packet is in both.
    pub(crate) fn intersect(&self, other: &Self) -> Option<Self> {
        Self {
            from: self.from.intersect(&other.from),
            to: self.to.intersect(&other.to),
            protocols: self.protocols.intersect(&other.protocols),
            source_ports: self.source_ports.intersect(&other.source_ports),
            ports: self.ports.intersect(&other.ports),
            icmp: self.icmp.intersect(&other.icmp),
            icmpv6: self.icmpv6.intersect(&other.icmpv6),
            interfaces: self.interfaces.intersect(&other.interfaces),
        }
        .reduced()
    }

    /// The same packets, without what no packet can have; `None` if there are none.
    fn reduced(mut self) -> Option<Self> {
        if !self.has_v4() {
            self = self.of_v6();
        }
        if !self.has_v6() {
            self = self.of_v4();
        }
        // A protocol that is only there in one family, with types of which there are none.
        let without = |protocols: &Ranges, number: u8| {
            protocols.intersect(&Ranges::one(number.into()).complement(LAST_PROTOCOL))
        };
        if self.icmp.is_empty() && !self.has_v6() {
            self.protocols = without(&self.protocols, ICMP);
        }
        if self.icmpv6.is_empty() && !self.has_v4() {
            self.protocols = without(&self.protocols, ICMPV6);
        }
        if self.ports.is_empty() || self.source_ports.is_empty() {
            for number in WITH_PORTS {
                self.protocols = without(&self.protocols, number);
            }
        }
        // Fields that no packet of these protocols has are no condition.
        let has = |number: &u8| self.protocols.holds((*number).into());
        if !WITH_PORTS.iter().any(has) {
            self.ports = Ranges::up_to(LAST_PORT);
            self.source_ports = Ranges::up_to(LAST_PORT);
        }
        if !has(&ICMP) || !self.has_v4() {
            self.icmp = Ranges::up_to(LAST_KIND);
        }
        if !has(&ICMPV6) || !self.has_v6() {
            self.icmpv6 = Ranges::up_to(LAST_KIND);
        }
        let is_empty = self.protocols.is_empty()
            || self.interfaces.is_empty()
            || !(self.has_v4() || self.has_v6());
        (!is_empty).then_some(self)
    }

    /// Whether every packet of another is in it. May say no where it is so.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.intersect(other).as_ref() == Some(other)
            || (self.from.covers(&other.from)
                && self.to.covers(&other.to)
                && self.protocols.covers(&other.protocols)
                && self.source_ports.covers(&other.source_ports)
                && self.ports.covers(&other.ports)
                && self.icmp.covers(&other.icmp)
                && self.icmpv6.covers(&other.icmpv6)
                && self.interfaces.covers(&other.interfaces))
    }

    /// What is left without another, and more where that is no region; `None` if nothing is.
    pub(crate) fn without(&self, other: &Self) -> Option<Self> {
        let Some(common) = self.intersect(other) else {
            return Some(self.clone());
        };
        let minus = |own: &Ranges, its: &Ranges| own.intersect(&its.complement(LAST_V6));
        let mut left = self.clone();
        left.to.v4 = minus(&self.to.v4, &common.to.v4);
        left.to.v6 = minus(&self.to.v6, &common.to.v6);
        // All of the rest must be taken away for what is left to be told by the destination alone.
        let mut but_destination = common;
        but_destination.to = self.to.clone();
        if but_destination != *self {
            return Some(self.clone());
        }
        left.reduced()
    }

    /// Whether some packet is in both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.intersect(other).is_some()
    }
}
