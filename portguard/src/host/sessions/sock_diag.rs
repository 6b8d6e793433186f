//! The kernel's socket tables over netlink (`linux/inet_diag.h`): in one request what takes thousands of lines of
//! `/proc/net/tcp`, and with the control group of each socket. Takes no capability.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::{Socket as Netlink, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};

use super::sockets::{Socket, State};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;

/// `NLMSG_ERROR` and `NLMSG_DONE` of `linux/netlink.h`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `INET_DIAG_CGROUP_ID`: since Linux 5.9.
const CGROUP_ID: u16 = 21;

/// Bytes of `struct nlmsghdr`, `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;

/// The TCP sockets of one family (`AF_INET`, `AF_INET6`) in a state, at a local port or at any. The kernel sorts out: of
/// thousands it tells those few.
///
/// # Errors
///
/// What the kernel says: it may have been built without this.
pub(super) fn sockets(family: u8, state: State, port: Option<u16>) -> io::Result<Vec<Socket>> {
    let mut netlink = Netlink::new(NETLINK_SOCK_DIAG)?;
    netlink.bind_auto()?;
    netlink.connect(&NetlinkAddr::new(0, 0))?;
    netlink.send(&request(family, state, port), 0)?;
    let mut sockets = Vec::new();
    loop {
        let (bytes, _) = netlink.recv_from_full()?;
        if take(&bytes, &mut sockets)? == Dump::Ended {
            return Ok(sockets);
        }
    }
}

fn request(family: u8, state: State, port: Option<u16>) -> Vec<u8> {
    let states = 1_u32 << state as u8;
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // A sequence number, and the port of whoever asks, which the kernel knows.
    bytes.extend([0; 8]);
    // The family, the protocol, no extensions (the control group comes unasked), padding.
    bytes.extend([family, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    // 0 is any, of the rest, too.
    bytes.extend(port.unwrap_or(0).to_be_bytes());
    bytes.resize(HEADER + REQUEST, 0);
    bytes
}

#[derive(Debug, PartialEq, Eq)]
enum Dump {
    GoesOn,
    Ended,
}

/// Reads the messages that came at once.
fn take(mut bytes: &[u8], sockets: &mut Vec<Socket>) -> io::Result<Dump> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    while !bytes.is_empty() {
        let length = number(bytes, 0).ok_or_else(invalid)? as usize;
        let message = bytes.get(HEADER..length).ok_or_else(invalid)?;
        match short(bytes, 4).ok_or_else(invalid)? {
            DONE => return Ok(Dump::Ended),
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
fn socket(message: &[u8]) -> Option<Socket> {
    let fixed: &[u8; MESSAGE] = message.first_chunk()?;
    let state = match fixed[1] {
        1 => State::Established,
        10 => State::Listening,
        _ => return None,
    };
    let port = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let local = SocketAddr::new(address(fixed[0], fixed, 8)?, port(4));
    let peer = SocketAddr::new(address(fixed[0], fixed, 24)?, port(6));
    Some(Socket {
        state,
        local,
        peer,
        bound: number(fixed, 40).filter(|index| *index != 0),
        inode: number(fixed, 68)?.into(),
        cgroup: cgroup(&message[MESSAGE..]),
    })
}

/// An address, as packets carry it.
fn address(family: u8, message: &[u8; MESSAGE], at: usize) -> Option<IpAddr> {
    let bytes = &message[at..];
    match i32::from(family) {
        libc::AF_INET => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        libc::AF_INET6 => {
            let address = Ipv6Addr::from(*bytes.first_chunk::<16>()?);
            Some(IpAddr::from(address).to_canonical())
        }
        _ => None,
    }
}

fn cgroup(mut attributes: &[u8]) -> Option<u64> {
    while let (Some(length), Some(kind)) = (short(attributes, 0), short(attributes, 2)) {
        let value = attributes.get(4..usize::from(length))?;
        if kind == CGROUP_ID {
            return value.first_chunk().copied().map(u64::from_ne_bytes);
        }
        attributes = attributes.get(aligned(length.into())..)?;
    }
    None
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
    fn the_kernels_refusal_is_an_error() {
        let mut message = vec![0; HEADER + 4];
        message[0] = (HEADER + 4) as u8;
        message[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        message[HEADER..].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        let error = take(&message, &mut Vec::new()).expect_err("refused");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
