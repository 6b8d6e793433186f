//! The drop-ins of a policy: the folder `policy.d` beside its file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use portguard_common::limits::POLICY_BYTES;
use portguard_policy::{DropIn, Place};

use super::{PolicyError, folder_of, open, predicate, read_opened, text};

/// The folder of drop-ins, beside the policy file.
pub const FOLDER: &str = "policy.d";

/// What drop-ins are called at the end.
const ENDING: &str = ".yaml";

/// The name of what is in force until the daemon ends, and in no file: as the option that made it so.
pub const RUNTIME: &str = "--runtime";

/// Everybody may write it.
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// The folder of the drop-ins of a policy, whether there is one or not.
#[must_use]
pub fn folder(policy: &Path) -> PathBuf {
    folder_of(policy).join(FOLDER)
}

/// Where a place is that a policy speaks of.
#[must_use]
pub fn path_of(policy: &Path, place: &Place) -> PathBuf {
    match place.file.as_deref() {
        None => policy.into(),
        Some(RUNTIME) => RUNTIME.into(),
        Some(file) => folder_of(policy).join(file),
    }
}

/// The names of the drop-ins in a folder, in the order in which their rules come.
///
/// # Errors
///
/// What the system says. A folder that is not there has none.
pub fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        // What is no text is called so in an error.
        let name = name.to_string_lossy().into_owned();
        if name.ends_with(ENDING) && !name.starts_with(['.', '#']) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads the drop-ins that belong to a policy file in this folder.
pub(super) fn read_all(beside: &Path) -> Result<Vec<DropIn>, PolicyError> {
    let folder = beside.join(FOLDER);
    let unreadable = |path: &Path, reason: String| PolicyError::Unreadable {
        path: path.into(),
        reason,
    };
    let found = names(&folder).map_err(|error| unreadable(&folder, predicate(&error)))?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let metadata = fs::metadata(&folder).map_err(|error| unreadable(&folder, predicate(&error)))?;
    refuse_writable(&metadata).map_err(|reason| unreadable(&folder, reason))?;
    let mut drop_ins = Vec::with_capacity(found.len());
    let mut left = POLICY_BYTES;
    for name in found {
        let path = folder.join(&name);
        let text = read_one(&path, left).map_err(|reason| unreadable(&path, reason))?;
        left -= text.len();
        drop_ins.push(DropIn {
            name: format!("{FOLDER}/{name}"),
            text,
        });
    }
    Ok(drop_ins)
}

fn read_one(path: &Path, most: usize) -> Result<String, String> {
    let (file, metadata) = open(path)?;
    refuse_writable(&metadata)?;
    text(read_opened(file, &metadata, most)?)
}

/// Whoever may write a drop-in decides what is filtered.
fn refuse_writable(metadata: &fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & WRITABLE_BY_OTHERS == 0 {
        return Ok(());
    }
    Err("can be written by everybody: `chmod o-w` it first".into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn drop_ins_end_in_yaml_and_come_in_the_order_of_their_bytes() {
        let policy = tempfile::tempdir().unwrap();
        let folder = policy.path().join(FOLDER);
        assert_eq!(names(&folder).unwrap(), Vec::<String>::new());
        fs::create_dir(&folder).unwrap();
        for name in [
            "b.yaml",
            "B.yaml",
            "10-a.yaml",
            "9-a.yaml",
            ".b.yaml",
            "#b.yaml",
            "b.yaml~",
            "#b.yaml#",
            ".b.yaml.swp",
            "b.yml",
            "b.yaml.new",
            "README",
        ] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(
            names(&folder).unwrap(),
            ["10-a.yaml", "9-a.yaml", "B.yaml", "b.yaml"]
        );
    }

    #[test]
    fn what_everybody_may_write_is_refused() {
        let policy = tempfile::tempdir().unwrap();
        let folder = policy.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        let path = folder.join("a.yaml");
        fs::write(&path, "version: 1\n").unwrap();
        let read = || read_all(policy.path()).map_err(|error| error.to_string());
        assert_eq!(read().unwrap()[0].name, "policy.d/a.yaml");
        for path in [&path, &folder] {
            let before = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            assert_eq!(
                read().unwrap_err(),
                format!(
                    "policy `{}` can be written by everybody: `chmod o-w` it first",
                    path.display()
                )
            );
            fs::set_permissions(path, before).unwrap();
        }
        read().unwrap();
    }
}
