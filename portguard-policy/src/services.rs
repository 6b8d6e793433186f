//! The services that a policy may name, as data: never the host's own table, so that a policy means the
//! same everywhere.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::policy::Transport;
use crate::suggest::nearest;

const TEXT: &str = include_str!("catalogue/services.txt");

/// A service of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// The ports that it has, with their protocols.
    pub ports: Vec<(Transport, u16)>,
    /// Other names of it.
    pub aliases: Vec<&'static str>,
    /// What it is for.
    pub purpose: &'static str,
}

impl Service {
    /// The protocols that it has, each once.
    pub fn transports(&self) -> Vec<Transport> {
        let has = |transport: &Transport| self.ports.iter().any(|(own, _)| own == transport);
        Transport::ALL.into_iter().filter(has).collect()
    }

    /// Its ports, each once, with the protocols that it has there.
    pub(crate) fn by_port(&self) -> BTreeMap<u16, Vec<Transport>> {
        let mut by_port: BTreeMap<u16, Vec<Transport>> = BTreeMap::new();
        for (transport, port) in &self.ports {
            by_port.entry(*port).or_default().push(*transport);
        }
        for transports in by_port.values_mut() {
            transports.sort_unstable();
        }
        by_port
    }
}

#[derive(Default)]
struct Catalogue {
    services: BTreeMap<&'static str, Service>,
    /// Alias to the names of the services that have it.
    aliases: BTreeMap<&'static str, Vec<&'static str>>,
    /// The first service of each port.
    ports: BTreeMap<(Transport, u16), &'static str>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let mut catalogue = Catalogue::default();
    for service in TEXT.lines().filter_map(parse) {
        for alias in &service.aliases {
            catalogue
                .aliases
                .entry(alias)
                .or_default()
                .push(service.name);
        }
        for port in &service.ports {
            catalogue.ports.entry(*port).or_insert(service.name);
        }
        catalogue.services.insert(service.name, service);
    }
    catalogue
});

/// The service of a name or an alias. A name wins over an alias of the same spelling: `syslog` is the
/// service of 514/udp, not 514/tcp, which only has it as another name of `shell`.
pub fn find(name: &str) -> Option<&'static Service> {
    let catalogue = &*CATALOGUE;
    catalogue.services.get(name).or_else(|| {
        let owner = catalogue.aliases.get(name)?.first()?;
        catalogue.services.get(owner)
    })
}

/// All services, by name.
pub(crate) fn all() -> impl Iterator<Item = &'static Service> {
    CATALOGUE.services.values()
}

/// The name of a port in the catalogue, by which a policy may call it.
pub fn name_of(transport: Transport, port: u16) -> Option<&'static str> {
    CATALOGUE.ports.get(&(transport, port)).copied()
}

/// What to write instead of a name that does not exist, or not for any of these protocols: services that
/// have the name as an alias first, then those of similar names.
pub(crate) fn suggestions(name: &str, transports: &[Transport]) -> Vec<&'static str> {
    let catalogue = &*CATALOGUE;
    let fits = |candidate: &&'static str| {
        *candidate != name
            && find(candidate).is_some_and(|service| {
                service
                    .transports()
                    .iter()
                    .any(|own| transports.contains(own))
            })
    };
    let owners = catalogue.aliases.get(name).into_iter().flatten().copied();
    let mut suggestions: Vec<&'static str> = owners.filter(|owner| fits(owner)).collect();
    let names = catalogue.services.keys().chain(catalogue.aliases.keys());
    for near in nearest(name, names.copied().filter(|name| fits(name))) {
        if !suggestions.contains(&near) {
            suggestions.push(near);
        }
    }
    suggestions.truncate(3);
    suggestions
}

