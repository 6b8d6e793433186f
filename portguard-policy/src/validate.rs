//! From what was written to what it means, with every problem of the text at once.

use std::collections::{BTreeMap, HashSet};

use portguard_common::limits;

use crate::document::{Document, Kind, Node, NodeId};
use crate::drop_in::{DropIn, Source};
use crate::events;
use crate::files::Files;
use crate::host_services::{self, HostServices};
use crate::interface::InterfacePattern;
use crate::keys::{self, Field, Fields};
use crate::policy::{AttachMode, Fate, Fragments, Metrics, OnStop, Policy, Rate};
use crate::problem::{Lines, Place, Problem, Problems, Severity, Span, quoted};
use crate::sets::Sets;
use crate::values::{boolean, burst, decimal, list, rate, text, word};

const FATES: [(&str, Fate); 2] = [("pass", Fate::Pass), ("drop", Fate::Drop)];

/// A policy that holds together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// What its author should know nevertheless: warnings and notes, in the order of the text.
    pub warnings: Vec<Problem>,
}

/// Reads a policy that has no drop-ins, with the files that it names.
///
/// # Errors
///
/// All problems of the text and of these files, in the order of the text, at least one of them an error.
pub fn check(text: &str, files: &mut dyn Files) -> Result<Checked, Vec<Problem>> {
    check_with_drop_ins(text, &[], files)
}

/// Reads a policy with its drop-ins, whose rules come first, in the order given, and with the files that they name.
///
/// # Errors
///
/// All problems of all texts and of these files, in the order of the texts, at least one of them an error.
pub fn check_with_drop_ins(
    text: &str,
    drop_ins: &[DropIn],
    files: &mut dyn Files,
) -> Result<Checked, Vec<Problem>> {
    let bytes: usize = drop_ins.iter().map(|own| own.text.len()).sum();
    let bytes = bytes.saturating_add(text.len());
    if bytes > limits::POLICY_BYTES {
        let included = match drop_ins {
            [] => "",
            _ => ", its drop-ins included",
        };
        return Err(vec![
            Problem::of_text(format!(
                "the policy has {bytes} bytes{included}, more than the {} allowed",
                limits::POLICY_BYTES
            ))
            .hint("write ranges instead of single ports"),
        ]);
    }
    let mut problems = Problems::default();
    let mut parse = |text, number| {
        Document::parse(text, number, &mut problems)
            .map_err(|problem| problems.push(*problem))
            .ok()
    };
    let document = parse(text, 0);
    let further: Vec<Option<Document<'_>>> = (1..)
        .zip(drop_ins)
        .map(|(number, own)| parse(&own.text, number))
        .collect();
    let sources = (1..).zip(drop_ins).zip(&further);
    let sources = sources.filter_map(|((number, own), document)| {
        Some(Source {
            document: document.as_ref()?,
            lines: Lines::new(&own.text),
            file: Some(own.name.as_str().into()),
            number,
        })
    });
    let policy = document.as_ref().and_then(|document| {
        let source = Source {
            document,
            lines: Lines::new(text),
            file: None,
            number: 0,
        };
        Validator::new(source, files, &mut problems).policy(sources)
    });
    match policy {
        Some(policy) if problems.errors() == 0 => Ok(Checked {
            policy,
            warnings: problems.finish(),
        }),
        _ => {
            let list = problems.finish();
            debug_assert!(list.iter().any(|p| p.severity == Severity::Error));
            Err(list)
        }
    }
}

/// The words of `on_stop`.
const ON_STOP: [(&str, OnStop); 2] = [("detach", OnStop::Detach), ("keep", OnStop::Keep)];

/// What the rules need to know of the rest of the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Essential traffic is matched only by rules that mean it.
    pub(crate) essential: bool,
    /// Replies pass though a rule would drop them.
    pub(crate) replies: bool,
}

/// Builds the policy of a document.
pub(crate) struct Validator<'d, 'a, 'p> {
    /// The text that is being read: the policy file, or one of its drop-ins.
    pub(crate) source: Source<'d, 'a>,
    pub(crate) problems: &'p mut Problems,
    pub(crate) files: &'p mut dyn Files,
    // These are read first, since rules may name them.
    pub(crate) host: HostServices,
    pub(crate) sets: Sets,
    pub(crate) interfaces: Vec<InterfacePattern>,
    /// Of all texts: the names of their rules, and the profiles that they name.
    pub(crate) rule_names: BTreeMap<&'d str, Span>,
    pub(crate) profiles: BTreeMap<&'d str, Span>,
}

