//! The policy in force, where it is attached, and every way in which that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use portguard_policy::{AttachMode, InterfacePattern, Policy};
use tracing::{error, info, warn};

use crate::control::{Counters, InterfaceState, InterfaceStatus, LastReload, Reloaded, Status};
use crate::dataplane::interfaces::Interface;
use crate::dataplane::{Attachment, Generation, LoadOptions, Mode, State, link};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::policy_file::{self, Loaded};

use super::found::{self, Found, SINGLE_BUFFER_MTU};
use super::replies;
use super::tags;
use super::totals::Totals;
use super::{Options, unix_time};

/// How long to wait for running programs where the kernel cannot be asked.
const SETTLE: Duration = Duration::from_millis(50);

/// The policy in force and its attachments. Dropping it detaches.
#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    /// From the command line; empty to follow the policy.
    interfaces: Vec<InterfacePattern>,
    loaded: Loaded,
    generation: Generation,
    options: LoadOptions,
    /// The folder for what outlives a generation.
    pins: PathBuf,
    /// Kept while policies need none: a later one may.
    state: Option<State>,
    number: u64,
    /// By interface index.
    attachments: BTreeMap<u32, Attachment>,
    /// Interfaces that the filter could not be attached to since the start, with the reason.
    failed: BTreeMap<String, String>,
    waiting: Vec<String>,
    totals: Totals,
    last_reload: Option<LastReload>,
}

impl Guard {
    /// Loads a policy and attaches it to every interface that it means and that exists.
    ///
    /// # Errors
    ///
    /// When the kernel refuses one of them; nothing is attached then.
    pub(super) fn start(mut loaded: Loaded, options: &Options) -> Outcome<Self> {
        let patterns = patterns(&options.interfaces, &loaded)?;
        let found = found::find(&patterns).map_err(Failure::system)?;
        let mut load_options = found.load_options(loaded.policy.attach);
        load_options.state = state_for(&loaded, None, &options.pins).map_err(Failure::system)?;
        let mut generation = load(&mut loaded, &load_options)?;
        replies::take_over(&mut generation, &loaded.policy);

        let new = found
            .attach(&generation, loaded.policy.attach, &BTreeMap::new())
            .map_err(Failure::system)?;
        if let (true, Some(reason)) = (new.attachments.is_empty(), new.failed.values().next()) {
            return Err(Failure::system(anyhow!(reason.clone())));
        }
        for attachment in new.attachments.values() {
            announce(attachment);
            tags::warn_of_offload(attachment, &loaded.policy);
        }
        for reason in new.failed.values() {
            error!("{reason}");
        }
        for pattern in &found.matched.waiting {
            warn!("waiting for {}", found::waiting_for(pattern));
        }
        // What began between the first look and the attachment.
        replies::take_over(&mut generation, &loaded.policy);
        let mut guard = Self {
            pins: options.pins.clone(),
            state: load_options.state.clone(),
            path: options.policy.clone(),
            interfaces: options.interfaces.clone(),
            loaded,
            generation,
            options: load_options,
            number: 1,
            attachments: new.attachments,
            failed: new.failed,
            waiting: found.matched.waiting,
            totals: Totals::default(),
            last_reload: None,
        };
        guard.count_all_buffers_if_needed(&found.interfaces);
        Ok(guard)
    }

    /// Detaches from all interfaces, and forgets what outlives a generation.
    pub(super) fn stop(self) {
        let state = self.state.clone();
        drop(self);
        if let Some(Err(error)) = state.map(|state| state.remove()) {
            warn!("cannot remove the state of replies and limits: {error}");
        }
    }

    /// Reads the policy file again and puts it in force, or leaves everything as it was.
    pub(super) fn reload(&mut self) -> Outcome<Reloaded> {
        let result = self.try_reload();
        self.last_reload = Some(LastReload {
            ok: result.is_ok(),
            unix_time: unix_time() as u64,
            error: result.as_ref().err().map(ToString::to_string),
        });
        result
    }

