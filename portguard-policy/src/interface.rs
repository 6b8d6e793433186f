//! Which interfaces a policy guards.

mod kinds;

use std::fmt;

pub(crate) use self::kinds::kinds;

/// Longest name of an interface, in bytes: `IFNAMSIZ` of `linux/if.h` less the final NUL.
const NAME_BYTES: usize = 15;

/// The word that means the interfaces that carry a default route.
pub(crate) const DEFAULT_ROUTE: &str = "default-route";

/// One entry of `interfaces`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum InterfacePattern {
    /// The interface of this name.
    Name(String),
    /// The interfaces whose names match.
    Glob(Glob),
    /// The interfaces that carry a default route.
    DefaultRoute,
}

impl InterfacePattern {
    /// Reads an entry: `default-route`, a name, or a glob. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == DEFAULT_ROUTE {
            return Ok(Self::DefaultRoute);
        }
        check_characters(text)?;
        if text.contains(['*', '?', '[']) {
            return Glob::parse(text).map(Self::Glob);
        }
        if text.len() > NAME_BYTES {
            return Err("a name of an interface has at most 15 bytes");
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// Names that are meant: of a glob a short one, and one that hardly any other pattern means. None for
    /// [`Self::DefaultRoute`].
    pub(crate) fn examples(&self) -> Vec<String> {
        match self {
            Self::Name(name) => vec![name.clone()],
            Self::Glob(glob) => {
                let odd: String = glob.parts.iter().map(Part::odd_example).collect();
                let mut names = vec![glob.example(), odd];
                names.retain(|name| name.len() <= NAME_BYTES && glob.matches(name));
                names
            }
            Self::DefaultRoute => Vec::new(),
        }
    }

    /// A name that both mean, if there is one that is easily found.
    pub(crate) fn common_example(&self, other: &Self) -> Option<String> {
        let name = match (self, other) {
            (Self::DefaultRoute, _) | (_, Self::DefaultRoute) => None,
            (Self::Name(name), _) | (_, Self::Name(name)) => Some(name.clone()),
            (Self::Glob(one), Self::Glob(two)) => common(&one.parts, &two.parts),
        }?;
        let longer = format!("{name}x");
        let is_name = |name: &String| (1..=NAME_BYTES).contains(&name.len());
        let mut names = [name, longer].into_iter().filter(is_name);
        names.find(|name| self.matches(name) && other.matches(name))
    }

    /// Whether an interface of this name is meant. [`Self::DefaultRoute`] is not a matter of names and
    /// matches none.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Glob(glob) => glob.matches(name),
            Self::DefaultRoute => false,
        }
    }
}

impl InterfacePattern {
    /// Whether some name can match both. Of two sets of characters that is assumed where one is negated.
    /// [`Self::DefaultRoute`] may be any interface.
    pub fn may_meet(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::DefaultRoute, _) | (_, Self::DefaultRoute) => true,
            (Self::Name(name), pattern) | (pattern, Self::Name(name)) => pattern.matches(name),
            (Self::Glob(one), Self::Glob(two)) => meet(&one.parts, &two.parts),
        }
    }
}

/// Whether some text matches both.
fn meet(one: &[Part], two: &[Part]) -> bool {
    // By how much of each is behind: few parts, so a table is enough.
    let mut reached = vec![vec![false; two.len() + 1]; one.len() + 1];
    reached[0][0] = true;
    for first in 0..=one.len() {
        for second in 0..=two.len() {
            if !reached[first][second] {
                continue;
            }
            let (a, b) = (one.get(first), two.get(second));
            if a == Some(&Part::Many) {
                reached[first + 1][second] = true;
            }
            if b == Some(&Part::Many) {
                reached[first][second + 1] = true;
            }
            match (a, b) {
                (Some(Part::Many), Some(Part::Many)) | (None, _) | (_, None) => {}
                (Some(Part::Many), Some(_)) => reached[first][second + 1] = true,
                (Some(_), Some(Part::Many)) => reached[first + 1][second] = true,
                (Some(a), Some(b)) if a.meets(b) => reached[first + 1][second + 1] = true,
                _ => {}
            }
        }
    }
    reached[one.len()][two.len()]
}

/// A text that matches both: as in [`meet`], with what leads to each place.
fn common(one: &[Part], two: &[Part]) -> Option<String> {
    let mut reached = vec![vec![None::<String>; two.len() + 1]; one.len() + 1];
    reached[0][0] = Some(String::new());
    for first in 0..=one.len() {
        for second in 0..=two.len() {
            let Some(text) = reached[first][second].clone() else {
                continue;
            };
            let (a, b) = (one.get(first), two.get(second));
            let mut steps: Vec<(usize, usize, Option<char>)> = Vec::new();
            if a == Some(&Part::Many) {
                steps.push((first + 1, second, None));
                steps.extend(
                    b.and_then(Part::example)
                        .map(|c| (first, second + 1, Some(c))),
                );
            }
            if b == Some(&Part::Many) {
                steps.push((first, second + 1, None));
                steps.extend(
                    a.and_then(Part::example)
                        .map(|c| (first + 1, second, Some(c))),
                );
            }
            if let (Some(a), Some(b)) = (a, b)
                && let Some(c) = a.common(b)
            {
                steps.push((first + 1, second + 1, Some(c)));
            }
            for (first, second, character) in steps {
                reached[first][second]
                    .get_or_insert_with(|| text.chars().chain(character).collect());
            }
        }
    }
    reached[one.len()][two.len()].take()
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name(name) => name,
            Self::Glob(glob) => &glob.text,
            Self::DefaultRoute => DEFAULT_ROUTE,
        })
    }
}

