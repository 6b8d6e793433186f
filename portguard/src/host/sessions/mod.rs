//! The SSH sessions by which this host is administered.

mod caller;
mod servers;
mod sockets;
mod sshd_config;
mod units;
mod wildcard;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

pub use self::caller::{Connection, NoConnection, connection_of_caller};
use self::sockets::Socket;
use self::sshd_config::{DEFAULT_FILE, Endpoint, Listening};

/// An SSH session from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Session {
    /// Where it comes from, as its packets say.
    pub peer: SocketAddr,
    /// Where it ends on this host.
    pub local: SocketAddr,
    /// The interface that its socket is bound to, as those with link-local addresses are.
    pub bound: Option<u32>,
    /// Whether it is that of the person who asks.
    pub own: bool,
}

/// The open SSH sessions of this network namespace, in order: what is connected to where an SSH server really listens.
/// `caller` is the connection of the person who asks; it counts if it is open, and so do the others to the same port.
///
/// # Errors
///
/// When the kernel does not show its sockets.
pub fn find(caller: Option<Connection>) -> io::Result<Vec<Session>> {
    let listening = sockets::listening()?;
    let serving = serving(&listening);
    let places = serving
        .iter()
        .chain(caller.as_ref().map(|caller| &caller.local));
    let established = sockets::established(&places.map(SocketAddr::port).collect())?;
    Ok(sessions(&listening, &serving, &established, caller))
}

/// Those of the listening sockets at which SSH is served.
fn serving(listening: &[Socket]) -> Vec<SocketAddr> {
    let groups = units::groups();
    let in_unit = |socket: &&Socket| socket.cgroup.is_some_and(|group| groups.contains(&group));
    let mut serving: Vec<SocketAddr> = listening
        .iter()
        .filter(in_unit)
        .map(|socket| socket.local)
        .collect();
    let servers = servers::list();
    for server in &servers {
        let held = server.sockets();
        let mut own: Vec<SocketAddr> = listening
            .iter()
            .filter(|socket| held.contains(&socket.inode))
            .map(|socket| socket.local)
            .collect();
        // Nobody may look what it holds: then it is what it was told to listen at.
        if own.is_empty() {
            own = at(listening, &server.endpoints);
        }
        serving.extend(own);
    }
    // Processes may be hidden, and systemd may listen for one that does not run yet.
    if servers.is_empty() && Path::new(DEFAULT_FILE).exists() {
        let mut told = Listening::default();
        told.read(Path::new(DEFAULT_FILE));
        serving.extend(at(listening, &told.endpoints()));
    }
    serving
}

/// Where somebody listens of these places.
fn at(listening: &[Socket], endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    let is_told = |local: &SocketAddr| {
        endpoints.iter().any(|own| {
            own.port == local.port() && own.address.is_none_or(|address| address == local.ip())
        })
    };
    let locals = listening.iter().map(|socket| socket.local);
    locals.filter(is_told).collect()
}

fn sessions(
    listening: &[Socket],
    serving: &[SocketAddr],
    established: &[Socket],
    caller: Option<Connection>,
) -> Vec<Session> {
    let is_own = |socket: &Socket| {
        caller.is_some_and(|caller| caller.peer == socket.peer && caller.local == socket.local)
    };
    let own = established.iter().find(|socket| is_own(socket));
    let own_listener = own.and_then(|socket| listener(listening, socket.local));
    let is_session = |socket: &&Socket| {
        let listener = listener(listening, socket.local);
        is_own(socket)
            || listener.is_some_and(|listener| {
                serving.contains(&listener) || own_listener == Some(listener)
            })
    };
    let mut sessions: Vec<Session> = established
        .iter()
        .filter(is_session)
        .map(|socket| Session {
            peer: socket.peer,
            local: socket.local,
            bound: socket.bound,
            own: is_own(socket),
        })
        .collect();
    sessions.sort_unstable();
    sessions.dedup();
    sessions
}

/// Where the listening socket listens that a connection to a local address came through: the one for this address, or
/// else for any of its family, or for any.
fn listener(listening: &[Socket], local: SocketAddr) -> Option<SocketAddr> {
    let any_v4 = IpAddr::from([0; 4]);
    let any_v6 = IpAddr::from([0; 16]);
    let at = |address: IpAddr| {
        let wanted = SocketAddr::new(address, local.port());
        let mut locals = listening.iter().map(|socket| socket.local);
        locals.find(|own| *own == wanted)
    };
    let of_family = if local.is_ipv4() { at(any_v4) } else { None };
    at(local.ip()).or(of_family).or_else(|| at(any_v6))
}

