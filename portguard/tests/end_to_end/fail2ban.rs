//! The real fail2ban, with the action as it is delivered: lines of a log become bans in the kernel.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use portguard_testbed::traffic::{Seen, Servers, probe_udp};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, SERVER_V4};
use tempfile::TempDir;

use crate::{binary, outcome_packets, policy, stderr, stdout};

/// How long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an answer is waited for that must not come.
const SHORT: Duration = Duration::from_millis(300);

/// A server of fail2ban with one jail, which keeps everything in a folder of its own.
struct Fail2ban {
    folder: TempDir,
    server: Child,
}

impl Fail2ban {
    fn start(daemon: &Daemon) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let delivered = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/fail2ban");
        fs::create_dir(path("action.d")).expect("a folder");
        fs::copy(
            delivered.join("portguard.conf"),
            path("action.d/portguard.conf"),
        )
        .expect("copies");
        // What it knows of sshd's messages is the package's own.
        std::os::unix::fs::symlink("/etc/fail2ban/filter.d", path("filter.d")).expect("a link");
        let text = |path: PathBuf| path.to_str().expect("text").to_owned();
        let write = |name: &str, text: String| fs::write(path(name), text).expect("writes");
        write("auth.log", String::new());
        write(
            "fail2ban.conf",
            format!(
                "[DEFAULT]\n[Definition]\nloglevel = INFO\nlogtarget = {}\nsyslogsocket = auto\nsocket = {}\npidfile = {}\ndbfile = None\ndbpurgeage = 1d\ndbmaxmatches = 10\n",
                text(path("fail2ban.log")),
                text(path("fail2ban.sock")),
                text(path("fail2ban.pid")),
            ),
        );
        let socket = daemon.folder().join("control.sock");
        write(
            "jail.conf",
            format!(
                "[sshd]\nenabled = true\nbackend = polling\nfilter = sshd\nlogpath = {}\nusedns = no\nmaxretry = 2\nfindtime = 600\nbantime = 600\naction = portguard[name=sshd, portguard=\"env PORTGUARD_SOCKET={} {}\"]\n",
                text(path("auth.log")),
                text(socket),
                text(binary().to_owned()),
            ),
        );
        let server = Command::new("fail2ban-server")
            .args(["-f", "-c"])
            .arg(folder.path())
            .arg("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("fail2ban starts");
        let fail2ban = Self { folder, server };
        fail2ban.wait_for("Jail 'sshd' started");
        fail2ban
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("fail2ban.log")).unwrap_or_default()
    }

    fn wait_for(&self, text: &str) {
        let begin = Instant::now();
        while !self.log().contains(text) {
            assert!(begin.elapsed() < PATIENCE, "no `{text}`: {}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Somebody tries passwords that are wrong, in a session served by a process of its own.
    fn fails(&self, process: u32, address: &str, times: usize) {
        let date = Command::new("date").arg("+%b %d %H:%M:%S").output();
        let date = stdout(&date.expect("runs"));
        let line = format!(
            "{} host sshd[{process}]: Failed password for root from {address} port 40022 ssh2\n",
            date.trim()
        );
        let log = fs::OpenOptions::new()
            .append(true)
            .open(self.folder.path().join("auth.log"));
        log.expect("opens")
            .write_all(line.repeat(times).as_bytes())
            .expect("writes");
    }

    fn client(&self, words: &[&str]) -> Output {
        let mut command = Command::new("fail2ban-client");
        command
            .arg("-s")
            .arg(self.folder.path().join("fail2ban.sock"));
        command.args(words).output().expect("runs")
    }
}

impl Drop for Fail2ban {
    fn drop(&mut self) {
        // Its own way first, in which it takes its bans back.
        self.client(&["stop"]);
        let begin = Instant::now();
        while matches!(self.server.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            sleep(Duration::from_millis(50));
        }
        // Whatever is left of it; one that has ended cannot be killed.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn bans(daemon: &Daemon) -> serde_json::Value {
    let output = daemon.client(&["bans", "--format", "json"]).expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn failed_passwords_become_bans_and_end_with_fail2ban() {
    const PORT: u16 = 9_000;
    let bed = Bed::new().expect("a bed");
    let daemon = Daemon::start(
        binary(),
        &bed.server,
        &policy("  - {name: closed, action: drop, ports: [23/tcp]}\n"),
    )
    .expect("a daemon");
    let _servers = Servers::start(&bed.server, &[], &[PORT]).expect("servers");
    let fail2ban = Fail2ban::start(&daemon);
    let probe = |patience| {
        let server = SERVER_V4.into();
        probe_udp(&bed.client, server, PORT, 3, 10, patience).expect("a probe")
    };
    assert_eq!(probe(PATIENCE), Seen::Answer);

    fail2ban.fails(4711, &CLIENT_V4.to_string(), 1);
    fail2ban.fails(4712, "2001:db8:7::9", 2);
    fail2ban.wait_for("[sshd] Ban 2001:db8:7::9");
    assert_eq!(probe(PATIENCE), Seen::Answer, "once is not enough");
    fail2ban.fails(4713, &CLIENT_V4.to_string(), 1);
    fail2ban.wait_for(&format!("[sshd] Ban {CLIENT_V4}"));
    let begin = Instant::now();
    while bans(&daemon)["bans"].as_array().map(Vec::len) != Some(2) {
        assert!(begin.elapsed() < PATIENCE, "{}", fail2ban.log());
        sleep(Duration::from_millis(50));
    }
    let found = bans(&daemon);
    assert_eq!(found["bans"][0]["target"], CLIENT_V4.to_string());
    assert_eq!(found["bans"][0]["reason"], "fail2ban: sshd");
    let left = found["bans"][0]["remaining_ms"].as_u64().expect("a time");
    assert!((480_000..=600_000).contains(&left), "{left}");
    assert_eq!(found["bans"][1]["target"], "2001:db8:7::/64");
    assert_eq!(probe(SHORT), Seen::Silence);
    let counters = daemon.counters().expect("counters");
    assert!(outcome_packets(&counters, "banned") > 0, "{counters}");

    let output = fail2ban.client(&["set", "sshd", "unbanip", &CLIENT_V4.to_string()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(probe(PATIENCE), Seen::Answer);
    drop(fail2ban);
    assert_eq!(bans(&daemon)["bans"], serde_json::json!([]));
}
