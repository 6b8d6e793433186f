//! From headers to a judgement, over tables made by hand: how fields are combined, what each action does, which counters
//! are named.

mod frames;

use std::cell::RefCell;
use std::collections::HashMap;

use frames::{
    ICMP, ICMPV6, Ipv4, Ipv6, Link, Segment, TCP, UDP, ethernet, portless, raw_ethernet, tcp, udp,
};
use portguard_common::abi::{
    Action, Builtin, Cell, FRAGMENTS_DROP, FRAGMENTS_PASS, FRAGMENTS_RATE, List, PackedNode, Row,
    SETTINGS, Setting, Stage, TRIES, Trie, counter, exception, field, local_port, service,
    source_port,
};
use portguard_common::ban::Address;
use portguard_common::classify::{Judgement, Keep, Source, Tables, Verdict, classify_plain, judge};
use portguard_common::combine::{Direction, find_cell};
use portguard_common::conceal::Conceal;
use portguard_common::constant::{CellView, StageView, TrieView};
use portguard_common::flow::Candidate;
use portguard_common::limiter::Asked;
use portguard_common::packet::{Family, Frame, Headers, Malformed, parse};
use portguard_common::plain::{Plain, with_plain};
use portguard_common::trie::{self, SliceWindow, Window};

/// Tables of which what is not said is 0.
struct Fake {
    settings: [u32; SETTINGS],
    stages: [Stage; field::COUNT],
    tries: [Trie; TRIES],
    nodes: Vec<PackedNode>,
    services: HashMap<u32, u16>,
    /// Of services that are not named.
    other_services: u16,
    source_ports: HashMap<u32, u16>,
    vlans: HashMap<u16, u16>,
    interface: u16,
    halves: HashMap<u32, u16>,
    words: HashMap<u32, u32>,
    rows: HashMap<u32, Row>,
    cells: HashMap<u16, Cell>,
    asked: Asked,
    has_fragment_token: bool,
    is_reply: bool,
    /// By family.
    has_bans: [bool; 2],
    banned: Option<Address>,
    /// The limits that were asked, and for whom.
    limits: RefCell<Vec<(u32, Source)>>,
    looked_up: RefCell<u32>,
    /// The last packet that was asked to be a reply.
    candidate: RefCell<Option<Candidate>>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            settings: [0; SETTINGS],
            stages: [Stage::default(); field::COUNT],
            tries: [Trie::default(); TRIES],
            nodes: Vec::new(),
            services: HashMap::new(),
            other_services: 0,
            source_ports: HashMap::new(),
            vlans: HashMap::new(),
            interface: 0,
            halves: HashMap::new(),
            words: HashMap::new(),
            rows: HashMap::new(),
            cells: HashMap::new(),
            asked: Asked {
                over: counter::NONE,
                beyond: 0,
            },
            has_fragment_token: true,
            is_reply: false,
            has_bans: [false; 2],
            banned: None,
            limits: RefCell::default(),
            looked_up: RefCell::default(),
            candidate: RefCell::default(),
        }
    }
}

fn of<K: Eq + std::hash::Hash, V: Copy + Default>(table: &HashMap<K, V>, key: K) -> V {
    table.get(&key).copied().unwrap_or_default()
}

#[derive(Clone)]
struct FakeWindow<'f>(&'f Fake, u32, u32);

impl Conceal for FakeWindow<'_> {}

impl Window for FakeWindow<'_> {
    fn at(&self, bytes: u32) -> u16 {
        assert_eq!(bytes % 2, 0);
        let place = self.2 + bytes / 2;
        assert!(place < List::WINDOW);
        self.0.half(self.1 + place)
    }

    fn skip(&mut self, bytes: u32) {
        assert_eq!(bytes % 2, 0);
        self.2 += bytes / 2;
    }

    fn since(&self, earlier: &Self) -> u32 {
        (self.2 - earlier.2) * 2
    }
}

impl Tables for Fake {
    fn setting(&self, setting: Setting) -> u32 {
        self.settings[setting as usize]
    }

    fn stage(&self, field: usize) -> impl StageView {
        self.stages[field]
    }

    fn trie(&self, index: usize) -> impl TrieView {
        self.tries[index]
    }

    fn service_class(&self, index: u32) -> u16 {
        assert!(index < service::LEN);
        let own = self.services.get(&index).copied();
        own.unwrap_or(self.other_services)
    }

    fn source_port_class(&self, index: u32) -> u16 {
        of(&self.source_ports, index)
    }

    fn vlan_class(&self, vlan: u16) -> u16 {
        of(&self.vlans, vlan)
    }

    fn interface_class(&self) -> u16 {
        self.interface
    }

    fn half(&self, index: u32) -> u16 {
        of(&self.halves, index)
    }

    fn word(&self, index: u32) -> u32 {
        of(&self.words, index)
    }

    fn row(&self, index: u32) -> Row {
        of(&self.rows, index)
    }

    type Window<'w> = FakeWindow<'w>;

