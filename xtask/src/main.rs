//! The chores of the project: `cargo xtask VERB`.
//!
//! One module a verb. Every verb first does what `setup` does, if anything is missing, so that a
//! fresh clone needs no preparation.

mod artifact;
mod bench;
mod build;
mod demo;
mod format;
mod fuzz;
mod interrupt;
mod kernels;
mod root;
mod setup;
mod stalls;
mod step;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::step::Refused;

/// The chores of the project.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Exit codes: 0 done, 1 it failed, 2 usage, 3 the system refuses (permission, \
                  packages, kernel)."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what the build needs and is missing; every other verb does this by itself
    Setup(setup::Args),
    /// Build the daemon, optimised, with the kernel programs inside
    Build(build::Args),
    /// Show the daemon at work on real traffic, in private network namespaces (as root)
    Demo(demo::Args),
    /// Check formatting and lints, and run every test (as root)
    Test(test::Args),
    /// Compare kernel, host and reference model on random policies and packets, for a time (as root)
    Fuzz(fuzz::Args),
    /// Run tests under kernels of Debian, in an emulated machine, with devices that this host may lack (as root)
    Kernels(kernels::Args),
    /// Run the tests with real packets on a machine that stands still now and then (as root)
    Stalls(stalls::Args),
    /// Measure what a packet costs in the kernel (as root)
    Bench(bench::Args),
}

impl Verb {
    fn run(&self) -> Result<ExitCode> {
        match self {
            Self::Setup(args) => setup::run(args),
            Self::Build(args) => build::run(args),
            Self::Demo(args) => demo::run(args),
            Self::Test(args) => test::run(args),
            Self::Fuzz(args) => fuzz::run(args),
            Self::Kernels(args) => kernels::run(args),
            Self::Stalls(args) => stalls::run(args),
            Self::Bench(args) => bench::run(args),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().verb.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Refused>() { 3 } else { 1 })
        }
    }
}
