//! The connections of this host that it started itself.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use portguard_policy::Transport;
use procfs::ProcResult;
use procfs::net::{TcpNetEntry, TcpState, UdpNetEntry};

use crate::dataplane::StartedFlow;

/// The connections that are open now and that this host started: replies to them must pass, although nobody saw them
/// begin. A connection whose local port is listened on was started by the other side. What this host forwards for
/// others is not among them: the kernel's socket tables do not show it.
///
/// # Errors
///
/// When the kernel's socket tables cannot be read.
pub fn started() -> ProcResult<Vec<StartedFlow>> {
    let tcp = optional(procfs::net::tcp())?;
    let tcp = [tcp, optional(procfs::net::tcp6())?].concat();
    let udp = optional(procfs::net::udp())?;
    let udp = [udp, optional(procfs::net::udp6())?].concat();
    Ok(tcp_flows(&tcp).chain(udp_flows(&udp)).collect())
}

/// The UDP ports that are for clients: those that Linux gives to sockets which ask for none, but for those at which a
/// socket waits for anybody.
#[derive(Clone, Debug, Default)]
pub struct ClientPorts {
    range: Option<(u16, u16)>,
    served: HashSet<u16>,
}

impl ClientPorts {
    /// Whether a port is for clients.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let in_range = |(first, last): (u16, u16)| (first..=last).contains(&port);
        self.range.is_some_and(in_range) && !self.served.contains(&port)
    }
}

/// The UDP ports of this host that are for clients.
///
/// # Errors
///
/// When the kernel does not tell.
pub fn udp_ports_of_clients() -> ProcResult<ClientPorts> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut ends = range.split_ascii_whitespace().map(str::parse);
    let range = match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Some((first, last)),
        _ => None,
    };
    let sockets = [
        optional(procfs::net::udp())?,
        optional(procfs::net::udp6())?,
    ]
    .concat();
    let unconnected = sockets
        .iter()
        .filter(|entry| entry.remote_address.port() == 0);
    Ok(ClientPorts {
        range,
        served: unconnected
            .map(|entry| entry.local_address.port())
            .collect(),
    })
}

/// A kernel without IPv6 has no table of it.
fn optional<T>(table: ProcResult<Vec<T>>) -> ProcResult<Vec<T>> {
    match table {
        Err(procfs::ProcError::NotFound(_)) => Ok(Vec::new()),
        table => table,
    }
}

fn tcp_flows(entries: &[TcpNetEntry]) -> impl Iterator<Item = StartedFlow> {
    let listened: HashSet<(IpAddr, u16)> = entries
        .iter()
        .filter(|entry| entry.state == TcpState::Listen)
        .map(|entry| {
            let address = entry.local_address;
            (address.ip().to_canonical(), address.port())
        })
        .collect();
    let is_listened = move |address: SocketAddr| {
        let port = address.port();
        let ip = address.ip().to_canonical();
        let any = listened
            .iter()
            .any(|(own, own_port)| own.is_unspecified() && *own_port == port);
        any || listened.contains(&(ip, port))
    };
    entries
        .iter()
        .filter(|entry| {
            matches!(
                entry.state,
                TcpState::SynSent
                    | TcpState::Established
                    | TcpState::FinWait1
                    | TcpState::FinWait2
                    | TcpState::CloseWait
                    | TcpState::LastAck
                    | TcpState::Closing
            )
        })
        .filter(move |entry| !is_listened(entry.local_address))
        .map(|entry| StartedFlow {
            protocol: Transport::Tcp,
            ours: entry.local_address,
            theirs: entry.remote_address,
        })
}

/// A UDP socket that is connected has asked somebody.
fn udp_flows(entries: &[UdpNetEntry]) -> impl Iterator<Item = StartedFlow> {
    let connected = entries
        .iter()
        .filter(|entry| entry.remote_address.port() != 0);
    connected.map(|entry| StartedFlow {
        protocol: Transport::Udp,
        ours: entry.local_address,
        theirs: entry.remote_address,
    })
}
