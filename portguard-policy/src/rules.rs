//! The rules of a policy.

use std::collections::BTreeMap;

use crate::document::Kind;
use crate::keys::{self, Field, Fields};
use crate::policy::{Rule, RuleAction, ServiceMatch, Transport};
use crate::ports;
use crate::problem::{Problem, Span, quoted};
use crate::protocols::{self, Protocols};
use crate::types;
use crate::validate::Validator;
use crate::values::{text, word};

impl<'d, 'a> Validator<'d, 'a, '_> {
    pub(crate) fn rules(&mut self, fields: &Fields<'d, 'a>, essential: bool) -> Vec<Rule> {
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
        let errors = self.problems.errors();
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
        if action == RuleAction::Drop && enforce && self.problems.errors() == errors {
            self.warn_of_replies(&services, span);
        }
        Some(Rule {
            name,
            action,
            services,
            source_ports: None,
            from: None,
            to: None,
            interfaces: None,
            vlans: None,
            enforce,
            comment,
            line: self.lines.line(span.start),
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
                .label("replies are not exempt yet")
                .hint(
                    "they arrive at ports from 32768 up; this version does not know replies: put a \
                     rule before it that passes them",
                ),
            );
        }
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
        if let Some(types) = fields.get("types") {
            self.types(types, protocols, ports, &mut services);
            return sorted(services);
        }
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
                let host = &self.host;
                ports::read(
                    self.document,
                    ports,
                    None,
                    host,
                    &mut services,
                    self.problems,
                );
            }
            // Entries of `ports` are then judged by themselves.
            (Some(None), Some(ports)) => {
                let all = &Transport::ALL[..];
                ports::read(
                    self.document,
                    ports,
                    Some(all),
                    &self.host,
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
        sorted(services)
    }

    /// `types`, which stands for the whole of what its protocols match.
    fn types(
        &mut self,
        types: Field<'_, '_>,
        protocols: Option<Option<Protocols>>,
        ports: Option<Field<'_, '_>>,
        services: &mut Vec<ServiceMatch>,
    ) {
        if let Some(ports) = ports {
            self.problems.push(
                Problem::error(ports.key, "`ports` and `types` exclude each other")
                    .hint("no protocol has both; make two rules")
                    .related(types.key, "`types` is given here"),
            );
            return;
        }
        // A `protocol` that cannot be read is reported already.
        let protocols = match protocols {
            None => Protocols::default(),
            Some(Some(protocols)) => protocols,
            Some(None) => return,
        };
        types::read(self.document, types, &protocols, services, self.problems);
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
        ports::read(
            self.document,
            ports,
            Some(wanted),
            &self.host,
            services,
            self.problems,
        );
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

fn sorted(mut services: Vec<ServiceMatch>) -> Vec<ServiceMatch> {
    services.sort_unstable();
    services.dedup();
    services
}
