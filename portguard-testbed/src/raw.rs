//! Whole frames: sent and received as they are, tags and all.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, size_of_val};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

use crate::namespace::Namespace;

/// A packet socket on one device.
#[derive(Debug)]
pub struct RawSocket(OwnedFd);

impl RawSocket {
    /// Opens a socket on a device of a host.
    ///
    /// # Errors
    ///
    /// When the device does not exist.
    pub fn open(host: &Namespace, device: &str) -> anyhow::Result<Self> {
        host.enter(|| open(device))?
            .with_context(|| format!("cannot open a packet socket on `{device}`"))
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the descriptor is open, and `frame` is valid for its length.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// How many of the frames that have arrived hold `marker`; waits until the device was quiet for
    /// `patience`, for at most `limit` frames.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn count(&self, marker: &[u8], patience: Duration, limit: usize) -> io::Result<usize> {
        let frames = self.receive(patience, limit)?;
        let marked = frames.iter().filter(|frame| holds(frame, marker));
        Ok(marked.count())
    }

    /// The frames that have arrived (not those that the host sends); waits until the device was quiet
    /// for `patience`, for at most `limit` frames. The kernel has taken the outermost tag out of them.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn receive(&self, patience: Duration, limit: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut buffer = [0; 2048];
        while frames.len() < limit && wait(&self.0, patience)? {
            // SAFETY: the descriptor is open, and `buffer` is valid for writes of its length.
            let length = unsafe {
                libc::recv(
                    self.0.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                )
            };
            let Ok(length) = usize::try_from(length) else {
                return Err(io::Error::last_os_error());
            };
            frames.push(buffer[..length.min(buffer.len())].to_vec());
        }
        Ok(frames)
    }
}

/// Whether a frame holds `marker` anywhere.
#[must_use]
pub fn holds(frame: &[u8], marker: &[u8]) -> bool {
    !marker.is_empty() && frame.windows(marker.len()).any(|part| part == marker)
}

/// Whether there is something to read, at once or within `patience`.
pub(crate) fn wait(source: &impl AsRawFd, patience: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: source.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout_ms = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one structure is passed, and it is valid for reads and writes.
    let ready = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ready > 0)
}

fn open(device: &str) -> io::Result<RawSocket> {
    let protocol = (libc::ETH_P_ALL as u16).to_be();
    // SAFETY: no memory is passed.
    let fd = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            i32::from(protocol),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // What the host answers may quote what it was sent.
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    let name = CString::new(device)?;
    // SAFETY: `name` is a string that ends in NUL.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a structure of integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = i32::try_from(index).unwrap_or(0);
    // SAFETY: the address is valid for reads of its size.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(RawSocket(socket))
}

/// Sets an option of a socket that is an integer.
fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the descriptor is open; the option is an integer, valid for reads of its size.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The hardware address of a device of a host.
///
/// # Errors
///
/// When the device does not exist.
pub fn hardware_address(host: &Namespace, device: &str) -> anyhow::Result<[u8; 6]> {
    let shown = host.ip(&format!("-o link show dev {device}"))?;
    let text = shown
        .split_whitespace()
        .skip_while(|word| *word != "link/ether")
        .nth(1)
        .context("the device has no hardware address")?;
    let mut address = [0; 6];
    for (byte, digits) in address.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(digits, 16).context("no hardware address")?;
    }
    Ok(address)
}

/// Two ends of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Hardware address of the sender.
    pub from_mac: [u8; 6],
    /// Hardware address of the receiver.
    pub to_mac: [u8; 6],
    /// Address of the sender.
    pub from: IpAddr,
    /// Address of the receiver; of the same family.
    pub to: IpAddr,
}

/// VLAN tags, outermost first: EtherType and ID.
pub type Tags<'a> = &'a [(u16, u16)];

/// A UDP frame with these VLAN tags in front of its IP header.
///
/// # Errors
///
/// When the families differ or the payload is too long.
pub fn udp_frame(ends: Ends, tags: Tags<'_>, port: u16, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let builder = network(ends)?.udp(SOURCE_PORT, port);
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder
        .write(&mut frame, payload)
        .context("cannot build a frame")?;
    insert_tags(&mut frame, tags);
    Ok(frame)
}

