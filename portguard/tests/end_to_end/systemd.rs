//! The shipped unit: what systemd thinks of it, and under a real systemd.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portguard_testbed::{Namespace, in_time};
use serde_json::Value;
use tempfile::TempDir;

use crate::adoption::wait_until;
use crate::metrics::http::{request_on, series};
use crate::{binary, policy, stderr, stdout};

const UNIT: &str = include_str!("../../../config/portguard.service");
const METRICS: &str = include_str!("../../../config/portguard.service.d/metrics.conf");
const BOOT: &str = include_str!("systemd_boot.sh");

const RULES: &str = "  - {name: no-telnet, action: drop, ports: [23/tcp]}
  - {name: few, action: limit, ports: [53/udp], rate: 10/s}
";

/// Most exposure that the unit may have, of 10.
const MOST_EXPOSURE: f64 = 2.0;

fn analyze(words: &[&str], unit: &Path) -> Output {
    Command::new("systemd-analyze")
        .args(words)
        .arg(unit)
        .output()
        .expect("`systemd-analyze` of the package `systemd` runs")
}

/// The unit in a folder of its own, for a program that exists.
fn unit_for(program: &Path) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("portguard.service");
    let program = program.to_str().expect("UTF-8");
    std::fs::write(&file, UNIT.replace("/usr/bin/portguard", program)).expect("writes");
    (folder, file)
}

#[test]
fn l09_the_unit_is_hardened_and_keeps_three_capabilities() {
    let (_folder, file) = unit_for(binary());
    let output = analyze(&["security", "--offline=yes", "--no-pager"], &file);
    let text = stdout(&output);
    let exposure: f64 = text
        .lines()
        .find_map(|line| {
            line.split("Overall exposure level for portguard.service:")
                .nth(1)
        })
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no score: {output:?}"));
    assert!(exposure <= MOST_EXPOSURE, "{text}");

    let output = analyze(&["security", "--offline=yes", "--json=short"], &file);
    let rows: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let held: Vec<&str> = rows
        .as_array()
        .expect("a list")
        .iter()
        .filter(|row| !row["exposure"].is_null())
        .filter_map(|row| row["name"].as_str()?.strip_prefix("CapabilityBoundingSet="))
        .collect();
    // It has no opinion on CAP_PERFMON; what is not listed is taken away.
    assert_eq!(held, ["~CAP_BPF", "~CAP_NET_ADMIN"], "{text}");
    let sets: Vec<&str> = UNIT
        .lines()
        .filter_map(|line| line.strip_prefix("CapabilityBoundingSet="))
        .collect();
    assert_eq!(sets, ["CAP_BPF CAP_NET_ADMIN CAP_PERFMON"]);
}

#[test]
fn the_unit_is_verified_without_a_word() {
    let (_folder, file) = unit_for(binary());
    let output = analyze(&["verify"], &file);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output) + &stderr(&output), "");
}

/// Two systems at the same time would have the same control groups, and in them each other's firewall (`IPAddressDeny=`).
static ALONE: Mutex<()> = Mutex::new(());

/// A systemd that has booted with nothing but portguard; until dropped.
struct System {
    _alone: MutexGuard<'static, ()>,
    /// Its parent, with which it ends.
    child: Child,
    /// Process ID of systemd, seen from here.
    pid: u32,
    _folder: TempDir,
}

