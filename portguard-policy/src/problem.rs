//! What is wrong, or worth knowing, in the text of a policy, and where.

use std::fmt;
use std::sync::Arc;

/// A part of a text, in bytes: `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which text: 0 is the policy file, 1 its first drop-in, and so on.
    pub text: usize,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte; equal to `start` where there is nothing (a value left out).
    pub end: usize,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The text is refused.
    Error,
    /// The text is accepted, but hardly means what its author wants.
    Warning,
    /// Worth knowing.
    Note,
}

/// A line of one of the files that a policy is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, by its name from the folder of the policy file on; `None` is the policy file itself.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    /// For people who know which policy is spoken of: `line 4`, or `policy.d/10-web.yaml:4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            None => write!(f, "line {}", self.line),
            Some(file) => write!(f, "{file}:{}", self.line),
        }
    }
}

/// Another place that a problem speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The place.
    pub span: Span,
    /// What it has to do with the problem.
    pub text: String,
}

/// A line of a file that the policy names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Where it stands.
    pub place: Place,
    /// The line itself, cut if it is long.
    pub text: String,
    /// Where the policy names the file.
    pub named: Span,
}

/// One thing to tell the author of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where; `None` if the text as a whole is meant. Within the line of `excerpt` if there is one.
    pub span: Option<Span>,
    /// Which text is meant, as [`Span::text`].
    pub text: usize,
    /// The line of another file that is meant.
    pub excerpt: Option<Box<Excerpt>>,
    /// What is wrong, with what was found in backticks.
    pub message: String,
    /// A few words that stand at the place itself.
    pub label: Option<String>,
    /// What to do instead.
    pub hint: Option<String>,
    /// Other places involved, perhaps in other texts.
    pub related: Vec<Related>,
}

impl Problem {
    pub(crate) fn error(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), message.into())
    }

    pub(crate) fn warning(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), message.into())
    }

    pub(crate) fn note(span: Span, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, Some(span), message.into())
    }

    /// An error of the text as a whole.
    pub(crate) fn of_text(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, message.into())
    }

    fn new(severity: Severity, span: Option<Span>, message: String) -> Self {
        Self {
            severity,
            span,
            text: span.map_or(0, |span| span.text),
            excerpt: None,
            message,
            label: None,
            hint: None,
            related: Vec::new(),
        }
    }

    /// Places the problem in a line of another file, where its span then belongs.
    pub(crate) fn within(mut self, excerpt: Excerpt) -> Self {
        self.excerpt = Some(Box::new(excerpt));
        self
    }

    /// Says which text is meant as a whole.
    pub(crate) fn in_text(mut self, text: usize) -> Self {
        self.text = text;
        self
    }

    /// Where it stands among others: what is wrong in another file stands where that is named.
    fn order(&self) -> (usize, Option<Span>, usize, Option<Span>) {
        match &self.excerpt {
            None => (self.text, self.span, 0, None),
            Some(excerpt) => {
                let named = excerpt.named;
                (named.text, Some(named), excerpt.place.line, self.span)
            }
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.related.push(Related {
            span,
            text: text.into(),
        });
        self
    }
}

/// Problems kept of one text. A generated file can be wrong in every one of a million entries: after
/// this many errors the rest is not even examined, and other problems are only counted.
const KEPT: usize = 1_000;

/// The problems of one text, as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    errors: usize,
    omitted: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        let is_error = problem.severity == Severity::Error;
        self.errors += usize::from(is_error);
        if self.list.len() < KEPT || (is_error && self.errors <= KEPT) {
            self.list.push(problem);
        } else {
            self.omitted += 1;
        }
    }

    /// Nothing more needs to be looked at.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > KEPT
    }

    /// Number of errors so far, to find out whether a step added some.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// All of them in the order of the text, each once: an alias leads to the same place repeatedly.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        self.list.sort_by_key(Problem::order);
        self.list.dedup();
        let rest = match self.omitted {
            0 => return self.list,
            _ if self.errors > KEPT => {
                format!("more than {KEPT} errors: the rest of the text was not examined")
            }
            omitted => format!("{omitted} more problems are not shown"),
        };
        self.list.push(Problem::new(Severity::Note, None, rest));
        self.list
    }
}

