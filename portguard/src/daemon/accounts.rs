//! Counting over generations, and over daemons.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tracing::error;

use crate::dataplane::{Generation, State, kept, link};

use super::keeping::Keeping;
use super::totals::{Saved, Totals};

/// The totals, kept among the pins with each change.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) totals: Totals,
    sequence: u64,
    /// Generations in the totals that are still pinned.
    folded: BTreeSet<u64>,
}

/// How totals are kept.
#[derive(Serialize, Deserialize)]
struct Note {
    folded: BTreeSet<u64>,
    totals: Saved,
}

/// What a daemon before this one left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Last {
    /// The highest number of a generation that is pinned.
    pub(super) id: u64,
    /// The highest number of a policy.
    pub(super) number: u64,
}

impl Accounts {
    /// Goes on from what a daemon before this one kept; what its generations at work have counted is added when
    /// [`Accounts::retire_others`] is called.
    pub(super) fn adopt(state: Option<&State>) -> (Self, Last) {
        let mut accounts = Self::default();
        let mut last = Last::default();
        let Some(state) = state else {
            return (accounts, last);
        };
        match state.totals() {
            Ok(None) => {}
            Ok(Some((sequence, note))) => {
                accounts.sequence = sequence;
                match serde_json::from_slice::<Note>(&note) {
                    Ok(note) => {
                        accounts.totals = note.totals.into();
                        accounts.folded = note.folded;
                    }
                    Err(error) => error!("totals are lost: cannot read what was kept: {error}"),
                }
            }
            Err(error) => error!("totals are lost: {error}"),
        }
        for id in state.generations().unwrap_or_default() {
            last.id = last.id.max(id);
            if let Ok(about) = kept::about(state, id) {
                last.number = last.number.max(about.number);
            }
        }
        (accounts, last)
    }

    /// Adds what a generation counted that is at work nowhere any more.
    pub(super) fn retire(
        &mut self,
        generation: &Generation,
        id: u64,
        rules: &[String],
        keeping: &mut Keeping,
    ) {
        // Until a program was replaced it counted; it may still run on another CPU.
        link::wait_for_running_programs();
        match generation.counts() {
            Ok(counts) => self.totals.add(rules, &counts),
            Err(error) => error!("counters of a previous policy are lost: {error}"),
        }
        self.fold(id, keeping);
    }

    /// Adds what generations of a daemon before this one counted, which are at work nowhere any more: all that are
    /// pinned but this.
    pub(super) fn retire_others(&mut self, own: u64, keeping: &mut Keeping) {
        let Some(state) = keeping.state() else {
            return;
        };
        // Until a program was replaced it counted; it may still run on another CPU.
        link::wait_for_running_programs();
        let ids = match state.generations() {
            Ok(ids) => ids,
            Err(error) => return error!("counters of a previous daemon are lost: {error}"),
        };
        for id in ids.into_iter().filter(|id| *id != own) {
            if !self.folded.contains(&id) {
                match kept::counted(&state, id) {
                    Ok((about, counts)) => self.totals.add(&about.rules, &counts),
                    Err(error) => error!("counters of a previous daemon are lost: {error}"),
                }
            }
            self.fold(id, keeping);
        }
    }

    /// Keeps the totals, which have a generation in them now, before its own counters are forgotten: a daemon that is
    /// killed in between leaves both, and what is in the totals says so.
    fn fold(&mut self, id: u64, keeping: &mut Keeping) {
        self.folded.insert(id);
        let Some(state) = keeping.state() else {
            return;
        };
        self.sequence += 1;
        let note = Note {
            folded: self.folded.clone(),
            totals: Saved::from(&self.totals),
        };
        let kept = serde_json::to_vec(&note)
            .map_err(std::io::Error::from)
            .and_then(|note| state.keep_totals(self.sequence, &note))
            .and_then(|()| state.forget_generation(id));
        if let Ok(pinned) = state.generations() {
            self.folded.retain(|id| pinned.contains(id));
        }
        keeping.note(kept);
    }
}
