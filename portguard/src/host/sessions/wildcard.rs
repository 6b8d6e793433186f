//! File names with `*`, `?` and `[...]`, as an `Include` of sshd has them.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files that a pattern names, in the order of their names; the pattern itself where it has no wildcard.
pub(super) fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let plain = |paths: Vec<PathBuf>| paths.into_iter().map(|path| path.join(component));
        found = match component {
            Component::Normal(name) => match name.to_str() {
                Some(name) if name.contains(['*', '?', '[']) => {
                    let inside = found.iter().map(|folder| matching(folder, name));
                    inside.collect::<Vec<_>>().concat()
                }
                _ => plain(found).collect(),
            },
            _ => plain(found).collect(),
        };
    }
    found
}

/// What a folder has by a name with wildcards.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        // A wildcard does not stand for a leading dot.
        .filter(|name| !name.starts_with('.') || pattern.starts_with('.'))
        .filter(|name| matches(pattern.as_bytes(), name.as_bytes()))
        .collect();
    names.sort_unstable();
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on if the last `*` has to stand for one byte more.
    let mut retry = None;
    while read < name.len() {
        if pattern.get(at) == Some(&b'*') {
            retry = Some((at, read));
            at += 1;
        } else if let Some(length) = pattern.get(at..).and_then(|rest| one(rest, name[read])) {
            at += length;
            read += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            (at, read) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The length of the part of a pattern that stands for this one byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', inside @ ..] => {
            let negated = matches!(inside, [b'!' | b'^', ..]);
            let skipped = usize::from(negated);
            // A `]` that comes first is one of the set.
            let length = 1 + inside
                .get(skipped + 1..)?
                .iter()
                .position(|own| *own == b']')?;
            let set = &inside[skipped..skipped + length];
            (holds(set, byte) != negated).then_some(skipped + length + 2)
        }
        [own, ..] => (*own == byte).then_some(1),
        [] => None,
    }
}

fn holds(mut set: &[u8], byte: u8) -> bool {
    loop {
        set = match set {
            [low, b'-', high, rest @ ..] => {
                if (*low..=*high).contains(&byte) {
                    return true;
                }
                rest
            }
            [own, rest @ ..] => {
                if *own == byte {
                    return true;
                }
                rest
            }
            [] => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "10-x.conf", true),
            ("*.conf", "x.conf.bak", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("?.conf", "1.conf", true),
            ("?.conf", "12.conf", false),
            ("[0-9][!a].conf", "1b.conf", true),
            ("[0-9][!a].conf", "1a.conf", false),
            ("[]x]", "]", true),
            ("[x", "x", false),
            ("x", "xx", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn folders_may_have_wildcards_too() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b/2.conf", "a/1.conf", "a/.3.conf", "a/4.txt"] {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("makes");
            fs::write(file, "").expect("writes");
        }
        let expected = ["a/1.conf", "b/2.conf"].map(|name| folder.path().join(name));
        assert_eq!(expand(&folder.path().join("*/*.conf")), expected);
        let plain = folder.path().join("none");
        assert_eq!(expand(&plain), [plain]);
    }
}
