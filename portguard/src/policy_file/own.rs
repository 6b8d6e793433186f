//! The drop-in that `portguard block` and `portguard open` write: each of their rules is a line of its own, the newest
//! first. What an administrator writes beside them stays as it is.

use crate::utc;

/// Its name. It comes first, so that what it says decides.
pub const NAME: &str = "00-portguard.yaml";

/// Its name from the folder of the policy file on.
pub const PATH: &str = "policy.d/00-portguard.yaml";

const EMPTY: &str = "\
# Written by `portguard block` and `portguard open`: each of their rules is a line, and a newer one comes first.
# `portguard open 25/tcp` takes a block of it back; so does removing its line. What else is written here stays.
version: 1
rules: []
";

/// What stands before the ports of a rule of ours.
const PORTS: &str = "ports: [";

/// What stands before the first rule.
const RULES: &str = "rules:";

/// The same where there is none.
const NO_RULES: &str = "rules: []";

/// What stands before the moment at which a rule ends, in its comment.
const UNTIL: &str = "until ";

/// What a rule of the drop-in does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `action: drop`
    Block,
    /// `action: pass`
    Open,
}

impl Verb {
    /// As it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Open => "open",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Block => "drop",
            Self::Open => "pass",
        }
    }
}

/// A rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRule {
    /// What it does.
    pub verb: Verb,
    /// Its name.
    pub name: String,
    /// Entries of `ports`.
    pub ports: Vec<String>,
    /// A prefix of the sources; `None` for all.
    pub from: Option<String>,
    /// When it ends, in seconds since 1970.
    pub until_s: Option<u64>,
}

impl OwnRule {
    fn line(&self) -> String {
        let Self {
            verb,
            name,
            ports,
            from,
            until_s,
        } = self;
        let action = verb.action();
        let mut line = format!(
            "  - {{ name: {name}, action: {action}, {PORTS}{}]",
            ports.join(", ")
        );
        if let Some(from) = from {
            line.push_str(&format!(", from: [\"{from}\"]"));
        }
        if let Some(until) = until_s {
            line.push_str(&format!(", comment: \"{UNTIL}{}\"", utc::text(*until)));
        }
        line.push_str(" }");
        line
    }
}

/// The drop-in does not have the form in which a rule can be put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has no line `rules:` of its own, before which and behind which nothing else stands")]
pub struct Unknown;

/// What a line of the drop-in says, if it has the form of a rule of ours: its verb and its name.
#[must_use]
pub fn of_line(line: &str) -> Option<(Verb, &str)> {
    let rest = line.trim().strip_prefix("- { name: ")?;
    let (name, rest) = rest.split_once(", ")?;
    let verb = [Verb::Block, Verb::Open]
        .into_iter()
        .find(|verb| name.starts_with(&format!("{}-", verb.name())))?;
    let begin = format!("action: {}, {PORTS}", verb.action());
    let is_whole = rest.ends_with(" }") && rest.starts_with(&begin);
    is_whole.then_some((verb, name))
}

/// When a rule ends by its comment, in seconds since 1970.
#[must_use]
pub fn until_s(comment: Option<&str>) -> Option<u64> {
    utc::parse(comment?.strip_prefix(UNTIL)?)
}

/// The text with a rule before all others.
///
/// # Errors
///
/// [`Unknown`]
pub fn with_first(text: Option<&str>, rule: &OwnRule) -> Result<String, Unknown> {
    let mut lines = lines(text.unwrap_or(EMPTY));
    let place = lines
        .iter()
        .position(|line| [RULES, NO_RULES].contains(&line.trim_end()));
    let place = place.ok_or(Unknown)?;
    lines[place] = RULES.to_owned();
    lines.insert(place + 1, rule.line());
    Ok(whole(&lines))
}

/// The text without a line, counted from 1, which is a rule.
#[must_use]
pub fn without(text: &str, line: usize) -> String {
    let mut lines = lines(text);
    if (1..=lines.len()).contains(&line) {
        lines.remove(line - 1);
    }
    if !lines.iter().any(|line| line.trim_start().starts_with('-')) {
        for line in lines.iter_mut().filter(|line| line.trim_end() == RULES) {
            NO_RULES.clone_into(line);
        }
    }
    whole(&lines)
}

