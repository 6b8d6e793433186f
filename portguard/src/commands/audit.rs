//! `portguard audit`

use std::process::ExitCode;

use crate::cli::Audit;
use crate::exit::{Exit, Outcome};
use crate::exposure::Judge;
use crate::exposure::audit::{Facts, audit as findings};
use crate::host::published;
use crate::host::sockets::Selection;
use crate::output;

use super::filter;
use super::host::{Host, client_ports, forwards};

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
    let findings = findings(&Facts {
        judge: &judge,
        why_none: found.why_none(),
        sockets: &host.sockets,
        owners: &host.owners,
        published: &published.published,
        client_ports: client_ports(),
        forwards: forwards(),
    });
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
