//! What becomes of packets to an endpoint.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portguard_common::abi::Builtin;
use portguard_policy::{BySource, Decision, Outcome, Prefix, TooComplex};

use crate::host::sockets::Families;

/// What becomes of packets to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Where a filter sees them: what it does, by where they come from.
    pub judged: Result<Vec<BySource>, TooComplex>,
    /// The interfaces on which nothing filters them.
    pub unfiltered: Vec<String>,
    /// Whether strangers come by one of them.
    pub is_bare: bool,
    /// Who may come.
    pub openness: Openness,
}

/// Who reaches an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Openness {
    /// Nobody.
    Nobody,
    /// Some sources.
    Some,
    /// Strangers.
    Anywhere,
}

impl Openness {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Some => "some",
            Self::Anywhere => "anywhere",
        }
    }
}

/// From this share of all addresses of a family on, sources are strangers: all that is assigned of IPv6 (2000::/3).
const STRANGERS: f64 = 0.125;

impl Fate {
    pub(super) fn new(
        judged: Result<Vec<BySource>, TooComplex>,
        unfiltered: Vec<String>,
        is_bare: bool,
        enforced: bool,
    ) -> Self {
        let openness = match &judged {
            _ if is_bare => Openness::Anywhere,
            // Nobody knows.
            Err(TooComplex) => Openness::Anywhere,
            Ok(answers) if !enforced && !answers.is_empty() => Openness::Anywhere,
            Ok(answers) => {
                let passing = answers
                    .iter()
                    .filter(|own| own.decisions.iter().any(passes));
                let passing: Vec<&Prefix> = passing.flat_map(|own| &own.sources).collect();
                if [true, false]
                    .iter()
                    .any(|v4| share(&passing, *v4) >= STRANGERS)
                {
                    Openness::Anywhere
                } else if passing.is_empty() && unfiltered.is_empty() {
                    Openness::Nobody
                } else {
                    Openness::Some
                }
            }
        };
        Self {
            judged,
            unfiltered,
            is_bare,
            openness,
        }
    }

    /// Whether some packets pass since they are essential.
    #[must_use]
    pub fn is_essential(&self) -> bool {
        let answers = self.judged.iter().flatten();
        let mut decisions = answers.flat_map(|own| &own.decisions);
        decisions.any(|own| own.outcome == Outcome::Builtin(Builtin::Essential))
    }

    /// The rules by which packets pass, by their places in the policy.
    #[must_use]
    pub fn passing_rules(&self) -> Vec<usize> {
        let Ok(answers) = &self.judged else {
            return Vec::new();
        };
        let decisions = answers.iter().flat_map(|own| &own.decisions);
        let mut rules: Vec<usize> = decisions
            .filter(|own| passes(own))
            .filter_map(|own| match own.outcome {
                Outcome::Rule(index) => Some(index),
                _ => None,
            })
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// Whether something lets strangers in that is no rule: the default, or that nothing filters.
    #[must_use]
    pub fn passes_without_a_rule(&self) -> bool {
        let Ok(answers) = &self.judged else {
            return true;
        };
        let mut decisions = answers.iter().flat_map(|own| &own.decisions);
        let by_default = |own: &Decision| own.outcome == Outcome::Builtin(Builtin::DefaultPass);
        self.is_bare || decisions.any(by_default)
    }
}

/// Whether such packets come in. What is essential is for the kernel, whoever listens.
fn passes(decision: &Decision) -> bool {
    decision.effect.passes() && decision.outcome != Outcome::Builtin(Builtin::Essential)
}

/// How much prefixes are of all addresses of a family.
pub(crate) fn share(prefixes: &[&Prefix], v4: bool) -> f64 {
    let own = prefixes.iter().filter(|prefix| prefix.is_ipv4() == v4);
    own.map(|prefix| 0.5_f64.powi(prefix.length().into())).sum()
}

/// The prefix of one address.
pub(super) fn host_prefix(address: IpAddr) -> Option<Prefix> {
    Prefix::new(address, if address.is_ipv4() { 32 } else { 128 })
}

/// All addresses of families; `None` for both.
pub(super) fn whole(families: Families) -> Option<Prefix> {
    match families {
        Families::V4 => Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        Families::V6 => Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        Families::Both => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portguard_policy::Effect;

    use super::*;

    fn answer(outcome: Outcome, effect: Effect, sources: &[&str]) -> BySource {
        let prefix = |text: &&str| {
            let (address, length) = text.split_once('/').expect("a prefix");
            let address = address.parse().expect("an address");
            Prefix::new(address, length.parse().expect("a length")).expect("a prefix")
        };
        BySource {
            decisions: BTreeSet::from([Decision { outcome, effect }]),
            sources: sources.iter().map(prefix).collect(),
        }
    }

    #[test]
    fn an_eighth_of_a_family_are_strangers() {
        let rule = Outcome::Rule(3);
        let dropped = || {
            let default = Outcome::Builtin(Builtin::DefaultDrop);
            answer(default, Effect::Drop, &["128.0.0.0/1", "8000::/1"])
        };
        let fate = |answers, unfiltered: &[&str], is_bare, enforced| {
            let unfiltered = unfiltered.iter().map(|own| (*own).to_owned()).collect();
            Fate::new(Ok(answers), unfiltered, is_bare, enforced)
        };
        let passed = |sources: &[&str]| vec![answer(rule, Effect::Pass, sources), dropped()];
        for (sources, expected) in [
            (&["10.0.0.0/8", "2001:db8::/32"][..], Openness::Some),
            (&["32.0.0.0/3"], Openness::Anywhere),
            (&["2000::/3"], Openness::Anywhere),
            (&["64.0.0.0/4"], Openness::Some),
            // Together they are enough.
            (&["64.0.0.0/4", "80.0.0.0/4"], Openness::Anywhere),
        ] {
            let found = fate(passed(sources), &[], false, true);
            assert_eq!(found.openness, expected, "{sources:?}");
            assert_eq!(found.passing_rules(), [3]);
            assert!(!found.passes_without_a_rule());
        }
        assert_eq!(
            fate(vec![dropped()], &[], false, true).openness,
            Openness::Nobody
        );
        assert_eq!(
            fate(vec![dropped()], &[], false, false).openness,
            Openness::Anywhere
        );
        // By an interface that no stranger comes by, somebody may.
        let inside = fate(passed(&["0.0.0.0/1"]), &["br0"], false, true);
        assert!(!inside.passes_without_a_rule());
        assert_eq!(
            fate(vec![dropped()], &["br0"], false, true).openness,
            Openness::Some
        );
        let bare = fate(vec![dropped()], &["eth1"], true, true);
        assert_eq!(bare.openness, Openness::Anywhere);
        assert!(bare.passes_without_a_rule());
        let unknown = Fate::new(Err(TooComplex), Vec::new(), false, true);
        assert_eq!(unknown.openness, Openness::Anywhere);
    }

    #[test]
    fn what_is_essential_is_no_way_in() {
        let essential = Outcome::Builtin(Builtin::Essential);
        let answers = vec![answer(essential, Effect::Pass, &["0.0.0.0/0"])];
        let found = Fate::new(Ok(answers), Vec::new(), false, true);
        assert_eq!(found.openness, Openness::Nobody);
        assert!(found.is_essential());
    }
}
