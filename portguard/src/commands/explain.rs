//! `portguard explain`

use anyhow::anyhow;
use portguard_policy::{Description, Policy, Tables};

use crate::cli::Explain;
use crate::exit::{Failure, Outcome};
use crate::output::{self, problems};
use crate::policy_file;

/// Says what a policy does with a packet.
///
/// # Errors
///
/// [`Failure`] when the policy is refused, or the packet cannot be read.
pub fn explain(arguments: &Explain) -> Outcome {
    let refused = |error| Failure::refused(anyhow!(problems::policy_error(&error)));
    let loaded = policy_file::load_unasserted(&arguments.policy).map_err(refused)?;
    let policy = &loaded.policy;
    let text = &arguments.packet;
    let description = Description::parse(text, policy)
        .map_err(|error| Failure::usage(anyhow!(problems::packet_error(text, &error))))?;
    let own = match description.interface() {
        Some(name) => Some(compiled_for(policy, name)?),
        None => None,
    };
    let tables = own.as_ref().unwrap_or(&loaded.tables);
    let explanation =
        portguard_policy::explain(policy, tables, &description).map_err(Failure::system)?;
    output::explanation(policy, &explanation, arguments.format)
}

/// The tables for an interface that need not be among the examples of the policy.
fn compiled_for(policy: &Policy, interface: &str) -> Outcome<Tables> {
    portguard_policy::compile(policy, &[interface]).map_err(Failure::refused)
}