    fn window<const UNIT: u32>(&self, first: u32, index: u64, end: u32) -> Option<FakeWindow<'_>> {
        (index < end.into()).then_some(FakeWindow(self, first + index as u32 * UNIT, 0))
    }

    fn node(&self, index: u32) -> Option<&PackedNode> {
        self.nodes.get(index as usize)
    }

    fn find_below(&self, trie: usize, word: u32, passed: u32, high: u64, low: u64) -> u16 {
        trie::find_below(self, &self.trie(trie), word, passed, high, low)
    }

    fn cell(&self, cell: u16) -> impl CellView {
        of(&self.cells, cell)
    }

    fn has_bans(&self, v6: bool) -> bool {
        self.has_bans[usize::from(v6)]
    }

    fn is_banned(&self, source: Address) -> bool {
        self.banned == Some(source)
    }

    fn ask_limits(&self, first: u32, source: Source) -> Asked {
        self.limits.borrow_mut().push((first, source));
        self.asked
    }

    fn take_fragment_token(&self) -> bool {
        self.has_fragment_token
    }

    fn is_reply<F: Frame>(&self, _frame: &F, packet: &Candidate) -> bool {
        *self.looked_up.borrow_mut() += 1;
        *self.candidate.borrow_mut() = Some(*packet);
        self.is_reply
    }
}

/// The cell that [`of_cell`] gives everything.
const CELL: u16 = 5;

/// Tables in which every service is of one cell.
fn of_cell(cell: Cell) -> Fake {
    let mut fake = Fake {
        cells: HashMap::from([(CELL, cell)]),
        other_services: CELL,
        ..Fake::default()
    };
    fake.stages[field::SERVICE].form = Stage::FIRST;
    fake
}

fn with_action(action: Action) -> Fake {
    of_cell(Cell {
        action: action as u8,
        ..Cell::default()
    })
}

impl Fake {
    fn set(mut self, setting: Setting, value: u32) -> Self {
        self.settings[setting as usize] = value;
        self
    }

    fn judge(&self, frame: &[u8]) -> Judgement {
        judge(&frame, &parse(&frame), self)
    }

    /// The same where the frame is read, as in the kernel; `None` where it is not plain.
    fn judge_plain(&self, frame: &[u8]) -> Option<Judgement> {
        with_plain(&frame, &JudgePlain(self))
    }
}

struct JudgePlain<'f>(&'f Fake);

impl Plain for JudgePlain<'_> {
    type Output = Judgement;

    fn with<F: Frame>(&self, frame: &F, headers: &Headers) -> Judgement {
        classify_plain(frame, headers, self.0, &Keep)
    }
}

fn attempt() -> Vec<u8> {
    frames::ipv4(tcp(40_000, 22))
}

fn fragment() -> Vec<u8> {
    ethernet(Ipv4::carrying(portless(UDP, &[0; 8])).fragment(9, false))
}

#[test]
fn what_each_action_does() {
    for (action, verdict, outcome) in [
        (Action::Pass, Verdict::Pass, counter::CELL + 5),
        (Action::Limit, Verdict::Pass, counter::CELL + 5),
        (Action::Drop, Verdict::Drop, counter::CELL + 5),
        (Action::Reject, Verdict::Reject, counter::CELL + 5),
        (Action::Trusted, Verdict::Pass, Builtin::Trusted as u32),
        (
            Action::Undecided,
            Verdict::Pass,
            Builtin::DefaultPass as u32,
        ),
    ] {
        let judgement = with_action(action).judge(&attempt());
        let drop = if verdict == Verdict::Pass {
            counter::NONE
        } else {
            22
        };
        let expected = Judgement {
            verdict,
            counter: outcome,
            shadow: counter::NONE,
            drop,
            cell: CELL,
            beyond: 0,
        };
        assert_eq!(judgement, expected, "{action:?}");
    }
    let dropped = with_action(Action::Undecided)
        .set(Setting::DefaultDrop, 1)
        .judge(&attempt());
    assert_eq!(dropped.verdict, Verdict::Drop);
    assert_eq!(dropped.counter, Builtin::DefaultDrop as u32);
}

#[test]
fn a_reply_passes_whatever_would_drop_it() {
    for (action, default_drop, is_dropped) in [
        (Action::Drop, 0, true),
        (Action::Reject, 0, true),
        (Action::Undecided, 1, true),
        (Action::Undecided, 0, false),
        (Action::Pass, 1, false),
        (Action::Trusted, 1, false),
    ] {
        let fake = |replies: u32, is_reply: bool| Fake {
            is_reply,
            ..with_action(action)
                .set(Setting::DefaultDrop, default_drop)
                .set(Setting::Replies, replies)
        };
        let reply = fake(1, true);
        let judgement = reply.judge(&attempt());
        assert_eq!(judgement.verdict, Verdict::Pass, "{action:?}");
        assert_eq!(judgement.counter == Builtin::Reply as u32, is_dropped);
        assert_eq!(judgement.drop, counter::NONE);
        // Nobody looks for what passes anyway.
        assert_eq!(
            *reply.looked_up.borrow(),
            u32::from(is_dropped),
            "{action:?}"
        );
        for other in [fake(0, true), fake(1, false)] {
            let judgement = other.judge(&attempt());
            assert_eq!(judgement.verdict != Verdict::Pass, is_dropped, "{action:?}");
        }
        // A later fragment is none.
        let judgement = reply.judge(&fragment());
        assert_ne!(judgement.counter, Builtin::Reply as u32);
        assert_eq!(*reply.looked_up.borrow(), u32::from(is_dropped));
    }
}

