//! A host that drops by default gets the answers to what it asks, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use portguard_testbed::traffic::{Seen, Servers, probe_tcp, probe_udp};
use portguard_testbed::{Bed, CLIENT_V4, CLIENT_V6, Daemon, Namespace, SERVER_V4, SERVER_V6};

use crate::{binary, outcome_packets};

/// The two ends: the guarded host and the one outside, in both families.
const ENDS: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(SERVER_V4), IpAddr::V4(CLIENT_V4)),
    (IpAddr::V6(SERVER_V6), IpAddr::V6(CLIENT_V6)),
];

const PATIENCE: Duration = Duration::from_secs(5);
/// Long enough for an answer, and shorter than a test should take.
const SILENCE: Duration = Duration::from_millis(700);

fn policy(settings: &str, rules: &str) -> String {
    format!("version: 1\ninterfaces: [srv0]\n{settings}\nrules: {rules}\n")
}

/// Data goes both ways.
pub(crate) fn talks(one: &mut TcpStream, other: &mut TcpStream) {
    for stream in [&*one, &*other] {
        stream.set_read_timeout(Some(PATIENCE)).expect("sets");
    }
    let mut byte = [0];
    one.write_all(b"1").expect("writes");
    other.read_exact(&mut byte).expect("the other end hears");
    other.write_all(b"2").expect("writes");
    one.read_exact(&mut byte).expect("this end hears");
}

#[test]
fn answers_pass_and_what_nobody_asked_for_does_not() {
    let bed = Bed::new().expect("a bed");
    let daemon =
        Daemon::start(binary(), &bed.server, &policy("default: drop", "[]")).expect("a daemon");
    let _outside = Servers::start(&bed.client, &[7000], &[7001]).expect("servers");
    let _guarded = Servers::start(&bed.server, &[7000], &[7001]).expect("servers");
    for (guarded, outside) in ENDS {
        let replies = || outcome_packets(&daemon.counters().expect("counters"), "reply");
        let before = replies();
        let asked = (
            probe_tcp(&bed.server, outside, 7000, PATIENCE).expect("probe"),
            probe_udp(&bed.server, outside, 7001, 1, 32, PATIENCE).expect("probe"),
        );
        assert_eq!(asked, (Seen::Answer, Seen::Answer), "{outside}");
        assert!(replies() >= before + 3, "SYN-ACK, data and a datagram");
        let unasked = (
            probe_tcp(&bed.client, guarded, 7000, SILENCE).expect("probe"),
            probe_udp(&bed.client, guarded, 7001, 1, 32, SILENCE).expect("probe"),
        );
        assert_eq!(unasked, (Seen::Silence, Seen::Silence), "{guarded}");
    }
}

#[test]
fn replies_rules_takes_the_exemption_away() {
    let bed = Bed::new().expect("a bed");
    let settings = "default: drop\nreplies: rules";
    let _daemon = Daemon::start(binary(), &bed.server, &policy(settings, "[]")).expect("a daemon");
    let _outside = Servers::start(&bed.client, &[7000], &[7001]).expect("servers");
    for (_, outside) in ENDS {
        let asked = (
            probe_tcp(&bed.server, outside, 7000, SILENCE).expect("probe"),
            probe_udp(&bed.server, outside, 7001, 1, 32, SILENCE).expect("probe"),
        );
        assert_eq!(asked, (Seen::Silence, Seen::Silence), "{outside}");
    }
}

#[test]
fn connections_that_are_open_at_the_start_go_on_and_survive_reloads() {
    let bed = Bed::new().expect("a bed");
    let mut pairs = Vec::new();
    for (_, outside) in ENDS {
        let listener = bed.client.listen((outside, 0).into()).expect("listens");
        let address = listener.local_addr().expect("an address");
        let ours = bed.server.enter(|| TcpStream::connect(address));
        let ours = ours.expect("enters").expect("connects");
        let (theirs, _) = listener.accept().expect("accepts");
        pairs.push((ours, theirs));
    }
    let daemon =
        Daemon::start(binary(), &bed.server, &policy("default: drop", "[]")).expect("a daemon");
    for (ours, theirs) in &mut pairs {
        talks(ours, theirs);
    }
    let more = "[{name: ssh, action: pass, ports: 22/tcp}]";
    daemon
        .write_policy(&policy("default: drop", more))
        .expect("writes");
    assert!(daemon.reload().expect("runs").status.success());
    for (ours, theirs) in &mut pairs {
        talks(ours, theirs);
    }
}

#[test]
fn a_udp_port_that_closes_is_cut_at_once_although_its_server_goes_on_sending() {
    let bed = Bed::new().expect("a bed");
    let open = policy(
        "default: drop",
        "[{name: app, action: pass, ports: 9000/udp}]",
    );
    let daemon = Daemon::start(binary(), &bed.server, &open).expect("a daemon");
    for (guarded, outside) in ENDS {
        daemon.write_policy(&open).expect("writes");
        assert!(daemon.reload().expect("runs").status.success());
        let bind = |host: &Namespace, address: SocketAddr| {
            let socket = host.enter(|| UdpSocket::bind(address));
            socket.expect("enters").expect("binds")
        };
        let server = bind(&bed.server, (guarded, 9000).into());
        let client = bind(&bed.client, (outside, 0).into());
        server.set_read_timeout(Some(SILENCE)).expect("sets");
        let peer = client.local_addr().expect("an address");
        let mut buffer = [0; 16];
        client.send_to(b"hello", (guarded, 9000)).expect("sends");
        assert!(
            server.recv(&mut buffer).is_ok(),
            "{guarded}: the port is open"
        );

        daemon
            .write_policy(&policy("default: drop", "[]"))
            .expect("writes");
        assert!(daemon.reload().expect("runs").status.success());
        for _ in 0..3 {
            server.send_to(b"still here", peer).expect("sends");
            client.send_to(b"hello", (guarded, 9000)).expect("sends");
            assert!(
                server.recv(&mut buffer).is_err(),
                "{guarded}: the port is closed"
            );
        }
    }
}
