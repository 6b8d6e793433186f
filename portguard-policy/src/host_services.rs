//! `services`: the host's own names of ports.

use std::collections::BTreeMap;

use crate::document::{Document, Kind, Node};
use crate::keys::Field;
use crate::policy::{PortRange, Transport};
use crate::ports;
use crate::problem::{Problem, Problems, Span, quoted};
use crate::values::{list, text};

/// Names that this policy gives to ports, beside those of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostServices(BTreeMap<String, Vec<(Transport, PortRange)>>);

impl HostServices {
    /// The ports of a name.
    pub(crate) fn find(&self, name: &str) -> Option<&[(Transport, PortRange)]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The name of a port, if one stands for it alone.
    pub fn name_of(&self, transport: Transport, port: u16) -> Option<&str> {
        let own = PortRange {
            low: port,
            high: port,
        };
        let stands_for = |ports: &Vec<(Transport, PortRange)>| ports.contains(&(transport, own));
        let found = self.0.iter().find(|(_, ports)| stands_for(ports));
        found.map(|(name, _)| name.as_str())
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Reads `services`: a mapping of names to ports with their protocols.
pub(crate) fn read(
    document: &Document<'_>,
    field: Field<'_, '_>,
    problems: &mut Problems,
) -> HostServices {
    const EXAMPLE: &str = "write `services: { app: 8443/tcp, mesh: [7946/tcp, 7946/udp] }`";
    let mut services = HostServices::default();
    let Kind::Mapping(pairs) = &field.value.kind else {
        let found = field.value.describe();
        problems.push(
            Problem::error(
                field.key,
                format!("`services` is a mapping of names to ports, found {found}"),
            )
            .hint(EXAMPLE),
        );
        return services;
    };
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for (key, value) in pairs {
        if problems.is_full() {
            break;
        }
        let (key, value) = (document.get(*key), document.get(*value));
        let Some(name) = text(key).filter(|name| is_name(name)) else {
            problems.push(
                Problem::error(
                    key.span,
                    format!("{} is no name of a service", key.describe()),
                )
                .hint(
                    "a name begins with a lower-case letter and has lower-case letters, digits, \
                     `-`, `_`, `.` and `+`; `any` is taken",
                ),
            );
            continue;
        };
        if let Some(before) = seen.insert(name, key.span) {
            problems.push(
                Problem::error(key.span, format!("the service `{name}` stands twice"))
                    .label("again here")
                    .hint("give all its ports in one list")
                    .related(before, "first here"),
            );
            continue;
        }
        let field = Field {
            key: key.span,
            value,
        };
        let mut ports = Vec::new();
        for node in list(document, field, name, "no such service", problems) {
            match entry(node) {
                Ok(port) => ports.push(port),
                Err(problem) => problems.push(*problem),
            }
        }
        services.0.insert(name.to_owned(), ports);
    }
    services
}

fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.+".contains(&byte);
    name != ports::ANY
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(allowed)
}

/// A port or a range with its protocol, which a name cannot do without.
fn entry(node: &Node<'_>) -> Result<(Transport, PortRange), Box<Problem>> {
    let expected = || {
        Problem::error(
            node.span,
            format!(
                "expected a port with its protocol, found {}",
                node.describe()
            ),
        )
        .hint("write `8443/tcp`; several are a list: `[7946/tcp, 7946/udp]`")
    };
    let entry = text(node).ok_or_else(expected)?;
    let (base, suffix) = entry.split_once('/').ok_or_else(expected)?;
    let transport = ports::transport(node, suffix)?;
    match ports::range(node, base)? {
        Some(range) => Ok((transport, range)),
        None => Err(Problem::error(
            node.span,
            format!(
                "expected a port in front of `/{suffix}`, found {}",
                quoted(base)
            ),
        )
        .hint("a name of the host's own stands for numbers: `8443/tcp`")
        .into()),
    }
}
