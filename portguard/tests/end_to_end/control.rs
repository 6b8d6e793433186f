//! The control socket: who may ask for what, and clients that misbehave.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use portguard_testbed::traffic::{Seen, probe_tcp};
use portguard_testbed::{Bed, Daemon, Process, SERVER_V4, in_time};
use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde_json::Value;

use crate::{binary, guarded, policy, program_for_everyone, stderr};

const RULES: &str = "  - {name: a, action: drop, ports: [1001/tcp]}\n";

/// A group and users that need no name.
const GROUP: u32 = 47_110;
const MEMBER: u32 = 47_111;
const OTHER: u32 = 47_112;

/// How long the daemon lets a client take, and some.
const PATIENCE: Duration = Duration::from_secs(8);

fn socket(daemon: &Daemon) -> PathBuf {
    daemon.policy_path().with_file_name("control.sock")
}

/// A daemon that has a group to begin with, as `Group=` of a systemd unit gives it: it may not give files away.
fn open_to_group() -> (Bed, Daemon) {
    let bed = Bed::new().expect("a bed");
    let group = GROUP.to_string();
    let mut command = bed.server.command("setpriv");
    command
        .args(["--regid", &group, "--clear-groups", "--no-new-privs"])
        .args(["--bounding-set", "-all,+bpf,+net_admin,+perfmon"])
        .args(["--inh-caps", "-all"])
        .arg(binary())
        .args(["run", "--group", &group]);
    let daemon = Daemon::spawn(binary(), command, &policy(RULES)).expect("a daemon");
    // Whatever the umask made of it.
    fs::set_permissions(daemon.folder(), Permissions::from_mode(0o755)).expect("chmod");
    (bed, daemon)
}

#[test]
fn a_daemon_that_may_not_give_its_socket_away_says_what_to_do() {
    let bed = Bed::new().expect("a bed");
    let arguments = ["--group", "47110"];
    let started = Daemon::start_with(binary(), &bed.server, &policy(RULES), &arguments);
    let error = format!("{:#}", started.expect_err("refused"));
    assert!(
        error.contains("takes CAP_CHOWN, or `Group=47110` in the systemd unit"),
        "{error}"
    );
}

/// Connects as another user, of these groups. The kernel remembers who connected.
fn connect_as(daemon: &Daemon, user: u32, groups: &[u32]) -> std::io::Result<UnixStream> {
    let path = socket(daemon);
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    thread::spawn(move || {
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        UnixStream::connect(path)
    })
    .join()
    .expect("a thread")
}

fn connect(daemon: &Daemon) -> UnixStream {
    UnixStream::connect(socket(daemon)).expect("connects")
}

/// The first answer on a connection; `None` if there is none.
fn answer(stream: &UnixStream) -> Option<Value> {
    stream
        .set_read_timeout(Some(2 * PATIENCE))
        .expect("a timeout");
    let mut line = String::new();
    let read = BufReader::new(stream).read_line(&mut line);
    match read {
        Ok(0) => None,
        Ok(_) => Some(serde_json::from_str(&line).expect("JSON")),
        Err(error) => panic!("{error}"),
    }
}

fn ask(mut stream: UnixStream, request: &str) -> Value {
    // What refuses us has closed the connection, perhaps.
    let _closed = stream.write_all(format!("{request}\n").as_bytes());
    answer(&stream).expect("an answer")
}

/// Asserts that another client is answered at once, and that the filter is at work.
fn others_do_not_notice(bed: &Bed, daemon: &Daemon) {
    in_time(|| {
        let begin = Instant::now();
        assert_eq!(daemon.status().expect("status")["generation"], 1);
        daemon.counters().expect("counters");
        assert!(daemon.reload().expect("runs").status.success());
        assert!(
            begin.elapsed() < Duration::from_secs(2),
            "{:?}",
            begin.elapsed()
        );
    });
    for (port, expected) in [(1001, Seen::Silence), (1002, Seen::Refused)] {
        let patience = Duration::from_millis(200);
        let seen = probe_tcp(&bed.client, SERVER_V4.into(), port, patience).expect("probe");
        assert_eq!(seen, expected, "port {port}");
    }
}

/// Asserts that the daemon ends a connection in time, and gives what it said before.
fn is_closed(mut stream: UnixStream) -> String {
    // A busy machine takes its time to read the largest request.
    stream
        .set_read_timeout(Some(4 * PATIENCE))
        .expect("a timeout");
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        // It had not read all that we sent.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection stays open: {error}"),
    }
    String::from_utf8(said).expect("text")
}

