//! Which interfaces a policy means.

use std::collections::BTreeSet;

use portguard_policy::InterfacePattern;

use crate::dataplane::interfaces::Interface;

/// What the patterns of a policy come to on this host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Matched {
    /// Indices of the interfaces to guard.
    pub(super) guarded: BTreeSet<u32>,
    /// Those of them that the policy calls by their name: it insists on them.
    pub(super) named: BTreeSet<u32>,
    /// Patterns that nothing matches yet.
    pub(super) waiting: Vec<String>,
}

/// Matches patterns against the interfaces and the indices of those that carry a default route.
///
/// A glob leaves out what lies above another guarded device (a VLAN above its port, a bridge or bond
/// above its members): its packets were filtered below.
pub(super) fn matched(
    patterns: &[InterfacePattern],
    interfaces: &[Interface],
    default_route: &[u32],
) -> Matched {
    let mut candidates = BTreeSet::new();
    let mut named: BTreeSet<u32> = BTreeSet::new();
    let mut routed: BTreeSet<u32> = BTreeSet::new();
    let mut waiting = Vec::new();
    for pattern in patterns {
        let found: Vec<u32> = match pattern {
            // Packets to this host itself come by the loopback device, whatever the routes say.
            InterfacePattern::DefaultRoute => interfaces
                .iter()
                .filter(|interface| interface.name != "lo")
                .map(|interface| interface.index)
                .filter(|index| default_route.contains(index))
                .collect(),
            pattern => interfaces
                .iter()
                .filter(|interface| pattern.matches(&interface.name))
                .map(|interface| interface.index)
                .collect(),
        };
        if found.is_empty() {
            waiting.push(pattern.to_string());
        }
        match pattern {
            InterfacePattern::Name(_) => named.extend(&found),
            InterfacePattern::DefaultRoute => routed.extend(&found),
            InterfacePattern::Glob(_) => {}
        }
        candidates.extend(found);
    }
    let guarded = candidates
        .iter()
        .copied()
        .filter(|index| {
            named.contains(index)
                || routed.contains(index)
                || !is_above(*index, interfaces, &candidates)
        })
        .collect();
    Matched {
        guarded,
        named,
        waiting,
    }
}

/// Whether a device lies above one of `guarded`, directly or through others.
fn is_above(index: u32, interfaces: &[Interface], guarded: &BTreeSet<u32>) -> bool {
    let mut below = vec![index];
    let mut seen = BTreeSet::from([index]);
    while let Some(upper) = below.pop() {
        let lower_of_upper = interfaces
            .iter()
            .filter(|interface| interface.index == upper)
            .filter_map(|interface| interface.lower);
        let members = interfaces
            .iter()
            .filter(|interface| interface.controller == Some(upper))
            .map(|interface| interface.index);
        for lower in lower_of_upper.chain(members) {
            if guarded.contains(&lower) {
                return true;
            }
            if seen.insert(lower) {
                below.push(lower);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface::ethernet(index, name)
    }

    fn patterns(texts: &[&str]) -> Vec<InterfacePattern> {
        texts
            .iter()
            .map(|text| InterfacePattern::parse(text).unwrap())
            .collect()
    }

    fn guarded(texts: &[&str], interfaces: &[Interface]) -> Vec<u32> {
        matched(&patterns(texts), interfaces, &[])
            .guarded
            .into_iter()
            .collect()
    }

    #[test]
    fn a_name_that_does_not_exist_is_waited_for() {
        let matched = matched(&patterns(&["eth0", "wan*"]), &[interface(1, "lo")], &[]);
        assert_eq!(matched.waiting, ["eth0", "wan*"]);
        assert!(matched.guarded.is_empty());
    }

    #[test]
    fn a_glob_never_matches_the_loopback_device_but_its_name_does() {
        let all = [interface(1, "lo"), interface(2, "lan0")];
        assert_eq!(guarded(&["l*"], &all), [2]);
        assert_eq!(guarded(&["lo"], &all), [1]);
    }

    #[test]
    fn a_glob_leaves_out_what_lies_above_a_guarded_device() {
        let mut vlan = interface(3, "eth0.10");
        vlan.lower = Some(2);
        let mut stacked = interface(4, "eth0.10.20");
        stacked.lower = Some(3);
        let mut member = interface(5, "eth1");
        member.controller = Some(6);
        let all = [
            interface(2, "eth0"),
            vlan,
            stacked,
            member,
            interface(6, "eth-bond"),
        ];
        assert_eq!(guarded(&["eth*"], &all), [2, 5]);
        assert_eq!(guarded(&["eth*", "eth0.10"], &all), [2, 3, 5]);
        assert_eq!(guarded(&["eth0.*"], &all), [3]);
    }

    #[test]
    fn default_route_means_the_interfaces_that_carry_one() {
        let all = [interface(2, "eth0"), interface(3, "eth1")];
        let found = matched(&patterns(&["default-route"]), &all, &[3]);
        assert_eq!(found.guarded, BTreeSet::from([3]));
        let none = matched(&patterns(&["default-route"]), &all, &[]);
        assert_eq!(none.waiting, ["default-route"]);
    }
}
