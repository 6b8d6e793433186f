//! "Did you mean": the names nearest to what was written.

/// The names nearest to `found`, best first, at most three; none if nothing is near.
pub(crate) fn nearest<'a>(found: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const MOST: usize = 3;
    // What is very long is no slip of the keyboard, and comparing costs its length.
    const LONGEST: usize = 40;
    if found.is_empty() || found.len() > LONGEST {
        return Vec::new();
    }
    let written: Vec<char> = found.to_lowercase().chars().collect();
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| Some((rank(&written, name)?, name)))
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// How far a name is from what was written; `None` if too far to be meant.
fn rank(written: &[char], name: &str) -> Option<usize> {
    let name: Vec<char> = name.chars().collect();
    let allowed = match written.len().max(name.len()) {
        0..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    if name.len().abs_diff(written.len()) <= allowed {
        let distance = distance(written, &name);
        if distance <= allowed {
            return Some(distance);
        }
    }
    // A shortened name, such as `proto` for `protocol`.
    let shortened = written.len() >= 3 && name.starts_with(written);
    shortened.then_some(allowed + 1)
}

/// Number of insertions, deletions, replacements and exchanges of neighbours between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let same = a[i - 1] == b[j - 1];
            row[j] = (last[j - 1] + usize::from(!same))
                .min(last[j] + 1)
                .min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let names = ["ports", "protocol", "name", "action", "enforce"];
        for (found, meant) in [
            ("prots", "ports"),
            ("port", "ports"),
            ("Ports", "ports"),
            ("proto", "protocol"),
            ("nmae", "name"),
            ("acton", "action"),
            ("enforced", "enforce"),
        ] {
            assert_eq!(nearest(found, names), [meant], "{found}");
        }
    }

    #[test]
    fn what_is_far_suggests_nothing() {
        for found in ["", "x", "blocks", "zzzzz", &"ports".repeat(1000)] {
            assert!(nearest(found, ["ports", "name"]).is_empty(), "{found}");
        }
    }
}
