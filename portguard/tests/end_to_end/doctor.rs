//! `portguard doctor`, and what it says when the daemon cannot attach.

use std::process::{Command, Output};
use std::time::Duration;

use portguard_testbed::{Bed, Daemon, Namespace, soon};
use serde_json::Value;

use crate::{binary, guarded, policy, stderr, stdout};

const RULES: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

/// A socket at which no daemon listens.
const NO_SOCKET: &str = "/nonexistent/control.sock";

/// What it found, as JSON, with its exit code.
struct Found {
    code: Option<i32>,
    json: Value,
}

impl Found {
    fn from(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            json: serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{error}: {output:?}")),
        }
    }

    /// The one finding of a check about an interface, or about the host.
    fn only(&self, interface: Option<&str>, check: &str) -> &Value {
        let place = interface.map_or(Value::Null, Value::from);
        let mut found = self.json["findings"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|finding| finding["check"] == check && finding["interface"] == place);
        let one = found
            .next()
            .unwrap_or_else(|| panic!("no `{check}` in {}", self.json));
        assert!(found.next().is_none(), "more than one: {}", self.json);
        one
    }

    fn severity(&self, interface: &str, check: &str) -> &str {
        text(&self.only(Some(interface), check)["severity"])
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn doctor(host: &Namespace, words: &[&str]) -> Found {
    let output = host
        .command(binary())
        .arg("doctor")
        .args(words)
        .args(["--format", "json", "--socket", NO_SOCKET])
        .output()
        .expect("runs");
    Found::from(&output)
}

/// As `doctor`, with a policy of this text.
fn doctor_with(host: &Namespace, policy: &str, words: &[&str]) -> Found {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, policy).expect("writes");
    let file = file.to_str().expect("UTF-8");
    doctor(host, &[&["--policy", file], words].concat())
}

#[test]
fn a_cable_is_fit_for_native_mode_and_nothing_is_changed() {
    let bed = Bed::new().expect("a bed");
    let links = || bed.server.ip("-details link").expect("ip");
    let before = links();
    let found = doctor_with(&bed.server, &policy(RULES), &[]);
    assert_eq!(found.code, Some(0), "{}", found.json);
    assert_eq!(found.json["problems"], 0);
    for check in ["interface", "up", "ethernet-header", "program", "mtu"] {
        assert_eq!(found.severity("srv0", check), "ok", "{check}");
    }
    let native = found.only(Some("srv0"), "native-mode");
    assert_eq!(native["severity"], "ok");
    assert!(text(&native["text"]).contains("`veth`"), "{native}");
    assert_eq!(found.only(None, "kernel")["severity"], "ok");
    assert_eq!(found.only(None, "bpf-syscall")["severity"], "ok");
    assert_eq!(found.only(None, "policy")["severity"], "ok");
    assert_eq!(links(), before);
}

#[test]
fn text_fits_80_columns_but_for_commands() {
    let bed = Bed::new().expect("a bed");
    bed.server.ip("link set dev srv0 down").expect("ip");
    let output = bed
        .server
        .command(binary())
        .args(["doctor", "srv0", "--socket", NO_SOCKET])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("this host\n"), "{text}");
    assert!(text.contains("\n\ninterface srv0\n"), "{text}");
    assert!(
        text.contains("\n          run: ip link set dev srv0 up\n"),
        "{text}"
    );
    assert!(text.contains("\nno problems, "), "{text}");
    let is_command = |line: &str| line.trim_start().starts_with("run: ");
    for line in text.lines().filter(|line| !is_command(line)) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn without_a_name_it_looks_at_what_carries_a_default_route() {
    let bed = Bed::new().expect("a bed");
    let none = doctor(&bed.server, &[]);
    assert_eq!(none.code, Some(0));
    assert_eq!(none.only(None, "interface")["severity"], "note");
    bed.server
        .ip("route add default via 192.0.2.2")
        .expect("ip");
    let found = doctor(&bed.server, &[]);
    assert_eq!(found.severity("srv0", "interface"), "ok");
}

#[test]
fn l06_one_that_does_not_exist_is_a_problem_by_name_and_waited_for_by_policy() {
    let bed = Bed::new().expect("a bed");
    let named = doctor(&bed.server, &["later0"]);
    assert_eq!(named.code, Some(1));
    let finding = named.only(Some("later0"), "interface");
    assert_eq!(finding["severity"], "problem");
    assert!(text(&finding["text"]).contains("`srv0`"), "{finding}");
    let policy = format!("version: 1\ninterfaces: [later0]\nrules:\n{RULES}");
    let waited = doctor_with(&bed.server, &policy, &[]);
    assert_eq!(waited.code, Some(0));
    assert_eq!(waited.severity("later0", "interface"), "warning");
}

