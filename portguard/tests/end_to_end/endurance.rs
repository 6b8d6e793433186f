//! Changes without end under a steady stream: nothing comes through, nothing is lost, nothing grows.
//!
//! `PORTGUARD_RELOADS`, `PORTGUARD_KILLS` and `PORTGUARD_PACKETS` say how many, where the usual numbers are too few.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use portguard_testbed::{Bed, Daemon, soon};

use crate::stream::{Stream, policy};
use crate::{binary, resident_kib, rule_packets, stderr, stdout};

const RELOADS: u64 = 60;
const KILLS: u64 = 12;
/// To each port before, between and after two upgrades.
const PACKETS: u64 = 1_000;

fn number(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => usual,
    }
}

fn host() -> (Bed, Daemon) {
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(binary(), &bed.server, &policy("")).expect("a daemon");
    (bed, daemon)
}

/// A policy of a thousand rules, of which the last few are of this number.
fn thousand_rules(number: u64) -> String {
    let rule = |index: u64| {
        let port = 10_000 + index;
        let third = index % 250;
        format!(
            "  - {{name: r{index}, action: drop, ports: [{port}/tcp], from: [10.{third}.0.0/16]}}\n"
        )
    };
    let first = 10 * (number % 2);
    policy(&(first..first + 998).map(rule).collect::<String>())
}

/// What a daemon holds: resident memory in KiB, descriptors, maps among them, and pins.
#[derive(Clone, Copy, Debug)]
struct Held {
    memory: u64,
    descriptors: usize,
    maps: usize,
    pins: usize,
}

impl Held {
    /// All of it but memory.
    fn kept(&self) -> (usize, usize, usize) {
        (self.descriptors, self.maps, self.pins)
    }
}

fn held(daemon: &Daemon) -> Held {
    let proc = format!("/proc/{}", daemon.pid());
    let names: Vec<_> = fs::read_dir(format!("{proc}/fd"))
        .expect("reads")
        .filter_map(|entry| fs::read_link(entry.expect("an entry").path()).ok())
        .collect();
    let is_map = |name: &&std::path::PathBuf| name.to_string_lossy().contains("bpf-map");
    let mut find = daemon.within(Command::new("find"));
    let pins = find.arg("/sys/fs/bpf/portguard").output().expect("finds");
    Held {
        memory: resident_kib(daemon.pid()),
        descriptors: names.len(),
        maps: names.iter().filter(is_map).count(),
        pins: stdout(&pins).lines().count(),
    }
}

#[test]
fn r01_reloads_under_a_stream_let_nothing_through_lose_nothing_and_leave_nothing_behind() {
    let reloads = number("PORTGUARD_RELOADS", RELOADS);
    let (bed, daemon) = host();
    let reload = |number| {
        daemon
            .write_policy(&thousand_rules(number))
            .expect("writes");
        let output = daemon.reload().expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let stream = Stream::start(&bed);
    for number in 0..reloads / 4 {
        reload(number);
    }
    let before = held(&daemon);
    for number in reloads / 4..reloads {
        reload(number);
    }
    // What a policy leaves behind it may let go a moment after the answer; a leak stays.
    let mut after = before;
    let is_let_go = soon(Duration::from_secs(5), || {
        after = held(&daemon);
        after.kept() == before.kept()
    });
    println!("{reloads} reloads: {before:?}, then {after:?}");
    let tally = stream.end();
    tally.assert_clean();
    assert!(is_let_go, "{before:?} {after:?}");
    // The allocator keeps what it may need again; a leak of a policy each time would be many times this.
    assert!(
        after.memory < before.memory + 8 * 1024,
        "{before:?} {after:?}"
    );
    let status = daemon.status().expect("status");
    assert_eq!(status["generation"], reloads + 1);
    let counters = daemon.counters().expect("counters");
    assert_eq!(rule_packets(&counters, "blocked"), tally.sent);
}

#[test]
fn a_daemon_that_is_killed_at_any_moment_lets_nothing_through_and_loses_nothing() {
    let kills = number("PORTGUARD_KILLS", KILLS);
    let (bed, mut daemon) = host();
    let folder = tempfile::tempdir().expect("a folder");
    let draft = folder.path().join("draft.yaml");
    let stream = Stream::start(&bed);
    // Moments that differ from one to the next, and are the same in each run.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for number in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let text = policy(&format!(
            "  - {{name: extra, action: drop, ports: [{}/tcp]}}\n",
            2_000 + number % 2
        ));
        fs::write(&draft, &text).expect("writes");
        let draft = draft.to_str().expect("UTF-8");
        let words = match random >> 32 & 3 {
            0 => vec!["apply", draft, "--confirm", "1s"],
            1 => vec!["apply", draft, "--confirm", "60s"],
            2 => vec!["apply", draft],
            _ => vec!["reload"],
        };
        if words == ["reload"] {
            daemon.write_policy(&text).expect("writes");
        }
        thread::scope(|scope| {
            let asked = scope.spawn(|| daemon.client(&words));
            thread::sleep(Duration::from_millis(random % 400));
            let pid = rustix::process::Pid::from_raw(daemon.pid().cast_signed());
            // Our own child, which is reaped below.
            rustix::process::kill_process(pid.expect("an ID"), rustix::process::Signal::KILL)
                .expect("kills");
            // Whether it was answered before is a matter of the moment.
            asked.join().expect("a client").expect("runs");
        });
        daemon.kill().expect("is reaped");
        // For a while nobody is there; now and then, longer than a trial lasts.
        thread::sleep(Duration::from_millis(random >> 16 & 0x3ff));
        daemon.start_again(&bed.server).expect("is taken over");
    }
    let tally = stream.end();
    tally.assert_clean();
    let counters = daemon.counters().expect("counters");
    assert_eq!(
        rule_packets(&counters, "blocked"),
        tally.sent,
        "in all generations"
    );
    let stopped = daemon.stop().expect("stops");
    let adopted = stopped.log.matches("took over `srv0`").count() as u64;
    assert_eq!(adopted, kills, "{}", stopped.log);
}

#[test]
fn l04_pins_of_another_version_are_replaced_without_a_gap() {
    let packets = number("PORTGUARD_PACKETS", PACKETS);
    let (bed, mut daemon) = host();
    let stream = Stream::start(&bed);
    let shell = |daemon: &Daemon, script: &str| {
        let mut command = daemon.within(Command::new("sh"));
        let output = command.args(["-ec", script]).output().expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    stream.wait_for(packets);
    // Maps of other sizes in the same layout: one in the place of another.
    daemon.kill().expect("kills");
    shell(
        &daemon,
        "cd /sys/fs/bpf/portguard/v*; mv LAST_SENT TCP_FLOWS; mv HOST CLOSED_PORTS",
    );
    daemon.start_again(&bed.server).expect("starts again");
    stream.wait_for(packets);
    // Another layout altogether.
    daemon.kill().expect("kills");
    shell(&daemon, "cd /sys/fs/bpf/portguard; mv v* v0");
    daemon.start_again(&bed.server).expect("starts again");
    stream.wait_for(packets);
    let tally = stream.end();
    tally.assert_clean();
    shell(&daemon, "test ! -e /sys/fs/bpf/portguard/v0");
    let log = daemon.log();
    assert_eq!(log.matches("took over `srv0`").count(), 2, "{log}");
    assert!(log.contains("is of another version"), "{log}");
}
