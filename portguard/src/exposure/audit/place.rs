//! A port at which somebody listens.

use portguard_policy::catalogue::{self, Entry};
use portguard_policy::{PortRange, ProfileRule, Transport, find_profile, profile_names};

use super::super::Endpoint;
use super::{Facts, Finding, Kind, Severity};
use crate::host::sockets::Socket;

/// Abuse that a finding tells; `portguard ports` has all.
const TOLD: usize = 3;

/// A port at which somebody listens, with all who do.
pub(in super::super) struct Place<'f> {
    pub(in super::super) transport: Transport,
    pub(in super::super) port: u16,
    pub(in super::super) sockets: Vec<&'f Socket>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// What the catalogue knows of a port.
#[must_use]
pub fn known(transport: Transport, port: u16) -> Option<&'static Entry> {
    let is_it = |own: &&Entry| own.port == port && own.transports.contains(&transport);
    catalogue::entries().iter().find(is_it)
}

impl<'f> Place<'f> {
    pub(in super::super) fn new((transport, port): (Transport, u16)) -> Self {
        Self {
            transport,
            port,
            sockets: Vec::new(),
            endpoints: Vec::new(),
        }
    }

    pub(in super::super) fn entry(&self) -> Option<&'static Entry> {
        known(self.transport, self.port)
    }

    /// The rules of profiles that drop it, each with its profile. Some drop a port by more protocols than the catalogue
    /// tells of.
    pub(super) fn profiles(&self) -> Vec<(&'static str, &'static ProfileRule)> {
        let rules = profile_names().flat_map(|profile| {
            let rules = find_profile(profile).unwrap_or_default().iter();
            rules.map(move |rule| (profile, rule))
        });
        rules
            .filter(|(_, rule)| rule.port == self.port && rule.transports.contains(&self.transport))
            .collect()
    }

    pub(super) fn name(&self) -> Option<String> {
        self.entry()?.service.map(str::to_owned)
    }

    /// A finding about it, still without text and fixes.
    pub(super) fn finding(&self, facts: &Facts<'_>, severity: Severity, kind: Kind) -> Finding {
        let entry = self.entry();
        let abuse = entry.map_or(&[][..], |own| &own.abuse).iter();
        // The latest says most of what goes on now.
        let abuse = abuse.rev().take(TOLD).map(|own| match own.year {
            Some(year) => format!("{} ({year}): {}", own.name, own.text),
            None => format!("{}: {}", own.name, own.text),
        });
        Finding {
            severity,
            kind,
            ports: Some((
                self.transport,
                PortRange {
                    low: self.port,
                    high: self.port,
                },
            )),
            service: facts
                .judge
                .filter()
                .and_then(|own| own.policy.service_name(self.transport, self.port))
                .map(str::to_owned)
                .or_else(|| self.name()),
            addresses: self.addresses(),
            owners: self.owners(facts),
            text: String::new(),
            reason: self.reason().into(),
            abuse: abuse.collect(),
            profiles: self
                .profiles()
                .iter()
                .map(|(profile, _)| *profile)
                .collect(),
            fixes: Vec::new(),
        }
    }

    fn reason(&self) -> &'static str {
        match (self.entry(), self.profiles().first()) {
            (Some(entry), _) => entry.why,
            (None, Some((_, rule))) => rule.comment,
            (None, None) => "nothing is known of this port",
        }
    }

    fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> = self
            .sockets
            .iter()
            .map(|own| match own.local.ip() {
                address if address.is_unspecified() => "any".into(),
                address => address.to_string(),
            })
            .collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// Who listens where, in a line.
    pub(in super::super) fn listeners(&self, facts: &Facts<'_>) -> String {
        let owners = self.owners(facts);
        let whose = if owners.is_empty() {
            "who listens is not seen".to_owned()
        } else {
            owners.join(", ")
        };
        format!("{whose}, at {}", self.addresses().join(", "))
    }

    fn owners(&self, facts: &Facts<'_>) -> Vec<String> {
        let mut names = Vec::new();
        for socket in &self.sockets {
            let processes = facts.owners.processes(socket);
            names.extend(processes.iter().map(|own| own.name.clone()));
            names.extend(facts.owners.unit(socket));
            if let Some(container) = facts.owners.container(socket) {
                names.push(format!("{} {}", container.engine.name(), container.id));
            }
        }
        let mut told: Vec<String> = Vec::new();
        for name in names {
            if !told.contains(&name) {
                told.push(name);
            }
        }
        told
    }
}
