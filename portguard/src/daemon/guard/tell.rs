//! Drop events of the policy in force, and of those before and after it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::anyhow;
use tracing::error;

use crate::control::EventAccount;
use crate::dataplane::{Attachment, Generation, events};
use crate::exit::{Failure, Outcome};

use super::super::tell::{Feed, Source, Teller};
use super::super::totals;
use super::{Guard, InForce};

/// The number by which events name a generation: they have room for the lower half, which is enough to tell those apart
/// that are at work.
pub(super) const fn number(id: u64) -> u32 {
    id as u32
}

impl InForce {
    fn source<'s>(&'s self, path: &'s Path) -> Source<'s> {
        Source {
            id: self.id,
            number: self.number,
            generation: &self.generation,
            policy: &self.loaded.policy,
            path,
        }
    }
}

impl Guard {
    /// Passes on the events that have arrived, and hands out how many more may be told.
    pub(in super::super) fn step_events(&mut self) {
        let before = self.trial.as_ref().map(|trial| &trial.before);
        let sources: Vec<Source<'_>> = before
            .into_iter()
            .chain([&self.in_force])
            .map(|policy| policy.source(&self.path))
            .collect();
        pass_on(&mut self.teller, &self.attachments, &sources, false);

        let policy = &self.in_force.loaded.policy;
        let before = self.trial.as_ref().map(|trial| &trial.before.loaded.policy);
        let asked = policy.events.or_else(|| before?.events);
        let before = self.trial.as_mut().map(|trial| &mut trial.before);
        let mut at_work: Vec<(u64, &mut Generation)> = before
            .into_iter()
            .chain([&mut self.in_force])
            .map(|policy| (policy.id, &mut policy.generation))
            .collect();
        let rate = asked.map(|events| events.rate);
        match self.teller.hand_out(&mut at_work, rate) {
            Ok(false) => {}
            Ok(true) => {
                let counted = events::add(self.accounts.totals.events, self.teller.counted());
                self.teller
                    .tell_account(totals::account(counted), asked.is_some());
            }
            Err(error) => error!("drop events cannot be told: {error}"),
        }
    }

    /// Takes out what the kernel told up to now.
    pub(super) fn take_events(&mut self) {
        let sources = [self.in_force.source(&self.path)];
        pass_on(&mut self.teller, &self.attachments, &sources, true);
    }

    /// Passes on the last events of a policy that is at work nowhere any more.
    pub(super) fn retire_events(&mut self, old: &InForce) {
        let before = self.trial.as_ref().map(|trial| &trial.before);
        let sources: Vec<Source<'_>> = before
            .into_iter()
            .chain([&self.in_force, old])
            .map(|policy| policy.source(&self.path))
            .collect();
        pass_on(&mut self.teller, &self.attachments, &sources, true);
        self.forget_events(&old.generation, old.id);
    }

    /// The same where only the tables of the policy in force were put together anew.
    pub(super) fn retire_events_of_same_policy(&mut self, old: &Generation, old_id: u64) {
        let present = self.in_force.source(&self.path);
        let old_source = Source {
            id: old_id,
            generation: old,
            ..present
        };
        let sources = [present, old_source];
        pass_on(&mut self.teller, &self.attachments, &sources, true);
        self.forget_events(old, old_id);
    }

    fn forget_events(&mut self, old: &Generation, old_id: u64) {
        match old.event_counts() {
            Ok(counts) => self.teller.forget(old_id, events::sum(&counts)),
            Err(error) => error!("drop events of a previous policy cannot be counted: {error}"),
        }
        let before = self.trial.as_ref().map(|trial| &trial.before.generation);
        let at_work = before.into_iter().chain([&self.in_force.generation]);
        self.teller.keep_rings_of(at_work);
    }

    /// What became of events up to now.
    pub(super) fn event_account(&self) -> EventAccount {
        let before = self.trial.as_ref().map(|trial| &trial.before);
        let counted = before
            .into_iter()
            .chain([&self.in_force])
            .map(|policy| policy.generation.event_counts())
            .try_fold(self.accounts.totals.events, |sum, counts| {
                Ok::<_, crate::dataplane::LoadError>(events::add(sum, events::sum(&counts?)))
            });
        match counted {
            Ok(counted) => totals::account(counted),
            Err(error) => {
                error!("drop events cannot be counted: {error}");
                self.teller.last_account()
            }
        }
    }

    /// Takes in somebody who wants to hear of events.
    pub(in super::super) fn subscribe(&mut self, reader: Feed) -> Outcome {
        let policy = &self.in_force.loaded.policy;
        let before = self.trial.as_ref().map(|trial| &trial.before.loaded.policy);
        let before = before.filter(|policy| policy.events.is_some());
        if policy.events.is_none() && before.is_none() {
            return Err(Failure::refused(anyhow!(
                "the policy has no events: add `events: {{ rate: 100/s }}` to `{}`",
                self.path.display()
            )));
        }
        if let Some(name) = reader.rule() {
            let mut rules = before
                .into_iter()
                .chain([policy])
                .flat_map(|policy| &policy.rules);
            match rules.find(|rule| rule.name == name) {
                None => return Err(Failure::refused(anyhow!("no rule is called `{name}`"))),
                Some(rule) if !rule.events => {
                    return Err(Failure::refused(anyhow!(
                        "rule `{name}` has no events: it says `events: false`"
                    )));
                }
                Some(_) => {}
            }
        }
        let account = self.event_account();
        self.teller.add(reader);
        self.teller.tell_account(account, true);
        Ok(())
    }
}

fn pass_on(
    teller: &mut Teller,
    attachments: &BTreeMap<u32, Attachment>,
    sources: &[Source<'_>],
    all: bool,
) {
    let records = teller.take(all);
    teller.pass_on(&records, sources, |ifindex| {
        let attachment = attachments.get(&ifindex);
        attachment.map_or_else(
            || format!("interface {ifindex}"),
            |attachment| attachment.interface.clone(),
        )
    });
}
