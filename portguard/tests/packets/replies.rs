//! Replies to what this side started: what leaves is seen by the program that remembers it, at times that the test sets.

use portguard::dataplane::{Arrival, Generation, LoadOptions};
use portguard_common::abi::Builtin;
use portguard_policy::{Outcome, Tables};

use crate::filter::tables;
use crate::frames::{Ipv4, Packet, Segment, TCP, UDP, ethernet, icmp, portless};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 24 * 3600 * SECOND;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Ports of this side and of the other one.
const OURS: u16 = 40_000;
const THEIRS: u16 = 443;

/// A host that drops what it has not asked for. Its clock begins at one second, since 0 stands for the present.
struct Host {
    generation: Generation,
    now_ns: u64,
}

impl Host {
    fn new(settings: &str, rules: &[&str]) -> Self {
        let (tables, _): (Tables, _) = tables(settings, rules);
        let options = LoadOptions {
            bans: 1,
            count_all_buffers: true,
            trace: true,
            ..LoadOptions::default()
        };
        Self {
            generation: Generation::load(&tables, &options).unwrap(),
            now_ns: SECOND,
        }
    }

    fn dropping() -> Self {
        Self::new("default: drop", &[])
    }

    fn at(&self) -> Arrival {
        Arrival {
            ifindex: 1,
            now_ns: self.now_ns,
        }
    }

    fn sends(&self, frame: &[u8]) {
        self.generation.leaves(frame, self.at()).unwrap();
    }

    /// Whether it passes as a reply; otherwise it must be dropped by the default.
    fn takes(&self, frame: &[u8]) -> bool {
        let run = self.generation.run_as(frame, self.at()).unwrap();
        let is_reply = run.outcome == Outcome::Builtin(Builtin::Reply);
        assert_eq!(run.dropped, !is_reply);
        assert!(is_reply || run.outcome == Outcome::Builtin(Builtin::DefaultDrop));
        is_reply
    }

    fn wait(&mut self, time_ns: u64) {
        self.now_ns += time_ns;
    }
}

/// From this side: addresses and ports in their places.
fn out(segment: Segment) -> Vec<u8> {
    let mut packet = Packet::from(Ipv4::carrying(segment));
    let (sources, destinations) = packet.bytes[12..20].split_at_mut(4);
    sources.swap_with_slice(destinations);
    ethernet(packet)
}

fn back(segment: Segment) -> Vec<u8> {
    ethernet(Ipv4::carrying(segment))
}

fn segment(from: u16, to: u16, flags: u8) -> Segment {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    portless(TCP, &bytes)
}

fn sent(flags: u8) -> Vec<u8> {
    out(segment(OURS, THEIRS, flags))
}

fn received(flags: u8) -> Vec<u8> {
    back(segment(THEIRS, OURS, flags))
}

/// An echo request or reply with this identifier.
fn echo(kind: u8, identifier: u16) -> Segment {
    let mut bytes = icmp(kind, 0).bytes;
    bytes[4..6].copy_from_slice(&identifier.to_be_bytes());
    portless(1, &bytes)
}

#[test]
fn a_connection_that_this_side_opens_is_answered() {
    let host = Host::dropping();
    assert!(!host.takes(&received(SYN | ACK)));
    host.sends(&sent(SYN));
    assert!(host.takes(&received(SYN | ACK)));
    assert!(host.takes(&received(ACK)));
    assert!(host.takes(&received(RST)));
}

#[test]
fn an_attempt_is_never_a_reply() {
    let host = Host::dropping();
    host.sends(&sent(SYN));
    assert!(!host.takes(&received(SYN)));
    assert!(host.takes(&received(SYN | ACK)));
}

#[test]
fn another_port_or_address_is_no_reply() {
    let host = Host::dropping();
    host.sends(&sent(SYN));
    assert!(!host.takes(&back(segment(THEIRS, OURS + 1, ACK))));
    assert!(!host.takes(&back(segment(THEIRS + 1, OURS, ACK))));
    let mut other = received(ACK);
    other[29] ^= 1;
    assert!(!host.takes(&other));
}

#[test]
fn a_fragment_of_a_reply_is_no_reply() {
    let host = Host::new("default: drop\nfragments: drop", &[]);
    host.sends(&sent(SYN));
    let later = Ipv4::carrying(segment(THEIRS, OURS, ACK)).fragment(10, false);
    let run = host.generation.run_as(&ethernet(later), host.at()).unwrap();
    assert!(run.dropped);
    assert_eq!(run.outcome, Outcome::Builtin(Builtin::LaterFragment));
}

