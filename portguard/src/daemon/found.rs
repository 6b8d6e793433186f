//! The interfaces that a policy means, as they are now, and attaching to them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use portguard_policy::{AttachMode, InterfacePattern};

use crate::dataplane::interfaces::{self, Interface};
use crate::dataplane::{AttachError, Attachment, Generation, LoadOptions};

use super::matching::{self, Matched};

/// A frame of a larger MTU may not fit one buffer of a page, with the room that the kernel keeps before
/// and behind it (`XDP_PACKET_HEADROOM` of 256 bytes, `skb_shared_info` of 320).
pub(super) const SINGLE_BUFFER_MTU: u32 = 3_400;

/// What came of attaching.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// New attachments by interface index.
    pub(super) attachments: BTreeMap<u32, Attachment>,
    /// Why an interface could not be attached to, by its name.
    pub(super) failed: BTreeMap<String, String>,
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
        generation: &Generation,
        mode: AttachMode,
        present: &BTreeMap<u32, Attachment>,
    ) -> Result<Attached, AttachError> {
        self.attach_if(generation, mode, present, |index| {
            self.matched.named.contains(&index)
        })
    }

    /// As [`Found::attach`], but any interface may refuse.
    pub(super) fn attach_possible(
        &self,
        generation: &Generation,
        mode: AttachMode,
        present: &BTreeMap<u32, Attachment>,
    ) -> Attached {
        self.attach_if(generation, mode, present, |_| false)
            .unwrap_or_default()
    }

    fn attach_if(
        &self,
        generation: &Generation,
        mode: AttachMode,
        present: &BTreeMap<u32, Attachment>,
        must: impl Fn(u32) -> bool,
    ) -> Result<Attached, AttachError> {
        let mut new = Attached::default();
        for interface in self.guarded() {
            if present.contains_key(&interface.index) {
                continue;
            }
            match Attachment::new(generation, interface, mode) {
                Ok(attachment) => {
                    new.attachments.insert(interface.index, attachment);
                }
                // It went away since it was listed; an event tells when it is back.
                Err(AttachError::Gone { .. }) => {}
                Err(error) if must(interface.index) => return Err(error),
                Err(error) => {
                    new.failed.insert(interface.name.clone(), error.to_string());
                }
            }
        }
        Ok(new)
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
            trace: false,
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
