//! What another policy does differently.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::{Decision, Effect, Pair, Region, TooComplex, Work, interfaces_of};
use crate::compile::{Outcome, Tables};
use crate::packet::Packet;

/// Packets of which another policy makes something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What decides them under the old policy.
    pub before: Decision,
    /// What decides them under the new one.
    pub after: Decision,
    /// What of it is another.
    pub kind: ChangeKind,
    /// One of them.
    pub example: Packet,
}

/// What of a decision is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The effect.
    Effect,
    /// The effect is the same limit, but other packets take tokens of it: what shared one has two now, or the other way
    /// round.
    Sharing,
}

/// Packets that two policies decide in one way each, by what decides them: whether the example is a later fragment, and
/// the example. Whole packets say more than fragments.
type Examples = BTreeMap<[Decision; 2], (bool, Packet)>;

/// The packets of which two policies make something else, by what decides them: in the order of the old policy's rules,
/// then of the new one's. State and bans are left aside, and what is not enforced counts as if it were. A limit is
/// another effect if its rate is.
///
/// Both tables should be compiled for the same interfaces: one that only one of them knows is to the other an interface
/// that no rule names.
///
/// # Errors
///
/// [`TooComplex`] where the policies are large and have little in common.
pub fn changes(old: &Tables, new: &Tables) -> Result<Vec<Change>, TooComplex> {
    let pair = Pair::new(old, new);
    let region = Region::everything(interfaces_of(&[old, new]));
    let mut effects: Examples = BTreeMap::new();
    let mut limits: Examples = BTreeMap::new();
    pair.survey(&region, &mut Work::new(), |own| {
        let [before, after] = own.decisions;
        let found = match before.effect {
            effect if effect != after.effect => &mut effects,
            Effect::Limit { .. } => &mut limits,
            _ => return ControlFlow::Continue(()),
        };
        let known = found.get(&own.decisions);
        if known.is_none_or(|(fragment, _)| *fragment && !own.later_fragment) {
            found.insert(own.decisions, (own.later_fragment, own.packet()));
        }
        ControlFlow::Continue(())
    })?;
    keep_shared_otherwise(&mut limits);
    let kinds = [(ChangeKind::Effect, effects), (ChangeKind::Sharing, limits)];
    let mut changes: Vec<Change> = kinds
        .into_iter()
        .flat_map(|(kind, found)| {
            found
                .into_iter()
                .map(move |([before, after], (_, example))| Change {
                    before,
                    after,
                    kind,
                    example,
                })
        })
        .collect();
    changes.sort_by_key(|own| [own.before, own.after]);
    Ok(changes)
}

/// Of limits that stay the same keeps those whose packets do not all take tokens where they took them together before.
fn keep_shared_otherwise(limits: &mut Examples) {
    let mut partners: [BTreeMap<Outcome, BTreeSet<Outcome>>; 2] = Default::default();
    for [before, after] in limits.keys() {
        let (before, after) = (before.outcome, after.outcome);
        partners[0].entry(before).or_default().insert(after);
        partners[1].entry(after).or_default().insert(before);
    }
    let has_one = |side: usize, own: &Decision| {
        let partners = partners[side].get(&own.outcome);
        partners.is_none_or(|partners| partners.len() == 1)
    };
    limits.retain(|[before, after], _| !has_one(0, before) || !has_one(1, after));
}
