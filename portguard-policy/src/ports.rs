//! `ports` and `source_ports` of a rule: numbers, ranges, services by name, `any`, each with its protocol.

use crate::document::{Document, Kind, Node};
use crate::host_services::HostServices;
use crate::keys::Field;
use crate::policy::{PortRange, ServiceMatch, Transport};
use crate::problem::{Problem, Problems, Span, all_of, one_of, quoted};
use crate::services;
use crate::suggest::nearest;
use crate::values::{decimal, list, text};

/// The word for every port.
pub(crate) const ANY: &str = "any";

/// Reads `ports` or `source_ports`, as `key` says, and adds what it matches to `services`. `given` holds
/// what `protocol` says, if anything.
pub(crate) fn read(
    document: &Document<'_>,
    field: Field<'_, '_>,
    key: &str,
    given: Option<&[Transport]>,
    host: &HostServices,
    services: &mut Vec<ServiceMatch>,
    problems: &mut Problems,
) {
    let instead = format!("`{key}: any`");
    for node in list(document, field, key, &instead, problems) {
        if problems.is_full() {
            break;
        }
        let entry = text(node).ok_or_else(|| expected(node));
        if let Err(problem) = entry.and_then(|text| one(node, text, given, host, services)) {
            problems.push(*problem);
        }
    }
}

/// Why a text names no ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PortsError {
    /// What is wrong, with what was found in backticks.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// The ports of an entry of `ports` that stands alone, each with its protocol: `25/tcp`, `smtp`, `6000-6063/tcp`; `25` is
/// both of TCP and of UDP. `services` are the host's own names.
///
/// # Errors
///
/// [`PortsError`]; `any` is one, too.
pub fn parse(
    entry: &str,
    services: &HostServices,
) -> Result<Vec<(Transport, PortRange)>, PortsError> {
    let node = Node {
        span: Span::default(),
        kind: Kind::Scalar {
            text: entry.into(),
            plain: true,
        },
    };
    let mut found = Vec::new();
    one(&node, entry, None, services, &mut found).map_err(|problem| PortsError {
        message: problem.message,
        hint: problem.hint.unwrap_or_default(),
    })?;
    if found
        .iter()
        .any(|own| matches!(own, ServiceMatch::AnyPort(_)))
    {
        return Err(PortsError {
            message: format!("{} is every port, and no port is meant so", quoted(entry)),
            hint:
                "name a port, a range or a service; `default: drop` closes all that no rule passes"
                    .to_owned(),
        });
    }
    let ports = found.into_iter().filter_map(|own| match own {
        ServiceMatch::Ports(transport, range) => Some((transport, range)),
        _ => None,
    });
    Ok(ports.collect())
}

/// One entry: `BASE` or `BASE/PROTOCOL`.
fn one(
    node: &Node<'_>,
    entry: &str,
    given: Option<&[Transport]>,
    host: &HostServices,
    services: &mut Vec<ServiceMatch>,
) -> Result<(), Box<Problem>> {
    let (base, suffix) = match entry.split_once('/') {
        None => (entry, None),
        Some((base, suffix)) => (base, Some(transport(node, suffix)?)),
    };
    if let (Some(suffix), Some(given)) = (suffix, given)
        && !given.contains(&suffix)
    {
        let names = all_of(given.iter().map(|own| own.name()));
        return Err(Problem::error(
            node.span,
            format!(
                "{} contradicts `protocol`, which says {names}",
                quoted(entry)
            ),
        )
        .hint(format!(
            "remove `/{suffix}`, or add `{suffix}` to `protocol`"
        ))
        .into());
    }
    // What an entry without a protocol of its own may stand for.
    let suffixes = suffix.map(|suffix| [suffix]);
    let own = suffixes.as_ref().map(<[Transport; 1]>::as_slice).or(given);
    let numbered = own.unwrap_or(&[Transport::Tcp, Transport::Udp]);

    if base == ANY {
        services.extend(numbered.iter().map(|own| ServiceMatch::AnyPort(*own)));
        return Ok(());
    }
    if let Some(range) = range(node, base)? {
        let ports = numbered.iter().map(|own| ServiceMatch::Ports(*own, range));
        services.extend(ports);
        match entry {
            "68/udp" => services.push(ServiceMatch::DhcpAnswer),
            "546/udp" => services.push(ServiceMatch::Dhcpv6Answer),
            _ => {}
        }
        return Ok(());
    }
    named(node, base, own.unwrap_or(&Transport::ALL), host, services)
}

/// The protocol behind the `/` of an entry.
pub(crate) fn transport(node: &Node<'_>, suffix: &str) -> Result<Transport, Box<Problem>> {
    let names = || Transport::ALL.map(Transport::name);
    Transport::from_name(suffix).ok_or_else(|| {
        let hint = match nearest(suffix, names()).first() {
            Some(near) => format!("did you mean `/{near}`?"),
            None => format!("protocols with ports are {}", all_of(names())),
        };
        Problem::error(
            node.span,
            format!(
                "the protocol of a port is {}, found {}",
                one_of(names()),
                quoted(suffix)
            ),
        )
        .hint(hint)
        .into()
    })
}

