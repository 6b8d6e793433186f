//! From the headers of a packet to what happens to it and what is counted.

use crate::abi::{
    Action, Builtin, FRAGMENTS_DROP, FRAGMENTS_PASS, PackedNode, Row, Setting, counter, drops,
    service,
};
use crate::ban::{self, Address};
use crate::combine::{Direction, find_cell};
use crate::constant::{CellView, StageView, TrieView};
use crate::flow::Candidate;
use crate::limiter::Asked;
use crate::packet::{Family, Frame, Headers, Transport, Unparsed, protocol};
use crate::trie::Window;

/// The tables of one generation, and the state that outlives it.
pub trait Tables {
    /// Some entries of the tables of 16 bits in a row.
    type Window<'t>: Window
    where
        Self: 't;
    /// A setting, frozen when the program was loaded.
    fn setting(&self, setting: Setting) -> u32;
    /// How the class of a [`crate::abi::field`] is combined with those before it, frozen too.
    fn stage(&self, field: usize) -> impl StageView;
    /// Whether rules have conditions on any field but the service.
    fn is_narrowed(&self) -> bool {
        true
    }
    /// A trie by [`crate::abi::Trie::index`], frozen too.
    fn trie(&self, index: usize) -> impl TrieView;
    /// The class of the service at an index below [`service::LEN`].
    fn service_class(&self, index: u32) -> u16;
    /// The class of the source port at an index below [`crate::abi::source_port::LEN`].
    fn source_port_class(&self, index: u32) -> u16;
    /// The class of a VLAN ID; 0 is none.
    fn vlan_class(&self, vlan: u16) -> u16;
    /// The class of the interface.
    fn interface_class(&self) -> u16;
    /// An entry of the tables of 16 bits.
    fn half(&self, index: u32) -> u16;
    /// The entry of the tables of 16 bits that is `row + column` behind the first one of a [`crate::abi::Stage::NEAR`]. Both are of 16 bits.
    #[inline(always)]
    fn near_half(&self, first: u32, row: u64, column: u64) -> u16 {
        self.half(first + row as u32 + column as u32)
    }
    /// An entry of the tables of 32 bits.
    fn word(&self, index: u32) -> u32;
    /// One of the 65,536 entries of the tables of 32 bits from the first one on, which are there, by the upper half of an address.
    #[inline(always)]
    fn word_of_upper(&self, first: u32, address: u32) -> u32 {
        self.word(first + (address >> 16))
    }
    /// One of the 65,536 entries of the tables of 16 bits from the first one on, likewise.
    #[inline(always)]
    fn half_of_upper(&self, first: u32, address: u32) -> u16 {
        self.half(first + (address >> 16))
    }
    /// A row of a sparse stage.
    fn row(&self, index: u32) -> Row;
    /// The [`crate::abi::List::WINDOW`] entries of the tables of 16 bits from `first + index * UNIT` on, which are there for each index below `end`; `None` for
    /// any other. The index went through [`crate::conceal::Conceal`].
    fn window<const UNIT: u32>(&self, first: u32, index: u64, end: u32)
    -> Option<Self::Window<'_>>;
    /// A node of a packed trie, or a gate; `None` where there is none.
    fn node(&self, index: u32) -> Option<&PackedNode>;
    /// The class of an IPv6 address by one of the tries from a word on, see [`crate::trie::find_below`].
    fn find_below(&self, trie: usize, word: u32, passed: u32, high: u64, low: u64) -> u16;
    /// What a cell says.
    fn cell(&self, cell: u16) -> impl CellView;
    /// Whether any source of a family is banned: asked of each packet, and so to be cheap.
    fn has_bans(&self, v6: bool) -> bool;
    /// Whether a source is banned, see [`crate::ban::is_banned`].
    fn is_banned(&self, source: Address) -> bool;
    /// Whether a packet comes from a banned source, by where its IP header begins; asked only where there are any.
    #[inline(always)]
    fn comes_from_banned<F: Frame>(&self, frame: &F, network_offset: u32, v6: bool) -> bool {
        ban::source(frame, network_offset, v6).is_some_and(|source| self.is_banned(source))
    }
    /// Asks the limits of a cell, by the index of the first of them, for a packet of a source: see
    /// [`crate::limiter::ask`].
    fn ask_limits(&self, first: u32, source: Source) -> Asked;
    /// Takes a token for a later fragment; `false` when the rate is used up.
    fn take_fragment_token(&self) -> bool;
    /// Whether a packet about to be dropped is a reply to what this side started.
    fn is_reply<F: Frame>(&self, frame: &F, packet: &Candidate) -> bool;
}

