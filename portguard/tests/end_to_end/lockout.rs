//! An administrator's session is not cut unless that is said (case R10).

pub(crate) mod ssh;

use std::process::Output;
use std::time::Duration;

use portguard_testbed::{Bed, Daemon, in_time};
use rustix::process::Signal;

use self::ssh::{Server, Session, quoted};
use crate::{binary, policy, stderr, stdout};

/// Where the administrator comes from, behind a router.
const ADMIN: &str = "198.51.100.9";
const SERVER: &str = "192.0.2.1";
const PORT: u16 = 2222;

/// How long data may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long none may come where none shall.
const SILENCE: Duration = Duration::from_millis(500);

const HARMLESS: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

/// The four policies of the case, and what is said of each.
fn that_cut() -> [(String, &'static str); 4] {
    let whole = |settings: &str, rules: &str| {
        format!("version: 1\ninterfaces: [srv0]\n{settings}rules:{rules}\n")
    };
    [
        (
            whole("", "\n  - {name: no-ssh, action: drop, ports: [2222/tcp]}"),
            "dropped by rule `no-ssh` (FILE:4); it could not connect again either",
        ),
        (
            whole("default: drop\nreplies: pass\n", " []"),
            "dropped by `default: drop`: no rule matches; it could not connect again either",
        ),
        (
            whole(
                "default: drop\n",
                "\n  - {name: ssh, action: pass, ports: [22/tcp]}",
            ),
            "dropped by `default: drop`: no rule matches; it could not connect again either",
        ),
        (
            whole(
                "",
                "\n  - {name: bad-net, action: drop, protocol: any, from: [198.51.100.0/24]}",
            ),
            "dropped by rule `bad-net` (FILE:4); it could not connect again either",
        ),
    ]
}

/// A bed whose client has the administrator's address, too.
fn bed() -> Bed {
    let bed = Bed::new().expect("a bed");
    bed.client
        .ip(&format!("addr add {ADMIN}/32 dev cli0"))
        .expect("an address");
    bed.server
        .ip("route add 198.51.100.0/24 via 192.0.2.2")
        .expect("a route");
    bed
}

fn sshd(bed: &Bed) -> Server {
    Server::start(&bed.server, &format!("Port {PORT}"), &[], PORT)
}

fn admin(bed: &Bed, sshd: &Server) -> Session {
    sshd.session(&bed.client, ADMIN, SERVER, PORT)
}

/// Asserts that a change was refused with this reason.
fn refused(daemon: &Daemon, output: &Output, reason: &str) {
    let text = stderr(output);
    let path = daemon.policy_path().display().to_string();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&reason.replace("FILE", &path)), "{text}");
    assert!(text.contains("`portguard reload --force`"), "{text}");
    assert_eq!(daemon.status().expect("status")["generation"], 1);
}

#[test]
fn r10_what_would_cut_a_session_is_refused_unless_forced() {
    let bed = bed();
    let sshd = sshd(&bed);
    let mut session = admin(&bed, &sshd);
    let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
    for (text, reason) in that_cut() {
        daemon.write_policy(&text).expect("writes");
        let output = daemon.reload().expect("runs");
        refused(&daemon, &output, reason);
        let said = stderr(&output);
        assert!(
            said.contains("the policy would cut an open SSH session:\n  SSH session 198.51.100.9:"),
            "{said}"
        );
        assert!(said.contains(" -> 192.0.2.1:2222 on srv0\n"), "{said}");
        assert!(session.goes_on(PATIENCE), "{text}");
    }

    // One that keeps it is none of the guard's business, and the session tells that it was not in the way.
    daemon
        .write_policy(
            "version: 1\ninterfaces: [srv0]\ndefault: drop\nrules:\n  - {name: ssh, action: pass, ports: [2222/tcp]}\n",
        )
        .expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(session.goes_on(PATIENCE));

    let [(no_ssh, _), (nothing, _), ..] = that_cut();
    daemon.write_policy(&no_ssh).expect("writes");
    let output = daemon.client(&["reload", "--force"]).expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!session.goes_on(SILENCE));
    assert!(
        daemon
            .log()
            .contains("forced: it takes effect all the same"),
        "{}",
        daemon.log()
    );

    // Its end at this host is open still, and no reason to refuse anything.
    daemon.write_policy(&nothing).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn r10_each_of_the_four_policies_cuts_the_session_when_forced() {
    for (text, _) in that_cut() {
        let bed = bed();
        let sshd = sshd(&bed);
        let mut session = admin(&bed, &sshd);
        let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
        daemon.write_policy(&text).expect("writes");
        let output = daemon.client(&["reload", "--force"]).expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!session.goes_on(SILENCE), "{text}");
    }
}

