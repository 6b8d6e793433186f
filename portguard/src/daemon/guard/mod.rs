//! The policy in force, where it is attached, and every way in which that changes.

mod change;
mod follow;
mod ports;
mod report;
mod tell;
mod trial;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use portguard_policy::{AttachMode, InterfacePattern, OnStop, Policy, Prefix};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::control::{self, BanEntry, Change, LastReload};
use crate::dataplane::interfaces::{self, Interface};
use crate::dataplane::{Attachment, Generation, LoadOptions, Mode, Programs, State};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::policy_file::{self, Loaded};

use self::trial::Trial;
use super::accounts::Accounts;
use super::bans::{self, Bans, Now};
use super::found::{self, Attached, Found};
use super::keeping::Keeping;
use super::tell::Teller;
use super::{Options, StateFolder, last_good, lockout, replies, tags, unix_time};

pub(super) use self::change::How;
pub(super) use self::ports::without_expired;

/// The policy in force and its attachments. Dropped, it leaves them at work; [`Guard::stop`] asks the policy.
#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    started: Instant,
    started_unix_s: f64,
    /// From the command line; empty to follow the policy.
    interfaces: Vec<InterfacePattern>,
    in_force: InForce,
    /// The policy in force is on trial.
    trial: Option<Trial>,
    keeping: Keeping,
    folder: StateFolder,
    /// The highest number that a generation has had.
    last_id: u64,
    /// The highest number that a policy has had.
    last_number: u64,
    /// By interface index.
    attachments: BTreeMap<u32, Attachment>,
    /// Interfaces that the filter could not be attached to since the start, with the reason.
    failed: BTreeMap<String, String>,
    waiting: Vec<String>,
    accounts: Accounts,
    last_reload: Option<LastReload>,
    pub(super) bans: Bans,
    /// What is not as it should be around it, for its status.
    pub(super) troubles: Vec<String>,
    /// When the policy in force took effect, in seconds since 1970.
    changed_unix_s: f64,
    pub(super) teller: Teller,
    /// Why the policy file is not what is in force.
    fallback: Option<String>,
    /// Why the policy in force will not be that of the next boot.
    unkept: Option<String>,
    /// The drop-in of `block` and `open` was written, and nobody has been told yet.
    has_written: bool,
    /// When to try again to take back what is over.
    retry_ports: Option<Instant>,
}

/// A policy and what was made of it.
#[derive(Debug)]
struct InForce {
    loaded: Loaded,
    generation: Generation,
    options: LoadOptions,
    /// Its number, as people see it.
    number: u64,
    /// The number under which it is pinned.
    id: u64,
}

impl InForce {
    fn rules(&self) -> Vec<String> {
        let rules = self.loaded.policy.rules.iter();
        rules.map(|rule| rule.name.clone()).collect()
    }

    /// What another generation in its place needs to know: what is found now, and what holds as long as the daemon runs.
    fn next_options(&self, found: &Found, attach: AttachMode) -> LoadOptions {
        let now = found.load_options(attach);
        LoadOptions {
            count_all_buffers: now.count_all_buffers || self.options.count_all_buffers,
            interfaces: now.interfaces,
            ..self.options.clone()
        }
    }

    /// Pins what it counts; before it is attached, so that nothing is counted in vain.
    fn keep(&self, keeping: &mut Keeping) {
        keeping.keep(&self.generation, self.id, self.number, self.rules());
    }
}