#[test]
fn a_reply_is_looked_for_by_its_own_port() {
    let candidate = |family, protocol, local_port| Candidate {
        family,
        protocol,
        local_port,
        network_offset: 14,
        transport_offset: if family == Family::V4 { 34 } else { 54 },
    };
    let udp_port = |port: u32| local_port::UDP + port;
    let any = Candidate::ANY_PORT;
    for (frame, expected) in [
        (attempt(), candidate(Family::V4, TCP, local_port::TCP + 22)),
        (
            frames::ipv6(udp(53, 40_000, b"")),
            candidate(Family::V6, UDP, udp_port(40_000)),
        ),
        // An answer of DHCP is by its port, too, whether it is essential or not.
        (
            frames::ipv4(udp(67, 68, b"")),
            candidate(Family::V4, UDP, udp_port(68)),
        ),
        (
            frames::ipv6(udp(547, 546, b"")),
            candidate(Family::V6, UDP, udp_port(546)),
        ),
        // The error tells its port only in what it quotes.
        (
            frames::ipv4(frames::icmp(3, 3)),
            candidate(Family::V4, ICMP, any),
        ),
        (
            frames::ipv6(frames::icmpv6(1, 4)),
            candidate(Family::V6, ICMPV6, any),
        ),
    ] {
        for essential in [0, 1] {
            let fake = with_action(Action::Drop)
                .set(Setting::Replies, 1)
                .set(Setting::Essential, essential);
            fake.judge(&frame);
            assert_eq!(*fake.candidate.borrow(), Some(expected), "{frame:02x?}");
        }
    }
}

#[test]
fn what_only_counts_is_named_where_something_else_decides() {
    let shadowed = |action: Action| {
        of_cell(Cell {
            action: action as u8,
            shadow: 7,
            ..Cell::default()
        })
    };
    let shadow = counter::CELL + 7;
    for (action, expected) in [
        (Action::Pass, counter::NONE),
        (Action::Drop, counter::NONE),
        (Action::Reject, counter::NONE),
        (Action::Limit, counter::NONE),
        (Action::Undecided, shadow),
    ] {
        assert_eq!(
            shadowed(action).judge(&attempt()).shadow,
            expected,
            "{action:?}"
        );
    }
    for action in [Action::Drop, Action::Reject] {
        let reply = Fake {
            is_reply: true,
            ..shadowed(action).set(Setting::Replies, 1)
        };
        assert_eq!(reply.judge(&attempt()).shadow, shadow, "{action:?}");
    }
}

/// A cell whose first limit is the ninth.
fn limited(action: Action) -> Fake {
    let cell = Cell {
        action: action as u8,
        limits: 9,
        shadow: 7,
        ..Cell::default()
    };
    Fake {
        asked: Asked {
            over: 300,
            beyond: 0b101,
        },
        ..of_cell(cell).set(Setting::Limits, 3)
    }
}

#[test]
fn beyond_a_limit() {
    let over = limited(Action::Limit);
    let judgement = over.judge(&attempt());
    let expected = Judgement {
        verdict: Verdict::Drop,
        counter: 300,
        shadow: counter::CELL + 7,
        drop: 22,
        cell: CELL,
        beyond: 0b101,
    };
    assert_eq!(judgement, expected);
    let source = |bits: u64, v6: bool| Source { v6, bits };
    let v4 = source(0xc633_6409, false);
    assert_eq!(*over.limits.borrow(), [(8, v4)]);
    // An IPv6 source is its /64.
    over.judge(&frames::ipv6(tcp(40_000, 22)));
    assert_eq!(
        over.limits.borrow()[1],
        (8, source(0x2001_0db8_0000_0001, true))
    );

    // Where the rule only counts, another decides.
    for (action, verdict) in [(Action::Pass, Verdict::Pass), (Action::Drop, Verdict::Drop)] {
        let judgement = limited(action).judge(&attempt());
        assert_eq!(
            (judgement.verdict, judgement.counter),
            (verdict, counter::CELL + 5)
        );
        assert_eq!(judgement.beyond, 0b101);
    }
    // Within the limit.
    let within = Fake {
        asked: Asked {
            over: counter::NONE,
            beyond: 0b1,
        },
        ..limited(Action::Limit)
    };
    let judgement = within.judge(&attempt());
    assert_eq!(
        (judgement.verdict, judgement.counter),
        (Verdict::Pass, counter::CELL + 5)
    );
    assert_eq!((judgement.shadow, judgement.beyond), (counter::NONE, 0b1));
    // Nothing to ask.
    let none = limited(Action::Limit).set(Setting::Limits, 0);
    assert_eq!(none.judge(&attempt()).verdict, Verdict::Pass);
    let none = Fake {
        cells: with_action(Action::Limit).cells,
        ..limited(Action::Limit)
    };
    assert_eq!(none.judge(&attempt()).verdict, Verdict::Pass);
    assert!(none.limits.borrow().is_empty());
    // A reply passes beyond its limit, too.
    let reply = Fake {
        is_reply: true,
        ..limited(Action::Limit).set(Setting::Replies, 1)
    };
    let judgement = reply.judge(&attempt());
    assert_eq!(
        (judgement.verdict, judgement.counter),
        (Verdict::Pass, Builtin::Reply as u32)
    );
    assert_eq!(
        (judgement.shadow, judgement.beyond),
        (counter::CELL + 7, 0b101)
    );
}

