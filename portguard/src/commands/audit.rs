//! `portguard audit`

use std::process::ExitCode;

use crate::cli::Audit;
use crate::exit::{Exit, Outcome};
use crate::exposure::Judge;
use crate::exposure::audit::audit as findings;
use crate::host::published;
use crate::host::sockets::Selection;
use crate::output;

use super::filter;
use super::host::Host;

/// Looks for faults.
///
/// # Errors
///
/// [`crate::exit::Failure`] when it cannot look, or the policy is refused.
pub fn audit(arguments: &Audit) -> Outcome<ExitCode> {
    let found = filter::find(&arguments.judged)?;
    let host = Host::look(Selection::Open, found.filter())?;
    let published = published::find(&host.sockets, &host.owners);
    let judge = Judge::new(found.filter(), &host.ways);
    let findings = findings(&host.facts(&judge, found.why_none(), &published.published));
    output::audited(
        found.filter(),
        &findings,
        &published.notes,
        arguments.format,
    )?;
    let worst = findings.iter().map(|own| own.severity).max();
    let fails = arguments.fail_on.map(Into::into);
    Ok(match (worst, fails) {
        (Some(worst), Some(fails)) if worst >= fails => Exit::Refused.into(),
        _ => ExitCode::SUCCESS,
    })
}
