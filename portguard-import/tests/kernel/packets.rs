//! Random packets, of the kinds that a rule set speaks of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portguard_policy::{Packet, Payload, Transport};
use portguard_reference::random::Random;

use crate::host::{ADDRESSES, INTERFACES};

/// A packet as it goes over the cable.
pub(crate) struct Sent {
    pub(crate) packet: Packet,
    /// Of TCP: a packet with ACK alone, of a connection that nobody knows.
    pub(crate) open: bool,
    /// Number of the interface.
    pub(crate) interface: usize,
    pub(crate) frame: Vec<u8>,
}

impl Sent {
    /// Whether connection tracking sees the beginning of something in it.
    pub(crate) fn is_new(&self) -> bool {
        match self.packet.payload {
            Payload::Ports {
                transport: Transport::Tcp,
                ..
            } => !self.open,
            Payload::Ports { .. } | Payload::Portless(_) | Payload::LaterFragment(_) => true,
            Payload::Icmp { kind, .. } => match self.packet.source {
                IpAddr::V4(_) => matches!(kind, 8 | 13 | 15 | 17),
                IpAddr::V6(_) => matches!(kind, 128 | 139),
            },
        }
    }

    /// Whether it is to or from port 0, which no policy can name.
    pub(crate) fn has_port_0(&self) -> bool {
        matches!(
            self.packet.payload,
            Payload::Ports { source: 0, .. } | Payload::Ports { destination: 0, .. }
        )
    }

    /// Destination port, if it is of this protocol.
    pub(crate) fn port(&self, of: Transport) -> Option<u16> {
        match self.packet.payload {
            Payload::Ports {
                transport,
                destination,
                ..
            } if transport == of => Some(destination),
            _ => None,
        }
    }
}

/// Numbers and addresses that a text names.
struct Named {
    ports: Vec<u16>,
    sources: Vec<(IpAddr, u8)>,
}

fn named(text: &str) -> Named {
    let mut named = Named {
        ports: vec![22, 53, 80, 68],
        sources: Vec::new(),
    };
    let is_part = |letter: char| letter.is_ascii_hexdigit() || ".:/".contains(letter);
    for word in text.split(|letter: char| !is_part(letter)) {
        let (address, length) = word.split_once('/').unwrap_or((word, ""));
        if let Ok(address) = address.trim_end_matches(':').parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            named
                .sources
                .push((address, length.parse().unwrap_or(bits)));
        }
        for number in word.split([':', '.', '/']) {
            named.ports.extend(number.parse::<u16>());
        }
    }
    named
}

/// So many packets, each with a hardware address of its own: its number.
pub(crate) fn packets(text: &str, hardware: &[[u8; 6]], count: usize, seed: u64) -> Vec<Sent> {
    let random = &mut Random::new(seed);
    let named = named(text);
    (0..count)
        .map(|number| {
            let packet = packet(&named, random);
            let open = random.one_in(10);
            let interface = usize::from(random.one_in(3));
            let mut frame = if open {
                packet.frame_of_open_connection()
            } else {
                packet.frame()
            };
            frame[..6].copy_from_slice(&hardware[interface]);
            let [high, low] = u16::try_from(number).expect("few packets").to_be_bytes();
            frame[6..12].copy_from_slice(&[0x02, 0x01, 0, 0, high, low]);
            finish(&packet, &mut frame);
            let packet = Packet {
                interface: Some(INTERFACES[interface].to_owned()),
                ..packet
            };
            Sent {
                packet,
                open,
                interface,
                frame,
            }
        })
        .collect()
}

