//! What `reject` answers, and what it discards in silence (`docs/policy.md`, "Verdicts").

use std::net::{IpAddr, Ipv4Addr};

use super::buckets::Bucket;
use crate::frame::{ICMP, ICMPV6, Packet, RST, Segment, TCP};
use crate::policy::{Period, Rate};

/// Answers of the host in a second, and how many at once.
const ANSWERS: u32 = 100;

/// Where the hardware addresses begin.
const DESTINATION: usize = 0;
const SOURCE: usize = 6;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// Of ICMP and ICMPv6.
const ERROR_HEADER: usize = 8;
/// What an error quotes at least of the packet, behind its IP headers.
const QUOTED: usize = 8;
/// What it quotes at most, from the IP header on.
const MOST_QUOTED: usize = 256;

/// Answers that the host has left.
#[derive(Clone, Debug, Default)]
pub(super) struct AnswerBudget(Option<Bucket>);

impl AnswerBudget {
    pub(super) fn take(&mut self, now_ns: u64) -> bool {
        let rate = Rate {
            packets: ANSWERS,
            per: Period::Second,
        };
        self.0
            .get_or_insert_with(|| Bucket::full(rate, ANSWERS, now_ns))
            .take(now_ns)
    }
}

/// Whether a rejected packet is one to answer, the budget aside.
pub(super) fn may_be_answered(packet: &Packet, frame: &[u8]) -> bool {
    let is_reset = packet.tcp_flags().is_some_and(|flags| flags & RST != 0);
    // The lowest bit of the first byte makes a group address.
    let is_group = |at: usize| frame.get(at).is_some_and(|byte| byte & 1 == 1);
    !packet.layout.is_fragment
        && !is_reset
        && !is_error(packet)
        && !is_special(packet.source)
        && !is_special(packet.destination)
        && !is_group(DESTINATION)
        && !is_group(SOURCE)
        && can_be_quoted(packet)
        && answer_length(packet) <= frame.len()
}

/// An error that left out what the sender knows its packet by would tell it nothing, and a packet with longer headers
/// than that has no answer at all.
fn can_be_quoted(packet: &Packet) -> bool {
    let has_enough = packet.protocol == TCP || packet.payload.len() >= QUOTED;
    has_enough && packet.layout.ip_length + QUOTED <= MOST_QUOTED
}

fn is_error(packet: &Packet) -> bool {
    match (packet.protocol, packet.segment) {
        (ICMP, Segment::Message { kind, .. }) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        // A redirect asks for no answer either (RFC 4443, 2.4).
        (ICMPV6, Segment::Message { kind, .. }) => kind < 128 || kind == 137,
        _ => false,
    }
}

fn is_special(address: IpAddr) -> bool {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    is_broadcast || address.is_multicast() || address.is_unspecified() || address.is_loopback()
}

fn answer_length(packet: &Packet) -> usize {
    let layout = packet.layout;
    let header = if packet.is_ipv6() {
        IPV6_HEADER
    } else {
        IPV4_HEADER
    };
    let rest = if packet.protocol == TCP {
        TCP_HEADER
    } else {
        ERROR_HEADER + layout.ip_length + QUOTED
    };
    layout.link_length + header + rest
}
