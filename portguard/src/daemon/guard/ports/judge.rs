//! What becomes of packets to some ports, asked of the compiled tables.

use anyhow::Context as _;
use portguard_common::abi::Builtin;
use portguard_policy::{Decision, Outcome as Decider, Packet, Policy, Rule, Transport};

use crate::control::{PortDecider, PortState, PortVerdict};
use crate::exit::{Failure, Outcome};
use crate::policy_file::{Loaded, path_of};

use super::asked::Asked;

/// What decides packets to a range of ports.
pub(super) struct Judged {
    ports: String,
    deciders: Vec<(Decision, Packet)>,
}

impl Judged {
    fn is_trusted(decision: &Decision) -> bool {
        decision.outcome == Decider::Builtin(Builtin::Trusted)
    }

    pub(super) fn state(&self) -> PortState {
        let decisions = || self.deciders.iter().map(|(decision, _)| decision);
        let is_closed = |own: &Decision| !own.effect.passes() || Self::is_trusted(own);
        if decisions().all(|own| own.effect.passes()) {
            PortState::Open
        } else if decisions().all(is_closed) {
            PortState::Closed
        } else {
            PortState::Partly
        }
    }

    /// The rules among what decides.
    pub(super) fn rules<'p>(&self, policy: &'p Policy) -> impl Iterator<Item = &'p Rule> {
        let deciders = self.deciders.iter();
        deciders.filter_map(|(decision, _)| rule_of(policy, decision))
    }

    pub(super) fn told(&self, loaded: &Loaded, asked: &Asked) -> PortVerdict {
        let by = self.deciders.iter().map(|(decision, packet)| {
            let rule = rule_of(&loaded.policy, decision);
            PortDecider {
                verdict: decision.effect.name().into(),
                outcome: match decision.outcome {
                    Decider::Builtin(builtin) => builtin.name().into(),
                    _ => "rule".into(),
                },
                rule: rule.map(|rule| rule.name.clone()),
                file: rule.map(|rule| path_of(&loaded.file.path, &rule.place)),
                line: rule.map(|rule| rule.place.line),
                example: packet.to_string(),
            }
        });
        PortVerdict {
            ports: self.ports.clone(),
            from: asked.from.map(|from| from.to_string()),
            state: self.state(),
            by: by.collect(),
        }
    }
}

fn rule_of<'p>(policy: &'p Policy, decision: &Decision) -> Option<&'p Rule> {
    match decision.outcome {
        Decider::Rule(index) | Decider::Limited(index) => policy.rules.get(index),
        _ => None,
    }
}

/// What decides packets to the ports that a request is about, range by range.
pub(super) fn judge(loaded: &Loaded, asked: &Asked) -> Outcome<Vec<Judged>> {
    let judge = |(transport, range): (Transport, _)| {
        let deciders = portguard_policy::deciders(&loaded.tables, transport, range, asked.from)
            .context("it cannot be told whether the ports are open")
            .map_err(Failure::refused)?;
        Ok(Judged {
            ports: format!("{range}/{transport}"),
            deciders,
        })
    };
    asked.ports.iter().map(judge).collect()
}
