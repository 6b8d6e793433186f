//! `ban`, `unban` and `bans`, printed.

use std::io::{self, Write};

use crate::cli::Format;
use crate::control::{BanInfo, Bans, Unbans};
use crate::exit::Outcome;
use crate::utc;

use super::{print, print_json, print_to_the_end};

/// Prints what became of a request to ban, what is refused on standard error.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn banned(made: &Bans) -> Outcome {
    aside(&made.notes);
    for refusal in &made.refused {
        tell(&format!("refused {}: {}", refusal.target, refusal.reason));
    }
    let mut parts = vec![format!("banned {}", made.new)];
    if made.prolonged > 0 {
        parts.push(format!("prolonged {}", made.prolonged));
    }
    if made.longer > 0 {
        parts.push(format!("{} banned as long already", made.longer));
    }
    if !made.refused.is_empty() {
        parts.push(format!("REFUSED {}", made.refused.len()));
    }
    print_to_the_end(|out| writeln!(out, "{}; {} in all", parts.join(", "), made.total))
}

/// Prints what became of a request to take bans back.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn unbanned(made: &Unbans) -> Outcome {
    aside(&made.notes);
    for target in &made.unknown {
        tell(&format!("note: {target} is not banned"));
    }
    print(|out| writeln!(out, "unbanned {}; {} in all", made.removed, made.total))
}

/// Prints the bans in force: for people a table, for programs one object.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn bans(bans: &[BanInfo], format: Format) -> Outcome {
    match format {
        Format::Json => print_json(&serde_json::json!({ "bans": bans })),
        Format::Text => print(|out| table(out, bans)),
    }
}

fn table(out: &mut impl Write, bans: &[BanInfo]) -> io::Result<()> {
    writeln!(
        out,
        "{:<24} {:>10}  {:<20}  REASON",
        "BANNED", "LEFT", "UNTIL (UTC)"
    )?;
    for ban in bans {
        let left = ban.remaining_ms.map_or_else(|| "-".to_owned(), time_left);
        let until = ban
            .until_unix_ms
            .map_or_else(|| "unbanned".to_owned(), |ms| utc::text(ms / 1_000));
        let reason = ban.reason.as_deref().map(escaped).unwrap_or_default();
        let line = format!("{:<24} {left:>10}  {until:<20}  {reason}", ban.target);
        writeln!(out, "{}", line.trim_end())?;
    }
    let plural = if bans.len() == 1 { "" } else { "s" };
    writeln!(out, "{} ban{plural}", bans.len())
}

fn aside(notes: &[String]) {
    for note in notes {
        tell(&format!("note: {note}"));
    }
}

fn tell(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(io::stderr(), "{line}");
}

/// A text of somebody else's, which may try to move the cursor or to turn the line around.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        let is_direction = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || is_direction || letter == '\\' {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Two units of time, the second rounded up, so that nothing that lasts shows 0.
fn time_left(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1_000);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    if days > 0 {
        format!("{days}d {}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_rounded_up() {
        for (milliseconds, text) in [
            (1, "1s"),
            (59_000, "59s"),
            (59_001, "1m 0s"),
            (3_599_999, "1h 0m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(time_left(milliseconds), text);
        }
    }

    #[test]
    fn a_reason_cannot_steer_the_terminal() {
        assert_eq!(escaped("tries passwords: é"), "tries passwords: é");
        assert_eq!(
            escaped("a\x1b[2J\r\n\u{9b}b\u{202e}\\"),
            "a\\u{1b}[2J\\r\\n\\u{9b}b\\u{202e}\\\\"
        );
    }

    #[test]
    fn a_table_has_a_line_for_each_ban() {
        let ban = |target: &str, remaining_ms, reason: Option<&str>| BanInfo {
            target: target.into(),
            remaining_ms,
            until_unix_ms: remaining_ms,
            reason: reason.map(str::to_owned),
        };
        let mut text = Vec::new();
        let bans = [
            ban("192.0.2.1", Some(60_000), Some("a\nb")),
            ban("2001:db8::/64", None, None),
        ];
        table(&mut text, &bans).expect("a vector takes all");
        let text = String::from_utf8(text).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "192.0.2.1                     1m 0s  1970-01-01T00:01:00Z  a\\nb"
        );
        assert_eq!(lines[2], "2001:db8::/64                     -  unbanned");
        assert_eq!(lines[3], "2 bans");
    }
}
