//! Random policies and frames, biased to edges.

mod addresses;
mod fields;
mod frames;
mod language;
mod packets;
mod sequence;
mod sound;

use crate::policy::{
    Action, Essential, Fragments, Policy, Protocol, ProtocolName, Rule, Service, Verdict,
};
use crate::random::Random;
use crate::yaml;
pub use crate::yaml::Written;
use fields::{dhcp, entries, protocols, transports};

pub use frames::{Arrival, arrival, frame};
pub use sequence::{Sequence, Step, arrivals, play, sequence};

/// Interfaces of the host that a policy of the whole language guards.
pub const INTERFACES: [&str; 4] = ["eth0", "wan0", "wan1", "mgmt0"];

/// How much of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the product reads already: protocols, destination ports, pass and drop.
    Present,
    /// All of it.
    Full,
}

/// Most rules of a policy.
const MAX_RULES: usize = 40;

/// Below this index a rule that matches nearly everything would leave nothing to the rules behind it.
const FIRST_BROAD_RULE: usize = 8;

/// A random policy of the present language and a text that says it.
#[must_use]
pub fn policy(random: &mut Random) -> (Policy, String) {
    let (policy, written) = policy_of(Kind::Present, random);
    (policy, written.text)
}

/// A random policy of this much of the language, in writing.
#[must_use]
pub fn policy_of(kind: Kind, random: &mut Random) -> (Policy, Written) {
    let policy = match kind {
        Kind::Present => present(random),
        Kind::Full => language::policy(random),
    };
    let written = yaml::write(&policy, kind, random);
    (policy, written)
}

fn present(random: &mut Random) -> Policy {
    let verdict = |random: &mut Random| random.pick(&[Verdict::Pass, Verdict::Drop]);
    let count = if random.one_in(8) {
        random.below(4)
    } else {
        random.below(MAX_RULES + 1)
    };
    Policy {
        default: verdict(random),
        essential: random.pick(&[Essential::Pass, Essential::Pass, Essential::Rules]),
        non_ip: verdict(random),
        malformed: verdict(random),
        fragments: random.pick(&[Fragments::Pass, Fragments::Drop]),
        enforce: !random.one_in(6),
        rules: (0..count).map(|index| rule(index, random)).collect(),
        ..Policy::default()
    }
}

fn rule(index: usize, random: &mut Random) -> Rule {
    let broad = index >= FIRST_BROAD_RULE || random.one_in(12);
    let (protocols, ports) = match random.below(20) {
        0..=8 => (Vec::new(), entries(&[], &Service::CATALOGUE, broad, random)),
        9..=11 => {
            let transports = transports(random);
            let ports = entries(&transports, &Service::CATALOGUE, broad, random);
            let protocols = transports.iter().map(|transport| {
                let name = transport.protocol();
                if random.one_in(6) {
                    Protocol::Number(name.number())
                } else {
                    Protocol::Name(name)
                }
            });
            (protocols.collect(), ports)
        }
        12 => (Vec::new(), dhcp(random)),
        13 if broad && random.one_in(2) => {
            let mut protocols = vec![Protocol::Any];
            if random.one_in(3) {
                // Now it means IGMP, and still nothing else that is essential.
                protocols.push(Protocol::Name(ProtocolName::Igmp));
            }
            (protocols, Vec::new())
        }
        _ => (protocols(random), Vec::new()),
    };
    let action = random.pick(&[Action::Pass, Action::Drop, Action::Drop]);
    Rule {
        // A rule that matches everything says more when others follow it.
        enforce: !random.one_in(if protocols.contains(&Protocol::Any) {
            2
        } else {
            6
        }),
        protocols,
        ports,
        ..Rule::new(&name(index, random), action)
    }
}

fn name(index: usize, random: &mut Random) -> String {
    let start = random.pick(&["rule-", "r.", "R_", "-x", "_.-", "a"]);
    format!("{start}{index}")
}
