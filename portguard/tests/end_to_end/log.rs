//! The log: fields for the journal, words for people.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use portguard_testbed::raw::tcp_syn_frame;
use portguard_testbed::{Bed, Daemon};

use crate::events::Sender;
use crate::{binary, policy, stderr};

const RULES: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A journal, as systemd-journald listens: in a folder that the daemon sees in its place.
struct Journal {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Journal {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("socket")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { folder, socket }
    }

    /// A command that runs a program, by a shell's words before it, where this is the journal.
    fn command(&self, bed: &Bed, before: &str, program: &Path) -> Command {
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p /run/systemd/journal &&
             mount --bind \"$0\" /run/systemd/journal && {before} exec \"$@\""
        );
        let mut command = bed.server.command("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .arg(self.folder.path())
            .arg(program)
            .arg("run");
        command
    }

    /// The next message that has this text, with its fields (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
    fn next(&self, text: &str) -> BTreeMap<String, String> {
        let begin = Instant::now();
        let mut datagram = vec![0; 65_536];
        loop {
            let length = self.socket.recv(&mut datagram).expect("a message in time");
            let fields = fields(&datagram[..length]);
            let message = fields.get("MESSAGE").map(String::as_str);
            if message.is_some_and(|message| message.contains(text)) {
                return fields;
            }
            assert!(begin.elapsed() < PATIENCE, "no message has `{text}`");
        }
    }
}

fn fields(mut rest: &[u8]) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut fields = BTreeMap::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            fields.insert(text(&line[..equals]), text(&line[equals + 1..]));
            rest = &rest[end + 1..];
        } else {
            // The value has its length before it, and may have lines.
            let (length, value) = rest[end + 1..].split_at(8);
            let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
            fields.insert(text(line), text(&value[..length]));
            rest = &value[length + 1..];
        }
    }
    fields
}

#[test]
fn the_journal_gets_fields() {
    let bed = Bed::new().expect("a bed");
    let journal = Journal::new();
    let mut command = journal.command(&bed, "", binary());
    command.args(["--log", "journal"]);
    let daemon = Daemon::spawn(binary(), command, &policy(RULES)).expect("a daemon");
    let attached = journal.next("attached to `srv0` in");
    assert_eq!(attached["PORTGUARD_INTERFACE"], "srv0");
    assert!(["native", "generic"].contains(&attached["PORTGUARD_MODE"].as_str()));
    assert_eq!(attached["SYSLOG_IDENTIFIER"], "portguard");
    daemon
        .write_policy(&policy("  - {name: more, action: drop, ports: [24/tcp]}\n"))
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    let reloaded = journal.next("reload: policy 2 is in force");
    assert_eq!(reloaded["PORTGUARD_GENERATION"], "2");
    assert_eq!(reloaded["PRIORITY"], "5");
    daemon.write_policy("version: 2\n").expect("writes");
    assert_eq!(daemon.reload().expect("runs").status.code(), Some(1));
    let refused = journal.next("reload: refused");
    assert_eq!(refused["PORTGUARD_GENERATION"], "2");
    assert_eq!(refused["PRIORITY"], "3");
    assert!(
        refused["MESSAGE"].contains("version `2` is not known"),
        "{refused:?}"
    );
    assert_eq!(daemon.log(), "", "everything is in the journal");
}

#[test]
fn by_itself_it_finds_the_journal_that_is_connected_and_no_other() {
    let bed = Bed::new().expect("a bed");
    let journal = Journal::new();
    let connected = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)";
    let command = journal.command(&bed, connected, binary());
    let daemon = Daemon::spawn(binary(), command, &policy(RULES)).expect("a daemon");
    let attached = journal.next("attached to `srv0` in");
    assert_eq!(attached["PORTGUARD_INTERFACE"], "srv0");
    assert_eq!(daemon.log(), "");
    drop(daemon);

    // The variable is inherited, and what it names is another file.
    let bed = Bed::new().expect("a bed");
    let command = journal.command(&bed, "JOURNAL_STREAM=1:2", binary());
    let daemon = Daemon::spawn(binary(), command, &policy(RULES)).expect("a daemon");
    assert!(
        daemon.log().contains("attached to `srv0` in"),
        "{}",
        daemon.log()
    );
}

