//! From what was written to what it means, with every problem of the text at once.

use std::collections::BTreeMap;

use portguard_common::limits;

use crate::dead;
use crate::document::{Document, Kind, Node, NodeId};
use crate::interface::InterfacePattern;
use crate::keys::{self, Field, Fields};
use crate::policy::{
    AttachMode, Fate, Fragments, Policy, Rate, Rule, RuleAction, ServiceMatch, Transport,
};
use crate::ports;
use crate::problem::{Lines, Problem, Problems, Severity, Span, quoted};
use crate::protocols::{self, Protocols};
use crate::values::{boolean, burst, decimal, rate, text, word};

const FATES: [(&str, Fate); 2] = [("pass", Fate::Pass), ("drop", Fate::Drop)];

/// A policy that holds together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// What its author should know nevertheless: warnings and notes, in the order of the text.
    pub warnings: Vec<Problem>,
}

/// Reads a policy.
///
/// # Errors
///
/// All problems of the text, in its order, at least one of them an error.
pub fn check(text: &str) -> Result<Checked, Vec<Problem>> {
    if text.len() > limits::POLICY_BYTES {
        return Err(vec![
            Problem::of_text(format!(
                "the policy has {} bytes, more than the {} allowed",
                text.len(),
                limits::POLICY_BYTES
            ))
            .hint("write ranges instead of single ports"),
        ]);
    }
    let mut problems = Problems::default();
    let policy = Document::parse(text, &mut problems)
        .map(|document| Validator::new(text, &document, &mut problems).policy());
    let policy = policy.unwrap_or_else(|problem| {
        problems.push(*problem);
        None
    });
    match policy {
        Some(policy) if problems.errors() == 0 => {
            dead::warn(&policy, &mut problems);
            Ok(Checked {
                policy,
                warnings: problems.finish(),
            })
        }
        _ => {
            let list = problems.finish();
            debug_assert!(list.iter().any(|p| p.severity == Severity::Error));
            Err(list)
        }
    }
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

struct Validator<'d, 'a, 'p> {
    document: &'d Document<'a>,
    lines: Lines<'d>,
    problems: &'p mut Problems,
}

impl<'d, 'a, 'p> Validator<'d, 'a, 'p> {
    fn new(text: &'d str, document: &'d Document<'a>, problems: &'p mut Problems) -> Self {
        Self {
            document,
            lines: Lines::new(text),
            problems,
        }
    }

