//! `ports`, printed.

use std::io::Write as _;

use portguard_policy::catalogue::{Abuse, Class, Entry, Found, Query, Search};
use serde::Serialize;

use super::text::{WIDTH, entry};
use super::{print, print_json_pretty};
use crate::cli::Format;
use crate::exit::Outcome;

/// So many ports that a query finds are told in full.
const IN_FULL: usize = 8;

/// What is found, for programs.
#[derive(Serialize)]
struct Printed<'f> {
    entries: Vec<PrintedEntry>,
    related: Vec<PrintedEntry>,
    nearest: &'f [String],
}

#[derive(Serialize)]
struct PrintedEntry {
    port: u16,
    protocols: Vec<&'static str>,
    /// The name of a policy; `null` where it writes the number.
    service: Option<&'static str>,
    aliases: &'static [&'static str],
    class: &'static str,
    purpose: &'static str,
    abuse: Vec<PrintedAbuse>,
    advice: &'static str,
    why: &'static str,
    profiles: &'static [&'static str],
}

#[derive(Serialize)]
struct PrintedAbuse {
    name: &'static str,
    year: Option<u16>,
    text: &'static str,
}

/// Prints what is found; where that is nothing, only for programs.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output cannot be written to.
pub fn ports(search: &Search, found: &Found, format: Format) -> Outcome {
    if format == Format::Json {
        return print_json_pretty(&for_programs(found));
    }
    print(|out| {
        let lines = for_people(search, found);
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    })
}

/// Says that nothing is found, why, and what may have been meant.
pub fn nothing_found(search: &Search, found: &Found) -> String {
    let narrowed = [
        search
            .profile
            .as_ref()
            .map(|name| format!("profile `{name}`")),
        search.class.map(|class| format!("class {}", class.name())),
    ];
    let narrowed: Vec<String> = narrowed.into_iter().flatten().collect();
    let within = narrowed.join(" and ");
    let Some(query) = &search.query else {
        return format!("the catalogue has no port of {within}");
    };
    let whole = Search {
        query: Some(query.clone()),
        ..Search::default()
    };
    if !narrowed.is_empty() && !whole.run().entries.is_empty() {
        return format!("the catalogue knows `{query}`, but not in {within}");
    }
    match query {
        Query::Ports(range, transport) => {
            let any = Search {
                query: Some(Query::Ports(*range, None)),
                ..Search::default()
            };
            let others = any.run().entries;
            if transport.is_some() && !others.is_empty() {
                let others: Vec<String> = others.into_iter().map(short).collect();
                return format!(
                    "the catalogue has no `{query}`, but {}",
                    others.join(" and ")
                );
            }
            if range.low < range.high {
                return format!("the catalogue has no port in `{query}`");
            }
            let class = Class::of(range.low);
            let (low, high) = class.bounds();
            format!(
                "the catalogue has no port `{query}`: it is a {} one ({low}-{high}), and nothing is known of it",
                class.name()
            )
        }
        Query::Words(..) => {
            let near: Vec<String> = found.nearest.iter().map(|own| format!("`{own}`")).collect();
            let hint = match near.as_slice() {
                [] => String::new(),
                [one] => format!("; did you mean {one}?"),
                [others @ .., last] => format!("; did you mean {} or {last}?", others.join(", ")),
            };
            format!(
                "the catalogue has no service `{query}`, and no purpose or threat with these words{hint}"
            )
        }
    }
}

fn for_programs(found: &Found) -> Printed<'_> {
    let printed = |entries: &[&'static Entry]| entries.iter().copied().map(printed).collect();
    Printed {
        entries: printed(&found.entries),
        related: printed(&found.related),
        nearest: &found.nearest,
    }
}

fn printed(entry: &'static Entry) -> PrintedEntry {
    let abuse = entry.abuse.iter().map(|own| PrintedAbuse {
        name: own.name,
        year: own.year,
        text: own.text,
    });
    PrintedEntry {
        port: entry.port,
        protocols: entry.transports.iter().map(|own| own.name()).collect(),
        service: entry.service,
        aliases: &entry.aliases,
        class: entry.class().name(),
        purpose: entry.purpose,
        abuse: abuse.collect(),
        advice: entry.advice.name(),
        why: entry.why,
        profiles: &entry.profiles,
    }
}

