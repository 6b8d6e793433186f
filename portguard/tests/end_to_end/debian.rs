//! A host that serves what many do, by the programs of Debian.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::Namespace;
use portguard_testbed::traffic::Servers;
use tempfile::TempDir;

use crate::lockout::ssh;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ports of the servers.
pub(crate) const SSH: u16 = 22;
pub(crate) const WEB: u16 = 80;
pub(crate) const REDIS: u16 = 6379;
pub(crate) const POSTGRES: u16 = 5432;
/// Over UDP, of a service that the catalogue does not know.
pub(crate) const OTHER: u16 = 7777;
/// On the loopback device alone.
pub(crate) const INNER: u16 = 9999;

/// All of them, until dropped.
pub(crate) struct Host {
    pub(crate) sshd: ssh::Server,
    children: Vec<Child>,
    _servers: Servers,
    _inner: std::net::TcpListener,
    _folder: TempDir,
}

impl Host {
    /// Starts the servers, and waits until they listen.
    pub(crate) fn start(host: &Namespace) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("portguard-debian-")
            .tempdir()
            .expect("a folder");
        // The database runs as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("opens");
        let children = vec![
            postgres(host, folder.path()),
            nginx(host, folder.path()),
            redis(host, folder.path()),
        ];
        let own = Self {
            sshd: ssh::Server::start(host, &format!("Port {SSH}"), &[], SSH),
            children,
            _servers: Servers::start(host, &[], &[OTHER]).expect("a server"),
            _inner: host
                .listen(([127, 0, 0, 1], INNER).into())
                .expect("listens"),
            _folder: folder,
        };
        let deadline = Instant::now() + PATIENCE;
        for port in [WEB, REDIS, POSTGRES] {
            while !host.listens_at(port).expect("the namespace") {
                assert!(Instant::now() < deadline, "nobody listens at {port}");
                thread::sleep(Duration::from_millis(20));
            }
        }
        own
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for child in &mut self.children {
            // The children of a database end when it does.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

fn spawn(mut command: Command) -> Child {
    let program = format!("{:?}", command.get_program());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test` installs it"))
}

fn nginx(host: &Namespace, folder: &Path) -> Child {
    let at = |name: &str| folder.join(name).display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};", at(kind)))
        .concat();
    let config = format!(
        "daemon off; master_process off; user root; pid {}; error_log {};\nevents {{}}\nhttp {{ access_log off; {temporary} \
         server {{ listen {WEB}; listen [::]:{WEB}; return 200 ok; }} }}\n",
        at("nginx.pid"),
        at("nginx.log"),
    );
    fs::write(folder.join("nginx.conf"), config).expect("writes");
    let mut command = host.command("nginx");
    command.args([
        "-p",
        &at(""),
        "-c",
        &at("nginx.conf"),
        "-e",
        &at("nginx.log"),
    ]);
    spawn(command)
}

fn redis(host: &Namespace, folder: &Path) -> Child {
    let mut command = host.command("redis-server");
    command
        .args(["--port", &REDIS.to_string(), "--bind", "0.0.0.0", "::"])
        .args(["--protected-mode", "no", "--save", "", "--dir"])
        .arg(folder);
    spawn(command)
}

/// It refuses to run as root.
fn postgres(host: &Namespace, folder: &Path) -> Child {
    let programs = programs_of_postgres();
    let data = folder.join("postgres");
    fs::create_dir(&data).expect("makes");
    let as_other = [
        "--reuid",
        "postgres",
        "--regid",
        "postgres",
        "--clear-groups",
    ];
    let owned = Command::new("chown")
        .arg("postgres:postgres")
        .arg(&data)
        .status();
    assert!(owned.expect("runs").success());
    let made = Command::new("setpriv")
        .args(as_other)
        .arg(programs.join("initdb"))
        .args([
            "--no-sync",
            "--auth",
            "trust",
            "--username",
            "postgres",
            "--locale",
            "C",
            "-D",
        ])
        .arg(&data)
        .current_dir(&data)
        .output()
        .expect("runs");
    assert!(made.status.success(), "{made:?}");
    let mut command = host.command("setpriv");
    command
        .args(as_other)
        .arg(programs.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-c", "listen_addresses=*", "-c", "unix_socket_directories="])
        .args(["-c", "fsync=off", "-c", "shared_buffers=1MB"])
        .current_dir(&data);
    spawn(command)
}

/// Debian keeps those of several versions apart.
fn programs_of_postgres() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .expect("postgresql is installed; `cargo xtask test` does that");
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .find(|folder| folder.join("initdb").is_file())
        .expect("a version of it")
}
