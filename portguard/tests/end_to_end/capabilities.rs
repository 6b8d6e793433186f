//! What the daemon may do, and what it says when it may not.

use std::net::IpAddr;
use std::time::Duration;

use portguard_testbed::traffic::{Seen, probe_tcp};
use portguard_testbed::{Bed, Daemon, SERVER_V4};

use crate::{binary, policy, stderr, stdout};

const RULES: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

#[test]
fn the_three_capabilities_of_the_shipped_unit_suffice() {
    let unit = include_str!("../../../config/portguard.service");
    assert!(unit.contains("CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_PERFMON\n"));
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(binary(), &bed.server, &policy(RULES)).expect("a daemon");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("reads");
    // CAP_NET_ADMIN is 12, CAP_PERFMON 38, CAP_BPF 39.
    let three = format!("CapEff:\t{:016x}", 1_u64 << 12 | 1 << 38 | 1 << 39);
    assert!(status.contains(&three), "{status}");
    let probe = |port| {
        probe_tcp(
            &bed.client,
            IpAddr::V4(SERVER_V4),
            port,
            Duration::from_millis(200),
        )
        .expect("probe")
    };
    assert_eq!((probe(23), probe(24)), (Seen::Silence, Seen::Refused));
    daemon
        .write_policy(&policy("  - {name: x, action: drop, ports: [24/tcp]}\n"))
        .expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((probe(23), probe(24)), (Seen::Refused, Seen::Silence));
    assert!(stdout(&daemon.client(&["counters"]).expect("runs")).contains("23/tcp"));
    let stopped = daemon.stop().expect("stops");
    assert!(stopped.status.success(), "{}", stopped.log);
    assert!(
        !bed.server
            .ip("link show dev srv0")
            .expect("ip")
            .contains("xdp")
    );
}

#[test]
fn without_capabilities_it_says_which_are_needed() {
    let bed = Bed::new().expect("a bed");
    let mut command = bed.server.command("setpriv");
    command.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
    command.arg(binary()).arg("run");
    let error = Daemon::spawn(binary(), command, &policy(RULES)).expect_err("refused");
    let text = format!("{error:#}");
    assert!(text.contains("exit status: 3"), "{text}");
    assert!(
        text.contains("CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"),
        "{text}"
    );
    assert!(
        !bed.server
            .ip("link show dev srv0")
            .expect("ip")
            .contains("xdp")
    );
}
