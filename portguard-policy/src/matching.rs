//! What a rule matches by protocol, ports and types.

use crate::conditions::Conditions;
use crate::keys::{Field, Fields};
use crate::policy::{ServiceMatch, SourceMatch, Transport};
use crate::ports;
use crate::problem::{Problem, quoted};
use crate::protocols::{self, Protocols};
use crate::types;
use crate::validate::Validator;

/// Protocol, ports and types of a rule.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    pub(crate) services: Vec<ServiceMatch>,
    pub(crate) source_ports: Option<Vec<SourceMatch>>,
}

/// The fields of a rule that [`Matching`] is made of.
struct Written<'d, 'a> {
    /// `Some(None)` if it cannot be read, which has been reported.
    protocols: Option<Option<Protocols>>,
    ports: Option<Field<'d, 'a>>,
    source_ports: Option<Field<'d, 'a>>,
}

impl<'d, 'a> Validator<'d, 'a, '_> {
    /// What a rule matches. What is wrong with it leaves the policy refused, so then it may be anything.
    pub(crate) fn matching(&mut self, fields: &Fields<'d, 'a>, essential: bool) -> Matching {
        let protocols = fields
            .get("protocol")
            .map(|field| protocols::read(self.source.document, field, self.problems));
        let written = Written {
            protocols,
            ports: fields.get("ports"),
            source_ports: fields.get("source_ports"),
        };
        let mut matching = Matching::default();
        if let Some(types) = fields.get("types") {
            self.types(types, written, &mut matching.services);
        } else if written.ports.is_none() && written.source_ports.is_none() {
            self.portless(&written, fields, essential, &mut matching.services);
        } else {
            matching = self.with_ports(&written, fields);
        }
        matching.services.sort_unstable();
        matching.services.dedup();
        matching
    }

    /// `types`, which stands for the whole of what its protocols match.
    fn types(
        &mut self,
        types: Field<'_, '_>,
        written: Written<'_, '_>,
        services: &mut Vec<ServiceMatch>,
    ) {
        for (key, field) in [
            ("ports", written.ports),
            ("source_ports", written.source_ports),
        ] {
            if let Some(field) = field {
                self.problems.push(
                    Problem::error(field.key, format!("`{key}` and `types` exclude each other"))
                        .hint("no protocol has both; make two rules")
                        .related(types.key, "`types` is given here"),
                );
                return;
            }
        }
        // A `protocol` that cannot be read is reported already.
        let protocols = match written.protocols {
            None => Protocols::default(),
            Some(Some(protocols)) => protocols,
            Some(None) => return,
        };
        types::read(
            self.source.document,
            types,
            &protocols,
            services,
            self.problems,
        );
    }

    /// A rule without ports: that of its protocols, or of every packet if something else narrows it.
    fn portless(
        &mut self,
        written: &Written<'_, '_>,
        fields: &Fields<'_, '_>,
        essential: bool,
        services: &mut Vec<ServiceMatch>,
    ) {
        match &written.protocols {
            None if Conditions::KEYS.iter().any(|key| fields.get(key).is_some()) => {
                services.push(ServiceMatch::Any);
            }
            None if !fields.refused => self.problems.push(
                Problem::error(fields.head, "a rule matches nothing in particular")
                    .hint("write `ports`, `protocol` or `from`; `protocol: any` is every packet"),
            ),
            None | Some(None) => {}
            Some(Some(protocols)) => self.without_ports(protocols, fields, essential, services),
        }
    }

    fn without_ports(
        &mut self,
        protocols: &Protocols,
        fields: &Fields<'_, '_>,
        essential: bool,
        services: &mut Vec<ServiceMatch>,
    ) {
        self.needs_ports(protocols, fields);
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

    /// Refuses protocols that have ports where the rule says nothing of `ports`: a rule whose ports were
    /// forgotten would match every port.
    fn needs_ports(&mut self, protocols: &Protocols, fields: &Fields<'_, '_>) {
        if let Some((transport, span)) = protocols.transports.first()
            && !fields.refused
        {
            self.problems.push(
                Problem::error(*span, format!("protocol `{transport}` needs `ports`"))
                    .hint("write `ports: any` if every port is meant"),
            );
        }
    }

    fn with_ports(&mut self, written: &Written<'d, 'a>, fields: &Fields<'d, 'a>) -> Matching {
        let before = self.problems.errors();
        let given = match &written.protocols {
            None => None,
            // Entries are then judged by themselves.
            Some(None) => Some(Transport::ALL.to_vec()),
            Some(Some(protocols)) => {
                if written.ports.is_none() {
                    self.needs_ports(protocols, fields);
                }
                Some(self.transports(protocols, written))
            }
        };
        let mut read = |key: &str, field: Option<Field<'_, '_>>| {
            let mut matches = Vec::new();
            if let Some(field) = field {
                let given = given.as_deref();
                let host = &self.host;
                ports::read(
                    self.source.document,
                    field,
                    key,
                    given,
                    host,
                    &mut matches,
                    self.problems,
                );
            }
            matches
        };
        let services = read("ports", written.ports);
        let sources = read("source_ports", written.source_ports);
        let mut matching = Matching {
            services,
            source_ports: None,
        };
        if let Some(field) = written.source_ports
            && self.problems.errors() == before
        {
            self.join_source_ports(written, field, &sources, &mut matching);
        }
        if self.problems.errors() == before
            && let Some(Some(protocols)) = &written.protocols
            && let Some(key) = written.ports.or(written.source_ports)
        {
            self.warn_of_idle_protocols(protocols, key, &matching.services);
        }
        matching
    }

    /// What `protocol` allows for entries of ports, where it holds nothing else.
    fn transports(&mut self, protocols: &Protocols, written: &Written<'_, '_>) -> Vec<Transport> {
        let (name, key) = match (written.ports, written.source_ports) {
            (Some(ports), _) => ("ports", ports.key),
            (None, Some(ports)) => ("source_ports", ports.key),
            (None, None) => return Vec::new(),
        };
        for portless in &protocols.portless {
            let hint = match portless.matches {
                ServiceMatch::Any => "name the protocols: `protocol: [tcp, udp]`".to_owned(),
                _ => format!("remove `{name}`, or make two rules"),
            };
            self.problems.push(
                Problem::error(
                    portless.span,
                    format!("protocol {} has no ports", quoted(&portless.written)),
                )
                .hint(hint)
                .related(key, format!("`{name}` is given here")),
            );
        }
        let mut given: Vec<Transport> = protocols.transports.iter().map(|(own, _)| *own).collect();
        given.sort_unstable();
        given.dedup();
        // A rule of other protocols alone is wrong already.
        if given.is_empty() {
            Transport::ALL.to_vec()
        } else {
            given
        }
    }

    /// Joins `source_ports` with what the rule matches without: both must hold, so only protocols that both
    /// have are left.
    fn join_source_ports(
        &mut self,
        written: &Written<'_, '_>,
        field: Field<'_, '_>,
        sources: &[ServiceMatch],
        matching: &mut Matching,
    ) {
        let source_transports = all_transports(sources);
        let services = &mut matching.services;
        match written.ports {
            None => services.extend(source_transports.iter().copied().map(ServiceMatch::AnyPort)),
            Some(ports) => {
                let own = all_transports(services);
                services.retain(|service| {
                    transport(*service).is_some_and(|own| source_transports.contains(&own))
                });
                if services.is_empty() {
                    self.problems.push(
                        Problem::error(
                            field.key,
                            "`ports` and `source_ports` have no protocol in common",
                        )
                        .hint("both must hold: give them the same protocol, or make two rules")
                        .related(ports.key, "`ports` is given here"),
                    );
                    return;
                }
                for lost in own.iter().filter(|own| !source_transports.contains(own)) {
                    if written.protocols.is_none() {
                        self.problems.push(
                            Problem::warning(
                                field.key,
                                format!("this rule matches nothing of `{lost}`"),
                            )
                            .label(format!("no entry is one of `{lost}`"))
                            .hint("both `ports` and `source_ports` must hold")
                            .related(ports.key, "`ports` has it"),
                        );
                    }
                }
            }
        }
        let left = all_transports(services);
        let any = |own: Transport| sources.contains(&ServiceMatch::AnyPort(own));
        if left.iter().all(|own| any(*own)) {
            return;
        }
        let mut source_ports: Vec<SourceMatch> = sources
            .iter()
            .filter_map(|source| match *source {
                ServiceMatch::AnyPort(own) => Some((own, SourceMatch::AnyPort(own))),
                // Beside `any` a port says nothing more.
                ServiceMatch::Ports(own, range) if !any(own) => {
                    Some((own, SourceMatch::Ports(own, range)))
                }
                _ => None,
            })
            .filter(|(own, _)| left.contains(own))
            .map(|(_, source)| source)
            .collect();
        source_ports.sort_unstable();
        source_ports.dedup();
        matching.source_ports = Some(source_ports);
    }

    fn warn_of_idle_protocols(
        &mut self,
        protocols: &Protocols,
        ports: Field<'_, '_>,
        services: &[ServiceMatch],
    ) {
        let has = all_transports(services);
        for (transport, span) in &protocols.transports {
            if !has.contains(transport) {
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

/// The protocol of what has ports.
fn transport(service: ServiceMatch) -> Option<Transport> {
    match service {
        ServiceMatch::Ports(own, _) | ServiceMatch::AnyPort(own) => Some(own),
        ServiceMatch::DhcpAnswer | ServiceMatch::Dhcpv6Answer => Some(Transport::Udp),
        _ => None,
    }
}

fn all_transports(services: &[ServiceMatch]) -> Vec<Transport> {
    let has = |own: &Transport| {
        services
            .iter()
            .any(|service| transport(*service) == Some(*own))
    };
    Transport::ALL.into_iter().filter(has).collect()
}