/// A frame that asks for a TCP connection (SYN, with a payload to know it by) with these VLAN tags in
/// front of its IP header.
///
/// # Errors
///
/// When the families differ or the payload is too long.
pub fn tcp_syn_frame(
    ends: Ends,
    tags: Tags<'_>,
    port: u16,
    payload: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let builder = network(ends)?.tcp(SOURCE_PORT, port, 1, 64_240).syn();
    let mut frame = Vec::with_capacity(builder.size(payload.len()));
    builder
        .write(&mut frame, payload)
        .context("cannot build a frame")?;
    insert_tags(&mut frame, tags);
    Ok(frame)
}

/// A frame with an echo request of either family.
///
/// # Errors
///
/// When the families differ or the payload is too long.
pub fn echo_frame(ends: Ends, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let network = network(ends)?;
    let mut frame = Vec::new();
    match ends.to {
        IpAddr::V4(_) => network.icmpv4_echo_request(1, 1).write(&mut frame, payload),
        IpAddr::V6(_) => network.icmpv6_echo_request(1, 1).write(&mut frame, payload),
    }
    .context("cannot build a frame")?;
    Ok(frame)
}

/// Two fragments of a frame of those above that has no tags. The first carries `first` bytes of what is
/// behind the IP header: a multiple of 8.
///
/// # Errors
///
/// When the frame is shorter than that.
pub fn fragments(frame: &[u8], first: usize) -> anyhow::Result<[Vec<u8>; 2]> {
    const ETHERNET: usize = 14;
    const IPV4: usize = 20;
    const IPV6: usize = 40;
    let is_v4 = frame.get(ETHERNET).context("no packet")? >> 4 == 4;
    let (header, payload) = frame
        .split_at_checked(ETHERNET + if is_v4 { IPV4 } else { IPV6 })
        .context("no IP header")?;
    let (head, tail) = payload
        .split_at_checked(first)
        .context("too short for two fragments")?;
    let fragment = |part: &[u8], offset: usize, more: u16| -> anyhow::Result<Vec<u8>> {
        let units = u16::try_from(offset / 8)?;
        let mut fragment = header.to_vec();
        if is_v4 {
            let length = u16::try_from(IPV4 + part.len())?;
            fragment[16..18].copy_from_slice(&length.to_be_bytes());
            fragment[20..22].copy_from_slice(&(more << 13 | units).to_be_bytes());
            fragment[24..26].fill(0);
            let sum = checksum(&fragment[ETHERNET..]);
            fragment[24..26].copy_from_slice(&sum);
        } else {
            const FRAGMENT: u8 = 44;
            let length = u16::try_from(8 + part.len())?;
            fragment[18..20].copy_from_slice(&length.to_be_bytes());
            let next = std::mem::replace(&mut fragment[20], FRAGMENT);
            let field = (units << 3 | more).to_be_bytes();
            fragment.extend([next, 0, field[0], field[1], 0, 0, 0, 1]);
        }
        fragment.extend(part);
        Ok(fragment)
    };
    Ok([fragment(head, 0, 1)?, fragment(tail, first, 0)?])
}

/// The checksum of an IPv4 header (RFC 1071) whose own field is 0.
fn checksum(header: &[u8]) -> [u8; 2] {
    let words = header.chunks_exact(2);
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!(folded as u16)).to_be_bytes()
}

/// Source port of the frames built here.
pub const SOURCE_PORT: u16 = 40_000;

