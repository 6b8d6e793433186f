//! Drop events: what is told of which frame, how many are told, and that each is counted.

use portguard::dataplane::{Arrival, EventRing, Generation, LoadOptions, boot_time_ns, measure};
use portguard_common::abi::{Builtin, EventCount, EventHeader, FOREVER, event_group};
use portguard_common::limits::EVENT_RING_BYTES;
use portguard_common::packet::Malformed;
use portguard_policy::Outcome;

use crate::filter::tables;
use crate::frames::{
    Ipv4, ethernet, icmpv6, ipv4, ipv6, portless, raw_ethernet, tcp, tcp_with, udp,
};

const EVENTS: &str = "events: { rate: 1/s, snap: 64 }";
const DROP_SSH: &str = "{ name: ssh, action: drop, ports: 22/tcp }";

/// The number that these generations go by.
const NUMBER: u32 = 7;

const AT: Arrival = Arrival {
    ifindex: 9,
    now_ns: 5_000_000_000,
};

/// A policy in the kernel that tells events, and who reads them.
struct Told {
    generation: Generation,
    ring: EventRing,
}

impl Told {
    /// With plenty for everybody to take.
    fn new(settings: &str, rules: &[&str]) -> Self {
        let mut told = Self::silent(settings, rules);
        told.generation.set_event_pool(1 << 40, 0).unwrap();
        told
    }

    /// With nothing handed out yet.
    fn silent(settings: &str, rules: &[&str]) -> Self {
        let (tables, _) = tables(settings, rules);
        let options = LoadOptions {
            bans: 16,
            count_all_buffers: true,
            events: Some(NUMBER),
            trace: true,
            ..LoadOptions::default()
        };
        let generation = Generation::load(&tables, &options).unwrap();
        assert!(generation.tells_events());
        Self {
            ring: generation.event_ring().unwrap(),
            generation,
        }
    }

    fn send(&self, frame: &[u8]) -> bool {
        self.generation.run_as(frame, AT).unwrap().dropped
    }

    /// What is told of a frame.
    fn told_of(&mut self, frame: &[u8]) -> Option<(EventHeader, Vec<u8>)> {
        self.send(frame);
        let told = self.ring.take();
        assert!(self.ring.take().is_none(), "one frame, one event");
        told
    }

    fn count(&self, group: u32) -> EventCount {
        let counts = self.generation.event_counts().unwrap();
        // Where nothing is told of the last rules, they have no counts.
        counts.get(group as usize).copied().unwrap_or_default()
    }

    fn sum(&self) -> EventCount {
        self.generation.counts().unwrap().events
    }
}

const fn count(emitted: u64, suppressed: u64, lost: u64) -> EventCount {
    EventCount {
        emitted,
        suppressed,
        lost,
    }
}

const fn builtin(builtin: Builtin) -> u32 {
    builtin as u32
}

#[test]
fn an_event_says_when_where_what_and_why() {
    let mut told = Told::new(
        EVENTS,
        &["{ name: web, action: pass, ports: 80 }", DROP_SSH],
    );
    let frame = ipv4(udp(1, 22, &[0xab; 200]));
    assert_eq!(told.told_of(&frame), None, "another protocol");
    let mut frame = ipv4(tcp(40_000, 22));
    frame.extend_from_slice(&[0xcd; 100]);
    let (header, bytes) = told.told_of(&frame).expect("an event");
    assert_eq!(header.time_ns, AT.now_ns);
    assert_eq!(header.generation, NUMBER);
    assert_eq!(header.ifindex, AT.ifindex);
    assert_eq!(header.frame_len as usize, frame.len());
    assert_eq!(header.flags, 0);
    assert_eq!(
        told.generation.outcome(header.counter),
        Some(Outcome::Rule(1))
    );
    assert_eq!(bytes, &frame[..64]);
    // By the kernel's own clock, where nothing else is said.
    let before = boot_time_ns();
    told.generation.run(&frame).unwrap();
    let (header, _) = told.ring.take().expect("an event");
    assert!((before..=boot_time_ns()).contains(&header.time_ns));
}