#[test]
fn without_a_group_the_socket_is_for_root_alone() {
    let (_bed, daemon) = guarded(RULES);
    fs::set_permissions(daemon.folder(), Permissions::from_mode(0o755)).expect("chmod");
    let metadata = fs::metadata(socket(&daemon)).expect("a socket");
    assert_eq!(metadata.mode() & 0o777, 0o600);
    let lock = fs::metadata(socket(&daemon).with_extension("lock")).expect("a lock");
    assert_eq!(
        lock.mode() & 0o777,
        0o600,
        "whoever may open it may lock it"
    );
    let error = connect_as(&daemon, OTHER, &[]).expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn members_of_the_group_may_read_and_only_root_may_change() {
    let (bed, daemon) = open_to_group();
    let metadata = fs::metadata(socket(&daemon)).expect("a socket");
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, GROUP));
    // Of the group by the first number, or by a further one.
    for (user, groups) in [(GROUP, &[][..]), (MEMBER, &[GROUP][..])] {
        let connect = || connect_as(&daemon, user, groups).expect("connects");
        assert_eq!(ask(connect(), r#"{"command":"status"}"#)["generation"], 1);
        assert_eq!(
            ask(connect(), r#"{"command":"counters"}"#)["answer"],
            "counters"
        );
        for change in [
            r#"{"command":"reload"}"#,
            r#"{"command":"apply","name":"x","text":"version: 1\ninterfaces: [srv0]\nrules: []\n"}"#,
            r#"{"command":"confirm"}"#,
            r#"{"command":"revert"}"#,
        ] {
            let refused = ask(connect(), change);
            assert_eq!(refused["exit"], 3, "{refused}");
            let error = refused["error"].as_str().expect("text");
            assert!(error.contains("only root may"), "{refused}");
        }
    }
    let error = connect_as(&daemon, OTHER, &[]).expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    others_do_not_notice(&bed, &daemon);
}

#[test]
fn the_program_of_a_member_says_that_only_root_may_reload() {
    let (_bed, daemon) = open_to_group();
    let (_folder, program) = program_for_everyone();
    let run = |verb: &str| -> Output {
        Command::new("setpriv")
            .args(["--reuid", "47111", "--regid", "47110", "--clear-groups"])
            .arg(&program)
            .arg(verb)
            .arg("--socket")
            .arg(socket(&daemon))
            .output()
            .expect("runs")
    };
    assert!(run("status").status.success());
    let output = run("reload");
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("only root may"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_group_that_does_not_exist_is_refused() {
    let output = Command::new(binary())
        .args(["run", "--group", "no-such-group"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("no group is called `no-such-group`")
            && stderr(&output).contains("groupadd"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn one_user_can_take_neither_the_places_of_others_nor_those_of_root() {
    let (bed, daemon) = open_to_group();
    let status = r#"{"command":"status"}"#;
    let idle = |user| connect_as(&daemon, user, &[GROUP]).expect("connects");
    let of_one: Vec<UnixStream> = (0..200).map(|_| idle(MEMBER)).collect();
    others_do_not_notice(&bed, &daemon);
    assert_eq!(ask(idle(OTHER), status)["answer"], "status");
    // Those beyond the eighth are refused with a reason.
    let refused = of_one.iter().skip(8);
    for stream in refused {
        let refused = answer(stream).expect("an answer");
        assert_eq!(refused["exit"], 3);
        assert!(
            refused["error"]
                .as_str()
                .expect("text")
                .contains("too many"),
            "{refused}"
        );
    }
    // Many users together cannot take those of root.
    let of_many: Vec<UnixStream> = (0..20)
        .flat_map(|user| (0..4).map(move |_| 48_000 + user))
        .map(idle)
        .collect();
    others_do_not_notice(&bed, &daemon);
    drop((of_one, of_many));
    // All places are free again.
    let begin = Instant::now();
    while ask(idle(MEMBER), status)["answer"] != "status" {
        assert!(begin.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn idle_connections_of_root_give_their_places_back() {
    let (bed, daemon) = guarded(RULES);
    let begin = Instant::now();
    let idle: Vec<UnixStream> = (0..200).map(|_| connect(&daemon)).collect();
    let output = daemon.client(&["status"]).expect("runs");
    // It may have to wait until the first ones are cut off, or be told so.
    assert!(
        output.status.success() || stderr(&output).contains("too many"),
        "{}",
        stderr(&output)
    );
    for stream in idle {
        let said = is_closed(stream);
        assert!(
            said.contains("no whole request came within 5 s") || said.contains("too many"),
            "{said}"
        );
    }
    assert!(begin.elapsed() < 3 * PATIENCE, "{:?}", begin.elapsed());
    others_do_not_notice(&bed, &daemon);
}

#[test]
fn what_is_no_request_is_refused_and_nobody_else_notices() {
    let (bed, daemon) = open_to_group();
    let send = |bytes: &[u8]| {
        let mut stream = connect(&daemon);
        stream.write_all(bytes).expect("sends");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("half-closes");
        is_closed(stream)
    };
    for garbage in [
        &b"hello\n"[..],
        b"\n",
        b"{}\n",
        b"\x00\xff\xfe\x01\n",
        b"{\"command\":\"status\"",
        b"{\"command\":\"status\",\"x\":1}\n",
        b"[[[[[[[[[[[[[[[[[[[[\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let said = send(garbage);
        assert!(said.contains(r#""answer":"failed","exit":1"#), "{said}");
    }
    // Deep nesting ends no stack.
    let said = send(&[b"[".repeat(60_000), b"\n".to_vec()].concat());
    assert!(said.contains("not a request"), "{said}");
    // 10 MB without a line end: of root more than it may carry is awaited, of others it is cut off.
    let mut stream = connect(&daemon);
    stream
        .write_all(&vec![b'x'; 10 << 20])
        .expect("root may send as much");
    others_do_not_notice(&bed, &daemon);
    assert!(is_closed(stream).contains("no whole request"));
    let mut stream = connect_as(&daemon, MEMBER, &[GROUP]).expect("connects");
    let sent = stream.write_all(&vec![b'x'; 10 << 20]);
    assert!(sent.is_err(), "a user may not send as much");
    assert!(is_closed(stream).contains("at most 65536 bytes"));
    // As much as a policy may have, with escapes.
    let long = "\\n".repeat(16 << 20);
    let said = send(format!("{{\"command\":\"status\",\"x\":\"{long}\"}}\n").as_bytes());
    assert!(said.contains("unknown field `x`"), "{said}");
    others_do_not_notice(&bed, &daemon);
}

#[test]
fn slow_senders_are_cut_off() {
    in_time(|| {
        let (bed, daemon) = guarded(RULES);
        let half = {
            let mut stream = connect(&daemon);
            stream.write_all(b"{\"command\":").expect("sends");
            stream
        };
        let mut drip = connect(&daemon);
        let begin = Instant::now();
        let mut sent = 0;
        for byte in r#"{"command":"status"}"#.bytes().cycle() {
            if drip.write_all(&[byte]).is_err() {
                break;
            }
            sent += 1;
            assert!(begin.elapsed() < PATIENCE, "a byte a second goes on");
            if sent == 2 {
                others_do_not_notice(&bed, &daemon);
            }
            sleep(Duration::from_secs(1));
        }
        assert!(is_closed(half).contains("no whole request"));
    });
}

#[test]
fn who_follows_and_does_not_read_is_cut_off() {
    let bed = Bed::new().expect("a bed");
    // Many rules, so that a report is long and the buffer soon full.
    let rules: String = (0..1000)
        .map(|number| {
            format!(
                "  - {{name: rule-number-{number}, action: drop, ports: [{}/udp]}}\n",
                2000 + number
            )
        })
        .collect();
    let text = policy(&format!("{RULES}{rules}"));
    let daemon = Daemon::start(binary(), &bed.server, &text).expect("a daemon");
    let mut deaf = connect(&daemon);
    deaf.write_all(b"{\"command\":\"counters\",\"interval_ms\":100}\n")
        .expect("sends");
    // A program that is stopped in the middle.
    let mut command = Command::new(binary());
    command
        .args([
            "counters",
            "--follow",
            "--interval",
            "100ms",
            "--format",
            "json",
            "--socket",
        ])
        .arg(socket(&daemon))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut stopped = Process::spawn(&mut command).expect("runs");
    sleep(Duration::from_millis(500));
    stopped.signal(Signal::STOP).expect("stops");
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        others_do_not_notice(&bed, &daemon);
    }
    let said = is_closed(deaf);
    assert!(!said.ends_with('\n'), "the last report is cut short");
    stopped.signal(Signal::CONT).expect("continues");
    let status = stopped.wait().expect("ends");
    assert_eq!(status.code(), Some(3), "it lost its connection");
}
