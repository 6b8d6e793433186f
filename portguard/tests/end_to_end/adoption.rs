//! The filter goes on without the daemon, and the next one takes it over.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use portguard_testbed::raw::{Ends, RawSocket, hardware_address, roomy_udp_socket, udp_frame};
use portguard_testbed::traffic::{Seen, probe_tcp};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, SERVER_V4, soon};

use crate::{binary, guarded, policy, rule_packets, stderr, stdout};

const BLOCKED: u16 = 9_000;
const OPEN: u16 = 9_001;

const RULES: &str = "  - {name: blocked, action: drop, ports: [9000/udp]}
  - {name: open, action: pass, ports: [9001/udp]}
";

/// Sends datagrams to a port of the server and returns how many arrived.
fn arrivals(bed: &Bed, port: u16, count: u32) -> u32 {
    let ends = Ends {
        from_mac: hardware_address(&bed.client, "cli0").expect("address"),
        to_mac: hardware_address(&bed.server, "srv0").expect("address"),
        from: CLIENT_V4.into(),
        to: SERVER_V4.into(),
    };
    let server = roomy_udp_socket(&bed.server, port).expect("a server");
    server
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    let sender = RawSocket::open(&bed.client, "cli0").expect("a sender");
    let frame = udp_frame(ends, &[], port, b"probe").expect("a frame");
    for _ in 0..count {
        sender.send(&frame).expect("sends");
    }
    let mut buffer = [0; 64];
    (0..count)
        .take_while(|_| server.recv(&mut buffer).is_ok())
        .count() as u32
}

fn has_program(bed: &Bed) -> bool {
    let shown = bed.server.ip("-d link show dev srv0").expect("shows");
    shown.contains("prog/xdp")
}

fn blocked_packets(daemon: &Daemon) -> u64 {
    rule_packets(&daemon.counters().expect("counters"), "blocked")
}

#[test]
fn l02_the_filter_goes_on_when_the_daemon_is_killed_and_the_next_one_goes_on_counting() {
    let (bed, mut daemon) = guarded(RULES);
    let mut sent = 0;
    for round in 0..3 {
        assert_eq!(arrivals(&bed, BLOCKED, 10), 0, "round {round}");
        daemon.kill().expect("kills");
        // Nobody is there, and still it filters and counts.
        assert_eq!(arrivals(&bed, BLOCKED, 10), 0, "round {round}");
        assert_eq!(arrivals(&bed, OPEN, 10), 10, "round {round}");
        daemon.start_again(&bed.server).expect("starts again");
        sent += 20;
        assert_eq!(blocked_packets(&daemon), sent, "round {round}");
        assert_eq!(daemon.status().expect("status")["generation"], round + 2);
    }
    let stopped = daemon.stop().expect("stops");
    assert!(stopped.log.contains("took over `srv0`"), "{}", stopped.log);
    assert!(!has_program(&bed));
}

#[test]
fn c01_counters_go_on_over_policies_and_daemons() {
    let (bed, mut daemon) = guarded(RULES);
    arrivals(&bed, BLOCKED, 10);
    let other = policy(&format!(
        "{RULES}  - {{name: extra, action: drop, ports: [23]}}\n"
    ));
    daemon.write_policy(&other).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    arrivals(&bed, BLOCKED, 5);
    assert_eq!(blocked_packets(&daemon), 15);
    daemon.kill().expect("kills");
    // Without the rule, whose counters are kept all the same.
    let without = policy("  - {name: open, action: pass, ports: [9001/udp]}\n");
    daemon.write_policy(&without).expect("writes");
    daemon.start_again(&bed.server).expect("starts again");
    assert_eq!(blocked_packets(&daemon), 15);
    arrivals(&bed, BLOCKED, 7);
    daemon.write_policy(&policy(RULES)).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    arrivals(&bed, BLOCKED, 5);
    assert_eq!(blocked_packets(&daemon), 20);
    daemon.kill().expect("kills");
    daemon.start_again(&bed.server).expect("starts again");
    assert_eq!(blocked_packets(&daemon), 20);
}

#[test]
fn l02_another_mode_does_not_open_the_host_and_is_told() {
    let (bed, mut daemon) = guarded(RULES);
    for round in 0..3 {
        daemon.kill().expect("kills");
        let mode = if round % 2 == 0 { "generic" } else { "native" };
        let text = format!("{}attach: {mode}\n", policy(RULES));
        daemon.write_policy(&text).expect("writes");
        daemon.start_again(&bed.server).expect("starts again");
        assert_eq!(arrivals(&bed, BLOCKED, 10), 0, "round {round}");
        let status = daemon.status().expect("status");
        assert_eq!(status["interfaces"][0]["mode"], "native", "round {round}");
    }
    let log = daemon.log();
    assert_eq!(
        log.matches("generic mode takes effect when").count(),
        2,
        "{log}"
    );
}

