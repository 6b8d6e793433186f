//! Tables that are full, and those who would like to fill them.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use portguard::dataplane::{Arrival, Generation, LoadOptions, State};
use portguard_common::abi::{Builtin, LINE_WAYS};
use portguard_common::limits::{FLOW_LINES, SOURCE_BUCKETS};
use portguard_policy::{Outcome, Tables};
use portguard_testbed::{in_time, own_bpf_file_system};

use crate::filter::tables;
use crate::frames::{Ipv4, Packet, Segment, ethernet, tcp, udp};

const SECOND: u64 = 1_000_000_000;

/// Another host of the Internet for every number.
fn stranger(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0b00_0000 + number)
}

const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);

fn frame(segment: Segment, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut packet = Packet::from(Ipv4::carrying(segment));
    packet.bytes[12..16].copy_from_slice(&from.octets());
    packet.bytes[16..20].copy_from_slice(&to.octets());
    ethernet(packet)
}

fn datagram(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    frame(udp(from.1, to.1, b"?"), from.0, to.0)
}

fn attempt(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    frame(tcp(from.1, to.1), from.0, to.0)
}

/// A policy in the kernel, at one moment.
struct Host(Generation);

impl Host {
    const NOW: Arrival = Arrival {
        ifindex: 1,
        now_ns: SECOND,
    };

    fn new(rules: &[&str]) -> Self {
        let (tables, _) = tables("default: drop", rules);
        Self(load(&tables, None))
    }

    fn takes(&self, frame: &[u8]) -> Outcome {
        self.takes_at(Self::NOW, frame)
    }

    fn takes_at(&self, arrival: Arrival, frame: &[u8]) -> Outcome {
        let run = self.0.run_as(frame, arrival).unwrap();
        let passes = matches!(
            run.outcome,
            Outcome::Rule(_) | Outcome::Builtin(Builtin::Reply)
        );
        assert_eq!(run.dropped, !passes);
        run.outcome
    }

    fn sends(&self, frame: &[u8]) {
        self.0.leaves(frame, Self::NOW).unwrap();
    }

    /// Asks a question, and returns the answer that will come.
    fn asks(&self, port: u16) -> Vec<u8> {
        self.sends(&datagram((HOST, port), (RESOLVER, 53)));
        datagram((RESOLVER, 53), (HOST, port))
    }
}

fn load(tables: &Tables, state: Option<State>) -> Generation {
    let options = LoadOptions {
        trace: true,
        state,
        ..LoadOptions::default()
    };
    Generation::load(tables, &options).unwrap()
}

const REPLY: Outcome = Outcome::Builtin(Builtin::Reply);
const DROPPED: Outcome = Outcome::Builtin(Builtin::DefaultDrop);

/// A full table of sources meant no limit at all.
#[test]
fn c04_sources_without_a_bucket_share_one_and_push_nobody_out() {
    let host = Host::new(&[
        "{ name: web, action: limit, rate: 3/m, burst: 3, ports: 80/tcp, per: source }",
    ]);
    let attempt_of = |number| attempt((stranger(number), 1024), (HOST, 80));
    assert_eq!(host.takes(&attempt_of(0)), Outcome::Rule(0));
    let passed = (1..SOURCE_BUCKETS * 2)
        .filter(|number| host.takes(&attempt_of(*number)) == Outcome::Rule(0))
        .count();
    let passed = u32::try_from(passed).unwrap();
    assert!(
        passed < SOURCE_BUCKETS + 3,
        "{passed} of {SOURCE_BUCKETS} places"
    );
    assert!(
        passed > SOURCE_BUCKETS / 100 * 98,
        "{passed} of {SOURCE_BUCKETS} places"
    );
    // The first one is known as well as ever.
    let again: Vec<_> = (0..4).map(|_| host.takes(&attempt_of(0))).collect();
    let (within, beyond) = (Outcome::Rule(0), Outcome::Limited(0));
    assert_eq!(again, [within, within, beyond, beyond]);
    // One that comes after the flood is limited too, whether it finds a place or not.
    let flooder = attempt_of(SOURCE_BUCKETS * 2);
    let passed = (0..100).filter(|_| host.takes(&flooder) == within).count();
    assert!(passed <= 3, "{passed} of a burst of 3");
}