/// The text with other ports on a line, counted from 1, which is a rule of ours.
#[must_use]
pub fn with_ports(text: &str, line: usize, ports: &[String]) -> String {
    let mut lines = lines(text);
    if let Some(line) = line.checked_sub(1).and_then(|place| lines.get_mut(place))
        && let Some((before, rest)) = line.split_once(PORTS)
        && let Some((_, after)) = rest.split_once(']')
    {
        *line = format!("{before}{PORTS}{}]{after}", ports.join(", "));
    }
    whole(&lines)
}

/// The text without the rules of ours that are over.
#[must_use]
pub fn without_expired(text: &str, now_s: u64) -> String {
    let mut text = text.to_owned();
    while let Some(line) = text.lines().position(|line| is_over(line, now_s)) {
        text = without(&text, line + 1);
    }
    text
}

/// When the first rule of ours ends, in seconds since 1970.
#[must_use]
pub fn next_end_s(text: &str) -> Option<u64> {
    text.lines().filter_map(end_of_line_s).min()
}

fn is_over(line: &str, now_s: u64) -> bool {
    end_of_line_s(line).is_some_and(|end| end <= now_s)
}

fn end_of_line_s(line: &str) -> Option<u64> {
    of_line(line)?;
    let (_, comment) = line.split_once(", comment: \"")?;
    until_s(comment.split('"').next())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn whole(lines: &[String]) -> String {
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, until_s: Option<u64>) -> OwnRule {
        OwnRule {
            verb: Verb::Block,
            name: name.into(),
            ports: vec!["25/tcp".into()],
            from: None,
            until_s,
        }
    }

    #[test]
    fn a_rule_comes_first_and_goes_again() {
        let first = with_first(None, &rule("block-25-tcp", None)).unwrap();
        let second = with_first(Some(&first), &rule("block-b", Some(1_767_225_600))).unwrap();
        let expected = "\
rules:
  - { name: block-b, action: drop, ports: [25/tcp], comment: \"until 2026-01-01T00:00:00Z\" }
  - { name: block-25-tcp, action: drop, ports: [25/tcp] }
";
        assert!(second.ends_with(expected), "{second}");
        assert_eq!(next_end_s(&second), Some(1_767_225_600));
        assert_eq!(without_expired(&second, 1_767_225_599), second);
        assert_eq!(without_expired(&second, 1_767_225_600), first);
        assert_eq!(without(&first, 5), EMPTY);
        let other = with_ports(&first, 5, &["26/tcp".into(), "27".into()]);
        assert!(other.ends_with("ports: [26/tcp, 27] }\n"), "{other}");
    }

    #[test]
    fn what_an_administrator_wrote_stays() {
        let text = "# mine\nversion: 1\nrules:\n  # why\n  - name: block-x\n    action: drop\n    ports: 1\n";
        let with = with_first(Some(text), &rule("block-25-tcp", Some(1))).unwrap();
        assert_eq!(with.lines().count(), text.lines().count() + 1);
        assert_eq!(without_expired(&with, 2), text);
        assert_eq!(
            with_first(
                Some("version: 1\nrules: [ ]\n"),
                &rule("block-25-tcp", None)
            ),
            Err(Unknown)
        );
    }

    #[test]
    fn only_lines_of_our_own_form_are_ours() {
        let line = rule("block-25-tcp", None).line();
        assert_eq!(of_line(&line), Some((Verb::Block, "block-25-tcp")));
        for other in [
            "  - { name: web, action: drop, ports: [25/tcp] }",
            "  - { name: block-25-tcp, action: pass, ports: [25/tcp] }",
            "  - { name: block-25-tcp, action: drop,",
            "  - name: block-25-tcp",
            "# - { name: block-25-tcp, action: drop, ports: [25/tcp] }",
        ] {
            assert_eq!(of_line(other), None, "{other}");
        }
    }
}
