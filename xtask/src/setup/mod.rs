//! `cargo xtask setup`: installs what is missing, says so before it does, and is silent otherwise.

mod compiler;
pub(crate) mod debian;
mod linker;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use portguard_build::{Missing, Toolchain};

use crate::step::Refused;

pub(crate) use tools::{
    ensure_for_checks, ensure_for_namespaces, ensure_for_tests, install_missing,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    ensure()?;
    Ok(ExitCode::SUCCESS)
}

/// The toolchain of the kernel side, installed if need be.
pub(crate) fn ensure() -> Result<Toolchain> {
    let missing = match portguard_build::find() {
        Ok(toolchain) => return Ok(toolchain),
        Err(missing) => missing,
    };
    let compiler = match missing {
        Missing::Compiler => compiler::install()?,
        Missing::Linker { .. } => portguard_build::find_compiler()?,
        // The user's own choice is not replaced.
        Missing::NamedCompiler(_) | Missing::NamedLinker(_) => {
            return Err(Refused(missing.to_string()).into());
        }
    };
    match portguard_build::find() {
        Ok(toolchain) => return Ok(toolchain),
        Err(Missing::Linker { .. }) => linker::install(&compiler)?,
        Err(other) => return Err(Refused(other.to_string()).into()),
    }
    portguard_build::find().map_err(|missing| Refused(missing.to_string()).into())
}
