//! A flood as fast as this machine can make one, with everybody looking on, and one of them standing still.
//!
//! `PORTGUARD_FLOOD_SECONDS` says for how long, where the usual time is too short.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::{Bed, Daemon, Flood, Process, in_time};
use rustix::process::Signal;
use serde_json::Value;

use crate::events::{Reader, Sender};
use crate::metrics::http;
use crate::page::server_sent;
use crate::top::Terminal;
use crate::{binary, policy, resident_kib, rule_packets};

const FLOODED: u16 = 9_000;
const RARE: u16 = 9_001;
const PASSED: u16 = 9_002;
const METRICS: &str = "127.0.0.1:9477";
/// Events a second.
const BUDGET: f64 = 500.0;
/// Frames of one call of the kernel.
const BATCH: u32 = 100_000;
/// How long counts may take to settle on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn guarded() -> (Bed, Daemon) {
    let rules = policy(&format!(
        "  - {{name: flooded, action: drop, ports: {FLOODED}/udp}}
  - {{name: rare, action: drop, ports: {RARE}/udp}}
  - {{name: passed, action: pass, ports: {PASSED}/udp}}\n"
    ));
    let text = format!(
        "{rules}events: {{ rate: {BUDGET}/s, snap: 64 }}\nmetrics: {{ listen: \"{METRICS}\", page: true }}\n"
    );
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    (bed, daemon)
}

/// What the kernel says of frames that came to the XDP hook of the guarded device.
fn arrived(bed: &Bed) -> u64 {
    let output = bed.server.command("ethtool").args(["-S", "srv0"]).output();
    let text = String::from_utf8(output.expect("runs").stdout).expect("text");
    let counts = text.lines().filter_map(|line| {
        let (name, number) = line.trim().split_once(": ")?;
        name.ends_with("_xdp_packets")
            .then(|| number.parse::<u64>().expect("a number"))
    });
    let counts: Vec<u64> = counts.collect();
    assert!(!counts.is_empty(), "the driver counts: {text}");
    counts.iter().sum()
}

/// All frames that the daemon says it judged.
fn judged(counters: &Value) -> u64 {
    counters["frames"]["packets"].as_u64().expect("a number")
}

fn field(counters: &Value, name: &str) -> u64 {
    counters["events"][name].as_u64().expect("a number")
}

/// Processor time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("reads");
    // Behind the name, which may hold anything: the 14th and 15th fields (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|number| number.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_secs(ticks)
        / u32::try_from(rustix::param::clock_ticks_per_second()).expect("few")
}

