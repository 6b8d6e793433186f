//! Drop events, from the packet to `portguard events`.

mod generations;

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::raw::{Ends, RawSocket, hardware_address, udp_frame};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, Process, SERVER_V4, in_time};
use rustix::process::Signal;
use serde_json::Value;

use crate::{binary, policy, rule_packets, stderr};

const FLOODED: u16 = 9_000;
const RARE: u16 = 9_001;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn rules(rate: &str) -> String {
    format!(
        "{}events: {{ rate: {rate}, snap: 64 }}\n",
        policy(&format!(
            "  - {{name: flooded, action: drop, ports: {FLOODED}/udp}}\n  - {{name: rare, action: drop, ports: {RARE}/udp}}\n"
        ))
    )
}

fn guarded(rate: &str) -> (Bed, Daemon) {
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(binary(), &bed.server, &rules(rate)).expect("a daemon");
    (bed, daemon)
}

/// Sends packets to the guarded host.
pub(crate) struct Sender {
    socket: RawSocket,
    pub(crate) ends: Ends,
}

impl Sender {
    pub(crate) fn new(bed: &Bed) -> Self {
        Self {
            socket: RawSocket::open(&bed.client, "cli0").expect("a sender"),
            ends: Ends {
                from_mac: hardware_address(&bed.client, "cli0").expect("address"),
                to_mac: hardware_address(&bed.server, "srv0").expect("address"),
                from: IpAddr::V4(CLIENT_V4),
                to: IpAddr::V4(SERVER_V4),
            },
        }
    }

    /// A frame to a UDP port.
    pub(crate) fn frame(&self, port: u16) -> Vec<u8> {
        udp_frame(self.ends, &[], port, b"event").expect("a frame")
    }

    pub(crate) fn send(&self, port: u16, packets: u64) {
        let frame = self.frame(port);
        for _ in 0..packets {
            self.send_frame(&frame);
        }
    }

    pub(crate) fn send_frame(&self, frame: &[u8]) {
        self.socket.send(frame).expect("sends");
    }

    /// Floods one port for a time; returns how many packets it took.
    pub(crate) fn flood(&self, time: Duration) -> u64 {
        let end = Instant::now() + time;
        let mut sent = 0;
        while Instant::now() < end {
            self.send(FLOODED, 50);
            sent += 50;
            thread::sleep(Duration::from_millis(5));
        }
        sent
    }
}

/// `portguard events --format json`, running.
pub(crate) struct Reader {
    child: Process,
    events: thread::JoinHandle<Vec<Value>>,
    /// How many of them it has shown so far.
    shown: Arc<AtomicU64>,
}

impl Reader {
    /// Begins to read, and is heard of by the daemon when this returns.
    pub(crate) fn start(daemon: &Daemon, words: &[&str]) -> Self {
        let socket = daemon.folder().join("control.sock");
        let connections = || {
            // The daemon's end of a connection is in the namespace of the other one.
            let all = fs::read_to_string("/proc/net/unix").expect("sockets");
            let own = socket.to_str().expect("a path of text");
            let own = all.lines().filter(|line| line.ends_with(own));
            // Each has a number, that of its inode.
            let inode = |line: &str| line.split_whitespace().nth(6).map(str::to_owned);
            own.map(|line| inode(line).expect("a number"))
                .collect::<HashSet<String>>()
        };
        let before = connections();
        let mut command = Command::new(binary());
        command
            .args(["events", "--format", "json"])
            .args(words)
            .arg("--socket")
            .arg(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = Process::spawn(&mut command).expect("a reader");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let shown = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&shown);
        let events = thread::spawn(move || {
            let lines = out.lines().map(|line| line.expect("a line"));
            lines
                .inspect(|_| {
                    counted.fetch_add(1, Ordering::Relaxed);
                })
                .map(|line| serde_json::from_str(&line).expect("JSON"))
                .collect()
        });
        // To begin may take long on a busy host; to ask, once it has connected, does not.
        let deadline = Instant::now() + PATIENCE;
        while connections().is_subset(&before) {
            assert!(Instant::now() < deadline, "the reader does not connect");
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_secs(1));
        Self {
            child,
            events,
            shown,
        }
    }

    /// Waits until it has shown so many events.
    fn await_shown(&self, events: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown.load(Ordering::Relaxed);
            if shown >= events {
                return;
            }
            assert!(Instant::now() < deadline, "{shown} of {events}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal).expect("signals");
    }

    /// Ends it by a signal; what it showed, and its account.
    pub(crate) fn end(self) -> (Vec<Value>, Account) {
        self.signal(Signal::INT);
        self.wait()
    }

    fn wait(mut self) -> (Vec<Value>, Account) {
        let mut text = String::new();
        let mut errors = self.child.stderr.take().expect("its errors");
        errors.read_to_string(&mut text).expect("text");
        let status = self.child.wait().expect("an end");
        assert!(status.success(), "{status}: {text}");
        (self.events.join().expect("events"), Account::read(&text))
    }
}

/// What a reader is told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) shown: u64,
    pub(crate) slow: u64,
    pub(crate) would_be: u64,
    pub(crate) delivered: u64,
    pub(crate) suppressed: u64,
    pub(crate) lost: u64,
}

