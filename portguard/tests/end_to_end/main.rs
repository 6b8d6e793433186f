//! The real daemon on a host of its own, with real traffic from another.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

mod adoption;
mod audit;
mod bad_input;
mod bans;
mod block;
mod capabilities;
mod capture;
mod clock;
mod control;
mod counters;
mod debian;
mod default_drop;
mod diff;
mod doctor;
mod egress;
mod endurance;
mod events;
mod explain;
mod fail2ban;
mod features;
mod feeds;
mod flood;
mod import;
mod interfaces;
mod lifecycle;
mod listen;
mod lockout;
mod log;
mod metrics;
mod nat;
mod page;
mod ports;
mod reject;
mod reload;
mod replay;
mod replies;
mod schema;
mod set_files;
mod state;
mod stats;
mod stream;
mod suggest;
mod systemd;
mod top;
mod traffic;
mod trial;
mod trouble;
mod watch;
mod watchdog;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use portguard_testbed::{Bed, Daemon};
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_portguard"))
}

/// A copy of the program under test in a folder that everybody may look into, which the build's may not be. Another process writes
/// it: a program that this one had open for writing could not be run while a test beside is between fork and exec.
fn program_for_everyone() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("opens");
    let program = folder.path().join("portguard");
    let copies = std::process::Command::new("install")
        .args(["--mode", "755"])
        .args([binary(), &program])
        .status();
    assert!(copies.expect("install").success());
    (folder, program)
}

/// A bed with a daemon that guards `srv0` by these rules.
fn guarded(rules: &str) -> (Bed, Daemon) {
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(binary(), &bed.server, &policy(rules)).expect("a daemon");
    (bed, daemon)
}

/// A policy for `srv0` with these rules.
fn policy(rules: &str) -> String {
    format!("version: 1\ninterfaces: [srv0]\nrules:\n{rules}")
}

/// Resident memory of a process in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("reads");
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    resident.expect("a number")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Packets of a rule in a report of counters.
fn rule_packets(counters: &Value, name: &str) -> u64 {
    entry(&counters["rules"], name)["packets"]
        .as_u64()
        .expect("a number")
}

/// Packets of an outcome in a report of counters.
fn outcome_packets(counters: &Value, name: &str) -> u64 {
    entry(&counters["outcomes"], name)["packets"]
        .as_u64()
        .expect("a number")
}

fn entry<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array()
        .expect("a list")
        .iter()
        .find(|entry| entry["name"] == name)
        .unwrap_or_else(|| panic!("no entry `{name}` in {list}"))
}
