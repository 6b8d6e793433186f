//! `portguard stats`

use anyhow::Context as _;

use crate::cli::Stats;
use crate::dataplane::link_stats;
use crate::exit::{Failure, Outcome};
use crate::host::protocols;
use crate::output;

/// Shows what the kernel has counted.
///
/// # Errors
///
/// [`Failure`] when it does not tell.
pub fn stats(arguments: &Stats) -> Outcome {
    let links = link_stats::list()
        .context("cannot list the interfaces")
        .map_err(Failure::system)?;
    let protocols = protocols::read()
        .context("cannot read the counters of protocols")
        .map_err(Failure::system)?;
    output::stats(&links, &protocols, arguments.format)
}