#[test]
fn standard_error_gets_words_of_the_level_asked_for() {
    let bed = Bed::new().expect("a bed");
    let arguments = ["--log", "stderr", "--log-level", "warn"];
    let text = policy(RULES).replace("[srv0]", "[srv0, late0]");
    let daemon = Daemon::start_with(binary(), &bed.server, &text, &arguments).expect("a daemon");
    let log = daemon.log();
    assert!(log.contains("waiting for interface `late0`"), "{log}");
    assert!(!log.contains("attached to"), "{log}");
    // What the fields hold is in the words already.
    assert!(!log.contains("interface="), "{log}");
}

#[test]
fn a_journal_that_is_asked_for_and_not_there_is_an_error() {
    let bed = Bed::new().expect("a bed");
    let output = bed
        .server
        .command("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .args(["mount -t tmpfs none /run && exec \"$@\"", "sh"])
        .arg(binary())
        .args(["run", "--log", "journal", "--policy", "/nonexistent"])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(
        said.contains("cannot reach the journal for `--log journal`"),
        "{said}"
    );
    for wrong in [["--log", "syslog"], ["--log-level", "loud"]] {
        let output = Command::new(binary())
            .arg("run")
            .args(wrong)
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(2));
    }
}

/// Waits until the log has so many lines with a text.
fn wait_for_log(daemon: &Daemon, text: &str, times: usize) -> String {
    let begin = Instant::now();
    loop {
        let log = daemon.log();
        if log.matches(text).count() >= times {
            return log;
        }
        assert!(begin.elapsed() < PATIENCE, "no `{text}` in {log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_programs_in_the_kernel_are_heard_from_the_level_asked_for() {
    const MALFORMED: &str = "DEBUG kernel: interface";
    const NO_ANSWER: &str = "WARN kernel: a rejected packet gets no answer: 100 a second";
    const JUDGED: &str = "TRACE kernel: interface";
    for (level, heard) in [("warn", false), ("debug", true)] {
        let bed = Bed::new().expect("a bed");
        let text = policy("  - {name: closed, action: reject, ports: [9000/tcp]}\n");
        let arguments = ["--kernel-log", level];
        let daemon =
            Daemon::start_with(binary(), &bed.server, &text, &arguments).expect("a daemon");
        let sender = Sender::new(&bed);
        let request = tcp_syn_frame(sender.ends, &[], 9000, b"").expect("a frame");
        let mut frame = request.clone();
        // IPv4 whose header is four bytes long.
        frame[14] = 0x41;
        sender.send_frame(&frame);
        (0..200).for_each(|_| sender.send_frame(&request));
        let log = wait_for_log(&daemon, NO_ANSWER, 1);
        assert_eq!(log.contains(MALFORMED), heard, "{log}");
        assert!(!log.contains(JUDGED), "{log}");
        if heard {
            let bytes = frame.len();
            assert!(
                log.contains(&format!("a frame of {bytes} bytes is malformed")),
                "{log}"
            );
            // The next policy's programs speak, too.
            daemon
                .write_policy(&text.replace("closed", "shut"))
                .expect("writes");
            assert!(daemon.reload().expect("runs").status.success());
            sender.send_frame(&frame);
            wait_for_log(&daemon, MALFORMED, 2);
        }
    }
}

#[test]
fn the_programs_in_the_kernel_say_little_whatever_arrives_and_nothing_unasked() {
    const JUDGED: &str = "TRACE kernel: interface";
    let bed = Bed::new().expect("a bed");
    let arguments = ["--kernel-log", "trace"];
    let daemon = Daemon::start_with(binary(), &bed.server, &policy(RULES), &arguments);
    let daemon = daemon.expect("a daemon");
    let begin = Instant::now();
    let sender = Sender::new(&bed);
    while daemon.log().matches(JUDGED).count() < 150 {
        sender.flood(Duration::from_millis(100));
        assert!(begin.elapsed() < PATIENCE);
    }
    // A hundred at once, and a hundred a second.
    let said = daemon.log().matches(JUDGED).count() as f64;
    let most = 100.0 + 100.0 * begin.elapsed().as_secs_f64();
    assert!(said <= most, "{said} of {most}");
    drop(daemon);

    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start_with(
        binary(),
        &bed.server,
        &policy(RULES),
        &["--log-level", "trace"],
    );
    let daemon = daemon.expect("a daemon");
    Sender::new(&bed).send(9000, 10);
    let counters = daemon.counters().expect("counters");
    assert!(
        counters["frames"]["packets"].as_u64() >= Some(10),
        "{counters}"
    );
    assert!(!daemon.log().contains("kernel: "), "{}", daemon.log());
}
