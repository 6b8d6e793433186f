//! Keeping what must go on without this daemon: the folder of pins, as long as it can be used.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::dataplane::{Generation, State, StateError};
use crate::exit::{Failure, Outcome};

/// The folder of pins.
#[derive(Debug)]
pub(super) struct Keeping {
    folder: PathBuf,
    state: Option<State>,
    /// Why nothing can be kept.
    trouble: Option<String>,
}

impl Keeping {
    /// Opens the folder.
    ///
    /// # Errors
    ///
    /// When another daemon uses it. A file system that cannot be used is no reason to leave a host open: filtering then
    /// ends with this process, which [`Keeping::trouble`] tells.
    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        let mut keeping = Self {
            folder: folder.into(),
            state: None,
            trouble: None,
        };
        match State::open(folder) {
            Ok(state) => keeping.state = Some(state),
            Err(error @ StateError::InUse { .. }) => return Err(Failure::system(error)),
            Err(error) => keeping.fails(&error.to_string()),
        }
        Ok(keeping)
    }

    /// The folder, if it can be used at the moment. It is tried anew each time.
    pub(super) fn state(&mut self) -> Option<State> {
        let usable = match &self.state {
            Some(state) => state.is_usable(),
            None => State::open(&self.folder).map(|state| self.state = Some(state)),
        };
        match usable {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    info!("`{}` can be used again", self.folder.display());
                }
                self.state.clone()
            }
            Err(error) => {
                self.fails(&error.to_string());
                None
            }
        }
    }

    /// Pins what a generation counts, as far as that can be.
    pub(super) fn keep(
        &mut self,
        generation: &Generation,
        id: u64,
        number: u64,
        rules: Vec<String>,
    ) {
        if let Some(state) = self.state() {
            self.note(generation.keep(&state, id, number, rules));
        }
    }

    /// Notes the outcome of keeping something; a failure is logged once.
    pub(super) fn note(&mut self, result: Result<(), impl std::fmt::Display>) {
        if let Err(error) = result {
            self.fails(&error.to_string());
        }
    }

    fn fails(&mut self, error: &str) {
        if self.trouble.as_deref() != Some(error) {
            warn!("filtering ends when this daemon does: {error}");
            self.trouble = Some(error.into());
        }
    }

    /// Why filtering would not go on without this daemon; `None` if it would.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}
