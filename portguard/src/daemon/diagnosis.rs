//! What stands in the way when attaching fails, in the words of `portguard doctor`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::anyhow;
use tracing::{debug, error, warn};

use crate::control::InterfaceState;
use crate::dataplane::interfaces;
use crate::exit::{Exit, Failure, in_full};
use crate::host::preflight::{self, Finding, Question, Severity, Wanted};
use crate::policy_file;

use super::Options;
use super::guard::Guard;

/// Looks at the host where the daemon fails to attach.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pins: PathBuf,
    policy: PathBuf,
    /// What the policy in force asks; `None` before there is one.
    wanted: Option<Wanted>,
    /// Interfaces that the daemon has attached to.
    attached: BTreeSet<String>,
    /// Why it has not to others: the reasons that were looked into already.
    failed: BTreeMap<String, String>,
}

impl Diagnosis {
    /// Before anything is attached.
    pub(super) fn new(options: &Options) -> Self {
        Self {
            pins: options.pins.clone(),
            policy: options.policy.clone(),
            wanted: None,
            attached: BTreeSet::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Adds problems and warnings about the interfaces that a failure of the system names.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        if failure.exit != Exit::System {
            return failure;
        }
        let text = failure.to_string();
        let names = match interfaces::list() {
            Ok(interfaces) => interfaces
                .into_iter()
                .map(|interface| interface.name)
                .filter(|name| text.contains(&format!("`{name}`")))
                .collect(),
            Err(_) => Vec::new(),
        };
        let lines: Vec<String> = self
            .look(&names)
            .into_iter()
            .map(|(_, line)| format!("\n{line}"))
            .collect();
        if lines.is_empty() {
            return failure;
        }
        Failure {
            exit: failure.exit,
            error: anyhow!("{text}{}", lines.concat()),
        }
    }

    /// Logs problems and warnings about interfaces that the daemon has failed to attach to since it was last asked.
    pub(super) fn follow(&mut self, guard: &Guard) {
        self.wanted = Some(Wanted::of(guard.policy()));
        let states = guard.status().interfaces;
        self.attached = states
            .iter()
            .filter(|interface| interface.state == InterfaceState::Attached)
            .map(|interface| interface.name.clone())
            .collect();
        let failed: BTreeMap<String, String> = states
            .into_iter()
            .filter(|interface| interface.state == InterfaceState::Failed)
            .map(|interface| (interface.name, interface.reason.unwrap_or_default()))
            .collect();
        let new: Vec<String> = failed
            .iter()
            .filter(|(name, reason)| self.failed.get(*name) != Some(*reason))
            .map(|(name, _)| name.clone())
            .collect();
        self.failed = failed;
        if new.is_empty() {
            return;
        }
        for (severity, line) in self.look(&new) {
            if severity == Severity::Problem {
                error!("{line}");
            } else {
                warn!("{line}");
            }
        }
    }

    /// What the policy file asks, before one is in force. One that is refused asks for nothing: that is said elsewhere.
    fn asked_by_file(&self) -> Wanted {
        policy_file::load(&self.policy)
            .map(|loaded| Wanted::of(&loaded.policy))
            .unwrap_or_default()
    }

    /// Problems and warnings, a line each.
    fn look(&self, names: &[String]) -> Vec<(Severity, String)> {
        let looked = preflight::look(&Question {
            pins: &self.pins,
            interfaces: names,
            insisted: false,
            guarded: &self.attached,
            ours: Some(&self.attached),
            wanted: self.wanted.unwrap_or_else(|| self.asked_by_file()),
        });
        match looked {
            Ok(report) => report
                .findings()
                .filter(|(_, finding)| finding.severity >= Severity::Warning)
                .map(|(interface, finding)| (finding.severity, line(interface, finding)))
                .collect(),
            // What failed is reported all the same.
            Err(error) => {
                debug!("cannot look at the host: {}", in_full(&error));
                Vec::new()
            }
        }
    }
}

fn line(interface: Option<&str>, finding: &Finding) -> String {
    let place = match interface {
        Some(name) => format!("interface `{name}`"),
        None => "this host".into(),
    };
    format!(
        "{} with {place}: {}",
        finding.severity.word(),
        finding.line()
    )
}