/// What happens to a frame when verdicts are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The packet goes on to the kernel's network stack.
    Pass,
    /// The packet is discarded.
    Drop,
    /// The packet is discarded, and its sender answered as [`crate::answer`] allows.
    Reject,
}

/// What was decided about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What happens to the frame when verdicts are enforced.
    pub verdict: Verdict,
    /// Counter of the outcome.
    pub counter: u32,
    /// Counter of the matching rules that only count, where the cell's own does not say it; else
    /// [`counter::NONE`].
    pub shadow: u32,
    /// Index in the table of drops by port, or [`counter::NONE`].
    pub drop: u32,
    /// The cell, 0 for what is not IP or malformed.
    pub cell: u16,
    /// Which limits of the cell the packet is beyond, bit by bit from the first.
    pub beyond: u32,
}

/// The source of a packet, as far as a limit tells sources apart: an IPv4 address or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The family.
    pub v6: bool,
    /// The address, or the upper half of it.
    pub bits: u64,
}

/// What is done with what was decided. It stands in the program once for each way to decide, so that the compiler knows what each one leaves
/// no doubt about, and need not keep it.
pub trait Decided {
    /// What comes of it.
    type Output;

    /// Does it. To be inlined always.
    fn decided(&self, judgement: &Judgement) -> Self::Output;
}

/// Gives back what was decided.
pub struct Keep;

impl Decided for Keep {
    type Output = Judgement;

    #[inline(always)]
    fn decided(&self, judgement: &Judgement) -> Judgement {
        *judgement
    }
}

/// Judges what [`crate::packet::parse`] made of a frame.
pub fn judge<F: Frame, T: Tables>(
    frame: &F,
    parsed: &Result<Headers, Unparsed>,
    tables: &T,
) -> Judgement {
    match *parsed {
        Ok(ref headers) => classify(frame, headers, tables, &Keep),
        Err(Unparsed::NotIp { keeps_link }) => not_ip(keeps_link, tables),
        Err(Unparsed::Malformed(reason)) => malformed(reason as u32, tables),
    }
}

/// Judges a frame that is not IP; `keeps_link` as in [`Unparsed::NotIp`].
#[inline(always)]
pub fn not_ip<T: Tables>(keeps_link: bool, tables: &T) -> Judgement {
    let dropped = !keeps_link && tables.setting(Setting::NonIpDrop) != 0;
    builtin(dropped, Builtin::NonIp as u32, counter::NONE)
}

/// Judges a frame that is malformed, by the number of the reason.
#[inline(always)]
pub fn malformed<T: Tables>(reason: u32, tables: &T) -> Judgement {
    let dropped = tables.setting(Setting::MalformedDrop) != 0;
    builtin(dropped, counter::MALFORMED + reason, counter::NONE)
}

/// Judges an IP packet by its headers.
#[inline(always)]
pub fn classify<F: Frame, T: Tables, D: Decided>(
    frame: &F,
    headers: &Headers,
    tables: &T,
    then: &D,
) -> D::Output {
    let service = service_if(headers, || tables.setting(Setting::Essential) != 0);
    let (service, headers) = forget_kind(frame, service, headers);
    classify_service(frame, &headers, service, tables, then)
}

/// The same for a packet of [`crate::plain::with_plain`]. There are so few kinds of them that the verifier may check what follows
/// for each, and the compiler may leave out what they do not need.
#[inline(always)]
pub fn classify_plain<F: Frame, T: Tables, D: Decided>(
    frame: &F,
    headers: &Headers,
    tables: &T,
    then: &D,
) -> D::Output {
    // None of them is essential.
    classify_service(frame, headers, service(headers, false), tables, then)
}

