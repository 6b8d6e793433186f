//! The interfaces that a policy means, as they are now, and attaching to them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use portguard_policy::{AttachMode, InterfacePattern};
use tracing::error;

use crate::dataplane::interfaces::{self, Interface};
use crate::dataplane::{AttachError, Attachment, LoadOptions, Programs, State};

use super::matching::{self, Matched};

/// A frame of a larger MTU may not fit one buffer of a page, with the room that the kernel keeps before
/// and behind it (`XDP_PACKET_HEADROOM` of 256 bytes, `skb_shared_info` of 320).
pub(crate) const SINGLE_BUFFER_MTU: u32 = 3_400;

/// What came of attaching.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// New attachments by interface index.
    pub(super) attachments: BTreeMap<u32, Attachment>,
    /// Why an interface could not be attached to, by its name.
    pub(super) failed: BTreeMap<String, String>,
}

impl Attached {
    /// Takes all of them away again; nothing of them is pinned yet.
    pub(super) fn detach(self) {
        for attachment in self.attachments.into_values() {
            detach(attachment, None);
        }
    }

    fn add(&mut self, interface: &Interface, result: Result<Attachment, AttachError>) {
        match result {
            Ok(attachment) => {
                self.attachments.insert(interface.index, attachment);
            }
            Err(error) => {
                self.failed
                    .insert(interface.name.clone(), error.to_string());
            }
        }
    }
}

/// Takes programs off an interface, or says that this did not work.
pub(super) fn detach(attachment: Attachment, state: Option<&State>) {
    let name = attachment.interface.clone();
    if let Err(error) = attachment.detach(state) {
        error!(
            interface = name,
            "interface `{name}` is still filtered: {error}"
        );
    }
}

/// The interfaces of this host and which of them are meant.
pub(super) struct Found {
    pub(super) interfaces: Vec<Interface>,
    pub(super) matched: Matched,
}

impl Found {
    pub(super) fn guarded(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces
            .iter()
            .filter(|interface| self.matched.guarded.contains(&interface.index))
    }

    /// Attaches to the interfaces that are meant and are not among `present`. An interface that the policy
    /// names must not refuse; what merely matches a pattern may.
    pub(super) fn attach(
        &self,
        programs: Programs<'_>,
        mode: AttachMode,
        present: &BTreeMap<u32, Attachment>,
    ) -> Result<Attached, AttachError> {
        let mut new = Attached::default();
        for (interface, result) in self.attempts(programs, mode, present) {
            match result {
                Err(error) if self.matched.named.contains(&interface.index) => {
                    new.detach();
                    return Err(error);
                }
                result => new.add(interface, result),
            }
        }
        Ok(new)
    }

    /// As [`Found::attach`], but any interface may refuse.
    pub(super) fn attach_possible(
        &self,
        programs: Programs<'_>,
        mode: AttachMode,
        present: &BTreeMap<u32, Attachment>,
    ) -> Attached {
        let mut new = Attached::default();
        for (interface, result) in self.attempts(programs, mode, present) {
            new.add(interface, result);
        }
        new
    }

    /// Attaches to one interface after the other.
    fn attempts<'a>(
        &'a self,
        programs: Programs<'a>,
        mode: AttachMode,
        present: &'a BTreeMap<u32, Attachment>,
    ) -> impl Iterator<Item = (&'a Interface, Result<Attachment, AttachError>)> {
        self.guarded()
            .filter(|interface| !present.contains_key(&interface.index))
            .map(move |interface| (interface, Attachment::new(programs, interface, mode)))
            // It went away since it was listed; an event tells when it is back.
            .filter(|(_, result)| !matches!(result, Err(AttachError::Gone { .. })))
    }

    /// Whether `default-route` is meant, but no interface carries one at the moment.
    pub(super) fn lost_default_route(&self) -> bool {
        let default_route = InterfacePattern::DefaultRoute.to_string();
        self.matched.waiting.contains(&default_route)
    }

    pub(super) fn load_options(&self, attach: AttachMode) -> LoadOptions {
        LoadOptions {
            count_all_buffers: attach == AttachMode::Generic
                || self
                    .guarded()
                    .any(|interface| interface.mtu > SINGLE_BUFFER_MTU),
            interfaces: self
                .guarded()
                .map(|interface| (interface.index, interface.name.clone()))
                .collect(),
            ..LoadOptions::default()
        }
    }
}

pub(super) fn find(patterns: &[InterfacePattern]) -> anyhow::Result<Found> {
    let interfaces = interfaces::list().context("cannot list the interfaces")?;
    let default_route = if patterns.contains(&InterfacePattern::DefaultRoute) {
        interfaces::with_default_route().context("cannot list the routes")?
    } else {
        Vec::new()
    };
    let matched = matching::matched(patterns, &interfaces, &default_route);
    Ok(Found {
        interfaces,
        matched,
    })
}

/// Names of the interfaces that patterns mean, and of those that do not exist yet.
pub(crate) fn names(patterns: &[InterfacePattern]) -> anyhow::Result<Vec<String>> {
    let found = find(patterns)?;
    let mut names: Vec<String> = found
        .guarded()
        .map(|interface| interface.name.clone())
        .collect();
    let absent = |name: &String| found.matched.waiting.contains(name);
    names.extend(patterns.iter().filter_map(|pattern| match pattern {
        InterfacePattern::Name(name) if absent(name) => Some(name.clone()),
        _ => None,
    }));
    Ok(names)
}

/// What a pattern waits for, for people.
pub(super) fn waiting_for(pattern: &str) -> String {
    if pattern == InterfacePattern::DefaultRoute.to_string() {
        "a default route: no interface carries one".into()
    } else {
        format!("interface `{pattern}`: it does not exist yet")
    }
}

/// Why a pattern matches nothing, for people.
pub(super) fn absent(pattern: &str) -> &'static str {
    if pattern == InterfacePattern::DefaultRoute.to_string() {
        "no default route"
    } else {
        "no such interface"
    }
}
