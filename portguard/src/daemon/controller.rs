//! What the daemon does on each event: requests, signals, files and interfaces that change, time that is over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::control::{Answer, Change, PortChange, Reloaded, Request};
use crate::exit::{Failure, Outcome};
use crate::host::memory;
use crate::observe::metrics::{Reloads, Snapshot};
use crate::observe::page::{PolicyText, Report};
use crate::observe::sample::Sample;
use crate::policy_file::PolicyFile;
use crate::policy_file::own::{self, Verb};

use super::Options;
use super::bans::Now;
use super::calls::{Call, Calls, failed};
use super::diagnosis::Diagnosis;
use super::exporter::Exporter;
use super::guard::{Guard, How};
use super::latest::Latest;
use super::notify::{Message, Notifier};
use super::watch::Watch;

/// Everything that events change.
pub(super) struct Controller {
    pub(super) guard: Guard,
    pub(super) watch: Option<Watch>,
    diagnosis: Diagnosis,
    notifier: Notifier,
    samples: Latest<Sample>,
    snapshots: Latest<Snapshot>,
    reports: Latest<Report>,
    /// The text of the policy in force, once somebody has asked for it.
    text: Option<Arc<PolicyText>>,
    reloads: Reloads,
    pub(super) exporter: Exporter,
}

impl Controller {
    /// Puts the first policy in force.
    pub(super) fn start(options: &Options, calls: Calls) -> Outcome<Self> {
        // Before the policy is read, so that no change is missed.
        let watch = options.watch.then(|| Watch::start(&options.policy));
        let diagnosis = Diagnosis::new(options);
        let guard = Guard::start(options).map_err(|failure| diagnosis.explain(failure))?;
        let mut controller = Self {
            guard,
            watch,
            diagnosis,
            notifier: Notifier::start(),
            samples: Latest::default(),
            snapshots: Latest::default(),
            reports: Latest::default(),
            text: None,
            reloads: Reloads::default(),
            exporter: Exporter::new(calls),
        };
        controller.follow_guard();
        memory::give_back();
        Ok(controller)
    }

    pub(super) fn say_ready(&self) {
        // First, so that whoever waits for it finds all of the start in the log.
        info!(generation = self.guard.number(), "{}", self.guard.summary());
        self.notifier.tell(Message::Ready(self.guard.summary()));
    }

    pub(super) fn say_alive(&self) {
        self.notifier.tell(Message::Alive);
    }

    pub(super) fn say_stopping(&self) {
        let generation = self.guard.number();
        info!(generation, "stopping: {}", self.guard.summary());
        self.notifier.tell(Message::Stopping);
    }

    /// Answers a question.
    pub(super) fn answer(&mut self, call: Call) {
        // Whoever asked may have gone away meanwhile.
        match call {
            Call::Request(request, reply) => {
                let _gone = reply.send(self.carry_out(request));
            }
            Call::Subscribe(feed, reply) => {
                let _gone = reply.send(self.guard.subscribe(feed));
            }
            Call::Sample(since, reply) => {
                let read = || self.guard.counters().map(Sample::new);
                let sample = self.samples.get(since, read);
                let _gone = reply.send(sample.map_err(Failure::system));
            }
            Call::Scrape(since, reply) => {
                let snapshot = self.snapshot(since);
                let _gone = reply.send(snapshot.map_err(Failure::system));
            }
            Call::Report(since, reply) => {
                let report = self.report(since);
                let _gone = reply.send(report.map_err(Failure::system));
            }
        }
    }

    /// All that the web page shows.
    fn report(&mut self, since: Instant) -> anyhow::Result<Arc<Report>> {
        let number = self.guard.number();
        let text = match self.text.take() {
            Some(text) if text.generation() == number => text,
            _ => Arc::new(self.guard.text()),
        };
        self.text = Some(Arc::clone(&text));
        let (guard, samples) = (&self.guard, &mut self.samples);
        self.reports.get(since, || {
            let sample = samples.get(since, || guard.counters().map(Sample::new))?;
            Ok(Report {
                sample,
                status: guard.status(),
                policy: text,
            })
        })
    }

