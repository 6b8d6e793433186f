//! What becomes of a frame, in words that all three have in common.

use std::fmt;

use portguard_reference::model::Judgement;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fate {
    pub(crate) dropped: bool,
    /// Name of the counter.
    pub(crate) outcome: String,
    /// Names of rules.
    pub(crate) shadows: Vec<String>,
    /// `None` if who judges cannot tell.
    pub(crate) answered: Option<bool>,
}

impl Fate {
    pub(crate) fn of(judgement: &Judgement) -> Self {
        Self {
            dropped: judgement.dropped,
            outcome: judgement.outcome.counter(),
            shadows: judgement.shadows.clone(),
            answered: Some(judgement.answered),
        }
    }

    /// Whether the two say the same, as far as both can tell.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let answers_agree = match (self.answered, other.answered) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        answers_agree
            && self.dropped == other.dropped
            && self.outcome == other.outcome
            && self.shadows == other.shadows
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.dropped { "drop" } else { "pass" };
        write!(f, "{verdict}, {}", self.outcome)?;
        if !self.shadows.is_empty() {
            write!(f, ", would be dropped by {}", self.shadows.join(", "))?;
        }
        match self.answered {
            Some(true) => f.write_str(", answered"),
            Some(false) => Ok(()),
            None => f.write_str(", answer unknown"),
        }
    }
}
