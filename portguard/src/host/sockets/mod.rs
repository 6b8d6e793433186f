//! The sockets of this network namespace, with whose each is.

mod cgroup;
mod owners;
mod tables;

use std::io;
use std::net::{IpAddr, SocketAddr};

use portguard_policy::Transport;

pub use self::cgroup::{Container, Engine};
pub use self::owners::{Owners, Process};

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// A protocol with ports.
    Transport(Transport),
    /// An IP protocol by its number, on a raw socket.
    Raw(u8),
}

/// The packets that a socket takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Families {
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
    /// Both: a socket of IPv6 that was not told otherwise.
    Both,
}

impl Families {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::Both => "both",
        }
    }
}

/// What a socket is doing, as the kernel calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It waits for connections.
    Listen,
    /// It takes packets from anybody: UDP and raw sockets.
    Unconnected,
    /// It has a peer, in this state of TCP.
    Connected(&'static str),
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Unconnected => "unconnected",
            Self::Connected(name) => name,
        }
    }
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// What it speaks.
    pub protocol: Protocol,
    /// What it is doing.
    pub state: State,
    /// Where; an IPv4-mapped address is one of IPv4. Of a raw socket, the port is 0.
    pub local: SocketAddr,
    /// Further addresses of an SCTP socket.
    pub more_locals: Vec<IpAddr>,
    /// The other side, of one that has one.
    pub peer: Option<SocketAddr>,
    /// What it takes. Where the kernel does not tell, a socket at any address of IPv6 is taken for one of both.
    pub families: Families,
    /// Index of the interface that it is bound to.
    pub bound: Option<u32>,
    /// The user whose it is.
    pub user: u32,
    /// What tells it apart from all others; 0 if no process has it any more.
    pub inode: u64,
    /// ID of the control group in which it was made.
    pub cgroup: Option<u64>,
}

impl Socket {
    /// Whether it waits for anybody.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Listen | State::Unconnected)
    }

    /// Whether only this host itself can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.locals().all(|address| address.is_loopback())
    }

    /// All its addresses.
    pub fn locals(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.local.ip()).chain(self.more_locals.iter().copied())
    }

    /// Its protocol, of one with ports.
    #[must_use]
    pub const fn transport(&self) -> Option<Transport> {
        match self.protocol {
            Protocol::Transport(transport) => Some(transport),
            Protocol::Raw(_) => None,
        }
    }
}

/// Which sockets are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those that wait for anybody.
    Open,
    /// Those that have a peer, too.
    All,
}

/// The sockets of this namespace, by protocol, port and address.
///
/// # Errors
///
/// When the kernel does not show its sockets.
pub fn list(selection: Selection) -> io::Result<Vec<Socket>> {
    let mut sockets = tables::read()?;
    if selection == Selection::Open {
        sockets.retain(Socket::is_open);
    }
    sockets.sort_by_key(|own| {
        (
            own.protocol,
            own.local.port(),
            own.state,
            own.local.ip(),
            own.peer,
            own.inode,
        )
    });
    Ok(sockets)
}