/// What the kernel wants of a packet before it asks any rule: a chunk in SCTP, and the checksum of IPv4.
fn finish(packet: &Packet, frame: &mut Vec<u8>) {
    if matches!(
        packet.payload,
        Payload::Ports {
            transport: Transport::Sctp,
            ..
        }
    ) {
        // INIT (RFC 9260, 3.3.2): 20 bytes, a tag, a window, streams, a sequence number.
        frame.extend([
            1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1,
        ]);
        let (at, length) = if packet.source.is_ipv4() {
            (16, 20 + 32)
        } else {
            (18, 32_u16)
        };
        frame[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    if packet.source.is_ipv4() {
        frame[24..26].fill(0);
        let sum: u32 = frame[14..34]
            .chunks(2)
            .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
            .sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        let sum = !u16::try_from(folded & 0xffff).expect("two bytes");
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
}

fn packet(named: &Named, random: &mut Random) -> Packet {
    let source = source(named, random);
    let is_v4 = source.is_ipv4();
    let payload = payload(named, is_v4, random);
    let hop_limit = match payload {
        Payload::Icmp {
            kind: 133..=137, ..
        } if !is_v4 => 255,
        _ => 64,
    };
    Packet {
        source,
        destination: destination(is_v4, random),
        payload,
        hop_limit,
        interface: None,
        vlan: 0,
    }
}

fn source(named: &Named, random: &mut Random) -> IpAddr {
    loop {
        let own = if !named.sources.is_empty() && !random.one_in(3) {
            let (address, length) = random.pick(&named.sources);
            within(address, length, random)
        } else if random.one_in(3) {
            let low = random.below(1 << 16) as u16;
            Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, low).into()
        } else {
            Ipv4Addr::from(random.below(1 << 32) as u32).into()
        };
        if is_possible(own) {
            return own;
        }
    }
}

/// An address of a prefix, or one just beside it.
fn within(address: IpAddr, length: u8, random: &mut Random) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let bits = u32::from(32 - length.min(32));
            let host = if bits == 0 {
                0
            } else {
                random.below(1 << bits) as u32
            };
            let beside = if random.one_in(4) {
                1_u32.checked_shl(bits).unwrap_or(0)
            } else {
                0
            };
            Ipv4Addr::from((u32::from(address) ^ host) ^ beside).into()
        }
        IpAddr::V6(address) => {
            let bits = u32::from(128 - length.min(128));
            let host = random.below(1 << bits.min(16)) as u128;
            let beside = if random.one_in(4) {
                1_u128.checked_shl(bits).unwrap_or(0)
            } else {
                0
            };
            Ipv6Addr::from((u128::from(address) ^ host) ^ beside).into()
        }
    }
}

/// Whether a packet from there may arrive at all.
fn is_possible(address: IpAddr) -> bool {
    let is_own = ADDRESSES.iter().any(|own| own.parse() == Ok(address));
    match address {
        IpAddr::V4(own) => {
            let [first, .., last] = own.octets();
            !(is_own || own.is_loopback() || first == 0 || first >= 224 || matches!(last, 0 | 255))
        }
        IpAddr::V6(own) => {
            !(is_own || own.is_multicast() || own.is_loopback() || own.segments()[0] == 0)
        }
    }
}

fn destination(is_v4: bool, random: &mut Random) -> IpAddr {
    let text = match (is_v4, random.below(10)) {
        (true, 0) => "255.255.255.255",
        (true, 1) => "224.0.0.1",
        (true, 2 | 3) => "192.0.2.10",
        (true, 4) => "203.0.113.200",
        (true, _) => "192.0.2.1",
        (false, 0) => "ff02::1",
        (false, 1 | 2) => "2001:db8::10",
        (false, _) => "2001:db8::1",
    };
    text.parse().expect("an address")
}

fn payload(named: &Named, is_v4: bool, random: &mut Random) -> Payload {
    match random.below(20) {
        0..=8 => ports(Transport::Tcp, named, random),
        9..=13 => ports(Transport::Udp, named, random),
        14 => ports(Transport::Sctp, named, random),
        15..=17 => {
            let kinds: &[u8] = if is_v4 {
                &[0, 3, 5, 8, 8, 8, 9, 11, 12, 13]
            } else {
                &[1, 2, 3, 4, 128, 128, 128, 129, 133, 134, 135, 136, 137]
            };
            Payload::Icmp {
                kind: random.pick(kinds),
                code: random.below(5) as u8,
            }
        }
        _ => Payload::Portless(random.pick(&[2, 47, 50, 89, 103])),
    }
}

fn ports(transport: Transport, named: &Named, random: &mut Random) -> Payload {
    let mut one = || match random.below(8) {
        0 => random.below(1 << 16) as u16,
        1 => random.pick(&named.ports).wrapping_add(1),
        2 => random.pick(&named.ports).wrapping_sub(1),
        _ => random.pick(&named.ports),
    };
    let (source, destination) = (one(), one());
    Payload::Ports {
        transport,
        source: if source < 1024 && destination.is_multiple_of(2) {
            source
        } else {
            source | 0x8000
        },
        destination,
    }
}
