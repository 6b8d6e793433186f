//! Real traffic of the kinds that other filters break (cases P02, P04, P08, P13).

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use portguard_testbed::raw::{
    Ends, RawSocket, SOURCE_PORT, echo_frame, fragments, hardware_address, udp_frame,
};
use portguard_testbed::traffic::{Seen, Servers, probe_tcp, probe_udp};
use portguard_testbed::{Bed, CLIENT_V4, CLIENT_V6, Daemon, SERVER_V4, SERVER_V6};

use crate::{binary, guarded, outcome_packets, policy, rule_packets};

const FAMILIES: [IpAddr; 2] = [IpAddr::V4(SERVER_V4), IpAddr::V6(SERVER_V6)];

/// Where silence is expected, this is how long it takes.
const PATIENCE: Duration = Duration::from_millis(400);

/// Where an answer is expected, it comes at once, unless the machine is busy.
const LONG: Duration = Duration::from_secs(5);

#[test]
fn tcp_and_udp_of_both_families_are_dropped_by_port() {
    let (bed, daemon) = guarded("  - {name: blocked, action: drop, ports: [7000-7001]}\n");
    let _servers = Servers::start(&bed.server, &[7000, 7002], &[7001, 7003]).expect("servers");
    for server in FAMILIES {
        let tcp = |port, patience| probe_tcp(&bed.client, server, port, patience).expect("probe");
        let udp =
            |port, patience| probe_udp(&bed.client, server, port, 3, 10, patience).expect("probe");
        let before = rule_packets(&daemon.counters().expect("counters"), "blocked");
        assert_eq!(tcp(7000, PATIENCE), Seen::Silence);
        assert_eq!(udp(7001, PATIENCE), Seen::Silence);
        let after = rule_packets(&daemon.counters().expect("counters"), "blocked");
        assert!(after - before >= 4, "one SYN and three datagrams at least");
        assert_eq!(
            (tcp(7002, LONG), udp(7003, LONG)),
            (Seen::Answer, Seen::Answer)
        );
    }
    let counters = daemon.counters().expect("counters");
    let sum: u64 = ["rules", "outcomes"]
        .iter()
        .flat_map(|list| counters[list].as_array().expect("a list"))
        .map(|entry| entry["packets"].as_u64().expect("a number"))
        .sum();
    assert_eq!(counters["frames"]["packets"], sum);
}

#[test]
fn p04_fragments_arrive_and_reassemble_in_both_families() {
    let (bed, daemon) = guarded("  - {name: no-ssh, action: drop, ports: [22/tcp]}\n");
    let _servers = Servers::start(&bed.server, &[], &[5353]).expect("servers");
    for server in FAMILIES {
        let seen = probe_udp(&bed.client, server, 5353, 1, 4_000, LONG).expect("probe");
        assert_eq!(seen, Seen::Answer);
    }
    let counters = daemon.counters().expect("counters");
    assert!(
        outcome_packets(&counters, "later-fragment") >= 4,
        "{counters}"
    );
}

#[test]
fn p04_fragments_in_the_wrong_order_are_put_together_in_both_families() {
    const FIRST: usize = 1_200;
    let (bed, daemon) = guarded("  - {name: no-ssh, action: drop, ports: [22/tcp]}\n");
    let _servers = Servers::start(&bed.server, &[], &[5353]).expect("servers");
    let sender = RawSocket::open(&bed.client, "cli0").expect("a sender");
    for (from, to) in [
        (IpAddr::V4(CLIENT_V4), IpAddr::V4(SERVER_V4)),
        (IpAddr::V6(CLIENT_V6), IpAddr::V6(SERVER_V6)),
    ] {
        let ends = Ends {
            from_mac: hardware_address(&bed.client, "cli0").expect("address"),
            to_mac: hardware_address(&bed.server, "srv0").expect("address"),
            from,
            to,
        };
        let client = bed
            .client
            .enter(|| UdpSocket::bind((from, SOURCE_PORT)))
            .expect("enters")
            .expect("binds");
        client.set_read_timeout(Some(LONG)).expect("sets");
        let payload = [b"marker-answer", [b'.'; 1_987].as_slice()].concat();
        let datagram = udp_frame(ends, &[], 5353, &payload).expect("a frame");
        let ping = [b"marker-ping", [b'.'; 1_489].as_slice()].concat();
        let ping = echo_frame(ends, &ping).expect("a frame");
        for whole in [&datagram, &ping] {
            let [head, tail] = fragments(whole, FIRST).expect("fragments");
            for (order, parts) in [("in order", [&head, &tail]), ("reversed", [&tail, &head])] {
                let receiver = RawSocket::open(&bed.client, "cli0").expect("a receiver");
                for part in parts {
                    sender.send(part).expect("sends");
                }
                if whole == &ping {
                    let quiet = Duration::from_millis(250);
                    let replies = receiver.count(b"marker-ping", quiet, 100).expect("counts");
                    assert_eq!(replies, 1, "{order}, {to}");
                } else {
                    let mut buffer = [0; 4_000];
                    let length = client.recv(&mut buffer).expect("an echo");
                    assert!(buffer[..length] == payload, "{order}, {to}");
                }
            }
        }
    }
    let counters = daemon.counters().expect("counters");
    assert_eq!(
        outcome_packets(&counters, "later-fragment"),
        8,
        "{counters}"
    );
    assert_eq!(counters["drops"], serde_json::json!([]), "{counters}");
}

