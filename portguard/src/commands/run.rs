//! `portguard run`

use anyhow::anyhow;
use portguard_policy::InterfacePattern;

use crate::cli::Run;
use crate::daemon::{self, Options, StateFolder};
use crate::exit::{Failure, Outcome};
use crate::host::group;
use crate::output;

/// Runs the daemon.
///
/// # Errors
///
/// [`Failure`] when it cannot start.
pub fn run(arguments: Run) -> Outcome {
    let interfaces = arguments
        .interface
        .iter()
        .map(|text| {
            InterfacePattern::parse(text)
                .map_err(|problem| Failure::usage(anyhow!("`--interface {text}`: {problem}")))
        })
        .collect::<Outcome<_>>()?;
    let group = arguments
        .group
        .map(|group| group::number_of(&group))
        .transpose()
        .map_err(|error| Failure::usage(anyhow!("`--group`: {error}")))?;
    output::start_log(arguments.log, arguments.log_level, arguments.kernel_log)?;
    daemon::run(Options {
        policy: arguments.policy,
        interfaces,
        pins: arguments.pins,
        state: StateFolder::new(arguments.state),
        watch: !arguments.no_watch,
        group,
        max_bans: arguments.max_bans,
        kernel_log: arguments.kernel_log.map(Into::into),
        socket: arguments.connection.socket,
    })
}