impl<'d, 'a, 'p> Validator<'d, 'a, 'p> {
    fn new(source: Source<'d, 'a>, files: &'p mut dyn Files, problems: &'p mut Problems) -> Self {
        Self {
            source,
            problems,
            files,
            host: HostServices::default(),
            sets: Sets::default(),
            interfaces: Vec::new(),
            rule_names: BTreeMap::new(),
            profiles: BTreeMap::new(),
        }
    }

    /// Where something stands that is in the text being read.
    pub(crate) fn place(&self, span: Span) -> Place {
        Place {
            file: self.source.file.clone(),
            line: self.source.lines.line(span.start),
        }
    }

    fn policy(mut self, drop_ins: impl Iterator<Item = Source<'d, 'a>>) -> Option<Policy> {
        let root = self.source.document.root();
        let Kind::Mapping(pairs) = &root.kind else {
            self.problems.push(
                Problem::error(
                    root.span,
                    format!("a policy is a mapping of keys, found {}", root.describe()),
                )
                .hint("start with `version: 1`"),
            );
            return None;
        };
        let fields = Fields::read(
            self.source.document,
            root,
            pairs,
            &keys::POLICY,
            self.problems,
        );
        self.version(&fields);
        if let Some(field) = fields.get("services") {
            self.host = host_services::read(self.source.document, field, self.problems);
        }
        if let Some(field) = fields.get("sets") {
            self.read_sets(field);
        }
        self.interfaces = self.guarded(&fields);
        let replies = self.exemption(&fields, "replies");
        let default = self.fate(&fields, "default", Fate::Pass);
        if default == Fate::Drop
            && !replies
            && let Some(field) = fields.get("default")
        {
            self.problems.push(
                Problem::warning(
                    field.value.span,
                    "`default: drop` also drops the replies to what this host asks",
                )
                .label("`replies: rules` takes their exemption away")
                .hint("connections that this host opens break, unless rules pass the answers"),
            );
        }
        let settings = Settings {
            essential: self.exemption(&fields, "essential"),
            replies,
        };
        let modes = [
            ("auto", AttachMode::Auto),
            ("native", AttachMode::Native),
            ("generic", AttachMode::Generic),
        ];
        let mut rules = Vec::new();
        for drop_in in drop_ins {
            rules.extend(self.drop_in(drop_in, settings));
        }
        rules.extend(self.rules(&fields, settings));
        let policy = Policy {
            interfaces: self.interfaces.clone(),
            attach: self.word(&fields, "attach", &modes, AttachMode::Auto),
            default,
            replies,
            essential: settings.essential,
            non_ip: self.fate(&fields, "non_ip", Fate::Pass),
            malformed: self.fate(&fields, "malformed", Fate::Drop),
            fragments: self.fragments(&fields),
            enforce: self.boolean(&fields, "enforce", true),
            trusted: match fields.get("trusted") {
                Some(field) => self.trusted(field),
                None => Vec::new(),
            },
            services: self.host.clone(),
            rules,
            assertions: match fields.get("assert") {
                Some(field) => self.assertions(field),
                None => Vec::new(),
            },
            metrics: match fields.get("metrics") {
                Some(field) => self.metrics(field),
                None => Metrics::default(),
            },
            events: fields
                .get("events")
                .and_then(|field| events::read(self.source.document, field, self.problems)),
            on_stop: self.word(&fields, "on_stop", &ON_STOP, OnStop::Detach),
        };
        // What is wrong may be the very use of a set.
        if self.problems.errors() == 0 {
            self.warn_of_unused_sets();
        }
        Some(policy)
    }