#[test]
fn who_is_banned_is_dropped_before_anything_but_trust() {
    let v4 = Address {
        v6: false,
        high: 0xc633_6409_0000_0000,
        low: 0,
    };
    let v6 = Address {
        v6: true,
        high: 0x2001_0db8_0000_0001,
        low: 9,
    };
    let banning = |address: Address, fake: Fake| Fake {
        has_bans: [true; 2],
        banned: Some(address),
        is_reply: true,
        ..fake.set(Setting::Replies, 1).set(Setting::Essential, 1)
    };
    for (address, frame) in [
        (v4, attempt()),
        (v6, frames::ipv6(tcp(40_000, 22))),
        (v4, fragment()),
        (v4, frames::ipv4(frames::icmp(3, 0))),
    ] {
        for action in [
            Action::Pass,
            Action::Drop,
            Action::Reject,
            Action::Limit,
            Action::Undecided,
        ] {
            let fake = banning(address, limited(action));
            let judgement = fake.judge(&frame);
            assert_eq!(judgement.verdict, Verdict::Drop, "{action:?}");
            assert_eq!(judgement.counter, Builtin::Banned as u32);
            assert_eq!((judgement.shadow, judgement.beyond), (counter::NONE, 0));
            assert_ne!(judgement.drop, counter::NONE);
            assert!(
                fake.limits.borrow().is_empty(),
                "a banned packet takes no token"
            );
            assert_eq!(*fake.looked_up.borrow(), 0, "and is no reply");
        }
        let trusted = banning(address, with_action(Action::Trusted)).judge(&frame);
        assert_eq!(trusted.counter, Builtin::Trusted as u32);
        assert_eq!(trusted.verdict, Verdict::Pass);
    }
    assert_eq!(
        banning(v4, with_action(Action::Pass))
            .judge(&attempt())
            .drop,
        22
    );
    // Others pass, and each family has bans of its own.
    let other = banning(v6, with_action(Action::Pass)).judge(&attempt());
    assert_eq!(other.verdict, Verdict::Pass);
    for (has_bans, dropped) in [([true, false], true), ([false, true], false)] {
        let fake = Fake {
            has_bans,
            ..banning(v4, with_action(Action::Pass))
        };
        assert_eq!(fake.judge(&attempt()).verdict == Verdict::Drop, dropped);
        let fake = Fake {
            has_bans,
            ..banning(v6, with_action(Action::Pass))
        };
        let judgement = fake.judge(&frames::ipv6(tcp(40_000, 22)));
        assert_eq!(judgement.verdict == Verdict::Drop, !dropped);
    }
}

#[test]
fn a_limit_counts_attempts_of_tcp_and_all_of_other_protocols() {
    let flags = |flags: u8| {
        let mut segment = tcp(1, 2);
        segment.bytes[13] = flags;
        frames::ipv4(segment)
    };
    let later =
        |protocol: u8| ethernet(Ipv4::carrying(portless(protocol, &[2; 40])).fragment(9, false));
    for (frame, counts) in [
        (flags(0x02), true),
        (flags(0x12), false),
        (flags(0x10), false),
        (flags(0x04), false),
        (later(TCP), false),
        (later(UDP), true),
        (frames::ipv4(udp(1, 2, b"")), true),
        (frames::ipv6(portless(47, b"")), true),
    ] {
        let fake = limited(Action::Limit);
        let judgement = fake.judge(&frame);
        assert_eq!(judgement.verdict == Verdict::Drop, counts, "{frame:02x?}");
        assert_eq!(fake.limits.borrow().len(), usize::from(counts));
    }
}

#[test]
fn later_fragments_that_no_rule_decides() {
    let undecided = |fragments: u32, has_token: bool| Fake {
        has_fragment_token: has_token,
        ..with_action(Action::Undecided)
            .set(Setting::Fragments, fragments)
            .set(Setting::DefaultDrop, 1)
    };
    for (fragments, has_token, verdict) in [
        (FRAGMENTS_PASS, false, Verdict::Pass),
        (FRAGMENTS_DROP, true, Verdict::Drop),
        (FRAGMENTS_RATE, true, Verdict::Pass),
        (FRAGMENTS_RATE, false, Verdict::Drop),
    ] {
        let judgement = undecided(fragments, has_token).judge(&fragment());
        assert_eq!(judgement.verdict, verdict, "{fragments} {has_token}");
        assert_eq!(judgement.counter, Builtin::LaterFragment as u32);
        let other = undecided(fragments, has_token).judge(&attempt());
        assert_eq!(other.counter, Builtin::DefaultDrop as u32);
    }
}

#[test]
fn essential_traffic_passes_unless_a_rule_decides_it() {
    let error = frames::ipv4(frames::icmp(3, 1));
    let undecided = || with_action(Action::Undecided).set(Setting::DefaultDrop, 1);
    let judgement = undecided().set(Setting::Essential, 1).judge(&error);
    assert_eq!(judgement.verdict, Verdict::Pass);
    assert_eq!(judgement.counter, Builtin::Essential as u32);
    let judgement = undecided().judge(&error);
    assert_eq!(judgement.counter, Builtin::DefaultDrop as u32);
    let dropped = with_action(Action::Drop).set(Setting::Essential, 1);
    assert_eq!(dropped.judge(&error).verdict, Verdict::Drop);
}

#[test]
fn what_the_short_way_reads_is_judged_alike() {
    let undecided = || with_action(Action::Undecided).set(Setting::DefaultDrop, 1);
    let dropped = (Verdict::Drop, Builtin::DefaultDrop as u32);
    let spared = (Verdict::Pass, Builtin::Essential as u32);
    // Answers of DHCP, in each family, which it leaves to the other one, and what is no essential traffic.
    for (frame, is_lease) in [
        (frames::ipv4(udp(67, 68, b"")), true),
        (frames::ipv6(udp(547, 546, b"")), true),
        (frames::ipv6(udp(67, 68, b"")), false),
        (frames::ipv4(udp(67, 69, b"")), false),
        (frames::ipv4(udp(66, 68, b"")), false),
        (frames::ipv4(tcp(67, 68)), false),
        (attempt(), false),
    ] {
        for essential in [1, 0] {
            let fake = undecided().set(Setting::Essential, essential);
            let judgement = fake.judge(&frame);
            let expected = match is_lease && essential == 1 {
                true => spared,
                false => dropped,
            };
            assert_eq!(
                (judgement.verdict, judgement.counter),
                expected,
                "{essential}: {frame:02x?}"
            );
            let plain = (!is_lease).then_some(judgement);
            assert_eq!(fake.judge_plain(&frame), plain, "{frame:02x?}");
        }
    }
}

