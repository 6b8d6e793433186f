//! What a request to close or to open ports means.

use std::sync::Arc;

use anyhow::anyhow;
use portguard_policy::{
    Addresses, BanTarget, Policy, PortRange, Prefix, RuleAction, find_profile, parse_ports,
};

use crate::control::PortChange;
use crate::exit::{Failure, Outcome};
use crate::policy_file::PolicyFile;
use crate::policy_file::drop_ins::RUNTIME;
use crate::policy_file::own::{self, OwnRule, Verb};

use super::ranges::Ports;

/// A request that holds together.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) ports: Ports,
    pub(super) from: Option<Prefix>,
    pub(super) until_s: Option<u64>,
    pub(super) runtime: bool,
    /// What the name of a rule says of the ports.
    label: String,
}

impl Asked {
    /// Reads a request; services may be those of the policy.
    pub(super) fn read(asked: &PortChange, policy: &Policy, now_s: u64) -> Outcome<Self> {
        let (ports, word) = match (&asked.ports, &asked.profile) {
            (Some(ports), None) => {
                let found = parse_ports(ports, &policy.services).map_err(|error| {
                    Failure::refused(anyhow!("{}\nhelp: {}", error.message, error.hint))
                })?;
                (Ports::new(found), ports.clone())
            }
            (None, Some(profile)) => {
                let rules = find_profile(profile).ok_or_else(|| {
                    Failure::refused(anyhow!("no profile is called `{}`", profile.escape_debug()))
                })?;
                let ports = rules.iter().flat_map(|rule| {
                    let (low, high) = (rule.port, rule.port);
                    let transports = rule.transports.iter();
                    transports.map(move |own| (*own, PortRange { low, high }))
                });
                (Ports::new(ports), profile.clone())
            }
            _ => {
                return Err(Failure::refused(anyhow!(
                    "either `ports` or `profile` says which ports are meant"
                )));
            }
        };
        let from = match &asked.from {
            None => None,
            Some(text) => Some(prefix(text)?),
        };
        let label = match ports.entries().as_slice() {
            [only] => only.replace('/', "-"),
            _ => word.replace('/', "-"),
        };
        Ok(Self {
            label,
            ports,
            from,
            until_s: asked.for_s.map(|time| now_s.saturating_add(time)),
            runtime: asked.runtime,
        })
    }

    /// The rule that does what is asked, under a name that no other rule has.
    pub(super) fn rule(&self, verb: Verb, policy: &Policy, gone: &[&Own]) -> OwnRule {
        let from = self.from.map(|from| from.to_string());
        let mut name = format!("{}-{}", verb.name(), self.label);
        if let Some(from) = &from {
            name.push_str("-from-");
            name.push_str(&from.replace(['/', ':'], "_"));
        }
        let is_taken = |name: &str| {
            let others = policy.rules.iter().filter(|rule| rule.name == name);
            others.count() > gone.iter().filter(|own| own.name == name).count()
        };
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        OwnRule {
            verb,
            name: names.find(|name| !is_taken(name)).unwrap_or(name),
            ports: self.ports.entries(),
            from,
            until_s: self.until_s,
        }
    }

    /// Whether what is asked is about all sources of a rule.
    pub(super) fn has_sources_of(&self, own: &Own) -> bool {
        match (self.from, &own.from) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(asked), Some(from)) => **from == addresses(asked),
        }
    }

    /// Whether a rule lasts as long as is asked.
    pub(super) fn is_outlasted_by(&self, own: &Own) -> bool {
        let is_kept = self.runtime || !own.runtime;
        let is_long = match (self.until_s, own.until_s) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(asked), Some(own)) => asked <= own,
        };
        is_kept && is_long
    }

    /// The other way round.
    pub(super) fn outlasts(&self, own: &Own) -> bool {
        let is_kept = own.runtime || !self.runtime;
        let is_long = match (self.until_s, own.until_s) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(asked), Some(own)) => own <= asked,
        };
        is_kept && is_long
    }
}

fn prefix(text: &str) -> Outcome<Prefix> {
    // One address of IPv6 is one host here, and no network.
    let whole = match text.parse::<std::net::Ipv6Addr>() {
        Ok(_) => format!("{text}/128"),
        Err(_) => text.to_owned(),
    };
    BanTarget::parse(&whole)
        .map(|(target, _masked)| target.prefix())
        .map_err(|error| {
            Failure::refused(anyhow!("`from`: {}\nhelp: {}", error.message, error.hint))
        })
}

fn addresses(prefix: Prefix) -> Addresses {
    use std::net::IpAddr;
    match (prefix.first(), prefix.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Addresses::new(vec![(first.into(), last.into())], Vec::new())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Addresses::new(Vec::new(), vec![(first.into(), last.into())])
        }
        _ => Addresses::default(),
    }
}

/// A rule in force that `block` or `open` wrote.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) verb: Verb,
    pub(super) name: String,
    pub(super) ports: Ports,
    pub(super) from: Option<Arc<Addresses>>,
    pub(super) until_s: Option<u64>,
    /// It is in no file.
    pub(super) runtime: bool,
}

/// The rules that `block` and `open` wrote. What was changed by hand counts as it reads now; what has another form is no
/// rule of theirs any more.
pub(super) fn own_rules(policy: &Policy, file: &PolicyFile) -> Vec<Own> {
    let mut found = Vec::new();
    for rule in &policy.rules {
        let Some(name) = rule.place.file.as_deref() else {
            continue;
        };
        let is_own = [own::PATH, RUNTIME].contains(&name);
        let Some(drop_in) = file.drop_ins.iter().find(|own| own.name == name) else {
            continue;
        };
        let line = drop_in.text.lines().nth(rule.place.line.saturating_sub(1));
        let Some((verb, written)) = line.filter(|_| is_own).and_then(own::of_line) else {
            continue;
        };
        let is_plain = rule.source_ports.is_none()
            && rule.to.is_none()
            && rule.interfaces.is_none()
            && rule.vlans.is_none()
            && rule.enforce
            && written == rule.name
            && matches!(rule.action, RuleAction::Drop | RuleAction::Pass);
        let Some(ports) = Ports::of_rule(&rule.services).filter(|_| is_plain) else {
            continue;
        };
        found.push(Own {
            verb,
            name: rule.name.clone(),
            ports,
            from: rule.from.clone(),
            until_s: own::until_s(rule.comment.as_deref()),
            runtime: name == RUNTIME,
        });
    }
    found
}
