//! VLAN tags that a NIC takes out of frames before the filter sees them.

use portguard_policy::{Policy, RuleAction};
use tracing::{debug, warn};

use crate::dataplane::Attachment;
use crate::dataplane::features::tag_offload;

/// Warns where rules by VLAN cannot match, or answers to what is rejected lose their tag, since the NIC takes tags out.
pub(super) fn warn_of_offload(attachment: &Attachment, policy: &Policy) {
    let by_vlan = policy.rules.iter().any(|rule| rule.vlans.is_some());
    let rejects = policy
        .rules
        .iter()
        .any(|rule| rule.action == RuleAction::Reject);
    if !by_vlan && !rejects {
        return;
    }
    let name = &attachment.interface;
    let offload = match tag_offload(name) {
        Ok(offload) => offload,
        Err(error) => {
            return debug!("cannot tell whether `{name}` takes VLAN tags out: {error}");
        }
    };
    let Some(remedy) = offload.remedy(name) else {
        return;
    };
    if by_vlan && offload.strips() {
        warn!(
            "rules with `vlan` see the frames of `{name}` as untagged, since the device takes VLAN tags out: run `{remedy}`"
        );
    }
    if rejects && offload.loses_on_answer(attachment.mode) {
        warn!(
            "what is rejected in a VLAN on `{name}` is answered without its tag, since the device takes tags out: run `{remedy}`"
        );
    }
}