    fn policy(mut self) -> Option<Policy> {
        let root = self.document.root();
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
        let fields = Fields::read(self.document, root, pairs, &keys::POLICY, self.problems);
        self.version(&fields);
        let default = self.fate(&fields, "default", Fate::Pass);
        if default == Fate::Drop
            && let Some(field) = fields.get("default")
        {
            self.problems.push(
                Problem::warning(
                    field.value.span,
                    "`default: drop` also drops the replies to what this host asks",
                )
                .label("replies are not exempt yet")
                .hint(
                    "this version does not know replies: outbound connections break unless rules \
                     pass the answers",
                ),
            );
        }
        let essential = self.word(
            &fields,
            "essential",
            &[("pass", true), ("rules", false)],
            true,
        );
        let modes = [
            ("auto", AttachMode::Auto),
            ("native", AttachMode::Native),
            ("generic", AttachMode::Generic),
        ];
        Some(Policy {
            interfaces: self.interfaces(&fields),
            attach: self.word(&fields, "attach", &modes, AttachMode::Auto),
            default,
            essential,
            non_ip: self.fate(&fields, "non_ip", Fate::Pass),
            malformed: self.fate(&fields, "malformed", Fate::Drop),
            fragments: self.fragments(&fields),
            enforce: self.boolean(&fields, "enforce", true),
            rules: self.rules(&fields, essential),
        })
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

    fn fate(&mut self, fields: &Fields<'_, '_>, key: &str, otherwise: Fate) -> Fate {
        self.word(fields, key, &FATES, otherwise)
    }

    fn boolean(&mut self, fields: &Fields<'_, '_>, key: &str, otherwise: bool) -> bool {
        let field = fields.get(key);
        field
            .and_then(|field| boolean(field.value, key, self.problems))
            .unwrap_or(otherwise)
    }

    fn version(&mut self, fields: &Fields<'_, '_>) {
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

    fn interfaces(&mut self, fields: &Fields<'d, 'a>) -> Vec<InterfacePattern> {
        let Some(field) = fields.get("interfaces") else {
            return Vec::new();
        };
        let mut patterns: Vec<InterfacePattern> = Vec::new();
        let instead = "no `interfaces` at all";
        for node in list(self.document, field, "interfaces", instead, self.problems) {
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
                Ok(pattern) if patterns.contains(&pattern) => self.problems.push(
                    Problem::warning(node.span, format!("{} stands twice", quoted(text)))
                        .hint("remove one of the two"),
                ),
                Ok(pattern) => patterns.push(pattern),
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
        let fields = Fields::read(self.document, node, pairs, &keys::FRAGMENTS, self.problems);
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

    fn rules(&mut self, fields: &Fields<'d, 'a>, essential: bool) -> Vec<Rule> {
        const HINT: &str = "a policy that has no rules on purpose says `rules: []`";
        let Some(field) = fields.get("rules") else {
            if !fields.refused {
                let problem = Problem::warning(fields.head, "the policy has no `rules`");
                self.problems.push(problem.hint(HINT));
            }
            return Vec::new();
        };
        let Kind::Sequence(items) = &field.value.kind else {
            let span = if field.value.is_null() {
                field.key
            } else {
                field.value.span
            };
            let found = field.value.describe();
            self.problems.push(
                Problem::error(span, format!("`rules` is a list of rules, found {found}"))
                    .hint(HINT),
            );
            return Vec::new();
        };
        let mut rules = Vec::with_capacity(items.len());
        let mut names: BTreeMap<&'d str, Span> = BTreeMap::new();
        for id in items {
            if self.problems.is_full() {
                break;
            }
            let node = self.document.get(*id);
            let Kind::Mapping(pairs) = &node.kind else {
                self.problems.push(
                    Problem::error(
                        node.span,
                        format!("a rule is a mapping of keys, found {}", node.describe()),
                    )
                    .hint("write `{ name: no-telnet, action: drop, ports: 23/tcp }`"),
                );
                continue;
            };
            let fields = Fields::read(self.document, node, pairs, &keys::RULE, self.problems);
            rules.extend(self.rule(&fields, &mut names, essential));
        }
        rules
    }

    /// A rule; `None` if it cannot be told what it does.
    fn rule(
        &mut self,
        fields: &Fields<'d, 'a>,
        names: &mut BTreeMap<&'d str, Span>,
        essential: bool,
    ) -> Option<Rule> {
        let name = self.name(fields, names);
        let action = self.action(fields);
        let enforce = self.boolean(fields, "enforce", true);
        let comment = fields.get("comment").and_then(|field| self.comment(field));
        let services = self.services(fields, essential);
        let (name, span) = name?;
        let action = action?;
        if action == RuleAction::Pass && !enforce {
            self.problems.push(
                Problem::warning(
                    span,
                    format!("rule `{name}` has no effect: it passes, but is not enforced"),
                )
                .hint("`enforce: false` counts what a rule would drop; remove it or the rule"),
            );
        }
        Some(Rule {
            name,
            action,
            services,
            enforce,
            comment,
            line: self.lines.line(span.start),
            span,
        })
    }

    fn name(
        &mut self,
        fields: &Fields<'d, 'a>,
        names: &mut BTreeMap<&'d str, Span>,
    ) -> Option<(String, Span)> {
        const LONGEST: usize = 128;
        let Some(field) = fields.get("name") else {
            if !fields.refused {
                self.problems.push(
                    Problem::error(fields.head, "a rule has no `name`")
                        .hint("its name is the identity of its counters: `name: no-telnet`"),
                );
            }
            return None;
        };
        let span = field.value.span;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let Some(name) = text(field.value)
            .filter(|name| (1..=LONGEST).contains(&name.len()) && name.bytes().all(allowed))
        else {
            self.problems.push(
                Problem::error(
                    span,
                    format!("{} is no name of a rule", field.value.describe()),
                )
                .hint(format!(
                    "a name has letters, digits, `.`, `_` and `-`, at most {LONGEST}"
                )),
            );
            return None;
        };
        if let Some(before) = names.get(name) {
            self.problems.push(
                Problem::error(span, format!("two rules are called `{name}`"))
                    .label("again here")
                    .hint("the name is the identity of a rule's counters: give each its own")
                    .related(*before, "first here"),
            );
        } else {
            names.insert(name, span);
        }
        Some((name.to_owned(), span))
    }

    fn action(&mut self, fields: &Fields<'_, '_>) -> Option<RuleAction> {
        let Some(field) = fields.get("action") else {
            if !fields.refused {
                self.problems.push(
                    Problem::error(fields.head, "a rule has no `action`")
                        .hint("write `action: pass` or `action: drop`"),
                );
            }
            return None;
        };
        if let Some(later @ ("reject" | "limit")) = text(field.value) {
            self.problems.push(
                Problem::error(
                    field.value.span,
                    format!("`action: {later}` is not supported yet by this version"),
                )
                .label("not supported yet")
                .hint("write `pass` or `drop`"),
            );
            return None;
        }
        let words = [("pass", RuleAction::Pass), ("drop", RuleAction::Drop)];
        word(field.value, "action", &words, self.problems)
    }

    fn comment(&mut self, field: Field<'_, '_>) -> Option<String> {
        if let Some(text) = text(field.value) {
            return Some(text.to_owned());
        }
        let span = if field.value.is_null() {
            field.key
        } else {
            field.value.span
        };
        self.problems.push(
            Problem::error(
                span,
                format!("`comment` is a text, found {}", field.value.describe()),
            )
            .hint("write a text in quotes, or remove the key"),
        );
        None
    }

    /// What a rule matches. What is wrong with it leaves the policy refused, so then it may be anything.
    fn services(&mut self, fields: &Fields<'_, '_>, essential: bool) -> Vec<ServiceMatch> {
        let mut services = Vec::new();
        let protocol = fields.get("protocol");
        let ports = fields.get("ports");
        let protocols = protocol.map(|field| protocols::read(self.document, field, self.problems));
        match (protocols, ports) {
            (None, None) => {
                if !fields.refused {
                    self.problems.push(
                        Problem::error(fields.head, "a rule matches nothing in particular")
                            .hint("write `ports` or `protocol`; `protocol: any` is every packet"),
                    );
                }
            }
            (None, Some(ports)) => {
                ports::read(self.document, ports, None, &mut services, self.problems);
            }
            // Entries of `ports` are then judged by themselves.
            (Some(None), Some(ports)) => {
                let all = &Transport::ALL[..];
                ports::read(
                    self.document,
                    ports,
                    Some(all),
                    &mut services,
                    self.problems,
                );
            }
            (Some(None), None) => {}
            (Some(Some(protocols)), None) => {
                self.without_ports(&protocols, fields, essential, &mut services);
            }
            (Some(Some(protocols)), Some(ports)) => {
                self.with_ports(&protocols, ports, &mut services);
            }
        }
        services.sort_unstable();
        services.dedup();
        services
    }

    fn without_ports(
        &mut self,
        protocols: &Protocols,
        fields: &Fields<'_, '_>,
        essential: bool,
        services: &mut Vec<ServiceMatch>,
    ) {
        if let Some((transport, span)) = protocols.transports.first()
            && !fields.refused
        {
            self.problems.push(
                Problem::error(*span, format!("protocol `{transport}` needs `ports`"))
                    .hint("write `ports: any` if every port is meant"),
            );
        }
        for portless in &protocols.portless {
            services.push(portless.matches);
            match portless.matches {
                ServiceMatch::Protocol(2) => services.push(ServiceMatch::EssentialIgmp),
                ServiceMatch::Any
                | ServiceMatch::Icmp
                | ServiceMatch::Icmpv6
                | ServiceMatch::Protocol(1 | 58)
                    if essential =>
                {
                    self.problems.push(
                        Problem::note(
                            portless.span,
                            format!(
                                "{} does not cover essential traffic",
                                quoted(&portless.written)
                            ),
                        )
                        .hint(
                            "what keeps the network itself working is matched only by rules that \
                             name it; `essential: rules` takes the exemption away",
                        ),
                    );
                }
                _ => {}
            }
        }
    }

    fn with_ports(
        &mut self,
        protocols: &Protocols,
        ports: Field<'_, '_>,
        services: &mut Vec<ServiceMatch>,
    ) {
        for portless in &protocols.portless {
            let hint = match portless.matches {
                ServiceMatch::Any => "name the protocols: `protocol: [tcp, udp]`",
                _ => "remove `ports`, or make two rules",
            };
            self.problems.push(
                Problem::error(
                    portless.span,
                    format!("protocol {} has no ports", quoted(&portless.written)),
                )
                .hint(hint)
                .related(ports.key, "`ports` is given here"),
            );
        }
        let mut given: Vec<Transport> = protocols.transports.iter().map(|(own, _)| *own).collect();
        given.sort_unstable();
        given.dedup();
        let before = self.problems.errors();
        // A rule of other protocols alone is wrong already.
        let wanted = if given.is_empty() {
            &Transport::ALL[..]
        } else {
            &given
        };
        ports::read(self.document, ports, Some(wanted), services, self.problems);
        if self.problems.errors() > before {
            return;
        }
        for (transport, span) in &protocols.transports {
            let has = services.iter().any(|service| match service {
                ServiceMatch::Ports(own, _) | ServiceMatch::AnyPort(own) => own == transport,
                _ => false,
            });
            if !has {
                self.problems.push(
                    Problem::warning(
                        *span,
                        format!("protocol `{transport}` matches nothing in this rule"),
                    )
                    .hint("no entry of `ports` is one of it")
                    .related(ports.key, "the ports"),
                );
            }
        }
    }
}
