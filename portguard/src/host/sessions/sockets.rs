//! The TCP sockets of this network namespace.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use procfs::net::{TcpNetEntries, TcpNetEntry, TcpState};
use procfs::{FromReadSI as _, ProcError, current_system_info};
use tracing::debug;

use crate::host::sock_diag::{self, Entry, Query};

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) state: State,
    /// Addresses are as packets carry them: an IPv4-mapped one is one of IPv4.
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// The interface that it is bound to, as all with link-local addresses are.
    pub(super) bound: Option<u32>,
    pub(super) inode: u64,
    /// ID of the control group in which it was made, or of the listening socket that it comes from.
    pub(super) cgroup: Option<u64>,
}

/// The states of interest, by their numbers in `net/tcp_states.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Established = 1,
    Listening = 10,
}

/// All that listen.
///
/// # Errors
///
/// When the kernel tells by neither of its two ways.
pub(super) fn listening() -> io::Result<Vec<Socket>> {
    over_netlink(State::Listening, &[None]).or_else(|error| from_proc(State::Listening, &error))
}

/// All that are established at these local ports.
///
/// # Errors
///
/// As [`listening`].
pub(super) fn established(ports: &BTreeSet<u16>) -> io::Result<Vec<Socket>> {
    let each: Vec<Option<u16>> = ports.iter().copied().map(Some).collect();
    let mut sockets = over_netlink(State::Established, &each)
        .or_else(|error| from_proc(State::Established, &error))?;
    sockets.retain(|socket| ports.contains(&socket.local.port()));
    Ok(sockets)
}

fn over_netlink(state: State, ports: &[Option<u16>]) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for port in ports {
            let query = Query {
                family,
                protocol: libc::IPPROTO_TCP,
                states: 1 << state as u8,
                port: *port,
            };
            let told = sock_diag::sockets(&query)?;
            sockets.extend(told.iter().map(|entry| told_by_netlink(entry, state)));
        }
    }
    Ok(sockets)
}

fn told_by_netlink(entry: &Entry, state: State) -> Socket {
    Socket {
        state,
        local: canonical(entry.local),
        peer: canonical(entry.peer),
        bound: entry.bound,
        inode: entry.inode,
        cgroup: entry.cgroup,
    }
}

/// The same from the tables in text, which know less. Those of this thread: a test may have moved it to another namespace.
fn from_proc(state: State, why: &io::Error) -> io::Result<Vec<Socket>> {
    debug!("the kernel has no socket tables over netlink ({why}): reading /proc/net");
    let mut sockets = Vec::new();
    for table in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        match TcpNetEntries::from_file(table, current_system_info()) {
            Ok(TcpNetEntries(entries)) => sockets.extend(entries.iter().filter_map(socket)),
            // A kernel without IPv6 has no table of it.
            Err(ProcError::NotFound(_)) if table.ends_with('6') => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    sockets.retain(|socket| socket.state == state);
    Ok(sockets)
}

fn socket(entry: &TcpNetEntry) -> Option<Socket> {
    let state = match entry.state {
        TcpState::Established => State::Established,
        TcpState::Listen => State::Listening,
        _ => return None,
    };
    Some(Socket {
        state,
        local: canonical(entry.local_address),
        peer: canonical(entry.remote_address),
        bound: None,
        inode: entry.inode,
        cgroup: None,
    })
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn both_ways_tell_the_same_of_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).expect("listens");
            let local = listener.local_addr().expect("an address");
            let target: SocketAddr = match address {
                "[::]:0" => ([127, 0, 0, 1], local.port()).into(),
                _ => local,
            };
            let client = TcpStream::connect(target).expect("connects");
            let (_accepted, peer) = listener.accept().expect("accepts");
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            assert_eq!(client.local_addr().expect("an address"), peer);
            let ports = BTreeSet::from([target.port(), peer.port()]);
            let error = io::Error::from(io::ErrorKind::Unsupported);
            let netlink = [
                listening().expect("the tables"),
                established(&ports).expect("the tables"),
            ];
            let proc = [State::Listening, State::Established]
                .map(|state| from_proc(state, &error).expect("the tables"));
            let (netlink, proc) = (netlink.concat(), proc.concat());
            let other = |own: &Socket| {
                own.state == State::Established && !ports.contains(&own.local.port())
            };
            assert!(!netlink.iter().any(other), "{netlink:?}");
            for sockets in [&netlink, &proc] {
                let found = |state, local: SocketAddr, peer: SocketAddr| {
                    let same =
                        |own: &&Socket| (own.state, own.local, own.peer) == (state, local, peer);
                    sockets.iter().find(same).copied()
                };
                let any = SocketAddr::new(
                    match local {
                        SocketAddr::V4(_) => [0; 4].into(),
                        SocketAddr::V6(_) => [0; 16].into(),
                    },
                    0,
                );
                let listening = found(State::Listening, local, any).expect("the listener");
                assert_ne!(listening.inode, 0);
                let accepted = found(State::Established, target, peer).expect("the server's end");
                assert_ne!(accepted.inode, listening.inode);
                found(State::Established, peer, target).expect("the client's end");
            }
            let inode = |sockets: &[Socket]| {
                let same = |own: &&Socket| own.state == State::Listening && own.local == local;
                sockets.iter().find(same).map(|own| own.inode)
            };
            assert_eq!(inode(&netlink), inode(&proc));
        }
    }
}
