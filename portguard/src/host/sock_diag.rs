//! The kernel's socket tables over netlink (`linux/inet_diag.h`): in one request what takes thousands of lines of
//! `/proc/net/tcp`, and with more of each socket than these have. Takes no capability.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket as Netlink, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;

/// `NLMSG_ERROR` and `NLMSG_DONE` of `linux/netlink.h`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `INET_DIAG_SKV6ONLY`: of sockets of IPv6 that are not connected.
const V6_ONLY: u16 = 11;

/// `INET_DIAG_LOCALS`: the addresses of an SCTP socket, each as a `struct sockaddr_storage`.
const LOCALS: u16 = 12;

/// `INET_DIAG_CGROUP_ID`: since Linux 5.9.
const CGROUP_ID: u16 = 21;

/// Bytes of `struct sockaddr_storage`.
const STORAGE: usize = 128;

/// Bytes of `struct nlmsghdr`, `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;

/// Which sockets are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    /// `AF_INET` or `AF_INET6`.
    pub(super) family: i32,
    /// `IPPROTO_TCP`, `IPPROTO_UDP`, `IPPROTO_SCTP` or `IPPROTO_RAW`.
    pub(super) protocol: i32,
    /// A bit for each state, by its number in `net/tcp_states.h`.
    pub(super) states: u32,
    /// The local port, or any.
    pub(super) port: Option<u16>,
}

/// A socket, as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `AF_INET` or `AF_INET6`.
    pub(super) family: i32,
    /// By its number in `net/tcp_states.h`.
    pub(super) state: u8,
    /// One of IPv6 may be IPv4-mapped. Of a raw socket, the port is its protocol.
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// The interface that it is bound to, as all with link-local addresses are.
    pub(super) bound: Option<u32>,
    /// The user whose it is.
    pub(super) user: u32,
    pub(super) inode: u64,
    /// ID of the control group in which it was made, or of the listening socket that it comes from.
    pub(super) cgroup: Option<u64>,
    /// Whether one of IPv6 is closed to IPv4; `None` where the kernel does not tell.
    pub(super) v6_only: Option<bool>,
    /// All addresses of an SCTP socket.
    pub(super) locals: Vec<IpAddr>,
}

/// The sockets that are asked for. The kernel sorts out: of thousands it tells those few.
///
/// # Errors
///
/// What the kernel says: it may have been built without this.
pub(super) fn sockets(query: &Query) -> io::Result<Vec<Entry>> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&NetlinkAddr::new(0, 0))?;
    netlink.send(&request(query), 0)?;
    let mut sockets = Vec::new();
    loop {
        let (bytes, _) = netlink.recv_from_full()?;
        if take(&bytes, &mut sockets)? == Dump::Ended {
            return Ok(sockets);
        }
    }
}

fn request(query: &Query) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // A sequence number, and the port of whoever asks, which the kernel knows.
    bytes.extend([0; 8]);
    // The family, the protocol, no extensions (those of interest come unasked), padding.
    bytes.extend([query.family as u8, query.protocol as u8, 0, 0]);
    bytes.extend(query.states.to_ne_bytes());
    // 0 is any, of the rest, too.
    bytes.extend(query.port.unwrap_or(0).to_be_bytes());
    bytes.resize(HEADER + REQUEST, 0);
    bytes
}

#[derive(Debug, PartialEq, Eq)]
enum Dump {
    GoesOn,
    Ended,
}

/// Reads the messages that came at once.
fn take(mut bytes: &[u8], sockets: &mut Vec<Entry>) -> io::Result<Dump> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    while !bytes.is_empty() {
        let length = number(bytes, 0).ok_or_else(invalid)? as usize;
        let message = bytes.get(HEADER..length).ok_or_else(invalid)?;
        match short(bytes, 4).ok_or_else(invalid)? {
            // Of a protocol that it knows nothing of, the kernel says so at the end.
            DONE => match number(message, 0).unwrap_or_default().cast_signed() {
                code @ ..0 => return Err(io::Error::from_raw_os_error(-code)),
                _ => return Ok(Dump::Ended),
            },
            ERROR => {
                let code = number(message, 0).ok_or_else(invalid)?.cast_signed();
                return Err(io::Error::from_raw_os_error(-code));
            }
            BY_FAMILY => sockets.push(socket(message).ok_or_else(invalid)?),
            _ => {}
        }
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
    }
    Ok(Dump::GoesOn)
}

