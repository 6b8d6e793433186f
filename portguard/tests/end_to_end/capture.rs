//! `portguard capture`: dropped frames as a file that others read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::{Bed, Daemon};
use serde_json::{Value, json};

use crate::events::Sender;
use crate::{binary, policy, stderr, stdout};

const CLOSED: u16 = 9_000;
const LIMITED: u16 = 9_001;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn guarded(events: &str) -> (Bed, Daemon) {
    let bed = Bed::new().expect("a bed");
    let rules = policy(&format!(
        "  - {{name: closed, action: drop, ports: {CLOSED}/udp}}\n  - {{name: slow, action: limit, rate: 1/m, per: rule, ports: {LIMITED}/udp}}\n"
    ));
    let text = format!("{rules}{events}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    (bed, daemon)
}

fn capture(daemon: &Daemon, file: &Path, words: &[&str]) -> Child {
    Command::new(binary())
        .arg("capture")
        .arg("-w")
        .arg(file)
        .args(words)
        .arg("--socket")
        .arg(daemon.folder().join("control.sock"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs")
}

/// Waits until the capture has begun: its file is there then.
fn wait_for(file: &Path) {
    let end = Instant::now() + PATIENCE;
    while fs::metadata(file).map_or(0, |file| file.len()) == 0 {
        assert!(Instant::now() < end, "no file");
        thread::sleep(Duration::from_millis(20));
    }
}

/// What tshark reads: interface, verdict, comment and port of each frame.
fn read_by_others(command: &mut Command) -> Vec<String> {
    let fields = [
        "frame.interface_name",
        "frame.verdict.ebpf_xdp",
        "frame.comment",
        "udp.dstport",
    ];
    let fields = fields.iter().flat_map(|field| ["-e", *field]);
    let output = command
        .args(["-T", "fields", "-E", "separator=;"])
        .args(fields)
        .output()
        .expect("tshark runs");
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

fn replay(daemon: &Daemon, file: &Path) -> Output {
    Command::new(binary())
        .args(["replay", "--format", "json", "--policy"])
        .arg(daemon.policy_path())
        .arg(file)
        .output()
        .expect("runs")
}

fn file_in(daemon: &Daemon) -> PathBuf {
    daemon.folder().join("drops.pcapng")
}

#[test]
fn tshark_shows_verdict_rule_and_reason_and_replay_judges_anew() {
    let (bed, daemon) = guarded("events: { rate: 1000/s, snap: full }\n");
    let file = file_in(&daemon);
    let capture = capture(&daemon, &file, &["--count", "5"]);
    wait_for(&file);
    let sender = Sender::new(&bed);
    sender.send(CLOSED, 2);
    // One passes.
    sender.send(LIMITED, 4);
    let output = capture.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).starts_with("5 events"),
        "{}",
        stderr(&output)
    );
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let by_rule = "srv0;1;portguard outcome=rule rule=closed line=4 generation=1;9000";
    let by_rate = "srv0;1;portguard outcome=limited rule=slow line=5 generation=1;9001";
    let mut tshark = Command::new("tshark");
    assert_eq!(
        read_by_others(tshark.arg("-r").arg(&file)),
        [by_rule, by_rule, by_rate, by_rate, by_rate]
    );

    let output = replay(&daemon, &file);
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 5);
    let closed = json!({"outcome": "rule", "rule": "closed", "state": false});
    for line in &lines[..2] {
        assert_eq!(
            (&line["verdict"], &line["rule"]),
            (&json!("drop"), &json!("closed"))
        );
        assert_eq!(line["captured"], closed);
    }
    // Here its bucket is full.
    let limited = json!({"outcome": "limited", "rule": "slow", "state": true});
    assert_eq!(lines[2]["verdict"], "pass");
    for line in &lines[2..] {
        assert_eq!(line["rule"], "slow");
        assert_eq!(line["captured"], limited);
    }
}

#[test]
fn a_pipe_into_tshark_shows_frames_as_they_come() {
    let (bed, daemon) = guarded("events: { rate: 1000/s }\n");
    let script = format!(
        "{} capture -w - --port {CLOSED} --count 2 --socket {} | tshark -r - \"$@\"",
        binary().display(),
        daemon.folder().join("control.sock").display()
    );
    let reading =
        thread::spawn(move || read_by_others(Command::new("sh").args(["-c", &script, "sh"])));
    let sender = Sender::new(&bed);
    let end = Instant::now() + PATIENCE;
    // It is not known when it begins.
    while !reading.is_finished() && Instant::now() < end {
        sender.send(LIMITED, 1);
        sender.send(CLOSED, 1);
        thread::sleep(Duration::from_millis(100));
    }
    let line = "srv0;1;portguard outcome=rule rule=closed line=4 generation=1;9000";
    assert_eq!(reading.join().expect("ends"), [line, line]);
}

#[test]
fn a_refused_capture_leaves_the_file_as_it_is() {
    let (_bed, daemon) = guarded("");
    let file = file_in(&daemon);
    fs::write(&file, "mine").expect("writes");
    let output = capture(&daemon, &file, &[])
        .wait_with_output()
        .expect("ends");
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(error.contains("add `events: { rate: 100/s }`"), "{error}");
    assert_eq!(fs::read_to_string(&file).expect("reads"), "mine");
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let (_bed, daemon) = guarded("events: { rate: 1000/s }\n");
    let file = Path::new("/proc/none/drops.pcapng");
    let output = capture(&daemon, file, &["--for", "5s"])
        .wait_with_output()
        .expect("ends");
    assert_eq!(output.status.code(), Some(3));
    let error = stderr(&output);
    assert!(
        error.contains("cannot write to `/proc/none/drops.pcapng`"),
        "{error}"
    );
}