#[test]
fn as_much_of_a_frame_is_kept_as_was_asked_for() {
    for (snap, most) in [
        ("64", 64),
        ("128", 128),
        ("1000", 1000),
        ("4096", 4096),
        ("full", 9216),
    ] {
        let events = format!("events: {{ rate: 1/s, snap: {snap} }}");
        let mut told = Told::new(&events, &["{ name: all, action: drop, protocol: any }"]);
        // The last ones are in several buffers.
        for payload in [0, 21, 22, 23, 86, 958, 1400, 4054, 8900, 9500] {
            let content: Vec<u8> = (0..payload).map(|place| (place % 251) as u8).collect();
            let frame = ipv4(udp(1, 2, &content));
            let (header, bytes) = told.told_of(&frame).expect("an event");
            assert_eq!(header.frame_len as usize, frame.len());
            assert_eq!(
                header.captured_len as usize,
                frame.len().min(most),
                "{snap}"
            );
            assert!(bytes == frame[..frame.len().min(most)], "{snap} {payload}");
        }
        assert_eq!(told.sum(), count(10, 0, 0));
    }
}

#[test]
fn whatever_is_dropped_is_told_and_nothing_else() {
    const LIMIT: &str = "{ name: few, action: limit, rate: 1/m, ports: 80/tcp, per: rule }";
    let malformed = ipv4(tcp_with(1, 22, 2));
    let later = ethernet(Ipv4::carrying(portless(17, &[0; 8])).fragment(9, false));
    let arp = raw_ethernet(0x0806, &[0; 28]);
    let foreign = raw_ethernet(0x88cc, &[0; 28]);
    let rule = |index: usize| event_group::of_rule(index) as u32;
    let ssh = ipv4(tcp(1, 22));
    let reason = Malformed::TcpDataOffset;
    for (settings, rules, frame, expected) in [
        (
            "",
            &[DROP_SSH][..],
            &ssh,
            Some((Outcome::Rule(0), rule(0), 0)),
        ),
        (
            "",
            &["{ name: ssh, action: reject, ports: 22/tcp }"],
            &ssh,
            Some((Outcome::Rule(0), rule(0), EventHeader::REJECTED)),
        ),
        (
            "enforce: false",
            &["{ name: ssh, action: reject, ports: 22/tcp }"],
            &ssh,
            Some((
                Outcome::Rule(0),
                rule(0),
                EventHeader::REJECTED | EventHeader::NOT_ENFORCED,
            )),
        ),
        (
            "enforce: false\ndefault: drop",
            &[],
            &ssh,
            Some((
                Outcome::Builtin(Builtin::DefaultDrop),
                builtin(Builtin::DefaultDrop),
                EventHeader::NOT_ENFORCED,
            )),
        ),
        (
            "default: drop",
            &[],
            &ipv6(icmpv6(128, 0)),
            Some((
                Outcome::Builtin(Builtin::DefaultDrop),
                builtin(Builtin::DefaultDrop),
                0,
            )),
        ),
        (
            "",
            &[],
            &malformed,
            Some((Outcome::Malformed(reason), 16 + reason as u32, 0)),
        ),
        (
            "fragments: drop",
            &[],
            &later,
            Some((
                Outcome::Builtin(Builtin::LaterFragment),
                builtin(Builtin::LaterFragment),
                0,
            )),
        ),
        (
            "non_ip: drop",
            &[],
            &foreign,
            Some((Outcome::Builtin(Builtin::NonIp), builtin(Builtin::NonIp), 0)),
        ),
        // What passes is not told.
        ("non_ip: drop", &[], &arp, None),
        ("malformed: pass", &[], &malformed, None),
        ("", &[], &ssh, None),
        ("", &[], &later, None),
        (
            "default: drop",
            &["{ name: ssh, action: pass, ports: 22/tcp }"],
            &ssh,
            None,
        ),
        ("trusted: 198.51.100.9", &[DROP_SSH], &ssh, None),
        ("", &[LIMIT], &ipv4(tcp(1, 80)), None),
        // A rule that only counts drops nothing.
        (
            "",
            &["{ name: ssh, action: drop, ports: 22/tcp, enforce: false }"],
            &ssh,
            None,
        ),
        // Nor is told what a rule keeps silent about, be it its own drop or what is beyond its limit.
        (
            "",
            &["{ name: ssh, action: drop, ports: 22/tcp, events: false }"],
            &ssh,
            None,
        ),
    ] {
        let mut told = Told::new(&format!("{EVENTS}\nreplies: rules\n{settings}"), rules);
        let case = format!("{settings} {rules:?}");
        let Some((outcome, group, flags)) = expected else {
            assert_eq!(told.told_of(frame), None, "{case}");
            assert_eq!(told.sum(), EventCount::default(), "{case}");
            continue;
        };
        let (header, _) = told.told_of(frame).unwrap_or_else(|| panic!("{case}"));
        assert_eq!(
            told.generation.outcome(header.counter),
            Some(outcome),
            "{case}"
        );
        assert_eq!(header.flags, flags, "{case}");
        assert_eq!(told.count(group), count(1, 0, 0), "{case}");
        assert_eq!(told.sum(), count(1, 0, 0), "{case}");
    }

    let web = ipv4(tcp(1, 80));
    for (events, told_beyond) in [("", true), (", events: false", false)] {
        let limit = LIMIT.replace(" }", &format!("{events} }}"));
        let mut told = Told::new(&format!("{EVENTS}\nreplies: rules"), &[&limit]);
        assert_eq!(told.told_of(&web), None, "within the limit");
        let beyond = told.told_of(&web);
        let outcome = beyond.map(|(header, _)| told.generation.outcome(header.counter));
        assert_eq!(
            outcome,
            told_beyond.then_some(Some(Outcome::Limited(0))),
            "{limit}"
        );
        assert_eq!(told.count(rule(0)), count(told_beyond.into(), 0, 0));
    }

    let mut told = Told::new(EVENTS, &[]);
    let mut bans = told.generation.bans().unwrap();
    bans.ban("198.51.100.9".parse().unwrap(), FOREVER, 0)
        .unwrap();
    let (header, _) = told.told_of(&ssh).expect("an event");
    assert_eq!(
        told.generation.outcome(header.counter),
        Some(Outcome::Builtin(Builtin::Banned))
    );
}

