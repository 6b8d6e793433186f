//! What is wrong is said in a sentence, with the right exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::{binary, stderr, stdout};

fn check(path: &Path) -> Output {
    Command::new(binary())
        .arg("check")
        .arg(path)
        .output()
        .expect("runs")
}

fn check_text(text: impl AsRef<[u8]>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    fs::write(&file, text).expect("writes");
    let output = check(&file);
    (output.status.code(), stdout(&output))
}

#[test]
fn a_missing_policy() {
    let output = check(Path::new("/nonexistent/policy.yaml"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("`/nonexistent/policy.yaml` does not exist"),
        "{output:?}"
    );
}

#[test]
fn a_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = check(folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("is a directory"), "{output:?}");
}

#[test]
fn an_empty_file_and_one_of_comments() {
    for text in ["", "\n\n", "# only a comment\n", "---\n"] {
        let (code, shown) = check_text(text);
        assert_eq!(code, Some(1), "{text:?}: {shown}");
        assert!(shown.contains("rules: []"), "{text:?}: {shown}");
    }
}

#[test]
fn a_hundred_megabytes_of_yaml() {
    let mut text = String::from("version: 1\nrules:\n");
    let rule = "  - {name: a, action: drop, ports: [1]}\n";
    text.reserve(100 << 20);
    while text.len() < 100 << 20 {
        text.push_str(rule);
    }
    let begin = Instant::now();
    let (code, shown) = check_text(text);
    assert_eq!(code, Some(1));
    assert!(
        shown.contains("too large") && shown.contains("16777216"),
        "{shown}"
    );
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn an_alias_bomb() {
    let mut text = String::from("version: 1\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        let list = vec![below; 10].join(", ");
        text += &format!("a{level}: &a{level} [{list}]\n");
    }
    text += "rules: *a9\n";
    let begin = Instant::now();
    let (code, shown) = check_text(text);
    assert_eq!(code, Some(1));
    assert!(shown.contains("error"), "{shown}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn every_mistake_of_a_file_with_its_place() {
    let (code, shown) = check_text(
        "version: 1\ninterfaces: [eth0]\nrulez: []\nrules:\n  - name: a\n    action: drop\n    ports: [7200-7100, 080]\n",
    );
    assert_eq!(code, Some(1));
    for wanted in [
        "policy.yaml:3:1",
        "did you mean `rules`?",
        "policy.yaml:7:13",
        "policy.yaml:7:24",
        "3 errors",
    ] {
        assert!(shown.contains(wanted), "{wanted} is not in:\n{shown}");
    }
}

/// Names of services were looked up in the host's own table, and meant something else there.
#[test]
fn m12_names_of_services_do_not_depend_on_the_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    fs::write(
        &file,
        "version: 1\ninterfaces: [eth0]\nrules:\n  - {name: r, action: drop, ports: [ssh, x11-1]}\n\
         assert:\n  - drop: tcp -> :22\n  - drop: tcp -> :6001\n  - pass: tcp -> :23\n",
    )
    .expect("writes");
    let other = folder.path().join("services");
    fs::write(&other, "ssh 23/tcp\nx11-1 24/tcp\nmine 25/tcp\n").expect("writes");
    let mine = folder.path().join("mine.yaml");
    fs::write(
        &mine,
        "version: 1\ninterfaces: [eth0]\nrules:\n  - {name: r, action: drop, ports: mine}\n",
    )
    .expect("writes");
    for table in [Path::new("/dev/null"), &other] {
        // A mount of its own over the host's table.
        let check = |policy: &Path| {
            Command::new("unshare")
                .args(["--mount", "sh", "-c"])
                .arg("mount --bind \"$1\" /etc/services && exec \"$2\" check \"$3\"")
                .arg("sh")
                .args([table, binary(), policy])
                .output()
                .expect("runs")
        };
        let output = check(&file);
        assert!(output.status.success(), "{output:?}");
        let output = check(&mine);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            stdout(&output).contains("no service is called `mine`")
                && stdout(&output).contains("mine.yaml:4:36"),
            "{output:?}"
        );
    }
}

#[test]
fn several_files_are_all_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("good.yaml");
    let bad = folder.path().join("bad.yaml");
    fs::write(&good, "version: 1\ninterfaces: [eth0]\nrules: []\n").expect("writes");
    fs::write(&bad, "version: 2\n").expect("writes");
    let output = Command::new(binary())
        .arg("check")
        .args([&bad, &good])
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("good.yaml: ok, 0 rules"),
        "{}",
        stdout(&output)
    );
    assert!(
        stderr(&output).contains("1 of 2 policies are refused"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn interfaces_that_do_not_exist_when_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    fs::write(
        &file,
        "version: 1\ninterfaces: [nonesuch0, \"none*\"]\nrules: []\n",
    )
    .expect("writes");
    assert!(check(&file).status.success());
    let output = Command::new(binary())
        .args(["check", "--interfaces"])
        .arg(&file)
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("interface `nonesuch0`"),
        "{}",
        stdout(&output)
    );
    assert!(!stdout(&output).contains("none*"), "{}", stdout(&output));
}

#[test]
fn the_shipped_policy_is_valid_and_cannot_cut_off_ssh() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/policy.yaml");
    let output = check(Path::new(shipped));
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(!stdout(&output).contains("warning"), "{}", stdout(&output));
    let text = fs::read_to_string(shipped).expect("reads");
    let policy = portguard_policy::check(&text, &mut portguard_policy::NoFiles)
        .expect("valid")
        .policy;
    let tables = portguard_policy::compile(&policy, &[]).expect("fits");
    let cell = usize::from(tables.services[portguard_common::abi::service::TCP as usize + 22]);
    assert_eq!(
        tables.meaning.cells[cell].action(),
        portguard_common::abi::Action::Pass
    );
    assert_eq!(policy.default, portguard_policy::Fate::Pass);
}