fn network(ends: Ends) -> anyhow::Result<PacketBuilderStep<IpHeaders>> {
    let ethernet = PacketBuilder::ethernet2(ends.from_mac, ends.to_mac);
    match (ends.from, ends.to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ok(ethernet.ipv4(from.octets(), to.octets(), 64)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ok(ethernet.ipv6(from.octets(), to.octets(), 64)),
        _ => anyhow::bail!("the addresses are of different families"),
    }
}

/// Behind the two hardware addresses, each before the type that it precedes.
pub(crate) fn insert_tags(frame: &mut Vec<u8>, tags: Tags<'_>) {
    let bytes: Vec<u8> = tags
        .iter()
        .flat_map(|(ether_type, id)| [ether_type.to_be_bytes(), id.to_be_bytes()])
        .flatten()
        .collect();
    frame.splice(12..12, bytes);
}

/// Some 80,000 small datagrams: the kernel counts its own overhead too.
const ROOMY_BUFFER_BYTES: libc::c_int = 64 * 1024 * 1024;

/// A UDP socket that loses nothing: its buffer holds what comes while its reader is away.
///
/// # Errors
///
/// When the port is taken, or the buffer is refused.
pub fn roomy_udp_socket(host: &Namespace, port: u16) -> anyhow::Result<UdpSocket> {
    host.enter(|| -> io::Result<UdpSocket> {
        let socket = bind_patiently((std::net::Ipv4Addr::UNSPECIFIED, port).into())?;
        set_option(
            &socket,
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            ROOMY_BUFFER_BYTES,
        )?;
        Ok(socket)
    })?
    .with_context(|| format!("cannot open UDP port {port}"))
}

/// A socket that was closed is open for a moment still in processes that other tests are about to start.
fn bind_patiently(address: std::net::SocketAddr) -> io::Result<UdpSocket> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match UdpSocket::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> Ends {
        Ends {
            from_mac: [2, 0, 0, 0, 0, 1],
            to_mac: [2, 0, 0, 0, 0, 2],
            from: IpAddr::from([192, 0, 2, 2]),
            to: IpAddr::from([192, 0, 2, 1]),
        }
    }

    #[test]
    fn tags_stand_between_the_addresses_and_the_type() {
        let tags = [(0x88a8, 100), (0x8100, 10)];
        let frame = tcp_syn_frame(ends(), &tags, 23, b"x").expect("a frame");
        assert_eq!(frame[..6], [2, 0, 0, 0, 0, 2]);
        assert_eq!(
            frame[12..22],
            [0x88, 0xa8, 0, 100, 0x81, 0, 0, 10, 0x08, 0x00]
        );
        let plain = tcp_syn_frame(ends(), &[], 23, b"x").expect("a frame");
        assert_eq!(frame[20..], plain[12..]);
    }

    #[test]
    fn fragments_carry_the_packet_in_two_parts() {
        let whole = udp_frame(ends(), &[], 53, &[7; 40]).expect("a frame");
        let [head, tail] = fragments(&whole, 16).expect("fragments");
        assert_eq!([&head[34..], &tail[34..]].concat(), whole[34..]);
        // Total length, flags and offset.
        assert_eq!(
            (&head[16..18], &head[20..22]),
            (&[0, 36][..], &[0x20, 0][..])
        );
        assert_eq!((&tail[16..18], &tail[20..22]), (&[0, 52][..], &[0, 2][..]));
        assert!(
            fragments(&whole, 56).is_err(),
            "48 bytes are behind the header"
        );

        let ends = Ends {
            from: IpAddr::from([1; 16]),
            to: IpAddr::from([2; 16]),
            ..ends()
        };
        let whole = echo_frame(ends, &[7; 40]).expect("a frame");
        let [head, tail] = fragments(&whole, 16).expect("fragments");
        assert_eq!([&head[62..], &tail[62..]].concat(), whole[54..]);
        // Payload length and next header, then the fragment header.
        assert_eq!(
            (&head[18..21], &head[54..58]),
            (&[0, 24, 44][..], &[58, 0, 0, 1][..])
        );
        assert_eq!(
            (&tail[18..21], &tail[54..58]),
            (&[0, 40, 44][..], &[58, 0, 0, 16][..])
        );
    }

    #[test]
    fn families_do_not_mix() {
        let ends = Ends {
            to: IpAddr::from([0; 16]),
            ..ends()
        };
        assert!(udp_frame(ends, &[], 53, b"x").is_err());
    }

    #[test]
    fn a_marker_is_found_anywhere_and_an_empty_one_nowhere() {
        assert!(holds(b"abc", b"bc"));
        assert!(!holds(b"abc", b"d"));
        assert!(!holds(b"abc", b""));
    }
}
