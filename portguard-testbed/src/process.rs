//! Programs that end with who started them.

use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// A running program. Dropping it kills it, also one that is stopped; it also ends with the thread that started it, so that nothing
/// stays when this process is killed.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Runs a command.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        // SAFETY: between fork and exec only `prctl` is called, which is a plain system call.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        command.spawn().map(Self)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it has ended and was waited for.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }
}

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end, and waiting returns at once.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_stopped_is_gone_when_it_is_dropped() -> io::Result<()> {
        let process = Process::spawn(Command::new("sleep").arg("60"))?;
        process.signal(Signal::STOP)?;
        let pid = Pid::from_child(&process);
        drop(process);
        assert_eq!(
            kill_process(pid, Signal::CONT),
            Err(rustix::io::Errno::SRCH)
        );
        Ok(())
    }
}
