//! The bed itself, on the real kernel and without the filter: what the end-to-end tests rest on.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use portguard_testbed::raw::{Ends, RawSocket, hardware_address, tcp_syn_frame, udp_frame};
use portguard_testbed::traffic::{Seen, Servers, probe_tcp, probe_udp};
use portguard_testbed::{Bed, CLIENT_V4, CLIENT_V6, Daemon, SERVER_V4, SERVER_V6};

const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn clients_reach_servers_in_both_families() {
    let bed = Bed::new().expect("a bed");
    let _servers = Servers::start(&bed.server, &[7000], &[7001]).expect("servers");
    for server in [IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)] {
        let begin = Instant::now();
        let tcp = |port| probe_tcp(&bed.client, server, port, PATIENCE).expect("probe");
        let udp = |port| probe_udp(&bed.client, server, port, 3, 10, PATIENCE).expect("probe");
        assert_eq!((tcp(7000), tcp(7001)), (Seen::Answer, Seen::Refused));
        assert_eq!((udp(7001), udp(7000)), (Seen::Answer, Seen::Refused));
        assert!(begin.elapsed() < PATIENCE, "no waiting for addresses");
    }
}

#[test]
fn nobody_at_the_address_is_silence() {
    let bed = Bed::new().expect("a bed");
    let nobody = IpAddr::from([192, 0, 2, 99]);
    let patience = Duration::from_millis(100);
    let tcp = probe_tcp(&bed.client, nobody, 7000, patience).expect("probe");
    let udp = probe_udp(&bed.client, nobody, 7000, 1, 10, patience).expect("probe");
    assert_eq!((tcp, udp), (Seen::Silence, Seen::Silence));
}

#[test]
fn frames_arrive_as_often_as_they_are_sent_whatever_their_tags() {
    let bed = Bed::new().expect("a bed");
    let sender = RawSocket::open(&bed.client, Bed::CLIENT_DEVICE).expect("a sender");
    let receiver = RawSocket::open(&bed.server, Bed::SERVER_DEVICE).expect("a receiver");
    let addresses = [
        (IpAddr::V4(CLIENT_V4), IpAddr::V4(SERVER_V4)),
        (IpAddr::V6(CLIENT_V6), IpAddr::V6(SERVER_V6)),
    ];
    let tags: [&[(u16, u16)]; 4] = [
        &[],
        &[(0x8100, 10)],
        &[(0x8100, 0)],
        &[(0x88a8, 100), (0x8100, 10)],
    ];
    for (from, to) in addresses {
        let ends = Ends {
            from_mac: hardware_address(&bed.client, Bed::CLIENT_DEVICE).expect("an address"),
            to_mac: hardware_address(&bed.server, Bed::SERVER_DEVICE).expect("an address"),
            from,
            to,
        };
        for tags in tags {
            for frame in [
                udp_frame(ends, tags, 7000, b"the marker").expect("a frame"),
                tcp_syn_frame(ends, tags, 7000, b"the marker").expect("a frame"),
            ] {
                for _ in 0..3 {
                    sender.send(&frame).expect("sends");
                }
                // Nobody listens: untagged ones are refused, and the refusal quotes them.
                let quiet = Duration::from_millis(100);
                let arrived = receiver.count(b"the marker", quiet, 100).expect("counts");
                assert_eq!(arrived, 3, "{tags:x?}, {to}");
            }
        }
    }
}

#[test]
fn hosts_see_nothing_but_their_own_devices() {
    let beds = [Bed::new().expect("a bed"), Bed::new().expect("another")];
    for bed in &beds {
        bed.cable("srv1", "cli1").expect("a second cable");
        for (host, expected) in [
            (&bed.server, ["lo", "srv0", "srv1"]),
            (&bed.client, ["lo", "cli0", "cli1"]),
        ] {
            let shown = host.ip("-brief link").expect("ip");
            let mut devices: Vec<_> = shown
                .lines()
                .filter_map(|line| line.split(['@', ' ']).next())
                .collect();
            devices.sort_unstable();
            let mut expected = expected;
            expected.sort_unstable();
            assert_eq!(devices, expected);
        }
    }
}

#[test]
fn a_daemon_that_ends_before_it_is_ready_is_an_error_with_its_words() {
    let bed = Bed::new().expect("a bed");
    let mut command = bed.server.command("sh");
    command.args(["-c", "echo no thanks >&2; exit 7"]);
    let error = Daemon::spawn(Path::new("sh"), command, "").expect_err("ends");
    let text = error.to_string();
    assert!(
        text.contains("exit status: 7") && text.contains("no thanks"),
        "{text}"
    );
}