impl Account {
    fn read(text: &str) -> Self {
        let numbers: Vec<u64> = text
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        let [shown, slow, would_be, delivered, suppressed, lost] = numbers[..] else {
            panic!("no account: {text}")
        };
        let account = Self {
            shown,
            slow,
            would_be,
            delivered,
            suppressed,
            lost,
        };
        assert_eq!(would_be, delivered + suppressed + lost, "{text}");
        account
    }
}

/// What the daemon says of events when all is quiet: held against what the rules counted.
fn host(daemon: &Daemon, packets: u64) -> (u64, u64, u64) {
    let end = Instant::now() + PATIENCE;
    loop {
        let counters = daemon.counters().expect("counters");
        let dropped = rule_packets(&counters, "flooded") + rule_packets(&counters, "rare");
        let field = |name: &str| counters["events"][name].as_u64().expect("a number");
        if dropped == packets || Instant::now() > end {
            assert_eq!(dropped, packets, "all packets were counted");
            assert_eq!(field("would_be"), packets, "{}", counters["events"]);
            let parts = (field("delivered"), field("suppressed"), field("lost"));
            assert_eq!(parts.0 + parts.1 + parts.2, packets);
            return parts;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn of_rule(events: &[Value], rule: &str) -> u64 {
    events.iter().filter(|event| event["rule"] == rule).count() as u64
}

#[test]
fn a_packet_is_told_with_what_dropped_it() {
    let (bed, daemon) = guarded("100/s");
    let from = format!("{CLIENT_V4}/24");
    let reader = Reader::start(
        &daemon,
        &["--rule", "rare", "--port", "9001", "--from", &from],
    );
    let raw = Reader::start(&daemon, &["--bytes", "--count", "2"]);
    let sender = Sender::new(&bed);
    sender.send(FLOODED, 1);
    sender.send(RARE, 1);
    let (all, account) = raw.wait();
    assert_eq!((account.shown, account.slow), (2, 0));
    let frame = sender.frame(RARE);
    let told = frame.iter().take(64).map(|byte| format!("{byte:02x}"));
    assert_eq!(all[1]["bytes"], told.collect::<String>());
    let (events, account) = reader.end();
    assert_eq!((account.shown, account.slow, account.would_be), (1, 0, 2));
    let event = &events[0];
    assert_eq!(event["rule"], "rare");
    assert_eq!(event["line"], 5);
    assert_eq!(event["outcome"], "rule");
    assert_eq!(
        (&event["action"], &event["enforced"]),
        (&"drop".into(), &true.into())
    );
    assert_eq!(event["interface"], "srv0");
    assert_eq!(event["protocol"], "udp");
    assert_eq!(event["source"], CLIENT_V4.to_string());
    assert_eq!(event["destination"], SERVER_V4.to_string());
    assert_eq!(event["destination_port"], RARE);
    assert_eq!(event["length"], frame.len());
    assert_eq!(event["bytes"], Value::Null);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now.expect("a time").as_secs_f64() - event["unix_time"].as_f64().expect("a time");
    assert!((0.0..120.0).contains(&age), "{age}");
    assert_eq!(host(&daemon, 2), (2, 0, 0));
}

#[test]
fn a_flood_of_one_rule_hides_no_other_and_keeps_to_the_budget() {
    const RATE: f64 = 50.0;
    in_time(|| {
        let (bed, daemon) = guarded("50/s");
        let reader = Reader::start(&daemon, &[]);
        let sender = Sender::new(&bed);
        let start = Instant::now();
        let mut sent = sender.flood(Duration::from_secs(3));
        for _ in 0..3 {
            sender.send(RARE, 1);
            sent += 1 + sender.flood(Duration::from_secs(1));
        }
        let time = start.elapsed().as_secs_f64();
        let (delivered, suppressed, lost) = host(&daemon, sent);
        let (events, account) = reader.end();
        assert_eq!(of_rule(&events, "rare"), 3, "each was told");
        assert_eq!((account.shown, account.slow), (events.len() as u64, 0));
        assert_eq!(account.shown, delivered);
        assert_eq!(account.would_be, sent);
        assert_eq!((account.suppressed, account.lost), (suppressed, lost));
        // What a second saves up may come at once, in the beginning.
        let (least, most) = (RATE * time * 0.9 - RATE, RATE * time * 1.05 + RATE);
        let told = delivered as f64;
        assert!((least..=most).contains(&told), "{told}: {least} to {most}");
        assert!(suppressed > 0, "a flood, and not all of it was told");
    });
}

#[test]
fn a_reader_that_stands_still_loses_its_own_events_alone() {
    in_time(|| {
        let (bed, daemon) = guarded("20000/s");
        let stopped = Reader::start(&daemon, &["--bytes"]);
        let other = Reader::start(&daemon, &[]);
        stopped.signal(Signal::STOP);
        let sender = Sender::new(&bed);
        // More than the socket's buffer and the queue hold.
        let mut sent: u64 = 0;
        while sent < 12_000 {
            sender.send(FLOODED, 100);
            sent += 100;
            thread::sleep(Duration::from_millis(20));
            // No faster than the other one reads on a busy host: what waits for it fits its queue.
            other.await_shown(sent.saturating_sub(2_000));
        }
        let (delivered, _, _) = host(&daemon, sent);
        assert!(delivered > 10_000, "{delivered}: too few to fill a queue");
        // The daemon answers others, and the other reader has everything.
        let (events, account) = other.end();
        assert_eq!(events.len() as u64, delivered);
        assert_eq!(account.slow, 0);
        stopped.signal(Signal::CONT);
        let (events, account) = stopped.end();
        assert!(account.slow > 0, "{account:?}");
        assert_eq!(account.shown, events.len() as u64);
        assert_eq!(account.shown + account.slow, delivered, "{account:?}");
    });
}

#[test]
fn the_account_is_exact_over_reloads_and_a_dead_daemon() {
    in_time(|| {
        let (bed, mut daemon) = guarded("30/s");
        let sender = Sender::new(&bed);
        let mut sent = sender.flood(Duration::from_secs(1));
        let reader = Reader::start(&daemon, &[]);
        for rate in ["40/s", "2000/m"] {
            daemon.write_policy(&rules(rate)).expect("writes");
            let is_over = AtomicBool::new(false);
            sent += thread::scope(|scope| {
                let flood = scope.spawn(|| {
                    let mut sent = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        sent += sender.flood(Duration::from_millis(50));
                    }
                    sent
                });
                let output = daemon.reload().expect("a reload");
                thread::sleep(Duration::from_secs(1));
                is_over.store(true, Ordering::Relaxed);
                assert!(output.status.success(), "{}", stderr(&output));
                flood.join().expect("a flood")
            });
        }
        let before = host(&daemon, sent);
        let (events, account) = reader.end();
        let generations: std::collections::BTreeSet<u64> = events
            .iter()
            .filter_map(|event| event["generation"].as_u64())
            .collect();
        assert!(generations.contains(&3), "{generations:?}");
        assert_eq!(account.would_be, sent);
        daemon.kill().expect("kills");
        // Nobody hands anything out now: what is beyond it is suppressed, and counted all the same.
        sent += sender.flood(Duration::from_secs(1));
        daemon.start_again(&bed.server).expect("starts");
        sent += sender.flood(Duration::from_millis(300));
        let after = host(&daemon, sent);
        assert!(
            after.0 > before.0 && after.1 > before.1,
            "{before:?} {after:?}"
        );
        // Events go on.
        let reader = Reader::start(&daemon, &["--count", "1"]);
        thread::sleep(Duration::from_secs(1));
        sender.send(RARE, 1);
        let (events, _) = reader.wait();
        assert_eq!(events[0]["rule"], "rare");
    });
}

#[test]
fn what_cannot_be_told_is_refused_with_the_reason() {
    let (_bed, daemon) = guarded("100/s");
    for (words, exit, reason) in [
        (&["--rule", "nosuch"][..], 1, "no rule is called `nosuch`"),
        (
            &["--from", "192.0.2.0/33"],
            2,
            "an address or a prefix is expected",
        ),
        (&["--port", "65536"], 2, "65536"),
        (&["--for", "10"], 2, "a number with"),
        (&["--count", "-1"], 2, "-1"),
    ] {
        let words: Vec<&str> = ["events"].iter().chain(words).copied().collect();
        let output = daemon.client(&words).expect("a client");
        assert_eq!(output.status.code(), Some(exit), "{words:?}");
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
    let status = daemon.status().expect("status");
    assert_eq!(status["events"]["rate"], "100/s");
    assert_eq!(status["events"]["snap_bytes"], 64);
    daemon
        .write_policy(&policy("  - {name: r, action: drop, ports: 23/tcp}\n"))
        .expect("writes");
    assert!(daemon.reload().expect("a reload").status.success());
    let output = daemon.client(&["events"]).expect("a client");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the policy has no events: add `events: { rate: 100/s }`"),
        "{}",
        stderr(&output)
    );
    let status = daemon.status().expect("status");
    assert_eq!(status["events"], Value::Null);
}
