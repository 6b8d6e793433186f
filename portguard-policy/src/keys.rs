//! The keys of each mapping of a policy. A key that is not understood is an error, never ignored: a rule
//! whose misspelled `ports` were skipped would match far more than it says.

use std::collections::BTreeMap;

use crate::document::{Document, Kind, Node, NodeId};
use crate::problem::{Problem, Problems, Span, quoted};
use crate::suggest::nearest;

/// The keys of one kind of mapping.
pub(crate) struct Keys {
    /// What the mapping is, for messages.
    pub(crate) place: &'static str,
    /// Keys that are understood.
    pub(crate) known: &'static [&'static str],
}

/// The keys of a policy.
pub(crate) const POLICY: Keys = Keys {
    place: "a policy",
    known: &[
        "version",
        "interfaces",
        "attach",
        "default",
        "replies",
        "essential",
        "non_ip",
        "malformed",
        "fragments",
        "enforce",
        "trusted",
        "services",
        "sets",
        "rules",
        "assert",
        "metrics",
        "events",
        "on_stop",
    ],
};

/// The keys of a drop-in.
pub(crate) const DROP_IN: Keys = Keys {
    place: "a drop-in",
    known: &["version", "sets", "rules"],
};

/// The keys of a rule.
pub(crate) const RULE: Keys = Keys {
    place: "a rule",
    known: &[
        "name",
        "action",
        "protocol",
        "ports",
        "source_ports",
        "from",
        "to",
        "types",
        "interfaces",
        "vlan",
        "rate",
        "burst",
        "per",
        "enforce",
        "events",
        "comment",
        // An entry that has it is no rule, but what is nearly it is told so.
        "profile",
    ],
};

/// The keys of an entry of `rules` that stands for the rules of a profile.
pub(crate) const PROFILE: Keys = Keys {
    place: "an entry with `profile`",
    known: &["profile", "enforce"],
};

/// The keys of a set that is no list.
pub(crate) const SET: Keys = Keys {
    place: "a set",
    known: &["file", "allow_empty"],
};

/// The keys of an entry of `trusted` that is no address.
pub(crate) const TRUSTED: Keys = Keys {
    place: "an entry of `trusted`",
    known: &["from", "interfaces"],
};

/// The keys of an assertion: it has one of them.
pub(crate) const ASSERTION: Keys = Keys {
    place: "an assertion",
    known: &["pass", "drop"],
};

/// The keys of `fragments: { rate: 1000/s }`.
pub(crate) const FRAGMENTS: Keys = Keys {
    place: "`fragments`",
    known: &["rate", "burst"],
};

/// The keys of `metrics: { listen: 127.0.0.1:9477 }`.
pub(crate) const METRICS: Keys = Keys {
    place: "`metrics`",
    known: &["listen", "page"],
};

/// The keys of `page: { exposed: true, hosts: [fw.example.net] }`.
pub(crate) const PAGE: Keys = Keys {
    place: "`page`",
    known: &["exposed", "hosts"],
};

/// The keys of `events: { rate: 100/s, snap: 128 }`.
pub(crate) const EVENTS: Keys = Keys {
    place: "`events`",
    known: &["rate", "snap"],
};

/// A key with its value.
#[derive(Clone, Copy)]
pub(crate) struct Field<'d, 'a> {
    pub(crate) key: Span,
    pub(crate) value: &'d Node<'a>,
}

/// The fields of a mapping that are understood.
pub(crate) struct Fields<'d, 'a> {
    fields: BTreeMap<&'static str, Field<'d, 'a>>,
    /// A place that stands for the whole mapping: its first key.
    pub(crate) head: Span,
    /// Some keys were refused, so what else seems to be missing may be meant by them.
    pub(crate) refused: bool,
}

impl<'d, 'a> Fields<'d, 'a> {
    /// Reads a mapping and reports the keys that do not belong there.
    pub(crate) fn read(
        document: &'d Document<'a>,
        node: &'d Node<'a>,
        pairs: &[(NodeId, NodeId)],
        keys: &Keys,
        problems: &mut Problems,
    ) -> Self {
        let first = pairs.first().map(|(key, _)| document.get(*key).span);
        let mut fields = Self {
            fields: BTreeMap::new(),
            head: first.unwrap_or(node.span),
            refused: false,
        };
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for (key, value) in pairs {
            if problems.is_full() {
                break;
            }
            let (key, value) = (document.get(*key), document.get(*value));
            let Kind::Scalar { text, .. } = &key.kind else {
                fields.refused = true;
                problems.push(
                    Problem::error(
                        key.span,
                        format!(
                            "a key of {} is a word, found {}",
                            keys.place,
                            key.describe()
                        ),
                    )
                    .hint("a text in `{}` or `[]` that is no mapping or list needs quotes"),
                );
                continue;
            };
            if let Some(before) = seen.insert(text, key.span) {
                problems.push(
                    Problem::error(key.span, format!("the key {} stands twice", quoted(text)))
                        .label("again here")
                        .hint("remove one of the two, or join them")
                        .related(before, "first here"),
                );
                continue;
            }
            match keys.known.iter().find(|known| *known == text) {
                Some(known) => {
                    let key = key.span;
                    fields.fields.insert(known, Field { key, value });
                }
                None => {
                    fields.refused = true;
                    problems.push(refuse(key.span, text, keys));
                }
            }
        }
        fields
    }

    /// The field of a key.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'d, 'a>> {
        self.fields.get(key).copied()
    }
}

/// Why a key is refused.
fn refuse(span: Span, found: &str, keys: &Keys) -> Problem {
    if found == "<<" {
        return Problem::error(span, "the merge key `<<` is not supported")
            .hint("write the keys out: each place then says all that it means");
    }
    let problem = Problem::error(span, format!("{} has no key {}", keys.place, quoted(found)));
    if keys.place == DROP_IN.place && POLICY.known.contains(&found) {
        return problem
            .hint("that stands in the policy file: a drop-in has `version`, `sets` and `rules`");
    }
    if let Some(near) = nearest(found, keys.known.iter().copied()).first() {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    if keys.place == PROFILE.place && RULE.known.contains(&found) {
        return problem
            .hint("its rules are those of the catalogue: write a rule of your own instead");
    }
    if keys.place == ASSERTION.place {
        return problem
            .hint("write `pass` or `drop`: a `limit` counts as pass, a `reject` as drop");
    }
    let elsewhere = [&POLICY, &RULE]
        .into_iter()
        .find(|other| other.place != keys.place && other.known.contains(&found));
    if let Some(other) = elsewhere {
        return problem.hint(format!(
            "`{found}` is a key of {}: check the indentation",
            other.place
        ));
    }
    problem.hint(format!("its keys are {}", keys.known.join(", ")))
}