impl System {
    fn boot(policy: &str) -> Self {
        // A test that failed leaves nothing behind.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name);
        std::fs::write(place("boot.sh"), BOOT).expect("writes");
        std::fs::write(place("unit"), UNIT).expect("writes");
        std::fs::write(place("policy"), policy).expect("writes");
        std::fs::create_dir(place("root")).expect("makes");
        let child = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"])
            .args(["--fork", "--kill-child", "sh"])
            .args([place("boot.sh"), place("root")])
            .args([binary(), &place("unit"), &place("policy")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("`unshare` runs");
        let deadline = Instant::now() + Duration::from_secs(20);
        let pid = loop {
            let path = format!("/proc/{0}/task/{0}/children", child.id());
            let children = std::fs::read_to_string(path).expect("the kernel tells of children");
            if let Some(first) = children.split_whitespace().next() {
                break first.parse().expect("a number");
            }
            assert!(Instant::now() < deadline, "`unshare` started nothing");
            std::thread::sleep(Duration::from_millis(10));
        };
        Self {
            _alone: alone,
            child,
            pid,
            _folder: folder,
        }
    }

    /// Runs a command line inside.
    fn run(&self, line: &str) -> Output {
        Command::new("nsenter")
            .args(["--target", &self.pid.to_string()])
            .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"])
            .args(["sh", "-c", line])
            .stdin(Stdio::null())
            .output()
            .expect("`nsenter` runs")
    }

    fn property(&self, name: &str) -> String {
        let output = self.run(&format!(
            "systemctl show portguard --property={name} --value"
        ));
        stdout(&output).trim().to_owned()
    }

    /// Waits until a property has a value.
    fn wait_for(&self, property: &str, wanted: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.property(property) != wanted {
            assert!(
                Instant::now() < deadline,
                "`{property}` is not {wanted}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        stdout(&self.run("systemctl status portguard; journalctl --no-pager --unit portguard"))
    }

    fn has_program(&self) -> bool {
        stdout(&self.run("ip link show dev srv0")).contains("xdp")
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // systemd ends with its parent, and everything in its namespaces with it.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn l09_under_a_real_systemd_it_starts_reloads_is_watched_and_stops() {
    let system = System::boot(&policy(RULES));
    system.wait_for("ActiveState", "active");
    assert!(system.has_program(), "{}", system.log());
    let status = system.property("StatusText");
    assert!(
        status.starts_with("policy 1 with 2 rules on srv0"),
        "{status}\n{}\n{}",
        stdout(&system.run("portguard status")),
        system.log()
    );
    let pins = stdout(&system.run("ls /sys/fs/bpf/portguard/links"));
    assert!(
        pins.starts_with("egress-") || pins.starts_with("xdp-"),
        "{pins}"
    );
    let folders = system.run("stat --format=%a /var/lib/portguard /run/portguard");
    assert_eq!(stdout(&folders), "700\n755\n");
    // The first process of all services is in place before the network.
    let order = system.property("Before");
    assert!(order.contains("network-pre.target"), "{order}");

    // Refused, the previous policy stays in force.
    let policy_file = "/etc/portguard/policy.yaml";
    system.run(&format!(
        "cp {policy_file} /tmp/good; echo 'rules: [' >> {policy_file}"
    ));
    let reload = system.run("systemctl reload portguard");
    assert!(!reload.status.success());
    assert_eq!(system.property("ActiveState"), "active");
    assert!(system.log().contains("policy.yaml:6:"), "{}", system.log());
    system.run(&format!(
        "cp /tmp/good {policy_file}; echo '  - {{name: more, action: drop, ports: [25/tcp]}}' >> {policy_file}"
    ));
    let reload = system.run("systemctl reload portguard");
    assert!(reload.status.success(), "{}", system.log());
    let status = system.property("StatusText");
    assert!(status.starts_with("policy 2 with 3 rules"), "{status}");

    let stopped = system.run("systemctl stop portguard");
    assert!(stopped.status.success());
    assert_eq!(system.property("Result"), "success");
    assert!(!system.has_program());

    // A daemon that hangs is replaced, and one that works is left alone.
    system.run(
        "mkdir /run/systemd/system/portguard.service.d
         printf '[Service]\\nWatchdogSec=2s\\nTimeoutAbortSec=1s\\n' > /run/systemd/system/portguard.service.d/short.conf
         systemctl daemon-reload; systemctl start portguard",
    );
    in_time(|| {
        // What it was late with before this attempt has ended it by then.
        std::thread::sleep(Duration::from_secs(3));
        system.wait_for("ActiveState", "active");
        let pid = system.property("MainPID");
        let restarts: u64 = system.property("NRestarts").parse().expect("a number");
        std::thread::sleep(Duration::from_secs(5));
        assert_eq!(system.property("MainPID"), pid, "{}", system.log());
        system.run(&format!("kill -STOP {pid}"));
        system.wait_for("NRestarts", &(restarts + 1).to_string());
        system.wait_for("ActiveState", "active");
        assert_ne!(system.property("MainPID"), pid);
        assert!(
            system.log().contains("Watchdog timeout"),
            "{}",
            system.log()
        );
        assert!(system.has_program());
    });
}

#[test]
fn the_drop_in_for_metrics_lets_this_host_scrape_and_no_other() {
    const PORT: u16 = 9477;
    const LOCAL: &str = "127.0.0.1:9477";
    const PUBLIC: &str = "192.0.2.1:9477";
    let text = format!(
        "{}metrics: {{ listen: [\"{LOCAL}\", \"{PUBLIC}\"], page: true }}\n",
        policy(RULES)
    );
    let system = System::boot(&text);
    system.wait_for("ActiveState", "active");
    // The unit alone keeps the daemon off the network; it filters all the same, and says what to do.
    let status = stdout(&system.run("portguard status"));
    assert!(
        status.contains("DEGRADED") && status.contains("(see docs/metrics.md)"),
        "{status}\n{}",
        system.log()
    );
    assert!(system.has_program());

    // As docs/metrics.md has it.
    let folder = "/etc/systemd/system/portguard.service.d";
    let installed = system.run(&format!(
        "ip addr add 192.0.2.1/24 dev srv0
         mkdir -p {folder} && cat > {folder}/metrics.conf <<'END' && systemctl daemon-reload && systemctl restart portguard
{METRICS}END"
    ));
    assert!(
        installed.status.success(),
        "{}{}",
        stderr(&installed),
        system.log()
    );
    let host = Namespace::of_process(system.pid).expect("a namespace");
    // Its filter is at work when it is started, which is what counts; it listens soon after.
    let wait_for_listener = || {
        wait_until("it listens", || host.listens_at(PORT).expect("looks"));
    };
    wait_for_listener();
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {LOCAL}\r\n\r\n");
        request_on(&host, LOCAL, &request)
    };
    let scraped = ask("/metrics");
    assert_eq!(scraped.status, 200, "{}", system.log());
    let metrics = series(&scraped.body);
    assert_eq!(metrics["portguard_policy_rules"], 2.0);
    assert_eq!(
        metrics["portguard_degraded_reasons"],
        0.0,
        "{}",
        system.log()
    );
    assert_eq!(
        metrics["portguard_rule_packets_total{rule=\"no-telnet\",result=\"dropped\"}"],
        0.0
    );
    assert_eq!(ask("/").status, 200, "the page is served as well");
    let status = stdout(&system.run("portguard status"));
    assert!(!status.contains("DEGRADED"), "{status}");

    // It listens at the other address, too, as the policy says: but nothing comes through before the drop-in names who may.
    let public: SocketAddr = PUBLIC.parse().expect("an address");
    let connect = || {
        let connected =
            host.enter(|| TcpStream::connect_timeout(&public, Duration::from_millis(500)));
        connected.expect("enters")
    };
    assert_eq!(
        connect().expect_err("it is kept out").kind(),
        std::io::ErrorKind::TimedOut
    );
    let allowed = system.run(&format!(
        "sed -i 's/^# \\(IPAddressAllow=\\).*/\\1192.0.2.1/' {folder}/metrics.conf && systemctl daemon-reload && systemctl restart portguard"
    ));
    assert!(allowed.status.success(), "{}", stderr(&allowed));
    wait_for_listener();
    connect().expect("the drop-in names it now");
    assert_eq!(ask("/metrics").status, 200);
}
