//! The rules of a policy.

use crate::document::Kind;
use crate::keys::{self, Field, Fields};
use crate::limit;
use crate::policy::{Rule, RuleAction, ServiceMatch, Transport};
use crate::problem::{Problem, Span, all_of};
use crate::profiles::{self, ProfileRule};
use crate::suggest::nearest;
use crate::validate::{Settings, Validator};
use crate::values::{LONGEST_NAME, is_name, text, word};

impl<'d, 'a> Validator<'d, 'a, '_> {
    pub(crate) fn rules(&mut self, fields: &Fields<'d, 'a>, settings: Settings) -> Vec<Rule> {
        const HINT: &str = "one that has no rules on purpose says `rules: []`";
        let Some(field) = fields.get("rules") else {
            if !fields.refused {
                let message = match self.source.number {
                    0 => "the policy has no `rules`",
                    _ => "the drop-in has no `rules`",
                };
                let problem = Problem::warning(fields.head, message);
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
        for id in items {
            if self.problems.is_full() {
                break;
            }
            let node = self.source.document.get(*id);
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
            let is_profile = pairs
                .iter()
                .any(|(key, _)| text(self.source.document.get(*key)) == Some("profile"));
            if is_profile {
                let keys = &keys::PROFILE;
                let fields = Fields::read(self.source.document, node, pairs, keys, self.problems);
                rules.extend(self.profile(&fields));
                continue;
            }
            let fields = Fields::read(
                self.source.document,
                node,
                pairs,
                &keys::RULE,
                self.problems,
            );
            rules.extend(self.rule(&fields, settings));
        }
        rules
    }

    /// The rules of a profile, which stand in its place.
    fn profile(&mut self, fields: &Fields<'d, 'a>) -> Vec<Rule> {
        let enforce = self.boolean(fields, "enforce", true);
        let Some(field) = fields.get("profile") else {
            return Vec::new();
        };
        let span = field.value.span;
        let found = text(field.value);
        let Some((name, rules)) = found.and_then(|name| Some((name, profiles::find(name)?))) else {
            let near = found.map(|found| nearest(found, profiles::names()));
            let hint = match near.as_deref() {
                Some([near, ..]) => format!("did you mean `{near}`?"),
                _ => format!("there are {}", all_of(profiles::names())),
            };
            let found = field.value.describe();
            self.problems
                .push(Problem::error(span, format!("no profile is called {found}")).hint(hint));
            return Vec::new();
        };
        if let Some(before) = self.profiles.insert(name, span) {
            self.problems.push(
                Problem::error(span, format!("the profile `{name}` stands twice"))
                    .label("again here")
                    .hint("its rules are in force once: remove one of the two")
                    .related(before, "first here"),
            );
            return Vec::new();
        }
        for rule in rules {
            self.claim(&rule.name, span);
        }
        let place = self.place(span);
        let rule = |rule: &ProfileRule| Rule {
            name: rule.name.clone(),
            action: RuleAction::Drop,
            services: rule.services(),
            source_ports: None,
            from: None,
            to: None,
            interfaces: None,
            vlans: None,
            enforce,
            events: true,
            comment: Some(rule.comment.to_owned()),
            place: place.clone(),
            span,
        };
        rules.iter().map(rule).collect()
    }

    /// Takes a name for a rule, which no other may have.
    fn claim(&mut self, name: &'d str, span: Span) {
        if let Some(before) = self.rule_names.get(name) {
            self.problems.push(
                Problem::error(span, format!("two rules are called `{name}`"))
                    .label("again here")
                    .hint("the name is the identity of a rule's counters: give each its own")
                    .related(*before, "first here"),
            );
        } else {
            self.rule_names.insert(name, span);
        }
    }

    /// A rule; `None` if it cannot be told what it does.
    fn rule(&mut self, fields: &Fields<'d, 'a>, settings: Settings) -> Option<Rule> {
        let errors = self.problems.errors();
        let name = self.name(fields);
        let action = self.action(fields);
        let enforce = self.boolean(fields, "enforce", true);
        let events = self.boolean(fields, "events", true);
        let comment = fields.get("comment").and_then(|field| self.comment(field));
        let conditions = self.conditions(fields);
        let matching = self.matching(fields, settings.essential);
        let services = matching.services;
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
        if self.problems.errors() == errors {
            self.warn_of_families(fields, &conditions, &services);
            let drops = matches!(action, RuleAction::Drop | RuleAction::Reject);
            let wide = matching.source_ports.is_none() && conditions.is_empty();
            if drops && enforce && wide && !settings.replies {
                self.warn_of_replies(&services, span);
            }
        }
        Some(Rule {
            name,
            action,
            services,
            source_ports: matching.source_ports,
            from: conditions.from,
            to: conditions.to,
            interfaces: conditions.interfaces,
            vlans: conditions.vlans,
            enforce,
            events,
            comment,
            place: self.place(span),
            span,
        })
    }

    /// Answers to what this host asks arrive at ports of the range that Linux takes its own from.
    fn warn_of_replies(&mut self, services: &[ServiceMatch], span: Span) {
        /// `net.ipv4.ip_local_port_range` of Linux.
        const FIRST: u32 = 32_768;
        const LAST: u32 = 60_999;
        let dropped = |transport: Transport| -> u32 {
            let ports = services.iter().map(|service| match service {
                ServiceMatch::Any => LAST - FIRST + 1,
                ServiceMatch::AnyPort(own) if *own == transport => LAST - FIRST + 1,
                ServiceMatch::Ports(own, range) if *own == transport => {
                    let (low, high) = (u32::from(range.low), u32::from(range.high));
                    (high.min(LAST) + 1).saturating_sub(low.max(FIRST))
                }
                _ => 0,
            });
            ports.sum()
        };
        let half = (LAST - FIRST).div_ceil(2);
        if dropped(Transport::Tcp) > half || dropped(Transport::Udp) > half {
            self.problems.push(
                Problem::warning(
                    span,
                    "this rule also drops the replies to what this host asks",
                )
                .label("`replies: rules` takes their exemption away")
                .hint(
                    "they arrive at ports from 32768 up: put a rule before it that passes them, or \
                     remove `replies: rules`",
                ),
            );
        }
    }

    fn name(&mut self, fields: &Fields<'d, 'a>) -> Option<(String, Span)> {
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
        let Some(name) = text(field.value).filter(|name| is_name(name)) else {
            self.problems.push(
                Problem::error(
                    span,
                    format!("{} is no name of a rule", field.value.describe()),
                )
                .hint(format!(
                    "a name has letters, digits, `.`, `_` and `-`, at most {LONGEST_NAME}"
                )),
            );
            return None;
        };
        self.claim(name, span);
        Some((name.to_owned(), span))
    }

    fn action(&mut self, fields: &Fields<'_, '_>) -> Option<RuleAction> {
        let Some(field) = fields.get("action") else {
            if !fields.refused {
                self.problems.push(
                    Problem::error(fields.head, "a rule has no `action`")
                        .hint("write `action: pass`, `drop`, `reject` or `limit`"),
                );
            }
            return None;
        };
        let words = [
            ("pass", Word::Pass),
            ("drop", Word::Drop),
            ("reject", Word::Reject),
            ("limit", Word::Limit),
        ];
        let word = word(field.value, "action", &words, self.problems)?;
        if word != Word::Limit {
            limit::refuse_without(fields, word.name(), self.problems);
        }
        Some(match word {
            Word::Pass => RuleAction::Pass,
            Word::Drop => RuleAction::Drop,
            Word::Reject => RuleAction::Reject,
            Word::Limit => RuleAction::Limit(limit::read(fields, field.value.span, self.problems)?),
        })
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
}

/// What `action` says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Pass,
    Drop,
    Reject,
    Limit,
}

impl Word {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Limit => "limit",
        }
    }
}