    fn try_reload(&mut self) -> Outcome<Reloaded> {
        let refused = |error: &policy_file::PolicyError| {
            Failure::refused(anyhow!(output::problems::policy_error(error)))
        };
        let file = policy_file::read(&self.path).map_err(|error| refused(&error))?;
        let unchanged = Reloaded {
            changed: false,
            generation: self.number,
            warnings: Vec::new(),
        };
        if file == self.loaded.file && self.loaded.set_files.is_empty() {
            return Ok(unchanged);
        }
        let mut loaded = policy_file::compile(file).map_err(|error| refused(&error))?;
        if loaded.is_same(&self.loaded) {
            return Ok(unchanged);
        }
        let mut warnings = output::problems::warnings(&loaded);
        let found = found::find(&patterns(&self.interfaces, &loaded)?).map_err(Failure::system)?;
        let mut options = found.load_options(loaded.policy.attach);
        options.count_all_buffers |= self.options.count_all_buffers;
        options.state =
            state_for(&loaded, self.state.as_ref(), &self.pins).map_err(Failure::system)?;
        if options.state.is_some() {
            self.state.clone_from(&options.state);
        }
        let mut generation = load(&mut loaded, &options)?;
        let begins_to_watch = !self.attachments.values().all(Attachment::watches_egress);
        if begins_to_watch {
            replies::take_over(&mut generation, &loaded.policy);
        }

        self.forget_gone(&found);
        // New interfaces first: if one refuses, nothing has changed yet.
        let new = match found.attach(&generation, loaded.policy.attach, &self.attachments) {
            Ok(new) => new,
            Err(error) => {
                self.retire(&generation, &loaded.policy);
                return Err(Failure::system(error));
            }
        };
        for attachment in self.attachments.values() {
            warnings.extend(other_mode(attachment, loaded.policy.attach));
        }
        if let Err((generation, error)) = self.publish(generation, options) {
            drop(new);
            self.retire(&generation, &loaded.policy);
            return Err(Failure::system(error));
        }
        self.number += 1;
        if begins_to_watch {
            replies::take_over(&mut self.generation, &loaded.policy);
        }
        replies::close_ports(&mut self.generation, &self.loaded, &loaded);
        self.loaded = loaded;
        for attachment in new.attachments.values() {
            announce(attachment);
            tags::warn_of_offload(attachment, &self.loaded.policy);
        }
        for reason in new.failed.values() {
            error!("{reason}");
        }
        self.attachments.extend(new.attachments);
        self.failed = new.failed;
        if found.lost_default_route() {
            warnings.push(
                "warning: no interface carries a default route now; those guarded before stay guarded"
                    .into(),
            );
        } else {
            self.detach_except(&found.matched.guarded);
        }
        self.waiting = found.matched.waiting;
        self.count_all_buffers_if_needed(&found.interfaces);
        Ok(Reloaded {
            changed: true,
            generation: self.number,
            warnings,
        })
    }

    /// Attaches to interfaces that appeared and forgets those that are gone.
    pub(super) fn follow_interfaces(&mut self) {
        let patterns = match patterns(&self.interfaces, &self.loaded) {
            Ok(patterns) => patterns,
            Err(failure) => return error!("{failure}"),
        };
        let found = match found::find(&patterns) {
            Ok(found) => found,
            Err(error) => return error!("{error:#}"),
        };
        self.forget_gone(&found);
        for interface in found.guarded() {
            if let Some(attachment) = self.attachments.get_mut(&interface.index) {
                attachment.interface.clone_from(&interface.name);
            }
        }
        if let Err(error) = self.tell_apart(&found) {
            error!("new interfaces are not filtered: {error:#}");
            return;
        }
        let new = found.attach_possible(
            &self.generation,
            self.loaded.policy.attach,
            &self.attachments,
        );
        for attachment in new.attachments.values() {
            announce(attachment);
            tags::warn_of_offload(attachment, &self.loaded.policy);
        }
        for (name, reason) in &new.failed {
            if self.failed.get(name) != Some(reason) {
                error!("{reason}");
            }
        }
        self.attachments.extend(new.attachments);
        self.failed = new.failed;
        self.waiting = found.matched.waiting;
        self.count_all_buffers_if_needed(&found.interfaces);
    }

