//! `portguard status`

use std::path::Path;
use std::process::ExitCode;

use crate::cli::Status;
use crate::control::{self, Answer, Request};
use crate::exit::{Exit, Outcome};
use crate::output;

use super::client::{Client, unexpected};

/// Shows what the daemon does; not all being well is an exit code of its own.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers.
pub fn status(arguments: &Status) -> Outcome<ExitCode> {
    let status = ask(&arguments.connection.socket)?;
    output::status(&status, arguments.format)?;
    Ok(if status.degraded.is_empty() {
        ExitCode::SUCCESS
    } else {
        Exit::Refused.into()
    })
}

/// What the daemon does.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers.
pub(super) fn ask(socket: &Path) -> Outcome<control::Status> {
    match Client::ask(socket, &Request::Status {})?.answer()? {
        Answer::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}