#[test]
fn where_drops_are_counted() {
    let dropping = || with_action(Action::Drop).set(Setting::Essential, 1);
    let portless_at = 3 << 16;
    for (frame, place) in [
        (frames::ipv4(tcp(1, 0)), 0),
        (frames::ipv6(tcp(1, 65_535)), 65_535),
        (frames::ipv4(udp(1, 0, b"")), 1 << 16),
        (frames::ipv4(udp(1, 53, b"")), (1 << 16) + 53),
        (frames::ipv4(frames::sctp(1, 65_535)), (3 << 16) - 1),
        (frames::ipv4(udp(67, 68, b"")), (1 << 16) + 68),
        (frames::ipv6(udp(547, 546, b"")), (1 << 16) + 546),
        (frames::ipv4(frames::icmp(0, 0)), portless_at + 1),
        (frames::ipv4(frames::icmp(3, 0)), portless_at + 1),
        (frames::ipv4(frames::icmp(8, 0)), portless_at + 1),
        (frames::ipv6(frames::icmpv6(128, 0)), portless_at + 58),
        (frames::ipv4(portless(47, b"")), portless_at + 47),
        (frames::ipv6(portless(255, b"")), portless_at + 255),
        (fragment(), portless_at + 17),
    ] {
        assert_eq!(dropping().judge(&frame).drop, place, "{frame:02x?}");
    }
}

#[test]
fn what_is_not_read() {
    let arp = raw_ethernet(0x0806, &[0; 28]);
    let mpls = raw_ethernet(0x8847, &[0; 28]);
    let short = frames::ipv4(Segment {
        protocol: TCP,
        bytes: vec![0; 19],
    });
    for (setting, frame, outcome, dropped) in [
        (Setting::NonIpDrop, &arp, Builtin::NonIp as u32, false),
        (Setting::NonIpDrop, &mpls, Builtin::NonIp as u32, true),
        (
            Setting::MalformedDrop,
            &short,
            counter::MALFORMED + Malformed::TcpShort as u32,
            true,
        ),
    ] {
        for (value, verdict) in [
            (0, Verdict::Pass),
            (
                1,
                if dropped {
                    Verdict::Drop
                } else {
                    Verdict::Pass
                },
            ),
        ] {
            let judgement = Fake::default().set(setting, value).judge(frame);
            let expected = Judgement {
                verdict,
                counter: outcome,
                shadow: counter::NONE,
                drop: counter::NONE,
                cell: 0,
                beyond: 0,
            };
            assert_eq!(judgement, expected, "{frame:02x?}");
        }
    }
}

const DENSE: Stage = Stage {
    form: Stage::DENSE,
    columns: 10,
    halves: 1000,
    rows: 0,
    words: 0,
};

const SPARSE: Stage = Stage {
    form: Stage::SPARSE,
    columns: 10,
    halves: 1000,
    rows: 200,
    words: 3000,
};

/// The cell of the packet of [`attempt`] in the direction of arrival.
fn cell(fake: &Fake, frame: &[u8], direction: Direction) -> u16 {
    let headers = match parse(&frame) {
        Ok(headers) => headers,
        Err(unparsed) => panic!("{unparsed:?}"),
    };
    let service = portguard_common::classify::service(&headers, false);
    find_cell(&frame, &headers, service, direction, fake)
}

#[test]
fn a_dense_stage() {
    let mut fake = Fake {
        interface: 3,
        services: HashMap::from([(22, 4)]),
        halves: HashMap::from([(1000 + 3 * 10 + 4, 77)]),
        ..Fake::default()
    };
    fake.stages[field::INTERFACE].form = Stage::FIRST;
    fake.stages[field::SERVICE] = DENSE;
    assert_eq!(cell(&fake, &attempt(), Direction::Arriving), 77);
    // Where no rule has a condition on the interface it is of no class.
    fake.stages[field::INTERFACE].form = Stage::UNUSED;
    fake.halves = HashMap::from([(1004, 78)]);
    assert_eq!(cell(&fake, &attempt(), Direction::Arriving), 78);
}

#[test]
fn a_near_stage() {
    // The interface says where its row begins, up to the last one that 16 bits can name.
    for (row, column) in [(30, 4), (0xffff, 0xffff)] {
        let mut fake = Fake {
            interface: row,
            services: HashMap::from([(22, column)]),
            halves: HashMap::from([(1000 + u32::from(row) + u32::from(column), 77)]),
            ..Fake::default()
        };
        fake.stages[field::INTERFACE].form = Stage::FIRST;
        fake.stages[field::SERVICE] = Stage {
            form: Stage::NEAR,
            ..DENSE
        };
        assert_eq!(cell(&fake, &attempt(), Direction::Arriving), 77);
    }
}

#[test]
fn a_stage_whose_first_column_says_each_rows_number() {
    for (row, column, expected) in [(30, 0, 30), (0xffff, 0, 0xffff), (30, 4, 77)] {
        let mut fake = Fake {
            interface: row,
            services: HashMap::from([(22, column)]),
            halves: HashMap::from([(1000, 76), (1030, 78), (1034, 77)]),
            ..Fake::default()
        };
        fake.stages[field::INTERFACE].form = Stage::FIRST;
        fake.stages[field::SERVICE] = Stage {
            form: Stage::IDENTITY,
            ..DENSE
        };
        let found = cell(&fake, &attempt(), Direction::Arriving);
        assert_eq!(found, expected, "{row} {column}");
    }
}

