//! The text of a policy.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::finding::{Finding, Kind};
use crate::model::Rate;
use crate::plan::{Plan, Planned};
use crate::walk::Decided;

/// From how many addresses on a list becomes a set, which costs nothing when it is used again.
const LONG_LIST: usize = 8;

/// Writes a policy. `what` says what it was made from.
pub(crate) fn write(plan: &Plan, interfaces: &[String], what: &str) -> String {
    let mut text = String::new();
    head(&mut text, plan, what);
    let mut sets = Sets::default();
    let mut rules = String::new();
    for rule in &plan.rules {
        write_rule(&mut rules, rule, &mut sets);
    }
    let quoted: Vec<String> = interfaces.iter().map(|name| quoted(name)).collect();
    // Writing to a string cannot fail.
    let _ok = write!(
        text,
        "version: 1\ninterfaces: [{}]\ndefault: {}\nreplies: {}\n\
         # Rules of the original decide what the neighbourhood of the host needs, too.\nessential: rules\n",
        quoted.join(", "),
        if plan.default_drop { "drop" } else { "pass" },
        if plan.replies { "pass" } else { "rules" },
    );
    text.push_str(&sets.text());
    if rules.is_empty() {
        text.push_str("rules: []\n");
    } else {
        text.push_str("rules:\n");
        text.push_str(&rules);
    }
    text
}

fn head(text: &mut String, plan: &Plan, what: &str) {
    comment(
        text,
        "",
        &format!("Made by `portguard import` from {what}."),
    );
    if plan.findings.is_empty() {
        comment(text, "", "It does what the original does.");
    }
    for kind in Kind::ALL {
        let own: Vec<&Finding> = plan
            .findings
            .iter()
            .filter(|own| own.kind == kind)
            .collect();
        if own.is_empty() {
            continue;
        }
        let title = match kind {
            Kind::Wider => "WIDER than the original:",
            Kind::Stricter => "Stricter than the original:",
            Kind::Note => "To know:",
        };
        text.push_str("#\n");
        comment(text, "", title);
        for finding in own {
            for line in finding.to_string().lines() {
                comment(text, "  ", line);
            }
        }
    }
    text.push('\n');
}

/// A comment of one line: whatever would end it is taken out.
fn comment(text: &mut String, indent: &str, line: &str) {
    let clean: String = line
        .chars()
        .map(|own| if own.is_control() { ' ' } else { own })
        .collect();
    text.push_str(format!("# {indent}{clean}").trim_end());
    text.push('\n');
}

fn write_rule(text: &mut String, rule: &Planned, sets: &mut Sets) {
    let place = if rule.origin.line > 0 {
        format!("{}:{}: ", rule.origin.file, rule.origin.line)
    } else {
        String::new()
    };
    text.push_str("  ");
    comment(text, "", &format!("{place}{}", rule.origin.text));
    let mut line = |key: &str, value: &str| {
        let start = if key == "name" { "  - " } else { "    " };
        // As above.
        let _ok = writeln!(text, "{start}{key}: {value}");
    };
    line("name", &quoted(&rule.name));
    line(
        "action",
        match rule.decided {
            Decided::Pass => "pass",
            Decided::Drop => "drop",
            Decided::Reject => "reject",
            Decided::Limit(_) => "limit",
        },
    );
    let fields = &rule.fields;
    for (key, values) in [
        ("protocol", &fields.protocol),
        ("ports", &fields.ports),
        ("source_ports", &fields.source_ports),
        ("types", &fields.types),
    ] {
        if !values.is_empty() {
            line(key, &list(values));
        }
    }
    for (key, values) in [("from", &fields.from), ("to", &fields.to)] {
        if !values.is_empty() {
            line(key, &sets.list(values));
        }
    }
    if !fields.interfaces.is_empty() {
        line("interfaces", &list(&fields.interfaces));
    }
    if let Decided::Limit(rate) = rule.decided {
        let Rate {
            count,
            per_minute,
            burst,
            per_source,
        } = rate;
        line(
            "rate",
            &format!("{count}/{}", if per_minute { "m" } else { "s" }),
        );
        line("burst", &burst.to_string());
        line("per", if per_source { "source" } else { "rule" });
    }
}

fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| scalar(value)).collect();
    match &values[..] {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Plain where nothing in it can be read as something else.
fn scalar(value: &str) -> String {
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"./-".contains(&byte));
    if plain {
        value.to_owned()
    } else {
        quoted(value)
    }
}

fn quoted(value: &str) -> String {
    let mut text = String::from('"');
    for own in value.chars() {
        match own {
            '"' | '\\' => text.extend(['\\', own]),
            own if own.is_control() => text.push(' '),
            own => text.push(own),
        }
    }
    text.push('"');
    text
}

/// Long lists of addresses, each once.
#[derive(Default)]
struct Sets {
    names: BTreeMap<Vec<String>, usize>,
}

impl Sets {
    fn list(&mut self, values: &[String]) -> String {
        if values.len() < LONG_LIST {
            return list(values);
        }
        let next = self.names.len() + 1;
        let number = self.names.entry(values.to_vec()).or_insert(next);
        format!("$addresses-{number}")
    }

    fn text(&self) -> String {
        let mut by_number: Vec<_> = self
            .names
            .iter()
            .map(|(values, number)| (number, values))
            .collect();
        by_number.sort();
        let mut text = String::new();
        if !by_number.is_empty() {
            text.push_str("sets:\n");
        }
        for (number, values) in by_number {
            let values: Vec<String> = values.iter().map(|value| scalar(value)).collect();
            // As above.
            let _ok = writeln!(text, "  addresses-{number}: [{}]", values.join(", "));
        }
        text
    }
}
