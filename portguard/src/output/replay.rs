//! `replay`, printed.

use std::io::Write as _;

use portguard_policy::Policy;
use serde::Serialize;

use crate::capture::Captured;
use crate::cli::Format;
use crate::dataplane::generation::Run;
use crate::exit::Outcome;

use super::{print, print_json};

/// Prints frame after frame.
pub struct Replay<'a> {
    policy: &'a Policy,
    format: Format,
    passed: u64,
    dropped: u64,
}

/// One line for programs.
#[derive(Serialize)]
struct Line<'a> {
    frame: u64,
    verdict: &'static str,
    outcome: String,
    rule: Option<&'a str>,
    /// Rules that only count (`enforce: false`) and match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    would_drop: Vec<&'a str>,
    /// What the comment beside the frame says that portguard decided then.
    #[serde(skip_serializing_if = "Option::is_none")]
    captured: Option<Then<'a>>,
}

#[derive(Serialize)]
struct Then<'a> {
    outcome: &'a str,
    rule: Option<&'a str>,
    /// Rates or bans decided, which the frame alone does not tell.
    state: bool,
}

impl<'a> Replay<'a> {
    /// Prints in the light of the policy that decides.
    #[must_use]
    pub fn new(policy: &'a Policy, format: Format) -> Self {
        Self {
            policy,
            format,
            passed: 0,
            dropped: 0,
        }
    }

    /// Prints what was decided about a frame; frames are counted from 1.
    ///
    /// # Errors
    ///
    /// [`crate::exit::Failure`] when standard output is closed.
    pub fn frame(&mut self, number: u64, frame: &Captured, run: &Run) -> Outcome {
        let bytes = frame.bytes.len();
        let then = frame.note.as_ref().map(|note| Then {
            outcome: &note.outcome,
            rule: note.rule.as_deref(),
            state: note.is_of_state(),
        });
        let line = Line {
            frame: number,
            verdict: if run.dropped { "drop" } else { "pass" },
            outcome: run.outcome.name(),
            rule: run.outcome.rule().and_then(|index| self.rule_name(index)),
            would_drop: run
                .shadows
                .iter()
                .filter_map(|index| self.rule_name(*index))
                .collect(),
            captured: then,
        };
        if run.dropped {
            self.dropped += 1;
        } else {
            self.passed += 1;
        }
        if self.format == Format::Json {
            return print_json(&line);
        }
        let by = line.rule.map(|rule| format!(" {rule}")).unwrap_or_default();
        let would = if line.would_drop.is_empty() {
            String::new()
        } else {
            format!(" (would be dropped by {})", line.would_drop.join(", "))
        };
        let then = line.captured.as_ref().map(told).unwrap_or_default();
        print(|out| {
            writeln!(
                out,
                "{number:>7} {bytes:>6} bytes  {}  {}{by}{would}{then}",
                line.verdict, line.outcome
            )
        })
    }

    /// Prints the sum, for people.
    ///
    /// # Errors
    ///
    /// [`crate::exit::Failure`] when standard output is closed.
    pub fn finish(self) -> Outcome {
        if self.format == Format::Json {
            return Ok(());
        }
        print(|out| {
            writeln!(
                out,
                "{} frames: {} passed, {} dropped",
                self.passed + self.dropped,
                self.passed,
                self.dropped
            )
        })
    }

    fn rule_name(&self, index: usize) -> Option<&'a str> {
        self.policy.rules.get(index).map(|rule| rule.name.as_str())
    }
}

/// What was decided when the frame was captured.
fn told(then: &Then<'_>) -> String {
    let by = then.rule.map(|rule| format!(" {rule}")).unwrap_or_default();
    let why = if then.state {
        ", which rates and bans decide"
    } else {
        ""
    };
    format!(" (captured as {}{by}{why})", then.outcome)
}