    fn word<T: Copy>(
        &mut self,
        fields: &Fields<'_, '_>,
        key: &str,
        words: &[(&'static str, T)],
        otherwise: T,
    ) -> T {
        let field = fields.get(key);
        field
            .and_then(|field| word(field.value, key, words, self.problems))
            .unwrap_or(otherwise)
    }

    /// `pass`: certain packets pass, though rules would drop them; `rules`: they are judged like others.
    fn exemption(&mut self, fields: &Fields<'_, '_>, key: &str) -> bool {
        self.word(fields, key, &[("pass", true), ("rules", false)], true)
    }

    fn fate(&mut self, fields: &Fields<'_, '_>, key: &str, otherwise: Fate) -> Fate {
        self.word(fields, key, &FATES, otherwise)
    }

    pub(crate) fn boolean(&mut self, fields: &Fields<'_, '_>, key: &str, otherwise: bool) -> bool {
        let field = fields.get(key);
        field
            .and_then(|field| boolean(field.value, key, self.problems))
            .unwrap_or(otherwise)
    }

    pub(crate) fn version(&mut self, fields: &Fields<'_, '_>) {
        const HINT: &str = "write `version: 1`";
        let problem = match fields.get("version") {
            None => Problem::error(fields.head, "the key `version` is missing"),
            Some(field) => match text(field.value) {
                Some("1") => return,
                found if found.and_then(decimal).is_some() => Problem::error(
                    field.value.span,
                    format!("version {} is not known", field.value.describe()),
                ),
                _ => Problem::error(
                    field.value.span,
                    format!("`version` is `1`, found {}", field.value.describe()),
                ),
            },
        };
        self.problems.push(problem.hint(HINT));
    }

    fn guarded(&mut self, fields: &Fields<'d, 'a>) -> Vec<InterfacePattern> {
        let Some(field) = fields.get("interfaces") else {
            return Vec::new();
        };
        let errors = self.problems.errors();
        let patterns = self.patterns(field, "no `interfaces` at all");
        if self.problems.errors() > errors {
            // What rules say of the entry that is wrong is no further mistake.
            return Vec::new();
        }
        patterns.into_iter().map(|(_, pattern)| pattern).collect()
    }

    /// The names and globs of a list, each once, with their places.
    pub(crate) fn patterns(
        &mut self,
        field: Field<'d, 'a>,
        instead: &str,
    ) -> Vec<(&'d Node<'a>, InterfacePattern)> {
        let mut patterns = Vec::new();
        let mut seen: HashSet<InterfacePattern> = HashSet::new();
        for node in list(
            self.source.document,
            field,
            "interfaces",
            instead,
            self.problems,
        ) {
            if self.problems.is_full() {
                break;
            }
            let Some(text) = text(node) else {
                self.problems.push(
                    Problem::error(
                        node.span,
                        format!(
                            "expected the name of an interface, found {}",
                            node.describe()
                        ),
                    )
                    .hint("write a name such as `eth0`, or a glob in quotes: `\"wan*\"`"),
                );
                continue;
            };
            match InterfacePattern::parse(text) {
                Ok(pattern) if !seen.insert(pattern.clone()) => self.problems.push(
                    Problem::warning(node.span, format!("{} stands twice", quoted(text)))
                        .hint("remove one of the two"),
                ),
                Ok(pattern) => patterns.push((node, pattern)),
                Err(reason) => self.problems.push(
                    Problem::error(
                        node.span,
                        format!("{} cannot be an interface", quoted(text)),
                    )
                    .label(reason)
                    .hint("write a name such as `eth0`, a glob such as `\"wan*\"`, or `default-route`"),
                ),
            }
        }
        patterns
    }

    fn fragments(&mut self, fields: &Fields<'d, 'a>) -> Fragments {
        let Some(field) = fields.get("fragments") else {
            return Fragments::Pass;
        };
        match &field.value.kind {
            Kind::Mapping(pairs) => self
                .fragment_rate(field.value, pairs)
                .map_or(Fragments::Pass, Fragments::Rate),
            _ if text(field.value) == Some("pass") => Fragments::Pass,
            _ if text(field.value) == Some("drop") => Fragments::Drop,
            _ => {
                self.problems.push(
                    Problem::error(
                        field.value.span,
                        format!(
                            "`fragments` is `pass`, `drop` or a rate, found {}",
                            field.value.describe()
                        ),
                    )
                    .hint("a rate is written `{ rate: 1000/s }`"),
                );
                Fragments::Pass
            }
        }
    }

    fn fragment_rate(&mut self, node: &'d Node<'a>, pairs: &[(NodeId, NodeId)]) -> Option<Rate> {
        let fields = Fields::read(
            self.source.document,
            node,
            pairs,
            &keys::FRAGMENTS,
            self.problems,
        );
        let given_burst = fields
            .get("burst")
            .map(|field| burst(field.value, self.problems));
        let Some(field) = fields.get("rate") else {
            if !fields.refused {
                self.problems.push(
                    Problem::error(node.span, "`fragments` has no `rate`")
                        .hint("a rate is written `{ rate: 1000/s }`"),
                );
            }
            return None;
        };
        let (count, period) = rate(field.value, self.problems)?;
        let burst = match given_burst {
            Some(burst) => burst?,
            None => Rate::default_burst(count, period),
        };
        Some(Rate {
            count,
            period,
            burst,
        })
    }
}
