//! Findings about the policy, and about having nothing to look at.

use std::path::Path;

use super::finding::{Check, Finding, Severity};
use crate::policy_file::PolicyError;

use Severity::{Note, Ok, Problem};

impl Finding {
    /// The policy is valid.
    #[must_use]
    pub fn policy_valid(path: &Path) -> Self {
        let text = format!("policy `{}` is valid", path.display());
        Self::new(Check::Policy, Ok, text)
    }

    /// There is no policy in the usual place, or it may not be read.
    #[must_use]
    pub fn policy_not_looked_at(path: &Path, reason: &str) -> Self {
        let text = format!(
            "policy `{}` {reason}: rules and `attach` are not considered; name another with `--policy`",
            path.display()
        );
        Self::new(Check::Policy, Note, text)
    }

    /// The policy is refused.
    #[must_use]
    pub fn policy_refused(path: &Path, error: &PolicyError) -> Self {
        Self::new(Check::Policy, Problem, error.to_string())
            .cure(format!("portguard check {}", path.display()))
    }

    /// No interface is to be looked at.
    #[must_use]
    pub fn no_interface() -> Self {
        Self::new(
            Check::Interface,
            Note,
            "no interface is looked at: none carries a default route, and none is named. Name some: `portguard doctor eth0`",
        )
    }
}
