//! Start, status, stop.

use portguard_testbed::{Bed, Daemon};
use rustix::process::Signal;

use crate::{binary, guarded, policy, stderr};

const DROP_TELNET: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

/// Whether `srv0` carries an XDP program.
fn has_program(bed: &Bed) -> bool {
    bed.server
        .ip("link show dev srv0")
        .expect("ip")
        .contains("xdp")
}

#[test]
fn attaches_natively_says_so_and_detaches_on_sigterm() {
    let (bed, daemon) = guarded(DROP_TELNET);
    assert!(has_program(&bed));
    let status = daemon.status().expect("status");
    assert_eq!(status["generation"], 1);
    assert_eq!(status["rules"], 1);
    assert_eq!(status["interfaces"][0]["name"], "srv0");
    assert_eq!(status["interfaces"][0]["state"], "attached");
    assert_eq!(status["interfaces"][0]["mode"], "native");
    let socket = daemon.policy_path().with_file_name("control.sock");
    assert!(socket.exists());

    let stopped = daemon.stop().expect("stops");
    assert!(stopped.status.success(), "{}", stopped.log);
    assert!(
        stopped.log.contains("attached to `srv0` in native mode"),
        "{}",
        stopped.log
    );
    assert!(!has_program(&bed), "the program is still attached");
    assert!(!socket.exists(), "the socket is left behind");
}

#[test]
fn sigint_stops_it_too() {
    let (bed, mut daemon) = guarded(DROP_TELNET);
    daemon.signal(Signal::INT).expect("signal");
    daemon.wait_for_notification("STOPPING=1").expect("stops");
    for _ in 0..500 {
        if !daemon.is_running() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!daemon.is_running());
    assert!(!has_program(&bed));
}

#[test]
fn generic_mode_is_announced() {
    let bed = Bed::new().expect("a bed");
    let text = format!("attach: generic\n{}", policy(DROP_TELNET));
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    let status = daemon.status().expect("status");
    assert_eq!(status["interfaces"][0]["mode"], "generic");
    assert!(daemon.log().contains("in generic mode"), "{}", daemon.log());
}

#[test]
fn a_second_daemon_with_the_same_socket_is_refused() {
    let (bed, daemon) = guarded(DROP_TELNET);
    let output = bed
        .server
        .command(binary())
        .arg("run")
        .arg("--policy")
        .arg(daemon.policy_path())
        .arg("--socket")
        .arg(daemon.policy_path().with_file_name("control.sock"))
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("another portguard daemon runs"),
        "{}",
        stderr(&output)
    );
    assert!(daemon.status().is_ok(), "the first daemon answers no more");
}

#[test]
fn without_a_daemon_clients_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    for verb in ["status", "counters", "reload"] {
        let output = std::process::Command::new(binary())
            .arg(verb)
            .arg("--socket")
            .arg(folder.path().join("none.sock"))
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(3), "{verb}");
        assert!(
            stderr(&output).contains("is `portguard run` running?"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn the_command_line_is_documented_with_its_exit_codes() {
    for verb in [
        &["--help"][..],
        &["run", "--help"],
        &["check", "--help"],
        &["replay", "--help"],
    ] {
        let output = std::process::Command::new(binary())
            .args(verb)
            .output()
            .expect("runs");
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("3  the system refuses"), "{text}");
    }
    let wrong = std::process::Command::new(binary())
        .arg("rnu")
        .output()
        .expect("runs");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn following_counters_gives_one_object_a_line() {
    use std::io::{BufRead as _, BufReader};

    let (_bed, daemon) = guarded(DROP_TELNET);
    let mut follower = std::process::Command::new(binary())
        .args([
            "counters",
            "--follow",
            "--interval",
            "100ms",
            "--format",
            "json",
            "--socket",
        ])
        .arg(daemon.policy_path().with_file_name("control.sock"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    let lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let reports: Vec<serde_json::Value> = lines
        .take(3)
        .map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"))
        .collect();
    follower.kill().expect("our own child");
    follower.wait().expect("ends");
    assert_eq!(reports.len(), 3);
    for pair in reports.windows(2) {
        let times = pair
            .iter()
            .map(|report| report["unix_time"].as_f64().expect("a number"));
        assert!(
            times.is_sorted_by(|earlier, later| earlier < later),
            "{pair:?}"
        );
        assert_eq!(pair[1]["rules"][0]["name"], "no-telnet");
    }
}

#[test]
fn a_socket_path_that_names_a_file_is_refused_and_the_file_stays() {
    let bed = Bed::new().expect("a bed");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("precious.yaml");
    std::fs::write(&file, policy(DROP_TELNET)).expect("writes");
    let output = bed
        .server
        .command(binary())
        .args(["run", "--policy"])
        .arg(&file)
        .arg("--socket")
        .arg(&file)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("is no socket"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        std::fs::read_to_string(&file).expect("reads"),
        policy(DROP_TELNET)
    );
    assert!(!has_program(&bed));
}