#[test]
fn a_policy_that_is_refused_is_a_problem_with_the_command_that_shows_why() {
    let bed = Bed::new().expect("a bed");
    let found = doctor_with(&bed.server, "version: 2\n", &["srv0"]);
    assert_eq!(found.code, Some(1));
    let finding = found.only(None, "policy");
    assert_eq!(finding["severity"], "problem");
    let command = text(&finding["command"]);
    assert!(command.starts_with("portguard check /"), "{command}");
}

#[test]
fn a_device_without_an_ethernet_header_is_a_problem_and_a_tap_is_none() {
    let bed = Bed::new().expect("a bed");
    for device in ["tun", "tap"] {
        let words = format!("tuntap add dev {device}0 mode {device}");
        bed.server.ip(&words).expect("ip");
    }
    let found = doctor(&bed.server, &["tun0"]);
    assert_eq!(found.code, Some(1));
    assert_eq!(found.severity("tun0", "ethernet-header"), "problem");
    let found = doctor(&bed.server, &["tap0"]);
    assert_eq!(found.code, Some(0));
    assert_eq!(found.severity("tap0", "ethernet-header"), "ok");
    let native = found.only(Some("tap0"), "native-mode");
    assert!(text(&native["text"]).contains("`tun`"), "{native}");
    assert_eq!(found.severity("tap0", "up"), "note");
}

#[test]
fn a_bridge_has_no_native_mode_and_says_which_ports_to_guard() {
    let bed = Bed::new().expect("a bed");
    bed.server.ip("link add br0 type bridge").expect("ip");
    bed.server.ip("link set dev srv0 master br0").expect("ip");
    let found = doctor(&bed.server, &["br0", "srv0"]);
    assert_eq!(found.code, Some(0), "{}", found.json);
    assert_eq!(found.severity("br0", "native-mode"), "warning");
    let bridge = text(&found.only(Some("br0"), "stacking")["text"]);
    assert!(bridge.contains("guard its ports: `srv0`"), "{bridge}");
    let port = text(&found.only(Some("srv0"), "stacking")["text"]);
    assert!(port.contains("a port of the bridge `br0`"), "{port}");

    // What the kernel does agrees.
    let native = format!("version: 1\ninterfaces: [br0]\nattach: native\nrules:\n{RULES}");
    let found = doctor_with(&bed.server, &native, &[]);
    assert_eq!(found.code, Some(1));
    assert_eq!(found.severity("br0", "native-mode"), "problem");
    let error = Daemon::start(binary(), &bed.server, &native).expect_err("refused");
    let error = format!("{error:#}");
    assert!(
        error.contains("\nproblem with interface `br0`: its driver `bridge` has no native XDP"),
        "{error}"
    );
}

/// L05: a large MTU matters where a frame must fit one buffer, which on a cable it need not.
#[test]
fn l05_a_large_mtu_is_held_against_what_the_driver_takes() {
    let bed = Bed::new().expect("a bed");
    bed.server.ip("link set dev srv0 mtu 8901").expect("ip");
    bed.server.ip("tuntap add dev tap0 mode tap").expect("ip");
    bed.server.ip("link set dev tap0 mtu 8901").expect("ip");
    let found = doctor(&bed.server, &["srv0", "tap0"]);
    assert_eq!(found.severity("srv0", "mtu"), "ok");
    let mtu = found.only(Some("tap0"), "mtu");
    assert_eq!(mtu["severity"], "warning");
    assert_eq!(mtu["command"], "ip link set dev tap0 mtu 3400");
    let output = bed
        .server
        .command("sh")
        .args(["-c", text(&mtu["command"])])
        .output();
    assert!(output.expect("runs").status.success());
    let found = doctor(&bed.server, &["tap0"]);
    assert_eq!(found.severity("tap0", "mtu"), "ok");
}

#[test]
fn l01_a_foreign_program_is_a_problem_and_the_daemons_own_is_none() {
    let (bed, daemon) = guarded(RULES);
    let found = doctor(&bed.server, &["srv0"]);
    assert_eq!(found.code, Some(1));
    let program = found.only(Some("srv0"), "program");
    assert_eq!(program["severity"], "problem");
    let sentence = text(&program["text"]);
    assert!(sentence.contains("`portguard` (ID "), "{sentence}");
    assert!(sentence.contains("native mode"), "{sentence}");
    let link = text(&program["command"]).strip_prefix("bpftool link detach id ");
    assert!(
        link.is_some_and(|id| id.parse::<u32>().is_ok()),
        "{program}"
    );

    let socket = daemon.policy_path().with_file_name("control.sock");
    let output = bed
        .server
        .command(binary())
        .args(["doctor", "srv0", "--format", "json", "--socket"])
        .arg(socket)
        .output()
        .expect("runs");
    let found = Found::from(&output);
    assert_eq!(found.code, Some(0), "{}", found.json);
    assert_eq!(found.severity("srv0", "program"), "ok");
}