#[test]
fn what_is_beyond_the_credit_is_suppressed_and_counted() {
    let rules = [DROP_SSH, "{ name: web, action: drop, ports: 80/tcp }"];
    let mut told = Told::silent(EVENTS, &rules);
    let (ssh, web) = (ipv4(tcp(1, 22)), ipv4(tcp(1, 80)));
    let groups = [0, 1].map(|rule| event_group::of_rule(rule) as u32);
    assert_eq!(told.told_of(&ssh), None, "nothing was handed out");
    assert_eq!(told.count(groups[0]), count(0, 1, 0));

    told.generation
        .set_event_credit(groups[0], Some(2))
        .unwrap();
    let emitted = (0..5).filter(|_| told.told_of(&ssh).is_some()).count();
    assert_eq!(emitted, 2);
    assert_eq!(told.count(groups[0]), count(2, 4, 0));
    // The credit of one is no other's, and a group with credit takes nothing of the pool.
    told.generation.set_event_pool(10, 10).unwrap();
    assert_eq!(told.told_of(&ssh), None);
    assert_eq!(told.count(groups[1]), count(0, 0, 0));
    // Of the reserve each newcomer takes one.
    assert!(told.told_of(&web).is_some());
    assert_eq!(told.told_of(&web), None);
    assert_eq!(told.count(groups[1]), count(1, 1, 0));
    // Beyond the reserve there is enough for as many as come.
    for group in groups {
        told.generation.set_event_credit(group, None).unwrap();
    }
    told.generation.set_event_pool(5, 2).unwrap();
    let emitted =
        |told: &mut Told, frame| (0..10).filter(|_| told.told_of(frame).is_some()).count();
    assert_eq!(emitted(&mut told, &ssh), 4, "three, and one of the reserve");
    assert_eq!(emitted(&mut told, &web), 1, "one of the reserve");
    for group in groups {
        told.generation.set_event_credit(group, None).unwrap();
    }
    assert_eq!(emitted(&mut told, &ssh), 0, "the reserve is used up");
    let sum = told.sum();
    assert_eq!(sum.emitted + sum.suppressed + sum.lost, 6 + 1 + 2 + 30);
}