    /// Publishes the policy anew where its rules tell interfaces apart and others are guarded now than before: an
    /// interface that the tables do not know would be judged by the rules for all interfaces alone.
    fn tell_apart(&mut self, found: &Found) -> anyhow::Result<()> {
        let mut options = found.load_options(self.loaded.policy.attach);
        options.count_all_buffers |= self.options.count_all_buffers;
        options.state.clone_from(&self.options.state);
        if !self.loaded.policy.tells_interfaces_apart()
            || options.interfaces == self.options.interfaces
        {
            return Ok(());
        }
        let generation = load(&mut self.loaded, &options).map_err(|failure| failure.error)?;
        self.publish(generation, options)
            .map_err(|(_generation, error)| error)
    }

    /// Drops attachments that do not filter any more: the interface was deleted (another may have its
    /// index by now), or somebody detached the program; and those whose interface was renamed to something
    /// that the policy does not mean. One that only lost its default route stays guarded: the route may
    /// come back.
    fn forget_gone(&mut self, found: &Found) {
        let present: BTreeMap<u32, &Interface> = found
            .interfaces
            .iter()
            .map(|interface| (interface.index, interface))
            .collect();
        self.attachments.retain(|index, attachment| {
            let Some(interface) = present.get(index) else {
                info!("interface `{}` is gone", attachment.interface);
                return false;
            };
            if interface.xdp.is_none() {
                warn!(
                    "the program on interface `{}` is gone: the interface was made anew, or somebody detached it",
                    attachment.interface
                );
                return false;
            }
            let meant = found.matched.guarded.contains(index)
                || interface.name == attachment.interface;
            if !meant {
                warn!(
                    "detached from `{}`: its name is `{}` now, which the policy does not mean",
                    attachment.interface, interface.name
                );
            }
            meant
        });
    }

    fn detach_except(&mut self, guarded: &BTreeSet<u32>) {
        self.attachments.retain(|index, attachment| {
            let stays = guarded.contains(index);
            if !stays {
                info!(
                    "detached from `{}`: the policy does not name it",
                    attachment.interface
                );
            }
            stays
        });
    }

    /// Puts a generation in the place of the present one on every interface, or on none: then it comes
    /// back with the error.
    fn publish(
        &mut self,
        generation: Generation,
        options: LoadOptions,
    ) -> Result<(), (Box<Generation>, anyhow::Error)> {
        let mut gone = Vec::new();
        let mut switched = Vec::new();
        for (index, attachment) in &mut self.attachments {
            match attachment.replace(&generation) {
                Ok(()) => switched.push(*index),
                Err(error) if link::is_gone(&error) => gone.push(*index),
                Err(error) => {
                    let name = attachment.interface.clone();
                    let error = self.switch_back(&switched, &name, error);
                    return Err((Box::new(generation), error));
                }
            }
        }
        for index in gone {
            if let Some(attachment) = self.attachments.remove(&index) {
                warn!("interface `{}` is gone", attachment.interface);
            }
        }
        let old = std::mem::replace(&mut self.generation, generation);
        self.options = options;
        let policy = self.loaded.policy.clone();
        self.retire(&old, &policy);
        Ok(())
    }

