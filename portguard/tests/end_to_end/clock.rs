//! The clock on the wall is set while the daemon works: it is in what is printed, and in the ends of `block --for`,
//! and nothing else depends on it.
//!
//! The clock of the machine stays as it is: libfaketime shows the daemon another one. It leaves the clocks that nobody sets
//! alone, the monotonic one and that of the boot.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portguard_testbed::traffic::{Seen, Servers, probe_udp};
use portguard_testbed::{Bed, Daemon, Process, SERVER_V6, in_time, with_three_capabilities};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::bans::{bans, client, targets};
use crate::events::Reader;
use crate::stream::{self, Stream};
use crate::{binary, block, policy, stderr, trial};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The interval of the daemon's watchdog.
const WATCHDOG: Duration = Duration::from_secs(1);

/// How far what is printed may be from what the clock shows: far less than the clock is set on or back.
const NEAR_S: f64 = 600.0;

const HOUR: Duration = Duration::from_secs(3_600);

/// Starts a program with libfaketime. That keeps files in `/dev/shm`, and leaves them there when the program is killed;
/// the daemon has mounts of its own, so these go with it. The loader knows what `$LIB` is.
const PRELOADED: &str = "mount -t tmpfs none /dev/shm
exec env LD_PRELOAD='/usr/$LIB/faketime/libfaketime.so.1' \"$@\"";

/// The clock on the wall that a daemon sees.
struct WallClock(TempDir);

impl WallClock {
    /// One that is right.
    fn new() -> Self {
        let clock = Self(tempfile::tempdir().expect("a folder"));
        clock.set(0);
        clock
    }

    /// Sets it so many hours before the clock of the machine, or behind it.
    fn set(&self, hours: i64) {
        let new = self.0.path().join("new");
        std::fs::write(&new, format!("{hours:+}h\n")).expect("writes");
        std::fs::rename(new, self.0.path().join("offset")).expect("renames");
    }

