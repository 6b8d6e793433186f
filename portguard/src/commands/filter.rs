//! The policy by which the sockets of this host are judged.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, anyhow};

use portguard_policy::DropIn;

use crate::cli::Judged;
use crate::control::{Answer, PolicyInForce, Request};
use crate::daemon;
use crate::dataplane::interfaces;
use crate::exit::{Failure, Outcome};
use crate::exposure::{Filter, Origin};
use crate::output::problems;
use crate::policy_file::{self, KeptFiles, Loaded, PolicyError, PolicyFile};

use super::client::{Client, unexpected};

/// A policy, or why there is none.
pub(super) enum Found {
    /// This one.
    Policy(Box<Filter>),
    /// None is in force, or none that may be seen; for people.
    None(String),
}

impl Found {
    /// The policy.
    pub(super) fn filter(&self) -> Option<&Filter> {
        match self {
            Self::Policy(filter) => Some(filter),
            Self::None(_) => None,
        }
    }

    /// Why there is none.
    pub(super) fn why_none(&self) -> Option<&str> {
        match self {
            Self::Policy(_) => None,
            Self::None(why) => Some(why),
        }
    }
}

/// Finds the policy: that of the file, or else the one in force.
///
/// # Errors
///
/// [`Failure`] when the file is refused, or the daemon does not let us ask.
pub(super) fn find(judged: &Judged) -> Outcome<Found> {
    let socket = &judged.connection.socket;
    if let Some(path) = &judged.policy {
        return from_file(path).map(|filter| Found::Policy(filter.into()));
    }
    match Client::ask(socket, &Request::Policy {}) {
        Ok(mut client) => match client.answer()? {
            Answer::Policy(told) => in_force(told).map(|filter| Found::Policy(filter.into())),
            _ => Err(unexpected()),
        },
        Err(failure) if is(&failure, std::io::ErrorKind::PermissionDenied) => Ok(Found::None(
            "which policy is in force, only root may ask the daemon".into(),
        )),
        Err(_) => Ok(Found::None(nobody_answers(socket))),
    }
}

fn is(failure: &Failure, kind: std::io::ErrorKind) -> bool {
    let error = failure.error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == kind)
}

/// A filter may be at work without its daemon.
fn nobody_answers(socket: &Path) -> String {
    let interfaces = interfaces::list().unwrap_or_default();
    let with_program: Vec<String> = interfaces
        .iter()
        .filter(|own| own.xdp.is_some())
        .map(|own| format!("`{}`", own.name))
        .collect();
    let silence = format!("no daemon answers at `{}`", socket.display());
    if with_program.is_empty() {
        format!("no policy is in force: {silence}")
    } else {
        format!(
            "{silence}, but an XDP program is on {}: what it does is not known",
            with_program.join(", ")
        )
    }
}

fn from_file(path: &Path) -> Outcome<Filter> {
    let loaded = policy_file::load(path).map_err(|error| refused(&error))?;
    // Without a list in the text, the command line of the daemon would name them.
    let guarded = daemon::names(&loaded.policy.interfaces).map_err(Failure::system)?;
    filter(loaded, Origin::File, guarded.into_iter().collect())
}

fn in_force(told: PolicyInForce) -> Outcome<Filter> {
    let drop_ins = told.drop_ins.into_iter();
    let drop_ins = drop_ins.map(|own| DropIn {
        name: own.name,
        text: own.text,
    });
    let file = PolicyFile {
        drop_ins: drop_ins.collect(),
        ..PolicyFile::alone(told.path, told.text)
    };
    let loaded = policy_file::compile_with(file, KeptFiles::new(told.files))
        .map_err(|error| refused(&error))
        .map_err(|failure| Failure::system(failure.error.context("the policy in force")))?;
    let guarded = told.interfaces.into_iter().collect();
    filter(loaded, Origin::InForce(told.generation), guarded)
}

fn refused(error: &PolicyError) -> Failure {
    Failure::refused(anyhow!(problems::policy_error(error)))
}

fn filter(loaded: Loaded, origin: Origin, guarded: BTreeSet<String>) -> Outcome<Filter> {
    Filter::new(loaded, origin, guarded)
        .context("the policy does not fit")
        .map_err(Failure::refused)
}
