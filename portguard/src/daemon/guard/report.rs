//! What the daemon does, told.

use std::sync::Arc;

use crate::control::{
    Counters, DropInText, EventSettings, InterfaceState, InterfaceStatus, PolicyInForce, Status,
};
use crate::observe::metrics::{PolicyFacts, Reloads, Snapshot, Texts};
use crate::observe::page::PolicyText;
use crate::observe::sample::Sample;

use super::super::found;
use super::super::last_good;
use super::super::totals::ReportTime;
use super::super::unix_time;
use super::Guard;
use super::trial::Trial;

impl Guard {
    /// What the daemon does, in a line.
    pub(in super::super) fn summary(&self) -> String {
        let mut parts: Vec<String> = self
            .attachments
            .values()
            .map(|attachment| format!("{} ({})", attachment.interface, attachment.mode))
            .collect();
        parts.extend(
            self.waiting
                .iter()
                .map(|pattern| format!("waiting for {pattern}")),
        );
        parts.extend(self.failed.keys().map(|name| format!("{name} FAILED")));
        let rules = self.in_force.loaded.policy.rules.len();
        let dry = if self.in_force.loaded.policy.enforce {
            ""
        } else {
            ", dry run: nothing is dropped"
        };
        let trial = match &self.trial {
            Some(trial) => format!(", ON TRIAL for {} s more", trial.left_s()),
            None => String::new(),
        };
        let degraded = if self.degraded().is_empty() {
            ""
        } else {
            "DEGRADED (see `portguard status`): "
        };
        format!(
            "{degraded}policy {} with {rules} rule{} on {}{dry}{trial}",
            self.in_force.number,
            if rules == 1 { "" } else { "s" },
            if parts.is_empty() {
                "no interface".into()
            } else {
                parts.join(", ")
            }
        )
    }

    pub(in super::super) fn status(&self) -> Status {
        let attached = self.attachments.values().map(|attachment| InterfaceStatus {
            name: attachment.interface.clone(),
            state: InterfaceState::Attached,
            mode: Some(attachment.mode),
            reason: attachment.fallback.clone(),
        });
        let waiting = self.waiting.iter().map(|pattern| InterfaceStatus {
            name: pattern.clone(),
            state: InterfaceState::Waiting,
            mode: None,
            reason: Some(format!("{} yet", found::absent(pattern))),
        });
        let failed = self.failed.iter().map(|(name, reason)| InterfaceStatus {
            name: name.clone(),
            state: InterfaceState::Failed,
            mode: None,
            reason: Some(reason.clone()),
        });
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            policy: self.path.clone(),
            generation: self.in_force.number,
            rules: self.in_force.loaded.policy.rules.len(),
            enforce: self.in_force.loaded.policy.enforce,
            interfaces: attached.chain(waiting).chain(failed).collect(),
            last_reload: self.last_reload.clone(),
            trial_s: self.trial.as_ref().map(Trial::left_s),
            events: self.policy().events.map(|events| EventSettings {
                rate: events.rate.text(),
                snap_bytes: events.snap_bytes,
            }),
            event_account: self.event_account(),
            degraded: self.degraded(),
        }
    }

    /// The policy in force, with all that it is made from.
    pub(in super::super) fn policy_in_force(&self) -> PolicyInForce {
        let loaded = &self.in_force.loaded;
        let attached = self.attachments.values();
        let drop_ins = loaded.file.drop_ins.iter().map(|own| DropInText {
            name: own.name.clone(),
            text: own.text.clone(),
        });
        PolicyInForce {
            path: loaded.file.path.clone(),
            generation: self.in_force.number,
            text: loaded.file.text.clone(),
            drop_ins: drop_ins.collect(),
            files: last_good::files_of(&self.folder, loaded),
            interfaces: attached.map(|own| own.interface.clone()).collect(),
        }
    }

    /// Why not all is well.
    fn degraded(&self) -> Vec<String> {
        let not_kept = self
            .keeping
            .trouble()
            .map(|reason| format!("filtering ends when this daemon does: {reason}"));
        let failed = self.failed.values().cloned();
        let refused = match &self.last_reload {
            Some(last) if !last.ok => Some("the last reload failed".to_owned()),
            _ => None,
        };
        let reasons = [
            self.fallback.clone(),
            refused,
            not_kept,
            self.unkept.clone(),
        ];
        let around = self.troubles.iter().cloned();
        let reasons = reasons.into_iter().flatten();
        reasons.chain(failed).chain(around).collect()
    }

    /// The text of the policy in force and of its drop-ins.
    pub(in super::super) fn text(&self) -> PolicyText {
        let loaded = &self.in_force.loaded;
        let drop_ins = loaded.file.drop_ins.iter();
        let rules = loaded.policy.rules.iter();
        PolicyText::new(
            &loaded.file.path,
            self.in_force.number,
            &loaded.file.text,
            drop_ins.map(|own| (own.name.as_str(), own.text.as_str())),
            rules.map(|rule| (rule.name.as_str(), &rule.place)),
        )
    }

    /// All that metrics tell.
    pub(in super::super) fn snapshot(&self, sample: Arc<Sample>, reloads: Reloads) -> Snapshot {
        let policy = &self.in_force.loaded.policy;
        Snapshot {
            sample,
            status: self.status(),
            started_unix_s: self.started_unix_s,
            policy: PolicyFacts::of(policy, self.changed_unix_s),
            bans: self.bans.len() as u64,
            bans_capacity: self.bans.capacity() as u64,
            reloads,
            texts: Texts::default(),
        }
    }

    pub(in super::super) fn counters(&self) -> anyhow::Result<Counters> {
        let mut totals = self.accounts.totals.clone();
        let before = self.trial.as_ref().map(|trial| &trial.before);
        for policy in before.into_iter().chain([&self.in_force]) {
            totals.add(&policy.rules(), &policy.generation.counts()?);
        }
        let policy = &self.in_force.loaded.policy;
        let time = ReportTime {
            unix_time: unix_time(),
            uptime_s: self.started.elapsed().as_secs_f64(),
        };
        Ok(totals.report(policy, self.in_force.number, time))
    }
}