fn client(daemon: &Daemon, words: &[&str]) -> Process {
    let mut command = Command::new(binary());
    command
        .args(words)
        .arg("--socket")
        .arg(daemon.folder().join("control.sock"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Process::spawn(&mut command).expect("a client")
}

/// Waits until all that arrived was counted.
fn settled(bed: &Bed, daemon: &Daemon) -> (u64, Value) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let arrived = arrived(bed);
        let counters = daemon.counters().expect("counters");
        let would_be = ["flooded", "rare"].map(|rule| rule_packets(&counters, rule));
        let is_settled = judged(&counters) == arrived
            && field(&counters, "would_be") == would_be.iter().sum::<u64>();
        if is_settled || Instant::now() > deadline {
            return (arrived, counters);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn under_a_flood_all_that_is_shown_stays_true_and_nobody_holds_up_another() {
    in_time(|| {
        let seconds: u64 = match std::env::var("PORTGUARD_FLOOD_SECONDS") {
            Ok(text) => text.parse().expect("a number"),
            Err(_) => 5,
        };
        let (bed, daemon) = guarded();
        let live = Reader::start(&daemon, &[]);
        let stopped = Reader::start(&daemon, &["--bytes"]);
        stopped.signal(Signal::STOP);
        let capture = daemon.folder().join("drops.pcapng");
        let capture = capture.to_str().expect("text");
        let mut others = [
            client(&daemon, &["counters", "--follow", "--format", "json"]),
            client(&daemon, &["capture", "-w", capture]),
        ];
        let terminal = Terminal::open();
        let socket = daemon.folder().join("control.sock");
        terminal.run(&format!(
            "{} top --socket {}",
            binary().display(),
            socket.display()
        ));
        terminal.wait_for("flooded");

        let sender = Sender::new(&bed);
        let flood = Flood::new(&bed.client, "cli0").expect("a flood");
        let frames = [FLOODED, RARE, PASSED].map(|port| sender.frame(port));
        let over = AtomicBool::new(false);
        let before = resident_kib(daemon.pid());
        let mut page = server_sent::Reader::open(&bed, METRICS);
        let (measured, scrapes, reports) = thread::scope(|scope| {
            let flooding = scope.spawn(|| {
                let mut rare = 0;
                while !over.load(Ordering::Relaxed) {
                    flood.send(&frames[0], BATCH).expect("floods");
                    flood.send(&frames[2], BATCH / 10).expect("floods");
                    sender.send(RARE, 1);
                    rare += 1;
                }
                rare
            });
            let scraping = scope.spawn(|| {
                let mut scrapes = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    assert_eq!(http::get(&bed, METRICS, "/metrics").status, 200);
                    scrapes.push(begin.elapsed());
                    thread::sleep(Duration::from_millis(500));
                }
                scrapes
            });
            let paging = scope.spawn(|| {
                let mut reports = 0;
                while !over.load(Ordering::Relaxed) {
                    page.report();
                    reports += 1;
                }
                reports
            });
            // What a second saves up may be told at once, in the beginning.
            thread::sleep(Duration::from_secs(2));
            let sample = || {
                let told = field(&daemon.counters().expect("counters"), "delivered");
                (Instant::now(), told, processor_time(daemon.pid()))
            };
            let (begin, told, used) = sample();
            thread::sleep(Duration::from_secs(seconds));
            let (end, told_then, used_then) = sample();
            over.store(true, Ordering::Relaxed);
            let rare: u64 = flooding.join().expect("a flood");
            let scrapes = scraping.join().expect("scrapes");
            let reports: u64 = paging.join().expect("reports");
            let time = (end - begin).as_secs_f64();
            let told = (told_then - told) as f64 / time;
            let used = (used_then - used).as_secs_f64() / time;
            ((told, used, rare), scrapes, reports)
        });
        let (told, used, rare_sent) = measured;
        let (arrived, counters) = settled(&bed, &daemon);
        let after = resident_kib(daemon.pid());
        let median = {
            let mut scrapes = scrapes;
            scrapes.sort();
            scrapes[scrapes.len() / 2]
        };
        println!(
            "{arrived} frames in {} s; {told:.1} events a second of {BUDGET}; {:.1} % of a processor; {before} KiB, then {after}; a scrape takes {median:?}",
            seconds + 2,
            used * 100.0
        );

        // To the packet.
        assert_eq!(judged(&counters), arrived);
        let dropped = rule_packets(&counters, "flooded") + rule_packets(&counters, "rare");
        assert!(rule_packets(&counters, "rare") <= rare_sent);
        assert_eq!(field(&counters, "would_be"), dropped);
        let parts = ["delivered", "suppressed", "lost"].map(|name| field(&counters, name));
        assert_eq!(parts.iter().sum::<u64>(), dropped, "{parts:?}");
        // Two samples of a daemon on a busy machine are some tenths of a second off.
        let tolerance = BUDGET * (0.05 + 0.3 / seconds as f64);
        assert!((told - BUDGET).abs() <= tolerance, "{told} events a second");
        // A report each second, of which a busy machine may miss some.
        assert!(reports > seconds / 2, "{reports} reports in {seconds} s");
        // What readers cost is bounded, whatever arrives.
        assert!(after < before + 8 * 1024, "{before} KiB, then {after}");
        assert!(used < 0.5, "{used} of a processor");

        terminal.press(&["q"]);
        for child in &mut others {
            assert!(child.try_wait().expect("waits").is_none(), "still there");
            // Whoever runs tests in the background may have them ignore the other signal.
            child.signal(Signal::TERM).expect("signals");
            child.wait().expect("an end");
        }
        let (events, account) = live.end();
        assert_eq!((account.shown, account.slow), (events.len() as u64, 0));
        assert_eq!(account.shown, parts[0], "{account:?}");
        assert_eq!(account.would_be, dropped);
        // A rule with a packet now and then is told of while another is flooded.
        let rare = events
            .iter()
            .filter(|event| event["rule"] == "rare")
            .count();
        assert!(rare > 0, "the flood hid the other rule");
        stopped.signal(Signal::CONT);
        let (events, account) = stopped.end();
        assert_eq!(account.shown, events.len() as u64);
        assert_eq!(account.shown + account.slow, parts[0], "{account:?}");
    });
}
