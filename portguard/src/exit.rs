//! How the program ends: exit codes, the error that carries one, and panics.

use std::process::ExitCode;
use std::{fmt, panic, process};

/// Exit codes. They are an interface: `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The policy or the request is refused; of `diff`, the policies differ; of `doctor`, there is a problem; of
    /// `ports`, nothing is found; of `audit`, something as grave as `--fail-on` says is; of `import`, the policy
    /// is wider than its original; of `block` and `open`, the port is not as it was asked.
    Refused = 1,
    /// The command line is wrong; of `diff`, a policy is refused, too.
    Usage = 2,
    /// The system refuses: permission, kernel, interface, no daemon.
    System = 3,
}

impl Exit {
    /// The exit code that a daemon's answer carries as a number.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Refused,
            2 => Self::Usage,
            _ => Self::System,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Makes every panic end the process at once, after its message: nothing is dropped. A daemon that fails unexpectedly
/// must not tidy up, and a task must not die alone: what is attached goes on filtering, and systemd starts it again.
pub fn abort_on_panic() {
    let message = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        message(info);
        process::abort();
    }));
}

/// A failure with the exit code that it leads to. It is printed once, by `main`.
#[derive(Debug)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What went wrong, with its causes.
    pub error: anyhow::Error,
}

impl Failure {
    /// The policy or the request is refused.
    pub fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Refused,
            error: error.into(),
        }
    }

    /// The command line is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::Usage,
            error: error.into(),
        }
    }

    /// The system refuses.
    pub fn system(error: impl Into<anyhow::Error>) -> Self {
        Self {
            exit: Exit::System,
            error: error.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_full(&self.error))
    }
}

/// An error with its causes, each said once: some errors already end with what caused them, others leave it to whoever
/// prints them.
#[must_use]
pub fn in_full(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// Result of a command.
pub type Outcome<T = ()> = Result<T, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Wrapped {
        #[error("cannot write `a`: {0}")]
        Said(#[source] std::io::Error),
        #[error("cannot write `a`")]
        Left(#[source] std::io::Error),
    }

    #[test]
    fn each_cause_is_said_once() {
        let full = || std::io::Error::other("disk full");
        for error in [Wrapped::Said(full()), Wrapped::Left(full())] {
            let error = anyhow::Error::new(error).context("nothing was kept");
            assert_eq!(
                Failure::system(error).to_string(),
                "nothing was kept: cannot write `a`: disk full"
            );
        }
    }
}