fn for_people(search: &Search, found: &Found) -> Vec<String> {
    let entries = &found.entries;
    if entries.is_empty() {
        return Vec::new();
    }
    if search.query.is_none() || entries.len() > IN_FULL {
        return table(entries);
    }
    let mut lines = Vec::new();
    for own in entries {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(in_full(own));
    }
    if !found.related.is_empty() {
        let related: Vec<String> = found.related.iter().copied().map(short).collect();
        lines.push(String::new());
        lines.push(entry("see also", &related.join(", ")));
    }
    lines
}

fn in_full(own: &Entry) -> Vec<String> {
    let described = described(own).into_iter();
    described.map(|(label, text)| entry(label, &text)).collect()
}

/// All that is known of a port: labels and their texts.
pub(super) fn described(own: &Entry) -> Vec<(&'static str, String)> {
    let name = match (own.service, own.aliases.as_slice()) {
        (None, _) => String::new(),
        (Some(name), []) => format!(" {name}"),
        (Some(name), aliases) => format!(" {name} ({})", aliases.join(", ")),
    };
    let (low, high) = own.class().bounds();
    let mut entries = vec![
        ("port", format!("{}{name}", number(own))),
        ("class", format!("{} ({low}-{high})", own.class().name())),
        ("purpose", own.purpose.to_owned()),
    ];
    for (index, abuse) in own.abuse.iter().enumerate() {
        let label = if index == 0 { "abuse" } else { "" };
        entries.push((label, told(abuse)));
    }
    let advice = format!("{}: {}", own.advice.name(), own.why);
    entries.push(("advice", advice));
    if !own.profiles.is_empty() {
        entries.push(("profiles", own.profiles.join(", ")));
    }
    entries
}

fn told(abuse: &Abuse) -> String {
    match abuse.year {
        Some(year) => format!("{} ({year}): {}", abuse.name, abuse.text),
        None => format!("{}: {}", abuse.name, abuse.text),
    }
}

/// `445/tcp,udp`
fn number(own: &Entry) -> String {
    let transports: Vec<&str> = own.transports.iter().map(|own| own.name()).collect();
    format!("{}/{}", own.port, transports.join(","))
}

/// `445/tcp,udp (microsoft-ds)`
fn short(own: &Entry) -> String {
    match own.service {
        Some(name) => format!("{} ({name})", number(own)),
        None => number(own),
    }
}

/// One line a port, in 80 columns.
fn table(entries: &[&'static Entry]) -> Vec<String> {
    let mut rows = vec![[
        "PORT".to_owned(),
        "SERVICE".to_owned(),
        "ADVICE".to_owned(),
        "PURPOSE".to_owned(),
    ]];
    rows.extend(entries.iter().map(|own| {
        [
            number(own),
            own.service.unwrap_or("-").to_owned(),
            own.advice.name().to_owned(),
            own.purpose.to_owned(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (port, service, advice) = (width(0), width(1), width(2));
    let mut lines: Vec<String> = rows
        .iter()
        .map(|[number, name, word, purpose]| {
            cut(&format!(
                "{number:<port$}  {name:<service$}  {word:<advice$}  {purpose}"
            ))
        })
        .collect();
    let count = match entries.len() {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    lines.push(String::new());
    lines.push(format!("{count}; `portguard ports PORT` tells more of one"));
    lines
}

/// A line that fits, with dots where something is left out.
fn cut(line: &str) -> String {
    const DOTS: &str = "...";
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let kept: String = line.chars().take(WIDTH - DOTS.len()).collect();
    kept.trim_end().to_owned() + DOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_not_cut() {
        let line = "x".repeat(WIDTH);
        assert_eq!(cut(&line), line);
        assert_eq!(
            cut(&format!("{line}y")),
            format!("{}...", &line[..WIDTH - 3])
        );
    }
}
