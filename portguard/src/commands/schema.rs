//! `portguard schema`

use crate::exit::Outcome;
use crate::output;

/// Prints the JSON schema of policies.
///
/// # Errors
///
/// When nothing can be printed.
pub fn schema() -> Outcome {
    let schema = format!("{:#}", portguard_policy::schema());
    output::print_lines([schema.as_str()])
}
