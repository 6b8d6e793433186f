//! VLAN tags that a NIC takes out of frames before the filter sees them.

use portguard_policy::Policy;
use tracing::{debug, warn};

use crate::dataplane::Attachment;
use crate::dataplane::features::tag_offload;
use crate::host::preflight::{self, Severity, Wanted};

/// Warns where rules by VLAN cannot match, or answers to what is rejected lose their tag, since the NIC takes tags out.
pub(super) fn warn_of_offload(attachment: &Attachment, policy: &Policy) {
    let wanted = Wanted::of(policy);
    if !wanted.by_vlan && !wanted.rejects {
        return;
    }
    let name = &attachment.interface;
    let offload = match tag_offload(name) {
        Ok(offload) => offload,
        Err(error) => {
            return debug!(
                interface = name,
                "cannot tell whether `{name}` takes VLAN tags out: {error}"
            );
        }
    };
    for finding in preflight::vlan_tags(name, offload, wanted, attachment.mode) {
        if finding.severity >= Severity::Warning {
            warn!(interface = name, "{}", finding.line());
        }
    }
}