#[inline(always)]
fn classify_service<F: Frame, T: Tables, D: Decided>(
    frame: &F,
    headers: &Headers,
    service: Service,
    tables: &T,
    then: &D,
) -> D::Output {
    // Asked first, since little has to be kept meanwhile: what is kept during a call lies in memory.
    let v6 = headers.family == Family::V6;
    let is_banned =
        tables.has_bans(v6) && tables.comes_from_banned(frame, headers.network_offset, v6);
    let number = find_cell(frame, headers, service, Direction::Arriving, tables);
    let cell = tables.cell(number);
    let mut judgement = Judgement {
        verdict: Verdict::Pass,
        counter: counter::CELL + u32::from(number),
        shadow: counter::NONE,
        drop: counter::NONE,
        cell: number,
        beyond: 0,
    };
    // Before any limit: a banned packet takes no token. It is no reply either, since a ban cuts a source off.
    if is_banned && cell.action() != Action::Trusted {
        let drop = drop_index(service, headers);
        return then.decided(&builtin(true, Builtin::Banned as u32, drop));
    }
    let over = if tables.setting(Setting::Limits) != 0 && cell.limits() != 0 {
        ask_limits(frame, headers, &cell, tables, &mut judgement)
    } else {
        counter::NONE
    };
    let refused = |verdict, judgement| {
        let judgement = Judgement {
            verdict,
            ..judgement
        };
        refuse(frame, headers, service, &cell, tables, then, judgement)
    };
    match cell.action() {
        Action::Undecided => undecided(frame, headers, service, &cell, tables, then, judgement),
        Action::Pass => then.decided(&judgement),
        Action::Drop => refused(Verdict::Drop, judgement),
        Action::Reject => refused(Verdict::Reject, judgement),
        Action::Limit if over == counter::NONE => then.decided(&judgement),
        Action::Limit => {
            decided_otherwise(&mut judgement, &cell, over);
            refused(Verdict::Drop, judgement)
        }
        Action::Trusted => {
            judgement.counter = Builtin::Trusted as u32;
            then.decided(&judgement)
        }
    }
}

/// No rule decides a packet.
#[inline(always)]
fn undecided<F: Frame, T: Tables, D: Decided>(
    frame: &F,
    headers: &Headers,
    service: Service,
    cell: &impl CellView,
    tables: &T,
    then: &D,
    mut judgement: Judgement,
) -> D::Output {
    let (dropped, outcome) = if service.is_essential() {
        (false, Builtin::Essential)
    } else if headers.later_fragment {
        (is_fragment_dropped(tables), Builtin::LaterFragment)
    } else if tables.setting(Setting::DefaultDrop) != 0 {
        // Written out, since it is what becomes of a flood.
        decided_otherwise(&mut judgement, cell, Builtin::DefaultDrop as u32);
        judgement.verdict = Verdict::Drop;
        return refuse(frame, headers, service, cell, tables, then, judgement);
    } else {
        (false, Builtin::DefaultPass)
    };
    decided_otherwise(&mut judgement, cell, outcome as u32);
    if dropped {
        judgement.verdict = Verdict::Drop;
        refuse(frame, headers, service, cell, tables, then, judgement)
    } else {
        then.decided(&judgement)
    }
}

/// A packet is to be dropped, unless it is a reply.
#[inline(always)]
fn refuse<F: Frame, T: Tables, D: Decided>(
    frame: &F,
    headers: &Headers,
    service: Service,
    cell: &impl CellView,
    tables: &T,
    then: &D,
    mut judgement: Judgement,
) -> D::Output {
    let drop = drop_index(service, headers);
    if tables.setting(Setting::Replies) != 0
        && !headers.later_fragment
        && let Some(packet) = Candidate::new(headers)
        && tables.is_reply(frame, &packet.by_index(drop))
    {
        judgement.verdict = Verdict::Pass;
        decided_otherwise(&mut judgement, cell, Builtin::Reply as u32);
        return then.decided(&judgement);
    }
    judgement.drop = drop;
    then.decided(&judgement)
}

