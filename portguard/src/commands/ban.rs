//! `portguard ban`

use anyhow::anyhow;

use crate::cli::Ban;
use crate::control::{Answer, BanEntry, Bans, Change, Request};
use crate::exit::{Failure, Outcome};
use crate::output;

use super::client::{Client, unexpected};
use super::targets::{Targets, add_notes};

/// Entries of one request: few enough that others who ask meanwhile do not wait long, and many, since sessions that could be cut are
/// looked up for each request.
const CHUNK: usize = 5_000;

/// Bans sources, in several requests if there are many.
///
/// # Errors
///
/// [`Failure`] when one cannot be read, and nothing is banned then; or when some or all are refused.
pub fn ban(arguments: &Ban) -> Outcome {
    let targets = Targets::read(&arguments.targets)?;
    let entries: Vec<BanEntry> = targets
        .named
        .iter()
        .map(|named| BanEntry {
            target: named.target.to_string(),
            for_ms: named
                .time
                .or(arguments.time)
                .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        })
        .collect();
    let Change {
        force,
        ssh_connection,
    } = arguments.change.request();
    let mut sum = Bans {
        notes: targets.notes,
        ..Bans::default()
    };
    for chunk in entries.chunks(CHUNK) {
        let request = Request::Ban {
            entries: chunk.to_vec(),
            reason: arguments.reason.clone(),
            force,
            ssh_connection: ssh_connection.clone(),
        };
        match ask(arguments, &request) {
            Ok(answer) => add(&mut sum, answer),
            Err(failure) => {
                // What was done before stays done, and is said.
                output::banned(&sum)?;
                return Err(failure);
            }
        }
    }
    output::banned(&sum)?;
    match sum.refused.len() {
        0 => Ok(()),
        refused => Err(Failure::refused(anyhow!(
            "{refused} of {} are not banned",
            entries.len()
        ))),
    }
}

fn ask(arguments: &Ban, request: &Request) -> Outcome<Bans> {
    match Client::ask(&arguments.connection.socket, request)?.answer()? {
        Answer::Banned(answer) => Ok(answer),
        _ => Err(unexpected()),
    }
}

fn add(sum: &mut Bans, answer: Bans) {
    sum.new += answer.new;
    sum.prolonged += answer.prolonged;
    sum.longer += answer.longer;
    sum.refused.extend(answer.refused);
    add_notes(&mut sum.notes, answer.notes);
    sum.total = answer.total;
}
