//! `portguard diff`

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};

use crate::cli::Diff;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, problems};
use crate::policy_file::{self, Loaded};

/// Says what another policy does differently. The exit codes are those of diff(1): 1 if it does, 2 for trouble.
///
/// # Errors
///
/// [`Failure`] when one of them is refused, or where it cannot be told.
pub fn diff(arguments: &Diff) -> Outcome<ExitCode> {
    let old = load(&arguments.old)?;
    let new = load(&arguments.new)?;
    let difference = portguard_policy::diff((&old.policy, &old.tables), (&new.policy, &new.tables))
        .context("it cannot be told whether the policies differ")
        .map_err(Failure::usage)?;
    output::difference([&old.policy, &new.policy], &difference, arguments.format)?;
    Ok(if difference.is_none() {
        ExitCode::SUCCESS
    } else {
        Exit::Refused.into()
    })
}

fn load(path: &Path) -> Outcome<Loaded> {
    policy_file::load(path).map_err(|error| Failure::usage(anyhow!(problems::policy_error(&error))))
}