/// The same, without what the verifier knows of each kind of packet: it would check what follows once for each that it
/// can tell apart.
#[inline(always)]
pub fn forget_kind<F: Frame>(frame: &F, service: Service, headers: &Headers) -> (Service, Headers) {
    let service = Service {
        index: frame.forget_number(service.index),
    };
    let headers = Headers {
        vlan: frame.forget_number(headers.vlan.into()) as u16,
        protocol: frame.forget_number(headers.protocol.into()) as u8,
        ..*headers
    };
    (service, headers)
}

/// Something else than the cell's rule decides: its rules that only count are counted apart.
#[inline(always)]
fn decided_otherwise(judgement: &mut Judgement, cell: &impl CellView, counter: u32) {
    judgement.counter = counter;
    let shadow = cell.shadow();
    if shadow != 0 {
        judgement.shadow = counter::CELL + u32::from(shadow);
    }
}

/// Takes a token for each limit of the cell. The answer is the counter of the deciding rule's packets beyond
/// its limit, if this is one; else [`counter::NONE`].
#[inline(always)]
fn ask_limits<F: Frame, T: Tables>(
    frame: &F,
    headers: &Headers,
    cell: &impl CellView,
    tables: &T,
    judgement: &mut Judgement,
) -> u32 {
    // Of TCP only attempts to connect count, and a later fragment is none.
    if headers.protocol == protocol::TCP
        && (headers.later_fragment || !is_attempt(frame, headers.transport_offset))
    {
        return counter::NONE;
    }
    let asked = tables.ask_limits(cell.limits() - 1, source(frame, headers));
    judgement.beyond = asked.beyond;
    asked.over
}

/// Whether a TCP segment is an attempt to connect: SYN without ACK (RFC 9293).
#[inline(always)]
pub fn is_attempt<F: Frame>(frame: &F, transport_offset: u32) -> bool {
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    match frame.load::<1>(transport_offset + 13) {
        Some([flags]) => flags & (SYN | ACK) == SYN,
        None => false,
    }
}

#[inline(always)]
fn source<F: Frame>(frame: &F, headers: &Headers) -> Source {
    match headers.family {
        Family::V4 => Source {
            v6: false,
            bits: match frame.load::<4>(headers.network_offset + 12) {
                Some(address) => u64::from(u32::from_be_bytes(address)),
                None => 0,
            },
        },
        Family::V6 => Source {
            v6: true,
            bits: match frame.load::<8>(headers.network_offset + 8) {
                Some(address) => u64::from_be_bytes(address),
                None => 0,
            },
        },
    }
}

/// What happens to a later fragment that no rule decides.
#[inline(always)]
fn is_fragment_dropped<T: Tables>(tables: &T) -> bool {
    match tables.setting(Setting::Fragments) {
        FRAGMENTS_PASS => false,
        FRAGMENTS_DROP => true,
        _ => !tables.take_fragment_token(),
    }
}

#[inline(always)]
fn builtin(dropped: bool, counter: u32, drop: u32) -> Judgement {
    Judgement {
        verdict: verdict(dropped),
        counter,
        shadow: counter::NONE,
        drop,
        cell: 0,
        beyond: 0,
    }
}

#[inline(always)]
fn verdict(dropped: bool) -> Verdict {
    if dropped {
        Verdict::Drop
    } else {
        Verdict::Pass
    }
}

/// Where a dropped packet is counted by protocol and port.
#[inline(always)]
fn drop_index(service: Service, headers: &Headers) -> u32 {
    let index = match service.index {
        port if port < drops::PORTLESS => port,
        service::ESSENTIAL_DHCP => service::UDP + 68,
        service::ESSENTIAL_DHCPV6 => service::UDP + 546,
        _ => drops::PORTLESS + u32::from(headers.protocol),
    };
    // All bits that it may have, so that the compiler knows that it is not [`counter::NONE`].
    index & (drops::LEN.next_power_of_two() - 1)
}