    /// All that metrics tell.
    fn snapshot(&mut self, since: Instant) -> anyhow::Result<Arc<Snapshot>> {
        let (guard, reloads) = (&self.guard, &self.reloads);
        let samples = &mut self.samples;
        self.snapshots.get(since, || {
            let sample = samples.get(since, || guard.counters().map(Sample::new))?;
            Ok(guard.snapshot(sample, reloads.clone()))
        })
    }

    fn carry_out(&mut self, request: Request) -> Answer {
        let changes = request.changes();
        let answer = match request {
            Request::Status {} => {
                // So that what counts as delivered is on its way to readers.
                self.guard.step_events();
                Answer::Status(self.guard.status())
            }
            Request::Counters { .. } => {
                let counters = self.guard.counters().map_err(Failure::system);
                answered(counters, Answer::Counters)
            }
            Request::Policy {} => Answer::Policy(self.guard.policy_in_force()),
            Request::Reload(change) => self.reload(change),
            Request::Apply {
                name,
                text,
                confirm_s,
                force,
                ssh_connection,
            } => {
                let how = How {
                    trial: confirm_s.map(Duration::from_secs),
                    change: Change {
                        force,
                        ssh_connection,
                    },
                    ..How::default()
                };
                let file = PolicyFile::alone(name, text);
                let begun = Instant::now();
                let result = self.guard.apply(file, how);
                self.changed("apply", begun, result)
            }
            Request::Confirm {} => {
                let begun = Instant::now();
                let result = self.guard.confirm();
                self.changed("confirm", begun, result)
            }
            Request::Revert {} => {
                let begun = Instant::now();
                let result = self.guard.revert();
                self.changed("revert", begun, result)
            }
            Request::Block(asked) => self.change_ports(Verb::Block, &asked),
            Request::Open(asked) => self.change_ports(Verb::Open, &asked),
            Request::Rules {} => {
                let rules = self.guard.rules().map_err(Failure::system);
                answered(rules, Answer::Rules)
            }
            Request::Ban {
                entries,
                reason,
                force,
                ssh_connection,
            } => {
                let change = Change {
                    force,
                    ssh_connection,
                };
                let banned = self.guard.ban(&entries, reason.as_deref(), &change);
                answered(banned, Answer::Banned)
            }
            Request::Unban { targets } => {
                let unbanned = self.guard.bans.unban(&targets, Now::read());
                answered(unbanned, Answer::Unbanned)
            }
            // Whoever wants events has a place where they go: see `Call::Subscribe`.
            Request::Events { .. } => failed(&Failure::system(anyhow!("nobody reads the events"))),
            Request::Bans { after } => {
                let bans = self.guard.bans.list(after.as_deref(), Now::read());
                answered(bans, Answer::Bans)
            }
        };
        if changes {
            self.note_written();
            self.say_what_is();
        }
        answer
    }

    /// Closes or opens ports.
    fn change_ports(&mut self, verb: Verb, asked: &PortChange) -> Answer {
        let begun = Instant::now();
        let name = verb.name();
        match self.guard.change_ports(verb, asked) {
            Ok((reloaded, mut changed)) => {
                if reloaded.changed {
                    // Its own answer tells more.
                    let _told = self.changed(name, begun, Ok(reloaded));
                }
                changed.generation = self.guard.number();
                Answer::Ports(changed)
            }
            Err(failure) => self.changed(name, begun, Err(failure)),
        }
    }

    /// What this daemon wrote itself is no change of the files.
    fn note_written(&mut self) {
        if self.guard.take_has_written()
            && let Some(watch) = &mut self.watch
        {
            watch.note_written(own::NAME);
        }
    }

