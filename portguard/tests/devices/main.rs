//! The real daemon on devices for which not every kernel has a driver: `cargo xtask kernels` runs this under kernels that
//! have them all.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

/// Their names begin so, which a filter of `cargo xtask kernels` can say.
mod devices {
    mod bond;
    mod vlan;
}

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use portguard_testbed::traffic::{Seen, Servers, probe_tcp};
use portguard_testbed::{Bed, Daemon};
use serde_json::Value;

/// The port that policies close.
const CLOSED: u16 = 23;
/// One that they leave open.
const OPEN: u16 = 8080;

/// How long anything may take in a machine that is emulated.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long silence is waited for.
const SILENCE: Duration = Duration::from_millis(500);

/// The program under test.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_portguard"))
}

/// A policy for these interfaces, with more conditions of the rule that closes the port.
fn policy(interfaces: &str, conditions: &str) -> String {
    format!(
        "version: 1\ninterfaces: [{interfaces}]\nrules:\n  - {{name: closed, action: drop, ports: [{CLOSED}/tcp]{conditions}}}\n"
    )
}

fn servers(bed: &Bed) -> Servers {
    Servers::start(&bed.server, &[CLOSED, OPEN], &[]).expect("servers")
}

/// Waits until the client reaches the open port at an address.
fn await_way(bed: &Bed, server: impl Into<IpAddr>) {
    let server = server.into();
    let begin = Instant::now();
    while probe_tcp(&bed.client, server, OPEN, SILENCE).expect("probes") != Seen::Answer {
        assert!(begin.elapsed() < PATIENCE, "no way to {server}");
    }
}

/// What a client meets at the closed port.
fn at_closed_port(bed: &Bed, server: impl Into<IpAddr>) -> Seen {
    probe_tcp(&bed.client, server.into(), CLOSED, SILENCE).expect("probes")
}

/// The open port answers, the closed one is silent, and the rule has counted that.
fn assert_filtered(bed: &Bed, daemon: &Daemon, server: impl Into<IpAddr>) {
    let server = server.into();
    await_way(bed, server);
    let before = closed_packets(daemon);
    assert_eq!(at_closed_port(bed, server), Seen::Silence);
    assert!(closed_packets(daemon) > before, "{server}");
}

/// Packets that the rule dropped.
fn closed_packets(daemon: &Daemon) -> u64 {
    let counters = daemon.counters().expect("counters");
    let rules = counters["rules"].as_array().expect("a list");
    rules[0]["packets"].as_u64().expect("a number")
}

/// The mode in which an interface is guarded.
fn mode(daemon: &Daemon, name: &str) -> String {
    let status = daemon.status().expect("status");
    let all = status["interfaces"].as_array().expect("a list");
    let own = all.iter().find(|entry| entry["name"] == name);
    let own = own.unwrap_or_else(|| panic!("no `{name}` in {status}"));
    own["mode"].as_str().expect("a mode").to_owned()
}

/// What `doctor` finds out about where to guard an interface: how bad it is, and its words.
fn stacking(bed: &Bed, daemon: &Daemon, name: &str) -> (String, String) {
    let output = bed
        .server
        .command(binary())
        .args(["doctor", name, "--format", "json", "--policy"])
        .arg(daemon.policy_path())
        .arg("--socket")
        .arg(daemon.folder().join("control.sock"))
        .output()
        .expect("runs");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = json["findings"].as_array().expect("a list");
    let mut found = findings
        .iter()
        .filter(|finding| finding["check"] == "stacking" && finding["interface"] == name);
    let one = found.next().unwrap_or_else(|| panic!("nothing in {json}"));
    let text = |key: &str| one[key].as_str().expect("a text").to_owned();
    (text("severity"), text("text"))
}
