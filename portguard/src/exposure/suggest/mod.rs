//! A policy that closes everything but what is meant to be reached, from what listens and from what was used.

mod choice;
mod seen;
mod text;

use portguard_policy::{PortRange, Prefix, Transport};

use super::audit::{Facts, Place, places};
use crate::host::sessions::Session;

pub use seen::Seen;

use choice::Choice;

/// What a suggestion is made of, beside what an audit is.
pub struct Wishes<'w> {
    /// The interfaces to guard, as a policy names them.
    pub interfaces: &'w [String],
    /// The SSH sessions that are open.
    pub sessions: &'w [Session],
    /// Who was seen to use what, if somebody looked.
    pub seen: Option<&'w Seen>,
}

/// A service, and what to do with it.
struct Service {
    name: String,
    ports: Vec<(Transport, PortRange)>,
    /// Who listens where, and what is known of it: comments.
    about: Vec<String>,
    choice: Choice,
}

/// The text of the policy. It compiles, and cuts none of the sessions.
#[must_use]
pub fn suggest(facts: &Facts<'_>, wishes: &Wishes<'_>) -> String {
    let places = places(facts);
    let mut services: Vec<Service> = places
        .iter()
        .filter(|place| !is_essential(place))
        .map(|place| service(facts, wishes, place))
        .collect();
    services.extend(facts.published.iter().map(|own| Service {
        name: named(own.transport, own.target_port.unwrap_or(own.ports.low)),
        ports: vec![(own.transport, own.ports)],
        about: vec![format!("published by {} for {}", own.by.name(), own.target)],
        choice: choice::of_published(own),
    }));
    for session in wishes.sessions {
        let port = session.local.port();
        let is_there = |own: &Service| {
            let holds = |(transport, range): &(Transport, PortRange)| {
                *transport == Transport::Tcp && (range.low..=range.high).contains(&port)
            };
            own.ports.iter().any(holds) && own.choice == Choice::Pass
        };
        if !services.iter().any(is_there) {
            services.push(Service {
                name: format!("ssh-{port}"),
                ports: vec![(
                    Transport::Tcp,
                    PortRange {
                        low: port,
                        high: port,
                    },
                )],
                about: vec!["an SSH session is open here".into()],
                choice: Choice::Pass,
            });
        }
    }
    text::policy(facts, wishes, merged(services))
}

/// Whether a DHCP client waits there: its answers pass without a rule.
fn is_essential(place: &Place<'_>) -> bool {
    place.transport == Transport::Udp && matches!(place.port, 68 | 546)
}

fn service(facts: &Facts<'_>, wishes: &Wishes<'_>, place: &Place<'_>) -> Service {
    let range = PortRange {
        low: place.port,
        high: place.port,
    };
    let mut about = vec![place.listeners(facts)];
    if let Some(entry) = place.entry() {
        about.push(format!("{}: {}", entry.advice.name(), entry.why));
    }
    let used = wishes.seen.map(|seen| seen.at(place.transport, place.port));
    about.extend(used.as_deref().filter(|own| !own.is_empty()).map(told));
    Service {
        name: named(place.transport, place.port),
        ports: vec![(place.transport, range)],
        about,
        choice: choice::of_place(facts, wishes, place, used),
    }
}

/// Who was seen.
fn told(used: &[(Prefix, usize)]) -> String {
    const TOLD: usize = 8;
    let mut told: Vec<String> = used
        .iter()
        .take(TOLD)
        .map(|(prefix, count)| format!("{prefix} ({count})"))
        .collect();
    if used.len() > TOLD {
        told.push(format!("{} more", used.len() - TOLD));
    }
    format!("connections seen from: {}", told.join(", "))
}

/// A name for a rule.
fn named(transport: Transport, port: u16) -> String {
    match portguard_policy::service_name(transport, port) {
        Some(name) => name.to_owned(),
        None => format!("port-{port}"),
    }
}

/// One service for those of one name with which the same is done; the others get names of their own.
fn merged(services: Vec<Service>) -> Vec<Service> {
    let mut merged: Vec<Service> = Vec::new();
    for mut service in services {
        let same = merged
            .iter_mut()
            .find(|own| own.name == service.name && own.choice == service.choice);
        if let Some(same) = same {
            same.ports.extend(service.ports);
            same.about.extend(service.about);
            same.about.dedup();
            continue;
        }
        let base = service.name.clone();
        let mut number = 2;
        while merged.iter().any(|own| own.name == service.name) {
            service.name = format!("{base}-{number}");
            number += 1;
        }
        merged.push(service);
    }
    merged
}
