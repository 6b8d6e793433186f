//! `portguard apply`, `confirm` and `revert`

use std::path::Path;

use anyhow::anyhow;

use crate::cli::{Apply, Connection};
use crate::control::{Answer, Change, Request};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::policy_file;

use super::client::{Client, unexpected};

/// Has the daemon put a policy in force, and waits for the result.
///
/// # Errors
///
/// [`Failure`] when the policy is refused; the previous one stays in force.
pub fn apply(arguments: &Apply) -> Outcome {
    let file = policy_file::read_text(&arguments.file)
        .map_err(|error| Failure::refused(anyhow!(output::problems::policy_error(&error))))?;
    let Change {
        force,
        ssh_connection,
    } = arguments.change.request();
    let request = Request::Apply {
        name: file.path,
        text: file.text,
        confirm_s: arguments.confirm.map(|time| time.as_secs()),
        force,
        ssh_connection,
    };
    change(&arguments.connection.socket, &request)
}

/// Has the daemon keep the policy that is on trial.
///
/// # Errors
///
/// [`Failure`] when there is none, or its time is over.
pub fn confirm(arguments: &Connection) -> Outcome {
    change(&arguments.socket, &Request::Confirm {})
}

/// Has the daemon go back to the policy before the trial.
///
/// # Errors
///
/// [`Failure`] when there is none.
pub fn revert(arguments: &Connection) -> Outcome {
    change(&arguments.socket, &Request::Revert {})
}

/// Asks for a change, and waits until it is made or refused.
pub(super) fn change(socket: &Path, request: &Request) -> Outcome {
    let mut client = Client::ask(socket, request)?;
    let Answer::Reloaded(reloaded) = client.answer()? else {
        return Err(unexpected());
    };
    output::reloaded(&reloaded)
}
