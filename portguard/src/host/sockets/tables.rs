//! The kernel's tables: over netlink, and where it does not tell by that, from `/proc/net`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use portguard_policy::Transport;
use procfs::net::{TcpNetEntries, TcpNetEntry, UdpNetEntries, UdpNetEntry};
use procfs::{FromReadSI as _, ProcError, ProcResult, current_system_info};
use tracing::debug;

use super::{Families, Protocol, Socket, State};
use crate::host::sock_diag::{self, Entry, Query};

/// What a table is about.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tcp,
    Udp,
    Sctp,
    Raw,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Raw];

    const fn protocol(self) -> i32 {
        match self {
            Self::Tcp => libc::IPPROTO_TCP,
            Self::Udp => libc::IPPROTO_UDP,
            Self::Sctp => libc::IPPROTO_SCTP,
            Self::Raw => libc::IPPROTO_RAW,
        }
    }

    /// Its name in `/proc/net`.
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Raw => "raw",
        }
    }

    const fn transport(self) -> Option<Transport> {
        match self {
            Self::Tcp => Some(Transport::Tcp),
            Self::Udp => Some(Transport::Udp),
            Self::Sctp => Some(Transport::Sctp),
            Self::Raw => None,
        }
    }
}

/// All sockets of all tables.
pub(super) fn read() -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for kind in Kind::ALL {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let query = Query {
                family,
                protocol: kind.protocol(),
                states: u32::MAX,
                port: None,
            };
            let entries = match sock_diag::sockets(&query) {
                Ok(entries) => entries,
                Err(error) => from_proc(kind, family, &error)?,
            };
            sockets.extend(entries.iter().map(|entry| socket(kind, entry)));
        }
    }
    Ok(sockets)
}

/// `TCP_LISTEN` and `TCP_CLOSE` of `net/tcp_states.h`.
const LISTEN: u8 = 10;
const CLOSE: u8 = 7;

/// The others.
const fn connected(state: u8) -> &'static str {
    match state {
        1 => "established",
        2 => "syn-sent",
        3 => "syn-recv",
        4 => "fin-wait-1",
        5 => "fin-wait-2",
        6 => "time-wait",
        7 => "close",
        8 => "close-wait",
        9 => "last-ack",
        11 => "closing",
        // An attempt that waits for its acceptance, to this table.
        12 => "syn-recv",
        _ => "unknown",
    }
}

