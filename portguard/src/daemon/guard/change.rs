//! Putting another policy in force.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use anyhow::anyhow;
use tracing::warn;

use crate::control::{Change, LastReload, Reloaded};
use crate::dataplane::{Attachment, Generation, LoadOptions, Programs, link};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::policy_file::{self, Loaded, PolicyFile};

use super::super::found::{self, Found};
use super::super::lockout::Cause;
use super::super::{blocked, last_good, lockout, replies, state_folder, unix_time};
use super::trial::Trial;
use super::{Guard, InForce, load, other_mode, tell};

/// How a policy is to take effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct How {
    /// For so long, unless it is confirmed.
    pub(in super::super) trial: Option<Duration>,
    /// Whether it may cut sessions. A trial may: it ends by itself.
    pub(in super::super) change: Change,
    /// What is changed, for whoever is told why it is refused.
    pub(in super::super) cause: Cause,
}

impl Guard {
    /// Reads the policy file again and puts it in force, or leaves everything as it was.
    pub(in super::super) fn reload(&mut self, change: Change) -> Outcome<Reloaded> {
        let result = self.try_reload(change);
        self.last_reload = Some(LastReload {
            ok: result.is_ok(),
            unix_time: unix_time() as u64,
            error: result.as_ref().err().map(ToString::to_string),
        });
        result
    }

    fn try_reload(&mut self, change: Change) -> Outcome<Reloaded> {
        self.refuse_during_trial()?;
        let file = self.read_policy().map_err(refused)?;
        let present = &self.in_force.loaded;
        // One that was kept knows no files.
        if file == present.file && present.set_files.is_empty() && self.fallback.is_none() {
            return Ok(self.unchanged());
        }
        let loaded = policy_file::compile(file).map_err(refused)?;
        if loaded.is_same(&self.in_force.loaded) {
            self.in_force.loaded.set_files = loaded.set_files;
            self.fallback = None;
            return Ok(self.unchanged());
        }
        let reloaded = self.change(
            loaded,
            &How {
                change,
                ..How::default()
            },
            &mut || Ok(()),
        )?;
        self.fallback = None;
        self.keep_last_good();
        Ok(reloaded)
    }

    /// Puts a policy in force that is not in the policy file, and there, too, unless it is to be confirmed first.
    /// Its sets are those beside the policy file.
    pub(in super::super) fn apply(&mut self, file: PolicyFile, how: How) -> Outcome<Reloaded> {
        self.refuse_during_trial()?;
        let file = self.with_drop_ins(file).map_err(refused)?;
        let mut loaded = policy_file::compile(file).map_err(refused)?;
        loaded.file.path.clone_from(&self.path);
        if loaded.is_same(&self.in_force.loaded) {
            if how.trial.is_none() {
                self.keep_applied()?;
            }
            return Ok(self.unchanged());
        }
        self.check_that_it_can_be_kept(&loaded)?;
        if how.trial.is_some() {
            last_good::begin_trial(&self.folder, &loaded.file.text).map_err(|error| {
                let path = self.folder.path("");
                Failure::system(anyhow!(
                    "no trial: cannot write to `{}`: {error}",
                    path.display()
                ))
            })?;
        }
        let reloaded = self.change(loaded, &how, &mut || Ok(()))?;
        if how.trial.is_none() {
            self.keep_applied()?;
        }
        Ok(reloaded)
    }

