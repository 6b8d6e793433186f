//! `block`, `open` and `rules`: single ports are closed and opened by rules in a drop-in of the daemon's own.

mod asked;
mod edit;
mod judge;
mod ranges;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::anyhow;
use portguard_policy::{Fate, RuleAction};
use tokio::time::Instant;
use tracing::error;

use crate::control::{
    Change, PortChange, PortState, PortsChanged, Reloaded, RuleCount, RuleInfo, Rules,
};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::policy_file::drop_ins::RUNTIME;
use crate::policy_file::own::{self, Verb};
use crate::policy_file::{self, Loaded, PolicyError, PolicyFile, path_of};

use super::super::lockout::Cause;
use super::Guard;
use super::change::{How, refused};
use super::trial::Keep;

use self::asked::{Asked, Own, own_rules};
use self::judge::{Judged, judge};

pub(in super::super) use self::edit::without_expired;
pub(super) use self::edit::{Written, forget_expired};

/// How long to wait at most for the end of a rule: the clock may be set meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// When to try again what failed.
const RETRY: Duration = Duration::from_secs(60);

/// What is to be done about a request.
enum Plan {
    /// Nothing, since the ports are as they shall be, or only `--override` would help.
    Nothing,
    /// This policy shall be in force; with what it overrides, for people.
    Policy(Box<Loaded>, Vec<String>),
}

impl Guard {
    /// The policy file with all that belongs to it.
    pub(super) fn read_policy(&self) -> Result<PolicyFile, PolicyError> {
        self.with_drop_ins(policy_file::read_text(&self.path)?)
    }

    /// A policy with the drop-ins of this daemon: those beside its policy file, and what is in force without a file.
    pub(super) fn with_drop_ins(&self, file: PolicyFile) -> Result<PolicyFile, PolicyError> {
        let folder = self.path.parent().map(Into::into).unwrap_or_default();
        let mut file = PolicyFile { folder, ..file }.with_drop_ins()?;
        let present = &self.in_force.loaded.file;
        if let Some(runtime) = present.drop_ins.iter().find(|own| own.name == RUNTIME) {
            edit::put(&mut file, RUNTIME, runtime.text.clone());
        }
        Ok(without_expired(file))
    }

    /// Closes or opens ports. The answer also says how that went as a change of the policy.
    pub(in super::super) fn change_ports(
        &mut self,
        verb: Verb,
        asked: &PortChange,
    ) -> Outcome<(Reloaded, PortsChanged)> {
        self.refuse_during_trial()?;
        let path = self.path.with_file_name(own::PATH);
        let before = edit::on_disk(&path)?;
        let mut base = self.in_force.loaded.file.clone();
        match &before {
            Some(text) => edit::put(&mut base, own::PATH, text.clone()),
            None => base.drop_ins.retain(|own| own.name != own::PATH),
        }
        let base = without_expired(base);
        let compiled;
        let present = if base == self.in_force.loaded.file {
            &self.in_force.loaded
        } else {
            compiled = policy_file::compile(base).map_err(refused)?;
            &compiled
        };
        let request = Asked::read(asked, &present.policy, edit::now_s())?;
        let plan = match verb {
            Verb::Block => block(present, &request)?,
            Verb::Open => open(present, &request, asked.overrides)?,
        };
        let mut notes = notes(verb, &request, present);
        let Plan::Policy(loaded, overridden) = plan else {
            let answer = told(present, &request, verb, notes)?;
            return Ok((self.unchanged(), answer));
        };
        notes.extend(overridden);
        let known = output::problems::warnings(present);
        let mut answer = told(&loaded, &request, verb, notes)?;
        let reloaded = self.put_in_force(*loaded, before, asked)?;
        answer.changed = true;
        let warnings = reloaded.warnings.iter();
        let new = warnings.filter(|warning| !known.contains(warning));
        answer.warnings = new.cloned().collect();
        answer.trial_s = reloaded.trial_s;
        Ok((reloaded, answer))
    }

    /// Puts a policy in force with what is to be written of it.
    fn put_in_force(
        &mut self,
        loaded: Loaded,
        before: Option<String>,
        asked: &PortChange,
    ) -> Outcome<Reloaded> {
        let how = How {
            trial: asked.confirm_s.map(Duration::from_secs),
            change: Change {
                force: asked.force,
                ssh_connection: asked.ssh_connection.clone(),
            },
            cause: Cause::Ports,
        };
        let written = Written::of(&loaded.file, before);
        let mut is_written = false;
        let result = self.change(loaded, &how, &mut || {
            if let (Some(written), None) = (&written, how.trial) {
                written.write()?;
                is_written = true;
            }
            Ok(())
        });
        self.has_written |= is_written;
        if let (Err(_), true, Some(written)) = (&result, is_written, &written) {
            written.undo();
        }
        let reloaded = result?;
        match &mut self.trial {
            Some(trial) => trial.keep = Keep::DropIn(written),
            None => self.keep_last_good(),
        }
        Ok(reloaded)
    }