/// Where a packet stands in the table of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its index, below [`service::LEN`].
    pub index: u32,
}

impl Service {
    /// Essential traffic, which only a rule that means it matches.
    #[inline(always)]
    #[must_use]
    pub const fn is_essential(self) -> bool {
        self.index >= service::ESSENTIAL_ICMP
    }
}

/// Finds a packet's place in the table of services. `exempt` is [`Setting::Essential`].
#[inline(always)]
#[must_use]
pub fn service(headers: &Headers, exempt: bool) -> Service {
    service_if(headers, || exempt)
}

/// The same where `exempt` is asked only of what might be essential.
#[inline(always)]
fn service_if(headers: &Headers, exempt: impl Fn() -> bool) -> Service {
    let index = match headers.transport() {
        Transport::Ports { src, dst } => ports(headers, src, dst, exempt),
        Transport::Icmp { kind, code } => {
            let low = u32::from(code);
            let (first, essential) = match headers.family {
                Family::V4 => (service::ICMP, essential_icmp(kind)),
                Family::V6 => (service::ICMPV6, essential_icmpv6(kind, headers.hop_limit)),
            };
            match essential {
                Some(page) if exempt() => page + low,
                _ => first + (u32::from(kind) << 8) + low,
            }
        }
        Transport::Portless => {
            let protocol = u32::from(headers.protocol);
            match headers.family {
                Family::V4 if is_essential_igmp(headers) && exempt() => service::ESSENTIAL_IGMP,
                Family::V4 => service::PORTLESS_V4 + protocol,
                Family::V6 => service::PORTLESS_V6 + protocol,
            }
        }
    };
    Service { index }
}

#[inline(always)]
fn ports(headers: &Headers, src: u16, dst: u16, exempt: impl Fn() -> bool) -> u32 {
    // The setting last, since what is asked of it is not computed beforehand.
    if headers.protocol == protocol::UDP && is_lease(headers.family, src, dst) && exempt() {
        return match headers.family {
            Family::V4 => service::ESSENTIAL_DHCP,
            Family::V6 => service::ESSENTIAL_DHCPV6,
        };
    }
    let first = match headers.protocol {
        protocol::TCP => service::TCP,
        protocol::UDP => service::UDP,
        _ => service::SCTP,
    };
    first + u32::from(dst)
}

/// Whether UDP goes from the port of a DHCP server to that of a client. By its destination first, which is that of few packets.
#[inline(always)]
pub(crate) fn is_lease(family: Family, src: u16, dst: u16) -> bool {
    let (server, client) = match family {
        Family::V4 => (67, 68),
        Family::V6 => (547, 546),
    };
    dst == client && src == server
}

/// The page of an essential ICMP type: its place in [`service::ESSENTIAL_ICMP_TYPES`].
#[inline(always)]
fn essential_icmp(kind: u8) -> Option<u32> {
    let place = match kind {
        3 => 0,
        11 => 1,
        12 => 2,
        _ => return None,
    };
    Some(service::ESSENTIAL_ICMP + (place << 8))
}

/// The page of an essential ICMPv6 type: its place in [`service::ESSENTIAL_ICMPV6_TYPES`]. Messages of
/// the link itself count only with the hop limit that proves that no router forwarded them.
#[inline(always)]
fn essential_icmpv6(kind: u8, hop_limit: u8) -> Option<u32> {
    let (place, proof) = match kind {
        1..=4 => (kind - 1, None),
        130..=132 => (kind - 130 + 4, Some(1)),
        133..=137 => (kind - 133 + 7, Some(255)),
        143 => (12, Some(1)),
        _ => return None,
    };
    match proof {
        Some(expected) if hop_limit != expected => None,
        _ => Some(service::ESSENTIAL_ICMPV6 + (u32::from(place) << 8)),
    }
}

/// IGMP queries and reports never leave the link: RFC 3376 sends them with TTL 1.
#[inline(always)]
fn is_essential_igmp(headers: &Headers) -> bool {
    headers.protocol == protocol::IGMP && headers.hop_limit == 1
}
