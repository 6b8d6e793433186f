//! A corpus of attempts to get past the filter: what each tries, and what must become of it, verdict and counters.
//!
//! `corpus/README.md` is its index. A test compares the two; to write it anew, run
//! `PORTGUARD_WRITE_CORPUS=1 cargo test -p portguard --test packets corpus`.

mod case;
mod errors;
mod essential;
mod extensions;
mod fragments;
mod headers;
mod lengths;
mod limits;
mod link;
mod names;
mod rejected;
mod replies;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use case::Case;

/// Writes the index instead of comparing it.
const WRITE_ENV: &str = "PORTGUARD_WRITE_CORPUS";

/// What a part of the corpus is about, and its cases.
type Part = (&'static str, fn() -> Vec<Case>);

const PARTS: [Part; 11] = [
    ("Headers before the port", headers::cases),
    ("IPv6 extension headers", extensions::cases),
    ("Fragments", fragments::cases),
    ("Lengths that lie, and other broken headers", lengths::cases),
    ("Tags, tunnels, and what is not IP", link::cases),
    ("Addresses, ports and trust", names::cases),
    ("Essential traffic", essential::cases),
    ("Replies", replies::cases),
    ("Errors about what was sent", errors::cases),
    ("Limits", limits::cases),
    ("Answers to what is rejected", rejected::cases),
];

#[test]
fn every_attempt_fares_as_it_must() {
    let cases: Vec<Case> = PARTS.iter().flat_map(|(_, cases)| cases()).collect();
    case::run_all(&cases);
}

#[test]
fn every_attempt_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for case in PARTS.iter().flat_map(|(_, cases)| cases()) {
        assert!(names.insert(case.name()), "{} is there twice", case.name());
    }
}

#[test]
fn the_index_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/README.md");
    let expected = index();
    if env::var_os(WRITE_ENV).is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "corpus/README.md is out of date: run `{WRITE_ENV}=1 cargo test -p portguard --test packets corpus`"
    );
}

fn index() -> String {
    let mut text = String::from(
        "# Attempts to get past the filter\n\n\
         Each is a frame or several, built by hand, with the policy that they meet and what must become of them: the\n\
         verdict, the one outcome that counts them, and what the table of drops by port counts. Most meet a policy of one\n\
         rule, `ssh`, which drops port 22; a rule is called by its name. The cases are in\n\
         `portguard/tests/packets/corpus/`, and every run of the tests sends them through the kernel's program. This\n\
         page is made from them.\n",
    );
    for (title, cases) in PARTS {
        write!(
            text,
            "\n## {title}\n\n| attempt | what it tries | what must become of it |\n|---|---|---|\n"
        )
        .unwrap();
        for case in cases() {
            writeln!(text, "{}", case.row()).unwrap();
        }
    }
    text
}
