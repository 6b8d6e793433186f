//! `portguard rules`

use crate::cli::Rules;
use crate::control::{Answer, Request};
use crate::exit::Outcome;
use crate::output;

use super::client::{Client, unexpected};

/// Lists the rules in force.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers.
pub fn rules(arguments: &Rules) -> Outcome {
    let mut client = Client::ask(&arguments.connection.socket, &Request::Rules {})?;
    let Answer::Rules(rules) = client.answer()? else {
        return Err(unexpected());
    };
    output::rules(&rules, arguments.format)
}
