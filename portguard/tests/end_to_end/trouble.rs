//! What the daemon leans on fails: the policy in force stays, one line says why, and it goes on when the trouble is over.

use std::fs;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use portguard_testbed::traffic::{Seen, Servers, probe_tcp};
use portguard_testbed::{Bed, Daemon, SERVER_V4};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::{binary, guarded, policy, stderr, stdout};

const TELNET: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";
const MAIL: &str = "  - {name: no-mail, action: drop, ports: [25/tcp]}\n";

/// What the ports of telnet and mail look like from outside.
fn seen(bed: &Bed) -> (Seen, Seen) {
    let probe = |port| {
        let patience = Duration::from_millis(200);
        probe_tcp(&bed.client, IpAddr::V4(SERVER_V4), port, patience).expect("probes")
    };
    (probe(23), probe(25))
}

const NO_TELNET: (Seen, Seen) = (Seen::Silence, Seen::Refused);
const NO_MAIL: (Seen, Seen) = (Seen::Refused, Seen::Silence);

/// Reloads with these rules, which must work.
fn reload(daemon: &Daemon, rules: &str) {
    daemon.write_policy(&policy(rules)).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
}

fn degraded(daemon: &Daemon) -> String {
    daemon.status().expect("status")["degraded"].to_string()
}

fn shell(daemon: &Daemon, script: &str) {
    let mut command = daemon.within(Command::new("sh"));
    let output = command.args(["-ec", script]).output().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn without_a_bpf_file_system_it_filters_and_says_for_how_long() {
    let bed = Bed::new().expect("a bed");
    let folder = tempfile::tempdir().expect("a folder");
    let pins = folder.path().join("pins");
    let words = ["--pins", pins.to_str().expect("UTF-8")];
    let text = policy(TELNET).replace(
        "rules:",
        "default: drop\nrules:\n  - {name: mail, action: pass, ports: [25/tcp]}",
    );
    let mut daemon = Daemon::start_with(binary(), &bed.server, &text, &words).expect("a daemon");
    let reasons = degraded(&daemon);
    assert!(reasons.contains("not in a BPF file system"), "{reasons}");
    // Replies pass over a reload although nothing of them could be kept.
    let _servers = Servers::start(&bed.client, &[7000], &[]).expect("servers");
    let mut open = bed
        .server
        .enter(|| std::net::TcpStream::connect((portguard_testbed::CLIENT_V4, 7000)))
        .expect("enters")
        .expect("connects");
    daemon
        .write_policy(&text.replace("23/tcp", "24/tcp"))
        .expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let mut byte = [0];
    open.set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    std::io::Read::read_exact(&mut open, &mut byte).expect("the server's byte");
    assert_eq!(seen(&bed), (Seen::Silence, Seen::Refused));
    let log = daemon.log();
    assert_eq!(
        log.matches("filtering ends when this daemon does").count(),
        1,
        "{log}"
    );
    daemon.kill().expect("kills");
    assert_eq!(seen(&bed), (Seen::Refused, Seen::Refused));
}

#[test]
fn a_bpf_file_system_that_becomes_read_only_hinders_no_change() {
    let (bed, daemon) = guarded(TELNET);
    shell(&daemon, "mount -o remount,ro /sys/fs/bpf");
    reload(&daemon, MAIL);
    assert_eq!(seen(&bed), NO_MAIL);
    assert!(degraded(&daemon).contains("filtering ends when this daemon does"));
    shell(&daemon, "mount -o remount,rw /sys/fs/bpf");
    reload(&daemon, TELNET);
    assert_eq!(seen(&bed), NO_TELNET);
    assert_eq!(degraded(&daemon), "[]");
    let log = daemon.log();
    assert_eq!(
        log.matches("filtering ends when this daemon does").count(),
        1,
        "{log}"
    );
}

#[test]
fn a_bpf_file_system_that_is_unmounted_hinders_no_change() {
    let (bed, mut daemon) = guarded(TELNET);
    // And so is what the machine has mounted there itself, which nobody else loses.
    shell(
        &daemon,
        "while mountpoint -q /sys/fs/bpf; do umount -l /sys/fs/bpf; done",
    );
    reload(&daemon, MAIL);
    assert_eq!(seen(&bed), NO_MAIL);
    assert!(degraded(&daemon).contains("not in a BPF file system"));
    shell(&daemon, "mount -t bpf bpf /sys/fs/bpf");
    reload(&daemon, TELNET);
    assert_eq!(degraded(&daemon), "[]");
    // It is pinned anew, and outlives the daemon again.
    daemon.kill().expect("kills");
    assert_eq!(seen(&bed), NO_TELNET);
    daemon.start_again(&bed.server).expect("starts again");
    assert!(
        daemon.log().contains("took over `srv0`"),
        "{}",
        daemon.log()
    );
}

#[test]
fn a_full_disk_hinders_no_change_and_a_trial_only_that_could_not_be_remembered() {
    let bed = Bed::new().expect("a bed");
    let mut daemon = Daemon::start(binary(), &bed.server, &policy(TELNET)).expect("a daemon");
    let state = daemon.folder().join("state");
    daemon.kill().expect("kills");
    let mount = |daemon: &Daemon| {
        let path = state.display();
        shell(
            daemon,
            &format!("mount -t tmpfs -o size=4k none {path}; head -c 4096 /dev/zero > {path}/full"),
        );
    };
    mount(&daemon);
    daemon.start_again(&bed.server).expect("starts again");
    let reasons = degraded(&daemon);
    assert!(reasons.contains("No space left on device"), "{reasons}");
    reload(&daemon, MAIL);
    assert_eq!(seen(&bed), NO_MAIL);
    let draft = daemon.folder().join("draft.yaml");
    fs::write(&draft, policy(TELNET)).expect("writes");
    let words = ["apply", draft.to_str().expect("UTF-8"), "--confirm", "5s"];
    let output = daemon.client(&words).expect("runs");
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    assert!(stderr(&output).contains("no trial"), "{}", stderr(&output));
    assert_eq!(seen(&bed), NO_MAIL);
    shell(&daemon, &format!("rm {}/full", state.display()));
    reload(&daemon, TELNET);
    assert_eq!(degraded(&daemon), "[]");
}

#[test]
fn a_kernel_that_refuses_maps_leaves_the_policy_in_force() {
    let (bed, daemon) = guarded(TELNET);
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .expect("reads")
        .count();
    let usual = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(open as u64 + 8),
        maximum: usual.maximum,
    };
    prlimit(pid, Resource::Nofile, few).expect("limits");
    daemon.write_policy(&policy(MAIL)).expect("writes");
    let output = daemon.reload().expect("runs");
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("Too many open files"),
        "{}",
        stderr(&output)
    );
    assert_eq!(seen(&bed), NO_TELNET);
    assert_eq!(daemon.status().expect("status")["last_reload"]["ok"], false);
    prlimit(pid, Resource::Nofile, usual).expect("limits");
    reload(&daemon, MAIL);
    assert_eq!(seen(&bed), NO_MAIL);
}