    /// Writes what was on trial, which is in force.
    pub(super) fn keep_ports(&mut self, written: Option<Written>) -> Outcome {
        self.keep_last_good();
        let Some(written) = written else {
            return Ok(());
        };
        written.write().map_err(|failure| {
            let reason = format!(
                "policy {} is in force, but not the policy of the next boot: {failure}",
                self.in_force.number
            );
            self.fallback = Some(reason.clone());
            Failure {
                exit: failure.exit,
                error: anyhow!(reason),
            }
        })?;
        self.has_written = true;
        Ok(())
    }

    /// Whether the drop-in was written since this was asked.
    pub(in super::super) fn take_has_written(&mut self) -> bool {
        std::mem::take(&mut self.has_written)
    }

    /// How long until a rule of `block` or `open` may be over; `None` if none has an end, or must stay as long as a trial
    /// runs.
    pub(in super::super) fn ports_due(&self) -> Option<Duration> {
        if self.is_on_trial() {
            return None;
        }
        if let Some(retry) = self.retry_ports {
            return Some(retry.saturating_duration_since(Instant::now()));
        }
        let drop_ins = self.in_force.loaded.file.drop_ins.iter();
        let own = drop_ins.filter(|own| [own::PATH, RUNTIME].contains(&own.name.as_str()));
        let end = own.filter_map(|own| own::next_end_s(&own.text)).min()?;
        let left = Duration::from_secs(end.saturating_sub(edit::now_s()));
        Some(left.min(LONGEST_WAIT))
    }

    /// Takes back what is over; `None` if nothing is.
    pub(in super::super) fn expire_ports(&mut self) -> Option<Outcome<Reloaded>> {
        self.retry_ports = None;
        let file = without_expired(self.in_force.loaded.file.clone());
        if file == self.in_force.loaded.file {
            return None;
        }
        self.has_written |= forget_expired(&self.path);
        // Whoever set the end wanted it.
        let how = How {
            change: Change {
                force: true,
                ..Change::default()
            },
            cause: Cause::Ports,
            ..How::default()
        };
        let result = policy_file::compile(file)
            .map_err(refused)
            .and_then(|loaded| self.change(loaded, &how, &mut || Ok(())));
        match &result {
            Ok(_) => self.keep_last_good(),
            Err(_) => {
                error!("what is over stays in force, and is tried again");
                self.retry_ports = Some(Instant::now() + RETRY);
            }
        }
        Some(result)
    }

    /// The rules in force.
    pub(in super::super) fn rules(&self) -> anyhow::Result<Rules> {
        let loaded = &self.in_force.loaded;
        let policy = &loaded.policy;
        let counters = self.counters()?;
        let counts = counters.rules.into_iter();
        let counts: HashMap<String, RuleCount> =
            counts.map(|own| (own.name.clone(), own)).collect();
        let rules = policy.rules.iter().map(|rule| {
            let own = counts.get(&rule.name);
            let file = rule.place.file.as_deref();
            let is_own = [Some(own::PATH), Some(RUNTIME)].contains(&file);
            let until = own::until_s(rule.comment.as_deref()).filter(|_| is_own);
            RuleInfo {
                name: rule.name.clone(),
                action: rule.action.to_string(),
                matches: policy.words(rule),
                enforce: rule.enforce,
                comment: rule.comment.clone(),
                file: path_of(&self.path, &rule.place),
                line: rule.place.line,
                drop_in: file.is_some(),
                runtime: file == Some(RUNTIME),
                until_unix_s: until,
                count: own.map(|own| own.count).unwrap_or_default(),
                limited: own.map(|own| own.limited).unwrap_or_default(),
                shadow: own.map(|own| own.shadow).unwrap_or_default(),
            }
        });
        Ok(Rules {
            generation: self.in_force.number,
            enforce: policy.enforce,
            default: match policy.default {
                Fate::Pass => "pass".into(),
                Fate::Drop => "drop".into(),
            },
            policy: self.path.clone(),
            rules: rules.collect(),
        })
    }
}

fn is_all(judged: &[Judged], state: PortState) -> bool {
    judged.iter().all(|own| own.state() == state)
}

fn compile(file: PolicyFile) -> Outcome<Box<Loaded>> {
    policy_file::compile(file).map(Box::new).map_err(refused)
}