/// A port or a range of ports; `None` if it can only be a name.
pub(crate) fn range(node: &Node<'_>, base: &str) -> Result<Option<PortRange>, Box<Problem>> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits(base) {
        let port = port(node, base)?;
        return Ok(Some(PortRange {
            low: port,
            high: port,
        }));
    }
    let Some((low, high)) = base.split_once('-') else {
        return Ok(None);
    };
    if !digits(low) || !digits(high) {
        return Ok(None);
    }
    let (low, high) = (port(node, low)?, port(node, high)?);
    if low > high {
        return Err(Problem::error(
            node.span,
            format!("the range {} runs backwards", quoted(base)),
        )
        .hint(format!("write the lower port first: `{high}-{low}`"))
        .into());
    }
    Ok(Some(PortRange { low, high }))
}

/// A port of digits alone.
fn port(node: &Node<'_>, digits: &str) -> Result<u16, Box<Problem>> {
    let Some(number) = decimal(digits) else {
        let stripped = digits.trim_start_matches('0');
        let hint = if stripped.is_empty() {
            "a port is 1 to 65535".to_owned()
        } else {
            format!("write `{stripped}`; an octal number is not meant by anyone here")
        };
        return Err(Problem::error(
            node.span,
            format!("the port {} has leading zeros", quoted(digits)),
        )
        .hint(hint)
        .into());
    };
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) => Err(Problem::error(node.span, "the port `0` is out of range")
            .hint("a port is 1 to 65535; port 0 is matched by `any` alone")
            .into()),
        Err(_) => Err(Problem::error(
            node.span,
            format!("the port {} is out of range", quoted(digits)),
        )
        .hint("a port is 1 to 65535")
        .into()),
    }
}

/// A service by its name: one of the host's own first, then one of the catalogue.
fn named(
    node: &Node<'_>,
    name: &str,
    allowed: &[Transport],
    host: &HostServices,
    services: &mut Vec<ServiceMatch>,
) -> Result<(), Box<Problem>> {
    let single = |port: u16| PortRange {
        low: port,
        high: port,
    };
    let ports: Vec<(Transport, PortRange)> = match host.find(name) {
        Some(ports) => ports.to_vec(),
        None => match services::find(name) {
            Some(service) => {
                let ports = service.ports.iter();
                ports.map(|(own, port)| (*own, single(*port))).collect()
            }
            None => return Err(no_service(node, name, allowed, host)),
        },
    };
    let before = services.len();
    for (transport, range) in &ports {
        if allowed.contains(transport) {
            services.push(ServiceMatch::Ports(*transport, *range));
        }
    }
    // A service of the host's own without ports is reported where it stands.
    if services.len() == before && !ports.is_empty() {
        return Err(not_for(node, name, &ports, allowed));
    }
    Ok(())
}

fn not_for(
    node: &Node<'_>,
    name: &str,
    ports: &[(Transport, PortRange)],
    allowed: &[Transport],
) -> Box<Problem> {
    let wanted = one_of(allowed.iter().map(|own| own.name()));
    let has: Vec<String> = ports
        .iter()
        .map(|(transport, range)| format!("{range}/{transport}"))
        .collect();
    let mut hint = format!("{} is {}", quoted(name), has.join(", "));
    let others = services::suggestions(name, allowed);
    if !others.is_empty() {
        hint.push_str(&format!("; for {wanted} there is {}", one_of(others)));
    }
    Problem::error(
        node.span,
        format!("the service {} does not exist for {wanted}", quoted(name)),
    )
    .hint(hint)
    .into()
}

fn no_service(
    node: &Node<'_>,
    name: &str,
    allowed: &[Transport],
    host: &HostServices,
) -> Box<Problem> {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte));
    if !is_name {
        return expected(node);
    }
    let mut near = nearest(name, host.names());
    near.extend(services::suggestions(name, allowed));
    near.truncate(3);
    let hint = if near.is_empty() {
        "write the port as a number".to_owned()
    } else {
        format!(
            "did you mean {}? Else write the port as a number",
            one_of(near)
        )
    };
    Problem::error(node.span, format!("no service is called {}", quoted(name)))
        .hint(hint)
        .into()
}

/// What is neither a port, nor a range, nor a name. The words do not depend on quotes.
fn expected(node: &Node<'_>) -> Box<Problem> {
    Problem::error(
        node.span,
        format!(
            "expected a port, a range or a service name, found {}",
            node.describe()
        ),
    )
    .hint(spelling(node))
    .into()
}

/// What to write instead of an entry that was likely meant as a number or a range.
fn spelling(node: &Node<'_>) -> String {
    const PLAIN: &str = "a port is a plain decimal number from 1 to 65535, such as `22`";
    let Kind::Scalar { text, .. } = &node.kind else {
        return "a list of ports is written `[22, \"8000-8100\", ssh, 53/udp]`".to_owned();
    };
    if node.is_null() || text.trim().is_empty() {
        return "remove the entry, or write a port; `any` stands for every port".to_owned();
    }
    if text.contains(char::is_whitespace) {
        return "write it without blanks: a range is `80-90`".to_owned();
    }
    let base = text.split('/').next().unwrap_or_default();
    let parts: Vec<&str> = base
        .split(['-', ':', '.', ',', ';', '–'])
        .filter(|part| !part.is_empty())
        .collect();
    let numbers = parts
        .iter()
        .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    match parts.as_slice() {
        [low, high] if numbers && (!base.contains('.') || base.contains("..")) => {
            format!(
                "a range is written `{low}-{high}`; several ports are a list: `[{low}, {high}]`"
            )
        }
        [_] if numbers && base.ends_with('-') => "a range needs both ends: `80-65535`".to_owned(),
        _ => PLAIN.to_owned(),
    }
}
