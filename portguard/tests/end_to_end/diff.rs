//! `portguard diff`

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{binary, stderr, stdout};

fn diff(old: &str, new: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [("old.yaml", old), ("new.yaml", new)] {
        fs::write(folder.path().join(name), text).expect("writes");
    }
    Command::new(binary())
        .current_dir(folder.path())
        .args(["diff", "old.yaml", "new.yaml"])
        .args(more)
        .output()
        .expect("runs")
}

const OLD: &str = "\
version: 1
interfaces: [eth0]
rules:
  - { name: ssh, action: drop, ports: 22/tcp }
  - { name: dns, action: limit, ports: 53/udp, rate: 5/s }
";

#[test]
fn the_same_told_differently() {
    let new = "version: 1\ninterfaces: [eth0]\nrules:\n  \
               - { name: domain, action: limit, ports: domain/udp, rate: 5/s, comment: other }\n  \
               - { name: shell, action: drop, ports: ssh }\n";
    let output = diff(OLD, new, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        stdout(&output),
        "the same: no packet and no setting changes\n"
    );
    let output = diff(OLD, new, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(
        shown,
        json!({ "same": true, "settings": [], "changes": [] })
    );
}

#[test]
fn what_changes_has_an_example_that_can_be_explained() {
    let new = OLD
        .replace("action: drop", "action: reject")
        .replace("5/s", "6/s");
    let output = diff(OLD, &format!("replies: rules\n{new}"), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        stdout(&output),
        "\
setting   replies: pass -> rules

packet    tcp 203.0.113.7:40000 -> 192.0.2.1:22
before    drop, by rule `ssh` (line 4)
after     reject, by rule `ssh` (line 5)

packet    udp 203.0.113.7:40000 -> 192.0.2.1:53
before    limit to 5/s for each source, burst 5, by rule `dns` (line 5)
after     limit to 6/s for each source, burst 6, by rule `dns` (line 6)

2 kinds of packets and 1 setting change
"
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_changes_for_programs() {
    let new = OLD.replace("  - { name: ssh, action: drop, ports: 22/tcp }\n", "");
    let output = diff(OLD, &new, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(
        shown,
        json!({
            "same": false,
            "settings": [],
            "changes": [{
                "kind": "effect",
                "example": "tcp 203.0.113.7:40000 -> 192.0.2.1:22",
                "before": {
                    "verdict": "drop",
                    "outcome": "rule",
                    "rule": { "name": "ssh", "line": 4, "action": "drop" },
                    "limit": null,
                },
                "after": {
                    "verdict": "pass",
                    "outcome": "default-pass",
                    "rule": null,
                    "limit": null,
                },
            }],
        })
    );
}

#[test]
fn a_bad_policy_is_no_difference_and_no_success() {
    let bad = "version: 1\nrulez: []\n";
    for (old, new, file) in [(OLD, bad, "new.yaml:2:1"), (bad, OLD, "old.yaml:2:1")] {
        let output = diff(old, new, &[]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains(file), "{}", stderr(&output));
    }
    // One that breaks its assertions is as bad, though it does the same.
    let output = diff(OLD, &format!("{OLD}assert: [pass: tcp -> :22]\n"), &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("the assertion fails"),
        "{}",
        stderr(&output)
    );
    let output = Command::new(binary())
        .args(["diff", "one.yaml"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
}

/// Whoever reads may have seen enough: what the exit code says stays true.
#[test]
fn a_reader_that_leaves_is_no_success() {
    let rules = |action: &str| {
        let rules = (1..3000)
            .map(|port| format!("  - {{ name: r{port}, action: {action}, ports: {port}/tcp }}\n"));
        format!(
            "version: 1\ninterfaces: [eth0]\nrules:\n{}",
            rules.collect::<String>()
        )
    };
    let folder = tempfile::tempdir().expect("a folder");
    let files = [("old.yaml", rules("drop")), ("new.yaml", rules("reject"))];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("writes");
    }
    let mut child = Command::new(binary())
        .current_dir(folder.path())
        .args(["diff", "old.yaml", "new.yaml"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(1));
}

#[test]
fn ten_thousand_rules_take_seconds() {
    let rules = |last: &str| {
        let mut text = String::from("version: 1\ninterfaces: [eth0]\nrules:\n");
        for own in 0..10_000 {
            let action = if own == 9_999 { last } else { "drop" };
            text += &format!(
                "  - {{ name: r{own}, action: {action}, ports: {}/tcp, from: 10.{}.{}.0/24 }}\n",
                1024 + own,
                own / 256,
                own % 256
            );
        }
        text
    };
    let begin = Instant::now();
    let output = diff(&rules("drop"), &rules("reject"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("-> 192.0.2.1:11023\nbefore    drop, by rule `r9999`"),
        "{}",
        stdout(&output)
    );
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "{:?}",
        begin.elapsed()
    );
}