#[test]
fn r10_apply_is_guarded_but_a_trial_goes_on_and_comes_back() {
    in_time(|| {
        let bed = bed();
        let sshd = sshd(&bed);
        let mut session = admin(&bed, &sshd);
        let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
        let [(no_ssh, reason), ..] = that_cut();
        let file = daemon.policy_path().with_file_name("other.yaml");
        std::fs::write(&file, no_ssh).expect("writes");
        let file = file.display().to_string();
        refused(
            &daemon,
            &daemon.client(&["apply", &file]).expect("runs"),
            reason,
        );
        assert!(session.goes_on(PATIENCE));
        let output = daemon
            .client(&["apply", &file, "--confirm", "3s"])
            .expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!session.goes_on(SILENCE));
        // TCP sends again what was lost meanwhile.
        assert!(session.goes_on(Duration::from_secs(20)));
        let output = daemon.client(&["apply", &file, "--force"]).expect("runs");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!session.goes_on(SILENCE));
    });
}

#[test]
fn r10_a_block_of_the_port_of_a_session_is_refused_unless_it_is_forced_or_a_trial() {
    in_time(|| {
        let bed = bed();
        let sshd = sshd(&bed);
        let mut session = admin(&bed, &sshd);
        let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
        let drop_in = daemon
            .policy_path()
            .with_file_name("policy.d/00-portguard.yaml");
        let output = daemon.client(&["block", "2222"]).expect("runs");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in [
            "this change would cut an open SSH session:",
            &format!("dropped by rule `block-2222` ({}:5)", drop_in.display()),
            "say it again with `--confirm 60s`",
            "with `--force`",
        ] {
            assert!(said.contains(part), "{part}\n{said}");
        }
        assert!(!drop_in.exists(), "nothing is written");
        assert!(session.goes_on(PATIENCE));
        let output = daemon.client(&["block", "2222/tcp", "--confirm", "2s"]);
        assert!(output.expect("runs").status.success());
        assert!(!session.goes_on(SILENCE));
        assert!(session.goes_on(Duration::from_secs(20)));
        let output = daemon.client(&["block", "2222/tcp", "--force"]);
        assert!(output.expect("runs").status.success());
        assert!(!session.goes_on(SILENCE));
    });
}

#[test]
fn trust_without_which_a_ban_would_cut_is_not_taken_away() {
    let bed = bed();
    let sshd = sshd(&bed);
    let mut session = admin(&bed, &sshd);
    let trusts = format!("version: 1\ninterfaces: [srv0]\ntrusted: [{ADMIN}]\nrules: []\n");
    let daemon = Daemon::start(binary(), &bed.server, &trusts).expect("a daemon");
    let output = daemon
        .client(&["ban", "198.51.100.0/24", "--force"])
        .expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(session.goes_on(PATIENCE));
    daemon.write_policy(&policy(HARMLESS)).expect("writes");
    let output = daemon.reload().expect("runs");
    refused(&daemon, &output, "dropped by the ban of 198.51.100.0/24");
    assert!(session.goes_on(PATIENCE));
}

