//! `portguard reload`

use crate::cli::Connection;
use crate::control::{Answer, Request};
use crate::exit::Outcome;
use crate::output;

use super::client::{Client, unexpected};

/// Has the daemon read its policy again, and waits for the result.
///
/// # Errors
///
/// [`crate::exit::Failure`] when the policy is refused; the previous one stays in force.
pub fn reload(arguments: &Connection) -> Outcome {
    let mut client = Client::ask(&arguments.socket, &Request::Reload {})?;
    let Answer::Reloaded(reloaded) = client.answer()? else {
        return Err(unexpected());
    };
    output::reloaded(&reloaded)
}