    /// Undoes a publication that failed on `interface`; returns the error to report.
    fn switch_back(
        &mut self,
        switched: &[u32],
        interface: &str,
        error: io::Error,
    ) -> anyhow::Error {
        let mut stuck = Vec::new();
        for index in switched {
            if let Some(attachment) = self.attachments.get_mut(index)
                && attachment.replace(&self.generation).is_err()
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

    /// Adds up what a generation counted that is at work nowhere any more.
    fn retire(&mut self, generation: &Generation, policy: &Policy) {
        // Until it was replaced it counted; it may still run on another CPU.
        if link::wait_for_running_programs().is_err() {
            std::thread::sleep(SETTLE);
        }
        match generation.counts() {
            Ok(counts) => self.totals.add(policy, &counts),
            Err(error) => error!("counters of a previous policy are lost: {error}"),
        }
    }

    /// Publishes the same tables anew, should an attachment need its frames' length asked for.
    fn count_all_buffers_if_needed(&mut self, interfaces: &[Interface]) {
        let needed = self.attachments.values().any(|attachment| {
            attachment.mode == Mode::Generic
                || interfaces.iter().any(|interface| {
                    interface.index == attachment.ifindex && interface.mtu > SINGLE_BUFFER_MTU
                })
        });
        if !needed || self.options.count_all_buffers {
            return;
        }
        let options = LoadOptions {
            count_all_buffers: true,
            ..self.options.clone()
        };
        let result = load(&mut self.loaded, &options)
            .map_err(|failure| failure.error)
            .and_then(|generation| {
                self.publish(generation, options)
                    .map_err(|(_generation, error)| error)
            });
        if let Err(error) = result {
            warn!("bytes of frames in several buffers are counted too low: {error:#}");
        }
    }

    /// What the daemon does, in a line.
    pub(super) fn summary(&self) -> String {
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
        let rules = self.loaded.policy.rules.len();
        let dry = if self.loaded.policy.enforce {
            ""
        } else {
            ", dry run: nothing is dropped"
        };
        format!(
            "policy {} with {rules} rule{} on {}{dry}",
            self.number,
            if rules == 1 { "" } else { "s" },
            if parts.is_empty() {
                "no interface".into()
            } else {
                parts.join(", ")
            }
        )
    }

    pub(super) fn status(&self) -> Status {
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
            generation: self.number,
            rules: self.loaded.policy.rules.len(),
            enforce: self.loaded.policy.enforce,
            interfaces: attached.chain(waiting).chain(failed).collect(),
            last_reload: self.last_reload.clone(),
        }
    }

    pub(super) fn counters(&self) -> anyhow::Result<Counters> {
        let counts = self.generation.counts()?;
        Ok(self
            .totals
            .report(&self.loaded.policy, &counts, self.number, unix_time()))
    }
}

/// The state, if a policy needs any: what is held already, or else what can be kept in the folder.
fn state_for(
    loaded: &Loaded,
    held: Option<&State>,
    folder: &Path,
) -> anyhow::Result<Option<State>> {
    if !loaded.policy.needs_state() {
        return Ok(None);
    }
    Ok(Some(match held {
        Some(state) => state.clone(),
        None => State::open(folder)?,
    }))
}

/// Those of the command line, or else of the policy.
fn patterns(command_line: &[InterfacePattern], loaded: &Loaded) -> Outcome<Vec<InterfacePattern>> {
    let patterns = if command_line.is_empty() {
        &loaded.policy.interfaces
    } else {
        command_line
    };
    if patterns.is_empty() {
        return Err(Failure::refused(anyhow!(
            "no interface to guard: policy `{}` has no key `interfaces`; add it, or give `--interface NAME`",
            loaded.file.path.display()
        )));
    }
    Ok(patterns.to_vec())
}

/// Loads a policy, compiled for these interfaces if its rules tell interfaces apart.
fn load(loaded: &mut Loaded, options: &LoadOptions) -> Outcome<Generation> {
    if loaded.policy.tells_interfaces_apart() {
        let names: Vec<&str> = options
            .interfaces
            .iter()
            .map(|(_, name)| name.as_str())
            .collect();
        loaded.tables = portguard_policy::compile(&loaded.policy, &names).map_err(|source| {
            let path = loaded.file.path.clone();
            Failure::refused(policy_file::PolicyError::TooLarge { path, source })
        })?;
    }
    Generation::load(&loaded.tables, options)
        .context("cannot load the filter into the kernel")
        .map_err(Failure::system)
}

fn announce(attachment: &Attachment) {
    match &attachment.fallback {
        None => info!(
            "attached to `{}` in {} mode",
            attachment.interface, attachment.mode
        ),
        Some(reason) => warn!(
            "attached to `{}` in generic mode, which is slower than native: {reason}",
            attachment.interface
        ),
    }
}

/// A warning where the policy asks for another mode than the one in which an interface is attached.
/// The kernel cannot change it without a moment in which nothing is filtered.
fn other_mode(attachment: &Attachment, wanted: AttachMode) -> Option<String> {
    let wanted = match wanted {
        AttachMode::Native => Mode::Native,
        AttachMode::Generic => Mode::Generic,
        AttachMode::Auto => return None,
    };
    (wanted != attachment.mode).then(|| {
        format!(
            "warning: `{}` stays attached in {} mode; {wanted} mode takes effect when portguard is restarted",
            attachment.interface, attachment.mode
        )
    })
}