#[test]
fn a_hangup_is_guarded_too_and_the_log_says_how_to_go_on() {
    let bed = bed();
    let sshd = sshd(&bed);
    let mut session = admin(&bed, &sshd);
    let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
    let [(no_ssh, _), ..] = that_cut();
    daemon.write_policy(&no_ssh).expect("writes");
    daemon.signal(Signal::HUP).expect("signal");
    for _ in 0..100 {
        if !daemon.status().expect("status")["last_reload"].is_null() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = daemon.status().expect("status");
    assert_eq!(status["last_reload"]["ok"], false);
    assert_eq!(status["generation"], 1);
    let log = daemon.log();
    assert!(log.contains("by rule `no-ssh`"), "{log}");
    assert!(log.contains("`portguard reload --force`"), "{log}");
    assert!(session.goes_on(PATIENCE));
}

#[test]
fn ones_own_session_is_told_from_others() {
    let bed = bed();
    let sshd = sshd(&bed);
    let _other = sshd.session(&bed.client, "192.0.2.2", SERVER, PORT);
    let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
    let [(no_ssh, _), ..] = that_cut();
    daemon.write_policy(&no_ssh).expect("writes");
    let socket = daemon.policy_path().with_file_name("control.sock");
    let reload = format!("{} reload --socket {}", quoted(binary()), quoted(&socket));
    // `sudo` takes the variable away; the shell above it has it.
    for words in [
        reload.clone(),
        format!("env -u SSH_CONNECTION {reload}; exit $?"),
    ] {
        let output = sshd.run(&bed.client, ADMIN, SERVER, PORT, &words);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{words}: {text}");
        assert!(
            text.contains("would cut 2 open SSH sessions:"),
            "{words}: {text}"
        );
        let own = text
            .find("  your own SSH session 198.51.100.9:")
            .expect("one's own");
        let other = text.find("  SSH session 192.0.2.2:").expect("the other");
        assert!(own < other, "{text}");
    }
    let output = sshd.run(
        &bed.client,
        ADMIN,
        SERVER,
        PORT,
        &format!("{reload} --force"),
    );
    // The answer does not come through any more.
    assert_ne!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(daemon.status().expect("status")["generation"], 2);
}

#[test]
fn the_port_is_found_however_sshd_was_told() {
    let bed = bed();
    // On the command line, in a file that the configuration includes, and of IPv6.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("port.conf"), format!("Port {PORT}\n")).expect("writes");
    let include = format!("Include {}/*.conf", folder.path().display());
    for (lines, arguments, from, to) in [
        ("Port 22", &["-p", "2222"][..], ADMIN, SERVER),
        (include.as_str(), &[], "2001:db8::2", "2001:db8::1"),
        ("ListenAddress 192.0.2.1:2222", &[], ADMIN, SERVER),
    ] {
        let sshd = Server::start(&bed.server, lines, arguments, PORT);
        let mut session = sshd.session(&bed.client, from, to, PORT);
        let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
        let [(no_ssh, reason), ..] = that_cut();
        daemon.write_policy(&no_ssh).expect("writes");
        refused(&daemon, &daemon.reload().expect("runs"), reason);
        assert!(session.goes_on(PATIENCE), "{lines}");
    }
}

#[test]
fn who_may_look_sees_where_sshd_really_listens() {
    let bed = bed();
    let sshd = sshd(&bed);
    let mut session = admin(&bed, &sshd);
    sshd.configure_for_the_next_start("Port 22");
    let mut command = bed.server.command(binary());
    command.arg("run");
    let daemon = Daemon::spawn(binary(), command, &policy(HARMLESS)).expect("a daemon");
    let [(no_ssh, reason), ..] = that_cut();
    daemon.write_policy(&no_ssh).expect("writes");
    refused(&daemon, &daemon.reload().expect("runs"), reason);
    assert!(session.goes_on(PATIENCE));
}

#[test]
fn the_first_start_goes_on_and_warns() {
    let bed = bed();
    let sshd = sshd(&bed);
    let mut session = admin(&bed, &sshd);
    let [(no_ssh, _), ..] = that_cut();
    let daemon = Daemon::start(binary(), &bed.server, &no_ssh).expect("a daemon");
    let log = daemon.log();
    assert!(
        log.contains("the policy would cut an open SSH session:"),
        "{log}"
    );
    assert!(log.contains("by rule `no-ssh`"), "{log}");
    assert!(!session.goes_on(SILENCE));
}

#[test]
fn other_services_namespaces_and_interfaces_are_not_in_the_way() {
    let bed = bed();
    let sshd = sshd(&bed);
    bed.cable("srv1", "cli1").expect("a cable");
    bed.server
        .ip("addr add 203.0.113.1/24 dev srv1")
        .expect("an address");
    bed.client
        .ip("addr add 203.0.113.2/24 dev cli1")
        .expect("an address");
    let mut aside = sshd.session(&bed.client, "203.0.113.2", "203.0.113.1", PORT);
    let mut at_home = sshd.session(&bed.server, "127.0.0.1", "127.0.0.1", PORT);
    let listener = bed
        .server
        .listen(([0, 0, 0, 0], 8080).into())
        .expect("listens");
    // What is SSH in another namespace need not be here.
    let _elsewhere = Server::start(&bed.client, "Port 8080", &[], 8080);
    let web = bed
        .client
        .enter(|| std::net::TcpStream::connect((SERVER, 8080)))
        .expect("enters")
        .expect("connects");
    let daemon = Daemon::start(binary(), &bed.server, &policy(HARMLESS)).expect("a daemon");
    let [_, (nothing, _), ..] = that_cut();
    daemon.write_policy(&nothing).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("generation 2"),
        "{}",
        stdout(&output)
    );
    assert!(aside.goes_on(PATIENCE) && at_home.goes_on(PATIENCE));
    drop((web, listener));
}
