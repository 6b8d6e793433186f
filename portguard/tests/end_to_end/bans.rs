//! `ban`, `unban` and `bans` on a host with real traffic.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use portguard_testbed::traffic::{Seen, Servers, probe_udp};
use portguard_testbed::{Bed, CLIENT_V4, CLIENT_V6, Daemon, SERVER_V4, SERVER_V6, in_time, soon};
use rustix::process::Signal;
use serde_json::Value;

use crate::{binary, guarded, outcome_packets, policy, stderr, stdout};

const PORT: u16 = 7001;
const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(300);

/// Bans that are as many as somebody's list of abusers has.
const MANY: u32 = 100_000;

fn is_answered(bed: &Bed, server: IpAddr, patience: Duration) -> bool {
    let seen = probe_udp(&bed.client, server, PORT, 1, 32, patience).expect("a probe");
    seen == Seen::Answer
}

/// Whether the server answers both families.
fn answers(bed: &Bed, patience: Duration) -> (bool, bool) {
    let end = Instant::now() + patience;
    // Asked again, since a neighbour that was banned is looked for anew only after a while.
    let is_answered_in_time = |server| {
        loop {
            let is_answered = is_answered(bed, server, SILENCE);
            if is_answered || Instant::now() >= end {
                return is_answered;
            }
        }
    };
    (
        is_answered_in_time(SERVER_V4.into()),
        is_answered_in_time(SERVER_V6.into()),
    )
}

fn done(output: &Output) -> String {
    let (out, err) = (stdout(output), stderr(output));
    assert!(output.status.success(), "{out}{err}");
    out
}

pub(crate) fn client(daemon: &Daemon, words: &[&str]) -> String {
    done(&daemon.client(words).expect("runs"))
}

pub(crate) fn bans(daemon: &Daemon) -> Vec<Value> {
    let text = client(daemon, &["bans", "--format", "json"]);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    json["bans"].as_array().expect("a list").clone()
}

pub(crate) fn targets(daemon: &Daemon) -> Vec<String> {
    let bans = bans(daemon);
    let target = |ban: &Value| ban["target"].as_str().expect("a text").to_owned();
    bans.iter().map(target).collect()
}

/// Starts a daemon that has been stopped or killed again.
fn start_again(daemon: &mut Daemon, bed: &Bed) {
    daemon.start_again(&bed.server).expect("starts again");
}

/// Ends a daemon in good order.
fn end(daemon: &mut Daemon) {
    daemon.signal(Signal::TERM).expect("signals");
    assert!(soon(PATIENCE, || !daemon.is_running()));
}

fn copy(daemon: &Daemon) -> PathBuf {
    daemon.folder().join("state/bans")
}

const PASS: &str = "  - { name: app, action: pass, ports: 7001/udp }\n";

#[test]
fn a_ban_cuts_a_source_off_and_unban_lets_it_in() {
    let (bed, daemon) = guarded(PASS);
    let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
    assert_eq!(answers(&bed, PATIENCE), (true, true));
    let made = client(
        &daemon,
        &["ban", "192.0.2.2", "--reason", "too \u{1b}[1m loud"],
    );
    assert_eq!(made, "banned 1; 1 in all\n");
    assert_eq!(answers(&bed, SILENCE), (false, true));
    let counters = daemon.counters().expect("counters");
    assert!(outcome_packets(&counters, "banned") >= 1);

    // An address of IPv6 stands for its network.
    client(&daemon, &["ban", "2001:db8::ffff", "--for", "1h"]);
    assert_eq!(answers(&bed, SILENCE), (false, false));
    assert_eq!(targets(&daemon), ["192.0.2.2", "2001:db8::/64"]);
    let listed = bans(&daemon);
    assert_eq!(listed[0]["remaining_ms"], Value::Null);
    let remaining_ms = listed[1]["remaining_ms"].as_u64().expect("a time");
    assert!(
        (3_500_000..=3_600_000).contains(&remaining_ms),
        "{remaining_ms}"
    );
    let table = client(&daemon, &["bans"]);
    assert!(table.contains("too \\u{1b}[1m loud"), "{table}");

    // A reload leaves bans as they are.
    daemon
        .write_policy(&policy(PASS).replace("app", "other"))
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    assert_eq!(answers(&bed, SILENCE), (false, false));

    let unbanned = daemon.client(&["unban", "192.0.2.2", "2001:db8::1", "192.0.2.3"]);
    let unbanned = unbanned.expect("runs");
    assert_eq!(done(&unbanned), "unbanned 2; 0 in all\n");
    assert!(stderr(&unbanned).contains("192.0.2.3 is not banned"));
    assert_eq!(answers(&bed, PATIENCE), (true, true));
}

