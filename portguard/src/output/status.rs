//! `status`, and what changes the policy, printed.

use std::io::Write as _;

use crate::cli::Format;
use crate::control::{InterfaceState, InterfaceStatus, Reloaded, Status};
use crate::exit::Outcome;

use super::events::of_host;
use super::{print, print_json_pretty};

/// Prints what the daemon does.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn status(status: &Status, format: Format) -> Outcome {
    if format == Format::Json {
        return print_json_pretty(status);
    }
    print(|out| {
        writeln!(out, "portguard {}, process {}", status.version, status.pid)?;
        let rules = status.rules;
        let plural = if rules == 1 { "" } else { "s" };
        writeln!(
            out,
            "policy {}: generation {}, {rules} rule{plural}",
            status.policy.display(),
            status.generation
        )?;
        if !status.enforce {
            writeln!(
                out,
                "DRY RUN (`enforce: false`): everything is counted, nothing is dropped"
            )?;
        }
        for interface in &status.interfaces {
            writeln!(out, "interface {}", describe(interface))?;
        }
        match &status.events {
            Some(events) => writeln!(
                out,
                "events: {} at most, {} bytes of each frame; {}",
                events.rate,
                events.snap_bytes,
                of_host(&status.event_account)
            )?,
            None => writeln!(out, "events: none, the policy has no key `events`")?,
        }
        if let Some(seconds) = status.trial_s {
            writeln!(
                out,
                "ON TRIAL for {seconds} s more: `portguard confirm` keeps it, `portguard revert` ends it"
            )?;
        }
        for reason in &status.degraded {
            writeln!(out, "DEGRADED: {reason}")?;
        }
        match &status.last_reload {
            Some(last) if !last.ok => {
                writeln!(
                    out,
                    "THE LAST RELOAD FAILED, the policy before it is in force:"
                )?;
                let error = last.error.as_deref().unwrap_or("no reason is known");
                writeln!(out, "{error}")
            }
            _ => Ok(()),
        }
    })
}

/// Prints the result of a reload.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn reloaded(reloaded: &Reloaded) -> Outcome {
    print(|out| {
        for warning in &reloaded.warnings {
            writeln!(out, "{warning}")?;
        }
        if let Some(seconds) = reloaded.trial_s {
            writeln!(
                out,
                "generation {} is on trial: without `portguard confirm` within {seconds} s the policy before is in force again",
                reloaded.generation
            )
        } else if reloaded.changed {
            writeln!(out, "generation {} is in force", reloaded.generation)
        } else {
            writeln!(
                out,
                "unchanged: generation {} has this content already",
                reloaded.generation
            )
        }
    })
}

/// Prints from how many interfaces the filter was taken.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn detached(interfaces: usize) -> Outcome {
    let plural = if interfaces == 1 { "" } else { "s" };
    print(|out| writeln!(out, "detached from {interfaces} interface{plural}"))
}

fn describe(interface: &InterfaceStatus) -> String {
    let state = match (interface.state, interface.mode) {
        (InterfaceState::Attached, Some(mode)) => format!("attached, {mode} mode"),
        (InterfaceState::Attached, None) => "attached".into(),
        (InterfaceState::Waiting, _) => "WAITING".into(),
        (InterfaceState::Failed, _) => "NOT FILTERED".into(),
    };
    match &interface.reason {
        Some(reason) => format!("{}: {state} ({reason})", interface.name),
        None => format!("{}: {state}", interface.name),
    }
}
