//! `assert`: what a policy promises to do, checked before it takes effect.

use crate::document::{Kind, Node};
use crate::interface::InterfacePattern;
use crate::keys::{self, Field, Fields};
use crate::policy::{Assertion, Fate};
use crate::problem::{Problem, Span, quoted};
use crate::traffic::{self, text::Purpose};
use crate::validate::Validator;
use crate::values::{list, text};

const EXAMPLE: &str = "write `- pass: tcp 10.1.2.3 -> :22`, or `- drop: ...`";

impl<'d, 'a> Validator<'d, 'a, '_> {
    /// Reads `assert`: a list of `pass: TRAFFIC` and `drop: TRAFFIC`.
    pub(crate) fn assertions(&mut self, field: Field<'d, 'a>) -> Vec<Assertion> {
        let mut assertions = Vec::new();
        let instead = "no `assert` at all";
        for node in list(
            self.source.document,
            field,
            "assert",
            instead,
            self.problems,
        ) {
            if self.problems.is_full() {
                break;
            }
            let Kind::Mapping(pairs) = &node.kind else {
                self.problems.push(
                    Problem::error(
                        node.span,
                        format!(
                            "an assertion is a verdict with its traffic, found {}",
                            node.describe()
                        ),
                    )
                    .hint(EXAMPLE),
                );
                continue;
            };
            let fields = Fields::read(
                self.source.document,
                node,
                pairs,
                &keys::ASSERTION,
                self.problems,
            );
            let (expected, value) = match (fields.get("pass"), fields.get("drop")) {
                (Some(field), None) => (Fate::Pass, field.value),
                (None, Some(field)) => (Fate::Drop, field.value),
                (Some(pass), Some(drop)) => {
                    self.problems.push(
                        Problem::error(drop.key, "an assertion has one verdict")
                            .hint("make two of it, each with its own `-`")
                            .related(pass.key, "the other one"),
                    );
                    continue;
                }
                (None, None) => {
                    if !fields.refused {
                        let message = "an assertion has no verdict";
                        self.problems
                            .push(Problem::error(node.span, message).hint(EXAMPLE));
                    }
                    continue;
                }
            };
            // Beside a key that was refused the rest is no single assertion, but it can be read.
            assertions.extend(self.assertion(expected, value));
        }
        assertions
    }

    fn assertion(&mut self, expected: Fate, value: &Node<'_>) -> Option<Assertion> {
        let Some(text) = text(value) else {
            let found = value.describe();
            self.problems.push(
                Problem::error(
                    value.span,
                    format!("an assertion speaks of traffic, found {found}"),
                )
                .hint(format!("{EXAMPLE}; what begins with `[` needs quotes")),
            );
            return None;
        };
        let place = |within: Span| self.source.lines.within(value.span, text, within);
        let read = match traffic::text::read(text, &self.host, Purpose::Promise) {
            Ok(read) => read,
            Err(error) => {
                let span = place(error.span);
                self.problems
                    .push(Problem::error(span, error.message).hint(error.hint));
                return None;
            }
        };
        for (span, prefix) in &read.masked {
            let written = text.get(span.start..span.end).unwrap_or_default();
            self.problems.push(
                Problem::warning(
                    place(*span),
                    format!("{} has bits set behind its prefix", quoted(written)),
                )
                .hint(format!("it is read as `{prefix}`: write that")),
            );
        }
        if let (Some(name), Some(span)) = (&read.traffic.interface, read.interface) {
            let span = place(span);
            self.refuse_unguarded(span, &InterfacePattern::Name(name.clone()));
        }
        Some(Assertion {
            expected,
            traffic: read.traffic,
            text: text.to_owned(),
            place: self.place(value.span),
            span: value.span,
        })
    }
}
