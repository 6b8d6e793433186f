//! `apply --confirm`: a policy in force for a while.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::traffic::{Seen, Servers, probe_tcp};
use portguard_testbed::{Bed, Daemon, SERVER_V4, in_time};

use crate::{binary, guarded, policy, stderr, stdout};

/// A server whose port is open.
pub(crate) const OPEN: &str = "  - {name: web, action: pass, ports: [8080/tcp]}\n";
const CLOSED: &str = "  - {name: web, action: drop, ports: [8080/tcp]}\n";

/// How long a trial is.
pub(crate) const TRIAL: Duration = Duration::from_secs(3);

/// How late the end of a trial may be.
pub(crate) const LATE: Duration = Duration::from_secs(1);

/// Whether the server answers at an address.
fn is_open(bed: &Bed, address: Ipv4Addr) -> bool {
    let patience = Duration::from_millis(150);
    let seen = probe_tcp(&bed.client, address.into(), 8080, patience).expect("probes");
    seen == Seen::Answer
}

/// A host with a server whose port is open, and a draft by which it is closed.
pub(crate) struct Host {
    bed: Bed,
    pub(crate) daemon: Daemon,
    draft: PathBuf,
    _folder: tempfile::TempDir,
    _server: Servers,
}

fn host() -> Host {
    let (bed, daemon) = guarded(OPEN);
    Host::new(bed, daemon)
}

impl Host {
    /// One whose daemon has the policy [`OPEN`].
    pub(crate) fn new(bed: Bed, daemon: Daemon) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let draft = folder.path().join("draft.yaml");
        fs::write(&draft, policy(CLOSED)).expect("writes");
        let server = Servers::start(&bed.server, &[8080], &[]).expect("a server");
        Self {
            bed,
            daemon,
            draft,
            _folder: folder,
            _server: server,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        is_open(&self.bed, SERVER_V4)
    }

    pub(crate) fn apply(&self, words: &[&str]) -> Output {
        let mut all = vec!["apply", self.draft.to_str().expect("UTF-8")];
        all.extend(words);
        self.daemon.client(&all).expect("runs")
    }

    fn boot_policy(&self) -> String {
        fs::read_to_string(self.daemon.policy_path()).expect("reads")
    }

    /// Waits until the port is open again; the time that this took.
    pub(crate) fn reopens(&self) -> Duration {
        let begin = Instant::now();
        while !self.is_open() {
            assert!(begin.elapsed() < Duration::from_secs(30), "it never opens");
            thread::sleep(Duration::from_millis(20));
        }
        begin.elapsed()
    }
}

#[test]
fn a_trial_that_nobody_confirms_ends_in_time() {
    in_time(|| {
        let host = host();
        assert!(host.is_open());
        let begin = Instant::now();
        let output = host.apply(&["--confirm", "3s"]);
        let applied = Instant::now();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(
            stdout(&output).contains("generation 2 is on trial"),
            "{}",
            stdout(&output)
        );
        assert!(!host.is_open());
        let status = host.daemon.status().expect("status");
        assert!(status["trial_s"].as_u64().expect("a number") <= 3);
        host.reopens();
        // It began somewhere between the request and the answer.
        assert!(begin.elapsed() > TRIAL, "{:?}", begin.elapsed());
        assert!(applied.elapsed() < TRIAL + LATE, "{:?}", applied.elapsed());
        assert_eq!(host.boot_policy(), policy(OPEN));
        let late = host.daemon.client(&["confirm"]).expect("runs");
        assert_eq!(late.status.code(), Some(1));
        // The kernel's program may have been faster than the daemon.
        let says = stderr(&late);
        let is_late = says.contains("no policy is on trial") || says.contains("too late");
        assert!(is_late, "{says}");
        assert!(host.is_open());
        // The next policy has a number of its own.
        let output = host.apply(&[]);
        assert!(
            stdout(&output).contains("generation 3 is in force"),
            "{}",
            stdout(&output)
        );
    });
}

#[test]
fn a_trial_ends_in_time_although_the_daemon_was_killed() {
    in_time(|| {
        let mut host = host();
        let begin = Instant::now();
        assert!(host.apply(&["--confirm", "3s"]).status.success());
        let applied = Instant::now();
        host.daemon.kill().expect("kills");
        assert!(!host.is_open());
        host.reopens();
        // It began somewhere between the request and the answer.
        assert!(begin.elapsed() > TRIAL, "{:?}", begin.elapsed());
        assert!(applied.elapsed() < TRIAL + LATE, "{:?}", applied.elapsed());
        // The next daemon finds the policy before the trial, at work and in the file.
        host.daemon
            .start_again(&host.bed.server)
            .expect("starts again");
        assert!(host.is_open());
        assert_eq!(
            host.daemon.status().expect("status")["trial_s"],
            serde_json::Value::Null
        );
    });
}

