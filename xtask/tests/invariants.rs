//! The invariants of the architecture, read off the source: what a lint or the compiler cannot say.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where `unsafe` may be, and what for. Each block says which invariant it relies on.
const UNSAFE: [(&str, &str); 6] = [
    (
        "portguard-common/src/abi/mod.rs",
        "`aya::Pod` marks the types that map values are made of",
    ),
    (
        "portguard-ebpf/src/",
        "packet bounds and map values are raw pointers in the kernel",
    ),
    (
        "portguard/src/dataplane/",
        "system calls of BPF and of network devices that no library wraps",
    ),
    (
        "portguard/src/host/lease.rs",
        "file leases, for which no library has a call",
    ),
    (
        "portguard/src/host/memory.rs",
        "the allocator's own call, which no library wraps",
    ),
    (
        "portguard-testbed/src/",
        "namespaces and packet sockets, for tests and the demonstration",
    ),
];

/// The only places that talk to the kernel's BPF, so that all else is tested without one.
const BPF: [&str; 2] = [
    "portguard/src/dataplane/",
    "portguard-common/src/abi/mod.rs",
];

/// The only places of the daemon that print.
const PRINTS: [&str; 2] = ["portguard/src/output/", "portguard/src/main.rs"];

/// The only places that know in which language a policy is written; the tests read policies as an editor does.
const DOCUMENT: [&str; 2] = [
    "portguard-policy/src/document.rs",
    "portguard-policy/tests/common/",
];

#[test]
fn only_the_dataplane_talks_to_bpf() {
    let files = sources(&[
        "portguard",
        "portguard-common",
        "portguard-fold",
        "portguard-import",
        "portguard-policy",
        "xtask",
    ]);
    let found = uses(&files, &["aya::", "aya_log", "aya_obj"], &BPF);
    assert!(found.is_empty(), "{}", report(&found));
}

#[test]
fn only_the_document_knows_the_language_of_policies() {
    let files = sources(&[
        "portguard",
        "portguard-common",
        "portguard-fold",
        "portguard-import",
        "portguard-policy",
        "xtask",
    ]);
    let found = uses(&files, &["serde_yaml", "serde_saphyr"], &DOCUMENT);
    assert!(found.is_empty(), "{}", report(&found));
}

#[test]
fn a_policy_depends_on_its_text_alone() {
    let files = sources(&[
        "portguard-fold/src",
        "portguard-import/src",
        "portguard-policy/src",
    ]);
    let outside = [
        "std::fs",
        "std::io",
        "std::net::Tcp",
        "std::net::Udp",
        "std::time",
        "tokio",
        "aya",
        // The same from one braced `use std::{…}`, which has no `std::fs` in it.
        "fs::",
        "io::",
        "time::",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
    ];
    let found = uses(&files, &outside, &[]);
    assert!(found.is_empty(), "{}", report(&found));
}

#[test]
fn only_the_output_prints() {
    let files = sources(&[
        "portguard/src",
        "portguard-build/src",
        "portguard-common/src",
        "portguard-fold/src",
        "portguard-import/src",
        "portguard-policy/src",
    ]);
    let macros = ["println!", "eprintln!", "print!", "eprint!", "dbg!"];
    let found = uses(&files, &macros, &PRINTS);
    assert!(found.is_empty(), "{}", report(&found));
}

#[test]
fn unsafe_is_only_where_it_is_listed() {
    let files = sources(&[
        "portguard",
        "portguard-build",
        "portguard-common",
        "portguard-ebpf",
        "portguard-fold",
        "portguard-import",
        "portguard-policy",
        "portguard-testbed",
        "xtask",
    ]);
    let allowed = UNSAFE.map(|(place, _)| place);
    let found = uses(&files, &["unsafe"], &allowed);
    assert!(found.is_empty(), "{}", report(&found));
}

/// A file of source, by its path from the root of the checkout.
struct Source {
    path: String,
    text: String,
}

/// Every file of Rust under `folders`; each folder has one, or this reads the wrong place.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a package in a workspace");
    let mut files = Vec::new();
    for folder in folders {
        let before = files.len();
        collect(root, &root.join(folder), &mut files);
        assert!(files.len() > before, "`{folder}` has no source");
    }
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("`{}`: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        // This file names all that it forbids.
        if path.is_dir() && !path.ends_with("target") {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|kind| kind == "rs")
            && !path.ends_with("xtask/tests/invariants.rs")
        {
            let inside = path.strip_prefix(root).expect("a path below the root");
            files.push(Source {
                path: inside.to_str().expect("a path in UTF-8").into(),
                text: fs::read_to_string(&path).expect("source in UTF-8"),
            });
        }
    }
}

/// Where `words` are used outside `allowed`, as `path:line: the line`.
fn uses(files: &[Source], words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        if allowed.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            if words.iter().any(|word| has_word(code(line), word)) {
                found.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    found
}

/// A line without its comment. A string with `//` in it is cut too: it has no code after it that
/// would be missed in practice.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// Whether `word` stands in `code` by itself, not as a part of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let open_end = !word.ends_with(is_name) || word.ends_with("Tcp") || word.ends_with("Udp");
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && (open_end || !after.is_some_and(is_name))
    })
}

fn report(found: &[String]) -> String {
    format!("not allowed here:\n{}", found.join("\n"))
}

#[test]
fn a_use_is_found_with_its_place() {
    let files = [Source {
        path: "portguard/src/status.rs".into(),
        text: "//! Not aya::Ebpf.\nuse aya::Ebpf;\n".into(),
    }];
    let found = uses(&files, &["aya::"], &BPF);
    assert_eq!(found, ["portguard/src/status.rs:2: use aya::Ebpf;"]);
    assert!(uses(&files, &["aya::"], &["portguard/src/"]).is_empty());
}

#[test]
fn a_word_is_whole() {
    assert!(has_word("unsafe { x }", "unsafe"));
    assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
    assert!(!has_word("eprintln!(\"x\")", "println!"));
    assert!(has_word("use std::net::TcpStream;", "std::net::Tcp"));
    assert!(!has_word("use portguard::studio::x", "io::"));
}