    /// A command that will run the daemon by this clock.
    fn command(&self, bed: &Bed) -> Command {
        let wrapped = with_three_capabilities(&bed.server, binary());
        let mut command = bed.server.command("sh");
        command
            .args(["-ec", PRELOADED, "sh"])
            .arg(wrapped.get_program())
            .args(wrapped.get_args())
            .arg("run")
            .env("FAKETIME_TIMESTAMP_FILE", self.0.path().join("offset"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // Files have the time at which they were written.
            .env("NO_FAKE_STAT", "1")
            .env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command
    }

    /// A daemon that has this clock.
    fn guard(&self, bed: &Bed, text: &str) -> Daemon {
        Daemon::spawn(binary(), self.command(bed), text).expect("a daemon")
    }
}

/// Whether a time is that of a clock which was set so.
fn is_shown(unix_s: f64, hours: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.expect("after 1970").as_secs_f64();
    (now_s + hours as f64 * HOUR.as_secs_f64() - unix_s).abs() < NEAR_S
}

/// `portguard counters --follow`, running.
struct Follower {
    _child: Process,
    reports: Receiver<Value>,
}

impl Follower {
    fn start(daemon: &Daemon) -> Self {
        let mut command = Command::new(binary());
        command
            .args(["counters", "--follow", "--interval", "100ms"])
            .args(["--format", "json", "--socket"])
            .arg(daemon.folder().join("control.sock"))
            .stdout(Stdio::piped());
        let mut child = Process::spawn(&mut command).expect("runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (sender, reports) = channel();
        thread::spawn(move || {
            let reports = lines.map(|line| serde_json::from_str(&line.expect("a line")));
            // Whoever has seen enough listens no more.
            for report in reports {
                let _ended = sender.send(report.expect("JSON"));
            }
        });
        Self {
            _child: child,
            reports,
        }
    }

    /// Waits for so many reports by a clock that was set so; the last one.
    fn report(&self, hours: i64, count: usize) -> Value {
        let reports = std::iter::from_fn(|| self.reports.recv_timeout(PATIENCE).ok());
        let mut fitting =
            reports.filter(|report| is_shown(report["unix_time"].as_f64().expect("a time"), hours));
        fitting.nth(count - 1).expect("reports go on")
    }
}

/// Waits for signs of life that come from now on.
fn await_signs_of_life(daemon: &Daemon) {
    while daemon.next_notification().expect("reads").is_some() {}
    let begin = Instant::now();
    let mut signs = 0;
    while signs < 2 {
        assert!(begin.elapsed() < PATIENCE, "no sign of life");
        let told = daemon.next_notification().expect("reads");
        signs += usize::from(told.is_some_and(|told| told.contains("WATCHDOG=1")));
    }
}

/// The only ban lasts an hour from when it was made, which was between these moments.
fn assert_an_hour(daemon: &Daemon, [asked, made]: [Instant; 2], hours: i64) {
    let at_least = made.elapsed();
    let listed = bans(daemon);
    let at_most = asked.elapsed();
    let number = |key: &str| listed[0][key].as_u64().expect("a number");
    let left = Duration::from_millis(number("remaining_ms"));
    // They are cut to milliseconds.
    let rounding = Duration::from_millis(2);
    assert!(left + at_least <= HOUR + rounding, "{left:?} {at_least:?}");
    assert!(left + at_most + rounding >= HOUR, "{left:?} {at_most:?}");
    let until_s = number("until_unix_ms") as f64 / 1e3;
    let now_s = until_s - left.as_secs_f64();
    assert!(is_shown(now_s, hours), "{until_s} after {hours} hours");
}

fn assert_well(daemon: &Daemon) {
    let output = daemon.client(&["status"]).expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        daemon.status().expect("status")["degraded"].to_string(),
        "[]"
    );
}

#[test]
fn no_verdict_no_ban_and_nothing_that_goes_on_minds() {
    let bed = Bed::new().expect("a bed");
    let clock = WallClock::new();
    let text = stream::policy("  - {name: app, action: pass, ports: [7001/udp]}\n");
    let text = format!("{text}events: {{ rate: 100/s, snap: 64 }}\n");
    let daemon = clock.guard(&bed, &text);
    let _server = Servers::start(&bed.server, &[], &[7001]).expect("a server");
    let answered = |patience| {
        let seen = probe_udp(&bed.client, SERVER_V6.into(), 7001, 1, 8, patience);
        seen.expect("probes") == Seen::Answer
    };
    assert!(answered(PATIENCE));

    let stream = Stream::start(&bed);
    let reader = Reader::start(&daemon, &[]);
    let follower = Follower::start(&daemon);
    let asked = Instant::now();
    client(&daemon, &["ban", "2001:db8::2", "--for", "1h"]);
    let times = [asked, Instant::now()];

    let mut before = follower.report(0, 3);
    for hours in [5, -5] {
        clock.set(hours);
        let report = follower.report(hours, 5);
        for place in ["/uptime_s", "/frames/packets"] {
            let number = |report: &Value| report.pointer(place).and_then(Value::as_f64);
            assert!(number(&report) > number(&before), "{place}: {report}");
        }
        before = report;
        await_signs_of_life(&daemon);
        assert!(!answered(Duration::from_millis(200)));
        assert_an_hour(&daemon, times, hours);
        assert_well(&daemon);
        stream.wait_for(500);
    }
    let uptime_s = before["uptime_s"].as_f64().expect("a number");
    assert!(uptime_s < HOUR.as_secs_f64(), "{uptime_s}");
    stream.end().assert_clean();
    let (events, _account) = reader.end();
    let shown = |hours| {
        let times = events.iter().map(|event| event["unix_time"].as_f64());
        let fitting = times.filter(|time| is_shown(time.expect("a time"), hours));
        fitting.count()
    };
    let counts = [0, 5, -5].map(shown);
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), events.len());
    client(&daemon, &["unban", "2001:db8::2"]);
    assert!(answered(PATIENCE));
}

