//! The profiles that a policy may name, as data: groups of rules that drop what has a bad name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::policy::{PortRange, ServiceMatch, Transport};

const TEXT: &str = include_str!("catalogue/profiles.txt");

/// A rule of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRule {
    /// Its name: that of the profile, a dot, a service or a port.
    pub name: String,
    /// What it drops.
    pub port: u16,
    /// The protocols of the port.
    pub transports: Vec<Transport>,
    /// What the port is about.
    pub comment: &'static str,
}

impl ProfileRule {
    /// What the rule matches.
    pub(crate) fn services(&self) -> Vec<ServiceMatch> {
        let range = PortRange {
            low: self.port,
            high: self.port,
        };
        let services = self.transports.iter();
        services
            .map(|own| ServiceMatch::Ports(*own, range))
            .collect()
    }
}

static PROFILES: LazyLock<BTreeMap<&'static str, Vec<ProfileRule>>> = LazyLock::new(|| {
    let mut profiles: BTreeMap<_, Vec<ProfileRule>> = BTreeMap::new();
    for (profile, rule) in TEXT.lines().filter_map(parse) {
        profiles.entry(profile).or_default().push(rule);
    }
    profiles
});

/// The rules of a profile, in order.
pub fn find(name: &str) -> Option<&'static [ProfileRule]> {
    PROFILES.get(name).map(Vec::as_slice)
}

/// The names of all profiles.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.keys().copied()
}

/// One line of the data: `profile rule port/protocol[,protocol] comment`.
fn parse(line: &'static str) -> Option<(&'static str, ProfileRule)> {
    let (profile, rest) = line.split_once(char::is_whitespace)?;
    if profile.starts_with('#') {
        return None;
    }
    let (rule, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let (port, comment) = rest.trim_start().split_once(char::is_whitespace)?;
    let (port, transports) = port.split_once('/')?;
    let transports = transports.split(',').map(Transport::from_name);
    let rule = ProfileRule {
        name: format!("{profile}.{rule}"),
        port: port.parse().ok()?,
        transports: transports.collect::<Option<_>>()?,
        comment: comment.trim(),
    };
    Some((profile, rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services;

    #[test]
    fn every_line_of_the_data_is_a_rule() {
        let lines = TEXT.lines();
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rules: usize = PROFILES.values().map(Vec::len).sum();
        assert_eq!(lines.count(), rules);
    }

    #[test]
    fn rules_are_named_after_their_service_or_port() {
        for (profile, rules) in &*PROFILES {
            for rule in rules {
                let own = rule
                    .name
                    .strip_prefix(&format!("{profile}."))
                    .expect("its profile");
                match own.parse::<u16>() {
                    Ok(port) => assert_eq!(port, rule.port, "{}", rule.name),
                    Err(_) => {
                        let service = services::find(own).expect(own);
                        let has = |(_, port): &(Transport, u16)| *port == rule.port;
                        assert!(service.ports.iter().any(has), "{}", rule.name);
                    }
                }
                assert!(!rule.comment.is_empty(), "{}", rule.name);
            }
        }
    }
}
