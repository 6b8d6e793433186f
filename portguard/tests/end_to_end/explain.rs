//! `portguard explain`

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{binary, stderr, stdout};

const POLICY: &str = "\
version: 1
interfaces: [eth0]
rules:
  - name: admins
    action: pass
    ports: 22/tcp
    from: 10.0.0.0/8
  - { name: watch, action: drop, ports: 20-25, enforce: false }
  - { name: ssh, action: drop, ports: 22/tcp, comment: Nobody else. }
";

fn explain(policy: &str, packet: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    fs::write(&file, policy).expect("writes");
    Command::new(binary())
        .args(["explain", "--policy"])
        .arg(&file)
        .args(more)
        .arg(packet)
        .output()
        .expect("runs")
}

#[test]
fn a_packet_is_explained() {
    let packet = "tcp 203.0.113.7:50555 -> 192.0.2.1:22 via eth0 vlan 10";
    let output = explain(POLICY, packet, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "\
packet    tcp 203.0.113.7:50555 -> 192.0.2.1:22 via eth0 vlan 10
names     destination port 22/tcp is ssh
assumed   TCP flags SYN (a new connection)
seen      as it arrives, before NAT: a published container port by its outer
          number

verdict   drop
by        rule `ssh` (line 9)
          \"Nobody else.\"
replies   a new connection is no reply; what answers a connection that this side
          opened would pass (`replies: pass`)
counted   rule `watch` (line 8) would drop it, and only counts: `enforce: false`

nearly    `admins` (line 4, pass): `from` is 10.0.0.0/8, the packet has
          203.0.113.7
"
    );
}

#[test]
fn the_same_for_programs() {
    let packet = "tcp 203.0.113.7 -> :ssh";
    let output = explain(POLICY, packet, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let admins = json!({ "name": "admins", "line": 4, "action": "pass" });
    let watch = json!({ "name": "watch", "line": 8, "action": "drop" });
    assert_eq!(
        shown,
        json!({
            "packet": "tcp 203.0.113.7:40000 -> 192.0.2.1:22",
            "assumed": [
                { "what": "destination address", "value": "192.0.2.1" },
                { "what": "source port", "value": "40000" },
                { "what": "TCP flags", "value": "SYN (a new connection)" },
            ],
            "names": [{ "what": "destination port", "value": "22/tcp", "name": "ssh" }],
            "verdict": "drop",
            "outcome": "rule",
            "rule": { "name": "ssh", "line": 9, "action": "drop", "comment": "Nobody else." },
            "limit": null,
            "enforced": true,
            "reply": "not-first",
            "counted": [watch],
            "near": [{
                "rule": admins,
                "mismatches": [{ "field": "from", "rule": "10.0.0.0/8", "packet": "203.0.113.7" }],
            }],
            "near_left_out": 0,
            "others": [],
            "others_unknown": false,
        })
    );
}

#[test]
fn a_description_may_begin_with_its_arrow() {
    let output = explain(POLICY, "-> :22", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    for wanted in [
        "by        rule `ssh` (line 9)",
        "pass, by rule `admins` (line 4):",
        "            tcp 10.0.0.1:40000 -> 192.0.2.1:22",
    ] {
        assert!(shown.contains(wanted), "{shown}");
    }
}

#[test]
fn what_is_not_enforced_says_so() {
    let text = "version: 1\ninterfaces: [eth0]\nenforce: false\ndefault: drop\nreplies: rules\nrules: []\n";
    let output = explain(text, "gre ->", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    assert!(shown.contains("drop (were it enforced:"), "{shown}");
    assert!(
        shown.contains("`default: drop`: no rule matches"),
        "{shown}"
    );
}

#[test]
fn a_mistake_in_the_packet_is_one_of_the_command_line() {
    let output = explain(POLICY, "tcp 192.0.2.9 -> :sssh", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "\
error: no service of `tcp` is called `sssh`
 --> packet:1:19
  |
1 | tcp 192.0.2.9 -> :sssh
  |                   ^^^^
  |
  = help: did you mean `ssh`?
"
    );
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_bad_policy_is_refused_as_check_does() {
    let output = explain("version: 1\nrulez: []\n", "tcp -> :22", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("did you mean `rules`?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_policy_that_breaks_its_assertions_is_explained() {
    let text = format!("{POLICY}assert:\n  - pass: tcp -> :22\n");
    let output = explain(&text, "tcp -> :22", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("rule `ssh`"), "{output:?}");
}