#[test]
fn a_word_behind_the_last_list_names_none() {
    let mut fake = Fake::default();
    let trie = lists(&mut fake, 0xc633, 0x6409);
    fake.tries[0] = trie;
    let class = |fake: &Fake| trie::find_v4(fake, &fake.tries[0], 0xc633_6409);
    assert_eq!(class(&fake), 1);
    // Its list is the last one: one half more or less.
    fake.tries[0].lists_len = 17;
    assert_eq!(class(&fake), 1);
    fake.tries[0].lists_len = 16;
    assert_eq!(class(&fake), 0);
}

#[test]
fn a_sparse_stage() {
    let mut fake = Fake {
        interface: 3,
        services: HashMap::from([(22, 4)]),
        rows: HashMap::from([(
            203,
            Row {
                dense: 50,
                exceptions: 60,
            },
        )]),
        halves: HashMap::from([(1054, 7)]),
        words: HashMap::from([(3064, exception(3, 8))]),
        ..Fake::default()
    };
    fake.stages[field::INTERFACE].form = Stage::FIRST;
    fake.stages[field::SERVICE] = SPARSE;
    assert_eq!(cell(&fake, &attempt(), Direction::Arriving), 8);
    // An exception of another row, then none.
    fake.words = HashMap::from([(3064, exception(2, 8))]);
    assert_eq!(cell(&fake, &attempt(), Direction::Arriving), 7);
    fake.words.clear();
    assert_eq!(cell(&fake, &attempt(), Direction::Arriving), 7);
    // A value for all columns.
    fake.rows.insert(
        203,
        Row {
            dense: Row::CONSTANT | 9,
            exceptions: 60,
        },
    );
    assert_eq!(cell(&fake, &attempt(), Direction::Arriving), 9);
    assert_eq!(exception(3, 8), 4 << 16 | 8);
}

#[test]
fn each_field_is_combined_in_its_turn() {
    // VLAN first, then source, destination and source port, each of two classes: a bit each.
    let mut fake = Fake::default();
    fake.stages[field::VLAN].form = Stage::FIRST;
    let mut halves = 1000;
    for stage in [
        field::SOURCE,
        field::DESTINATION,
        field::SOURCE_PORT,
        field::SERVICE,
    ] {
        fake.stages[stage] = Stage {
            form: Stage::DENSE,
            columns: 2,
            halves,
            ..Stage::default()
        };
        for place in 0..32 {
            fake.halves.insert(halves + place, place as u16);
        }
        halves += 100;
    }
    fake.vlans.insert(5, 1);
    fake.source_ports.insert(source_port::PORTS + 40_000, 1);
    fake.services.insert(22, 1);
    let tag = |vlan: u16| Link::new().tag(frames::CUSTOMER_TAG, vlan);
    let v4 = || Ipv4::carrying(tcp(40_000, 22));
    let arriving = Direction::Arriving;
    assert_eq!(cell(&fake, &tag(5).carry(v4()), arriving), 0b1_0011);
    assert_eq!(cell(&fake, &tag(6).carry(v4()), arriving), 0b0_0011);
    let other = Ipv4::carrying(tcp(22, 40_000));
    assert_eq!(cell(&fake, &tag(5).carry(other), arriving), 0b1_0000);
    // All addresses of a family may be of one class.
    for (trie, is_v6, bit) in [
        (Trie::index(false, false), false, 0b1000),
        (Trie::index(true, false), false, 0b0100),
        (Trie::index(false, true), true, 0b1000),
        (Trie::index(true, true), true, 0b0100),
    ] {
        fake.tries = [Trie::default(); TRIES];
        fake.tries[trie].root = 1;
        let frames = [ethernet(v4()), ethernet(Ipv6::carrying(tcp(40_000, 22)))];
        for (frame, v6) in frames.iter().zip([false, true]) {
            let expected = 0b11 | if v6 == is_v6 { bit } else { 0 };
            assert_eq!(cell(&fake, frame, arriving), expected);
        }
    }
}

#[test]
fn addresses_change_places_in_what_leaves() {
    // 198.51.100.9 to 192.0.2.1, and 2001:db8:0:1::9 to 2001:db8:0:2::1: the tries know what tells them apart.
    for (frame, is_v6) in [(attempt(), false), (frames::ipv6(tcp(40_000, 22)), true)] {
        for destination in [false, true] {
            let mut fake = Fake::default();
            let field = if destination {
                field::DESTINATION
            } else {
                field::SOURCE
            };
            fake.stages[field].form = Stage::FIRST;
            fake.stages[field::SERVICE] = Stage {
                form: Stage::DENSE,
                columns: 1,
                halves: 0,
                ..Stage::default()
            };
            fake.halves.insert(1, 1);
            let trie = if is_v6 {
                {
                    // Where the address is by the first four bytes, all of it lies below the trunk.
                    let trie = lists(&mut fake, 0, 1);
                    Trie {
                        root: 100_000,
                        trunk: 0x2001_0db8,
                        trunk_words: trie.root,
                        ..trie
                    }
                }
            } else {
                lists(&mut fake, 0xc633, 0x6409)
            };
            fake.tries[Trie::index(destination, is_v6)] = trie;
            // What arrives is judged by its source as it is; what leaves, by its source as the destination of the answer.
            let arriving = cell(&fake, &frame, Direction::Arriving);
            assert_eq!(arriving, u16::from(!destination), "{is_v6}");
            let leaving = cell(&fake, &frame, Direction::Leaving);
            assert_eq!(leaving, u16::from(destination), "{is_v6}");
        }
    }
}

