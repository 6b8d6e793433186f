//! `cargo xtask build`.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{root, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    println!("{}", release()?.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the daemon in release and tells where it is.
pub(crate) fn release() -> Result<PathBuf> {
    setup::ensure()?;
    let mut cargo = root::cargo()
        .args(["build", "--release", "--package", "portguard", "--bins"])
        // Cargo tells where the binary went: the user's configuration may have moved it.
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stdout = cargo.stdout.take().context("cargo has no output")?;
    let mut daemon = None;
    for line in BufReader::new(stdout).lines() {
        daemon = executable(&line?).or(daemon);
    }
    if !cargo.wait()?.success() {
        bail!("the build failed");
    }
    daemon.context("cargo did not tell where the daemon is")
}

/// The daemon, if this message of cargo says that it was built.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["target"]["name"] != "portguard" {
        return None;
    }
    message["executable"].as_str().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_daemon_among_the_messages_of_cargo() {
        let library = r#"{"reason":"compiler-artifact","target":{"name":"aya"},"executable":null}"#;
        let daemon = r#"{"target":{"name":"portguard"},"executable":"/t/release/portguard"}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable(daemon), Some("/t/release/portguard".into()));
        assert_eq!(executable("not json"), None);
    }
}