/// What `dev_valid_name` of the kernel (net/core/dev.c) asks of a name.
fn check_characters(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("a name of an interface is not empty");
    }
    if text == "." || text == ".." {
        return Err("the kernel gives no interface this name");
    }
    // The kernel's `isspace` takes 0xa0, half of many letters, for a space in Latin-1 only.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("a name of an interface holds no blank");
    }
    if text.contains('/') {
        return Err("a name of an interface holds no `/`");
    }
    if text.contains(':') {
        return Err("a name of an interface holds no `:`");
    }
    Ok(())
}

/// A pattern of names: `*` is any number of characters, `?` one, `[a-z]` one of a set, `[!a-z]` one not
/// of it. It never matches `lo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Many,
    One,
    Literal(char),
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Glob {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            parts.push(match next {
                '*' => Part::Many,
                '?' => Part::One,
                '[' => set(&mut rest)?,
                literal => Part::Literal(literal),
            });
        }
        if parts.iter().filter(|part| **part != Part::Many).count() > NAME_BYTES {
            return Err("no name is long enough to match: it has at most 15 bytes");
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// A short name that matches.
    fn example(&self) -> String {
        let name: String = self.parts.iter().filter_map(Part::example).collect();
        match name.as_str() {
            "" => "x".to_owned(),
            // No glob matches the loopback interface.
            "lo" => "lo0".to_owned(),
            _ => name,
        }
    }

    /// Whether an interface of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        if name == "lo" {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        // After a mismatch only the last `*` needs to take one character more.
        let (mut part, mut at) = (0, 0);
        let mut retry = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Many) => {
                    retry = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(single) if name.get(at).is_some_and(|c| single.accepts(*c)) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                None if at == name.len() => return true,
                _ => {}
            }
            let Some((many, taken)) = retry.filter(|(_, taken)| *taken < name.len()) else {
                return false;
            };
            retry = Some((many, taken + 1));
            (part, at) = (many + 1, taken + 1);
        }
    }
}

impl Part {
    /// A character that it takes; none for any number.
    fn example(&self) -> Option<char> {
        match self {
            Self::Many => None,
            Self::One => Some('x'),
            Self::Literal(own) => Some(*own),
            Self::Set {
                negated: false,
                ranges,
            } => ranges.first().map(|(low, _)| *low),
            Self::Set { .. } => ('a'..='z').chain('0'..='9').find(|own| self.accepts(*own)),
        }
    }

    /// What it takes that others hardly do.
    fn odd_example(&self) -> String {
        match self {
            Self::Many => "q7".to_owned(),
            single => single.example().into_iter().collect(),
        }
    }

    /// A character that both take; none where one takes any number.
    fn common(&self, other: &Self) -> Option<char> {
        if *self == Self::Many || *other == Self::Many {
            return None;
        }
        let ends = |part: &Self| match part {
            Self::Set { ranges, .. } => {
                let ends = ranges.iter().flat_map(|(low, high)| [*low, *high]);
                ends.collect()
            }
            single => Vec::from_iter(single.example()),
        };
        let characters = ends(self).into_iter().chain(ends(other));
        let mut characters = characters.chain('a'..='z').chain('0'..='9');
        characters.find(|own| self.accepts(*own) && other.accepts(*own))
    }

    fn accepts(&self, character: char) -> bool {
        match self {
            Self::Many | Self::One => true,
            Self::Literal(own) => *own == character,
            Self::Set { negated, ranges } => {
                let within = |(low, high): &(char, char)| (*low..=*high).contains(&character);
                ranges.iter().any(within) != *negated
            }
        }
    }
}

impl Part {
    /// Whether some character is accepted by both.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(own), other) | (other, Self::Literal(own)) => other.accepts(*own),
            (
                Self::Set {
                    negated: false,
                    ranges: own,
                },
                Self::Set {
                    negated: false,
                    ranges: others,
                },
            ) => own.iter().any(|(low, high)| {
                let overlaps = |(first, last): &(char, char)| first <= high && low <= last;
                others.iter().any(overlaps)
            }),
            _ => true,
        }
    }
}

