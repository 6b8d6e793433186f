//! Putting rules of `block` and `open` into the texts of a policy, and taking them out.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use portguard_policy::DropIn;
use tracing::warn;

use crate::exit::{Failure, Outcome};
use crate::policy_file::drop_ins::{self, RUNTIME};
use crate::policy_file::own::{self, OwnRule};
use crate::policy_file::{self, PolicyFile};

use super::super::super::state_folder;
use super::asked::Own;

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// The texts without the rules of `block` and `open` that are over.
pub(in super::super::super) fn without_expired(mut file: PolicyFile) -> PolicyFile {
    let now = now_s();
    for name in [own::PATH, RUNTIME] {
        if let Some(drop_in) = find(&mut file, name) {
            drop_in.text = own::without_expired(&drop_in.text, now);
        }
    }
    forget_empty(&mut file);
    file
}

/// Takes what is over out of the drop-in, before it is read. What cannot be written is not in force all the same.
pub(in super::super) fn forget_expired(policy: &Path) -> bool {
    let path = drop_ins::folder(policy).join(own::NAME);
    let Ok(text) = policy_file::read_text(&path).map(|file| file.text) else {
        return false;
    };
    let left = own::without_expired(&text, now_s());
    if left == text {
        return false;
    }
    match state_folder::replace_keeping_mode(&path, left.as_bytes()) {
        Ok(()) => true,
        Err(error) => {
            warn!(
                "rules that are over stay in `{}`, but not in force: it cannot be written: {error}",
                path.display()
            );
            false
        }
    }
}

fn find<'f>(file: &'f mut PolicyFile, name: &str) -> Option<&'f mut DropIn> {
    file.drop_ins.iter_mut().find(|own| own.name == name)
}

/// What is in no file and has no rule need not be told.
fn forget_empty(file: &mut PolicyFile) {
    file.drop_ins.retain(|own| {
        own.name != RUNTIME || own.text.lines().any(|line| own::of_line(line).is_some())
    });
}

/// Gives a policy a drop-in in its place: what is in no file comes first.
pub(super) fn put(file: &mut PolicyFile, name: &str, text: String) {
    match find(file, name) {
        Some(drop_in) => drop_in.text = text,
        None => {
            file.drop_ins.push(DropIn {
                name: name.into(),
                text,
            });
            file.drop_ins.sort_by(|one, other| {
                (one.name != RUNTIME, &one.name).cmp(&(other.name != RUNTIME, &other.name))
            });
        }
    }
}

/// Puts a rule before all others of its text.
pub(super) fn add(file: &mut PolicyFile, runtime: bool, rule: &OwnRule) -> Outcome {
    let name = if runtime { RUNTIME } else { own::PATH };
    let before = find(file, name).map(|own| own.text.clone());
    let text = own::with_first(before.as_deref(), rule)
        .with_context(|| {
            let path = file.folder.join(name);
            format!("no rule can be added to `{}`", path.display())
        })
        .map_err(Failure::refused)?;
    put(file, name, text);
    Ok(())
}

/// Takes a rule out.
pub(super) fn remove(file: &mut PolicyFile, own: &Own) {
    change(file, own, own::without);
    forget_empty(file);
}

/// Leaves a rule only these ports.
pub(super) fn keep_ports(file: &mut PolicyFile, own: &Own, ports: &[String]) {
    change(file, own, |text, line| own::with_ports(text, line, ports));
}

/// Changes the line of a rule, which is given from 1.
fn change(file: &mut PolicyFile, own: &Own, change: impl FnOnce(&str, usize) -> String) {
    let name = if own.runtime { RUNTIME } else { own::PATH };
    if let Some(drop_in) = find(file, name) {
        let is_it = |line: &str| own::of_line(line).is_some_and(|(_, name)| name == own.name);
        if let Some(line) = drop_in.text.lines().position(is_it) {
            drop_in.text = change(&drop_in.text, line + 1);
        }
    }
}

/// The drop-in as it is on disk, and as it shall be.
#[derive(Clone, Debug)]
pub(in super::super) struct Written {
    path: PathBuf,
    before: Option<String>,
    after: String,
}

impl Written {
    /// What of a policy is to be written; `None` if it is on disk as it is.
    pub(super) fn of(file: &PolicyFile, before: Option<String>) -> Option<Self> {
        let drop_in = file.drop_ins.iter().find(|own| own.name == own::PATH)?;
        (before.as_ref() != Some(&drop_in.text)).then(|| Self {
            path: file.folder.join(own::PATH),
            before,
            after: drop_in.text.clone(),
        })
    }

    pub(super) fn write(&self) -> Outcome {
        let path = self.path.display();
        if on_disk(&self.path)? != self.before {
            return Err(Failure::refused(anyhow!(
                "`{path}` has been changed meanwhile: say it again"
            )));
        }
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .and_then(|()| state_folder::replace_keeping_mode(&self.path, self.after.as_bytes()))
            .with_context(|| format!("nothing is changed: cannot write `{path}`"))
            .map_err(Failure::system)
    }

    /// Puts back what was there.
    pub(super) fn undo(&self) {
        let undone = match &self.before {
            Some(text) => state_folder::replace_keeping_mode(&self.path, text.as_bytes()),
            None => fs::remove_file(&self.path),
        };
        if let Err(error) = undone {
            warn!("`{}` cannot be put back: {error}", self.path.display());
        }
    }
}

/// The text of the drop-in, if there is one.
pub(super) fn on_disk(path: &Path) -> Outcome<Option<String>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        _ => policy_file::read_text(path)
            .map(|file| Some(file.text))
            .map_err(Failure::refused),
    }
}
