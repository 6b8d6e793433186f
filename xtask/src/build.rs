//! `cargo xtask build`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{artifact, root, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    println!("{}", release()?.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds the daemon in release and tells where it is.
pub(crate) fn release() -> Result<PathBuf> {
    setup::ensure()?;
    let mut cargo = root::cargo();
    cargo.args(["build", "--release", "--package", "portguard", "--bins"]);
    let mut built = artifact::build(&mut cargo)?.into_iter();
    let daemon = built.find(|program| program.name == "portguard");
    let daemon = daemon.context("cargo did not tell where the daemon is")?;
    Ok(daemon.path)
}
