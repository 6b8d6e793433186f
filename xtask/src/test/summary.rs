//! One summary of many test programs.

use std::fmt;

/// The counts of all test programs together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Summary {
    /// Adds what a line of output says, if it is the summary of a test program.
    pub(crate) fn add(&mut self, line: &str) {
        let Some(program) = parse(line) else { return };
        self.passed += program.passed;
        self.failed += program.failed;
        self.skipped += program.skipped;
    }

    /// The runner failed: when no test says so, a program did not compile or died, and that counts
    /// as one failure.
    pub(crate) fn note_failure(&mut self) {
        self.failed = self.failed.max(1);
    }

    /// Whether there were tests, each ran, and each passed: a skipped one is no pass.
    pub(crate) fn is_good(&self) -> bool {
        self.passed > 0 && self.failed == 0 && self.skipped == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Reads `test result: ok. 18 passed; 0 failed; 0 ignored; 0 measured; …`.
fn parse(line: &str) -> Option<Summary> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |name: &str| {
        counts
            .split("; ")
            .find_map(|part| part.strip_suffix(name)?.trim_end().parse().ok())
    };
    Some(Summary {
        passed: count("passed")?,
        failed: count("failed")?,
        skipped: count("ignored")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(lines: &[&str]) -> Summary {
        let mut summary = Summary::default();
        for line in lines {
            summary.add(line);
        }
        summary
    }

    const GOOD: &str = "test result: ok. 18 passed; 0 failed; 0 ignored; 0 measured; 0 filtered \
                        out; finished in 0.00s";
    const BAD: &str = "test result: FAILED. 2 passed; 1 failed; 3 ignored; 0 measured; 0 filtered \
                       out; finished in 1.20s";

    #[test]
    fn adds_up_every_program() {
        let summary = fold(&["running 18 tests", GOOD, "test a ... ok", GOOD]);
        assert_eq!(summary.to_string(), "36 passed, 0 failed");
        assert!(summary.is_good());
    }

    #[test]
    fn one_failure_fails_all() {
        let summary = fold(&[GOOD, BAD]);
        assert_eq!(summary.to_string(), "20 passed, 1 failed, 3 skipped");
        assert!(!summary.is_good());
    }

    #[test]
    fn a_skipped_test_is_no_pass() {
        let line = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let summary = fold(&[line]);
        assert_eq!(summary.to_string(), "5 passed, 0 failed, 1 skipped");
        assert!(!summary.is_good());
    }

    #[test]
    fn no_tests_are_no_success() {
        assert!(!Summary::default().is_good());
    }

    #[test]
    fn a_program_that_died_counts_as_a_failure() {
        let mut summary = fold(&[GOOD]);
        summary.note_failure();
        assert_eq!(summary.to_string(), "18 passed, 1 failed");
        assert!(!summary.is_good());
    }

    #[test]
    fn other_lines_do_not_count() {
        assert_eq!(
            fold(&["", "test result: ", "test x ... ok"]),
            Summary::default()
        );
    }
}
