//! A network namespace without a name.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, bail};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// A network namespace; it ends when this and every process in it are gone.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes a namespace with a loopback device that is up.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: it takes CAP_SYS_ADMIN.
    pub fn new() -> anyhow::Result<Self> {
        // On a thread of its own, which ends: no other thread may find itself in the new namespace.
        let file = thread::spawn(|| -> anyhow::Result<File> {
            #[expect(
                deprecated,
                reason = "the safe successor is not in every release of rustix"
            )]
            rustix::thread::unshare(UnshareFlags::NEWNET)?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        })
        .join()
        .map_err(|_panic| anyhow::anyhow!("the thread of a new namespace panicked"))?
        .context("cannot make a network namespace; it takes root")?;
        let namespace = Self(file);
        namespace.ip("link set dev lo up")?;
        // Addresses are ours alone: no need to wait for duplicate address detection.
        namespace.enter(|| std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"))??;
        Ok(namespace)
    }

    /// The namespace of a process.
    ///
    /// # Errors
    ///
    /// When there is no such process.
    pub fn of_process(pid: u32) -> anyhow::Result<Self> {
        let file = File::open(format!("/proc/{pid}/ns/net"))
            .with_context(|| format!("process {pid} has no network namespace"))?;
        Ok(Self(file))
    }

    /// Runs a closure on a thread inside the namespace.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered, or the closure panics.
    pub fn enter<T: Send>(&self, run: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                        .context("cannot enter a network namespace")?;
                    Ok(run())
                })
                .join()
                .map_err(|_panic| anyhow::anyhow!("what ran in the namespace panicked"))?
        })
    }

    /// A command that will run inside the namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let namespace = self.0.as_raw_fd();
        // SAFETY: between fork and exec only `setns` is called, which is a plain system call; the
        // descriptor is open as long as `self`, which the caller holds while it spawns.
        unsafe {
            command.pre_exec(move || {
                if libc::setns(namespace, libc::CLONE_NEWNET) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
        command
    }

    /// Runs `ip` with these words inside the namespace.
    ///
    /// # Errors
    ///
    /// When it fails, with what it says.
    pub fn ip(&self, words: &str) -> anyhow::Result<String> {
        let output = self
            .command("ip")
            .args(words.split_whitespace())
            .output()
            .context("cannot run `ip`; is iproute2 installed?")?;
        if !output.status.success() {
            bail!(
                "`ip {words}` failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The index of a device.
    ///
    /// # Errors
    ///
    /// When there is no such device.
    pub fn index_of(&self, device: &str) -> anyhow::Result<u32> {
        let shown = self.ip(&format!("-o link show dev {device}"))?;
        let number = shown.split(':').next().unwrap_or_default();
        number
            .parse()
            .with_context(|| format!("`ip` shows no index of `{device}`"))
    }

    /// Opens a TCP socket that listens at an address; at any port, where that is 0.
    ///
    /// # Errors
    ///
    /// When the address is not this host's, or the port is taken.
    pub fn listen(&self, address: SocketAddr) -> anyhow::Result<TcpListener> {
        self.enter(|| TcpListener::bind(address))?
            .with_context(|| format!("cannot listen at {address}"))
    }

    /// Whether somebody listens for TCP connections at a port.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered.
    pub fn listens_at(&self, port: u16) -> anyhow::Result<bool> {
        let listening = format!(":{port:04X} ");
        let tables = self.enter(|| {
            ["tcp", "tcp6"].map(|name| {
                std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default()
            })
        })?;
        let mut lines = tables.iter().flat_map(|table| table.lines());
        Ok(lines.any(|line| line.contains(&listening) && line.contains(" 0A ")))
    }

    /// A path under which another process finds the namespace.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}
