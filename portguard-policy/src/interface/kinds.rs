//! Names that stand for all interfaces, as far as some patterns tell these apart.
//!
//! All patterns are walked at once, a character at a time, over one character of each kind that they tell apart. Where
//! they have come to is a state; each state is reached by its shortest name.

use std::collections::{BTreeMap, HashSet};

use super::{Glob, InterfacePattern, NAME_BYTES, Part, check_characters};

/// Steps of single patterns that are taken before a search is given up: some seconds of work.
const MOST_STEPS: usize = 100_000_000;

/// Names that no glob matches, and two that no interface has.
const APART: [&str; 3] = ["lo", ".", ".."];

/// A name for each set of these patterns that some interface's name matches, none of them included. `None` if the patterns
/// are too many and too different to tell. [`InterfacePattern::DefaultRoute`] is no matter of names.
pub(crate) fn kinds(patterns: &[&InterfacePattern]) -> Option<Vec<String>> {
    let literal = |name: &str| name.chars().map(Part::Literal).collect::<Vec<Part>>();
    let mut walked: Vec<Vec<Part>> = APART.iter().map(|name| literal(name)).collect();
    for pattern in patterns {
        match pattern {
            InterfacePattern::Name(name) => walked.push(literal(name)),
            InterfacePattern::Glob(Glob { parts, .. }) => {
                let mut parts = parts.clone();
                parts.dedup_by(|next, last| (&*next, &*last) == (&Part::Many, &Part::Many));
                walked.push(parts);
            }
            InterfacePattern::DefaultRoute => {}
        }
    }
    let characters = characters(&walked);
    let mut steps = 0;
    let mut seen: HashSet<Vec<u64>> = HashSet::new();
    let mut kinds: BTreeMap<Vec<bool>, String> = BTreeMap::new();
    // By the bytes of the name.
    let mut reached: Vec<Vec<(Vec<u64>, String)>> = vec![Vec::new(); NAME_BYTES + 1];
    let start: Vec<u64> = walked.iter().map(|parts| closure(parts, 1)).collect();
    reached[0].push((start, String::new()));
    for bytes in 0..=NAME_BYTES {
        for (state, name) in std::mem::take(&mut reached[bytes]) {
            if seen.contains(&state) {
                continue;
            }
            if bytes > 0 {
                let ends = walked.iter().zip(&state);
                let matches = ends.map(|(parts, places)| places >> parts.len() & 1 == 1);
                kinds
                    .entry(matches.collect())
                    .or_insert_with(|| name.clone());
            }
            for character in &characters {
                let Some(next) = reached.get_mut(bytes + character.len_utf8()) else {
                    continue;
                };
                steps += walked.len();
                if steps > MOST_STEPS {
                    return None;
                }
                let after = walked.iter().zip(&state);
                let after = after.map(|(parts, places)| advance(parts, *places, *character));
                let after: Vec<u64> = after.collect();
                if !seen.contains(&after) {
                    next.push((after, format!("{name}{character}")));
                }
            }
            seen.insert(state);
        }
    }
    let names = kinds.into_values();
    Some(
        names
            .filter(|name| check_characters(name).is_ok())
            .collect(),
    )
}

/// A character for each kind that the patterns tell apart, of those that a name can have.
fn characters(walked: &[Vec<Part>]) -> Vec<char> {
    // Where what a pattern says of characters changes.
    let mut starts: Vec<u32> = vec![0];
    for part in walked.iter().flatten() {
        let mut add = |low: char, high: char| starts.extend([u32::from(low), u32::from(high) + 1]);
        match part {
            Part::Literal(own) => add(*own, *own),
            Part::Set { ranges, .. } => ranges.iter().for_each(|(low, high)| add(*low, *high)),
            Part::Many | Part::One => {}
        }
    }
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).copied();
    let ends = ends.chain([u32::from(char::MAX) + 1]);
    let singles: HashSet<&Part> = walked.iter().flatten().collect();
    let singles: Vec<&Part> = singles.into_iter().collect();
    let is_usual = |own: &char| own.is_ascii_alphanumeric();
    let is_allowed = |own: &char| check_characters(&format!("x{own}")).is_ok();
    // By what the patterns say of it. The shortest is the best, and one that names usually have.
    let mut kinds: BTreeMap<Vec<bool>, char> = BTreeMap::new();
    for (start, end) in starts.iter().zip(ends) {
        let all = || (*start..end).filter_map(char::from_u32);
        let ascii = all().take_while(char::is_ascii).find(is_usual);
        let Some(character) = ascii.or_else(|| all().find(is_allowed)) else {
            continue;
        };
        let accepts = singles.iter().map(|own| own.accepts(character)).collect();
        let badness = |own: char| (own.len_utf8(), !is_usual(&own));
        let known = kinds.entry(accepts).or_insert(character);
        if badness(character) < badness(*known) {
            *known = character;
        }
    }
    kinds.into_values().collect()
}

