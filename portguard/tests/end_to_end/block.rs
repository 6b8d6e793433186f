//! `portguard block`, `open` and `rules`.

mod scan;

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use portguard_testbed::traffic::{Seen, Servers, probe_tcp, probe_udp};
use portguard_testbed::{Bed, CLIENT_V4, Daemon, SERVER_V4, SERVER_V6, in_time, soon};
use serde_json::Value;

use crate::{binary, entry, guarded, policy, rule_packets, stderr, stdout};

const SERVERS: [IpAddr; 2] = [IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)];

/// How long silence is waited for.
const SILENCE: Duration = Duration::from_millis(150);

/// How long something may take that happens by itself.
const SOON: Duration = Duration::from_secs(10);

const RULES: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n";

/// A host that answers at TCP 25 and UDP 25, guarded.
pub(crate) struct Host {
    bed: Bed,
    pub(crate) daemon: Daemon,
    _servers: Servers,
}

impl Host {
    fn start(text: &str) -> Self {
        let bed = Bed::new().expect("a bed");
        let daemon = Daemon::start_watching(binary(), &bed.server, text).expect("a daemon");
        Self::new(bed, daemon)
    }

    pub(crate) fn new(bed: Bed, daemon: Daemon) -> Self {
        let servers = Servers::start(&bed.server, &[25], &[25]).expect("servers");
        Self {
            bed,
            daemon,
            _servers: servers,
        }
    }

    /// Runs a client that must end with this code, and gives what it said.
    pub(crate) fn says(&self, code: i32, words: &[&str]) -> String {
        says(&self.daemon, code, words)
    }

    /// What a connection to the port meets, by IPv4 and by IPv6.
    fn seen(&self) -> [Seen; 2] {
        SERVERS.map(|server| probe_tcp(&self.bed.client, server, 25, SILENCE).expect("probe"))
    }

    pub(crate) fn is_open(&self) -> bool {
        match self.seen() {
            [Seen::Answer, Seen::Answer] => true,
            [Seen::Silence, Seen::Silence] => false,
            other => panic!("{other:?}"),
        }
    }

    fn udp_is_open(&self) -> bool {
        let [server, _] = SERVERS;
        let seen = probe_udp(&self.bed.client, server, 25, 1, 10, SILENCE).expect("probe");
        seen == Seen::Answer
    }

    /// Waits until the port is open.
    pub(crate) fn becomes_open(&self) {
        let is_open = || self.seen() == [Seen::Answer; 2];
        assert!(soon(SOON, is_open), "{}", self.daemon.log());
    }

    fn drop_in(&self) -> PathBuf {
        self.daemon
            .policy_path()
            .with_file_name("policy.d/00-portguard.yaml")
    }

