//! `cargo xtask fuzz`: random policies and packets, for as long as one likes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::{root, setup, step};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long, in minutes
    #[arg(long, default_value_t = 10.0, allow_negative_numbers = true)]
    minutes: f64,
    /// The seed of the first policy, each further one has the next [default: a random one]
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        args.minutes > 0.0 && args.minutes.is_finite(),
        "--minutes {}: a number above 0 is expected",
        args.minutes
    );
    // First, since the build takes long.
    step::require_root("fuzz", "loads kernel programs")?;
    setup::ensure()?;
    let seed = args.seed.unwrap_or_else(random_seed);
    let mut cargo = root::cargo();
    cargo
        .args(["test", "--quiet", "--package", "portguard"])
        .args(["--test", "differential", "--", "--nocapture"])
        .env("PORTGUARD_DIFFERENTIAL_MINUTES", args.minutes.to_string())
        .env("PORTGUARD_DIFFERENTIAL_SEED", seed.to_string());
    let what = format!(
        "kernel, host and model compared for {} minutes, from seed {seed} on",
        args.minutes
    );
    step::show(&what, &mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

/// A seed that no run had before, from what the standard library draws to seed its hash tables.
fn random_seed() -> u64 {
    // So short that it can be typed.
    RandomState::new().build_hasher().finish() >> 32
}