#[test]
fn a_trial_ends_in_its_time() {
    in_time(|| {
        let bed = Bed::new().expect("a bed");
        let clock = WallClock::new();
        let daemon = clock.guard(&bed, &policy(trial::OPEN));
        let host = trial::Host::new(bed, daemon);
        let begin = Instant::now();
        let output = host.apply(&["--confirm", "3s"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let applied = Instant::now();
        for hours in [5, -5] {
            clock.set(hours);
            let status = host.daemon.status().expect("status");
            let left_s = status["trial_s"].as_u64().expect("a number");
            assert!(left_s <= 3, "{left_s}");
            assert!(!host.is_open());
        }
        host.reopens();
        // It began somewhere between the request and the answer.
        assert!(begin.elapsed() > trial::TRIAL, "{:?}", begin.elapsed());
        let late = applied.elapsed().saturating_sub(trial::TRIAL);
        assert!(late < trial::LATE, "{late:?}");

        // And one that is confirmed stays. The programs see the end of the last one for themselves, and the daemon a moment later.
        let is_on_trial = || !host.daemon.status().expect("status")["trial_s"].is_null();
        let deadline = Instant::now() + PATIENCE;
        while is_on_trial() {
            assert!(Instant::now() < deadline, "the trial does not end");
            thread::sleep(Duration::from_millis(10));
        }
        let output = host.apply(&["--confirm", "60s"]);
        assert!(output.status.success(), "{}", stderr(&output));
        clock.set(0);
        let output = host.daemon.client(&["confirm"]).expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!host.is_open());
        assert_well(&host.daemon);
    });
}

/// The end of a block is a moment of the clock on the wall: whoever sets the clock sets the end.
#[test]
fn a_block_for_a_time_ends_when_the_clock_shows_its_end() {
    let bed = Bed::new().expect("a bed");
    let clock = WallClock::new();
    let rules = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";
    let daemon = clock.guard(&bed, &policy(rules));
    let host = block::Host::new(bed, daemon);
    host.says(0, &["block", "25/tcp", "--for", "1h"]);
    let until = || host.rules()["rules"][0]["until_unix_s"].as_f64();
    let end_s = until().expect("a time");
    assert!(is_shown(end_s - HOUR.as_secs_f64(), 0), "{end_s}");
    let line = host.kept();
    clock.set(-10);
    assert_eq!(until(), Some(end_s));
    assert!(!host.is_open());
    // A further one ends by the clock as it is now.
    host.says(0, &["block", "26/tcp", "--for", "1h"]);
    let second_s = until().expect("a time");
    assert!(is_shown(second_s - HOUR.as_secs_f64(), -10), "{second_s}");
    clock.set(-5);
    host.becomes_only(&line);
    assert!(!host.is_open());
    clock.set(5);
    host.becomes_only("version: 1\nrules: []\n");
    host.becomes_open();
    assert_well(&host.daemon);
}

/// After a restart of the host the clock on the wall tells what is left of a ban. It may have been set since the ban was
/// made: a host without a battery for its clock begins at a wrong time and learns the right one later.
#[test]
fn a_clock_that_was_set_takes_nothing_from_a_ban_over_a_restart_of_the_host() {
    let bed = Bed::new().expect("a bed");
    let clock = WallClock::new();
    clock.set(-5);
    let mut daemon = clock.guard(
        &bed,
        &policy("  - {name: a, action: drop, ports: [23/tcp]}\n"),
    );
    client(&daemon, &["ban", "192.0.2.2", "--for", "1h"]);
    clock.set(0);
    daemon.signal(Signal::TERM).expect("signals");
    let begin = Instant::now();
    while daemon.is_running() {
        assert!(begin.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    let copy = daemon.folder().join("state/bans");
    let text = std::fs::read_to_string(&copy).expect("reads");
    let this_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("reads");
    let other = text.replace(this_boot.trim(), "11111111-2222-3333-4444-555555555555");
    assert_ne!(other, text);
    std::fs::write(&copy, other).expect("writes");
    daemon.start_again(&bed.server).expect("starts again");
    assert_eq!(targets(&daemon), ["192.0.2.2"]);
    let left_ms = bans(&daemon)[0]["remaining_ms"].as_u64().expect("a time");
    let hour_ms = 3_600_000;
    assert!((hour_ms - 60_000..=hour_ms).contains(&left_ms), "{left_ms}");
}