/// Closes ports, unless they are closed for as long already.
fn block(present: &Loaded, asked: &Asked) -> Outcome<Plan> {
    let own = own_rules(&present.policy, &present.file);
    let judged = judge(present, asked)?;
    let closes_long_enough = |name: &str| {
        let temporary = own.iter().find(|own| own.name == name);
        temporary.is_none_or(|own| asked.is_outlasted_by(own))
    };
    let mut deciders = judged.iter().flat_map(|own| own.rules(&present.policy));
    if is_all(&judged, PortState::Closed) && deciders.all(|rule| closes_long_enough(&rule.name)) {
        return Ok(Plan::Nothing);
    }
    let mut file = present.file.clone();
    let mut gone = Vec::new();
    for own in own.iter().filter(|own| asked.has_sources_of(own)) {
        match own.verb {
            Verb::Open => take_out(&mut file, own, asked, &mut gone),
            // Longer blocks of the same ports stand behind the new one, and come to light when it ends.
            Verb::Block if own.ports.are_among(&asked.ports) && asked.outlasts(own) => {
                edit::remove(&mut file, own);
                gone.push(own);
            }
            Verb::Block => {}
        }
    }
    let rule = asked.rule(Verb::Block, &present.policy, &gone);
    edit::add(&mut file, asked.runtime, &rule)?;
    Ok(Plan::Policy(compile(file)?, Vec::new()))
}

/// Opens ports: by taking blocks back, and where that is not enough, by a rule in front.
fn open(present: &Loaded, asked: &Asked, overrides: bool) -> Outcome<Plan> {
    if is_all(&judge(present, asked)?, PortState::Open) {
        return Ok(Plan::Nothing);
    }
    let own = own_rules(&present.policy, &present.file);
    let mut file = present.file.clone();
    let mut gone = Vec::new();
    // For a time, blocks stay and are passed by.
    let is_for_good = asked.until_s.is_none() && !asked.runtime;
    let blocks = own.iter().filter(|own| own.verb == Verb::Block);
    for own in blocks.filter(|own| is_for_good && asked.has_sources_of(own)) {
        take_out(&mut file, own, asked, &mut gone);
    }
    let without = match file == present.file {
        true => None,
        false => Some(compile(file.clone())?),
    };
    let left = without.as_deref().unwrap_or(present);
    let judged = judge(left, asked)?;
    if is_all(&judged, PortState::Open) || !overrides {
        return Ok(match without {
            Some(loaded) => Plan::Policy(loaded, Vec::new()),
            None => Plan::Nothing,
        });
    }
    let overridden = overridden(left, &judged);
    for own in own.iter().filter(|own| own.verb == Verb::Open) {
        if asked.has_sources_of(own) && own.ports.are_among(&asked.ports) && asked.outlasts(own) {
            edit::remove(&mut file, own);
            gone.push(own);
        }
    }
    let rule = asked.rule(Verb::Open, &present.policy, &gone);
    edit::add(&mut file, asked.runtime, &rule)?;
    Ok(Plan::Policy(compile(file)?, overridden))
}

/// Takes the ports that a request is about out of a rule.
fn take_out<'o>(file: &mut PolicyFile, own: &'o Own, asked: &Asked, gone: &mut Vec<&'o Own>) {
    let left = own.ports.without(&asked.ports);
    if left == own.ports {
        return;
    }
    if left.is_empty() {
        edit::remove(file, own);
        gone.push(own);
        return;
    }
    edit::keep_ports(file, own, &left.entries());
}

/// What is to be known beside the verdict.
fn notes(verb: Verb, asked: &Asked, present: &Loaded) -> Vec<String> {
    let mut notes = Vec::new();
    let entries = asked.ports.entries();
    let blocks_dhcp = |entry: &&String| ["68/udp", "546/udp"].contains(&entry.as_str());
    if verb == Verb::Block
        && let Some(entry) = entries.iter().find(blocks_dhcp)
    {
        notes.push(format!(
            "`{entry}` is where answers of DHCP servers arrive, and means them, too: a host that has its address by DHCP loses it"
        ));
    }
    if !present.policy.enforce {
        notes.push(
            "the policy has `enforce: false`: nothing is dropped, whatever is blocked".into(),
        );
    }
    notes
}

/// The rules that a pass in front overrides.
fn overridden(present: &Loaded, judged: &[Judged]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for rule in judged.iter().flat_map(|own| own.rules(&present.policy)) {
        let path = path_of(&present.file.path, &rule.place);
        let note = format!(
            "rule `{}` ({}:{}) is overridden for these ports",
            rule.name,
            path.display(),
            rule.place.line
        );
        let closes = matches!(rule.action, RuleAction::Drop | RuleAction::Reject);
        if closes && !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn told(loaded: &Loaded, asked: &Asked, verb: Verb, notes: Vec<String>) -> Outcome<PortsChanged> {
    let judged = judge(loaded, asked)?;
    let wanted = match verb {
        Verb::Block => PortState::Closed,
        Verb::Open => PortState::Open,
    };
    Ok(PortsChanged {
        changed: false,
        as_asked: is_all(&judged, wanted),
        generation: 0,
        verdicts: judged.iter().map(|own| own.told(loaded, asked)).collect(),
        notes,
        warnings: Vec::new(),
        until_unix_s: asked.until_s,
        trial_s: None,
    })
}
