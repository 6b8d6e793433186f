//! The real daemon, running.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::Process;

/// How long the daemon may take to become ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon with its policy, socket and log in a folder of its own. Dropping it ends it; it also
/// ends with the thread that started it, so that nothing stays when this process is killed.
#[derive(Debug)]
pub struct Daemon {
    binary: PathBuf,
    child: Process,
    folder: TempDir,
    notifications: UnixDatagram,
    /// Its view of the file system, with what it pinned, which outlasts it as long as this is open.
    mounts: File,
}

/// How a daemon ended.
#[derive(Debug)]
pub struct Stopped {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard error.
    pub log: String,
}

impl Daemon {
    /// Starts a daemon in a namespace with a policy, and waits until it says that it is ready. It has the three capabilities
    /// of the shipped unit alone.
    ///
    /// # Errors
    ///
    /// When it ends before, with what it wrote.
    pub fn start(binary: &Path, host: &Namespace, policy: &str) -> anyhow::Result<Self> {
        Self::start_with(binary, host, policy, &[])
    }

    /// As [`Daemon::start`], with more arguments.
    ///
    /// # Errors
    ///
    /// When it ends before it is ready, with what it wrote.
    pub fn start_with(
        binary: &Path,
        host: &Namespace,
        policy: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = with_three_capabilities(host, binary);
        command.arg("run").args(arguments);
        Self::spawn(binary, command, policy)
    }

    /// As [`Daemon::start`], and it follows changes of the policy file.
    ///
    /// # Errors
    ///
    /// When it ends before it is ready, with what it wrote.
    pub fn start_watching(binary: &Path, host: &Namespace, policy: &str) -> anyhow::Result<Self> {
        let mut command = with_three_capabilities(host, binary);
        command.arg("run");
        Self::spawn_watching(binary, command, policy)
    }

    /// Starts a daemon by a prepared command (a wrapper that takes capabilities away, for instance), to
    /// which `--policy`, `--socket`, `--no-watch` and, where it has none, `--state` are added: a test that writes the policy and asks for a
    /// reload wants to know what the reload says.
    ///
    /// # Errors
    ///
    /// When it ends before it is ready, with what it wrote.
    pub fn spawn(binary: &Path, mut command: Command, policy: &str) -> anyhow::Result<Self> {
        command.arg("--no-watch");
        Self::spawn_watching(binary, command, policy)
    }