#[test]
fn a_ban_ends_by_itself() {
    in_time(|| {
        let (bed, daemon) = guarded(PASS);
        let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
        let start = Instant::now();
        client(&daemon, &["ban", "192.0.2.0/24", "--for", "3s"]);
        client(&daemon, &["ban", "192.0.2.2", "--for", "1s"]);
        // The narrow one is over, the wide one is not.
        sleep(Duration::from_millis(1_200));
        assert!(!is_answered(&bed, SERVER_V4.into(), SILENCE));
        while !is_answered(&bed, SERVER_V4.into(), SILENCE) {
            assert!(start.elapsed() < PATIENCE);
        }
        assert!(start.elapsed() >= Duration::from_millis(2_900));
        // What is over is removed, and makes room.
        while targets(&daemon) != Vec::<String>::new() {
            assert!(start.elapsed() < PATIENCE);
            sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn a_longer_ban_is_not_shortened() {
    let (_bed, daemon) = guarded(PASS);
    client(
        &daemon,
        &["ban", "192.0.2.2", "--for", "2h", "--reason", "first"],
    );
    let made = client(
        &daemon,
        &["ban", "192.0.2.2", "--for", "1h", "--reason", "second"],
    );
    assert_eq!(made, "banned 0, 1 banned as long already; 1 in all\n");
    assert_eq!(bans(&daemon)[0]["reason"], "first");
    let made = client(&daemon, &["ban", "192.0.2.2"]);
    assert_eq!(made, "banned 0, prolonged 1; 1 in all\n");
    let ban = &bans(&daemon)[0];
    assert_eq!(ban["until_unix_ms"], Value::Null);
    assert_eq!(ban["reason"], "first");
}

#[test]
fn trusted_sources_are_never_hit() {
    let bed = Bed::new().expect("a bed");
    let text = format!("trusted: [192.0.2.2]\n{}", policy(PASS));
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
    let refused = daemon
        .client(&["ban", "192.0.2.2", "203.0.113.1"])
        .expect("runs");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(stdout(&refused), "banned 1, REFUSED 1; 1 in all\n");
    let why = stderr(&refused);
    assert!(
        why.contains("refused 192.0.2.2: 192.0.2.2 is trusted"),
        "{why}"
    );
    let noted = daemon.client(&["ban", "192.0.2.0/24"]).expect("runs");
    assert!(noted.status.success());
    assert!(stderr(&noted).contains("some of 192.0.2.0/24 is trusted"));
    assert!(is_answered(&bed, SERVER_V4.into(), PATIENCE));
    let forced = daemon
        .client(&["ban", "--force", "192.0.2.2"])
        .expect("runs");
    assert!(forced.status.success());
    assert!(stderr(&forced).contains("note: 192.0.2.2 is trusted"));
    assert!(is_answered(&bed, SERVER_V4.into(), PATIENCE));
}

#[test]
fn bans_outlive_a_daemon_that_is_killed_and_one_that_is_stopped() {
    let (bed, mut daemon) = guarded(PASS);
    let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
    client(
        &daemon,
        &["ban", "192.0.2.2", "--for", "1h", "--reason", "why"],
    );
    client(&daemon, &["ban", "203.0.113.0/24", "203.0.113.9"]);
    client(&daemon, &["unban", "203.0.113.9"]);
    daemon.kill().expect("kills");
    // Nobody is there, and the ban goes on.
    assert!(!is_answered(&bed, SERVER_V4.into(), SILENCE));
    start_again(&mut daemon, &bed);
    assert_eq!(targets(&daemon), ["192.0.2.2", "203.0.113.0/24"]);
    assert_eq!(bans(&daemon)[0]["reason"], "why");
    assert!(!is_answered(&bed, SERVER_V4.into(), SILENCE));
    // Stopped, it leaves nothing in the kernel.
    end(&mut daemon);
    assert!(is_answered(&bed, SERVER_V4.into(), PATIENCE));
    start_again(&mut daemon, &bed);
    assert_eq!(targets(&daemon), ["192.0.2.2", "203.0.113.0/24"]);
    assert!(!is_answered(&bed, SERVER_V4.into(), SILENCE));
    end(&mut daemon);

    // As if the host had been restarted since: what counts is what is left by the clock on the wall.
    let text = std::fs::read_to_string(copy(&daemon)).expect("reads");
    let this_boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("reads");
    let other = text.replace(this_boot.trim(), "11111111-2222-3333-4444-555555555555");
    assert_ne!(other, text);
    std::fs::write(copy(&daemon), other).expect("writes");
    start_again(&mut daemon, &bed);
    assert_eq!(targets(&daemon), ["192.0.2.2", "203.0.113.0/24"]);
    let remaining_ms = bans(&daemon)[0]["remaining_ms"].as_u64().expect("a time");
    assert!(
        (3_000_000..=3_600_000).contains(&remaining_ms),
        "{remaining_ms}"
    );
    assert!(!is_answered(&bed, SERVER_V4.into(), SILENCE));
}

#[test]
fn what_ended_while_nobody_was_there_is_over() {
    let (bed, mut daemon) = guarded(PASS);
    let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
    client(&daemon, &["ban", "192.0.2.2", "--for", "1s"]);
    daemon.kill().expect("kills");
    let is_over = || is_answered(&bed, SERVER_V4.into(), SILENCE);
    assert!(soon(PATIENCE, is_over), "the kernel ends it");
    start_again(&mut daemon, &bed);
    assert!(targets(&daemon).is_empty());
}

#[test]
fn bans_hold_under_a_policy_on_trial_and_after_it() {
    let (bed, daemon) = guarded(PASS);
    let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
    let file = daemon.folder().join("next.yaml");
    std::fs::write(&file, policy(PASS).replace("app", "other")).expect("writes");
    let file = file.to_str().expect("UTF-8");
    client(&daemon, &["apply", file, "--confirm", "60s"]);
    // Bans may change during a trial.
    client(&daemon, &["ban", "192.0.2.2"]);
    assert!(!is_answered(&bed, SERVER_V4.into(), SILENCE));
    client(&daemon, &["revert"]);
    assert!(!is_answered(&bed, SERVER_V4.into(), SILENCE));
    client(&daemon, &["unban", "192.0.2.2"]);
    assert!(is_answered(&bed, SERVER_V4.into(), PATIENCE));
}

/// Without a folder for pins each policy has a table of its own.
#[test]
fn bans_outlive_a_reload_where_nothing_can_be_pinned() {
    let bed = Bed::new().expect("a bed");
    let folder = tempfile::tempdir().expect("a folder");
    let pins = folder.path().to_str().expect("UTF-8");
    let daemon = Daemon::start_with(binary(), &bed.server, &policy(PASS), &["--pins", pins]);
    let daemon = daemon.expect("a daemon");
    let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
    client(&daemon, &["ban", "192.0.2.2", "2001:db8::2", "--for", "1h"]);
    assert_eq!(answers(&bed, SILENCE), (false, false));
    daemon
        .write_policy(&policy(PASS).replace("app", "other"))
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    assert_eq!(answers(&bed, SILENCE), (false, false));
    client(&daemon, &["unban", "2001:db8::2"]);
    assert_eq!(answers(&bed, PATIENCE), (false, true));
}

#[test]
fn a_broken_copy_is_reported_and_the_daemon_starts() {
    let (bed, mut daemon) = guarded(PASS);
    client(&daemon, &["ban", "192.0.2.2"]);
    end(&mut daemon);
    let mut open = OpenOptions::new()
        .append(true)
        .open(copy(&daemon))
        .expect("opens");
    open.write_all(b"rubbish\n").expect("writes");
    start_again(&mut daemon, &bed);
    assert_eq!(targets(&daemon), ["192.0.2.2"]);
    let log = daemon.log();
    assert!(log.contains("is broken (line 4"), "{log}");
    assert!(copy(&daemon).with_file_name("bans.broken").exists());
}

#[test]
fn a_full_table_refuses_and_says_which() {
    in_time(|| {
        let bed = Bed::new().expect("a bed");
        let daemon = Daemon::start_with(binary(), &bed.server, &policy(PASS), &["--max-bans", "3"]);
        let mut daemon = daemon.expect("a daemon");
        let list = "203.0.113.1\n203.0.113.2 1s\n203.0.113.3\n203.0.113.4\n203.0.113.5\n";
        let output = daemon.client_with_input(&["ban", "-"], list).expect("runs");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output), "banned 3, REFUSED 2; 3 in all\n");
        let why = stderr(&output);
        for part in [
            "refused 203.0.113.4: the table of bans is full (3 of them)",
            "refused 203.0.113.5:",
            "2 of 5 are not banned",
        ] {
            assert!(why.contains(part), "{part}\n{why}");
        }
        // One that is over makes room.
        sleep(Duration::from_millis(1_100));
        client(&daemon, &["ban", "203.0.113.4"]);
        let left = ["203.0.113.1", "203.0.113.3", "203.0.113.4"];
        assert_eq!(targets(&daemon), left);
        // A table of another size takes them over.
        daemon.kill().expect("kills");
        start_again(&mut daemon, &bed);
        assert_eq!(targets(&daemon), left);
        client(&daemon, &["ban", "203.0.113.5"]);
    });
}

#[test]
fn a_copy_that_cannot_be_written_is_said() {
    let (_bed, daemon) = guarded(PASS);
    client(&daemon, &["ban", "192.0.2.1"]);
    // Whoever may write everything cannot write to a folder.
    std::fs::remove_file(copy(&daemon)).expect("removes");
    std::fs::create_dir(copy(&daemon)).expect("makes");
    let output = daemon.client(&["ban", "192.0.2.2"]).expect("runs");
    assert!(output.status.success());
    let said = stderr(&output);
    assert!(
        said.contains("is lost when portguard or the host is restarted"),
        "{said}"
    );
    assert_eq!(targets(&daemon), ["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn mistakes_change_nothing_and_are_all_shown() {
    let (_bed, daemon) = guarded(PASS);
    let list = "192.0.2.1\n010.0.0.1\n192.0.2.3 soon\n::/0\n";
    let output = daemon.client_with_input(&["ban", "-"], list).expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let shown = stderr(&output);
    for part in [
        "line 2: the octet `010`",
        "line 3: `soon`: a number with",
        "line 4: `::/0` is every address",
        "nothing was changed",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(targets(&daemon).is_empty());
    for wrong in [
        &["ban"][..],
        &["ban", "192.0.2.1", "--for", "0s"],
        &["ban", "192.0.2.1", "--reason", &"x".repeat(201)],
        &["unban", "example.com"],
    ] {
        let output = daemon.client(wrong).expect("runs");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

/// As many at once as a list of abusers has, each found by the filter, listed, kept and taken back.
#[test]
fn a_hundred_thousand_bans_at_once() {
    let (bed, mut daemon) = guarded(PASS);
    let _server = Servers::start(&bed.server, &[], &[PORT]).expect("a server");
    let mut list = format!("{CLIENT_V4}\n{CLIENT_V6}\n");
    for host in 2..MANY {
        let address = Ipv4Addr::from(0x0b00_0000 + host);
        writeln!(list, "{address}").expect("a string takes all");
    }
    timed("ban", || {
        let output = daemon.client_with_input(&["ban", "-", "--for", "1h"], &list);
        let said = done(&output.expect("runs"));
        assert_eq!(said, "banned 100000; 100000 in all\n");
    });
    assert_eq!(answers(&bed, SILENCE), (false, false));
    timed("list", || assert_eq!(bans(&daemon).len(), MANY as usize));
    timed("ban one more than", || {
        client(&daemon, &["ban", "203.0.113.1"]);
    });
    daemon.kill().expect("kills");
    timed("start with", || start_again(&mut daemon, &bed));
    assert_eq!(bans(&daemon).len(), MANY as usize + 1);
    timed("unban", || {
        let output = daemon.client_with_input(&["unban", "-"], &list);
        assert_eq!(done(&output.expect("runs")), "unbanned 100000; 1 in all\n");
    });
    assert_eq!(answers(&bed, PATIENCE), (true, true));
}

fn timed(what: &str, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    let time = start.elapsed();
    // The goal is 2 s, on a machine that does nothing else.
    assert!(time < Duration::from_secs(20), "{what}: {time:?}");
}
