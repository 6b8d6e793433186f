//! What to do with a service.

use portguard_policy::{Prefix, Transport};

use super::super::audit::{Facts, Kind, Place, Severity, weight};
use super::Wishes;
use crate::host::published::Published;

/// Prefixes that a rule is given; a service with more is for everybody, or its clients are better named by hand.
const MOST_PREFIXES: usize = 64;

/// What is done with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// All may come.
    Pass,
    /// Those who were seen may come.
    PassFrom(Vec<Prefix>),
    /// It stays closed, with a reason.
    Leave(String),
}

/// `used` says who was seen to come, if somebody looked.
pub(super) fn of_place(
    facts: &Facts<'_>,
    wishes: &Wishes<'_>,
    place: &Place<'_>,
    used: Option<Vec<(Prefix, usize)>>,
) -> Choice {
    if is_ssh(facts, wishes, place) {
        return Choice::Pass;
    }
    let against = reason(place);
    match (used, place.transport) {
        // Who asks over UDP, the kernel's tables do not say.
        (None, _) | (Some(_), Transport::Udp) => against.map_or(Choice::Pass, Choice::Leave),
        (Some(used), _) if used.is_empty() => {
            Choice::Leave("nobody was connected while it was watched".into())
        }
        (Some(used), _) => match against {
            None => Choice::Pass,
            Some(_) if used.len() <= MOST_PREFIXES => {
                Choice::PassFrom(used.into_iter().map(|(prefix, _)| prefix).collect())
            }
            Some(reason) => Choice::Leave(format!(
                "{reason}, but it was used from {} networks; name those that may",
                used.len()
            )),
        },
    }
}

pub(super) fn of_published(published: &Published) -> Choice {
    let port = published.target_port.unwrap_or(published.ports.low);
    let outer = reason(&Place::new((published.transport, published.ports.low)));
    let inner = reason(&Place::new((published.transport, port)));
    outer.or(inner).map_or(Choice::Pass, Choice::Leave)
}

/// What speaks against opening a port to everybody.
fn reason(place: &Place<'_>) -> Option<String> {
    let why = match weight(place, true)? {
        (_, Kind::OpenDatabase) => "a database is for its clients alone",
        (_, Kind::ClearText) => "it speaks without encryption",
        (Severity::High, _) => "the catalogue advises to close it",
        _ => return None,
    };
    Some(why.to_owned())
}

/// Whether this host is administered here.
fn is_ssh(facts: &Facts<'_>, wishes: &Wishes<'_>, place: &Place<'_>) -> bool {
    let is_session = wishes
        .sessions
        .iter()
        .any(|own| own.local.port() == place.port);
    let is_server = place.sockets.iter().any(|socket| {
        let processes = facts.owners.processes(socket);
        processes
            .iter()
            .any(|own| matches!(own.name.as_str(), "sshd" | "dropbear"))
    });
    place.transport == Transport::Tcp && (is_session || is_server || place.port == 22)
}
