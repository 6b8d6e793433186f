//! What is known of the selected row.

use portguard_common::abi::Builtin;
use portguard_policy::catalogue::{Query, Search};
use portguard_policy::{PortRange, Transport};

use crate::observe::top::{Part, PartKind, Picture, Row, Subject, Top};

use super::super::ports::described;
use super::sources;
use super::table::short;

/// A heading, and labels with their texts.
pub(super) fn selected(top: &Top) -> (String, Vec<(String, String)>) {
    let view = top.view();
    let Some(row) = view.selected_row() else {
        return ("No row is selected".into(), Vec::new());
    };
    let picture = top.picture();
    if let Some(source) = picture.source(&row.subject) {
        return sources::explained(source, &picture.senders.sampled);
    }
    let mut entries = Vec::new();
    let mut say = |label: &str, text: String| entries.push((label.to_owned(), text));
    let heading = match &row.subject {
        Subject::Rule(name) => {
            say("action", action(row));
            format!("Rule {name}")
        }
        Subject::Outcome(name) => {
            say("meaning", meaning(name).into());
            format!("Outcome {name}")
        }
        Subject::Port { .. } => {
            say(
                "meaning",
                "packets that were dropped on their way to it".into(),
            );
            format!("Blocked port {}", row.subject)
        }
        Subject::Source(prefix) => format!("Source {prefix}"),
    };
    for part in &row.parts {
        for (label, text) in told(row, part) {
            say(label, text);
        }
    }
    say("share", share(row, picture));
    let history = picture.history.of(&row.subject);
    let highest = history.iter().copied().fold(0.0, f64::max);
    say(
        "highest",
        format!(
            "{} packets/s in the last {} samples",
            short(highest),
            history.len()
        ),
    );
    if let Subject::Port { port, protocol } = &row.subject {
        for (label, text) in known(*port, protocol) {
            say(label, text);
        }
    }
    (heading, entries)
}

fn action(row: &Row) -> String {
    match row.note.as_str() {
        "removed" => {
            "removed: the policy in force has no such rule; its counts are kept".to_owned()
        }
        action => action.to_owned(),
    }
}

/// A counter, with its rate.
fn told(row: &Row, part: &Part) -> [(&'static str, String); 2] {
    let (label, what) = match (part.kind, row.note.as_str()) {
        (PartKind::Decided, "limit") => ("total", "passed within its limit"),
        (PartKind::Decided, _) => ("total", ""),
        (PartKind::Limited, _) => ("limited", "dropped beyond its limit"),
        (PartKind::Shadow, _) => ("shadow", "that it would have dropped (`enforce: false`)"),
        (PartKind::Told, _) => ("told", "of which drop events tell"),
    };
    let space = if what.is_empty() { "" } else { " " };
    let (total, rate) = match part.bytes {
        Some((bytes, bytes_per_second)) => (
            format!("{} packets, {bytes} bytes{space}{what}", part.packets),
            format!(
                "{} packets/s, {} bytes/s",
                short(part.packets_per_second),
                short(bytes_per_second)
            ),
        ),
        None => (
            format!("{} packets{space}{what}", part.packets),
            format!("{} packets/s", short(part.packets_per_second)),
        ),
    };
    [(label, total), ("rate", rate)]
}

/// What a row is of all packets. What a rule only would have dropped is counted elsewhere.
fn share(row: &Row, picture: &Picture) -> String {
    let own = || {
        row.parts
            .iter()
            .filter(|part| part.kind != PartKind::Shadow)
    };
    let packets: u64 = own().map(|part| part.packets).sum();
    let rate: f64 = own().map(|part| part.packets_per_second).sum();
    let all = percent(packets as f64, picture.frames.packets as f64);
    let now = picture.rate.map_or(0.0, |rate| rate.packets_per_second);
    if now > 0.0 {
        let now = percent(rate, now);
        format!("{now} of the packets of this moment, {all} of all")
    } else {
        format!("{all} of all packets")
    }
}

pub(super) fn percent(part: f64, whole: f64) -> String {
    if whole <= 0.0 {
        return "0 %".into();
    }
    match part / whole * 100.0 {
        share if share > 0.0 && share < 0.1 => "under 0.1 %".into(),
        share => format!("{share:.1} %"),
    }
}

/// What it means that an outcome decided.
fn meaning(name: &str) -> &'static str {
    let builtin = Builtin::ALL.into_iter().find(|own| own.name() == name);
    match builtin {
        Some(Builtin::DefaultPass) => "no rule decided, and the policy says `default: pass`",
        Some(Builtin::DefaultDrop) => "no rule decided, and the policy says `default: drop`",
        Some(Builtin::Essential) => {
            "no rule decided, and a host falls off its network without such packets: they pass"
        }
        Some(Builtin::NonIp) => "frames without IP, such as ARP: by `non_ip` of the policy",
        Some(Builtin::LaterFragment) => {
            "fragments other than the first, which no rule decided: by `fragments` of the policy"
        }
        Some(Builtin::Trusted) => "the source is `trusted` by the policy: passed",
        Some(Builtin::Reply) => "would be dropped, but answers what this side has started: passed",
        Some(Builtin::Banned) => "the source is banned (`portguard bans`): dropped",
        None if name.starts_with("malformed:") => {
            "a header cannot be read, for the reason in the name: by `malformed` of the policy"
        }
        None => "this version of `portguard top` does not know it",
    }
}

/// What the catalogue says of a port.
fn known(port: Option<u16>, protocol: &str) -> Vec<(&'static str, String)> {
    let Some(port) = port else {
        return vec![(
            "port",
            "none: later fragments, or a protocol without ports".into(),
        )];
    };
    let range = PortRange {
        low: port,
        high: port,
    };
    let search = Search {
        query: Some(Query::Ports(range, Transport::from_name(protocol))),
        ..Search::default()
    };
    let found = search.run().entries;
    if found.is_empty() {
        return vec![("port", "the catalogue knows nothing of it".into())];
    }
    found.into_iter().flat_map(described).collect()
}