fn socket(kind: Kind, entry: &Entry) -> Socket {
    let local = canonical(entry.local);
    let peer = canonical(entry.peer);
    let has_peer = peer.port() != 0 || !peer.ip().is_unspecified();
    let state = match (entry.state, kind.transport()) {
        (LISTEN, _) => State::Listen,
        (CLOSE, None | Some(Transport::Udp)) if !has_peer => State::Unconnected,
        (state, _) => State::Connected(connected(state)),
    };
    let families = if local.is_ipv4() {
        Families::V4
    } else if local.ip().is_unspecified()
        && entry.v6_only != Some(true)
        && kind.transport().is_some()
    {
        Families::Both
    } else {
        Families::V6
    };
    let (protocol, local) = match kind.transport() {
        Some(transport) => (Protocol::Transport(transport), local),
        // Numbers of IP protocols have 8 bits, but for IPPROTO_RAW, which only sends.
        None => (
            Protocol::Raw(local.port() as u8),
            SocketAddr::new(local.ip(), 0),
        ),
    };
    Socket {
        protocol,
        state,
        local,
        more_locals: entry
            .locals
            .iter()
            .map(IpAddr::to_canonical)
            .filter(|address| *address != local.ip())
            .collect(),
        peer: has_peer.then_some(peer),
        families,
        bound: entry.bound,
        user: entry.user,
        inode: entry.inode,
        cgroup: entry.cgroup,
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The same from the tables in text, which know less. Those of this thread: a test may have moved it to another namespace.
fn from_proc(kind: Kind, family: i32, why: &io::Error) -> io::Result<Vec<Entry>> {
    let six = if family == libc::AF_INET6 { "6" } else { "" };
    let table = format!("/proc/thread-self/net/{}{six}", kind.name());
    let read: ProcResult<Vec<Entry>> = match kind {
        Kind::Tcp => {
            TcpNetEntries::from_file(&table, current_system_info()).map(|TcpNetEntries(entries)| {
                let one = |own: &TcpNetEntry| {
                    let (local, peer) = (own.local_address, own.remote_address);
                    in_text(family, own.state.to_u8(), local, peer, own.uid, own.inode)
                };
                entries.iter().map(one).collect()
            })
        }
        Kind::Udp | Kind::Raw => {
            UdpNetEntries::from_file(&table, current_system_info()).map(|UdpNetEntries(entries)| {
                let one = |own: &UdpNetEntry| {
                    let (local, peer) = (own.local_address, own.remote_address);
                    in_text(family, own.state.to_u8(), local, peer, own.uid, own.inode)
                };
                entries.iter().map(one).collect()
            })
        }
        // Its tables have another form; a kernel with it and without this part of netlink is rare.
        Kind::Sctp => Ok(Vec::new()),
    };
    debug!("the kernel does not tell its sockets over netlink ({why}): reading `{table}`");
    match read {
        // A kernel without IPv6 has no table of it, and `/proc/net/raw` is not everywhere.
        Err(ProcError::NotFound(_)) if family == libc::AF_INET6 || kind.transport().is_none() => {
            Ok(Vec::new())
        }
        read => read.map_err(io::Error::other),
    }
}

/// What a table in text tells of a socket: less than netlink.
fn in_text(
    family: i32,
    state: u8,
    local: SocketAddr,
    peer: SocketAddr,
    user: u32,
    inode: u64,
) -> Entry {
    Entry {
        family,
        state,
        local,
        peer,
        bound: None,
        user,
        inode,
        cgroup: None,
        v6_only: None,
        locals: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    fn of(kind: Kind, port: u16) -> [Vec<Entry>; 2] {
        let error = io::Error::from(io::ErrorKind::Unsupported);
        let at_port = |entries: Vec<Entry>| {
            let mut entries = entries;
            entries.retain(|own| own.local.port() == port);
            entries.sort_by_key(|own| (own.state, own.local, own.peer));
            entries
        };
        let mut netlink = Vec::new();
        let mut proc = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let query = Query {
                family,
                protocol: kind.protocol(),
                states: u32::MAX,
                port: None,
            };
            netlink.extend(sock_diag::sockets(&query).expect("the tables"));
            proc.extend(from_proc(kind, family, &error).expect("the tables"));
        }
        [netlink, proc].map(at_port)
    }

    #[test]
    fn both_ways_tell_the_same_but_for_what_one_does_not_know() {
        let listener = TcpListener::bind("[::]:0").expect("listens");
        let port = listener.local_addr().expect("an address").port();
        let _client = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let datagram_port = datagrams.local_addr().expect("an address").port();
        for (kind, port, expected) in [
            (Kind::Tcp, port, vec!["established", "listen"]),
            (Kind::Udp, datagram_port, vec!["unconnected"]),
        ] {
            let [netlink, proc] = of(kind, port);
            let mut states: Vec<&str> = netlink
                .iter()
                .map(|own| socket(kind, own).state.name())
                .collect();
            states.sort_unstable();
            assert_eq!(states, expected, "{netlink:?}");
            let less = |own: &Entry| Entry {
                cgroup: None,
                v6_only: None,
                bound: None,
                ..own.clone()
            };
            let netlink: Vec<Entry> = netlink.iter().map(less).collect();
            assert_eq!(netlink, proc);
        }
    }

    #[test]
    fn sockets_of_ipv6_take_both_unless_told_otherwise() {
        let entry = |local: &str, v6_only| Entry {
            family: libc::AF_INET6,
            state: LISTEN,
            local: local.parse().expect("an address"),
            peer: "[::]:0".parse().expect("an address"),
            bound: None,
            user: 0,
            inode: 1,
            cgroup: None,
            v6_only,
            locals: Vec::new(),
        };
        for (local, v6_only, expected) in [
            ("[::]:80", Some(false), Families::Both),
            ("[::]:80", Some(true), Families::V6),
            ("[::]:80", None, Families::Both),
            ("[2001:db8::1]:80", Some(false), Families::V6),
            ("[::ffff:192.0.2.1]:80", Some(false), Families::V4),
            ("0.0.0.0:80", None, Families::V4),
        ] {
            let found = socket(Kind::Tcp, &entry(local, v6_only));
            assert_eq!(found.families, expected, "{local} {v6_only:?}");
            assert_eq!(found.state, State::Listen);
        }
        let raw = Entry {
            state: CLOSE,
            ..entry("[::]:58", None)
        };
        let raw = socket(Kind::Raw, &raw);
        assert_eq!(raw.protocol, Protocol::Raw(58));
        assert_eq!((raw.families, raw.local.port()), (Families::V6, 0));
    }
}
