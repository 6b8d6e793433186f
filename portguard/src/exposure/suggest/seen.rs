//! Who was seen to use what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use portguard_policy::{Prefix, Transport};

use crate::host::sockets::Socket;

/// Networks of peers have so many bits: what a site is mostly given.
const NETWORK_V4: u8 = 24;
const NETWORK_V6: u8 = 64;

/// Connections to ports at which this host listens.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    connections: BTreeSet<(Transport, u16, SocketAddr)>,
}

impl Seen {
    /// Takes in what is in the kernel's tables now. `own` are the addresses of this host, whose connections to itself do
    /// not come from outside.
    pub fn note(&mut self, sockets: &[Socket], own: &BTreeSet<IpAddr>) {
        let listened: BTreeSet<(Transport, u16)> = sockets
            .iter()
            .filter(|socket| socket.is_open())
            .filter_map(|socket| Some((socket.transport()?, socket.local.port())))
            .collect();
        for socket in sockets {
            let (Some(transport), Some(peer)) = (socket.transport(), socket.peer) else {
                continue;
            };
            let port = socket.local.port();
            let is_outside = !peer.ip().is_loopback() && !own.contains(&peer.ip());
            if is_outside && listened.contains(&(transport, port)) {
                self.connections.insert((transport, port, peer));
            }
        }
    }

    /// The networks from which a port was used, in order, with how many connections.
    #[must_use]
    pub fn at(&self, transport: Transport, port: u16) -> Vec<(Prefix, usize)> {
        let mut networks: BTreeMap<Prefix, usize> = BTreeMap::new();
        for (own, own_port, peer) in &self.connections {
            let length = if peer.is_ipv4() {
                NETWORK_V4
            } else {
                NETWORK_V6
            };
            if (*own, *own_port) == (transport, port)
                && let Some(network) = Prefix::new(peer.ip(), length)
            {
                *networks.entry(network).or_default() += 1;
            }
        }
        networks.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sockets::{Families, Protocol, State};

    fn socket(state: State, local: &str, peer: Option<&str>) -> Socket {
        let address = |text: &str| text.parse().expect("an address");
        Socket {
            protocol: Protocol::Transport(Transport::Tcp),
            state,
            local: address(local),
            more_locals: Vec::new(),
            peer: peer.map(address),
            families: Families::V4,
            bound: None,
            user: 0,
            inode: 0,
            cgroup: None,
        }
    }

    #[test]
    fn connections_from_outside_count_once_each_by_network() {
        let connected = State::Connected("established");
        let sockets = [
            socket(State::Listen, "0.0.0.0:80", None),
            socket(connected, "192.0.2.1:80", Some("198.51.100.7:40000")),
            socket(connected, "192.0.2.1:80", Some("198.51.100.8:40000")),
            socket(connected, "192.0.2.1:80", Some("203.0.113.1:1")),
            // Its own, and what it opened itself.
            socket(connected, "192.0.2.1:80", Some("192.0.2.1:40000")),
            socket(connected, "127.0.0.1:80", Some("127.0.0.1:40000")),
            socket(connected, "192.0.2.1:40001", Some("198.51.100.7:443")),
        ];
        let own = BTreeSet::from(["192.0.2.1".parse().expect("an address")]);
        let mut seen = Seen::default();
        seen.note(&sockets, &own);
        seen.note(&sockets, &own);
        let told: Vec<String> = seen
            .at(Transport::Tcp, 80)
            .iter()
            .map(|(prefix, count)| format!("{prefix} {count}"))
            .collect();
        assert_eq!(told, ["198.51.100.0/24 2", "203.0.113.0/24 1"]);
        assert!(seen.at(Transport::Tcp, 40_001).is_empty());
        assert!(seen.at(Transport::Udp, 80).is_empty());
    }
}
