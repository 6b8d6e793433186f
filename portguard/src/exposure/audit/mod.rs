//! Faults: sockets, the catalogue and the policy, seen together.

mod finding;
mod place;
mod rules;

use std::collections::BTreeMap;

use portguard_policy::catalogue::Advice;
use portguard_policy::{PortRange, Transport};

use super::{Endpoint, Fate, Judge, Openness};
use crate::host::published::Published;
use crate::host::sockets::{Families, Owners, Socket};

pub use finding::{Finding, Fix, Kind, Severity};
pub use place::known;

pub(super) use place::Place;

/// What an audit is made of.
pub struct Facts<'f> {
    /// The policy, and the ways into the host.
    pub judge: &'f Judge<'f>,
    /// Why there is no policy.
    pub why_none: Option<&'f str>,
    /// The sockets that wait for anybody.
    pub sockets: &'f [Socket],
    /// Whose they are.
    pub owners: &'f Owners,
    /// Ports that are published for others.
    pub published: &'f [Published],
    /// The ports that the kernel gives to sockets which ask for none: `ip_local_port_range`.
    pub client_ports: PortRange,
    /// Whether this host forwards packets.
    pub forwards: bool,
}

/// The findings, the gravest first.
#[must_use]
pub fn audit(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = of_host(facts);
    for place in places(facts) {
        findings.extend(of_place(facts, &place));
    }
    for published in facts.published {
        findings.extend(of_published(facts, published));
    }
    findings.extend(rules::unused(facts));
    findings.sort_by_key(|own| (std::cmp::Reverse(own.severity), own.kind, own.ports));
    findings
}

/// About the policy as a whole.
fn of_host(facts: &Facts<'_>) -> Vec<Finding> {
    let Some(filter) = facts.judge.filter() else {
        let text = facts.why_none.unwrap_or("no policy is in force");
        return vec![Finding::of_host(
            Severity::Medium,
            Kind::NoPolicy,
            text,
            "whatever listens can be reached by all who reach this host; the other commands of this audit work once a policy is in force",
            Fix::Command("portguard suggest > policy.yaml".into()),
        )];
    };
    let path = filter.path.display();
    let mut findings = Vec::new();
    if !filter.policy.enforce {
        findings.push(Finding::of_host(
            Severity::Medium,
            Kind::NotEnforced,
            "the policy is not enforced",
            "it counts what it would drop, and drops nothing",
            Fix::Edit(format!("write `enforce: true` in `{path}`")),
        ));
    }
    let bare = facts.judge.ways.iter();
    for way in bare.filter(|way| way.is_outside && way.filtered.is_none()) {
        let name = &way.name;
        findings.push(Finding::of_host(
            Severity::Medium,
            Kind::UnguardedInterface,
            format!("the interface `{name}` is not guarded"),
            "strangers may come by it, past the policy",
            Fix::Edit(format!("add `{name}` to `interfaces` in `{path}`")),
        ));
    }
    findings
}

/// The ports at which somebody waits for others than this host itself.
pub(super) fn places<'f>(facts: &Facts<'f>) -> Vec<Place<'f>> {
    let mut places: BTreeMap<(Transport, u16), Place<'f>> = BTreeMap::new();
    for socket in facts.sockets {
        let endpoints = Endpoint::of(socket);
        let (Some(transport), false) = (socket.transport(), endpoints.is_empty()) else {
            continue;
        };
        let key = (transport, socket.local.port());
        let place = places.entry(key).or_insert_with(|| Place::new(key));
        place.sockets.push(socket);
        for endpoint in endpoints {
            if !place.endpoints.contains(&endpoint) {
                place.endpoints.push(endpoint);
            }
        }
    }
    let is_of_client = |place: &Place<'_>| {
        let ports = facts.client_ports;
        // A question of a client waits for its answer at any such port.
        place.transport == Transport::Udp
            && (ports.low..=ports.high).contains(&place.port)
            && place.entry().is_none()
    };
    let is_published = |place: &Place<'_>| {
        facts.published.iter().any(|own| {
            own.transport == place.transport
                && (own.ports.low..=own.ports.high).contains(&place.port)
        })
    };
    let mut places: Vec<Place<'f>> = places.into_values().collect();
    places.retain(|place| !is_of_client(place) && !is_published(place));
    places
}

fn of_place(facts: &Facts<'_>, place: &Place<'_>) -> Option<Finding> {
    let fates: Vec<Fate> = place
        .endpoints
        .iter()
        .map(|endpoint| facts.judge.fate(endpoint))
        .collect();
    let openness = fates.iter().map(|fate| fate.openness).max()?;
    match openness {
        Openness::Some => None,
        Openness::Nobody if fates.iter().any(Fate::is_essential) => None,
        Openness::Nobody => Some(blocked(facts, place)),
        Openness::Anywhere => {
            let is_meant = fates.iter().all(|fate| is_meant(facts, fate, place));
            let (severity, kind) = weight(place, is_meant)?;
            let mut finding = place.finding(facts, severity, kind);
            finding.text = match kind {
                Kind::OpenDatabase => "a database that can be reached from anywhere".into(),
                Kind::ClearText => {
                    "a service without encryption that can be reached from anywhere".into()
                }
                Kind::AdvisedClosed => {
                    "it can be reached from anywhere, and is better closed".into()
                }
                _ => "it can be reached from anywhere, and no rule says that this is meant".into(),
            };
            finding.fixes = close(facts, place, kind);
            Some(finding)
        }
    }
}

