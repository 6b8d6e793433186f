//! `portguard status`

use crate::cli::Status;
use crate::control::{Answer, Request};
use crate::exit::Outcome;
use crate::output;

use super::client::{Client, unexpected};

/// Shows what the daemon does.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers.
pub fn status(arguments: &Status) -> Outcome {
    let mut client = Client::ask(&arguments.connection.socket, &Request::Status {})?;
    let Answer::Status(status) = client.answer()? else {
        return Err(unexpected());
    };
    output::status(&status, arguments.format)
}
