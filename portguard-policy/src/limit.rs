//! `rate`, `burst` and `per` of a rule with `action: limit`.

use crate::keys::Fields;
use crate::policy::{Limit, Per, Rate};
use crate::problem::{Problem, Problems, Span};
use crate::values::{burst, rate, word};

/// The keys that go with `action: limit` alone.
const KEYS: [&str; 3] = ["rate", "burst", "per"];

/// The ceiling of a rule; `action` is the place of its action.
pub(crate) fn read(
    fields: &Fields<'_, '_>,
    action: Span,
    problems: &mut Problems,
) -> Option<Limit> {
    let per = match fields.get("per") {
        Some(field) => {
            let words = [("source", Per::Source), ("rule", Per::Rule)];
            word(field.value, "per", &words, problems)
        }
        None => Some(Per::Source),
    };
    let given_burst = fields
        .get("burst")
        .map(|field| burst(field.value, problems));
    let Some(field) = fields.get("rate") else {
        if !fields.refused {
            problems.push(
                Problem::error(action, "`action: limit` needs a `rate`")
                    .hint("write `rate: 1000/s`, or `60/m`"),
            );
        }
        return None;
    };
    let (count, period) = rate(field.value, problems)?;
    let burst = match given_burst {
        Some(burst) => burst?,
        None => Rate::default_burst(count, period),
    };
    Some(Limit {
        rate: Rate {
            count,
            period,
            burst,
        },
        per: per?,
    })
}

/// Refuses the keys of a limit in a rule of another action.
pub(crate) fn refuse_without(fields: &Fields<'_, '_>, action: &str, problems: &mut Problems) {
    for key in KEYS {
        if let Some(field) = fields.get(key) {
            problems.push(
                Problem::error(
                    field.key,
                    format!("`{key}` goes with `action: limit` alone"),
                )
                .label(format!("the action is `{action}`"))
                .hint("write `action: limit`, or remove the key"),
            );
        }
    }
}
