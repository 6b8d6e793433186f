//! The text of the policy in force, as the page shows it.

use std::collections::HashMap;
use std::path::Path;

use portguard_policy::Place;
use serde::Serialize;

/// Lines that are shown, of all files together.
const LINES: usize = 2_000;

/// Characters of a line that are shown.
const WIDTH: usize = 1_000;

/// Bytes that are shown, of all files together; the line that reaches them is the last.
const BYTES: usize = 256 * 1024;

/// Files that are shown.
const FILES: usize = 100;

/// The text of a policy and of its drop-ins. What files of sets say is not in it.
#[derive(Debug, Serialize)]
pub struct PolicyText {
    generation: u64,
    /// The policy file, then its drop-ins in the order of their rules.
    files: Vec<FileText>,
    /// Files behind these that are left out.
    hidden_files: usize,
    /// The file, as its place among these, and the line.
    #[serde(skip)]
    rules: HashMap<String, (usize, usize)>,
}

#[derive(Debug, Serialize)]
struct FileText {
    /// The path of the policy file; the name of a drop-in from its folder on.
    name: String,
    lines: Vec<String>,
    /// Lines behind these that are left out.
    hidden: usize,
}

/// What may still be shown.
struct Room {
    lines: usize,
    bytes: usize,
}

impl PolicyText {
    /// The text of a policy from a file, with its number, those of its drop-ins by their names, and the place of each rule.
    #[must_use]
    pub fn new<'t>(
        path: &Path,
        generation: u64,
        text: &str,
        drop_ins: impl IntoIterator<Item = (&'t str, &'t str)>,
        rules: impl IntoIterator<Item = (&'t str, &'t Place)>,
    ) -> Self {
        let mut room = Room {
            lines: LINES,
            bytes: BYTES,
        };
        let mut files = vec![room.take(path.display().to_string(), text)];
        let mut numbers = HashMap::from([(None, 0)]);
        let mut drop_ins = drop_ins.into_iter();
        for (name, text) in drop_ins.by_ref().take(FILES - 1) {
            numbers.insert(Some(name), files.len());
            files.push(room.take(name.to_owned(), text));
        }
        let shown = rules.into_iter().filter_map(|(rule, place)| {
            let file = *numbers.get(&place.file.as_deref())?;
            let is_shown = place.line <= files[file].lines.len();
            is_shown.then(|| (rule.to_owned(), (file, place.line)))
        });
        Self {
            generation,
            rules: shown.collect(),
            hidden_files: drop_ins.count(),
            files,
        }
    }

    /// The number of the policy.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The file of a rule, as its place among those that are shown, and its line, if that is shown.
    pub(super) fn place_of(&self, rule: &str) -> Option<(usize, usize)> {
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

impl Room {
    /// Shows as much of a file as there is room for.
    fn take(&mut self, name: String, text: &str) -> FileText {
        let mut all = text.trim_start_matches('\u{feff}').lines();
        let mut lines = Vec::new();
        while self.lines > 0
            && self.bytes > 0
            && let Some(line) = all.next()
        {
            let mut shown: String = line.chars().take(WIDTH).collect();
            if shown.len() < line.len() {
                shown.push('…');
            }
            self.lines -= 1;
            self.bytes = self.bytes.saturating_sub(shown.len());
            lines.push(shown);
        }
        FileText {
            name,
            lines,
            hidden: all.count(),
        }
    }
}
