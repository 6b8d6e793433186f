//! `portguard status`

use std::process::ExitCode;

use crate::cli::Status;
use crate::control::{Answer, Request};
use crate::exit::{Exit, Outcome};
use crate::output;

use super::client::{Client, unexpected};

/// Shows what the daemon does; not all being well is an exit code of its own.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers.
pub fn status(arguments: &Status) -> Outcome<ExitCode> {
    let mut client = Client::ask(&arguments.connection.socket, &Request::Status {})?;
    let Answer::Status(status) = client.answer()? else {
        return Err(unexpected());
    };
    output::status(&status, arguments.format)?;
    Ok(if status.degraded.is_empty() {
        ExitCode::SUCCESS
    } else {
        Exit::Refused.into()
    })
}
