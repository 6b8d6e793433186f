//! The last policy that took effect, kept for a boot at which the policy file is broken.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use portguard_policy::DropIn;
use serde::{Deserialize, Serialize};

use crate::policy_file::drop_ins::RUNTIME;
use crate::policy_file::{self, KeptFiles, Loaded, PolicyError, PolicyFile};

use super::StateFolder;
use super::guard::without_expired;

/// Its name in the state folder.
const LAST_GOOD: &str = "last-good.json";

/// A policy that was tried, and not confirmed.
const UNCONFIRMED: &str = "unconfirmed.yaml";

/// A policy with all that it was made from.
#[derive(Serialize, Deserialize)]
struct LastGood {
    /// Where it was read from.
    path: PathBuf,
    text: String,
    /// Its drop-ins, in order: their names and texts.
    #[serde(default)]
    drop_ins: Vec<(String, String)>,
    /// The files of its sets by name. What is no UTF-8 stands in comments, and is replaced.
    files: BTreeMap<String, String>,
}

/// Keeps a policy that took effect, unless it is kept already. Its files' content is not needed any more then.
pub(super) fn keep(folder: &StateFolder, loaded: &mut Loaded) -> io::Result<()> {
    let files = std::mem::take(&mut loaded.set_contents);
    let last_good = LastGood {
        path: loaded.file.path.clone(),
        text: loaded.file.text.clone(),
        drop_ins: loaded
            .file
            .drop_ins
            .iter()
            // What was said with `--runtime` is not kept.
            .filter(|own| own.name != RUNTIME)
            .map(|own| (own.name.clone(), own.text.clone()))
            .collect(),
        files: as_text(&files),
    };
    let new = serde_json::to_vec(&last_good)?;
    if folder.read(LAST_GOOD)?.as_ref() == Some(&new) {
        return Ok(());
    }
    folder.write(LAST_GOOD, &new)
}

fn as_text(files: &[(String, Vec<u8>)]) -> BTreeMap<String, String> {
    let text_of = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let files = files.iter();
    files
        .map(|(name, bytes)| (name.clone(), text_of(bytes)))
        .collect()
}

/// What is in the files of a policy in force: kept by itself, or in the state folder.
pub(super) fn files_of(folder: &StateFolder, loaded: &Loaded) -> BTreeMap<String, String> {
    if !loaded.set_contents.is_empty() {
        return as_text(&loaded.set_contents);
    }
    let kept = folder.read(LAST_GOOD).ok().flatten();
    let kept: Option<LastGood> = kept.and_then(|content| serde_json::from_slice(&content).ok());
    // Where nothing could be kept, whoever asks is told which file is missing.
    kept.filter(|kept| kept.text == loaded.file.text)
        .map(|kept| kept.files)
        .unwrap_or_default()
}

/// Loads the policy that was kept; `None` if there is none.
///
/// # Errors
///
/// Why it cannot be used, for people.
pub(super) fn load(folder: &StateFolder) -> Result<Option<Loaded>, String> {
    let path = folder.path(LAST_GOOD);
    let broken = |error: &dyn std::fmt::Display| format!("`{}`: {error}", path.display());
    let Some(content) = folder.read(LAST_GOOD).map_err(|error| broken(&error))? else {
        return Ok(None);
    };
    let last_good: LastGood = serde_json::from_slice(&content).map_err(|error| broken(&error))?;
    let drop_ins = last_good.drop_ins.into_iter();
    let file = PolicyFile {
        drop_ins: drop_ins.map(|(name, text)| DropIn { name, text }).collect(),
        ..PolicyFile::alone(last_good.path, last_good.text)
    };
    let file = without_expired(file);
    policy_file::compile_with(file, KeptFiles::new(last_good.files))
        .map(Some)
        .map_err(|error: PolicyError| broken(&error))
}

/// Puts down that a policy is on trial: a boot must not take it from the policy file.
pub(super) fn begin_trial(folder: &StateFolder, text: &str) -> io::Result<()> {
    folder.write(UNCONFIRMED, text.as_bytes())
}

/// A policy took effect without a trial, or was confirmed.
pub(super) fn end_trial(folder: &StateFolder) -> io::Result<()> {
    folder.remove(UNCONFIRMED)
}

/// Whether a text is that of a policy that was tried and not confirmed.
pub(super) fn is_unconfirmed(folder: &StateFolder, text: &str) -> bool {
    matches!(folder.read(UNCONFIRMED), Ok(Some(unconfirmed)) if unconfirmed == text.as_bytes())
}
