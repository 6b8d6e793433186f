//! One step of a chore: announced in a line, its output shown only when it fails.

use std::{
    env, error, fmt,
    io::{Read as _, Seek as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The machine does not allow it, or lacks what only its administrator can add: exit code 3.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Refused {}

/// Refuses unless root is at work; `verb` says what it needs that for.
///
/// # Errors
///
/// [`Refused`] for anybody else.
pub(crate) fn require_root(verb: &str, what_for: &str) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Refused(format!(
        "`{verb}` {what_for} (CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN): run `cargo xtask {verb}` as root"
    ))
    .into())
}

/// Says what is about to happen.
pub(crate) fn announce(what: &str) {
    eprintln!("xtask: {what}");
}

/// Announces `what`, then runs `command` quietly.
///
/// # Errors
///
/// When it does not start or fails; with everything it printed.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    announce(what);
    // One file for both streams keeps their order.
    let mut log = tempfile::tempfile().context("cannot make a temporary file")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .status()
        .with_context(|| format!("cannot run `{}`", command.get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    log.rewind()?;
    log.read_to_end(&mut bytes)?;
    bail!(
        "`{}` failed ({status}):\n{}",
        typed(command),
        String::from_utf8_lossy(&bytes).trim_end()
    )
}

/// Runs `command` with its output in view.
///
/// # Errors
///
/// When it does not start or fails.
pub(crate) fn show(what: &str, command: &mut Command) -> Result<()> {
    announce(what);
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", command.get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    bail!("`{}` failed ({status})", typed(command))
}

/// A program on the path, or in the folders for the administrator, which a path may lack.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The command as one would type it.
fn typed(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_both_streams_in_order() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 7"]);
        let error = run("a test of failure", &mut command).expect_err("fails");
        let text = error.to_string();
        assert!(text.contains("exit status: 7"), "{text}");
        assert!(text.ends_with("one\ntwo\nthree"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run("a test", &mut Command::new("/nonexistent/program")).expect_err("fails");
        assert_eq!(error.to_string(), "cannot run `/nonexistent/program`");
    }
}
