//! The policy at the start and the one it is changed to.

/// In force when the daemon starts.
pub(super) const START: &str = include_str!("start.yaml");

/// In force after the reload.
pub(super) const RELOAD: &str = include_str!("reload.yaml");

/// The lines that make `new` of `old`: those that go, then those that come.
pub(super) fn changes<'a>(old: &'a str, new: &'a str) -> Vec<(char, &'a str)> {
    let missing_in = |other: &str, line: &&str| other.lines().all(|have| have != *line);
    let gone = old.lines().filter(|line| missing_in(new, line));
    let come = new.lines().filter(|line| missing_in(old, line));
    gone.map(|line| ('-', line))
        .chain(come.map(|line| ('+', line)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_the_lines_that_only_one_has() {
        assert_eq!(changes("a\nb\nc\n", "a\nd\nc\n"), [('-', "b"), ('+', "d")]);
        assert!(changes(START, START).is_empty());
        assert!(!changes(START, RELOAD).is_empty());
    }
}