/// The places that a pattern can be at without another character: a `*` may stand for none.
fn closure(parts: &[Part], mut places: u64) -> u64 {
    for (place, part) in parts.iter().enumerate() {
        if *part == Part::Many && places >> place & 1 == 1 {
            places |= 1 << (place + 1);
        }
    }
    places
}

fn advance(parts: &[Part], places: u64, character: char) -> u64 {
    let mut after = 0;
    for (place, part) in parts.iter().enumerate() {
        if places >> place & 1 == 1 && part.accepts(character) {
            after |= 1 << (place + usize::from(*part != Part::Many));
        }
    }
    closure(parts, after)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn pattern(text: &str) -> InterfacePattern {
        InterfacePattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Which sets of patterns the names match.
    fn sets(patterns: &[InterfacePattern], names: &[String]) -> BTreeSet<Vec<bool>> {
        let set = |name: &String| patterns.iter().map(|own| own.matches(name)).collect();
        names.iter().map(set).collect()
    }

    fn all_kinds(patterns: &[InterfacePattern]) -> Vec<String> {
        let patterns: Vec<&InterfacePattern> = patterns.iter().collect();
        kinds(&patterns).unwrap_or_else(|| panic!("too many"))
    }

    #[test]
    fn three_patterns_that_overlap() {
        let patterns = ["wan*", "*0", "?a*", "wan0"].map(pattern);
        let found = sets(&patterns, &all_kinds(&patterns));
        for wanted in [
            // other, wan1, xx0, xa, xa0, wan0, wan10
            [false, false, false, false],
            [true, false, true, false],
            [false, true, false, false],
            [false, false, true, false],
            [false, true, true, false],
            [true, true, true, true],
            [true, true, true, false],
        ] {
            assert!(found.contains(wanted.as_slice()), "{wanted:?} in {found:?}");
        }
        assert_eq!(found.len(), 7);
    }

    #[test]
    fn names_have_their_bounds() {
        let patterns = ["abcdefghijklmn*", "*opqrstuvwxyz"].map(pattern);
        for name in all_kinds(&patterns) {
            assert!((1..=NAME_BYTES).contains(&name.len()), "{name}");
        }
        // No name is long enough for both.
        assert!(!sets(&patterns, &all_kinds(&patterns)).contains(&vec![true, true]));
        // No glob matches the loopback interface, and no interface is called `.`.
        let patterns = ["l?", "?"].map(pattern);
        let names = all_kinds(&patterns);
        assert!(sets(&patterns, &names).contains(&vec![true, false]));
        assert!(!names.contains(&".".to_owned()), "{names:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_name_is_of_another_kind(
            patterns in prop::collection::vec(
                select(&["a*", "*a", "?b*", "[ab]*", "[!a]?", "ab", "*b?", "b", "*", "a??", "[b-z]a"][..]),
                1..5,
            ),
            names in prop::collection::vec("[abcz]{1,5}", 200),
        ) {
            let patterns: Vec<InterfacePattern> = patterns.into_iter().map(pattern).collect();
            let found = sets(&patterns, &all_kinds(&patterns));
            for set in sets(&patterns, &names) {
                prop_assert!(found.contains(&set), "{:?} in {:?}", set, found);
            }
        }
    }
}
