//! Interfaces that come, go, change their name, or are not ours.

use std::time::Duration;

use portguard_testbed::{Bed, Daemon, soon};

use crate::{binary, guarded, policy, stderr};

const RULES: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

/// Waits until an interface (or pattern) has a state.
fn wait_for(daemon: &Daemon, name: &str, state: &str) {
    daemon.wait_for_interface(name, state).expect("a state");
}

/// Runs a daemon that must refuse to start, and returns its exit code and message.
fn refused(bed: &Bed, policy_text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, policy_text).expect("writes");
    let output = bed
        .server
        .command(binary())
        .args(["run", "--policy"])
        .arg(&file)
        .arg("--socket")
        .arg(folder.path().join("control.sock"))
        .output()
        .expect("runs");
    (output.status.code(), stderr(&output))
}

#[test]
fn one_that_does_not_exist_is_waited_for() {
    let bed = Bed::new().expect("a bed");
    let text = format!("version: 1\ninterfaces: [later0]\nrules:\n{RULES}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    wait_for(&daemon, "later0", "waiting");
    assert!(
        daemon.log().contains("waiting for interface `later0`"),
        "{}",
        daemon.log()
    );
    bed.cable("later0", "peer0").expect("a cable");
    wait_for(&daemon, "later0", "attached");
}

#[test]
fn one_that_is_deleted_and_made_again_is_guarded_again() {
    let (bed, daemon) = guarded(RULES);
    for _ in 0..3 {
        bed.server.ip("link del dev srv0").expect("ip");
        wait_for(&daemon, "srv0", "waiting");
        bed.cable("srv0", "cli0").expect("a cable");
        wait_for(&daemon, "srv0", "attached");
    }
}

#[test]
fn a_name_follows_the_device_that_bears_it() {
    let (bed, daemon) = guarded(RULES);
    bed.server.ip("link set dev srv0 name away0").expect("ip");
    wait_for(&daemon, "srv0", "waiting");
    assert!(
        !bed.server
            .ip("link show dev away0")
            .expect("ip")
            .contains("xdp")
    );
    bed.server.ip("link set dev away0 name srv0").expect("ip");
    wait_for(&daemon, "srv0", "attached");
}

#[test]
fn a_glob_takes_what_matches_and_what_comes_to_match() {
    let bed = Bed::new().expect("a bed");
    let text = format!("version: 1\ninterfaces: [\"srv*\"]\nrules:\n{RULES}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    wait_for(&daemon, "srv0", "attached");
    bed.cable("srv1", "cli1").expect("a cable");
    wait_for(&daemon, "srv1", "attached");
    assert!(
        !bed.server
            .ip("link show dev lo")
            .expect("ip")
            .contains("xdp")
    );
}

#[test]
fn default_route_means_the_interface_that_carries_one() {
    let bed = Bed::new().expect("a bed");
    let text = format!("version: 1\ninterfaces: [default-route]\nrules:\n{RULES}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    wait_for(&daemon, "default-route", "waiting");
    bed.server
        .ip("route add default via 192.0.2.2")
        .expect("ip");
    wait_for(&daemon, "srv0", "attached");
    // It stays guarded without it: the route may come back.
    bed.server.ip("route del default").expect("ip");
    wait_for(&daemon, "default-route", "waiting");
    assert!(
        bed.server
            .ip("link show dev srv0")
            .expect("ip")
            .contains("xdp")
    );
}

#[test]
fn the_command_line_replaces_those_of_the_policy() {
    let bed = Bed::new().expect("a bed");
    let text = format!("version: 1\ninterfaces: [nonesuch0]\nrules:\n{RULES}");
    let daemon = Daemon::start_with(binary(), &bed.server, &text, &["--interface", "srv0"])
        .expect("a daemon");
    wait_for(&daemon, "srv0", "attached");
    assert_eq!(
        daemon.status().expect("status")["interfaces"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn no_interface_at_all_is_refused() {
    let bed = Bed::new().expect("a bed");
    let (code, text) = refused(&bed, "version: 1\nrules: []\n");
    assert_eq!(code, Some(1));
    assert!(
        text.contains("no interface to guard") && text.contains("--interface"),
        "{text}"
    );
}

#[test]
fn a_foreign_program_is_named_and_left_alone() {
    let (bed, daemon) = guarded(RULES);
    // To a second daemon, the first one's program is foreign.
    let (code, text) = refused(&bed, &policy(RULES));
    assert_eq!(code, Some(3));
    assert!(
        text.contains("`srv0` already carries another XDP program `portguard` (ID "),
        "{text}"
    );
    assert!(text.contains("native mode"), "{text}");
    let generic = format!("attach: generic\n{}", policy(RULES));
    let (code, text) = refused(&bed, &generic);
    assert_eq!(code, Some(3));
    assert!(text.contains("left alone"), "{text}");
    assert!(
        bed.server
            .ip("link show dev srv0")
            .expect("ip")
            .contains("xdp")
    );
    assert_eq!(
        daemon.status().expect("status")["interfaces"][0]["state"],
        "attached"
    );
}

#[test]
fn nothing_stays_attached_when_one_of_several_refuses() {
    let (bed, daemon) = guarded(RULES);
    bed.cable("srv1", "cli1").expect("a cable");
    bed.cable("aaa0", "aaa1").expect("a cable");
    let text = format!("version: 1\ninterfaces: [aaa0, srv0, srv1]\nrules:\n{RULES}");
    let (code, message) = refused(&bed, &text);
    assert_eq!(code, Some(3), "{message}");
    for device in ["srv1", "aaa0"] {
        let shown = bed
            .server
            .ip(&format!("link show dev {device}"))
            .expect("ip");
        assert!(!shown.contains("xdp"), "{shown}");
    }
    drop(daemon);
}

#[test]
fn p10_one_without_an_ethernet_header_is_refused_with_its_name() {
    let bed = Bed::new().expect("a bed");
    bed.server.ip("tuntap add dev tun0 mode tun").expect("ip");
    let text = format!("version: 1\ninterfaces: [tun0]\nrules:\n{RULES}");
    let (code, message) = refused(&bed, &text);
    assert_eq!(code, Some(3));
    assert!(
        message.contains("`tun0` has no Ethernet header"),
        "{message}"
    );
}

#[test]
fn a_large_mtu_runs_natively_and_its_bytes_are_counted() {
    let bed = Bed::new().expect("a bed");
    for (host, device) in [(&bed.server, "srv0"), (&bed.client, "cli0")] {
        host.ip(&format!("link set dev {device} mtu 9000"))
            .expect("ip");
    }
    let text = format!(
        "version: 1\ninterfaces: [srv0]\nrules:\n{}",
        "  - {name: big, action: drop, ports: [7/udp]}\n"
    );
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    assert_eq!(
        daemon.status().expect("status")["interfaces"][0]["mode"],
        "native"
    );
    let seen = portguard_testbed::traffic::probe_udp(
        &bed.client,
        portguard_testbed::SERVER_V4.into(),
        7,
        1,
        8_000,
        Duration::from_millis(200),
    );
    assert_eq!(
        seen.expect("probe"),
        portguard_testbed::traffic::Seen::Silence
    );
    let counters = daemon.counters().expect("counters");
    let rule = crate::entry(&counters["rules"], "big");
    assert_eq!(rule["packets"], 1);
    assert_eq!(rule["bytes"], 8_000 + 8 + 20 + 14);
}

#[test]
fn one_that_is_made_anew_with_the_same_index_is_guarded_again() {
    let (bed, daemon) = guarded(RULES);
    bed.cable("same0", "peer0").expect("a cable");
    let text = format!("version: 1\ninterfaces: [srv0, same0]\nrules:\n{RULES}");
    daemon.write_policy(&text).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    let index = bed.server.index_of("same0").expect("an index");
    bed.server.ip("link del dev same0").expect("ip");
    bed.server
        .ip(&format!(
            "link add same0 index {index} type veth peer name other0"
        ))
        .expect("ip");
    let is_filtered = || {
        let shown = bed.server.ip("link show dev same0").expect("ip");
        shown.contains("xdp")
    };
    assert!(
        soon(Duration::from_secs(5), is_filtered),
        "`same0` is not filtered:\n{}",
        daemon.log()
    );
    wait_for(&daemon, "same0", "attached");
}

#[test]
fn a_glob_takes_both_ends_of_a_cable_within_the_host() {
    let bed = Bed::new().expect("a bed");
    bed.server
        .ip("link add m1 type veth peer name w1")
        .expect("ip");
    let text = format!("version: 1\ninterfaces: [\"m*\"]\nrules:\n{RULES}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    wait_for(&daemon, "m1", "attached");
}

#[test]
fn default_route_means_neither_this_host_nor_nowhere_nor_a_tunnel() {
    let bed = Bed::new().expect("a bed");
    bed.server.ip("tuntap add dev tun0 mode tun").expect("ip");
    bed.server.ip("link set dev tun0 up").expect("ip");
    for route in [
        "route add default via 192.0.2.2",
        "route add local 0.0.0.0/0 dev lo table 100",
        "route add blackhole default metric 2000",
        "route add default dev tun0 table 200",
    ] {
        bed.server.ip(route).expect("ip");
    }
    let text = format!("version: 1\ninterfaces: [default-route]\nrules:\n{RULES}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    wait_for(&daemon, "srv0", "attached");
    // What a pattern happens to match does not keep the rest from being filtered.
    wait_for(&daemon, "tun0", "failed");
    assert!(
        !bed.server
            .ip("link show dev lo")
            .expect("ip")
            .contains("xdp")
    );
    let changed = format!("{text}  - {{name: more, action: drop, ports: [24/tcp]}}\n");
    daemon.write_policy(&changed).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn a_reload_without_a_default_route_leaves_the_interface_guarded() {
    let bed = Bed::new().expect("a bed");
    bed.server
        .ip("route add default via 192.0.2.2")
        .expect("ip");
    let text = format!("version: 1\ninterfaces: [default-route]\nrules:\n{RULES}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    bed.server.ip("route del default").expect("ip");
    let changed = format!("{text}  - {{name: more, action: drop, ports: [24/tcp]}}\n");
    daemon.write_policy(&changed).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        crate::stdout(&output).contains("stay guarded"),
        "{}",
        crate::stdout(&output)
    );
    assert!(
        bed.server
            .ip("link show dev srv0")
            .expect("ip")
            .contains("xdp")
    );
}