    fn spawn_watching(binary: &Path, mut command: Command, policy: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("portguard-testbed-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let notifications = UnixDatagram::bind(folder.path().join("notify.sock"))?;
        notifications.set_read_timeout(Some(Duration::from_millis(50)))?;
        fs::write(folder.path().join("policy.yaml"), policy)?;
        // SAFETY: between fork and exec only `unshare` and `mount` are called, which are plain system calls.
        unsafe {
            command.pre_exec(own_bpf_file_system);
        }
        let child = spawn_at(command, folder.path())?;
        let mut daemon = Self {
            binary: binary.into(),
            child,
            folder,
            notifications,
            // Its own, once it is there.
            mounts: File::open("/proc/self/ns/mnt")?,
        };
        daemon.wait_for_notification("READY=1")?;
        daemon.mounts = File::open(format!("/proc/{}/ns/mnt", daemon.pid()))?;
        Ok(daemon)
    }

    /// Kills the daemon by SIGKILL. What it pinned, and its folder, stay for [`Daemon::start_again`].
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts a daemon where one was killed or has stopped, by the same policy, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it ends before it is ready, with what it wrote.
    pub fn start_again(&mut self, host: &Namespace) -> anyhow::Result<()> {
        self.start_again_with(host, &self.binary.clone())
    }

    /// As [`Daemon::start_again`], by another binary.
    ///
    /// # Errors
    ///
    /// When it ends before it is ready, with what it wrote.
    pub fn start_again_with(&mut self, host: &Namespace, binary: &Path) -> anyhow::Result<()> {
        // What a daemon before this one said is not said by this one.
        let mut rest = [0; 4096];
        while self.notifications.recv(&mut rest).is_ok() {}
        let mut command = with_three_capabilities(host, binary);
        command.args(["run", "--no-watch"]);
        self.child = spawn_at(self.within(command), self.folder.path())?;
        self.wait_for_notification("READY=1")
    }

    /// A command that will see the file systems that the daemon sees, what it pinned among them.
    #[must_use]
    pub fn within(&self, mut command: Command) -> Command {
        let mounts = self.mounts.as_raw_fd();
        // SAFETY: between fork and exec only `setns` is called, which is a plain system call; the descriptor is open as
        // long as `self`, which the caller holds while it spawns.
        unsafe {
            command.pre_exec(move || {
                if libc::setns(mounts, libc::CLONE_NEWNS) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
        command
    }

    /// Waits until the daemon has told the service manager this.
    ///
    /// # Errors
    ///
    /// When it ends before, or takes too long.
    pub fn wait_for_notification(&mut self, wanted: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            if let Ok(length) = self.notifications.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                if text.lines().any(|line| line == wanted) {
                    return Ok(());
                }
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended ({status}):\n{}", self.log());
            }
        }
        bail!("the daemon did not say `{wanted}` in time:\n{}", self.log())
    }

    /// What the daemon tells the service manager next; `None` if it tells nothing within a moment.
    ///
    /// # Errors
    ///
    /// When the socket cannot be read.
    pub fn next_notification(&self) -> std::io::Result<Option<String>> {
        let mut buffer = [0; 4096];
        match self.notifications.recv(&mut buffer) {
            Ok(length) => Ok(Some(
                String::from_utf8_lossy(&buffer[..length]).into_owned(),
            )),
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The policy file.
    #[must_use]
    pub fn policy_path(&self) -> PathBuf {
        self.folder.path().join("policy.yaml")
    }

    /// Its folder, with the policy, the control socket, the log, and what outlives a restart of the host in `state`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the policy file, as a careful editor does: written beside it, then renamed.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_policy(&self, text: &str) -> anyhow::Result<()> {
        let new = self.folder.path().join("policy.yaml.new");
        fs::write(&new, text)?;
        fs::rename(&new, self.policy_path())?;
        Ok(())
    }

    /// Runs `portguard VERB...` against this daemon.
    ///
    /// # Errors
    ///
    /// When the program cannot be run; its own failure is in the output.
    pub fn client(&self, words: &[&str]) -> anyhow::Result<Output> {
        Command::new(&self.binary)
            .args(words)
            .arg("--socket")
            .arg(self.folder.path().join("control.sock"))
            .stdin(Stdio::null())
            .output()
            .context("cannot run a client")
    }

    /// The same with a text on its standard input.
    ///
    /// # Errors
    ///
    /// As [`Daemon::client`].
    pub fn client_with_input(&self, words: &[&str], input: &str) -> anyhow::Result<Output> {
        let path = self.folder.path().join("input");
        fs::write(&path, input)?;
        Command::new(&self.binary)
            .args(words)
            .arg("--socket")
            .arg(self.folder.path().join("control.sock"))
            .stdin(File::open(&path)?)
            .output()
            .context("cannot run a client")
    }

    /// `portguard reload`.
    ///
    /// # Errors
    ///
    /// When the program cannot be run; its own failure is in the output.
    pub fn reload(&self) -> anyhow::Result<Output> {
        self.client(&["reload"])
    }

    /// `portguard counters --format json`.
    ///
    /// # Errors
    ///
    /// When the daemon does not answer.
    pub fn counters(&self) -> anyhow::Result<serde_json::Value> {
        self.json("counters")
    }

    /// `portguard status --format json`.
    ///
    /// # Errors
    ///
    /// When the daemon does not answer.
    pub fn status(&self) -> anyhow::Result<serde_json::Value> {
        self.json("status")
    }

    /// Waits until an interface, or a pattern of them, has a state in `status`.
    ///
    /// # Errors
    ///
    /// When it has not in time, with the last status.
    pub fn wait_for_interface(&self, name: &str, state: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status()?;
            let mut found = status["interfaces"].as_array().into_iter().flatten();
            if found.any(|entry| entry["name"] == name && entry["state"] == state) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("`{name}` is not {state}: {status}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn json(&self, verb: &str) -> anyhow::Result<serde_json::Value> {
        let output = self.client(&[verb, "--format", "json"])?;
        // `status` fails, too, when not all is well.
        if output.stdout.is_empty() {
            bail!(
                "`{verb}` failed: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.child
            .signal(signal)
            .context("cannot signal the daemon")
    }

    /// Sends a signal to each of its threads but the first, which are there now.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn signal_other_threads(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i64::from(self.child.id());
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread: i64 = task?.file_name().to_string_lossy().parse()?;
            if thread != pid {
                // SAFETY: numbers only. Our own child, not reaped yet: the ID cannot be another process's.
                let result =
                    unsafe { libc::syscall(libc::SYS_tgkill, pid, thread, signal.as_raw()) };
                let error = std::io::Error::last_os_error();
                // A thread may have ended meanwhile.
                if result < 0 && error.raw_os_error() != Some(libc::ESRCH) {
                    return Err(error).context("cannot signal a thread of the daemon");
                }
            }
        }
        Ok(())
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it by SIGTERM and waits.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn stop(mut self) -> anyhow::Result<Stopped> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Stopped {
                    status,
                    log: self.log(),
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("the daemon did not stop in time:\n{}", self.log())
    }

    /// Names of the files in its folder, to see what it leaves behind.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn files(&self) -> anyhow::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder.path())? {
            names.push(entry?.file_name());
        }
        names.sort();
        Ok(names)
    }
}

/// Gives this thread a BPF file system of its own in the usual place: what it pins there goes away with it.
///
/// # Errors
///
/// What the kernel says.
pub fn own_bpf_file_system() -> std::io::Result<()> {
    own_bpf_file_system_at(Path::new("/sys/fs/bpf"))
}

/// The same on another folder.
///
/// # Errors
///
/// What the kernel says.
pub fn own_bpf_file_system_at(folder: &Path) -> std::io::Result<()> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    // SAFETY: no file descriptor is unshared; the thread has its own view of the file system afterwards.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS)? };
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount("bpf", folder, "bpf", MountFlags::empty(), None)?;
    Ok(())
}

/// A command that will run a program in a namespace as root, but with no more power than the shipped systemd unit leaves it.
#[must_use]
pub fn with_three_capabilities(host: &Namespace, program: &Path) -> Command {
    let mut command = host.command("setpriv");
    command
        .args(["--bounding-set", "-all,+bpf,+net_admin,+perfmon"])
        .args(["--inh-caps", "-all"])
        .arg("--no-new-privs")
        .arg(program);
    command
}

/// Starts a daemon by a prepared command, with its policy, socket, state and log in a folder.
fn spawn_at(mut command: Command, folder: &Path) -> anyhow::Result<Process> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let command = command
        // Ctrl-C at the terminal is for this process alone, which then ends the daemon.
        .process_group(0)
        .arg("--policy")
        .arg(folder.join("policy.yaml"))
        .arg("--socket")
        .arg(folder.join("control.sock"))
        .arg("--state")
        .arg(folder.join("state"))
        .env("NOTIFY_SOCKET", folder.join("notify.sock"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Process::spawn(command).with_context(|| format!("cannot start {:?}", command.get_program()))
}
