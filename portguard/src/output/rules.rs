//! `rules`, printed.

use std::io::{self, Write};
use std::path::Path;

use super::{print, print_json};
use crate::cli::Format;
use crate::control::{RuleInfo, Rules};
use crate::exit::Outcome;
use crate::utc;

/// Prints the rules in force, for people as a table, for programs as one object on one line.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn rules(rules: &Rules, format: Format) -> Outcome {
    match format {
        Format::Json => print_json(rules),
        Format::Text => print(|out| table(out, rules)),
    }
}

fn table(out: &mut impl Write, rules: &Rules) -> io::Result<()> {
    let rows: Vec<[String; 5]> = rules.rules.iter().map(|rule| row(rules, rule)).collect();
    let heading = ["RULE", "ACTION", "HITS", "PLACE", "MATCHES"].map(str::to_owned);
    let widths: Vec<usize> = (0..4)
        .map(|column| {
            let cells = rows.iter().chain([&heading]);
            let widths = cells.map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        })
        .collect();
    for [name, action, hits, place, matches] in [&heading].into_iter().chain(&rows) {
        writeln!(
            out,
            "{name:<0$}  {action:<1$}  {hits:>2$}  {place:<3$}  {matches}",
            widths[0], widths[1], widths[2], widths[3]
        )?;
    }
    writeln!(out, "else    {}, by `default: {0}`", rules.default)?;
    if !rules.enforce {
        writeln!(out, "`enforce: false`: nothing is dropped, all is counted")?;
    }
    Ok(())
}

fn row(rules: &Rules, rule: &RuleInfo) -> [String; 5] {
    let mut action = rule.action.clone();
    let mut hits = rule.count.packets;
    if !rule.enforce {
        action.push_str(" (only counts)");
        hits = rule.shadow.packets;
    }
    let mut hits = hits.to_string();
    if rule.limited.packets > 0 {
        hits.push_str(&format!("+{} over", rule.limited.packets));
    }
    let mut matches = rule.matches.clone();
    if let Some(until) = rule.until_unix_s {
        matches.push_str(&format!(" (until {})", utc::text(until)));
    } else if let Some(comment) = &rule.comment {
        let comment: Vec<&str> = comment.split_whitespace().collect();
        matches.push_str(&format!(" \"{}\"", comment.join(" ")));
    }
    [
        rule.name.clone(),
        action,
        hits,
        format!("{}:{}", place(&rules.policy, &rule.file), rule.line),
        matches,
    ]
}

/// A file, from the folder of the policy file on.
fn place(policy: &Path, file: &Path) -> String {
    let folder = policy.parent().unwrap_or(Path::new(""));
    let short = file.strip_prefix(folder).unwrap_or(file);
    short.display().to_string()
}