#[test]
fn r09_a_session_that_was_open_before_outlives_daemons_and_versions() {
    let bed = Bed::new().expect("a bed");
    let echo = bed
        .client
        .listen((CLIENT_V4, 7_000).into())
        .expect("listens");
    let mut ours = bed
        .server
        .enter(|| TcpStream::connect((CLIENT_V4, 7_000)))
        .expect("enters")
        .expect("connects");
    let (mut theirs, from) = echo.accept().expect("accepts");
    for stream in [&ours, &theirs] {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
    }
    let mut talk = |when: &str| {
        let mut word = [0; 4];
        ours.write_all(b"ping").expect("writes");
        theirs.read_exact(&mut word).expect(when);
        theirs.write_all(b"pong").expect("writes");
        ours.read_exact(&mut word).expect(when);
    };
    let text = "version: 1\ninterfaces: [srv0]\ndefault: drop\nrules: []\n";
    let mut daemon = Daemon::start(binary(), &bed.server, text).expect("a daemon");
    talk("after the first start");
    daemon.kill().expect("kills");
    talk("without a daemon");
    daemon.start_again(&bed.server).expect("starts again");
    talk("after a restart");
    daemon.kill().expect("kills");
    let mut another_version = daemon.within(Command::new("sh"));
    another_version.args(["-ec", "cd /sys/fs/bpf/portguard; mv v* v0"]);
    assert!(another_version.status().expect("runs").success());
    daemon.start_again(&bed.server).expect("starts again");
    talk("after an upgrade");
    // The same port is closed to everybody else.
    let stranger = probe_tcp(
        &bed.client,
        SERVER_V4.into(),
        from.port(),
        Duration::from_millis(200),
    );
    assert_eq!(stranger.expect("probes"), Seen::Silence);
}

#[test]
fn a_broken_policy_leaves_what_is_at_work() {
    let (bed, mut daemon) = guarded(RULES);
    daemon.kill().expect("kills");
    daemon
        .write_policy("version: 1\nrules: [\n")
        .expect("writes");
    daemon
        .start_again(&bed.server)
        .expect("the last good policy");
    assert_eq!(arrivals(&bed, BLOCKED, 10), 0);
    let status = daemon.status().expect("status");
    let reasons = status["degraded"].to_string();
    assert!(reasons.contains("policy.yaml"), "{reasons}");
    let shown = daemon.client(&["status"]).expect("runs");
    assert_eq!(shown.status.code(), Some(1));
    assert!(stdout(&shown).contains("DEGRADED"), "{}", stdout(&shown));
    // Mended, all is well again.
    daemon.write_policy(&policy(RULES)).expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    let shown = daemon.client(&["status"]).expect("runs");
    assert_eq!(shown.status.code(), Some(0), "{}", stdout(&shown));
}

#[test]
fn r06_a_broken_policy_at_boot_is_replaced_by_the_last_one_that_took_effect() {
    let (bed, mut daemon) = guarded(RULES);
    daemon
        .signal(rustix::process::Signal::TERM)
        .expect("signals");
    wait_until("it ends", || !daemon.is_running());
    assert!(!has_program(&bed), "as after a boot");
    daemon
        .write_policy("version: 1\nrules: {}\n")
        .expect("writes");
    daemon
        .start_again(&bed.server)
        .expect("the last good policy");
    assert_eq!(arrivals(&bed, BLOCKED, 10), 0);
    assert_eq!(arrivals(&bed, OPEN, 10), 10);
    assert_ne!(
        daemon.status().expect("status")["degraded"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
}

#[test]
fn what_stays_after_a_stop_is_taken_away_by_detach() {
    let bed = Bed::new().expect("a bed");
    let text = format!("{}on_stop: keep\n", policy(RULES));
    let mut daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    let detach = |daemon: &Daemon| {
        let mut command = bed.server.command(binary());
        command.arg("detach");
        daemon.within(command).output().expect("runs")
    };
    let refused = detach(&daemon);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        stderr(&refused).contains("another portguard daemon"),
        "{}",
        stderr(&refused)
    );
    daemon
        .signal(rustix::process::Signal::TERM)
        .expect("signals");
    wait_until("it ends", || !daemon.is_running());
    assert_eq!(arrivals(&bed, BLOCKED, 10), 0, "it stays at work");

    // It can be gone on with, counters included.
    daemon.start_again(&bed.server).expect("starts again");
    assert_eq!(blocked_packets(&daemon), 10);
    daemon
        .signal(rustix::process::Signal::TERM)
        .expect("signals");
    wait_until("it ends", || !daemon.is_running());

    let output = detach(&daemon);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "detached from 1 interface\n");
    assert!(!has_program(&bed));
    assert_eq!(arrivals(&bed, BLOCKED, 10), 10);
    let mut list = daemon.within(Command::new("ls"));
    let left = list.arg("/sys/fs/bpf").output().expect("lists");
    assert!(!stdout(&left).contains("portguard"), "{}", stdout(&left));
}

pub(crate) fn wait_until(what: &str, done: impl FnMut() -> bool) {
    assert!(soon(Duration::from_secs(10), done), "{what}");
}