#[cfg(test)]
mod tests {
    use super::sockets::State;
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn socket(state: State, local: &str, peer: &str) -> Socket {
        Socket {
            state,
            local: address(local),
            peer: address(peer),
            bound: None,
            inode: 0,
            cgroup: None,
        }
    }

    fn listening(locals: &[&str]) -> Vec<Socket> {
        let any = |local: &&str| socket(State::Listening, local, "0.0.0.0:0");
        locals.iter().map(any).collect()
    }

    fn peers(
        listening: &[Socket],
        serving: &[&str],
        established: &[(&str, &str)],
        caller: Option<&str>,
    ) -> Vec<String> {
        let serving: Vec<SocketAddr> = serving.iter().map(|text| address(text)).collect();
        let established: Vec<Socket> = established
            .iter()
            .map(|(local, peer)| socket(State::Established, local, peer))
            .collect();
        let caller = caller.map(|text| Connection::parse(text).expect("a connection"));
        let text = |session: &Session| {
            let own = if session.own { "own " } else { "" };
            format!("{own}{}", session.peer)
        };
        let sessions = sessions(listening, &serving, &established, caller);
        sessions.iter().map(text).collect()
    }

    #[test]
    fn a_session_belongs_to_the_listener_nearest_to_its_address() {
        let table = listening(&["0.0.0.0:443", "192.0.2.2:443", "[::]:22", "0.0.0.0:80"]);
        let established = [
            ("192.0.2.1:443", "198.51.100.1:1"),
            ("192.0.2.2:443", "198.51.100.2:1"),
            ("192.0.2.1:22", "198.51.100.3:1"),
            ("[2001:db8::1]:22", "[2001:db8::9]:1"),
            ("192.0.2.1:80", "198.51.100.4:1"),
            // What this host opened itself, to the SSH server of another.
            ("192.0.2.1:40000", "198.51.100.5:22"),
        ];
        let of = |serving| peers(&table, serving, &established, None);
        assert_eq!(of(&["0.0.0.0:443"]), ["198.51.100.1:1"]);
        assert_eq!(of(&["192.0.2.2:443"]), ["198.51.100.2:1"]);
        assert_eq!(of(&["[::]:22"]), ["198.51.100.3:1", "[2001:db8::9]:1"]);
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn the_callers_session_counts_if_it_is_open_and_says_where_ssh_is_served() {
        let table = listening(&["[::]:7022", "[::]:80"]);
        let established = [
            ("192.0.2.1:7022", "198.51.100.9:40022"),
            ("192.0.2.1:7022", "198.51.100.8:1"),
            ("192.0.2.1:80", "198.51.100.7:1"),
        ];
        let of = |caller| peers(&table, &[], &established, Some(caller));
        assert_eq!(
            of("198.51.100.9 40022 192.0.2.1 7022"),
            ["198.51.100.8:1", "own 198.51.100.9:40022"]
        );
        // Left over in a terminal multiplexer from a connection that ended.
        assert!(of("198.51.100.9 40023 192.0.2.1 7022").is_empty());
        // Also where the listener is gone.
        assert_eq!(
            peers(
                &[],
                &[],
                &established,
                Some("198.51.100.9 40022 192.0.2.1 7022")
            ),
            ["own 198.51.100.9:40022"]
        );
    }

    #[test]
    fn only_where_somebody_listens_can_ssh_be_served() {
        let table = listening(&["192.0.2.1:22", "[::]:2222", "0.0.0.0:2222"]);
        let endpoint = |address: Option<&str>, port| Endpoint {
            address: address.map(|text| text.parse().expect("an address")),
            port,
        };
        assert_eq!(
            at(&table, &[endpoint(None, 2222), endpoint(None, 443)]),
            [address("[::]:2222"), address("0.0.0.0:2222")]
        );
        assert_eq!(
            at(&table, &[endpoint(Some("192.0.2.1"), 22)]),
            [address("192.0.2.1:22")]
        );
        assert!(at(&table, &[endpoint(Some("192.0.2.2"), 22)]).is_empty());
    }
}
