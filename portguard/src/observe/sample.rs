//! One reading of the counters, for all who follow them.

use std::sync::OnceLock;

use crate::control::{Answer, Counters};

/// A report of the counters. All who got it share it, and its text.
#[derive(Debug)]
pub struct Sample {
    counters: Counters,
    line: OnceLock<Vec<u8>>,
}

impl Sample {
    /// A report that nobody has written yet.
    #[must_use]
    pub const fn new(counters: Counters) -> Self {
        Self {
            counters,
            line: OnceLock::new(),
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// As an answer of the control socket, with its line end.
    ///
    /// # Errors
    ///
    /// When it is no JSON, which no report leads to.
    pub fn line(&self) -> serde_json::Result<&[u8]> {
        if let Some(line) = self.line.get() {
            return Ok(line);
        }
        let mut line = serde_json::to_vec(&Answer::Counters(self.counters.clone()))?;
        line.push(b'\n');
        Ok(self.line.get_or_init(|| line))
    }
}