/// A trie of lists of three starts, of which one address is alone of class 1. All other networks have the word 0: the list at the beginning, all of
/// whose classes are 0.
fn lists(fake: &mut Fake, network: u32, host: u16) -> Trie {
    const ROOT: u32 = 70;
    const LISTS: u32 = 1000;
    fake.words.insert(ROOT + network, 16);
    for (place, half) in (LISTS + 16..).zip([host, host + 1, 0xffff, 0, 1, 0, 0]) {
        fake.halves.insert(place, half);
    }
    Trie {
        form: Trie::UNIFORM_LISTS,
        root: ROOT,
        lists: LISTS,
        lists_len: 4096,
        longest: 3,
        ..Trie::default()
    }
}

/// An IPv6 address all of whose halves differ, and what is found for it.
#[test]
fn an_ipv6_address_by_lists_children_and_gates() {
    const ROOT: u32 = 70;
    const TRUNK: u32 = 300_000;
    const CHILD: u32 = ROOT + 65_536;
    let halves: [u16; 8] = [0x2001, 0x0db8, 3, 4, 5, 6, 7, 8];
    let classes = |address: [u16; 8], fake: &Fake| {
        let address: Vec<u8> = address.iter().flat_map(|half| half.to_be_bytes()).collect();
        trie::find_v6(&address.as_slice(), 0, 1, fake)
    };
    // Lists of one start, each with a class of its own before it: (start, before, from there on).
    let list = |fake: &mut Fake, place: u32, start: u16, before: u16, from: u16| {
        for (at, half) in (place..).zip([start, before, from]) {
            fake.halves.insert(at, half);
        }
        place
    };
    for has_trunk in [false, true] {
        let mut fake = Fake::default();
        let child = |number: u16| Trie::CHILD | number;
        let below = list(&mut fake, 8, 4, 14, child(0));
        if has_trunk {
            fake.words.insert(TRUNK + 3, below);
        } else {
            // By the root, a list, and a gate to a table.
            let top = list(&mut fake, 16, 0x0db8, 12, child(1));
            fake.words.insert(ROOT + 0x2001, top);
            fake.words.insert(CHILD + 1, Trie::GATE);
            fake.words.insert(TRUNK + 3, below);
        }
        fake.nodes = vec![
            PackedNode {
                starts: PackedNode::WIDE,
                words: TRUNK,
                ..PackedNode::default()
            },
            PackedNode {
                skip: 32,
                path: 0x0005_0006,
                miss: 15,
                words: list(&mut fake, 24, 7, 17, child(2)),
                ..PackedNode::default()
            },
        ];
        fake.words.insert(CHILD, Trie::GATE | 1);
        let last = list(&mut fake, 32, 8, 18, 19);
        fake.words.insert(CHILD + 2, last);
        fake.tries[1] = Trie {
            form: Trie::UNIFORM_LISTS,
            root: ROOT,
            lists_len: 40,
            longest: 1,
            trunk: 0x2001_0db8,
            trunk_words: if has_trunk { TRUNK } else { 0 },
            ..Trie::default()
        };
        assert_eq!(classes(halves, &fake), Some(19));
        // One half less each time.
        for (place, class) in [(7, 18), (6, 17), (5, 15), (4, 15), (3, 14)] {
            let mut other = halves;
            other[place] -= 1;
            assert_eq!(classes(other, &fake), Some(class), "{place} {has_trunk}");
        }
        if !has_trunk {
            let mut other = halves;
            other[1] -= 1;
            assert_eq!(classes(other, &fake), Some(12));
        }
        assert_eq!(trie::find_v6(&&[0x20, 1, 0x0d][..], 0, 1, &fake), None);
        // A gate to a class looks at as many bits as it says, up to all that are left.
        for (skip, path, classes_of_others) in [
            (64, 0x0005_0006_0007_0008, [15; 4]),
            (20, 0x0005 << 4, [15, 20, 20, 20]),
        ] {
            fake.nodes[1] = PackedNode {
                skip,
                path,
                miss: PackedNode::TO_CLASS | 15,
                words: 20,
                ..PackedNode::default()
            };
            assert_eq!(classes(halves, &fake), Some(20));
            for (place, class) in (4..).zip(classes_of_others) {
                let mut other = halves;
                other[place] -= 1;
                assert_eq!(classes(other, &fake), Some(class), "{place} {skip}");
            }
            let mut other = halves;
            other[5] |= 0x1000;
            assert_eq!(classes(other, &fake), Some(15), "{skip}");
        }
    }
}

#[test]
fn a_window_goes_on_and_tells_how_far() {
    let mut window = SliceWindow::new(&[10, 11, 12, 13, 14, 15]);
    let beginning = window;
    window.skip(2);
    let earlier = window;
    window.skip(6);
    assert_eq!((window.at(0), window.at(2)), (14, 15));
    assert_eq!((window.since(&earlier), window.since(&beginning)), (6, 8));
    assert_eq!((earlier.at(0), beginning.at(0)), (11, 10));
}

/// Where the range of a number begins, and, of the last one there may be, at the last address.
fn start(number: u16) -> u16 {
    if number == 63 {
        0xffff
    } else {
        number * 900 + 1
    }
}

/// Finds the class of the first and the last address of each range by a list, and holds it against that of its number.
fn assert_ranges(fake: &Fake, trie: &Trie, starts: u16, class: impl Fn(u16) -> u16) {
    for number in 0..=starts {
        let begins = if number == 0 { 0 } else { start(number) };
        let ends = if number == starts {
            0xffff
        } else {
            start(number + 1) - 1
        };
        for low in [begins, ends] {
            let found = trie::find_v4(fake, trie, 0x0a01_0000 | u32::from(low));
            let at = format!("{starts} {low:#x} {}", trie.longest);
            assert_eq!(found, u64::from(class(number)), "{at}");
        }
    }
}