#[test]
fn a_limit_holds_over_all_processors() {
    const RATE: f64 = 2_000.0;
    const BURST: f64 = 100.0;
    const TIME: Duration = Duration::from_secs(2);
    // Nothing is sent while the machine stands still.
    in_time(|| {
        let rule =
            "{ name: web, action: limit, rate: 2000/s, burst: 100, ports: 80/tcp, per: rule }";
        let (tables, _) = tables("default: drop\nreplies: rules", &[rule]);
        let frame = attempt((stranger(0), 1024), (HOST, 80));
        let send = move |state: State, cpu: usize| {
            let mut cpus = rustix::thread::CpuSet::new();
            cpus.set(cpu);
            rustix::thread::sched_setaffinity(None, &cpus).unwrap();
            let generation = load(&tables, Some(state));
            let (start, mut passed) = (Instant::now(), 0);
            while start.elapsed() < TIME {
                let run = generation.run(&frame).unwrap();
                passed += u32::from(run.outcome == Outcome::Rule(0));
            }
            (start, Instant::now(), passed)
        };
        // On a thread of its own, since what it mounts is there for it alone, and for those that it starts.
        let runs = thread::spawn(move || {
            own_bpf_file_system().unwrap();
            let state = State::open("/sys/fs/bpf/pressure".as_ref()).unwrap();
            let cpus = thread::available_parallelism().unwrap().get();
            assert!(cpus > 1, "this test needs two processors");
            thread::scope(|scope| {
                let threads: Vec<_> = (0..cpus)
                    .map(|cpu| {
                        let (state, send) = (state.clone(), &send);
                        scope.spawn(move || send(state, cpu))
                    })
                    .collect();
                let runs = threads.into_iter().map(|thread| thread.join().unwrap());
                runs.collect::<Vec<_>>()
            })
        });
        let runs = runs.join().unwrap();
        let start = runs.iter().map(|(start, ..)| *start).min().unwrap();
        let end = runs.iter().map(|(_, end, _)| *end).max().unwrap();
        let passed: u32 = runs.iter().map(|(.., passed)| *passed).sum();
        let expected = BURST + RATE * (end - start).as_secs_f64();
        let ratio = f64::from(passed) / expected;
        assert!((0.9..=1.1).contains(&ratio), "{passed} of {expected}");
    });
}

#[test]
fn a_limit_on_a_service_holds_although_this_host_answers() {
    let host = Host::new(&["{ name: dns, action: limit, rate: 1/m, burst: 5, ports: 53/udp }"]);
    let client = (stranger(7), 4000);
    let mut passed = 0;
    for _ in 0..50 {
        if host.takes(&datagram(client, (HOST, 53))) == Outcome::Rule(0) {
            passed += 1;
            host.sends(&datagram((HOST, 53), client));
        }
    }
    assert_eq!(passed, 5);
}

/// The places of a table of flows.
const FLOWS: u32 = FLOW_LINES * LINE_WAYS;

/// More than there are.
const FLOOD: u32 = FLOWS / 2 * 3;

#[test]
fn forged_questions_that_this_host_answers_push_no_flow_out() {
    for rule in [
        "{ name: dns, action: pass, ports: 53/udp }",
        "{ name: dns, action: limit, rate: 1000000/s, ports: 53/udp }",
    ] {
        let host = Host::new(&[rule]);
        let answer = host.asks(40_000);
        for number in 0..FLOOD {
            let forged = (stranger(number), 4000);
            if number % 1000 == 0 {
                let question = datagram(forged, (HOST, 53));
                assert_eq!(host.takes(&question), Outcome::Rule(0), "{rule}");
            }
            host.sends(&datagram((HOST, 53), forged));
        }
        assert_eq!(host.takes(&answer), REPLY, "{rule}");
    }
}

#[test]
fn a_flood_from_outside_pushes_no_flow_out() {
    let host = Host::new(&["{ name: web, action: pass, ports: 80/tcp }"]);
    let answer = host.asks(40_000);
    for number in 0..FLOOD {
        let from = (stranger(number), 1024);
        let (frame, expected) = match number % 3 {
            0 => (attempt(from, (HOST, 80)), Outcome::Rule(0)),
            1 => (attempt(from, (HOST, 81)), DROPPED),
            _ => (datagram(from, (HOST, 40_000)), DROPPED),
        };
        assert_eq!(host.takes(&frame), expected);
    }
    assert_eq!(host.takes(&answer), REPLY);
}

#[test]
fn a_full_table_of_flows_lets_nothing_else_in() {
    let host = Host::new(&[]);
    // So that none of them is over by the end.
    let at = |number: u32| Arrival {
        now_ns: SECOND + u64::from(number) * 100_000,
        ..Host::NOW
    };
    let ask = |numbers: Range<u32>| {
        for number in numbers {
            let question = datagram((HOST, 40_000), (stranger(number), 53));
            host.0.leaves(&question, at(number)).unwrap();
        }
    };
    let outcome = |number| {
        let answer = datagram((stranger(number), 53), (HOST, 40_000));
        host.takes_at(at(FLOOD), &answer)
    };
    let known = |numbers: Range<u32>| {
        let known = numbers.filter(|number| outcome(*number) == REPLY);
        u32::try_from(known.count()).unwrap()
    };
    // Nearly all have a place while half of the places are taken.
    ask(0..FLOWS / 2);
    let kept = known(0..FLOWS / 2);
    assert!(kept > FLOWS / 2 / 1000 * 999, "{kept} of {FLOWS} places");
    ask(FLOWS / 2..FLOOD);
    // The newest are known; whoever was not asked gets nothing, and who was pushed out gets nothing more.
    for number in FLOOD - 100..FLOOD {
        assert_eq!(outcome(number), REPLY, "{number}");
    }
    for number in FLOOD..FLOOD + 1000 {
        assert_eq!(outcome(number), DROPPED, "{number}");
    }
    let kept = known(0..FLOOD);
    assert!(
        kept > FLOWS / 100 * 98 && kept <= FLOWS,
        "{kept} of {FLOWS}"
    );
    // Those go that have sent nothing for the longest time.
    let (oldest, newest) = (known(0..FLOWS / 4), known(FLOOD - FLOWS / 4..FLOOD));
    assert!(oldest < FLOWS / 4 / 5, "{oldest} of the oldest");
    assert!(newest > FLOWS / 4 / 100 * 98, "{newest} of the newest");
}