    /// Refuses a policy that could not become the policy of the next boot.
    fn check_that_it_can_be_kept(&self, loaded: &Loaded) -> Outcome {
        if self.holds_policy_file(&loaded.file.text) {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(std::path::Path::new("/"));
        tempfile_in(folder).map_err(|error| {
            Failure::system(anyhow!(
                "it could not become the policy of the next boot: cannot write to `{}`: {error}; write it to `{}` yourself, and reload",
                folder.display(),
                self.path.display()
            ))
        })
    }

    /// Whether the policy file has this text.
    fn holds_policy_file(&self, text: &str) -> bool {
        policy_file::read_text(&self.path).is_ok_and(|file| file.text == text)
    }

    /// Makes the policy in force that of the next boot.
    pub(super) fn keep_applied(&mut self) -> Outcome {
        self.keep_last_good();
        self.fallback = None;
        let text = self.in_force.loaded.file.text.clone();
        if self.holds_policy_file(&text) {
            return Ok(());
        }
        state_folder::replace_keeping_mode(&self.path, text.as_bytes()).map_err(|error| {
            let reason = format!(
                "policy {} is in force, but not the policy of the next boot: cannot write `{}`: {error}",
                self.in_force.number,
                self.path.display()
            );
            self.fallback = Some(reason.clone());
            Failure::system(anyhow!(reason))
        })
    }

    pub(super) fn unchanged(&self) -> Reloaded {
        Reloaded {
            changed: false,
            generation: self.in_force.number,
            warnings: Vec::new(),
            trial_s: None,
        }
    }

    /// The answer where the policy in force is another one than before.
    pub(super) fn changed(&self, warnings: Vec<String>) -> Reloaded {
        Reloaded {
            changed: true,
            warnings,
            ..self.unchanged()
        }
    }

    /// Puts a policy in force, or leaves everything as it was. `agreed` is called when nothing speaks against it any more
    /// but the kernel; what it refuses is refused.
    pub(super) fn change(
        &mut self,
        mut loaded: Loaded,
        how: &How,
        agreed: &mut dyn FnMut() -> Outcome,
    ) -> Outcome<Reloaded> {
        let mut warnings = output::problems::warnings(&loaded);
        let found = self.find(&loaded)?;
        let mut options = self.in_force.next_options(&found, loaded.policy.attach);
        options.state = self.keeping.state();
        let id = self.next_id();
        options.events = Some(tell::number(id));
        let mut generation = load(&mut loaded, &options)?;
        if how.trial.is_none() {
            let (old, guarded) = (&self.in_force.loaded, self.attachments.keys());
            let banned = self.bans.prefixes();
            let asked = (how.cause, &how.change);
            lockout::check(old, guarded, &loaded, &banned, &found, asked)?;
        }
        agreed()?;
        self.bans.carry_over(&generation).map_err(Failure::system)?;
        let begins_to_watch =
            options.state.is_none() || !self.attachments.values().all(Attachment::watches_egress);
        if begins_to_watch {
            replies::take_over(&mut generation, &loaded.policy);
        }
        self.forget_gone(&found);
        let mut new = InForce {
            loaded,
            generation,
            options,
            number: self.last_number + 1,
            id,
        };
        self.teller.prepare(&mut new.generation, &new.loaded.policy);
        if let Some(duration) = how.trial {
            let guarded = self.attachments.keys().copied();
            new.generation
                .begin_trial(&self.in_force.generation, guarded, duration)
                .map_err(Failure::system)?;
        }
        new.keep(&mut self.keeping);
        let attach = new.loaded.policy.attach;
        let switched = {
            let programs = match how.trial {
                Some(_) => new.generation.trial_programs(&self.in_force.generation),
                None => new.generation.programs(),
            };
            let programs = programs.map_err(Failure::system)?;
            let old = self.in_force.generation.programs();
            let old = old.map_err(Failure::system)?;
            // New interfaces first: if one refuses, nothing has changed yet.
            match found.attach(programs, attach, &self.attachments) {
                Err(error) => Err(Failure::system(error)),
                Ok(attached) => {
                    // What a policy on trial does not guard stays with the one before until it is confirmed.
                    let is_meant =
                        |index| how.trial.is_none() || found.matched.guarded.contains(&index);
                    match switch(&mut self.attachments, is_meant, programs, old) {
                        Ok(gone) => Ok((attached, gone)),
                        Err(error) => {
                            attached.detach();
                            Err(Failure::system(error))
                        }
                    }
                }
            }
        };
        let (attached, gone) = match switched {
            Ok(switched) => switched,
            Err(failure) => {
                self.retire(&new);
                return Err(failure);
            }
        };
        self.forget(&gone);
        for attachment in self.attachments.values() {
            warnings.extend(other_mode(attachment, attach));
        }
        if begins_to_watch {
            replies::take_over(&mut new.generation, &new.loaded.policy);
        }
        replies::close_ports(&mut new.generation, &self.in_force.loaded, &new.loaded);
        warnings.extend(blocked::note(&self.in_force.loaded, &new.loaded));
        self.last_number = new.number;
        let old = std::mem::replace(&mut self.in_force, new);
        self.changed_unix_s = unix_time();
        if let Some(duration) = how.trial {
            self.trial = Some(Trial::begin(old, duration));
        } else {
            self.retire(&old);
            self.guard_only(&found, &mut warnings);
        }
        self.accept(attached, &found);
        self.count_all_buffers_if_needed(&found.interfaces);
        Ok(Reloaded {
            trial_s: how.trial.map(|duration| duration.as_secs()),
            ..self.changed(warnings)
        })
    }

    /// Detaches from interfaces that the policy does not mean.
    pub(super) fn guard_only(&mut self, found: &Found, warnings: &mut Vec<String>) {
        if found.lost_default_route() {
            warnings.push(
                "warning: no interface carries a default route now; those guarded before stay guarded"
                    .into(),
            );
        } else {
            self.detach_except(&found.matched.guarded);
        }
    }

    /// Puts another generation of the policy in force in the place of the present one on every interface, or on none.
    pub(super) fn publish_anew(
        &mut self,
        generation: Generation,
        options: LoadOptions,
        id: u64,
    ) -> anyhow::Result<()> {
        let names = self.in_force.rules();
        self.keeping
            .keep(&generation, id, self.in_force.number, names.clone());
        let (new, old) = (generation.programs()?, self.in_force.generation.programs()?);
        match switch(&mut self.attachments, |_| true, new, old) {
            Ok(gone) => {
                self.forget(&gone);
                let present = &mut self.in_force;
                let old = std::mem::replace(&mut present.generation, generation);
                let old_id = std::mem::replace(&mut present.id, id);
                present.options = options;
                self.accounts
                    .retire(&old, old_id, &names, &mut self.keeping);
                self.retire_events_of_same_policy(&old, old_id);
                self.pin_attachments();
                Ok(())
            }
            Err(error) => {
                self.accounts
                    .retire(&generation, id, &names, &mut self.keeping);
                self.retire_events_of_same_policy(&generation, id);
                Err(error)
            }
        }
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Adds up what a generation counted that is at work nowhere any more.
    pub(super) fn retire(&mut self, old: &InForce) {
        self.accounts
            .retire(&old.generation, old.id, &old.rules(), &mut self.keeping);
        self.retire_events(old);
    }

    /// Drops the attachments to interfaces that are gone.
    pub(super) fn forget(&mut self, gone: &[u32]) {
        for index in gone {
            if let Some(attachment) = self.attachments.remove(index) {
                let name = &attachment.interface;
                warn!(interface = name, "interface `{name}` is gone");
                found::detach(attachment, self.keeping.state().as_ref());
            }
        }
    }
}

pub(super) fn refused(error: policy_file::PolicyError) -> Failure {
    Failure::refused(anyhow!(output::problems::policy_error(&error)))
}

/// Puts programs in the place of the present ones on every interface that is meant, or on none. Returns the interfaces
/// that are gone.
pub(super) fn switch(
    attachments: &mut BTreeMap<u32, Attachment>,
    is_meant: impl Fn(u32) -> bool,
    new: Programs<'_>,
    old: Programs<'_>,
) -> anyhow::Result<Vec<u32>> {
    let mut gone = Vec::new();
    let mut switched = Vec::new();
    let mut failed = None;
    for (index, attachment) in attachments
        .iter_mut()
        .filter(|(index, _)| is_meant(**index))
    {
        match attachment.replace(new) {
            Ok(()) => switched.push(*index),
            Err(error) if link::is_gone(&error) => gone.push(*index),
            Err(error) => {
                failed = Some((attachment.interface.clone(), error));
                break;
            }
        }
    }
    match failed {
        None => Ok(gone),
        Some((interface, error)) => {
            Err(switch_back(attachments, &switched, old, &interface, error))
        }
    }
}

/// Undoes what was switched before `interface` refused; returns the error to report.
fn switch_back(
    attachments: &mut BTreeMap<u32, Attachment>,
    switched: &[u32],
    old: Programs<'_>,
    interface: &str,
    error: io::Error,
) -> anyhow::Error {
    let mut stuck = Vec::new();
    for index in switched {
        if let Some(attachment) = attachments.get_mut(index)
            && attachment.replace(old).is_err()
        {
            stuck.push(attachment.interface.clone());
        }
    }
    let fate = if stuck.is_empty() {
        "the previous policy stays in force".to_owned()
    } else {
        format!("{} could not be switched back", stuck.join(", "))
    };
    anyhow::Error::new(error).context(format!(
        "cannot replace the program on interface `{interface}`; {fate}"
    ))
}

/// Whether a file can be made in a folder.
fn tempfile_in(folder: &std::path::Path) -> io::Result<()> {
    let path = folder.join(format!(".portguard-{}", std::process::id()));
    std::fs::File::create_new(&path)?;
    std::fs::remove_file(path)
}
