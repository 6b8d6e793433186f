//! What a policy that takes effect does to replies.

use portguard_policy::Policy;
use tracing::{debug, warn};

use crate::dataplane::{Generation, monotonic_ns};
use crate::host::connections;
use crate::policy_file::Loaded;

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
    if let Err(error) = generation.add_flows(&started, monotonic_ns()) {
        warn!("connections that are open already may be cut: {error}");
    }
}

/// Ends the flows of UDP ports that close: although a server goes on sending from there, what it is sent is dropped.
///
/// A port from which Linux lets clients ask closes only if somebody serves there: or no client of this host would get
/// an answer for three minutes after `default: drop`.
pub(super) fn close_ports(generation: &mut Generation, old: &Loaded, new: &Loaded) {
    let closed = portguard_policy::closed_udp_ports(&old.tables, &new.tables);
    let clients = match connections::udp_ports_of_clients() {
        Ok(clients) => clients,
        Err(error) => {
            warn!("cannot tell UDP clients from servers, so ports close for both: {error}");
            connections::ClientPorts::default()
        }
    };
    let ports = closed.iter().filter(|port| !clients.contains(*port));
    if let Err(error) = generation.close_ports(ports, monotonic_ns()) {
        warn!("flows of UDP ports that this policy closes may go on for a while: {error}");
    }
}
