//! Text for a terminal of 80 columns.

/// Columns.
pub(super) const WIDTH: usize = 80;

/// Where the text of an entry begins.
const INDENT: usize = 10;

/// A label and its text, which continues under itself.
pub(super) fn entry(label: &str, text: &str) -> String {
    entry_within(WIDTH, label, text)
}

/// The same in so many columns.
pub(super) fn entry_within(width: usize, label: &str, text: &str) -> String {
    let mut lines = vec![format!("{label:<INDENT$}")];
    let mut is_empty = true;
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if !is_empty && line + 1 + word.chars().count() > width {
            lines.push(" ".repeat(INDENT));
            is_empty = true;
        }
        if let Some(line) = lines.last_mut() {
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_continues_under_itself() {
        assert_eq!(entry("rule", "a b"), "rule      a b");
        let long = ["word"; 30].join(" ");
        let entry = entry("label", &long);
        let lines: Vec<&str> = entry.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{entry}");
        assert!(
            lines[1..]
                .iter()
                .all(|line| line.starts_with("          word"))
        );
        assert_eq!(entry.split_whitespace().count(), 31);
    }

    #[test]
    fn an_entry_fits_fewer_columns() {
        let narrow = entry_within(16, "label", "one two three");
        assert_eq!(narrow, "label     one\n          two\n          three");
    }

    #[test]
    fn a_word_is_never_cut() {
        let long = "x".repeat(100);
        assert_eq!(entry("label", &long), format!("label     {long}"));
    }
}
