//! A policy on trial: in force for a while, and for good when it is confirmed in time.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::control::Reloaded;
use crate::exit::{Failure, Outcome, in_full};

use super::super::{last_good, unix_time};
use super::change::switch;
use super::ports::Written;
use super::{Guard, InForce};

/// What a trial goes back to, and when. The kernel's program keeps the same time, and goes back without us.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) before: InForce,
    deadline: Instant,
    pub(super) keep: Keep,
}

/// How a policy becomes that of the next boot when it is confirmed.
#[derive(Debug)]
pub(super) enum Keep {
    /// Its text takes the place of the policy file.
    PolicyFile,
    /// A drop-in is written, if anything of it is to be kept.
    DropIn(Option<Written>),
}

impl Trial {
    pub(super) fn begin(before: InForce, duration: Duration) -> Self {
        Self {
            before,
            deadline: Instant::now() + duration,
            keep: Keep::PolicyFile,
        }
    }

    /// Seconds that are left.
    pub(super) fn left_s(&self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.as_secs_f64().ceil() as u64
    }
}

impl Guard {
    /// Waits until the time of a trial is over; for ever if there is none.
    pub(in super::super) fn trial_is_over(&self) -> impl Future<Output = ()> + use<> {
        let deadline = self.trial.as_ref().map(|trial| trial.deadline);
        async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Whether the policy in force is on trial.
    pub(in super::super) const fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// The time of the trial is over: the policy before it comes back.
    pub(in super::super) fn end_trial(&mut self) {
        warn!(
            generation = self.in_force.number,
            "policy {} was not confirmed in time: the policy before it is in force again",
            self.in_force.number
        );
        if let Err(failure) = self.revert() {
            error!("{failure}");
        }
    }

    /// While a trial runs, no other policy may come.
    pub(super) fn refuse_during_trial(&self) -> Outcome {
        let Some(trial) = &self.trial else {
            return Ok(());
        };
        Err(Failure::refused(anyhow!(
            "policy {} is on trial for {} s more: `portguard confirm` or `portguard revert` first",
            self.in_force.number,
            trial.left_s()
        )))
    }

    /// Ends the trial with its policy in force, and makes it that of the next boot.
    pub(in super::super) fn confirm(&mut self) -> Outcome<Reloaded> {
        if self.trial.is_none() {
            return Err(no_trial("confirm"));
        }
        if !self
            .in_force
            .generation
            .confirm()
            .map_err(Failure::system)?
        {
            self.end_trial();
            return Err(Failure::refused(anyhow!(
                "too late: the time of the trial was over, and the policy before it is in force again"
            )));
        }
        let Some(trial) = self.trial.take() else {
            return Err(no_trial("confirm"));
        };
        let mut warnings = Vec::new();
        // From here on the choice of the kernel's programs is final; without them in between packets go faster.
        if let Err(error) = self.leave_trial() {
            warn!(
                "packets go on through the programs of the trial: {}",
                in_full(&error)
            );
        }
        self.retire(&trial.before);
        self.guard_what_is_meant(&mut warnings);
        self.follow_interfaces();
        self.pin_attachments();
        match trial.keep {
            Keep::PolicyFile => self.keep_applied()?,
            Keep::DropIn(written) => self.keep_ports(written)?,
        }
        let generation = self.in_force.number;
        info!(generation, "policy {generation} is confirmed");
        Ok(self.changed(warnings))
    }

    /// Ends the trial with the policy before it in force.
    pub(in super::super) fn revert(&mut self) -> Outcome<Reloaded> {
        if self.trial.is_some() {
            // In the kernel first: whatever fails below, the policy before is in force.
            self.in_force.generation.expire().map_err(Failure::system)?;
        }
        let Some(trial) = self.trial.take() else {
            return Err(no_trial("revert"));
        };
        let tried = std::mem::replace(&mut self.in_force, trial.before);
        self.changed_unix_s = unix_time();
        let mut warnings = Vec::new();
        self.guard_what_is_meant(&mut warnings);
        if let Err(error) = self.leave_trial() {
            warn!(
                "packets go on through the programs of the trial: {}",
                in_full(&error)
            );
            // Their words say what they do.
            std::mem::forget(tried);
        } else {
            self.retire(&tried);
        }
        if self.holds_unconfirmed() {
            self.fallback = Some(format!(
                "policy `{}` was tried and not confirmed; another is in force",
                self.path.display()
            ));
        } else if let Err(error) = last_good::end_trial(&self.folder) {
            warn!(
                "cannot write to `{}`: {error}",
                self.folder.path("").display()
            );
        }
        self.follow_interfaces();
        Ok(self.changed(warnings))
    }

    /// Detaches from what the policy in force does not mean.
    fn guard_what_is_meant(&mut self, warnings: &mut Vec<String>) {
        match self.find(&self.in_force.loaded) {
            Ok(found) => self.guard_only(&found, warnings),
            Err(failure) => error!("{failure}"),
        }
    }

    /// Whether the policy file has the text of a policy that was not confirmed.
    pub(in super::super) fn holds_unconfirmed(&self) -> bool {
        crate::policy_file::read_text(&self.path)
            .is_ok_and(|file| last_good::is_unconfirmed(&self.folder, &file.text))
    }

    /// Attaches the programs of the policy in force themselves, in the place of those of a trial.
    fn leave_trial(&mut self) -> anyhow::Result<()> {
        let programs = self.in_force.generation.programs()?;
        let gone = switch(&mut self.attachments, |_| true, programs, programs)?;
        self.forget(&gone);
        Ok(())
    }
}

fn no_trial(verb: &str) -> Failure {
    Failure::refused(anyhow!("nothing to {verb}: no policy is on trial"))
}
