//! `portguard doctor`

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use portguard_policy::InterfacePattern;

use crate::cli::Doctor;
use crate::control::{Answer, InterfaceState, Request};
use crate::daemon;
use crate::exit::{Exit, Failure, Outcome};
use crate::host::preflight::{self, Finding, Question, Severity, Wanted};
use crate::output;
use crate::policy_file::{self, Loaded, PolicyError};

use super::client::Client;

/// Where the policy is, unless somebody says otherwise.
const USUAL_POLICY: &str = "/etc/portguard/policy.yaml";

/// Looks at the host, and shows what it finds.
///
/// # Errors
///
/// [`Failure`] when it cannot look.
pub fn doctor(arguments: &Doctor) -> Outcome<ExitCode> {
    let (loaded, about_policy) = policy(arguments.policy.as_deref());
    let patterns = match &loaded {
        Some(loaded) if !loaded.policy.interfaces.is_empty() => loaded.policy.interfaces.clone(),
        _ => vec![InterfacePattern::DefaultRoute],
    };
    let meant = daemon::names(&patterns).map_err(Failure::system)?;
    let interfaces = if arguments.interfaces.is_empty() {
        &meant
    } else {
        &arguments.interfaces
    };
    // Without a policy, what is asked for is what would be guarded.
    let guarded = match &loaded {
        Some(_) => meant.iter().cloned().collect(),
        None => interfaces.iter().cloned().collect(),
    };
    let attached = attached_by_daemon(&arguments.connection.socket);
    let mut report = preflight::look(&Question {
        pins: &arguments.pins,
        interfaces,
        insisted: !arguments.interfaces.is_empty(),
        guarded: &guarded,
        ours: attached.as_ref(),
        wanted: loaded
            .as_ref()
            .map_or_else(Wanted::default, |loaded| Wanted::of(&loaded.policy)),
    })
    .map_err(Failure::system)?;
    report.host.push(about_policy);
    if interfaces.is_empty() {
        report.host.push(Finding::no_interface());
    }
    output::doctor(&report, arguments.format)?;
    Ok(match report.count(Severity::Problem) {
        0 => ExitCode::SUCCESS,
        _ => Exit::Refused.into(),
    })
}

/// The policy, and what is to be said about it.
fn policy(named: Option<&Path>) -> (Option<Loaded>, Finding) {
    let path = named.map_or_else(|| PathBuf::from(USUAL_POLICY), Path::to_path_buf);
    match policy_file::load(&path) {
        Ok(loaded) => (Some(loaded), Finding::policy_valid(&path)),
        Err(PolicyError::Unreadable { reason, .. }) if named.is_none() => {
            (None, Finding::policy_not_looked_at(&path, &reason))
        }
        Err(error) => (None, Finding::policy_refused(&path, &error)),
    }
}

/// Names of the interfaces that the running daemon has attached to: none if there is no daemon, `None` if it must not
/// be asked.
fn attached_by_daemon(socket: &Path) -> Option<BTreeSet<String>> {
    let answer = Client::ask(socket, &Request::Status {}).and_then(|mut client| client.answer());
    match answer {
        Ok(Answer::Status(status)) => {
            let attached = status.interfaces.into_iter();
            let attached = attached.filter(|interface| interface.state == InterfaceState::Attached);
            Some(attached.map(|interface| interface.name).collect())
        }
        Err(failure) if is_permission_denied(&failure) => None,
        _ => Some(BTreeSet::new()),
    }
}

fn is_permission_denied(failure: &Failure) -> bool {
    failure
        .error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
