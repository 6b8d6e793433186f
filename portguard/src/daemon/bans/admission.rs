//! What speaks against bans.

use std::collections::BTreeMap;

use portguard_policy::{BanTarget, Policy};

/// Targets that must not be banned unless that is asked for in so many words (`--force`), each with the reason.
pub(super) fn objections(policy: &Policy, targets: &[BanTarget]) -> BTreeMap<BanTarget, String> {
    let mut objections = BTreeMap::new();
    for target in targets {
        if everywhere(policy).any(|from| from.covers(&target.prefix())) {
            objections.insert(
                *target,
                format!("{target} is trusted by the policy, so a ban of it does nothing"),
            );
        }
    }
    objections
}

/// What whoever bans these should know.
pub(super) fn notes(policy: &Policy, targets: &[BanTarget]) -> Vec<String> {
    let is_trusted_in_part = |target: &&BanTarget| {
        let prefix = target.prefix();
        let covers = everywhere(policy).any(|from| from.covers(&prefix));
        !covers && everywhere(policy).any(|from| from.overlaps(&prefix))
    };
    targets
        .iter()
        .filter(is_trusted_in_part)
        .map(|target| {
            format!("some of {target} is trusted by the policy, and is not hit by the ban")
        })
        .collect()
}

/// The sources that are trusted on every interface.
fn everywhere(policy: &Policy) -> impl Iterator<Item = &portguard_policy::Addresses> {
    let entries = policy.trusted.iter();
    entries
        .filter(|trusted| trusted.interfaces.is_none())
        .map(|trusted| &*trusted.from)
}