#[test]
fn what_finds_no_room_is_lost_and_counted_and_dropped_all_the_same() {
    let mut told = Told::new(EVENTS, &[DROP_SSH]);
    let frame = ipv4(udp(1, 2, &[0; 64]));
    let mut ssh = ipv4(tcp(1, 22));
    ssh.extend_from_slice(&[0; 64]);
    // A record takes its own header, the ring's of 8 bytes, and 64 bytes of the frame.
    let room = u64::from(EVENT_RING_BYTES) / (32 + 8 + 64);
    for number in 0..room + 100 {
        assert!(told.send(&ssh), "{number}");
    }
    assert!(!told.send(&frame), "what passes still does");
    let sum = told.sum();
    assert_eq!(sum.emitted + sum.lost, room + 100);
    assert!(sum.lost >= 100 && sum.lost < 110, "{sum:?}");
    let mut taken = 0;
    while let Some((header, bytes)) = told.ring.take() {
        assert_eq!((header.frame_len as usize, bytes.len()), (ssh.len(), 64));
        taken += 1;
    }
    assert_eq!(taken, sum.emitted);
    assert!(told.told_of(&ssh).is_some(), "there is room again");
}

/// Kinds of policies, of which each has parts of the program that the others have not.
const KINDS: [(&str, &[&str]); 5] = [
    ("", &[]),
    ("replies: rules", &[DROP_SSH]),
    ("default: drop", &[DROP_SSH]),
    (
        "default: drop\nenforce: false",
        &[
            "{ name: a, action: reject, ports: 22/tcp, from: [192.0.2.0/24, \"2001:db8::/32\"] }",
            "{ name: l, action: limit, rate: 5/s, ports: 80 }",
        ],
    ),
    (
        "malformed: pass\nfragments: { rate: 5/s }",
        &[
            "{ name: l, action: limit, rate: 5/s, ports: 80 }",
            "{ name: v, action: drop, vlan: 5, source_ports: 99 }",
        ],
    ),
];

#[test]
fn where_events_are_off_the_program_has_not_one_instruction_of_them() {
    for trace in [false, true] {
        for (settings, rules) in KINDS {
            let options = LoadOptions {
                bans: 16,
                events: Some(NUMBER),
                trace,
                ..LoadOptions::default()
            };
            let translated = |generation: Generation| {
                let instructions = generation.translated_instructions().unwrap();
                instructions.expect("a kernel that tells")
            };
            let (off, _) = tables(settings, rules);
            let unused = translated(Generation::load(&off, &options).unwrap());
            let unknown = translated(measure::without_events(&off, &options).unwrap());
            println!("{trace} {settings:?}: {unused} {unknown}");
            assert_eq!(unused, unknown, "{settings} {rules:?}");
            // The comparison sees it where there is something to see.
            let (on, _) = tables(&format!("{settings}\n{EVENTS}"), rules);
            let used = translated(Generation::load(&on, &options).unwrap());
            assert!(used > unknown + 50, "{used} {unknown}");
        }
    }
}

#[test]
fn without_a_number_nothing_is_told() {
    let (tables, _) = tables(EVENTS, &[DROP_SSH]);
    let options = LoadOptions {
        trace: true,
        ..LoadOptions::default()
    };
    let generation = Generation::load(&tables, &options).unwrap();
    assert!(!generation.tells_events());
    assert!(generation.run(&ipv4(tcp(1, 22))).unwrap().dropped);
    assert_eq!(generation.counts().unwrap().events, EventCount::default());
}
