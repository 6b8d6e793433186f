//! `suggest`, printed: the policy to standard output, all else beside it.

use std::io::{self, Write as _};

use portguard_policy::{Difference, Policy};

use super::diff::for_people;
use super::print_to_the_end;
use crate::exit::Outcome;

/// Prints the policy.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn suggestion(text: &str) -> Outcome {
    print_to_the_end(|out| out.write_all(text.as_bytes()))
}

/// Says on standard error what the suggestion changes in the present policy, or that there is none.
pub fn beside_suggestion(
    difference: Result<Option<([&Policy; 2], Difference)>, String>,
    why_none: &str,
    notes: &[String],
) {
    let mut lines: Vec<String> = notes.iter().map(|own| format!("note: {own}")).collect();
    match difference {
        Ok(None) => lines.push(format!("{why_none}: there is nothing to compare it with")),
        Ok(Some((policies, difference))) => {
            lines.push("what it changes in the present policy:".into());
            lines.extend(for_people(policies, &difference));
        }
        Err(error) => lines.push(format!(
            "it cannot be told what it changes in the present policy: {error}"
        )),
    }
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(io::stderr(), "{}", lines.join("\n"));
}
