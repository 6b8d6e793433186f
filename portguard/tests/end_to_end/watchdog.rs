//! The signs of life that the watchdog of the service manager waits for.

use std::time::{Duration, Instant};

use portguard_testbed::{Bed, Daemon, in_time};
use rustix::process::Signal;

use crate::{binary, policy, stderr};

const RULES: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

/// A daemon under a watchdog of this interval.
fn watched(bed: &Bed, interval: Duration) -> Daemon {
    let mut command = bed.server.command(binary());
    command.arg("run");
    command.env("WATCHDOG_USEC", interval.as_micros().to_string());
    Daemon::spawn(binary(), command, &policy(RULES)).expect("a daemon")
}

/// When signs of life come within this time.
fn signs(daemon: &Daemon, time: Duration) -> Vec<Instant> {
    let end = Instant::now() + time;
    let mut signs = Vec::new();
    while Instant::now() < end {
        let told = daemon.next_notification().expect("reads");
        if told.is_some_and(|told| told.lines().any(|line| line == "WATCHDOG=1")) {
            signs.push(Instant::now());
        }
    }
    signs
}

fn longest_gap(signs: &[Instant]) -> Duration {
    let gaps = signs.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().expect("two signs at least")
}

/// A policy that takes a while to compile.
fn slow_policy() -> String {
    let rules = (0..6_000).map(|number| {
        let (port, high, low) = (1 + number * 7 % 65_000, number / 250, number % 250);
        format!("  - {{name: r{number}, action: drop, ports: [{port}/tcp], from: [10.{high}.{low}.0/24]}}\n")
    });
    policy(&rules.collect::<String>())
}

#[test]
fn they_come_in_every_half_interval_and_none_from_one_that_is_stopped() {
    in_time(|| {
        let bed = Bed::new().expect("a bed");
        let interval = Duration::from_secs(4);
        let daemon = watched(&bed, interval);
        let working = signs(&daemon, interval);
        assert!(working.len() >= 3, "{}", working.len());
        assert!(longest_gap(&working) <= interval / 2, "{working:?}");

        daemon.signal(Signal::STOP).expect("a signal");
        // What was said before.
        signs(&daemon, Duration::from_millis(200));
        assert_eq!(signs(&daemon, interval / 2), []);
        daemon.signal(Signal::CONT).expect("a signal");
        assert!(!signs(&daemon, interval / 2).is_empty());
    });
}

#[test]
fn none_are_asked_for_without_a_watchdog() {
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(binary(), &bed.server, &policy(RULES)).expect("a daemon");
    assert_eq!(signs(&daemon, Duration::from_secs(1)), []);
}

/// The interval of the shipped unit is long enough for a reload, and the control loop itself gives the signs: while it
/// compiles there are none.
#[test]
fn a_slow_reload_is_survived_and_a_busy_loop_gives_none() {
    let bed = Bed::new().expect("a bed");
    for (interval, is_short) in [
        (Duration::from_secs(120), false),
        (Duration::from_millis(80), true),
    ] {
        let daemon = watched(&bed, interval);
        daemon.write_policy(&slow_policy()).expect("writes");
        let (took, signs) = std::thread::scope(|scope| {
            let reload = scope.spawn(|| {
                let began = Instant::now();
                let output = daemon.reload().expect("runs");
                assert!(output.status.success(), "{}", stderr(&output));
                began.elapsed()
            });
            let mut all = Vec::new();
            while !reload.is_finished() {
                all.extend(signs(&daemon, Duration::from_millis(50)));
            }
            all.extend(signs(&daemon, Duration::from_millis(400)));
            (reload.join().expect("reloads"), all)
        });
        if is_short {
            assert!(
                took > interval * 2,
                "the policy compiles too fast: {took:?}"
            );
            assert!(longest_gap(&signs) > interval, "{took:?} {signs:?}");
        } else {
            // A quarter passes between two signs; what is left of half of the interval is for the reload.
            assert!(took < interval / 4, "{took:?}");
        }
    }
}