    /// The drop-in without its comments.
    pub(crate) fn kept(&self) -> String {
        let text = fs::read_to_string(self.drop_in()).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Waits until the drop-in says this; the daemon is asked meanwhile, since it looks at the clock then.
    pub(crate) fn becomes_only(&self, text: &str) {
        let is_kept_alone = || {
            self.generation();
            self.kept() == text
        };
        assert!(soon(SOON, is_kept_alone), "{}", self.kept());
    }

    fn generation(&self) -> u64 {
        self.daemon.status().expect("status")["generation"]
            .as_u64()
            .expect("a number")
    }

    pub(crate) fn rules(&self) -> Value {
        let output = self
            .daemon
            .client(&["rules", "--format", "json"])
            .expect("runs");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn start_again(&mut self) {
        self.daemon.kill().expect("kills");
        self.daemon.start_again(&self.bed.server).expect("starts");
    }
}

fn says(daemon: &Daemon, code: i32, words: &[&str]) -> String {
    let output = daemon.client(words).expect("runs");
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    said.replace(&format!("{}/", daemon.folder().display()), "")
}

#[test]
fn a_block_closes_at_once_counts_survives_and_is_taken_back() {
    let mut host = Host::start(&policy(RULES));
    assert!(host.is_open());
    let said = host.says(0, &["block", "25/tcp"]);
    let closed =
        "25/tcp is closed from everywhere by rule block-25-tcp (policy.d/00-portguard.yaml:5)\n";
    assert!(said.ends_with(closed), "{said}");
    assert!(!host.is_open());
    assert!(host.udp_is_open());
    assert!(rule_packets(&host.daemon.counters().expect("counters"), "block-25-tcp") >= 2);
    assert_eq!(
        host.kept(),
        "version: 1\nrules:\n  - { name: block-25-tcp, action: drop, ports: [25/tcp] }\n"
    );

    // A second time does nothing, by whatever name.
    let generation = host.generation();
    for port in ["25/tcp", "smtp"] {
        let said = host.says(0, &["block", port]);
        assert_eq!(said, closed.replace("is closed", "is already closed"));
    }
    assert_eq!(host.generation(), generation);

    host.start_again();
    assert!(!host.is_open());
    let said = host.says(0, &["open", "smtp"]);
    assert!(
        said.ends_with("25/tcp is open to everybody, by `default: pass`: no rule decides\n"),
        "{said}"
    );
    assert!(host.is_open());
    assert_eq!(host.kept(), "version: 1\nrules: []\n");
    let said = host.says(0, &["open", "25/tcp"]);
    assert!(said.contains("is already open"), "{said}");
    host.start_again();
    assert!(host.is_open());
}

#[test]
fn what_the_daemon_wrote_is_no_change_of_the_files_but_what_others_write_is() {
    let host = Host::start(&policy(RULES));
    host.says(0, &["block", "25"]);
    let generation = host.generation();
    assert!(!host.is_open() && !host.udp_is_open());
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(host.generation(), generation, "{}", host.daemon.log());
    fs::remove_file(host.drop_in()).expect("removes");
    host.becomes_open();
    assert!(host.udp_is_open());
}

#[test]
fn what_is_said_for_the_runtime_is_gone_after_a_restart_and_stays_over_a_reload() {
    let mut host = Host::start(&policy(RULES));
    let said = host.says(0, &["block", "25/tcp", "--runtime"]);
    assert!(
        said.contains("by rule block-25-tcp (--runtime:5)"),
        "{said}"
    );
    host.daemon
        .write_policy(&policy(
            "  - {name: other, action: drop, ports: [24/tcp]}\n",
        ))
        .expect("writes");
    host.says(0, &["reload"]);
    assert!(!host.is_open());
    let rules = host.rules();
    let rule = entry(&rules["rules"], "block-25-tcp");
    assert_eq!(
        (&rule["runtime"], &rule["file"]),
        (&true.into(), &"--runtime".into())
    );
    assert!(!host.drop_in().exists());

    // To keep it is another wish.
    host.says(0, &["block", "25/tcp"]);
    host.start_again();
    assert!(!host.is_open());
    host.says(0, &["open", "25/tcp"]);
    host.says(0, &["block", "25/tcp", "--runtime"]);
    host.start_again();
    assert!(host.is_open());
}

#[test]
fn a_block_for_a_time_ends_by_itself_also_over_a_restart() {
    in_time(|| {
        let mut host = Host::start(&policy(RULES));
        let said = host.says(0, &["block", "25/tcp", "--for", "2s"]);
        assert!(said.contains("until 20"), "{said}");
        assert!(!host.is_open());
        host.becomes_open();
        assert_eq!(host.kept(), "version: 1\nrules: []\n");

        host.says(0, &["block", "25/tcp", "--for", "3s"]);
        host.start_again();
        assert!(!host.is_open());
        host.becomes_open();

        // It ends while no daemon runs.
        host.says(0, &["block", "25/tcp", "--for", "1s"]);
        host.daemon.kill().expect("kills");
        thread::sleep(Duration::from_millis(2_100));
        host.daemon.start_again(&host.bed.server).expect("starts");
        assert!(host.is_open());
        assert_eq!(host.kept(), "version: 1\nrules: []\n");

        // A longer one takes its place, a shorter one does not.
        host.says(0, &["block", "25/tcp", "--for", "1h"]);
        let said = host.says(0, &["block", "25/tcp", "--for", "1s"]);
        assert!(said.contains("already closed"), "{said}");
        host.says(0, &["block", "25/tcp"]);
        assert_eq!(
            host.kept(),
            "version: 1\nrules:\n  - { name: block-25-tcp, action: drop, ports: [25/tcp] }\n"
        );
    });
}

#[test]
fn a_trial_is_kept_only_when_it_is_confirmed() {
    in_time(|| {
        let mut host = Host::start(&policy(RULES));
        let said = host.says(0, &["block", "25/tcp", "--confirm", "2s"]);
        assert!(
            said.contains("on trial: without `portguard confirm` within 2 s"),
            "{said}"
        );
        assert!(!host.is_open());
        assert!(!host.drop_in().exists());
        let said = host.says(1, &["block", "24/tcp"]);
        assert!(said.contains("is on trial"), "{said}");
        host.becomes_open();
        assert!(!host.drop_in().exists());

        host.says(0, &["block", "25/tcp", "--confirm", "60s"]);
        host.says(0, &["confirm"]);
        assert!(!host.is_open());
        let generation = host.generation();
        host.start_again();
        assert!(!host.is_open());
        assert!(host.kept().contains("block-25-tcp"));
        assert!(host.generation() > generation);

        host.says(0, &["open", "25/tcp", "--confirm", "60s"]);
        assert!(host.is_open());
        host.says(0, &["revert"]);
        assert!(!host.is_open());
        assert!(host.kept().contains("block-25-tcp"));
    });
}

#[test]
fn what_other_rules_close_is_opened_only_over_them() {
    let text = policy("  - {name: no-mail, action: drop, ports: [20-30/tcp]}\n");
    let host = Host::start(&text);
    let said = host.says(1, &["open", "25/tcp"]);
    assert_eq!(
        said,
        "25/tcp is closed from everywhere by rule no-mail (policy.yaml:4)\n\
         not open: `--override` puts a rule that passes in front of what closes it\n"
    );
    assert_eq!(host.generation(), 1);
    let said = host.says(0, &["block", "25/tcp"]);
    assert_eq!(
        said,
        "25/tcp is already closed from everywhere by rule no-mail (policy.yaml:4)\n"
    );

    let said = host.says(0, &["open", "25/tcp", "--override"]);
    assert!(
        said.contains("note: rule `no-mail` (policy.yaml:4) is overridden"),
        "{said}"
    );
    assert!(
        said.contains(
            "25/tcp is open to everybody, by rule open-25-tcp (policy.d/00-portguard.yaml:5)"
        ),
        "{said}"
    );
    assert!(host.is_open());
    // A block takes the opening back.
    host.says(0, &["block", "25/tcp"]);
    assert!(!host.is_open());
    assert!(!host.kept().contains("open-25-tcp"));
    host.says(1, &["open", "25/tcp"]);

    // Only for some, and for a time, past a block of our own.
    let client = CLIENT_V4.to_string();
    let said = host.says(1, &["open", "25/tcp", "--from", &client]);
    assert!(said.contains("is closed from "), "{said}");
    host.says(
        0,
        &[
            "open",
            "25/tcp",
            "--from",
            &client,
            "--override",
            "--runtime",
        ],
    );
    assert_eq!(
        host.seen(),
        [Seen::Answer, Seen::Silence],
        "IPv4 alone is open"
    );
    let said = host.says(0, &["block", "25/tcp", "--from", "192.0.2.77"]);
    assert!(said.contains("already closed from 192.0.2.77"), "{said}");
}

#[test]
fn a_part_of_a_block_is_opened() {
    let host = Host::start(&policy(RULES));
    host.says(0, &["block", "24-30"]);
    assert!(!host.is_open() && !host.udp_is_open());
    host.says(0, &["open", "25/udp"]);
    assert!(!host.is_open() && host.udp_is_open());
    assert_eq!(
        host.kept().lines().last(),
        Some("  - { name: block-24-30, action: drop, ports: [24-30/tcp, 24/udp, 26-30/udp] }")
    );
    host.says(0, &["open", "24-30"]);
    assert!(host.is_open());
    assert_eq!(host.kept(), "version: 1\nrules: []\n");
}

#[test]
fn trusted_sources_are_not_stopped_and_that_is_said() {
    let text = format!("version: 1\ninterfaces: [srv0]\ntrusted: [{CLIENT_V4}]\nrules: []\n");
    let host = Host::start(&text);
    let said = host.says(0, &["block", "25/tcp"]);
    assert!(said.contains("but for `trusted` sources"), "{said}");
    let seen = probe_tcp(&host.bed.client, SERVERS[0], 25, SILENCE).expect("probe");
    assert_eq!(seen, Seen::Answer);
}

#[test]
fn two_clients_at_once_both_hold() {
    let host = Host::start(&policy(RULES));
    thread::scope(|scope| {
        for port in ["1001/tcp", "1002/tcp", "25/tcp"] {
            let daemon = &host.daemon;
            scope.spawn(move || says(daemon, 0, &["block", port]));
        }
    });
    assert!(!host.is_open());
    let kept = host.kept();
    for name in ["block-1001-tcp", "block-1002-tcp", "block-25-tcp"] {
        assert!(kept.contains(name), "{kept}");
    }
    assert_eq!(host.generation(), 4);
}

#[test]
fn what_an_administrator_writes_there_stays_and_what_is_wrong_refuses() {
    let host = Host::start(&policy(RULES));
    host.says(0, &["block", "24/tcp"]);
    let text = fs::read_to_string(host.drop_in()).expect("reads");
    let mine = "  # why\n  - name: mine\n    action: drop\n    ports: 26/tcp\n";
    fs::write(host.drop_in(), format!("{text}{mine}")).expect("writes");
    // At once, whether or not the change has been noticed.
    host.says(0, &["block", "25/tcp"]);
    let kept = host.kept();
    assert!(
        kept.ends_with(mine) && kept.contains("block-24-tcp"),
        "{kept}"
    );
    host.says(0, &["open", "24/tcp"]);
    host.says(0, &["open", "25/tcp"]);
    assert_eq!(host.kept(), format!("version: 1\nrules:\n{mine}"));

    let broken = "version: 1\nrules:\n  - { name: x, action: dorp, ports: 1 }\n";
    fs::write(host.drop_in(), broken).expect("writes");
    let said = host.says(1, &["block", "25/tcp"]);
    assert!(said.contains("00-portguard.yaml:3:24"), "{said}");
    assert_eq!(host.kept(), broken, "it is left alone");
    let other = "version: 1\nrules: [ { name: x, action: drop, ports: 1 } ]\n";
    fs::write(host.drop_in(), other).expect("writes");
    let said = host.says(1, &["block", "25/tcp"]);
    assert!(said.contains("no line `rules:` of its own"), "{said}");
    assert!(host.is_open());
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let host = Host::start(&policy(RULES));
    // Root without its power may not write into its own folder then.
    let mode = |mode| fs::set_permissions(host.daemon.folder(), fs::Permissions::from_mode(mode));
    mode(0o555).expect("chmod");
    let said = host.says(3, &["block", "25/tcp"]);
    assert!(
        said.contains("nothing is changed: cannot write `policy.d/00-portguard.yaml`"),
        "{said}"
    );
    assert!(host.is_open());
    assert_eq!(host.generation(), 1);
    mode(0o755).expect("chmod");
    host.says(0, &["block", "25/tcp"]);
    assert!(!host.is_open());
}

#[test]
fn what_is_no_port_is_refused_with_a_hint() {
    let (_bed, daemon) = guarded(RULES);
    for (words, code, reason) in [
        (
            &["block", "smpt"][..],
            1,
            "no service is called `smpt`\nhelp: did you mean `smtp`?",
        ),
        (
            &["block", "25-20/tcp"],
            1,
            "the range `25-20` runs backwards",
        ),
        (&["block", "any"], 1, "`any` is every port"),
        (&["block", "25", "--from", "10.0.0"], 1, "`from`: "),
        (&["block"], 2, "<PORT|--profile <PROFILE>>"),
        (
            &["block", "25", "--profile", "worms"],
            2,
            "cannot be used with",
        ),
        (&["block", "25", "--for", "1w"], 2, "a number with"),
        (&["block", "25", "--override"], 2, "--override"),
        (&["block", "--profile", "worm"], 2, "worms"),
    ] {
        let said = says(&daemon, code, words);
        assert!(said.contains(reason), "{words:?}: {said}");
    }
    assert_eq!(daemon.status().expect("status")["generation"], 1);
}

#[test]
fn rules_are_listed_in_order_with_place_and_hits() {
    let mut host = Host::start(&policy(
        "  - {name: no-telnet, action: drop, ports: [23/tcp]}\n  - {name: counted, action: drop, ports: [25/udp], enforce: false, comment: \"look\"}\n",
    ));
    fs::create_dir(host.daemon.folder().join("policy.d")).expect("a folder");
    fs::write(
        host.daemon.folder().join("policy.d/10-web.yaml"),
        "version: 1\nrules:\n  - { name: web, action: pass, ports: [80/tcp], from: 192.0.2.0/24 }\n",
    )
    .expect("writes");
    host.says(0, &["reload"]);
    host.says(0, &["block", "25/tcp", "--for", "1h"]);
    host.says(0, &["block", "26/tcp", "--runtime"]);
    assert!(!host.is_open() && host.udp_is_open());
    let rules = host.rules();
    let told: Vec<(&str, &str, u64)> = rules["rules"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|rule| {
            let text = |key: &str| rule[key].as_str().expect("text");
            let file = text("file").rsplit('/').next().expect("a name");
            (text("name"), file, rule["line"].as_u64().expect("a number"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("block-26-tcp", "--runtime", 5),
            ("block-25-tcp", "00-portguard.yaml", 5),
            ("web", "10-web.yaml", 3),
            ("no-telnet", "policy.yaml", 4),
            ("counted", "policy.yaml", 5),
        ]
    );
    assert!(entry(&rules["rules"], "block-25-tcp")["packets"].as_u64() >= Some(2));
    assert_eq!(entry(&rules["rules"], "counted")["shadow"]["packets"], 1);
    assert!(entry(&rules["rules"], "block-25-tcp")["until_unix_s"].is_u64());
    let text = host.says(0, &["rules"]);
    for part in [
        "policy.d/00-portguard.yaml:5",
        "25/tcp (smtp) (until 20",
        "drop (only counts)",
        "80/tcp (http) from 192.0.2.0/24",
        "\"look\"",
        "pass, by `default: pass`",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // What is told elsewhere has the same places.
    let explained = std::process::Command::new(binary())
        .args(["explain", "tcp 192.0.2.9 -> :80", "--policy"])
        .arg(host.daemon.policy_path())
        .output()
        .expect("runs");
    assert!(
        stdout(&explained).contains("rule `web` (policy.d/10-web.yaml:3)"),
        "{explained:?}"
    );
    host.start_again();
    assert_eq!(host.rules()["rules"].as_array().expect("a list").len(), 4);
}

#[test]
fn a_broken_drop_in_keeps_the_old_policy_and_is_told_with_its_place() {
    let mut host = Host::start(&policy(RULES));
    host.says(0, &["block", "25/tcp"]);
    let path = host.daemon.folder().join("policy.d/50-package.yaml");
    fs::write(
        &path,
        "version: 1\nrules:\n  - { name: a, action: drop, port: 1 }\n",
    )
    .expect("writes");
    let said = host.says(1, &["reload"]);
    assert!(said.contains("policy.d/50-package.yaml:3:30"), "{said}");
    assert!(said.contains("a rule has no key `port`"), "{said}");
    assert!(!host.is_open());
    // A boot falls back on what was in force.
    host.start_again();
    assert!(!host.is_open());
    let status = host.daemon.status().expect("status");
    assert!(
        status["degraded"][0]
            .as_str()
            .expect("text")
            .contains("50-package.yaml:3:30"),
        "{status}"
    );

    fs::write(&path, "version: 1\nrules: []\n").expect("writes");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("chmod");
    let said = host.says(1, &["reload"]);
    assert!(
        said.contains("policy.d/50-package.yaml` can be written by everybody"),
        "{said}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    host.says(0, &["reload"]);
    host.says(0, &["open", "25/tcp"]);
    assert!(host.is_open());
}

#[test]
fn without_a_command_it_says_in_ten_lines_what_to_do_first() {
    let output = std::process::Command::new(binary()).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert_eq!(said.lines().count(), 10, "{said}");
    for verb in [
        "listen",
        "audit",
        "suggest",
        "check",
        "run",
        "status",
        "block 25/tcp",
        "rules",
    ] {
        assert!(
            said.contains(&format!("portguard {verb}")),
            "{verb}\n{said}"
        );
    }
}
