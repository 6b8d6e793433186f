//! `portguard unban`

use crate::cli::Unban;
use crate::control::{Answer, Request, Unbans};
use crate::exit::Outcome;
use crate::output;

use super::client::{Client, unexpected};
use super::targets::{Targets, add_notes};

/// Targets of one request: each has 50 bytes at most.
const CHUNK: usize = 1_000;

/// Takes bans back. What is not banned is no failure: it may have ended by itself a moment ago.
///
/// # Errors
///
/// [`crate::exit::Failure`] when one cannot be read, and nothing is done then; or no daemon answers.
pub fn unban(arguments: &Unban) -> Outcome {
    let targets = Targets::read(&arguments.targets)?;
    let names = targets.named.iter().map(|named| named.target.to_string());
    let names: Vec<String> = names.collect();
    let mut sum = Unbans {
        notes: targets.notes,
        ..Unbans::default()
    };
    for chunk in names.chunks(CHUNK) {
        let targets = chunk.to_vec();
        let request = Request::Unban { targets };
        let mut client = Client::ask(&arguments.connection.socket, &request)?;
        let Answer::Unbanned(answer) = client.answer()? else {
            return Err(unexpected());
        };
        sum.removed += answer.removed;
        sum.unknown.extend(answer.unknown);
        add_notes(&mut sum.notes, answer.notes);
        sum.total = answer.total;
    }
    output::unbanned(&sum)
}