/// A place in a text as people count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character within the line.
    pub column: usize,
}

/// Where the lines of a text begin, to turn offsets into positions.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Finds the lines of a text. They end at a line feed.
    pub fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(breaks.map(|(offset, _)| offset + 1))
            .collect();
        Self { text, starts }
    }

    /// The line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The place of a part of a scalar, whose value is `value`; that of the whole scalar if it is not
    /// written as it reads (an escape, a folded line).
    pub(crate) fn within(&self, scalar: Span, value: &str, part: Span) -> Span {
        let written = self.text.get(scalar.start..scalar.end).unwrap_or_default();
        let quote = usize::from(written.starts_with(['"', '\'']));
        if written.get(quote..written.len() - quote) != Some(value) {
            return scalar;
        }
        Span {
            text: scalar.text,
            start: scalar.start + quote + part.start,
            end: scalar.start + quote + part.end,
        }
    }

    /// The position of a byte offset. One past the end of the text is behind its last character; a byte
    /// order mark is no column.
    pub fn position(&self, offset: usize) -> Position {
        let line = self.line(offset);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset.min(self.text.len()));
        let before = before.unwrap_or_default().trim_start_matches('\u{feff}');
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }
}

/// What was found, as it stands in a message: in backticks, on one line, cut if it is long.
pub(crate) fn quoted(found: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown = String::from("`");
    for (count, character) in found.chars().enumerate() {
        if count == SHOWN {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.push('`');
    shown
}

/// A list as it stands in a sentence: "`a`, `b` or `c`".
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    join(names, "or")
}

/// The same with "and".
pub(crate) fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    join(names, "and")
}

fn join<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_lines_from_one() {
        let text = "a: é\r\nb: ü x\n";
        let lines = Lines::new(text);
        let at = |needle: &str| {
            let position = lines.position(text.find(needle).unwrap());
            (position.line, position.column)
        };
        assert_eq!(at("a"), (1, 1));
        assert_eq!(at("é"), (1, 4));
        assert_eq!(at("b"), (2, 1));
        assert_eq!(at("x"), (2, 6));
        assert_eq!(lines.position(text.len()).line, 3);
    }

    #[test]
    fn a_byte_order_mark_is_no_column() {
        let lines = Lines::new("\u{feff}a: 1\n");
        assert_eq!(lines.position(3).column, 1);
    }

    #[test]
    fn what_was_found_is_shown_on_one_line_and_cut() {
        assert_eq!(quoted("22\n"), "`22\\n`");
        assert_eq!(quoted(&"x".repeat(100)), format!("`{}…`", "x".repeat(40)));
    }

    fn at(start: usize) -> Span {
        Span {
            text: 0,
            start,
            end: start,
        }
    }

    #[test]
    fn only_so_many_problems_are_kept_but_always_an_error() {
        let mut problems = Problems::default();
        for start in 0..2_000 {
            problems.push(Problem::note(at(start), "n"));
        }
        problems.push(Problem::error(Span::default(), "e"));
        let list = problems.finish();
        assert_eq!(list.len(), KEPT + 2);
        assert_eq!(list[0].severity, Severity::Note);
        assert!(
            list.iter()
                .any(|problem| problem.severity == Severity::Error)
        );
        assert_eq!(list[KEPT + 1].message, "1000 more problems are not shown");
    }

    #[test]
    fn so_many_errors_are_enough() {
        let mut problems = Problems::default();
        for start in 0..=KEPT {
            assert!(!problems.is_full());
            problems.push(Problem::error(at(start), "e"));
        }
        assert!(problems.is_full());
        let list = problems.finish();
        assert_eq!(list.len(), KEPT + 1);
        assert_eq!(
            list[KEPT].message,
            "more than 1000 errors: the rest of the text was not examined"
        );
    }
}