#[test]
fn what_a_daemon_left_at_work_is_no_problem() {
    let (bed, mut daemon) = guarded(RULES);
    daemon.kill().expect("our own child");
    let mut command = bed.server.command(binary());
    command.args(["doctor", "srv0", "--format", "json", "--socket", NO_SOCKET]);
    let output = daemon.within(command).output().expect("runs");
    let found = Found::from(&output);
    assert_eq!(found.code, Some(0), "{}", found.json);
    let program = found.only(Some("srv0"), "program");
    assert_eq!(program["severity"], "note");
    assert_eq!(program["command"], "portguard detach");
}

#[test]
fn l09_a_read_only_bpf_file_system_is_a_warning() {
    let bed = Bed::new().expect("a bed");
    let script = "mount -t bpf -o ro bpf /sys/fs/bpf && exec \"$0\" \"$@\"";
    let output = bed
        .server
        .command("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(binary())
        .args(["doctor", "srv0", "--format", "json", "--socket", NO_SOCKET])
        .output()
        .expect("runs");
    let found = Found::from(&output);
    assert_eq!(found.code, Some(0), "{}", found.json);
    let pins = found.only(None, "pins");
    assert_eq!(pins["severity"], "warning");
    assert!(
        text(&pins["text"]).contains("ReadWritePaths=/sys/fs/bpf"),
        "{pins}"
    );
}

#[test]
fn without_capabilities_it_names_those_that_are_missing() {
    let bed = Bed::new().expect("a bed");
    let output = bed
        .server
        .command("setpriv")
        .args([
            "--bounding-set",
            "-all,+perfmon",
            "--inh-caps",
            "-all",
            "--no-new-privs",
        ])
        .arg(binary())
        .args(["doctor", "srv0", "--format", "json", "--socket", NO_SOCKET])
        .output()
        .expect("runs");
    let found = Found::from(&output);
    assert_eq!(found.code, Some(1), "{}", found.json);
    let capabilities = found.only(None, "capabilities");
    assert_eq!(capabilities["severity"], "problem");
    assert!(
        text(&capabilities["text"]).contains("lacks CAP_BPF, CAP_NET_ADMIN, although"),
        "{capabilities}"
    );
    // Looking needs none.
    assert_eq!(found.severity("srv0", "native-mode"), "ok");
}

/// The documentation says that portguard needs no type information of the kernel.
#[test]
fn the_daemon_runs_without_btf() {
    let bed = Bed::new().expect("a bed");
    let mut command = bed.server.command("sh");
    let script = "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"";
    command.args(["-c", script]).arg(binary()).arg("run");
    let daemon = Daemon::spawn(binary(), command, &policy(RULES)).expect("a daemon");
    let root = format!("/proc/{}/root/sys/kernel/btf", daemon.pid());
    let files = std::fs::read_dir(root).expect("the daemon's view").count();
    assert_eq!(files, 0, "the kernel's type information is not hidden");
}

#[test]
fn a_daemon_that_cannot_attach_says_what_stands_in_the_way() {
    let (bed, _daemon) = guarded(RULES);
    let error = Daemon::start(binary(), &bed.server, &policy(RULES)).expect_err("refused");
    let error = format!("{error:#}");
    let beneath = error.split("already carries another XDP program").nth(1);
    let beneath = beneath.expect("the error itself");
    assert!(
        beneath.contains("\nproblem with interface `srv0`: it carries an XDP program"),
        "{error}"
    );
    // With its three capabilities it is not told of links.
    let command = "run `ip link set dev srv0 xdpdrv off`";
    assert!(beneath.contains(command), "{error}");
    // What is as it should be is no help there.
    assert!(!beneath.contains("it is up"), "{error}");
}

#[test]
fn a_running_daemon_logs_what_stands_in_the_way_once() {
    let bed = Bed::new().expect("a bed");
    let text = format!("version: 1\ninterfaces: [\"srv*\", \"tun*\"]\nrules:\n{RULES}");
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    bed.server.ip("tuntap add dev tun0 mode tun").expect("ip");
    let line = "problem with interface `tun0`: its frames have no Ethernet header";
    let says = |text: &str| {
        let is_said = soon(Duration::from_secs(5), || daemon.log().contains(text));
        assert!(is_said, "{}", daemon.log());
    };
    says(line);
    // Something else changes: it has been said.
    bed.cable("srv1", "cli1").expect("a cable");
    says("attached to `srv1`");
    assert_eq!(daemon.log().matches(line).count(), 1, "{}", daemon.log());
}

#[test]
fn its_exit_codes_are_documented() {
    let output = Command::new(binary())
        .args(["doctor", "--help"])
        .output()
        .expect("runs");
    let help = stdout(&output);
    for line in [
        "0  no problem is found",
        "1  there is at least one",
        "3  it cannot look",
    ] {
        assert!(help.contains(line), "{help}");
    }
    // Without the files of the kernel there is nothing to look at.
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /proc && exec \"$0\" doctor lo")
        .arg(binary())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("cannot look"),
        "{}",
        stderr(&output)
    );
}
