//! A real scan of every port of an old list of what to close: open or closed, filtered once it is blocked, and as before
//! when that is taken back.

use std::collections::BTreeMap;
use std::process::Output;

use portguard_testbed::traffic::Servers;
use portguard_testbed::{Bed, Daemon, SERVER_V4};

use super::says;
use crate::{binary, policy, stderr, stdout};

/// The ports of the profiles.
const WORMS: ([u16; 10], [u16; 5]) = (
    [135, 137, 139, 445, 593, 1025, 2745, 3127, 3389, 6129],
    [135, 137, 138, 139, 445],
);
const TROJANS: [u16; 7] = [79, 99, 1024, 5554, 7306, 7626, 8011];

/// What else the list names, as `block` takes it.
const OTHERS: [&str; 26] = [
    "21/tcp", "23/tcp", "25/tcp", "53", "67/udp", "68/udp", "69/udp", "80/tcp", "109/tcp",
    "110/tcp", "111", "113/tcp", "119/tcp", "143/tcp", "161/udp", "443/tcp", "554", "1080/tcp",
    "1755", "4000/udp", "5632/udp", "8000/udp", "8080/tcp", "https", "snmp", "tftp",
];

/// Ports at which somebody listens.
const LISTENING: [u16; 4] = [25, 135, 443, 7626];

/// What a scan calls each port.
type States = BTreeMap<(&'static str, u16), String>;

fn scan(bed: &Bed, tcp: &[u16], udp: &[u16]) -> States {
    let list = |ports: &[u16]| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        ports.join(",")
    };
    let output: Output = bed
        .client
        .command("nmap")
        .args([
            "-Pn",
            "-n",
            "-sS",
            "-sU",
            "--max-retries",
            "1",
            "-T5",
            "-d3",
            "--min-rate",
            "200",
        ])
        .args(["-p", &format!("T:{},U:{}", list(tcp), list(udp))])
        .args(["-oG", "-"])
        .arg(SERVER_V4.to_string())
        .output()
        .expect("nmap is installed");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let ports = text
        .lines()
        .find_map(|line| line.split_once("Ports: "))
        .map_or("", |(_, ports)| ports)
        .split('\t')
        .next()
        .unwrap_or_default();
    let mut states = States::new();
    for port in ports.split(", ") {
        let mut parts = port.trim().split('/');
        let (number, state) = (
            parts.next().expect("a port"),
            parts.next().expect("a state"),
        );
        let protocol = match parts.next() {
            Some("tcp") => "tcp",
            Some("udp") => "udp",
            other => panic!("{other:?} in {text}"),
        };
        states.insert(
            (protocol, number.parse().expect("a number")),
            state.to_owned(),
        );
    }
    assert_eq!(states.len(), tcp.len() + udp.len(), "{text}");
    states
}

#[test]
fn every_port_is_filtered_once_it_is_blocked_and_as_before_when_it_is_opened() {
    let mut tcp: Vec<u16> = [&WORMS.0[..], &TROJANS].concat();
    let mut udp: Vec<u16> = WORMS.1.to_vec();
    for port in OTHERS {
        let (number, protocol) = port.split_once('/').unwrap_or((port, "both"));
        // A name is one that stands there by its number, too.
        let Ok(number) = number.parse() else { continue };
        if protocol != "udp" {
            tcp.push(number);
        }
        if protocol != "tcp" {
            udp.push(number);
        }
    }
    let bed = Bed::new().expect("a bed");
    // Else Linux says of one port a second that it is closed.
    for setting in [
        "net.ipv4.icmp_ratelimit=0",
        "net.ipv4.icmp_msgs_per_sec=100000",
    ] {
        let set = bed
            .server
            .command("sysctl")
            .args(["-q", "-w", setting])
            .status();
        assert!(
            set.is_ok_and(|set| set.success()) || setting.contains("msgs"),
            "{setting}"
        );
    }
    let _servers = Servers::start(&bed.server, &LISTENING, &[161]).expect("servers");
    let mut daemon = Daemon::start(
        binary(),
        &bed.server,
        &policy(" []\n").replace("rules:\n []", "rules: []"),
    )
    .expect("a daemon");
    let before = scan(&bed, &tcp, &udp);
    for ((protocol, port), state) in &before {
        let listens = *protocol == "tcp" && LISTENING.contains(port);
        let expected = match (listens, protocol, port) {
            (true, ..) => "open",
            (_, &"udp", 161) => "open|filtered",
            _ => "closed",
        };
        // Who answers a question of SNMP with the question is open to nmap, or not.
        assert!(
            state == expected || (*port == 161 && state == "open"),
            "{protocol} {port}: {state}"
        );
    }

    for profile in ["worms", "trojans"] {
        says(&daemon, 0, &["block", "--profile", profile]);
    }
    for port in OTHERS {
        says(&daemon, 0, &["block", port]);
    }
    let is_filtered = |states: &States| {
        for ((protocol, port), state) in states {
            let expected = if *protocol == "tcp" {
                "filtered"
            } else {
                "open|filtered"
            };
            assert_eq!(state, expected, "{protocol} {port}");
        }
    };
    is_filtered(&scan(&bed, &tcp, &udp));
    daemon.kill().expect("kills");
    daemon.start_again(&bed.server).expect("starts");
    is_filtered(&scan(&bed, &tcp, &udp));

    for profile in ["worms", "trojans"] {
        says(&daemon, 0, &["open", "--profile", profile]);
    }
    for port in OTHERS {
        says(&daemon, 0, &["open", port]);
    }
    assert_eq!(scan(&bed, &tcp, &udp), before);
}