#[test]
fn a_list_tells_where_each_range_begins() {
    for starts in List::SHORTEST as u16..=63 {
        for takes_turns in [false, true] {
            let class = |number: u16| if takes_turns { number % 2 } else { number };
            let mut fake = Fake::default();
            // Behind the list lies another one.
            let classes = if takes_turns { 2 } else { starts + 1 };
            let list = (1..=starts).map(start).chain((0..classes).map(class));
            for (place, half) in (501..).zip(list.chain([7; 128])) {
                fake.halves.insert(place, half);
            }
            let word = Trie::list(starts.into(), 400, takes_turns);
            fake.words.insert(0x0a01, word);
            for longest in [starts.into(), List::LONGEST] {
                let trie = Trie {
                    form: Trie::LISTS,
                    lists: 100,
                    lists_len: 4096,
                    longest,
                    ..Trie::default()
                };
                assert_ranges(&fake, &trie, starts, class);
            }
        }
    }
}

#[test]
fn a_list_of_the_length_of_all_tells_where_each_range_begins() {
    for starts in [0, 1, 2, 3, 4, 5, 6, 7, 15, 31] {
        let mut fake = Fake::default();
        let list = (1..=starts)
            .map(start)
            .chain((0..=starts).map(|number| 3 * number));
        // Before and behind it lie others.
        for (place, half) in (0..).zip([0; 500].into_iter().chain(list).chain([7; 128])) {
            fake.halves.insert(place, half);
        }
        fake.words.insert(0x0a01, 400);
        let trie = Trie {
            form: Trie::UNIFORM_LISTS,
            lists: 100,
            lists_len: 4096,
            longest: starts.into(),
            ..Trie::default()
        };
        assert_ranges(&fake, &trie, starts, |number| 3 * number);
        // The same list, named by a half.
        fake.halves.insert(5000 + 0x0a01, 400 / 4);
        let narrow = Trie {
            form: Trie::NARROW_LISTS,
            root: 5000,
            lists_len: 1024,
            ..trie
        };
        assert_ranges(&fake, &narrow, starts, |number| 3 * number);
    }
}

#[test]
fn words_below_a_bound_name_short_lists() {
    let range = |fake: &mut Fake, place: u32, halves: &[u16]| {
        for (place, half) in (place..).zip(halves) {
            fake.halves.insert(place, *half);
        }
    };
    for form in [Trie::UNIFORM_LISTS, Trie::NARROW_LISTS, Trie::LISTS] {
        let mut fake = Fake::default();
        // The class of one range, that of another one in it, and where that begins and ends.
        range(&mut fake, 108, &[21, 22, 5, 9, 7, 7, 7, 7]);
        let (longest, word) = match form {
            Trie::UNIFORM_LISTS | Trie::NARROW_LISTS => {
                range(&mut fake, 116, &[5, 9, 12, 14, 31, 32, 33, 34, 35]);
                (4, 16)
            }
            _ => {
                range(
                    &mut fake,
                    116,
                    &[0, 5, 9, 12, 14, 0xffff, 0xffff, 0xffff, 0xffff],
                );
                range(&mut fake, 125, &[31, 32, 33, 34, 35, 35, 35, 35, 35]);
                (8, Trie::list(8, 16, false))
            }
        };
        let mut trie = Trie {
            form,
            lists: 100,
            lists_len: 4096,
            longest,
            short: 16,
            ..Trie::default()
        };
        if form == Trie::NARROW_LISTS {
            (trie.root, trie.lists_len, trie.short) = (5000, 1024, 4);
            range(&mut fake, 5000 + 0x0a01, &[2, 4]);
        } else {
            fake.words.insert(0x0a01, 8);
            fake.words.insert(0x0a02, word);
        }
        for (low, short, long) in [
            (0, 21, 31),
            (4, 21, 31),
            (5, 22, 32),
            (8, 22, 32),
            (9, 21, 33),
            (12, 21, 34),
            (0xffff, 21, 35),
        ] {
            assert_eq!(trie::find_v4(&fake, &trie, 0x0a01_0000 | low), short);
            assert_eq!(trie::find_v4(&fake, &trie, 0x0a02_0000 | low), long);
        }
    }
}

#[test]
fn a_list_is_not_read_past_its_end() {
    // Another list of the trie is as long as a list may be, and what lies behind this one begins higher up, or lower down.
    for (starts, behind) in
        (List::SHORTEST as u16..20).flat_map(|starts| [(starts, 0xffff), (starts, 0)])
    {
        let mut fake = Fake::default();
        let list = (1..=starts).map(|number| number * 16).chain(0..=starts);
        for (place, half) in (501..).zip(list.chain([behind; 128])) {
            fake.halves.insert(place, half);
        }
        fake.words
            .insert(0x0a01, Trie::list(starts.into(), 400, false));
        let trie = Trie {
            form: Trie::LISTS,
            lists: 100,
            lists_len: 4096,
            longest: List::LONGEST,
            ..Trie::default()
        };
        for low in (0..=u32::from(starts) * 16 + 1).chain([0xfffe, 0xffff]) {
            let begun = (low / 16).min(u32::from(starts));
            let found = trie::find_v4(&fake, &trie, 0x0a01_0000 | low);
            assert_eq!(found, begun.into(), "{starts} {low:#x}");
        }
    }
}
