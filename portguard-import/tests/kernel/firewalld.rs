//! Zones of firewalld. Its daemon runs in the namespace, on a message bus of its own, and says itself what it makes of
//! them for the kernel.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portguard_import::{Kind, firewalld};

use crate::compare::{Known, SAME, compare, options, sources};
use crate::host::{Host, run};

const SHARED: &str = "/usr/lib/firewalld";
const CONFIGURATION: &str = "DefaultZone=public\nCleanupOnExit=no\nLogDenied=off\nFirewallBackend=nftables\nIPv6_rpfilter=no\n";

/// A daemon and its bus; they end with it.
struct Daemon {
    folder: tempfile::TempDir,
    children: Vec<Child>,
}

impl Daemon {
    fn start(host: &Host) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bus = folder.path().join("bus.conf");
        let etc = folder.path().join("etc");
        fs::create_dir(&etc).expect("a folder");
        fs::write(etc.join("firewalld.conf"), CONFIGURATION).expect("written");
        let mut own = Self {
            folder,
            children: Vec::new(),
        };
        let configuration = format!(
            "<busconfig><type>system</type><listen>{}</listen><policy context=\"default\">\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>",
            own.address()
        );
        fs::write(&bus, configuration).expect("written");
        let bus = format!("--config-file={}", bus.display());
        let etc = etc.display().to_string();
        let log = own.folder.path().join("log").display().to_string();
        own.spawn(host, "dbus-daemon", &[&bus, "--nofork", "--nopidfile"]);
        own.wait("the bus", |own| own.folder.path().join("bus").exists());
        own.spawn(
            host,
            "firewalld",
            &[
                "--nofork",
                "--nopid",
                "--system-config",
                &etc,
                "--log-file",
                &log,
            ],
        );
        own.wait("firewalld", |own| {
            let state = own.command(host, &["--state"]).output().expect("runs");
            state.status.success()
        });
        own
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    fn spawn(&mut self, host: &Host, program: &str, arguments: &[&str]) {
        let mut command = host.command(program);
        command
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        self.children.push(child);
    }

    fn wait(&self, what: &str, is_there: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_there(self) {
            assert!(Instant::now() < deadline, "{what} does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn command(&self, host: &Host, arguments: &[&str]) -> Command {
        let mut command = host.command("firewall-cmd");
        command
            .args(arguments)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.address());
        command
    }

    /// Puts the zones of a folder in force.
    fn load(&self, host: &Host, own: &Path) {
        for kind in ["zones", "services", "ipsets"] {
            let to = self.folder.path().join("etc").join(kind);
            if to.exists() {
                fs::remove_dir_all(&to).expect("removed");
            }
            fs::create_dir_all(&to).expect("a folder");
            for file in files(&own.join(kind)) {
                let name = file.file_name().expect("a name");
                fs::copy(&file, to.join(name)).expect("copied");
            }
        }
        run(&mut self.command(host, &["--reload"]), "");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // One that has ended by itself is no matter.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|kind| kind == "xml"));
    files.sort();
    files
}

fn check(daemon: &Daemon, host: &Host, name: &str, seed: u64, known: &Known<'_>) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/kernel/rules/firewalld")
        .join(name);
    let mut texts = vec![("firewalld.conf".to_owned(), CONFIGURATION.to_owned())];
    let mut zones = String::new();
    let shared = ["zones", "services", "policies"].map(|kind| Path::new(SHARED).join(kind));
    let folders = ["zones", "services", "ipsets"].map(|kind| own.join(kind));
    for folder in folders.iter().chain(&shared) {
        for file in files(folder) {
            let text = fs::read_to_string(&file).expect("text");
            if folder.starts_with(&own) {
                zones.push_str(&text);
            }
            texts.push((file.display().to_string(), text));
        }
    }
    compare(name, &zones, seed, known, host, |host| {
        daemon.load(host, &own);
        firewalld(&sources(&texts), &options()).expect("zones")
    });
}

/// One daemon for all: it takes seconds to start.
#[test]
fn zones_do_what_the_daemon_makes_of_them() {
    let host = Host::new();
    let daemon = Daemon::start(&host);
    let invalid = Known {
        list: &[(Kind::Wider, "state")],
        ..SAME
    };
    for (seed, name) in (60..).zip([
        "default",
        "web",
        "zones",
        "icmp",
        "inversion",
        "drop",
        "reject",
        "rich",
        "priorities",
        "limits",
    ]) {
        check(&daemon, &host, name, seed, &invalid);
    }
    let sets = Known {
        list: &[
            (Kind::Wider, "state"),
            (Kind::Stricter, "02:00:00:00:00:07"),
        ],
        ..SAME
    };
    check(&daemon, &host, "sets", 80, &sets);
}
