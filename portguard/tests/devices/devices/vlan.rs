//! A VLAN device, and the device below it.

use std::net::Ipv4Addr;

use portguard_testbed::traffic::Seen;
use portguard_testbed::{Bed, Daemon, SERVER_V4};

use crate::{assert_filtered, at_closed_port, await_way, binary, mode, policy, servers, stacking};

/// Address of the server in the VLAN (RFC 5737).
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Two hosts with VLAN 10 on their cable.
fn tagged() -> Bed {
    let bed = Bed::new().expect("a bed");
    add_vlan(&bed);
    let client = [
        "link add link cli0 name cli0.10 type vlan id 10",
        "link set dev cli0.10 up",
        "addr add 203.0.113.2/24 dev cli0.10",
    ];
    for words in client {
        bed.client.ip(words).expect("ip");
    }
    bed
}

fn add_vlan(bed: &Bed) {
    for words in [
        "link add link srv0 name srv0.10 type vlan id 10",
        "link set dev srv0.10 up",
        "addr add 203.0.113.1/24 dev srv0.10",
    ] {
        bed.server.ip(words).expect("ip");
    }
}

/// Older kernels rename only what is down.
fn rename(bed: &Bed, from: &str, to: &str) {
    for words in [
        format!("link set dev {from} down"),
        format!("link set dev {from} name {to}"),
        format!("link set dev {to} up"),
    ] {
        bed.server.ip(&words).expect("ip");
    }
}

#[test]
fn the_device_is_guarded_in_generic_mode_alone_and_says_so() {
    let bed = tagged();
    let _servers = servers(&bed);
    let text = policy("srv0.10", "");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    assert_eq!(mode(&daemon, "srv0.10"), "generic");
    let log = daemon.log();
    assert!(
        log.contains("attached to `srv0.10` in generic mode"),
        "{log}"
    );
    let (severity, says) = stacking(&bed, &daemon, "srv0.10");
    assert_eq!(severity, "note");
    assert!(says.contains("it lies above `srv0`"), "{says}");
    assert_filtered(&bed, &daemon, SERVER);
    // What is not in the VLAN is nobody's business.
    await_way(&bed, SERVER_V4);
    assert_eq!(at_closed_port(&bed, SERVER_V4), Seen::Answer);
}

#[test]
fn the_device_below_tells_vlans_apart() {
    let bed = tagged();
    let _servers = servers(&bed);
    // Between these two a tag is beside the frame, where no program sees it, unless the sender puts it in.
    let output = bed
        .client
        .command("ethtool")
        .args(["-K", "cli0", "txvlan", "off"])
        .output();
    assert!(output.expect("runs").status.success());
    let text = policy("srv0", ", vlan: [10]");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    assert_eq!(mode(&daemon, "srv0"), "native");
    assert_filtered(&bed, &daemon, SERVER);
    await_way(&bed, SERVER_V4);
    assert_eq!(at_closed_port(&bed, SERVER_V4), Seen::Answer);

    let text = policy("srv0", ", vlan: [none]");
    daemon.write_policy(&text).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{output:?}");
    assert_filtered(&bed, &daemon, SERVER_V4);
    assert_eq!(at_closed_port(&bed, SERVER), Seen::Answer);
}

#[test]
fn the_device_is_followed_when_it_goes_comes_and_changes_its_name() {
    let bed = tagged();
    let _servers = servers(&bed);
    let text = policy("srv0.10", "");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    let wait_for = |state| {
        daemon
            .wait_for_interface("srv0.10", state)
            .expect("a state")
    };
    bed.server.ip("link del dev srv0.10").expect("ip");
    wait_for("waiting");
    add_vlan(&bed);
    wait_for("attached");
    assert_filtered(&bed, &daemon, SERVER);

    rename(&bed, "srv0.10", "mail0");
    wait_for("waiting");
    await_way(&bed, SERVER);
    assert_eq!(at_closed_port(&bed, SERVER), Seen::Answer);
    rename(&bed, "mail0", "srv0.10");
    wait_for("attached");
    assert_filtered(&bed, &daemon, SERVER);
}

/// A glob guards the device below alone, and the frames of the VLAN are judged there.
#[test]
fn a_glob_leaves_the_device_out_whose_frames_are_judged_below() {
    let bed = tagged();
    let _servers = servers(&bed);
    let text = policy("\"srv*\"", "");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    daemon
        .wait_for_interface("srv0", "attached")
        .expect("a state");
    let status = daemon.status().expect("status");
    let all = status["interfaces"].as_array().expect("a list");
    assert!(
        all.iter().all(|entry| entry["name"] != "srv0.10"),
        "{status}"
    );
    assert_filtered(&bed, &daemon, SERVER);
    assert_filtered(&bed, &daemon, SERVER_V4);
}
