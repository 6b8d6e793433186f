//! Values of one kind, whatever key they belong to. What is wrong is added to the problems.

use crate::document::{Document, Kind, Node};
use crate::keys::Field;
use crate::policy::{Rate, RatePeriod};
use crate::problem::{Problem, Problems, one_of, quoted};
use crate::suggest::nearest;

/// The text of a scalar; `None` for nothing, a list or a mapping.
pub(crate) fn text<'d>(node: &'d Node<'_>) -> Option<&'d str> {
    match &node.kind {
        Kind::Scalar { text, .. } if !node.is_null() => Some(text),
        _ => None,
    }
}

/// Longest name of a rule or a set, in bytes.
pub(crate) const LONGEST_NAME: usize = 128;

/// Whether a text can be the name of a rule or a set.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// The members of a list, or the one value that stands for it. Nothing, or a list of nothing, is an error.
pub(crate) fn list<'d, 'a>(
    document: &'d Document<'a>,
    field: Field<'d, 'a>,
    key: &str,
    instead: &str,
    problems: &mut Problems,
) -> Vec<&'d Node<'a>> {
    let node = field.value;
    match &node.kind {
        _ if node.is_null() => {
            problems.push(
                Problem::error(
                    if node.span.start == node.span.end {
                        field.key
                    } else {
                        node.span
                    },
                    format!("`{key}` has no value, found {}", node.describe()),
                )
                .hint(format!("write a value, or {instead} if that is meant")),
            );
            Vec::new()
        }
        Kind::Sequence(items) if items.is_empty() => {
            problems.push(
                Problem::error(node.span, format!("`{key}` is an empty list"))
                    .hint(format!("write a value, or {instead} if that is meant")),
            );
            Vec::new()
        }
        Kind::Sequence(items) => items.iter().map(|id| document.get(*id)).collect(),
        _ => vec![node],
    }
}

/// A number without sign, written in decimal digits alone; saturates at the largest.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

/// One word of several.
pub(crate) fn word<T: Copy>(
    node: &Node<'_>,
    key: &str,
    words: &[(&'static str, T)],
    problems: &mut Problems,
) -> Option<T> {
    let names = || words.iter().map(|(name, _)| *name);
    let found = text(node);
    if let Some((_, value)) = words.iter().find(|(name, _)| Some(*name) == found) {
        return Some(*value);
    }
    let near = found
        .map(|found| nearest(found, names()))
        .unwrap_or_default();
    let hint = match near.first() {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write {}", one_of(names())),
    };
    problems.push(
        Problem::error(
            node.span,
            format!("`{key}` is {}, found {}", one_of(names()), node.describe()),
        )
        .hint(hint),
    );
    None
}

/// `true` or `false`, without quotes: `no`, `off` or `"false"` mean different things to different
/// readers of YAML.
pub(crate) fn boolean(node: &Node<'_>, key: &str, problems: &mut Problems) -> Option<bool> {
    let Kind::Scalar { text, plain } = &node.kind else {
        problems.push(not_boolean(node, key).hint("write `true` or `false`"));
        return None;
    };
    let hint = match (text.as_ref(), plain) {
        ("true", true) => return Some(true),
        ("false", true) => return Some(false),
        ("true" | "false", false) => format!("remove the quotes: `{key}: {text}`"),
        _ => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "1" => "write `true`".to_owned(),
            "false" | "no" | "off" | "n" | "0" => "write `false`".to_owned(),
            _ => "write `true` or `false`".to_owned(),
        },
    };
    let found = if *plain || node.is_null() {
        not_boolean(node, key)
    } else {
        Problem::error(
            node.span,
            format!(
                "`{key}` is `true` or `false`, found the text {}",
                quoted(&format!("\"{text}\""))
            ),
        )
    };
    problems.push(found.hint(hint));
    None
}

fn not_boolean(node: &Node<'_>, key: &str) -> Problem {
    Problem::error(
        node.span,
        format!("`{key}` is `true` or `false`, found {}", node.describe()),
    )
}

/// A rate, `N/s` or `N/m`, without its burst.
pub(crate) fn rate(node: &Node<'_>, problems: &mut Problems) -> Option<(u64, RatePeriod)> {
    let parsed = text(node).and_then(|text| {
        let (count, period) = text.split_once('/')?;
        let period = match period {
            "s" => RatePeriod::Second,
            "m" => RatePeriod::Minute,
            _ => return None,
        };
        Some((decimal(count)?, period))
    });
    match parsed {
        Some((count, period)) if (1..=Rate::MAX).contains(&count) => Some((count, period)),
        Some(_) => {
            problems.push(
                Problem::error(
                    node.span,
                    format!("the rate {} is out of range", node.describe()),
                )
                .hint(format!("a rate is 1 to {} packets", Rate::MAX)),
            );
            None
        }
        None => {
            problems.push(
                Problem::error(
                    node.span,
                    format!("`rate` is `N/s` or `N/m`, found {}", node.describe()),
                )
                .hint("write a plain number of packets a second or a minute: `1000/s`, `60/m`"),
            );
            None
        }
    }
}

/// A burst: a number of packets.
pub(crate) fn burst(node: &Node<'_>, problems: &mut Problems) -> Option<u64> {
    let count = text(node).and_then(decimal);
    if let Some(count) = count.filter(|count| (1..=Rate::MAX).contains(count)) {
        return Some(count);
    }
    problems.push(
        Problem::error(
            node.span,
            format!("`burst` is a number of packets, found {}", node.describe()),
        )
        .hint(format!("write a plain number from 1 to {}", Rate::MAX)),
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_plain() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("65558"), Some(65558));
        assert_eq!(decimal(&"9".repeat(50)), Some(u64::MAX));
        for text in [
            "", "00", "010", "+1", "-1", "1.0", "1_0", "0x1", " 1", "1 ", "１",
        ] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
    }
}
