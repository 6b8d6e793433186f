//! Sets in files of their own, as `portguard check` and a reload see them.

use std::fs;
use std::path::Path;
use std::process::Command;

use portguard::policy_file;

use crate::{binary, stdout};

const POLICY: &str = "version: 1\ninterfaces: [eth0]\nsets:\n  abusers: { file: abusers.txt }\n\
                      rules:\n  - { name: abusers, action: drop, from: $abusers }\n";

fn check(policy: &Path) -> (Option<i32>, String) {
    let output = Command::new(binary())
        .arg("check")
        .arg(policy)
        // A relative name of a set has nothing to do with where the program is started.
        .current_dir("/")
        .output()
        .expect("runs");
    (output.status.code(), stdout(&output))
}

/// Checks the policy beside a set file that `make` makes.
fn beside(make: impl FnOnce(&Path)) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, POLICY).expect("writes");
    make(&folder.path().join("abusers.txt"));
    check(&policy)
}

fn write(content: &'static str) -> impl FnOnce(&Path) {
    move |path| fs::write(path, content).expect("writes")
}

#[test]
fn a_set_file_stands_beside_the_policy() {
    let (code, shown) = beside(write("192.0.2.0/24 # why\r\n2001:db8::1\r\n"));
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn bad_lines_are_shown_in_their_file() {
    let (code, shown) = beside(write(
        "192.0.2.1\n# comment\n  010.0.0.1 # typo\n192.0.2.0/33\n",
    ));
    assert_eq!(code, Some(1));
    for part in [
        "abusers.txt:3:3",
        "3 |   010.0.0.1 # typo",
        "the octet `010` of `010.0.0.1` has leading zeros",
        "write `10.0.0.1`",
        "abusers.txt:4:1",
        "the prefix length `33` is out of range",
        "is refused: 2 errors",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn a_set_file_that_cannot_be_read_is_an_error_of_the_policy() {
    let pipe = |path: &Path| {
        let made = Command::new("mkfifo").arg(path).status().expect("mkfifo");
        assert!(made.success());
    };
    let large = |path: &Path| {
        let file = fs::File::create(path).expect("a file");
        file.set_len(65 << 20).expect("a sparse file");
    };
    let folder = |path: &Path| fs::create_dir(path).expect("a folder");
    for (shown, reason) in [
        (beside(|_path| {}), "does not exist"),
        (beside(pipe), "is no regular file"),
        (beside(large), "is too large"),
        (beside(folder), "is a directory"),
        (beside(write("")), "holds no address"),
    ] {
        let (code, shown) = shown;
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains(reason), "{reason}\n{shown}");
        assert!(shown.contains("policy.yaml:4:20"), "{shown}");
    }
}

#[test]
fn a_policy_changes_with_its_set_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("policy.yaml");
    let set = folder.path().join("abusers.txt");
    fs::write(&policy, POLICY).expect("writes");
    let load = |content: &str| {
        fs::write(&set, content).expect("writes");
        policy_file::load(&policy).expect("a good policy")
    };
    let before = load("192.0.2.1\n");
    assert_eq!(before.set_files, std::slice::from_ref(&set));
    assert!(load("192.0.2.1\n").is_same(&before));
    assert!(load("# the same address\n192.0.2.1/32\n").is_same(&before));
    assert!(!load("192.0.2.2\n").is_same(&before));
}
