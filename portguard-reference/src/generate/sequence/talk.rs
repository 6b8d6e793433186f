//! Two hosts that talk: what this side sends, what the other side sends back, and what only looks like it.

use std::net::IpAddr;

use crate::frame::{ACK, FIN, RST, SYN, TCP, UDP};
use crate::generate::addresses::{address, neighbour};
use crate::generate::frames::{Arrival, interface};
use crate::generate::packets::{aim, at_rule};
use crate::generate::sound::{Draft, icmp, message, segment};
use crate::policy::{Action, Policy, Vlan};
use crate::random::Random;

/// TCP flag.
const PSH: u8 = 0x08;

/// A talk that this side opens.
#[derive(Clone)]
pub(super) struct Talk {
    interface: String,
    vlan: Option<u16>,
    /// TCP, UDP, or the family's ICMP.
    protocol: u8,
    /// Address and port; of echo, the identifier.
    local: (IpAddr, u16),
    remote: (IpAddr, u16),
}

impl Talk {
    /// One of which the other side's packets meet a rule, preferably one that drops.
    pub(super) fn new(policy: &Policy, random: &mut Random) -> Self {
        let droppers: Vec<usize> = policy
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.enforce && rule.action != Action::Pass)
            .map(|(index, _)| index)
            .collect();
        let aim = if droppers.is_empty() || random.one_in(4) {
            aim(policy, random)
        } else {
            let rule = &policy.rules[random.pick(&droppers)];
            at_rule(policy, rule, random)
        };
        let is_ipv6 = aim.ipv6;
        let protocol = match aim.protocol {
            protocol @ (TCP | UDP) => protocol,
            1 | 58 => icmp(is_ipv6),
            _ => random.pick(&[TCP, UDP, icmp(is_ipv6)]),
        };
        Self {
            interface: interface(policy, &aim.interfaces, random),
            vlan: match aim.vlan {
                Some(Vlan::Id(id)) => Some(id),
                Some(Vlan::None) => None,
                None => random.pick(&[None, None, Some(10)]),
            },
            protocol,
            local: (
                aim.to.unwrap_or_else(|| address(is_ipv6, random)),
                aim.destination,
            ),
            remote: (
                aim.from.unwrap_or_else(|| address(is_ipv6, random)),
                aim.source,
            ),
        }
    }

    fn is_ipv6(&self) -> bool {
        self.local.0.is_ipv6()
    }

    fn is_echo(&self) -> bool {
        self.protocol != TCP && self.protocol != UDP
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.protocol == TCP
    }

    fn arrival(&self, draft: &Draft, random: &mut Random) -> Arrival {
        Arrival {
            interface: self.interface.clone(),
            frame: draft.frame(random),
        }
    }

    fn sent(&self, flags: u8, data: usize) -> Draft {
        let payload = if self.is_echo() {
            let kind = if self.is_ipv6() { 128 } else { 8 };
            message(kind, 0, &self.echo(data))
        } else {
            let ports = (self.local.1, self.remote.1);
            segment(self.protocol, ports, flags, data)
        };
        self.draft(self.local.0, self.remote.0, payload)
    }

    fn received(&self, flags: u8, data: usize) -> Draft {
        let payload = if self.is_echo() {
            let kind = if self.is_ipv6() { 129 } else { 0 };
            message(kind, 0, &self.echo(data))
        } else {
            let ports = (self.remote.1, self.local.1);
            segment(self.protocol, ports, flags, data)
        };
        self.draft(self.remote.0, self.local.0, payload)
    }

    /// Identifier, sequence number, data.
    fn echo(&self, data: usize) -> Vec<u8> {
        let mut rest = self.local.1.to_be_bytes().to_vec();
        rest.extend([0, 1]);
        rest.resize(4 + data, 0);
        rest
    }

    fn draft(&self, source: IpAddr, destination: IpAddr, payload: Vec<u8>) -> Draft {
        Draft {
            vlan: self.vlan,
            source,
            destination,
            protocol: self.protocol,
            payload,
            fragment: None,
            options: false,
        }
    }

    /// The first packet.
    pub(super) fn opening(&self, random: &mut Random) -> Arrival {
        self.arrival(&self.sent(SYN, 0), random)
    }

    /// The last one, of TCP.
    pub(super) fn closing(&self, random: &mut Random) -> Arrival {
        self.arrival(&self.sent(FIN | ACK, 0), random)
    }

    /// Any packet that this side sends.
    pub(super) fn leaving(&self, policy: &Policy, random: &mut Random) -> Arrival {
        let flags = random.pick(&[
            SYN,
            SYN,
            SYN | ACK,
            ACK,
            ACK,
            ACK,
            PSH | ACK,
            FIN | ACK,
            FIN | ACK,
            RST,
            RST | ACK,
        ]);
        let mut draft = self.sent(flags, random.pick(&[0, 0, 16, 64]));
        unusual(&mut draft, random);
        let mut leaving = self.arrival(&draft, random);
        if random.one_in(30) {
            // Too short for all that it says: it starts nothing.
            let length = leaving.frame.len() - random.below(20);
            leaving.frame.truncate(length.max(14));
        }
        if random.one_in(20) {
            leaving.interface = interface(policy, &[], random);
        }
        leaving
    }

    /// What the other side sends, or what is just beside it.
    pub(super) fn arriving(&self, policy: &Policy, random: &mut Random) -> Arrival {
        let flags = random.pick(&[SYN | ACK, ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK]);
        let data = random.pick(&[0, 0, 16, 40, 64]);
        let mut arriving = match random.below(20) {
            0 => self.arrival(&self.received(SYN, 0), random),
            1 => {
                let mut other = self.clone();
                other.mistake(random);
                self.arrival(&other.received(flags, data), random)
            }
            2 => {
                // An echo request, or the opener's own packet come back.
                let mut draft = self.sent(flags, data);
                draft.source = self.remote.0;
                draft.destination = self.local.0;
                self.arrival(&draft, random)
            }
            3..=8 => self.arrival(&self.error(random), random),
            _ => {
                let mut draft = self.received(flags, data);
                unusual(&mut draft, random);
                self.arrival(&draft, random)
            }
        };
        if random.one_in(20) {
            arriving.interface = interface(policy, &[], random);
        }
        arriving
    }

    /// Something becomes another.
    fn mistake(&mut self, random: &mut Random) {
        match random.below(5) {
            0 => self.local.1 = self.local.1.wrapping_add(1),
            1 => self.remote.1 = self.remote.1.wrapping_sub(1),
            2 => self.local.0 = neighbour(self.local.0, random),
            3 => self.remote.0 = neighbour(self.remote.0, random),
            _ => std::mem::swap(&mut self.local, &mut self.remote),
        }
    }

    /// An ICMP error about a packet that this side sent, or nearly so.
    fn error(&self, random: &mut Random) -> Draft {
        let is_ipv6 = self.is_ipv6();
        let kind = if is_ipv6 {
            random.pick(&[1, 1, 2, 3, 4, 5, 137])
        } else {
            random.pick(&[3, 3, 3, 11, 12, 4, 5])
        };
        let mut about = self.clone();
        if random.one_in(8) {
            about.mistake(random);
        }
        let mut quoted = about.sent(random.pick(&[SYN, ACK]), 20);
        if random.one_in(12) {
            quoted = about.received(ACK, 20);
        }
        quoted.fragment = random.pick(&[
            None,
            None,
            None,
            None,
            None,
            None,
            Some((0, true)),
            Some((1, false)),
            Some((185, true)),
        ]);
        quoted.options = random.one_in(8);
        let mut packet = quoted.packet();
        let header = packet.len() - quoted.payload.len();
        let length = match random.below(8) {
            0 => header + random.below(9),
            1 => random.below(header),
            2 => packet.len(),
            _ => header + 8,
        };
        packet.truncate(length);
        let mut rest = vec![0; 4];
        rest.extend(packet);
        // From the other side, or from a router on the way.
        let router = address(is_ipv6, random);
        let source = random.pick(&[self.remote.0, router]);
        Draft {
            protocol: icmp(is_ipv6),
            ..self.draft(
                source,
                self.local.0,
                message(kind, random.byte() & 3, &rest),
            )
        }
    }
}

/// Options and fragments, now and then.
fn unusual(draft: &mut Draft, random: &mut Random) {
    draft.options = random.one_in(12);
    draft.fragment = match random.below(30) {
        // In IPv6 a whole packet with a fragment header.
        0 => Some((0, false)),
        1 => Some((0, true)),
        2 => Some((random.pick(&[2, 185]), false)),
        _ => None,
    };
    if random.one_in(20) {
        draft.vlan = random.pick(&[None, Some(1), Some(4094)]);
    }
}
