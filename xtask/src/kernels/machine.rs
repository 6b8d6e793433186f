//! The virtual machine.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    num::NonZero,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{Run, package::Kernel};
use crate::test::Summary;

/// What `tests.sh` says when the tests begin and when they are done.
const UP: &str = " is up";
const SAYS: &str = "machine: ";
const DONE: &str = "machine: done ";

/// What a kernel says that gives up.
const PANIC: &str = "Kernel panic - not syncing: ";

/// Memory of the machine, for the kernel, the tests and all that they write.
const MEMORY_MIB: &str = "4096";

/// Processors of the machine: the kernel is to have more than one, where this host has.
pub(super) fn processors() -> usize {
    let host = thread::available_parallelism().map_or(1, NonZero::get);
    host.min(2)
}

/// A machine that boots a kernel.
#[derive(Debug)]
pub(super) struct Machine<'k> {
    pub(super) kernel: &'k Kernel,
    /// Where all is kept that is said on its console.
    pub(super) log: PathBuf,
    /// When it is ended.
    pub(super) limit: Duration,
    /// Whether all that is shown, too.
    pub(super) console: bool,
}

impl Machine<'_> {
    /// Boots it and shows what the tests say.
    ///
    /// # Errors
    ///
    /// When the kernel panics, the machine ends before the tests do, or they take too long.
    pub(super) fn run(&self, initramfs: &Path) -> Result<Run> {
        let mut log = File::create(&self.log)
            .with_context(|| format!("cannot write `{}`", self.log.display()))?;
        let begin = Instant::now();
        let mut running = Running::start(self.kernel, initramfs)?;
        let mut reading = Reading::default();
        loop {
            let left = self.limit.saturating_sub(begin.elapsed());
            let line = match running.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!(
                    "it did not end within {} minutes (`--minutes`); its last words: {}",
                    self.limit.as_secs() / 60,
                    reading.last
                ),
            };
            writeln!(log, "{line}")?;
            if reading.read(&line) || self.console {
                println!("{line}");
            }
        }
        let status = running.child.wait()?;
        let mut summary = reading.end().with_context(|| {
            format!("the machine ended ({status}); see `{}`", self.log.display())
        })?;
        if reading.code != Some(0) {
            summary.note_failure();
        }
        Ok(Run {
            summary,
            took: begin.elapsed(),
        })
    }
}

/// What the console has said so far.
#[derive(Debug, Default)]
struct Reading {
    is_up: bool,
    panic: Option<String>,
    code: Option<u8>,
    summary: Summary,
    last: String,
}

impl Reading {
    /// Reads a line; whether it is one to be shown.
    fn read(&mut self, line: &str) -> bool {
        if let Some((_, why)) = line.split_once(PANIC) {
            self.panic = Some(why.trim().to_owned());
        }
        if let Some(code) = line.strip_prefix(DONE) {
            self.code = code.trim().parse().ok();
        }
        let is_shown = self.is_up && self.code.is_none();
        self.is_up |= line.starts_with(SAYS) && line.ends_with(UP);
        if is_shown {
            self.summary.add(line);
        }
        line.clone_into(&mut self.last);
        is_shown
    }

    /// The summary of all tests.
    ///
    /// # Errors
    ///
    /// When they did not come to their end.
    fn end(&self) -> Result<Summary> {
        match (&self.panic, self.code) {
            (Some(why), _) => bail!("the kernel panicked: {why}"),
            (None, None) if self.is_up => bail!("the tests did not end; last words: {}", self.last),
            (None, None) => bail!("it did not come up; last words: {}", self.last),
            (None, Some(_)) => Ok(self.summary),
        }
    }
}

/// A machine that runs, until this is dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(kernel: &Kernel, initramfs: &Path) -> Result<Self> {
        // It ends with this process, whatever ends that.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            // Emulated: a host that is a virtual machine itself has no other way.
            .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
            .args(["-smp", &processors().to_string(), "-m", MEMORY_MIB])
            .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
            .args(["-nic", "none", "-no-reboot"])
            .arg("-virtfs")
            .arg("local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap")
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(initramfs)
            // A panic ends the machine at once. What it costs to keep guests apart is not looked at here.
            .args(["-append", "console=ttyS0 panic=-1 mitigations=off"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run setpriv")?;
        let console = child.stdout.take().context("the machine has no console")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Whatever is no text is shown as good as can be.
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Reading, Vec<bool>) {
        let mut reading = Reading::default();
        let shown = lines.iter().map(|line| reading.read(line)).collect();
        (reading, shown)
    }

    const RESULT: &str =
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";

    #[test]
    fn only_what_the_tests_say_is_shown_and_counted() {
        let (reading, shown) = read(&[
            RESULT,
            "machine: 6.1.0-50-amd64 is up",
            "running 3 tests",
            RESULT,
            "machine: done 0",
            "reboot: Power down",
        ]);
        assert_eq!(shown, [false, false, true, true, false, false]);
        assert_eq!(reading.code, Some(0));
        let summary = reading.end().expect("an end");
        assert_eq!(summary.to_string(), "3 passed, 0 failed");
    }

    #[test]
    fn a_machine_that_ends_before_the_tests_is_an_error() {
        let error = |lines: &[&str]| read(lines).0.end().expect_err("an error").to_string();
        let up = "machine: 6.1.0-50-amd64 is up";
        assert_eq!(
            error(&["Booting"]),
            "it did not come up; last words: Booting"
        );
        assert_eq!(
            error(&[up, "test a"]),
            "the tests did not end; last words: test a"
        );
        let panic = "[   12.5] Kernel panic - not syncing: Fatal exception in interrupt";
        for lines in [
            &[panic][..],
            &[up, RESULT, panic, "---"],
            &[up, "machine: done 0", panic],
        ] {
            assert_eq!(
                error(lines),
                "the kernel panicked: Fatal exception in interrupt"
            );
        }
    }
}