impl Guard {
    /// Loads a policy and attaches it to every interface that it means and that exists. What a daemon before this one
    /// left at work is taken over in one step, without a packet that nothing judges.
    ///
    /// # Errors
    ///
    /// When the kernel refuses one of them; nothing new is attached then, and what was left at work stays.
    pub(super) fn start(options: &Options) -> Outcome<Self> {
        let (mut loaded, fallback) = boot_policy(options)?;
        let mut keeping = Keeping::open(&options.pins)?;
        let state = keeping.state();
        let found = find(&options.interfaces, &loaded)?;
        let mut adopted = match &state {
            Some(state) => adopt(state, &found.interfaces),
            None => BTreeMap::new(),
        };
        let (accounts, last) = Accounts::adopt(state.as_ref());
        let mut load_options = found.load_options(loaded.policy.attach);
        load_options.state = state;
        load_options.bans = options.max_bans;
        load_options.diagnostics = options.kernel_log;
        load_options.events = Some(tell::number(last.id + 1));
        let mut generation = load(&mut loaded, &load_options)?;
        lockout::warn_at_start(&loaded, &found);
        // Before anything is attached: no packet comes in between.
        let bans = Bans::start(&generation, &options.state, options.max_bans, Now::read())
            .map_err(Failure::system)?;
        replies::take_over(&mut generation, &loaded.policy);
        let mut teller = Teller::default();
        teller.prepare(&mut generation, &loaded.policy);
        let mut guard = Self {
            path: options.policy.clone(),
            started: Instant::now(),
            started_unix_s: unix_time(),
            interfaces: options.interfaces.clone(),
            in_force: InForce {
                loaded,
                generation,
                options: load_options,
                number: last.number + 1,
                id: last.id + 1,
            },
            trial: None,
            keeping,
            folder: options.state.clone(),
            last_id: last.id + 1,
            last_number: last.number + 1,
            attachments: BTreeMap::new(),
            failed: BTreeMap::new(),
            waiting: found.matched.waiting.clone(),
            accounts,
            last_reload: None,
            bans,
            troubles: Vec::new(),
            changed_unix_s: unix_time(),
            teller,
            fallback,
            unkept: None,
            has_written: false,
            retry_ports: None,
        };
        guard.in_force.keep(&mut guard.keeping);
        let attach = guard.in_force.loaded.policy.attach;
        let programs = guard.in_force.generation.programs();
        let programs = programs.map_err(Failure::system)?;
        let refused = take_over(programs, &mut adopted, &found);
        let new = found
            .attach(programs, attach, &adopted)
            .map_err(Failure::system)?;
        if let (true, Some(reason)) = (
            new.attachments.is_empty() && adopted.is_empty(),
            new.failed.values().next(),
        ) {
            return Err(Failure::system(anyhow!(reason.clone())));
        }
        for attachment in adopted.values() {
            info!(
                interface = attachment.interface,
                "took over `{}` in {} mode from a daemon before",
                attachment.interface,
                attachment.mode
            );
            if let Some(warning) = other_mode(attachment, attach) {
                warn!(interface = attachment.interface, "{warning}");
            }
        }
        guard.attachments = adopted;
        guard.accept(new, &found);
        guard.failed.extend(refused);
        for pattern in &guard.waiting {
            warn!(
                interface = pattern,
                "waiting for {}",
                found::waiting_for(pattern)
            );
        }
        // What began between the first look and the attachment.
        let InForce {
            generation, loaded, ..
        } = &mut guard.in_force;
        replies::take_over(generation, &loaded.policy);
        if !found.lost_default_route() {
            guard.detach_except(&found.matched.guarded);
        }
        let id = guard.in_force.id;
        guard.accounts.retire_others(id, &mut guard.keeping);
        guard.take_events();
        guard.forget_other_layouts();
        guard.keep_last_good();
        guard.count_all_buffers_if_needed(&found.interfaces);
        Ok(guard)
    }

    /// The number of the policy in force.
    pub(super) const fn number(&self) -> u64 {
        self.in_force.number
    }

    /// The policy in force.
    pub(super) fn policy(&self) -> &Policy {
        &self.in_force.loaded.policy
    }

    /// Detaches from all interfaces and forgets what is pinned, unless the policy says that it stays.
    pub(super) fn stop(mut self) {
        if self.trial.is_some()
            && let Err(failure) = self.revert()
        {
            error!("{failure}");
        }
        self.bans.stop();
        if self.in_force.loaded.policy.on_stop == OnStop::Keep {
            match self.keeping.trouble() {
                None => info!("the filter stays at work (`on_stop: keep`)"),
                Some(reason) => error!("the filter cannot stay at work: {reason}"),
            }
            return;
        }
        info!("detaching from all interfaces");
        let state = self.keeping.state();
        for attachment in std::mem::take(&mut self.attachments).into_values() {
            found::detach(attachment, state.as_ref());
        }
        if let Some(Err(error)) = state.map(|state| state.remove()) {
            warn!("cannot remove what is pinned: {error}");
        }
    }

    /// Bans sources; the policy in force may object.
    pub(super) fn ban(
        &mut self,
        entries: &[BanEntry],
        reason: Option<&str>,
        change: &Change,
    ) -> Outcome<control::Bans> {
        let loaded = &self.in_force.loaded;
        let more = bans::prefixes(entries)?;
        let interfaces = interfaces::list()
            .context("cannot list the interfaces")
            .map_err(Failure::system)?;
        let guarded = || self.attachments.keys().copied();
        let check = |banned: &[Prefix]| {
            lockout::check_bans(loaded, guarded(), [banned, &more], &interfaces, change)
        };
        // Those in force matter only where a session would be cut that one of them has cut already.
        if let Err(refusal) = check(&[]) {
            let banned = self.bans.prefixes();
            if banned.is_empty() {
                return Err(refusal);
            }
            check(&banned)?;
        }
        self.bans
            .ban(entries, reason, change.force, &loaded.policy, Now::read())
    }

    /// The interfaces of this host, and which of them are meant where a policy is in force.
    fn find(&self, loaded: &Loaded) -> Outcome<Found> {
        find(&self.interfaces, loaded)
    }

    /// Takes new attachments in, and says how they went.
    fn accept(&mut self, new: Attached, found: &Found) {
        for attachment in new.attachments.values() {
            announce(attachment);
            tags::warn_of_offload(attachment, &self.in_force.loaded.policy);
        }
        for (name, reason) in &new.failed {
            if self.failed.get(name) != Some(reason) {
                error!(interface = name, "{reason}");
            }
        }
        self.attachments.extend(new.attachments);
        self.failed = new.failed;
        self.waiting.clone_from(&found.matched.waiting);
        self.pin_attachments();
    }

