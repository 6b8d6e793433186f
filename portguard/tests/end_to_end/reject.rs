//! Real clients that are refused at once, with a server behind the filter that would have answered.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use portguard_testbed::traffic::{Seen, Servers, probe_tcp, probe_udp};
use portguard_testbed::{Bed, Daemon, SERVER_V4, SERVER_V6, in_time};

use crate::{binary, rule_packets};

const FAMILIES: [IpAddr; 2] = [IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)];

/// Far more than an answer takes, and less than a second SYN.
const AT_ONCE: Duration = Duration::from_millis(900);

/// Long enough a datagram that an error that quotes it is not longer.
const DATAGRAM_BYTES: usize = 100;

fn policy(attach: &str, device: &str, rules: &str) -> String {
    format!("version: 1\ninterfaces: [{device}]\nattach: {attach}\nrules: {rules}\n")
}

const RULES: &str = "[{name: no, action: reject, ports: [7000/tcp, 7001/udp]}]";

fn expect_refusals(bed: &Bed, daemon: &Daemon) {
    let _servers = Servers::start(&bed.server, &[7000, 7002], &[7001, 7003]).expect("servers");
    for server in FAMILIES {
        let packets = || rule_packets(&daemon.counters().expect("counters"), "no");
        let tcp = |port| probe_tcp(&bed.client, server, port, Duration::from_secs(5));
        let udp = |port| {
            let patience = Duration::from_secs(5);
            probe_udp(&bed.client, server, port, 1, DATAGRAM_BYTES, patience)
        };
        // Neighbours are resolved by now, and what is passed is answered by the servers.
        let open = (tcp(7002).expect("probe"), udp(7003).expect("probe"));
        assert_eq!(open, (Seen::Answer, Seen::Answer), "{server}");

        in_time(|| {
            let before = packets();
            let start = Instant::now();
            let refused = (tcp(7000).expect("probe"), udp(7001).expect("probe"));
            assert_eq!(refused, (Seen::Refused, Seen::Refused), "{server}");
            assert!(start.elapsed() < AT_ONCE, "{server}: {:?}", start.elapsed());
            assert_eq!(packets() - before, 2, "{server}: one SYN, one datagram");
        });
    }
}

#[test]
fn clients_are_refused_at_once_in_generic_mode() {
    let bed = Bed::new().expect("a bed");
    let policy = policy("generic", "srv0", RULES);
    let daemon = Daemon::start(binary(), &bed.server, &policy).expect("a daemon");
    expect_refusals(&bed, &daemon);
}

#[test]
fn clients_are_refused_at_once_in_native_mode() {
    let bed = Bed::new().expect("a bed");
    // What one end of a veth sends back natively, the other takes only with a program of its own.
    let peer = policy("native", "cli0", "[]");
    let _peer = Daemon::start(binary(), &bed.client, &peer).expect("a daemon of the peer");
    let policy = policy("native", "srv0", RULES);
    let daemon = Daemon::start(binary(), &bed.server, &policy).expect("a daemon");
    expect_refusals(&bed, &daemon);
}

#[test]
fn an_open_connection_is_reset_when_its_port_is_rejected() {
    let bed = Bed::new().expect("a bed");
    let open = policy("generic", "srv0", "[]");
    let daemon = Daemon::start(binary(), &bed.server, &open).expect("a daemon");
    let _servers = Servers::start(&bed.server, &[7000], &[]).expect("servers");
    for server in FAMILIES {
        daemon.write_policy(&open).expect("writes");
        assert!(daemon.reload().expect("runs").status.success());
        let mut stream = bed
            .client
            .enter(|| TcpStream::connect((server, 7000)))
            .expect("enters")
            .expect("connects");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("sets");
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server's byte");

        daemon
            .write_policy(&policy("generic", "srv0", RULES))
            .expect("writes");
        assert!(daemon.reload().expect("runs").status.success());
        // More than a frame: segmentation offload makes frames of several buffers of it.
        let start = Instant::now();
        let error = match stream.write_all(&[7; 40_000]) {
            Ok(()) => stream.read(&mut byte).expect_err("a reset"),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{server}");
        assert!(start.elapsed() < AT_ONCE, "{server}: {:?}", start.elapsed());
    }
}
