//! A bond of two devices, at both ends.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::{Bed, Daemon, Namespace};

use crate::{PATIENCE, assert_filtered, binary, mode, policy, servers, stacking};

/// Address of the server on the bond (RFC 5737).
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// Two hosts with two cables, which are one: what goes through the one that is in use stops when that is taken down,
/// and goes through the other one then.
fn bonded() -> Bed {
    let bed = Bed::new().expect("a bed");
    bed.cable("srv1", "cli1").expect("a cable");
    bond(&bed.server, ["srv0", "srv1"], "198.51.100.1/24");
    bond(&bed.client, ["cli0", "cli1"], "198.51.100.2/24");
    bed
}

fn bond(host: &Namespace, members: [&str; 2], address: &str) {
    let ip = |words: &str| host.ip(words).expect("ip");
    ip("link add bond0 type bond mode active-backup miimon 50");
    for member in members {
        ip(&format!("link set dev {member} down"));
        ip(&format!("link set dev {member} master bond0"));
    }
    ip("link set dev bond0 up");
    ip(&format!("addr add {address} dev bond0"));
}

/// The member that is in use.
fn active(host: &Namespace) -> String {
    let shown = host.ip("-details link show dev bond0").expect("ip");
    let mut words = shown.split_whitespace();
    words.find(|word| *word == "active_slave");
    words.next().expect("a member in use").to_owned()
}

/// Takes the member down that is in use, and waits until the other one is.
fn fail_over(host: &Namespace) {
    let before = active(host);
    host.ip(&format!("link set dev {before} down")).expect("ip");
    let begin = Instant::now();
    while active(host) == before {
        assert!(begin.elapsed() < PATIENCE, "`{before}` stays in use");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn members_are_guarded_each() {
    let bed = bonded();
    let _servers = servers(&bed);
    let text = policy("srv0, srv1", "");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    assert_eq!(mode(&daemon, "srv0"), "native");
    assert_eq!(mode(&daemon, "srv1"), "native");
    let (severity, says) = stacking(&bed, &daemon, "srv0");
    assert_eq!(severity, "note");
    assert!(says.contains("a member of the bond `bond0`"), "{says}");
    let (severity, says) = stacking(&bed, &daemon, "bond0");
    assert_eq!(severity, "warning");
    assert!(says.contains("(`srv0`, `srv1`)"), "{says}");

    assert_filtered(&bed, &daemon, SERVER);
    fail_over(&bed.server);
    assert_filtered(&bed, &daemon, SERVER);
    let output = daemon.client(&["status"]).expect("runs");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_bond_is_guarded_with_all_that_join_it() {
    let bed = bonded();
    let _servers = servers(&bed);
    let text = policy("bond0", "");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    assert_eq!(mode(&daemon, "bond0"), "native");
    let (severity, says) = stacking(&bed, &daemon, "bond0");
    assert_eq!(severity, "note");
    assert!(says.contains("`srv0`, `srv1`"), "{says}");
    let (severity, says) = stacking(&bed, &daemon, "srv1");
    assert_eq!(severity, "warning");
    assert!(says.contains("guard one of both"), "{says}");

    assert_filtered(&bed, &daemon, SERVER);
    fail_over(&bed.server);
    assert_filtered(&bed, &daemon, SERVER);

    // One that joins is guarded, too.
    bed.cable("srv2", "cli2").expect("a cable");
    for (host, device) in [(&bed.server, "srv2"), (&bed.client, "cli2")] {
        host.ip(&format!("link set dev {device} down")).expect("ip");
        host.ip(&format!("link set dev {device} master bond0"))
            .expect("ip");
    }
    fail_over(&bed.server);
    assert_eq!(active(&bed.server), "srv2");
    assert_filtered(&bed, &daemon, SERVER);
}

/// A bond and its members at once: what the bond refuses is said, and what is guarded is filtered.
#[test]
fn a_bond_whose_members_are_guarded_already_is_not_guarded_natively() {
    let bed = bonded();
    let _servers = servers(&bed);
    let text = policy("srv0, srv1, bond0", "");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    assert_eq!(mode(&daemon, "srv0"), "native");
    assert_eq!(mode(&daemon, "bond0"), "generic");
    let log = daemon.log();
    assert!(log.contains("attached to `bond0` in generic mode"), "{log}");
    assert_filtered(&bed, &daemon, SERVER);
    fail_over(&bed.server);
    assert_filtered(&bed, &daemon, SERVER);
}