#[test]
fn p02_a_blocked_datagram_in_fragments_never_reaches_its_server() {
    let (bed, daemon) = guarded("  - {name: no-udp, action: drop, ports: [5353/udp]}\n");
    let _servers = Servers::start(&bed.server, &[], &[5353]).expect("servers");
    for server in FAMILIES {
        let seen = probe_udp(&bed.client, server, 5353, 1, 4_000, PATIENCE).expect("probe");
        assert_eq!(seen, Seen::Silence);
    }
    let counters = daemon.counters().expect("counters");
    assert_eq!(
        rule_packets(&counters, "no-udp"),
        2,
        "one first fragment for each family"
    );
}

#[test]
fn p08_the_same_verdict_with_every_tag() {
    const TAGS: [&[(u16, u16)]; 5] = [
        &[],
        &[(0x8100, 10)],
        &[(0x8100, 0)],
        &[(0x88a8, 100), (0x8100, 10)],
        &[(0x9100, 7), (0x8100, 0), (0x8100, 5), (0x88a8, 4094)],
    ];
    let (bed, daemon) = guarded("  - {name: blocked, action: drop, ports: [7000/udp]}\n");
    for offload in ["on", "off"] {
        let ends = |from: IpAddr, to: IpAddr| Ends {
            from_mac: hardware_address(&bed.client, "cli0").expect("address"),
            to_mac: hardware_address(&bed.server, "srv0").expect("address"),
            from,
            to,
        };
        set_tag_offload(&bed, offload);
        for (from, to) in [
            (IpAddr::V4(CLIENT_V4), IpAddr::V4(SERVER_V4)),
            (IpAddr::V6(CLIENT_V6), IpAddr::V6(SERVER_V6)),
        ] {
            for tags in TAGS {
                let receiver = RawSocket::open(&bed.server, "srv0").expect("a receiver");
                let sender = RawSocket::open(&bed.client, "cli0").expect("a sender");
                let before = rule_packets(&daemon.counters().expect("counters"), "blocked");
                for (port, marker) in [(7000, b"marker-blocked"), (7001, b"marker-allowed")] {
                    let frame = udp_frame(ends(from, to), tags, port, marker).expect("a frame");
                    sender.send(&frame).expect("sends");
                }
                let quiet = Duration::from_millis(250);
                let allowed = receiver
                    .count(b"marker-allowed", quiet, 100)
                    .expect("counts");
                let after = rule_packets(&daemon.counters().expect("counters"), "blocked");
                assert_eq!(
                    (allowed, after - before),
                    (1, 1),
                    "{tags:x?}, offload {offload}, {to}"
                );
            }
        }
    }
}

/// Where the tag is while a frame passes from one end of the cable to the other: beside it or in it.
fn set_tag_offload(bed: &Bed, state: &str) {
    for (host, device) in [(&bed.server, "srv0"), (&bed.client, "cli0")] {
        let output = host
            .command("ethtool")
            .args(["-K", device, "rxvlan", state, "txvlan", state])
            .output()
            .expect("ethtool runs");
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn p13_default_deny_survives_the_loss_of_all_neighbours() {
    let bed = Bed::new().expect("a bed");
    let text = policy("  - {name: https, action: pass, ports: [443/tcp]}\n");
    let daemon =
        Daemon::start(binary(), &bed.server, &format!("default: drop\n{text}")).expect("a daemon");
    let _servers = Servers::start(&bed.server, &[443, 80], &[]).expect("servers");
    for round in 0..3 {
        for server in FAMILIES {
            let seen =
                |port, patience| probe_tcp(&bed.client, server, port, patience).expect("probe");
            assert_eq!(
                (seen(443, LONG), seen(80, PATIENCE)),
                (Seen::Answer, Seen::Silence),
                "round {round}, {server}"
            );
        }
        for (host, device) in [(&bed.server, "srv0"), (&bed.client, "cli0")] {
            host.ip(&format!("neigh flush dev {device}")).expect("ip");
            host.ip(&format!("-6 neigh flush dev {device}"))
                .expect("ip");
        }
    }
    let counters = daemon.counters().expect("counters");
    assert!(
        outcome_packets(&counters, "essential") > 0,
        "neighbour discovery"
    );
    assert!(outcome_packets(&counters, "non-ip") > 0, "ARP");
    assert!(outcome_packets(&counters, "default-drop") > 0, "port 80");
}
