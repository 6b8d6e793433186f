//! `portguard bans`

use crate::cli::Bans;
use crate::control::{Answer, BanInfo, Request};
use crate::exit::Outcome;
use crate::output;

use super::client::{Client, unexpected};

/// Lists the bans in force.
///
/// # Errors
///
/// [`crate::exit::Failure`] when no daemon answers.
pub fn bans(arguments: &Bans) -> Outcome {
    let mut bans: Vec<BanInfo> = Vec::new();
    loop {
        let after = bans.last().map(|ban| ban.target.clone());
        let request = Request::Bans { after };
        let mut client = Client::ask(&arguments.connection.socket, &request)?;
        let Answer::Bans(page) = client.answer()? else {
            return Err(unexpected());
        };
        let is_last = page.is_last || page.bans.is_empty();
        bans.extend(page.bans);
        if is_last {
            return output::bans(&bans, arguments.format);
        }
    }
}
