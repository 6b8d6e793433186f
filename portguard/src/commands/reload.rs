//! `portguard reload`

use crate::cli::Reload;
use crate::control::Request;
use crate::exit::Outcome;

/// Has the daemon read its policy again, and waits for the result.
///
/// # Errors
///
/// [`crate::exit::Failure`] when the policy is refused; the previous one stays in force.
pub fn reload(arguments: &Reload) -> Outcome {
    let request = Request::Reload(arguments.change.request());
    super::apply::change(&arguments.connection.socket, &request)
}