#[test]
fn what_answers_opens_nothing() {
    let host = Host::dropping();
    for flags in [SYN | ACK, ACK, FIN | ACK, RST, RST | ACK] {
        host.sends(&sent(flags));
        assert!(!host.takes(&received(ACK)), "{flags}");
    }
}

#[test]
fn a_reset_ends_a_connection() {
    let host = Host::dropping();
    host.sends(&sent(SYN));
    host.sends(&sent(RST));
    assert!(!host.takes(&received(ACK)));
}

/// What this side sends after the end had opened the connection again for a minute, or for five days.
#[test]
fn a_connection_that_is_over_stays_over() {
    for (last, lifetime) in [(FIN | ACK, 60 * SECOND), (ACK, 5 * DAY)] {
        let mut host = Host::dropping();
        host.sends(&sent(SYN));
        host.wait(2 * SECOND);
        host.sends(&sent(last));
        host.wait(lifetime - SECOND);
        assert!(host.takes(&received(ACK)));
        host.wait(2 * SECOND);
        assert!(!host.takes(&received(ACK)));
        for flags in [ACK, FIN | ACK, SYN | ACK] {
            host.sends(&sent(flags));
            assert!(!host.takes(&received(ACK)), "{flags} after {last}");
        }
        host.sends(&sent(SYN));
        assert!(host.takes(&received(ACK)));
    }
}

#[test]
fn an_echo_is_answered_with_its_identifier() {
    let mut host = Host::dropping();
    host.sends(&out(echo(8, 7)));
    assert!(host.takes(&back(echo(0, 7))));
    assert!(!host.takes(&back(echo(0, 8))));
    assert!(!host.takes(&back(echo(8, 7))));
    host.wait(181 * SECOND);
    assert!(!host.takes(&back(echo(0, 7))));
}

#[test]
fn an_error_that_quotes_a_flow_is_a_reply() {
    // `essential: rules`, or errors would pass anyway.
    let host = Host::new("default: drop\nessential: rules", &[]);
    let error = |quoted: &[u8]| {
        let mut bytes = vec![3, 3, 0, 0, 0, 0, 0, 0];
        bytes.extend(&quoted[14..]);
        back(portless(1, &bytes))
    };
    assert!(!host.takes(&error(&sent(SYN))));
    host.sends(&sent(SYN));
    assert!(host.takes(&error(&sent(SYN))));
    // One that this side never sent.
    assert!(!host.takes(&error(&received(SYN))));
    assert!(!host.takes(&error(&out(segment(OURS, THEIRS + 1, SYN)))));
}

#[test]
fn a_udp_port_that_closes_is_not_opened_by_its_server() {
    let datagram = |from: u16, to: u16| {
        let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
        bytes.extend([0, 8, 0, 0]);
        portless(UDP, &bytes)
    };
    let mut host = Host::dropping();
    host.sends(&out(datagram(53, 5000)));
    assert!(host.takes(&back(datagram(5000, 53))));
    let now_ns = host.now_ns;
    host.generation
        .close_ports([53].into_iter(), now_ns)
        .unwrap();
    assert!(!host.takes(&back(datagram(5000, 53))));
    host.wait(100 * SECOND);
    host.sends(&out(datagram(53, 5000)));
    assert!(!host.takes(&back(datagram(5000, 53))));
    host.wait(81 * SECOND);
    host.sends(&out(datagram(53, 5000)));
    assert!(host.takes(&back(datagram(5000, 53))));
}

#[test]
fn a_reply_from_a_banned_source_is_dropped() {
    let host = Host::dropping();
    host.sends(&sent(SYN));
    assert!(host.takes(&received(SYN | ACK)));
    let source = "198.51.100.9".parse().unwrap();
    let mut bans = host.generation.bans().unwrap();
    bans.ban(source, 2 * SECOND, host.now_ns).unwrap();
    let run = host.generation.run_as(&received(ACK), host.at()).unwrap();
    assert!(run.dropped);
    assert_eq!(run.outcome, Outcome::Builtin(Builtin::Banned));
    // The flow has gone on meanwhile.
    bans.remove(source).unwrap();
    assert!(host.takes(&received(ACK)));
}
