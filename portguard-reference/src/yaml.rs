//! A policy as text, in one of the many ways to write it.

use std::fmt::Display;

use crate::policy::{Action, Essential, Policy, Ports, Protocol, Rule, Verdict};
use crate::random::Random;

/// Writes a policy. Where the language leaves a choice, `random` makes it.
pub(crate) fn write(policy: &Policy, random: &mut Random) -> String {
    let usual = Policy::default();
    let mut lines = vec!["version: 1".to_owned()];
    // What is not said keeps its default; saying the default must mean the same.
    let mut key = |name: &str, value: &str, is_usual: bool| {
        if !is_usual || random.one_in(2) {
            lines.push(format!("{name}: {value}"));
        }
    };
    let verdicts = [
        ("default", policy.default, usual.default),
        ("non_ip", policy.non_ip, usual.non_ip),
        ("malformed", policy.malformed, usual.malformed),
        ("fragments", policy.fragments, usual.fragments),
    ];
    for (name, value, default) in verdicts {
        key(name, verdict(value), value == default);
    }
    let essential = match policy.essential {
        Essential::Pass => "pass",
        Essential::Rules => "rules",
    };
    key("essential", essential, policy.essential == usual.essential);
    let enforce = policy.enforce.to_string();
    key("enforce", &enforce, policy.enforce == usual.enforce);
    key("interfaces", "[eth0]", false);

    if policy.rules.is_empty() {
        lines.push("rules: []".to_owned());
    } else {
        lines.push("rules:".to_owned());
    }
    for rule in &policy.rules {
        write_rule(rule, random, &mut lines);
    }
    lines.join("\n") + "\n"
}

fn write_rule(rule: &Rule, random: &mut Random, lines: &mut Vec<String>) {
    let action = match rule.action {
        Action::Pass => "pass",
        Action::Drop => "drop",
    };
    let mut fields = vec![
        format!("name: {}", quoted(&rule.name, random)),
        format!("action: {action}"),
    ];
    if !rule.protocols.is_empty() {
        let entries: Vec<String> = rule.protocols.iter().map(protocol).collect();
        fields.push(format!("protocol: {}", list(&entries, random)));
    }
    if !rule.ports.is_empty() {
        let mut entries = Vec::new();
        for entry in &rule.ports {
            let ports = match entry.ports {
                Ports::Number(number) => number.to_string(),
                Ports::Range(low, high) => format!("{low}-{high}"),
                Ports::Service(service) => service.name().to_owned(),
                Ports::Any => "any".to_owned(),
            };
            let suffix = entry.suffix.map_or_else(String::new, |suffix| {
                format!("/{}", suffix.protocol().name())
            });
            entries.push(quoted(&format!("{ports}{suffix}"), random));
        }
        fields.push(format!("ports: {}", list(&entries, random)));
    }
    if !rule.enforce || random.one_in(8) {
        fields.push(format!("enforce: {}", rule.enforce));
    }
    if random.one_in(10) {
        fields.push("comment: \"means: nothing\"".to_owned());
    }
    // The order of the fields has no meaning.
    let first = random.below(fields.len());
    fields.rotate_left(first);
    if random.one_in(3) {
        lines.push(format!("  - {{ {} }}", fields.join(", ")));
    } else {
        lines.push(format!("  - {}", fields.join("\n    ")));
    }
}

/// A list, or a single entry without one.
fn list(entries: &[String], random: &mut Random) -> String {
    match entries {
        [single] if random.one_in(2) => single.clone(),
        entries => format!("[{}]", entries.join(", ")),
    }
}

fn quoted(text: &str, random: &mut Random) -> String {
    let quote = random.pick(&["", "", "\"", "'"]);
    format!("{quote}{text}{quote}")
}

fn protocol(protocol: &Protocol) -> String {
    let text: &dyn Display = match protocol {
        Protocol::Name(name) => &name.name(),
        Protocol::Number(number) => number,
        Protocol::Any => &"any",
    };
    text.to_string()
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Drop => "drop",
    }
}