/// How much it matters that strangers reach a port; `None` where a rule means it and nothing speaks against it.
pub(super) fn weight(place: &Place<'_>, is_meant: bool) -> Option<(Severity, Kind)> {
    let entry = place.entry();
    let profiles = place.profiles();
    let is_in = |profile: &str| profiles.iter().any(|(own, _)| *own == profile);
    let advice = entry.map(|own| own.advice);
    if is_in("databases") {
        return Some((Severity::High, Kind::OpenDatabase));
    }
    if advice == Some(Advice::Close) || (entry.is_none() && !profiles.is_empty()) {
        return Some((Severity::High, Kind::AdvisedClosed));
    }
    if is_in("clear-text") {
        return Some((Severity::Medium, Kind::ClearText));
    }
    if is_meant {
        return None;
    }
    match advice {
        Some(Advice::Keep) => Some((Severity::Note, Kind::Exposed)),
        _ => Some((Severity::Low, Kind::Exposed)),
    }
}

/// Whether all that lets strangers in are rules that name the port.
fn is_meant(facts: &Facts<'_>, fate: &Fate, place: &Place<'_>) -> bool {
    let Some(filter) = facts.judge.filter() else {
        return false;
    };
    let names = |index: &usize| {
        let rule = filter.policy.rules.get(*index);
        rule.is_some_and(|rule| rules::names(rule, place.transport, place.port))
    };
    filter.policy.enforce && !fate.passes_without_a_rule() && fate.passing_rules().iter().all(names)
}

fn blocked(facts: &Facts<'_>, place: &Place<'_>) -> Finding {
    let mut finding = place.finding(facts, Severity::Low, Kind::Blocked);
    finding.text = "somebody listens, but the policy lets nobody come".into();
    finding.reason =
        "a service that nobody can use is better stopped; or its port is closed by mistake".into();
    finding.abuse.clear();
    let unit = place.sockets.iter().find_map(|own| facts.owners.unit(own));
    let is_service = |unit: &String| unit.ends_with(".service") || unit.ends_with(".socket");
    let stop = unit
        .filter(is_service)
        .map(|unit| Fix::Command(format!("systemctl disable --now {unit}")));
    let open = Fix::Command(format!("portguard open {}/{}", place.port, place.transport));
    finding.fixes = stop.into_iter().chain([open]).collect();
    finding
}

/// What closes a port to strangers.
fn close(facts: &Facts<'_>, place: &Place<'_>, kind: Kind) -> Vec<Fix> {
    let (port, transport) = (place.port, place.transport);
    let mut fixes = vec![Fix::Command(format!("portguard block {port}/{transport}"))];
    let name = place.name().unwrap_or_else(|| format!("port-{port}"));
    match kind {
        Kind::OpenDatabase => fixes.push(Fix::Rule(format!(
            "{{ name: {name}-from-elsewhere, action: drop, ports: [{port}/{transport}] }}  # behind one that passes its clients"
        ))),
        Kind::Exposed if facts.judge.filter().is_some() => fixes.push(Fix::Rule(format!(
            "{{ name: {name}, action: pass, ports: [{port}/{transport}] }}  # if it is meant"
        ))),
        _ => {}
    }
    fixes
}

fn of_published(facts: &Facts<'_>, published: &Published) -> Option<Finding> {
    let port = published.ports.low;
    let endpoint = Endpoint {
        transport: published.transport,
        port,
        address: published.address,
        families: match published.address {
            None => Families::Both,
            Some(address) if address.is_ipv4() => Families::V4,
            Some(_) => Families::V6,
        },
        bound: None,
    };
    let fate = facts.judge.fate(&endpoint);
    if fate.openness != Openness::Anywhere {
        return None;
    }
    let outer = Place::new((published.transport, port));
    let inner = Place::new((published.transport, published.target_port.unwrap_or(port)));
    let grave = [&outer, &inner]
        .into_iter()
        .find(|own| matches!(weight(own, true), Some((Severity::High, _))));
    if grave.is_none() && is_meant(facts, &fate, &outer) {
        return None;
    }
    let severity = if grave.is_some() {
        Severity::High
    } else {
        Severity::Medium
    };
    let mut finding = grave
        .unwrap_or(&inner)
        .finding(facts, severity, Kind::PublishedPort);
    finding.ports = Some((published.transport, published.ports));
    finding.addresses = vec![
        published
            .address
            .map_or("any".into(), |own| own.to_string()),
    ];
    finding.owners = vec![published.by.name().into()];
    finding.text = format!(
        "it is published for {}, and can be reached from anywhere",
        published.target
    );
    let ports = published.ports;
    finding.fixes = vec![Fix::Command(format!(
        "portguard block {ports}/{}",
        published.transport
    ))];
    Some(finding)
}