#[test]
fn a_trial_that_is_confirmed_stays_and_becomes_the_policy_of_the_next_boot() {
    in_time(|| {
        let mut host = host();
        assert!(host.apply(&["--confirm", "3s"]).status.success());
        assert_eq!(
            host.boot_policy(),
            policy(OPEN),
            "not before it is confirmed"
        );
        let output = host.daemon.client(&["confirm"]).expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(host.boot_policy(), policy(CLOSED));
        thread::sleep(Duration::from_secs(3));
        assert!(!host.is_open());
        host.daemon.kill().expect("kills");
        host.daemon
            .start_again(&host.bed.server)
            .expect("starts again");
        assert!(!host.is_open());
    });
}

#[test]
fn while_a_trial_runs_nothing_else_may_change_but_it_can_be_reverted() {
    let host = host();
    assert!(host.apply(&["--confirm", "60s"]).status.success());
    for words in [
        &["reload"][..],
        &["apply", host.draft.to_str().expect("UTF-8")],
    ] {
        let refused = host.daemon.client(words).expect("runs");
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            stderr(&refused).contains("is on trial"),
            "{}",
            stderr(&refused)
        );
    }
    let output = host.daemon.client(&["revert"]).expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(host.is_open());
    assert_eq!(host.boot_policy(), policy(OPEN));
    let again = host.daemon.client(&["revert"]).expect("runs");
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn without_a_trial_a_policy_stays_at_once() {
    let host = host();
    let output = host.apply(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!host.is_open());
    assert_eq!(host.boot_policy(), policy(CLOSED));
    let again = host.apply(&[]);
    assert!(stdout(&again).contains("unchanged"), "{}", stdout(&again));
}

#[test]
fn the_policy_file_itself_on_trial_is_not_taken_at_boot_before_it_is_confirmed() {
    let mut host = host();
    host.daemon.write_policy(&policy(CLOSED)).expect("writes");
    let path = host.daemon.policy_path();
    let words = ["apply", path.to_str().expect("UTF-8"), "--confirm", "60s"];
    let output = host.daemon.client(&words).expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    host.daemon.kill().expect("kills");
    host.daemon
        .start_again(&host.bed.server)
        .expect("starts again");
    assert!(host.is_open());
    let status = host.daemon.status().expect("status");
    assert!(
        status["degraded"].to_string().contains("not confirmed"),
        "{status}"
    );
    // Who asks for it expressly gets it.
    let output = host.daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!host.is_open());
}

#[test]
fn a_draft_that_is_refused_or_cannot_be_read_changes_nothing() {
    let host = host();
    fs::write(&host.draft, "version: 1\nrules: [{name: x}]\n").expect("writes");
    let refused = host.apply(&["--confirm", "3s"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("draft.yaml"),
        "{}",
        stderr(&refused)
    );
    fs::remove_file(&host.draft).expect("removes");
    assert_eq!(host.apply(&[]).status.code(), Some(1));
    for wrong in ["0s", "1.5s", "25h", "60"] {
        assert_eq!(
            host.apply(&["--confirm", wrong]).status.code(),
            Some(2),
            "{wrong}"
        );
    }
    assert!(host.is_open());
    assert_eq!(host.daemon.status().expect("status")["generation"], 1);
}

#[test]
fn several_interfaces_are_on_trial_together() {
    in_time(|| {
        let bed = Bed::new().expect("a bed");
        bed.cable("srv1", "cli1").expect("a cable");
        bed.server
            .ip("addr add 198.51.100.1/24 dev srv1")
            .expect("address");
        bed.client
            .ip("addr add 198.51.100.2/24 dev cli1")
            .expect("address");
        let text = |rules: &str, interfaces: &str| {
            format!("version: 1\ninterfaces: {interfaces}\nrules:\n{rules}")
        };
        let mut daemon =
            Daemon::start(binary(), &bed.server, &text(OPEN, "[srv0]")).expect("a daemon");
        let _server = Servers::start(&bed.server, &[8080], &[]).expect("a server");
        let open = |address: &str| is_open(&bed, address.parse().expect("an address"));
        let folder = tempfile::tempdir().expect("a folder");
        let draft = folder.path().join("draft.yaml");
        fs::write(&draft, text(CLOSED, "[srv0, srv1]")).expect("writes");
        let words = ["apply", draft.to_str().expect("UTF-8"), "--confirm", "3s"];
        let begin = Instant::now();
        assert!(daemon.client(&words).expect("runs").status.success());
        assert!(!open("192.0.2.1") && !open("198.51.100.1"));
        daemon.kill().expect("kills");
        while !open("192.0.2.1") {
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
        // The policy before did not guard this one: whatever it says, this is open again.
        assert!(open("198.51.100.1"));
        daemon.start_again(&bed.server).expect("starts again");
        assert!(open("192.0.2.1") && open("198.51.100.1"));
        let shown = bed.server.ip("-d link show dev srv1").expect("shows");
        assert!(!shown.contains("prog/xdp"), "{shown}");
    });
}
