//! A policy as text, in one of the many ways to write it.

mod rules;
mod values;

use crate::generate::Kind;
use crate::policy::{Essential, Fragments, Policy, Replies, Set, SetPlace, Verdict};
use crate::random::Random;
use values::{list, pattern, prefix, prefix_line, rate};

/// A policy in writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The YAML document.
    pub text: String,
    /// Files that it names: path relative to the document, and content.
    pub files: Vec<(String, String)>,
}

/// Writes a policy. Where the language leaves a choice, `random` makes it.
pub(crate) fn write(policy: &Policy, kind: Kind, random: &mut Random) -> Written {
    let usual = Policy::default();
    let mut lines = vec!["version: 1".to_owned()];
    // What is not said keeps its default; saying the default must mean the same.
    let mut key = |name: &str, value: &str, is_usual: bool, random: &mut Random| {
        if !is_usual || random.one_in(2) {
            lines.push(format!("{name}: {value}"));
        }
    };
    let verdicts = [
        ("default", policy.default, usual.default),
        ("non_ip", policy.non_ip, usual.non_ip),
        ("malformed", policy.malformed, usual.malformed),
    ];
    for (name, value, default) in verdicts {
        key(name, verdict(value), value == default, random);
    }
    let fragments = match policy.fragments {
        Fragments::Pass => "pass".to_owned(),
        Fragments::Drop => "drop".to_owned(),
        Fragments::Rate(fragments) => format!("{{ rate: {} }}", rate(fragments)),
    };
    let is_usual = policy.fragments == usual.fragments;
    key("fragments", &fragments, is_usual, random);
    let essential = match policy.essential {
        Essential::Pass => "pass",
        Essential::Rules => "rules",
    };
    let is_usual = policy.essential == usual.essential;
    key("essential", essential, is_usual, random);
    let enforce = policy.enforce.to_string();
    key("enforce", &enforce, policy.enforce == usual.enforce, random);
    let interfaces: Vec<String> = policy
        .interfaces
        .iter()
        .map(|name| pattern(name, random))
        .collect();
    let interfaces = format!("[{}]", interfaces.join(", "));
    key("interfaces", &interfaces, false, random);

    let mut files = Vec::new();
    if kind == Kind::Full {
        let replies = match policy.replies {
            Replies::Pass => "pass",
            Replies::Rules => "rules",
        };
        key("replies", replies, policy.replies == usual.replies, random);
        write_trusted(policy, random, &mut lines);
        write_services(policy, random, &mut lines);
        files = write_sets(&policy.sets, random, &mut lines);
    }

    if policy.rules.is_empty() {
        lines.push("rules: []".to_owned());
    } else {
        lines.push("rules:".to_owned());
    }
    for rule in &policy.rules {
        rules::write(rule, random, &mut lines);
    }
    Written {
        text: lines.join("\n") + "\n",
        files,
    }
}

fn write_trusted(policy: &Policy, random: &mut Random, lines: &mut Vec<String>) {
    if policy.trusted.is_empty() {
        return;
    }
    lines.push("trusted:".to_owned());
    for entry in &policy.trusted {
        let from: Vec<String> = entry
            .from
            .iter()
            .map(|&source| prefix(source, random))
            .collect();
        let text = match (from.as_slice(), entry.interfaces.is_empty()) {
            ([single], true) if !random.one_in(3) => single.clone(),
            (from, true) => format!("{{ from: {} }}", list(from, random)),
            (from, false) => {
                let from = list(from, random);
                let names: Vec<String> = entry
                    .interfaces
                    .iter()
                    .map(|name| pattern(name, random))
                    .collect();
                format!("{{ from: {from}, interfaces: {} }}", list(&names, random))
            }
        };
        lines.push(format!("  - {text}"));
    }
}

fn write_services(policy: &Policy, random: &mut Random, lines: &mut Vec<String>) {
    let entries: Vec<String> = policy
        .services
        .iter()
        .map(|service| {
            let ports: Vec<String> = service
                .transports()
                .iter()
                .map(|transport| format!("{}/{}", service.port(), transport.protocol().name()))
                .collect();
            format!("{}: {}", service.name(), list(&ports, random))
        })
        .collect();
    if !entries.is_empty() {
        lines.push(format!("services: {{ {} }}", entries.join(", ")));
    }
}

/// The answer are the files of those sets that have one.
fn write_sets(sets: &[Set], random: &mut Random, lines: &mut Vec<String>) -> Vec<(String, String)> {
    let mut files = Vec::new();
    if !sets.is_empty() {
        lines.push("sets:".to_owned());
    }
    for set in sets {
        let name = &set.name;
        match set.place {
            SetPlace::Inline => {
                let entries: Vec<String> = set
                    .prefixes
                    .iter()
                    .map(|&member| prefix(member, random))
                    .collect();
                lines.push(format!("  {name}: [{}]", entries.join(", ")));
            }
            SetPlace::File => {
                let path = format!("{name}.txt");
                let allow = match (set.prefixes.is_empty(), random.one_in(4)) {
                    (true, _) => ", allow_empty: true",
                    (false, true) => ", allow_empty: false",
                    (false, false) => "",
                };
                lines.push(format!("  {name}: {{ file: {path}{allow} }}"));
                let mut content = vec!["# members".to_owned()];
                for &member in &set.prefixes {
                    let comment = random.pick(&["", "", " # a comment", "  "]);
                    content.push(prefix_line(member, random) + comment);
                    if random.one_in(4) {
                        content.push(random.pick(&["", "#", "# 192.0.2.77"]).to_owned());
                    }
                }
                let end = random.pick(&["\n", "\n\n", ""]);
                files.push((path, content.join("\n") + end));
            }
        }
    }
    files
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Drop => "drop",
    }
}
