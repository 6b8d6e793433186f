//! Following the interfaces: they appear, disappear, are renamed and made anew.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{error, info, warn};

use crate::dataplane::interfaces::Interface;
use crate::dataplane::{LoadOptions, Mode};
use crate::exit::in_full;

use super::super::found::{Found, SINGLE_BUFFER_MTU, detach};
use super::{Guard, load, tell};

impl Guard {
    /// Attaches to interfaces that appeared and forgets those that are gone.
    pub(in super::super) fn follow_interfaces(&mut self) {
        let found = match self.find(&self.in_force.loaded) {
            Ok(found) => found,
            Err(failure) => return error!("{failure}"),
        };
        self.forget_gone(&found);
        for interface in found.guarded() {
            if let Some(attachment) = self.attachments.get_mut(&interface.index) {
                attachment.interface.clone_from(&interface.name);
            }
        }
        if let Err(error) = self.tell_apart(&found) {
            error!("new interfaces are not filtered: {}", in_full(&error));
            return;
        }
        if let Err(error) = self.attach_to_new(&found) {
            error!("new interfaces are not filtered: {}", in_full(&error));
            return;
        }
        self.count_all_buffers_if_needed(&found.interfaces);
    }

    fn attach_to_new(&mut self, found: &Found) -> anyhow::Result<()> {
        let attach = self.in_force.loaded.policy.attach;
        let new = match &self.trial {
            None => {
                let programs = self.in_force.generation.programs()?;
                found.attach_possible(programs, attach, &self.attachments)
            }
            Some(trial) => {
                // The policy before may mean them, too.
                let before = self.find(&trial.before.loaded);
                for index in before.map_err(|failure| failure.error)?.matched.guarded {
                    self.in_force.generation.guarded_before(index)?;
                }
                let (tried, before) = (&self.in_force.generation, &trial.before.generation);
                let programs = tried.trial_programs(before)?;
                found.attach_possible(programs, attach, &self.attachments)
            }
        };
        self.accept(new, found);
        Ok(())
    }

    /// Publishes the policy anew where its rules tell interfaces apart and others are guarded now than before: an
    /// interface that the tables do not know would be judged by the rules for all interfaces alone. A policy on trial
    /// has to wait until the trial is over.
    fn tell_apart(&mut self, found: &Found) -> anyhow::Result<()> {
        let present = &self.in_force;
        let options = present.next_options(found, present.loaded.policy.attach);
        if !present.loaded.policy.tells_interfaces_apart()
            || options.interfaces == present.options.interfaces
        {
            return Ok(());
        }
        if self.trial.is_some() {
            warn!("rules with `interfaces` do not match new interfaces before the trial is over");
            return Ok(());
        }
        self.load_anew(options)
    }

    /// Drops attachments that do not filter any more: the interface was deleted (another may have its
    /// index by now), or somebody detached the program; and those whose interface was renamed to something
    /// that the policy does not mean. One that only lost its default route stays guarded: the route may
    /// come back.
    pub(super) fn forget_gone(&mut self, found: &Found) {
        let present: BTreeMap<u32, &Interface> = found
            .interfaces
            .iter()
            .map(|interface| (interface.index, interface))
            .collect();
        self.detach_if(|index, name| {
            let Some(interface) = present.get(&index) else {
                info!(interface = name, "interface `{name}` is gone");
                return true;
            };
            if interface.xdp.is_none() {
                warn!(
                    interface = name,
                    "the program on interface `{name}` is gone: the interface was made anew, or somebody detached it"
                );
                return true;
            }
            let meant = found.matched.guarded.contains(&index) || interface.name == name;
            if !meant {
                warn!(
                    interface = name,
                    "detached from `{name}`: its name is `{}` now, which the policy does not mean",
                    interface.name
                );
            }
            !meant
        });
    }

    pub(super) fn detach_except(&mut self, guarded: &BTreeSet<u32>) {
        self.detach_if(|index, name| {
            let stays = guarded.contains(&index);
            if !stays {
                info!(
                    interface = name,
                    "detached from `{name}`: the policy does not name it"
                );
            }
            !stays
        });
    }

    /// Detaches from interfaces by index and name.
    fn detach_if(&mut self, leaves: impl Fn(u32, &str) -> bool) {
        let leaving: Vec<u32> = self
            .attachments
            .values()
            .filter(|attachment| leaves(attachment.ifindex, &attachment.interface))
            .map(|attachment| attachment.ifindex)
            .collect();
        if leaving.is_empty() {
            return;
        }
        let state = self.keeping.state();
        for index in leaving {
            if let Some(attachment) = self.attachments.remove(&index) {
                detach(attachment, state.as_ref());
            }
        }
    }

    /// Publishes the same tables anew, should an attachment need its frames' length asked for.
    pub(super) fn count_all_buffers_if_needed(&mut self, interfaces: &[Interface]) {
        let needed = self.attachments.values().any(|attachment| {
            attachment.mode == Mode::Generic
                || interfaces.iter().any(|interface| {
                    interface.index == attachment.ifindex && interface.mtu > SINGLE_BUFFER_MTU
                })
        });
        if !needed || self.in_force.options.count_all_buffers || self.trial.is_some() {
            return;
        }
        let options = LoadOptions {
            count_all_buffers: true,
            ..self.in_force.options.clone()
        };
        if let Err(error) = self.load_anew(options) {
            warn!(
                "bytes of frames in several buffers are counted too low: {}",
                in_full(&error)
            );
        }
    }

    /// Loads the policy in force with other options, and publishes it.
    fn load_anew(&mut self, mut options: LoadOptions) -> anyhow::Result<()> {
        let id = self.next_id();
        options.events = Some(tell::number(id));
        let mut generation =
            load(&mut self.in_force.loaded, &options).map_err(|failure| failure.error)?;
        self.bans.carry_over(&generation)?;
        self.teller
            .prepare(&mut generation, &self.in_force.loaded.policy);
        self.publish_anew(generation, options, id)
    }
}
