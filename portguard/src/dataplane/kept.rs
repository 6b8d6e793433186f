//! What a generation counts, kept for a daemon that finds it at work.

use std::fs;
use std::io;
use std::path::Path;

use aya::maps::Map;
use portguard_common::abi::symbol;
use portguard_policy::{Attribution, Limited, Meaning};
use serde::{Deserialize, Serialize};

use super::counters::{self, Counts};
use super::events;
use super::generation::{Generation, LoadError};
use super::pins::{read_note, write_note};
use super::state::{State, pinned};

/// Maps that are pinned with a generation: those that count, and those without which a trial would not end.
const MAPS: [&str; 8] = [
    symbol::SLOTS,
    symbol::COUNTERS,
    symbol::DROPS,
    symbol::EVENT_COUNTS,
    symbol::TRIAL,
    symbol::CHOICES,
    symbol::EGRESS_CHOICES,
    symbol::GUARDED_BEFORE,
];

/// The name of the note.
const ABOUT: &str = "about";

/// What a generation was of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The number of the policy, as people see it.
    pub number: u64,
    /// The names of its rules, in order.
    pub rules: Vec<String>,
    /// Of each cell, the rule that decides, and those that only count.
    cells: Vec<(Option<usize>, Vec<usize>)>,
    /// The rules with a limit, and whether they are enforced.
    limited: Vec<(usize, bool)>,
}

impl About {
    fn meaning(&self) -> Meaning {
        let attribution = |(decider, shadows): &(Option<usize>, Vec<usize>)| Attribution {
            decider: *decider,
            shadows: shadows.clone(),
        };
        let limited = |(rule, enforce): &(usize, bool)| Limited {
            rule: *rule,
            enforce: *enforce,
        };
        Meaning {
            attributions: self.cells.iter().map(attribution).collect(),
            limited: self.limited.iter().map(limited).collect(),
            ..Meaning::default()
        }
    }
}

impl Generation {
    /// Pins what it counts, under a number that no other generation has had.
    ///
    /// # Errors
    ///
    /// What the system says; what was pinned stays, for [`State::forget_generation`].
    pub fn keep(&self, state: &State, id: u64, number: u64, rules: Vec<String>) -> io::Result<()> {
        // Whole or not at all, also for a daemon that finds it.
        let folder = state.unfinished_generation()?;
        let meaning = self.meaning();
        let cell = |cell: &Attribution| (cell.decider, cell.shadows.clone());
        let about = About {
            number,
            rules,
            cells: meaning.attributions.iter().map(cell).collect(),
            limited: meaning
                .limited
                .iter()
                .map(|limited| (limited.rule, limited.enforce))
                .collect(),
        };
        write_note(&folder.join(ABOUT), &serde_json::to_vec(&about)?)?;
        for name in MAPS {
            let map = self.map(name).map_err(io::Error::other)?;
            map.pin(folder.join(name)).map_err(io::Error::other)?;
        }
        fs::rename(folder, state.generation(id))
    }
}

/// What a generation of a daemon before this one is of.
///
/// # Errors
///
/// When what is pinned cannot be read, or is not what it should be.
pub fn about(state: &State, id: u64) -> Result<About, LoadError> {
    let note = read_note(&state.generation(id).join(ABOUT)).map_err(LoadError::Kept)?;
    serde_json::from_slice(&note).map_err(|error| LoadError::Kept(error.into()))
}

/// The same, and what it has counted up to now.
///
/// # Errors
///
/// As [`about`].
pub fn counted(state: &State, id: u64) -> Result<(About, Counts), LoadError> {
    let about = about(state, id)?;
    let folder = state.generation(id);
    let mut counts = counters::read(|name| open(&folder, name), &about.meaning())?;
    // A daemon that knew nothing of events pinned no counts of them.
    if folder.join(symbol::EVENT_COUNTS).exists() {
        let pages = open(&folder, symbol::EVENT_COUNTS)?;
        let pages = counters::pages(&pages, symbol::EVENT_COUNTS)?;
        counts.events = events::sum(&events::read_counts(&pages)?);
    }
    Ok((about, counts))
}

fn open(folder: &Path, name: &'static str) -> Result<Map, LoadError> {
    pinned(&folder.join(name)).map_err(|source| LoadError::Map { name, source })
}