    /// Waits until a block or an opening ends, perhaps for ever.
    pub(super) fn ports_are_due(&self) -> impl Future<Output = ()> + use<> {
        let due = self.guard.ports_due();
        async move {
            match due {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Takes back what was said for a time, if that is over.
    pub(super) fn end_ports(&mut self) {
        let begun = Instant::now();
        if let Some(result) = self.guard.expire_ports() {
            self.changed("end of `--for`", begun, result);
        }
        self.note_written();
        self.say_what_is();
    }

    /// SIGHUP.
    pub(super) fn hang_up(&mut self) {
        self.reload(Change::default());
        self.say_what_is();
    }

    /// The policy file or one of its sets changed. Where it means the same as before, there is nothing to say.
    pub(super) fn follow_files(&mut self) {
        // What was tried and not confirmed takes effect when somebody asks for it, and not by itself.
        let result = match self.guard.holds_unconfirmed() {
            true => None,
            false => {
                let begun = Instant::now();
                Some((self.guard.reload(Change::default()), begun))
            }
        };
        if let Some(watch) = &mut self.watch {
            watch.let_go();
        }
        match result {
            None => {}
            Some((Ok(reloaded), _)) if !reloaded.changed => {}
            Some((result, begun)) => {
                self.changed("reload", begun, result);
            }
        }
        self.say_what_is();
    }

    /// Waits until something is to be done about bans, perhaps for ever.
    pub(super) fn bans_are_due(&self) -> impl Future<Output = ()> + use<> {
        let due = self.guard.bans.due(Now::read());
        async move {
            match due {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Does some of what is to be done about bans.
    pub(super) fn step_bans(&mut self) {
        self.guard.bans.step(Now::read());
    }

    /// Interfaces or routes changed.
    pub(super) fn follow_interfaces(&mut self) {
        self.guard.follow_interfaces();
        self.say_what_is();
    }

    /// The time of a trial is over.
    pub(super) fn end_trial(&mut self) {
        self.guard.end_trial();
        self.say_what_is();
    }

    /// Reloads because somebody asked for it.
    fn reload(&mut self, change: Change) -> Answer {
        // During a trial the file is not read.
        if let Some(watch) = &mut self.watch
            && !self.guard.is_on_trial()
        {
            watch.note();
        }
        let begun = Instant::now();
        let result = self.guard.reload(change);
        self.changed("reload", begun, result)
    }

    /// Counts how a change went, says so, and answers.
    fn changed(&mut self, verb: &str, begun: Instant, result: Outcome<Reloaded>) -> Answer {
        self.reloads.add(result.as_ref().ok(), begun.elapsed());
        memory::give_back();
        match result.map_err(|failure| self.diagnosis.explain(failure)) {
            Ok(reloaded) => {
                let generation = reloaded.generation;
                for warning in &reloaded.warnings {
                    warn!(generation, "{warning}");
                }
                match (reloaded.changed, reloaded.trial_s) {
                    (false, _) => info!(generation, "{verb}: the policy is unchanged"),
                    (true, None) => info!(generation, "{verb}: policy {generation} is in force"),
                    (true, Some(seconds)) => {
                        info!(
                            generation,
                            "{verb}: policy {generation} is on trial for {seconds} s"
                        );
                    }
                }
                Answer::Reloaded(reloaded)
            }
            Err(failure) => {
                // That which stays in force.
                let generation = self.guard.number();
                error!(generation, "{verb}: refused\n{failure}");
                failed(&failure)
            }
        }
    }

    /// After every event that may have changed something.
    fn say_what_is(&mut self) {
        self.follow_guard();
        self.notifier.tell(Message::Status(self.guard.summary()));
    }

    /// Tries to listen where it failed before.
    pub(super) fn retry_exporter(&mut self) {
        self.exporter.retry();
        self.say_what_is();
    }

    /// Brings all else in line with the policy in force.
    fn follow_guard(&mut self) {
        self.samples.forget();
        self.snapshots.forget();
        self.reports.forget();
        self.exporter.follow(&self.guard.policy().metrics);
        self.guard.troubles = self.exporter.troubles();
        self.diagnosis.follow(&self.guard);
    }
}

fn answered<T>(result: Outcome<T>, answer: impl FnOnce(T) -> Answer) -> Answer {
    result.map_or_else(|failure| failed(&failure), answer)
}
