//! The policy as text.

use portguard_policy::{PortRange, Prefix, Transport};

use super::super::audit::Facts;
use super::{Choice, Service, Wishes};

/// Columns of a comment.
const WIDTH: usize = 100;

pub(super) fn policy(facts: &Facts<'_>, wishes: &Wishes<'_>, services: Vec<Service>) -> String {
    let mut lines = head(facts, wishes);
    lines.push("rules:".into());
    let (open, closed): (Vec<Service>, Vec<Service>) = services
        .into_iter()
        .partition(|own| !matches!(own.choice, Choice::Leave(_)));
    for own in open {
        let from = match &own.choice {
            Choice::PassFrom(prefixes) => Some(list(prefixes)),
            _ => None,
        };
        lines.extend(about(&own));
        if from.is_some() {
            lines.extend(comment("  ", "only those who were seen may come"));
        }
        lines.extend(rule(&own, from.as_deref(), "  "));
        lines.push(String::new());
    }
    lines.extend(PING.iter().map(|line| (*line).to_owned()));
    if !closed.is_empty() {
        lines.push(String::new());
        lines.extend(comment(
            "  ",
            "Closed, as all that no rule passes. Take the marks away from what is meant:",
        ));
    }
    for own in closed {
        let Choice::Leave(reason) = &own.choice else {
            continue;
        };
        lines.push(String::new());
        lines.extend(about(&own));
        lines.extend(comment("  ", reason));
        lines.extend(rule(&own, Some("[NETWORK OF ITS CLIENTS]"), "  # "));
    }
    lines.extend(promises(wishes));
    lines.join("\n") + "\n"
}

const PING: [&str; 6] = [
    "  # whether the host is there, for whoever looks after it",
    "  - name: ping",
    "    action: limit",
    "    protocol: [icmp, icmpv6]",
    "    types: [echo-request]",
    "    rate: 20/s",
];

fn head(facts: &Facts<'_>, wishes: &Wishes<'_>) -> Vec<String> {
    let how = match wishes.seen {
        None => "from what listens on this host",
        Some(_) => {
            "from what listens on this host, and from the connections that were seen while it was watched"
        }
    };
    let mut lines = comment(
        "",
        &format!(
            "Suggested by `portguard suggest`, {how}. Nothing is in force by it: read it, then try it with `portguard apply FILE --confirm 60s`."
        ),
    );
    if wishes.seen.is_some() {
        lines.extend(comment("", "Who asks over UDP cannot be seen: whether somebody uses such a service, you have to know."));
    }
    if facts.forwards {
        lines.extend(comment("", "This host forwards packets for others: `default: drop` also drops what no rule here passes to them."));
    }
    let interfaces: Vec<String> = wishes.interfaces.iter().map(|own| quoted(own)).collect();
    lines.push("version: 1".into());
    lines.push(format!("interfaces: [{}]", interfaces.join(", ")));
    lines.push("default: drop".into());
    lines.push("# answers to what this host asks pass".into());
    lines.push("replies: pass".into());
    lines.push(
        "# so does what the network itself needs: neighbour discovery, path MTU, DHCP".into(),
    );
    lines.push("essential: pass".into());
    lines
}

/// What the policy has to keep: the session of whoever asks.
fn promises(wishes: &Wishes<'_>) -> Vec<String> {
    let own: Vec<String> = wishes
        .sessions
        .iter()
        .filter(|session| session.own)
        .map(|session| {
            let peer = session.peer.ip();
            format!("  - pass: \"tcp {peer} -> :{}\"", session.local.port())
        })
        .collect();
    if own.is_empty() {
        return Vec::new();
    }
    let head = [
        String::new(),
        "# refused if it would cut the SSH session from which it was asked for".to_owned(),
        "assert:".to_owned(),
    ];
    head.into_iter().chain(own).collect()
}

fn about(own: &Service) -> Vec<String> {
    let mut lines = Vec::new();
    let ports: Vec<String> = own.ports.iter().map(port).collect();
    for (place, text) in own.about.iter().enumerate() {
        let text = if place == 0 {
            format!("{}: {text}", ports.join(", "))
        } else {
            text.clone()
        };
        lines.extend(comment("  ", &text));
    }
    lines
}

fn rule(own: &Service, from: Option<&str>, indent: &str) -> Vec<String> {
    let ports: Vec<String> = own.ports.iter().map(port).collect();
    let mut lines = vec![
        format!("{indent}- name: {}", own.name),
        format!("{indent}  action: pass"),
        format!("{indent}  ports: [{}]", ports.join(", ")),
    ];
    lines.extend(from.map(|from| format!("{indent}  from: {from}")));
    lines
}

fn port((transport, range): &(Transport, PortRange)) -> String {
    format!("{range}/{transport}")
}

fn list(prefixes: &[Prefix]) -> String {
    let prefixes: Vec<String> = prefixes
        .iter()
        .map(|own| quoted(&own.to_string()))
        .collect();
    format!("[{}]", prefixes.join(", "))
}

/// In quotes where YAML would read something else.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "./-_".contains(letter);
    if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// A comment in lines that fit. A process may have any name: what is no letter of a line is replaced.
fn comment(indent: &str, text: &str) -> Vec<String> {
    let clean: String = text
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    let mut lines: Vec<String> = Vec::new();
    for word in clean.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}# {word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stays_one_whatever_is_in_it() {
        let lines = comment(
            "  ",
            &format!("evil\n- name: x\u{2028}\0 {}", "word ".repeat(60)),
        );
        assert!(
            lines.iter().all(|line| line.starts_with("  # ")),
            "{lines:?}"
        );
        assert!(
            lines.iter().all(|line| line.chars().count() <= WIDTH),
            "{lines:?}"
        );
        assert!(lines[0].starts_with("  # evil?- name: x"), "{lines:?}");
    }

    #[test]
    fn what_yaml_would_read_otherwise_is_quoted() {
        assert_eq!(quoted("192.0.2.0/24"), "192.0.2.0/24");
        assert_eq!(quoted("2001:db8::/64"), "\"2001:db8::/64\"");
        assert_eq!(quoted("wan*"), "\"wan*\"");
        assert_eq!(quoted("default-route"), "default-route");
    }
}
