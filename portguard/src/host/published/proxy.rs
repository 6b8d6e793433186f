//! Docker's proxy, which listens for a container.

use std::collections::BTreeSet;

use portguard_policy::{PortRange, Transport};

use super::{Published, Publisher};
use crate::host::sockets::{Owners, Socket};

/// What proxies hold these sockets for.
pub(super) fn read(sockets: &[Socket], owners: &Owners) -> Vec<Published> {
    let mut found = BTreeSet::new();
    for socket in sockets {
        for process in owners.processes(socket) {
            if process.name == "docker-proxy" {
                found.extend(published(&process.command));
            }
        }
    }
    found.into_iter().collect()
}

/// `docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80`
fn published(command: &[String]) -> Option<Published> {
    let value = |name: &str| {
        let place = command.iter().position(|word| word == name)?;
        command.get(place + 1)
    };
    let port: u16 = value("-host-port")?.parse().ok()?;
    let inner = value("-container-port")?;
    let address: Option<std::net::IpAddr> = value("-host-ip").and_then(|own| own.parse().ok());
    Some(Published {
        transport: Transport::from_name(value("-proto")?)?,
        ports: PortRange {
            low: port,
            high: port,
        },
        address: address.filter(|own| !own.is_unspecified()),
        target: format!("{}:{inner}", value("-container-ip")?),
        target_port: inner.parse().ok(),
        by: Publisher::DockerProxy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_all() {
        let command = "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80";
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let found = published(&words).expect("a port");
        assert_eq!((found.ports.low, found.ports.high), (8080, 8080));
        assert_eq!(found.address, None);
        assert_eq!(found.target, "172.17.0.2:80");
        assert_eq!(found.target_port, Some(80));
        for length in 0..words.len() {
            assert_eq!(published(&words[..length]), None, "{length}");
        }
    }
}
