//! A set in a file of its own: an address or a prefix a line, `#` starts a comment.

use crate::addresses::Ranges;
use crate::prefix::{self, Written};
use crate::problem::{self, Excerpt, Problem, Problems, Span};

/// Bytes of a line that are shown.
const SHOWN: usize = 200;

/// Byte order mark of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a set from the content of a file. `named` is where the policy names it.
pub(crate) fn read(file: &str, content: &[u8], named: Span, problems: &mut Problems) -> Ranges {
    let mut ranges = Ranges::default();
    let mut masked = Masked::default();
    let content = content.strip_prefix(MARK).unwrap_or(content);
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let comment = line.iter().position(|byte| *byte == b'#');
        let entry = line[..comment.unwrap_or(line.len())].trim_ascii();
        if entry.is_empty() {
            continue;
        }
        let place = Place {
            file,
            named,
            number: number + 1,
            line,
            entry,
        };
        match prefix::parse(entry) {
            Some(written) => {
                ranges.push(written.prefix);
                if written.masked {
                    masked.add(&place, written);
                }
            }
            None => {
                problems.push(refused(&place));
                if problems.is_full() {
                    break;
                }
            }
        }
    }
    masked.warn(problems);
    ranges
}

/// An entry of a file and where it stands.
struct Place<'f> {
    file: &'f str,
    named: Span,
    number: usize,
    line: &'f [u8],
    entry: &'f [u8],
}

impl Place<'_> {
    /// The entry within its line, and the line. What is no UTF-8 is shown as such.
    fn shown(&self) -> (Span, Excerpt) {
        let indent = self.line.len() - self.line.trim_ascii_start().len();
        let cut = &self.line[..self.line.len().min(SHOWN)];
        let text = String::from_utf8_lossy(cut.trim_ascii_end()).into_owned();
        let start = indent.min(text.len());
        let entry = String::from_utf8_lossy(self.entry).len();
        let span = Span {
            text: self.named.text,
            start,
            end: (start + entry).min(text.len()),
        };
        let excerpt = Excerpt {
            place: problem::Place {
                file: Some(self.file.into()),
                line: self.number,
            },
            text,
            named: self.named,
        };
        (span, excerpt)
    }
}

fn refused(place: &Place<'_>) -> Problem {
    let entry = &place.entry[..place.entry.len().min(SHOWN)];
    let entry = String::from_utf8_lossy(entry);
    let (span, excerpt) = place.shown();
    let problem = match entry.chars().next() {
        Some('$') => Problem::error(span, "sets do not nest")
            .hint("write the addresses themselves, or name both sets in the rule"),
        Some(';' | '/' | '!') => Problem::error(span, "expected an address or a prefix")
            .hint("a comment starts with `#`"),
        _ => {
            let refusal = prefix::refusal(&entry, "an address or a prefix");
            let hint = if entry.contains(char::is_whitespace) {
                "a line holds one address or prefix, and a comment behind `#`".to_owned()
            } else {
                refusal.hint
            };
            Problem::error(span, refusal.message).hint(hint)
        }
    };
    problem.within(excerpt)
}

/// Entries with bits set behind their prefix: a list may be full of them, so one warning tells of all.
#[derive(Default)]
struct Masked {
    first: Option<(Span, Excerpt, Written)>,
    count: usize,
}

impl Masked {
    fn add(&mut self, place: &Place<'_>, written: Written) {
        self.count += 1;
        if self.first.is_none() {
            let (span, excerpt) = place.shown();
            self.first = Some((span, excerpt, written));
        }
    }

    fn warn(self, problems: &mut Problems) {
        let Some((span, excerpt, written)) = self.first else {
            return;
        };
        let others = match self.count {
            1 => String::new(),
            2 => ", as has 1 other line".to_owned(),
            count => format!(", as have {} other lines", count - 1),
        };
        let found = excerpt.text.get(span.start..span.end).unwrap_or_default();
        let message = format!("`{found}` has bits set behind its prefix{others}");
        problems.push(
            Problem::warning(span, message)
                .hint(format!("it is read as `{}`", written.prefix))
                .within(excerpt),
        );
    }
}