    /// Pins every attachment that is not pinned, so that it goes on without this process.
    fn pin_attachments(&mut self) {
        if let Some(state) = self.keeping.state() {
            for attachment in self.attachments.values() {
                self.keeping.note(attachment.pin(&state));
            }
        }
    }

    /// Keeps the policy in force for a boot at which the policy file is broken.
    fn keep_last_good(&mut self) {
        let kept = last_good::keep(&self.folder, &mut self.in_force.loaded)
            .and_then(|()| last_good::end_trial(&self.folder));
        self.unkept = kept.err().map(|error| {
            let path = self.folder.path("");
            let reason = format!(
                "should the policy file be broken at the next start, there is nothing to fall back on: cannot write to `{}`: {error}",
                path.display()
            );
            warn!("{reason}");
            reason
        });
    }

    fn forget_other_layouts(&mut self) {
        if let Some(state) = self.keeping.state() {
            self.keeping.note(state.forget_other_layouts());
        }
    }
}

/// The policy to start with, and why it is not that of the policy file if it is not.
fn boot_policy(options: &Options) -> Outcome<(Loaded, Option<String>)> {
    ports::forget_expired(&options.policy);
    let reason = match policy_file::read(&options.policy).and_then(|file| {
        let file = ports::without_expired(file);
        let unconfirmed = last_good::is_unconfirmed(&options.state, &file.text);
        policy_file::compile(file).map(|loaded| (loaded, unconfirmed))
    }) {
        Ok((loaded, false)) => {
            for warning in output::problems::warnings(&loaded) {
                warn!("{warning}");
            }
            return Ok((loaded, None));
        }
        Ok((_, true)) => format!(
            "policy `{}` was on trial and not confirmed",
            options.policy.display()
        ),
        Err(error) => output::problems::policy_error(&error),
    };
    match last_good::load(&options.state) {
        Ok(Some(loaded)) => {
            error!("{reason}\nthe last policy that took effect is enforced instead");
            Ok((loaded, Some(reason)))
        }
        Ok(None) => Err(Failure::refused(anyhow!(reason))),
        Err(error) => Err(Failure::refused(anyhow!(
            "{reason}\nand the last policy that took effect cannot be used: {error}"
        ))),
    }
}

/// What a daemon before this one left at work on these interfaces.
fn adopt(state: &State, interfaces: &[Interface]) -> BTreeMap<u32, Attachment> {
    let links = match state.links() {
        Ok(links) => links,
        Err(error) => {
            warn!("cannot take over what a daemon before this one attached: {error}");
            return BTreeMap::new();
        }
    };
    let mut adopted = BTreeMap::new();
    for link in links {
        if link.is_dead {
            if let Err(error) = state.unpin_links(link.ifindex) {
                warn!("cannot remove a link to an interface that is gone: {error}");
            }
            continue;
        }
        let interface = interfaces
            .iter()
            .find(|interface| interface.index == link.ifindex);
        match interface.map(|interface| Attachment::adopt(interface, state)) {
            Some(Ok(Some(attachment))) => {
                adopted.insert(link.ifindex, attachment);
            }
            Some(Err(error)) => warn!(
                "cannot take over interface {}, which a daemon before this one attached to: {error}",
                link.ifindex
            ),
            Some(Ok(None)) | None => warn!(
                "a link to interface {} of another network namespace is pinned in the same folder; it is left alone",
                link.ifindex
            ),
        }
    }
    adopted
}

/// Puts programs in the place of those that were left at work. What refuses keeps the program that it has; the reasons
/// are returned by the names of the interfaces.
fn take_over(
    programs: Programs<'_>,
    adopted: &mut BTreeMap<u32, Attachment>,
    found: &Found,
) -> BTreeMap<String, String> {
    let mut refused = BTreeMap::new();
    for attachment in adopted.values_mut() {
        if found.matched.guarded.contains(&attachment.ifindex)
            && let Err(error) = attachment.replace(programs)
        {
            let name = attachment.interface.clone();
            let reason =
                format!("interface `{name}` keeps the policy of the daemon before: {error}");
            error!(interface = name, "{reason}");
            refused.insert(name, reason);
        }
    }
    refused
}

/// The interfaces of this host, and which of them are meant: by the command line, or else by the policy.
fn find(command_line: &[InterfacePattern], loaded: &Loaded) -> Outcome<Found> {
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
    found::find(patterns).map_err(Failure::system)
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
            interface = attachment.interface,
            mode = %attachment.mode,
            "attached to `{}` in {} mode",
            attachment.interface, attachment.mode
        ),
        Some(reason) => warn!(
            interface = attachment.interface,
            mode = %attachment.mode,
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
            "warning: `{}` stays attached in {} mode; {wanted} mode takes effect when it is detached (`portguard detach`) and portguard started again",
            attachment.interface, attachment.mode
        )
    })
}
