//! `cargo xtask bench`: what a packet costs.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{format::Format, root, setup, step};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to print the figures; JSON is one object a row
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    setup::ensure()?;
    step::announce("measuring; nothing else should run meanwhile");
    let mut cargo = root::cargo();
    cargo.args([
        "bench",
        "--quiet",
        "--package",
        "portguard",
        "--bench",
        "packet",
        "--",
    ]);
    if args.format == Format::Json {
        cargo.arg("--json");
    }
    let status = cargo.status().context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
