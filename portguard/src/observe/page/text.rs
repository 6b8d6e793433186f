//! The text of the policy in force, as the page shows it.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

/// Lines that are shown.
const LINES: usize = 2_000;

/// Characters of a line that are shown.
const WIDTH: usize = 1_000;

/// Bytes that are shown; the line that reaches them is the last.
const BYTES: usize = 256 * 1024;

/// The text of a policy. What files of sets say is not in it.
#[derive(Debug, Serialize)]
pub struct PolicyText {
    generation: u64,
    path: String,
    lines: Vec<String>,
    /// Lines behind these that are left out.
    hidden: usize,
    #[serde(skip)]
    rules: HashMap<String, usize>,
}

impl PolicyText {
    /// The text of a policy from a file, with its number, and the line, from 1, of each rule.
    #[must_use]
    pub fn new<'r>(
        path: &Path,
        generation: u64,
        text: &str,
        rules: impl IntoIterator<Item = (&'r str, usize)>,
    ) -> Self {
        let mut bytes = 0;
        let mut lines = Vec::new();
        let mut all = text.trim_start_matches('\u{feff}').lines();
        for line in all.by_ref().take(LINES) {
            let mut shown: String = line.chars().take(WIDTH).collect();
            if shown.len() < line.len() {
                shown.push('…');
            }
            bytes += shown.len();
            lines.push(shown);
            if bytes >= BYTES {
                break;
            }
        }
        let rules = rules
            .into_iter()
            .filter(|(_, line)| *line <= lines.len())
            .map(|(name, line)| (name.to_owned(), line))
            .collect();
        Self {
            generation,
            path: path.display().to_string(),
            hidden: all.count(),
            lines,
            rules,
        }
    }

    /// The number of the policy.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The line of a rule, if it is shown.
    pub(super) fn line_of(&self, rule: &str) -> Option<usize> {
        self.rules.get(rule).copied()
    }

    /// What is shown, as JSON.
    ///
    /// # Errors
    ///
    /// When it is no JSON, which no text leads to.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}