/// One line of the data: `name port/protocol[,protocol]... alias... # purpose`.
fn parse(line: &'static str) -> Option<Service> {
    let (line, purpose) = line.split_once(" # ")?;
    let mut words = line.split_whitespace();
    let mut service = Service {
        name: words.next().filter(|name| !name.starts_with('#'))?,
        ports: Vec::new(),
        aliases: Vec::new(),
        purpose,
    };
    for word in words {
        match word.split_once('/') {
            None => service.aliases.push(word),
            Some((port, transports)) => {
                let port = port.parse().ok()?;
                for transport in transports.split(',') {
                    service.ports.push((Transport::from_name(transport)?, port));
                }
            }
        }
    }
    Some(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_a_service_of_its_own() {
        let mut lines = 0;
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let service = parse(line).unwrap_or_else(|| panic!("unreadable: {line}"));
            assert!(!service.ports.is_empty(), "{line}");
            assert!(service.ports.iter().all(|(_, port)| *port > 0), "{line}");
            assert!(!service.purpose.is_empty(), "{line}");
            lines += 1;
        }
        assert_eq!(CATALOGUE.services.len(), lines, "a name stands twice");
        assert!(lines > 280);
    }

    #[test]
    fn names_are_lower_case_and_never_read_as_ports() {
        let names = CATALOGUE.services.keys().chain(CATALOGUE.aliases.keys());
        for name in names {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || b"-_.+".contains(&byte)),
                "{name}"
            );
            assert!(name.bytes().any(|byte| byte.is_ascii_lowercase()), "{name}");
            assert_ne!(*name, "any");
        }
    }

    #[test]
    fn an_alias_belongs_to_one_service() {
        for (alias, owners) in &CATALOGUE.aliases {
            assert_eq!(owners.len(), 1, "{alias}");
        }
        let clashes = CATALOGUE.aliases.keys();
        let clashes: Vec<_> = clashes
            .filter(|alias| CATALOGUE.services.contains_key(*alias))
            .collect();
        assert_eq!(clashes, [&"dicom", &"syslog"], "document each in the data");
    }

    #[test]
    fn well_known_services() {
        use Transport::{Sctp, Tcp, Udp};
        for (name, own, ports) in [
            ("ssh", "ssh", vec![(Tcp, 22)]),
            ("www", "http", vec![(Tcp, 80)]),
            ("https", "https", vec![(Tcp, 443), (Udp, 443)]),
            ("domain", "domain", vec![(Tcp, 53), (Udp, 53)]),
            ("http-alt", "http-alt", vec![(Tcp, 8080)]),
            ("webcache", "http-alt", vec![(Tcp, 8080)]),
            ("ms-wbt-server", "ms-wbt-server", vec![(Tcp, 3389)]),
            ("x11", "x11", vec![(Tcp, 6000)]),
            ("x11-1", "x11-1", vec![(Tcp, 6001)]),
            ("x11-7", "x11-7", vec![(Tcp, 6007)]),
            ("exec", "exec", vec![(Tcp, 512)]),
            ("biff", "biff", vec![(Udp, 512)]),
            ("syslog", "syslog", vec![(Udp, 514)]),
            ("shell", "shell", vec![(Tcp, 514)]),
            ("amqp", "amqp", vec![(Sctp, 5672), (Tcp, 5672)]),
        ] {
            let service = find(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(service.name, own);
            assert_eq!(service.ports, ports, "{name}");
        }
        assert_eq!(name_of(Tcp, 22), Some("ssh"));
        assert_eq!(name_of(Udp, 514), Some("syslog"));
        assert_eq!(name_of(Sctp, 22), None);
        assert_eq!(find("SSH"), None);
        assert_eq!(find("nosuchname"), None);
    }

    #[test]
    fn suggestions_have_the_protocol_asked() {
        use Transport::{Tcp, Udp};
        assert_eq!(suggestions("SSH", &[Tcp])[0], "ssh");
        assert_eq!(suggestions("syslog", &[Tcp])[0], "shell");
        assert_eq!(suggestions("htttp", &[Tcp])[0], "http");
        assert!(!suggestions("ssh", &[Udp]).contains(&"ssh"));
    }
}
