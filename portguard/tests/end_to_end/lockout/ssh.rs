//! A real SSH server and its clients.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::{Namespace, soon};
use tempfile::TempDir;

/// How long a server may take to listen, or a session to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// An sshd in a host, until dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts one with these lines of configuration and these arguments, and waits until it listens at a port.
    pub(crate) fn start(host: &Namespace, lines: &str, arguments: &[&str], port: u16) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("portguard-sshd-")
            .tempdir()
            .expect("a folder");
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.path().join(key))
                .status();
            assert!(made.expect("openssh-client is installed").success());
        }
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "{lines}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nUseDNS no\nPermitRootLogin prohibit-password\nClientAliveInterval 1\nClientAliveCountMax 15\n",
            at("host"),
            at("user.pub"),
        );
        fs::write(folder.path().join("sshd_config"), config).expect("writes");
        // It insists on a folder in /run, and on being called by its whole path.
        let child = host
            .command("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec \"$0\" \"$@\"")
            .arg(program())
            .args(["-D", "-e", "-f"])
            .arg(folder.path().join("sshd_config"))
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).expect("a log"))
            .spawn()
            .expect("starts");
        let server = Self { child, folder };
        let deadline = Instant::now() + PATIENCE;
        while !host.listens_at(port).expect("the namespace") {
            assert!(
                Instant::now() < deadline,
                "sshd does not listen: {}",
                server.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A client that logs in from an address.
    fn client(&self, host: &Namespace, from: &str, to: &str, port: u16) -> Command {
        let mut command = host.command("ssh");
        command
            .args([
                "-F",
                "none",
                "-T",
                "-b",
                from,
                "-p",
                &port.to_string(),
                "-i",
            ])
            .arg(self.folder.path().join("user"))
            .args(["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args(["-o", "LogLevel=ERROR"])
            // Where nothing comes through, it ends.
            .args([
                "-o",
                "ServerAliveInterval=1",
                "-o",
                "ServerAliveCountMax=15",
            ])
            .arg(format!("root@{to}"));
        command
    }

    /// Changes its configuration without its knowing.
    pub(crate) fn configure_for_the_next_start(&self, lines: &str) {
        fs::write(self.folder.path().join("sshd_config"), lines).expect("writes");
    }

    /// Opens a session that stays.
    pub(crate) fn session(&self, host: &Namespace, from: &str, to: &str, port: u16) -> Session {
        let mut child = self
            .client(host, from, to, port)
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssh-client is installed");
        let input = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut session = Session {
            child,
            input,
            lines,
            sent: 0,
        };
        assert!(session.goes_on(PATIENCE), "no session: {}", self.log());
        session
    }

    /// Runs a command through a session of its own.
    pub(crate) fn run(
        &self,
        host: &Namespace,
        from: &str,
        to: &str,
        port: u16,
        words: &str,
    ) -> Output {
        self.client(host, from, to, port)
            .arg(words)
            .stdin(Stdio::null())
            .output()
            .expect("openssh-client is installed")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its sessions end by themselves when their clients are silent.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The server's program. A machine without it fails the test: `cargo xtask test` installs it.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join("sshd"))
        .find(|file| file.is_file())
        .expect("openssh-server is installed; `cargo xtask test` does that")
}

/// An open session through which data flows.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    sent: u32,
}

impl Session {
    /// Whether what is sent now comes back in time.
    pub(crate) fn goes_on(&mut self, patience: Duration) -> bool {
        self.sent += 1;
        let sent = format!("line {}", self.sent);
        if writeln!(self.input, "{sent}").is_err() {
            return false;
        }
        // Others are what was late before.
        soon(patience, || self.lines.try_iter().any(|line| line == sent))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A path in single quotes, for a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
