//! What to ban or unban, from the command line and from standard input.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use portguard_policy::BanTarget;

use crate::cli;
use crate::exit::{Failure, Outcome};

/// Mistakes that are shown; the rest is counted.
const SHOWN: usize = 20;

/// An address or a prefix that was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// What it stands for.
    pub(super) target: BanTarget,
    /// The time behind it, of a line that has one.
    pub(super) time: Option<Duration>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) named: Vec<Named>,
    /// What is legal but probably not meant.
    pub(super) notes: Vec<String>,
    mistakes: Vec<String>,
}

impl Targets {
    /// Reads all arguments; `-` is standard input.
    pub(super) fn read(arguments: &[String]) -> Outcome<Self> {
        let mut targets = Self::default();
        for argument in arguments {
            if argument == "-" {
                let text = io::read_to_string(io::stdin())
                    .context("cannot read standard input")
                    .map_err(Failure::system)?;
                targets.lines(&text);
            } else {
                targets.entry(argument, None, "");
            }
        }
        match targets.mistakes.len() {
            0 => Ok(targets),
            count => {
                let mut shown = targets.mistakes;
                shown.truncate(SHOWN);
                if count > SHOWN {
                    shown.push(format!("and {} more mistakes", count - SHOWN));
                }
                Err(Failure::usage(anyhow!(
                    "{}\nnothing was changed",
                    shown.join("\n")
                )))
            }
        }
    }

    fn lines(&mut self, text: &str) {
        for (number, line) in (1..).zip(text.lines()) {
            let entry = line.split('#').next().unwrap_or_default();
            let mut words = entry.split_whitespace();
            let Some(target) = words.next() else {
                continue;
            };
            let place = format!("line {number}: ");
            match (words.next(), words.next()) {
                (None, _) => self.entry(target, None, &place),
                (Some(time), None) => match cli::parse_ban_time(time) {
                    Ok(time) => self.entry(target, Some(time), &place),
                    Err(error) => self.mistakes.push(format!("{place}`{time}`: {error}")),
                },
                (Some(_), Some(_)) => self.mistakes.push(format!(
                    "{place}`{}`: an address or a prefix is expected, then perhaps a time, like `192.0.2.1 1h`",
                    entry.trim()
                )),
            }
        }
    }

    fn entry(&mut self, text: &str, time: Option<Duration>, place: &str) {
        match BanTarget::parse(text) {
            Ok((target, is_masked)) => {
                if is_masked {
                    let note = format!("{place}`{text}` is taken for {target}");
                    self.notes.push(note);
                }
                self.named.push(Named { target, time });
            }
            Err(error) => self.mistakes.push(format!("{place}{error}")),
        }
    }
}

/// Adds the notes of a further answer, each once.
pub(super) fn add_notes(notes: &mut Vec<String>, more: Vec<String>) {
    for note in more {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Targets {
        let mut targets = Targets::default();
        targets.lines(text);
        targets
    }

    #[test]
    fn a_line_is_a_target_and_perhaps_a_time() {
        let text = "# all of them\n\n192.0.2.1\n  2001:db8::1 10m # one\r\n198.51.100.7/24\t1h\n";
        let targets = read(text);
        let named = targets.named.iter();
        let named: Vec<_> = named
            .map(|named| {
                (
                    named.target.to_string(),
                    named.time.map(|time| time.as_secs()),
                )
            })
            .collect();
        let expected = [
            ("192.0.2.1", None),
            ("2001:db8::/64", Some(600)),
            ("198.51.100.0/24", Some(3600)),
        ];
        assert_eq!(
            named,
            expected.map(|(target, time)| (target.to_owned(), time))
        );
        assert_eq!(
            targets.notes,
            ["line 5: `198.51.100.7/24` is taken for 198.51.100.0/24"]
        );
        assert!(targets.mistakes.is_empty());
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let targets = read("1.2.3\n192.0.2.1 soon\n192.0.2.2 1h 2h\n192.0.2.3\n");
        assert_eq!(targets.named.len(), 1);
        let begins: Vec<_> = targets.mistakes.iter().map(|line| &line[..7]).collect();
        assert_eq!(begins, ["line 1:", "line 2:", "line 3:"]);
    }
}