#[test]
fn an_interface_that_is_deleted_while_policies_change_takes_nothing_with_it() {
    let bed = Bed::new().expect("a bed");
    let text = |rules: &str| policy(rules).replace("[srv0]", "[srv0, \"tmp*\"]");
    let mut daemon = Daemon::start(binary(), &bed.server, &text(TELNET)).expect("a daemon");
    for number in 0..10 {
        bed.server
            .ip("link add tmp0 type veth peer name tmp1")
            .expect("adds");
        std::thread::scope(|scope| {
            let deletes = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(number * 20));
                bed.server.ip("link del tmp0")
            });
            let rules = if number % 2 == 0 { MAIL } else { TELNET };
            daemon.write_policy(&text(rules)).expect("writes");
            let output = daemon.reload().expect("runs");
            assert!(output.status.success(), "{}", stderr(&output));
            deletes.join().expect("ends").expect("deletes");
        });
    }
    assert!(daemon.is_running());
    assert_eq!(seen(&bed), NO_TELNET);
    daemon.kill().expect("kills");
    assert_eq!(seen(&bed), NO_TELNET);
}

#[test]
fn a_broken_state_file_is_told_and_does_no_harm_beside_a_good_policy() {
    let (bed, mut daemon) = guarded(TELNET);
    let last_good = daemon.folder().join("state/last-good.json");
    daemon
        .signal(rustix::process::Signal::TERM)
        .expect("signals");
    while daemon.is_running() {
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::write(&last_good, "{").expect("writes");
    let good = policy(TELNET);
    daemon
        .write_policy("version: 1\nrules: 7\n")
        .expect("writes");
    let error = daemon
        .start_again(&bed.server)
        .expect_err("neither is any good");
    let text = format!("{error:#}");
    assert!(
        text.contains("exit status: 1") && text.contains("last-good.json"),
        "{text}"
    );
    assert!(text.contains("policy.yaml:2"), "{text}");
    daemon.write_policy(&good).expect("writes");
    daemon.start_again(&bed.server).expect("starts again");
    assert_eq!(degraded(&daemon), "[]");
    assert_ne!(fs::read_to_string(&last_good).expect("reads"), "{");
}
