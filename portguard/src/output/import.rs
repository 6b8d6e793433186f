//! What an import could not carry over, on standard error: standard output has the policy.

use std::io::{self, Write as _};

use portguard_import::{Imported, Kind};

/// Prints the list, the worst first, and how many there are.
pub fn differences(imported: &Imported) {
    let mut text = String::new();
    for finding in &imported.findings {
        text.push_str(&format!("{finding}\n\n"));
    }
    let count = |kind: Kind| {
        imported
            .findings
            .iter()
            .filter(|own| own.kind == kind)
            .count()
    };
    text.push_str(&match Kind::ALL.map(count) {
        [0, 0, 0] => "the policy does what the original does\n".to_owned(),
        [wider, stricter, notes] => {
            format!("wider than the original: {wider}; stricter: {stricter}; notes: {notes}\n")
        }
    });
    // Nobody is left to tell when standard error is closed.
    let _closed = io::stderr().write_all(text.as_bytes());
}
