//! What a policy that takes effect does to replies.

use portguard_policy::Policy;
use tracing::{debug, warn};

use crate::dataplane::{Generation, monotonic_ns};
use crate::host::connections;

/// Takes the connections that this host started before anybody watched for flows, so that the start of a filter cuts
/// none of them.
pub(super) fn take_over(generation: &mut Generation, policy: &Policy) {
    if !policy.replies {
        return;
    }
    let started = match connections::started() {
        Ok(started) => started,
        Err(error) => {
            return warn!(
                "connections that are open already may be cut: cannot list them: {error}"
            );
        }
    };
    debug!("{} connections are open already", started.len());
    let now_ns = monotonic_ns();
    for flow in &started {
        if let Err(error) = generation.add_flow(flow, now_ns) {
            return warn!("connections that are open already may be cut: {error}");
        }
    }
}
