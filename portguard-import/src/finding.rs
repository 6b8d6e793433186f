//! What the policy does not say as the original did.

use std::fmt;

/// How a policy and its original differ somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The policy lets packets through that the original drops.
    Wider,
    /// The policy drops packets that the original lets through.
    Stricter,
    /// What the reader of the policy must know.
    Note,
}

impl Kind {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Wider, Self::Stricter, Self::Note];

    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wider => "wider",
            Self::Stricter => "stricter",
            Self::Note => "note",
        }
    }
}

/// One thing that could not be carried over, or not exactly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// In which direction it differs.
    pub kind: Kind,
    /// Name of the original file.
    pub file: String,
    /// Its line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What stands there; empty for the file as a whole.
    pub original: String,
    /// Why, in a few words.
    pub reason: String,
    /// What it means for packets.
    pub consequence: String,
}

/// Several lines: the place and the reason, what stands there, what it means.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.reason)?;
        if !self.original.is_empty() {
            write!(f, "\n  {}", self.original)?;
        }
        if !self.consequence.is_empty() {
            write!(f, "\n  {}", self.consequence)?;
        }
        Ok(())
    }
}
