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
