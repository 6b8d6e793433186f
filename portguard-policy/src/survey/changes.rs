//! What another policy does differently.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Decision, Pair, Region, TooComplex, Work, interfaces_of};
use crate::compile::Tables;
use crate::packet::Packet;

/// Packets that other rules decide, with another effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What decides them under the old policy.
    pub before: Decision,
    /// What decides them under the new one.
    pub after: Decision,
    /// One of them.
    pub example: Packet,
}

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
    // With what makes one example better than another: whole packets say more than fragments.
    let mut found: BTreeMap<[Decision; 2], (bool, Packet)> = BTreeMap::new();
    pair.survey(&region, &mut Work::new(), |own| {
        let [before, after] = own.decisions;
        if before.effect != after.effect {
            let known = found.get(&own.decisions);
            if known.is_none_or(|(fragment, _)| *fragment && !own.later_fragment) {
                found.insert(own.decisions, (own.later_fragment, own.packet()));
            }
        }
        ControlFlow::Continue(())
    })?;
    let changes = found
        .into_iter()
        .map(|([before, after], (_, example))| Change {
            before,
            after,
            example,
        });
    Ok(changes.collect())
}