/// The rest of a set, behind its `[`.
fn set(rest: &mut std::str::Chars<'_>) -> Result<Part, &'static str> {
    const OPEN: &str = "a `[` without its `]`";
    let mut characters = Vec::new();
    let mut negated = false;
    loop {
        match rest.next().ok_or(OPEN)? {
            '!' | '^' if characters.is_empty() && !negated => negated = true,
            ']' if !characters.is_empty() => break,
            character => characters.push(character),
        }
    }
    let mut ranges = Vec::new();
    let mut left = characters.as_slice();
    while let [first, others @ ..] = left {
        left = match others {
            ['-', last, others @ ..] => {
                if first > last {
                    return Err("a set runs from low to high");
                }
                ranges.push((*first, *last));
                others
            }
            _ => {
                ranges.push((*first, *first));
                others
            }
        };
    }
    Ok(Part::Set { negated, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> InterfacePattern {
        InterfacePattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names() {
        assert_eq!(pattern("eth0"), InterfacePattern::Name("eth0".to_owned()));
        assert!(pattern("eth0").matches("eth0"));
        assert!(!pattern("eth0").matches("eth00"));
        assert!(pattern("lo").matches("lo"), "a literal name does");
        assert_eq!(pattern("default-route"), InterfacePattern::DefaultRoute);
        pattern("a23456789012345");
        pattern("eth0.100");
        pattern("br-0@x");
    }

    #[test]
    fn what_linux_refuses_is_refused() {
        let long = [
            "a234567890123456",
            "éééééééé",
            "????????????????",
            "*x234567890123456",
        ];
        let odd = [
            "", ".", "..", "a b", "a\tb", "a/b", "eth0:1", "[a", "a[", "a[]", "[z-a]", "a\0",
        ];
        for text in long.into_iter().chain(odd) {
            assert!(InterfacePattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn patterns_meet_where_a_name_matches_both() {
        for (one, two, meet) in [
            ("eth0", "eth0", true),
            ("eth0", "eth1", false),
            ("eth0", "eth*", true),
            ("wan0", "eth*", false),
            ("eth*", "*0", true),
            ("eth*", "e*h1", true),
            ("eth*", "wan*", false),
            ("eth?", "eth", false),
            ("eth[0-3]", "eth[2-9]", true),
            ("eth[0-3]", "eth[4-9]", false),
            ("eth[0-3]", "eth?", true),
            ("a*b*c", "*bx*", true),
            ("a*", "*a", true),
            ("default-route", "eth0", true),
        ] {
            assert_eq!(pattern(one).may_meet(&pattern(two)), meet, "{one} {two}");
            assert_eq!(pattern(two).may_meet(&pattern(one)), meet, "{two} {one}");
        }
    }

    #[test]
    fn examples_are_meant() {
        assert_eq!(pattern("eth0").examples(), ["eth0"]);
        assert_eq!(pattern("wan*").examples(), ["wan", "wanq7"]);
        assert_eq!(pattern("*").examples(), ["x", "q7"]);
        assert_eq!(pattern("l?").examples(), ["lx", "lx"]);
        assert!(pattern("default-route").examples().is_empty());
        for (one, two, common) in [
            ("eth0", "eth*", Some("eth0")),
            ("eth0", "wan*", None),
            ("wan*", "*0", Some("wan0")),
            ("wan*", "w*1", Some("wan1")),
            ("eth[0-3]", "eth[2-9]", Some("eth3")),
            ("eth[0-3]", "eth[!0-2]", Some("eth3")),
            ("eth[0-3]", "eth[4-9]", None),
            ("*", "*", Some("x")),
            // `lo` itself is matched by no glob.
            ("l*", "*o", None),
            ("*", "default-route", None),
        ] {
            let found = pattern(one).common_example(&pattern(two));
            assert_eq!(found.as_deref(), common, "{one} {two}");
        }
    }

    #[test]
    fn globs() {
        for (glob, yes, no) in [
            (
                "wan*",
                vec!["wan", "wan0", "wan-x"],
                vec!["wa", "xwan", "lan0"],
            ),
            ("*", vec!["eth0", "x"], vec!["lo"]),
            ("l*", vec!["lan", "lox"], vec!["lo"]),
            ("l?", vec!["l1"], vec!["lo", "l", "lan"]),
            (
                "eth[0-3]",
                vec!["eth0", "eth3"],
                vec!["eth4", "eth", "eth00"],
            ),
            ("eth[!0-3]", vec!["eth4", "ethx"], vec!["eth0"]),
            ("e[a-]x", vec!["eax", "e-x"], vec!["ebx"]),
            ("*a*b", vec!["ab", "xaxb", "abab"], vec!["ba", "abx"]),
            ("e*0*", vec!["e0", "eth0.1"], vec!["eth1"]),
        ] {
            for name in yes {
                assert!(pattern(glob).matches(name), "{glob} {name}");
            }
            for name in no {
                assert!(!pattern(glob).matches(name), "{glob} {name}");
            }
        }
    }
}