/// One `struct inet_diag_msg` with its attributes.
fn socket(message: &[u8]) -> Option<Entry> {
    let fixed: &[u8; MESSAGE] = message.first_chunk()?;
    let family = i32::from(fixed[0]);
    let port = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let mut entry = Entry {
        family,
        state: fixed[1],
        local: SocketAddr::new(address(family, &fixed[8..])?, port(4)),
        peer: SocketAddr::new(address(family, &fixed[24..])?, port(6)),
        bound: number(fixed, 40).filter(|index| *index != 0),
        user: number(fixed, 64)?,
        inode: number(fixed, 68)?.into(),
        cgroup: None,
        v6_only: None,
        locals: Vec::new(),
    };
    let mut attributes = &message[MESSAGE..];
    while let (Some(length), Some(kind)) = (short(attributes, 0), short(attributes, 2)) {
        let value = attributes.get(4..usize::from(length))?;
        match kind {
            CGROUP_ID => entry.cgroup = value.first_chunk().copied().map(u64::from_ne_bytes),
            V6_ONLY => entry.v6_only = value.first().map(|flag| *flag != 0),
            LOCALS => entry.locals = value.chunks_exact(STORAGE).filter_map(stored).collect(),
            _ => {}
        }
        attributes = attributes.get(aligned(length.into())..).unwrap_or_default();
    }
    Some(entry)
}

/// An address, as packets carry it.
fn address(family: i32, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        libc::AF_INET => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// That of a `struct sockaddr_storage`.
fn stored(storage: &[u8]) -> Option<IpAddr> {
    let family = i32::from(short(storage, 0)?);
    // Behind the port, and of IPv6 behind the flow label, too.
    let at = if family == libc::AF_INET { 4 } else { 8 };
    address(family, storage.get(at..)?)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u16::from_ne_bytes)
}

/// Messages and attributes begin at multiples of 4 bytes.
const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_is_an_error_and_no_panic() {
        let mut message = vec![0; HEADER + MESSAGE];
        message[..4].copy_from_slice(&((HEADER + MESSAGE) as u32).to_ne_bytes());
        message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        message[HEADER] = libc::AF_INET as u8;
        message[HEADER + 1] = 1;
        // Attributes: one that is skipped, and a control group.
        message.extend([5, 0, 8, 0, 9, 0, 0, 0]);
        message.extend([12, 0, 21, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        let whole = message.len() as u32;
        message[..4].copy_from_slice(&whole.to_ne_bytes());
        let mut sockets = Vec::new();
        assert_eq!(take(&message, &mut sockets).expect("whole"), Dump::GoesOn);
        assert_eq!(sockets[0].cgroup, Some(7));
        for length in 1..message.len() {
            assert!(
                take(&message[..length], &mut Vec::new()).is_err(),
                "{length}"
            );
        }
        // The length says less than a message has.
        for length in 0..(HEADER + MESSAGE) as u32 {
            message[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(take(&message, &mut Vec::new()).is_err(), "{length}");
        }
    }

    #[test]
    fn attributes_tell_what_a_socket_of_ipv6_takes_and_the_addresses_of_sctp() {
        let mut message = vec![0; MESSAGE];
        message[0] = libc::AF_INET6 as u8;
        message[1] = 10;
        message[4..6].copy_from_slice(&7946_u16.to_be_bytes());
        message[64..68].copy_from_slice(&33_u32.to_ne_bytes());
        message.extend([5, 0, V6_ONLY as u8, 0, 1, 0, 0, 0]);
        let locals = 4 + 2 * STORAGE;
        message.extend((locals as u16).to_ne_bytes());
        message.extend(LOCALS.to_ne_bytes());
        let mut v4 = [0; STORAGE];
        v4[..8].copy_from_slice(&[libc::AF_INET as u8, 0, 0x1f, 0x0a, 192, 0, 2, 1]);
        let mut v6 = [0; STORAGE];
        v6[0] = libc::AF_INET6 as u8;
        v6[23] = 1;
        message.extend(v4);
        message.extend(v6);
        let entry = socket(&message).expect("a socket");
        assert_eq!(entry.v6_only, Some(true));
        assert_eq!((entry.user, entry.local.port()), (33, 7946));
        assert_eq!(
            entry.locals,
            ["192.0.2.1", "::1"].map(|text| text.parse::<IpAddr>().expect("an address"))
        );
    }

    #[test]
    fn the_kernels_refusal_is_an_error() {
        let mut message = vec![0; HEADER + 4];
        message[0] = (HEADER + 4) as u8;
        message[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        message[HEADER..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        let error = take(&message, &mut Vec::new()).expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        // The same where it comes at the end.
        message[4..6].copy_from_slice(&DONE.to_ne_bytes());
        let error = take(&message, &mut Vec::new()).expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        message[HEADER..].copy_from_slice(&0_i32.to_ne_bytes());
        assert_eq!(
            take(&message, &mut Vec::new()).expect("the end"),
            Dump::Ended
        );
    }
}
