//! `portguard ports`

use anyhow::anyhow;
use portguard_policy::catalogue::Search;

use crate::cli::Ports;
use crate::exit::{Failure, Outcome};
use crate::output;

/// Looks ports up in the catalogue.
///
/// # Errors
///
/// [`Failure`] when nothing is found.
pub fn ports(arguments: &Ports) -> Outcome {
    let search = Search {
        query: arguments.query.clone(),
        profile: arguments.profile.clone(),
        class: arguments.class.map(Into::into),
    };
    let found = search.run();
    output::ports(&search, &found, arguments.format)?;
    if found.entries.is_empty() {
        let error = output::nothing_found(&search, &found);
        return Err(Failure::refused(anyhow!(error)));
    }
    Ok(())
}
