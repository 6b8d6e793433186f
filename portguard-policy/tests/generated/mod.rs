//! Policies of the reference model's generator, for the product; the tests of several crates use this.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "not every test needs all of it"
)]

use portguard_common::packet::Malformed;
use portguard_policy::{Files, Outcome};
use portguard_reference::generate::Written;

/// The files that a policy names.
pub(crate) struct WrittenFiles<'w>(pub(crate) &'w Written);

impl Files for WrittenFiles<'_> {
    fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let found = self.0.files.iter().find(|(own, _)| own == name);
        let content = found.map(|(_, content)| content.clone().into_bytes());
        content.ok_or_else(|| "does not exist".to_owned())
    }
}

/// An outcome in the words of the model. `name` is that of a rule.
pub(crate) fn outcome_name(outcome: Outcome, name: impl Fn(usize) -> String) -> String {
    match outcome {
        Outcome::Rule(rule) => format!("rule {}", name(rule)),
        Outcome::Limited(rule) => format!("rule {}, limited", name(rule)),
        Outcome::Builtin(builtin) => builtin.name().to_owned(),
        Outcome::Malformed(reason) => malformed_name(reason),
    }
}

/// The outcome of a malformed packet.
pub(crate) fn malformed_name(reason: Malformed) -> String {
    format!("malformed:{}", reason.name())
}
