//! Events of a policy on trial, and of a filter that goes on without its daemon.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use portguard_testbed::in_time;
use rustix::process::Signal;
use serde_json::Value;

use super::{FLOODED, RARE, Reader, Sender, guarded, host, of_rule, rules};
use crate::adoption::wait_until;
use crate::{policy, stderr};

/// A policy in which another rule has the flooded port, on another line.
fn draft() -> String {
    let rules = format!(
        "  - {{name: web, action: pass, ports: [80/tcp]}}
  - {{name: quiet, action: pass, ports: [81/tcp]}}
  - {{name: rare, action: drop, ports: {FLOODED}/udp}}\n"
    );
    format!("{}events: {{ rate: 1000/s }}\n", policy(&rules))
}

/// How many events each number of a policy has, with rule and line.
fn by_decision(events: &[Value]) -> BTreeMap<(u64, &str, u64), u64> {
    let mut counts = BTreeMap::new();
    for event in events {
        let number = |name: &str| event[name].as_u64().expect("a number");
        let rule = event["rule"].as_str().expect("a rule");
        *counts
            .entry((number("generation"), rule, number("line")))
            .or_default() += 1;
    }
    counts
}

#[test]
fn during_a_trial_its_events_come_and_after_it_those_of_the_policy_before() {
    in_time(|| {
        let (bed, daemon) = guarded("1000/s");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("draft.yaml");
        fs::write(&file, draft()).expect("writes");
        let apply = |time: &str| {
            let words = ["apply", file.to_str().expect("UTF-8"), "--confirm", time];
            let output = daemon.client(&words).expect("runs");
            assert!(output.status.success(), "{}", stderr(&output));
        };
        let reader = Reader::start(&daemon, &[]);
        let sender = Sender::new(&bed);
        sender.send(FLOODED, 3);
        host(&daemon, 3);
        apply("60s");
        sender.send(FLOODED, 5);
        host(&daemon, 8);
        let output = daemon.client(&["revert"]).expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        sender.send(FLOODED, 7);
        host(&daemon, 15);

        // The next trial ends by itself while packets come.
        apply("1s");
        let is_over = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let flood = scope.spawn(|| {
                let mut sent = 0;
                while !is_over.load(Ordering::Relaxed) {
                    sender.send(FLOODED, 1);
                    sent += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                sent
            });
            wait_until("the trial ends", || {
                daemon.status().expect("status")["trial_s"] == Value::Null
            });
            is_over.store(true, Ordering::Relaxed);
            flood.join().expect("a flood")
        });
        sender.send(FLOODED, 2);
        // Exact also over that end: each is in one policy's account, and in one part of it.
        let all = 15 + sent + 2;
        assert_eq!(host(&daemon, all), (all, 0, 0));
        let (events, account) = reader.end();
        assert_eq!((account.shown, account.slow), (all, 0));
        assert_eq!((account.would_be, account.delivered), (all, all));

        let counts = by_decision(&events);
        let of = |number, rule, line| counts.get(&(number, rule, line)).copied().unwrap_or(0);
        assert_eq!(of(2, "rare", 6), 5, "{counts:?}");
        // The policy before has its own number, and lines, again.
        let before: Vec<u64> = counts
            .iter()
            .filter(|((_, rule, line), _)| (*rule, *line) == ("flooded", 4))
            .map(|(_, count)| *count)
            .collect();
        let second = of(3, "rare", 6);
        assert!(second > 0, "{counts:?}");
        assert_eq!(
            before.iter().sum::<u64>(),
            3 + 7 + (sent - second) + 2,
            "{counts:?}"
        );
        assert_eq!(before.len(), 1, "it keeps its number: {counts:?}");
    });
}

#[test]
fn the_account_is_exact_over_a_stop_that_keeps_the_filter() {
    let (bed, mut daemon) = guarded("30/s");
    let kept = format!("{}on_stop: keep\n", rules("30/s"));
    daemon.write_policy(&kept).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    let sender = Sender::new(&bed);
    let mut sent = sender.flood(Duration::from_millis(500));
    let mut before = host(&daemon, sent);
    // Twice: the next daemon takes over what it was told, and is taken over in turn.
    for round in 0..2 {
        daemon.signal(Signal::TERM).expect("signals");
        wait_until("it ends", || !daemon.is_running());
        // Nobody hands anything out.
        sent += sender.flood(Duration::from_millis(300));
        daemon.start_again(&bed.server).expect("starts");
        let taken_over = host(&daemon, sent);
        assert!(taken_over.1 > before.1, "{before:?} {taken_over:?}");
        // What is told from now on is in it once, and nothing before it again.
        let reader = Reader::start(&daemon, &[]);
        sender.send(RARE, 1);
        sent += 1;
        let after = host(&daemon, sent);
        let (events, account) = reader.end();
        assert_eq!(after, (taken_over.0 + 1, taken_over.1, taken_over.2));
        assert_eq!(of_rule(&events, "rare"), 1, "round {round}: {events:?}");
        assert_eq!(account.shown, 1, "round {round}: {events:?}");
        assert_eq!(account.would_be, sent);
        before = after;
    }
}
