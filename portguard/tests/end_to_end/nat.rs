//! Ports that are changed on the way in, as container engines publish them (case C05).

use std::net::Ipv4Addr;
use std::time::Duration;

use portguard_testbed::traffic::{Seen, Servers, probe_tcp};
use portguard_testbed::{Bed, Daemon, Namespace, SERVER_V4};

use crate::{binary, policy, rule_packets, stderr};

const SILENCE: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(5);

const CONTAINER: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);

/// Port 8080 of the server is port 80 of the container, by DNAT.
pub(crate) fn publish(bed: &Bed, container: &Namespace) {
    let server = &bed.server;
    let path = container.path();
    server
        .ip(&format!(
            "link add br0 type veth peer name eth0 netns {path}"
        ))
        .expect("a cable");
    server
        .ip("addr add 172.18.0.1/24 dev br0")
        .expect("an address");
    server.ip("link set dev br0 up").expect("up");
    container
        .ip(&format!("addr add {CONTAINER}/24 dev eth0"))
        .expect("an address");
    container.ip("link set dev eth0 up").expect("up");
    container
        .ip("route add default via 172.18.0.1")
        .expect("a route");
    server
        .enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
        .expect("enters")
        .expect("forwards");
    let rules = format!(
        "add table ip nat; add chain ip nat pre {{ type nat hook prerouting priority -100; }}; \
         add rule ip nat pre tcp dport 8080 dnat to {CONTAINER}:80"
    );
    let output = server.command("nft").arg(rules).output().expect("nft runs");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn c05_a_published_port_is_blocked_by_its_outer_number_alone() {
    let bed = Bed::new().expect("a bed");
    let container = Namespace::new().expect("a namespace");
    publish(&bed, &container);
    let _servers = Servers::start(&container, &[80], &[]).expect("a server");
    let rule = |port: u16| {
        policy(&format!(
            "  - {{name: web, action: drop, ports: [{port}/tcp]}}\n"
        ))
    };
    let daemon = Daemon::start(binary(), &bed.server, &rule(80)).expect("a daemon");
    let probe =
        |patience| probe_tcp(&bed.client, SERVER_V4.into(), 8080, patience).expect("a probe");
    let dropped = || rule_packets(&daemon.counters().expect("counters"), "web");

    // The inner number is not what arrives.
    assert_eq!(probe(LONG), Seen::Answer);
    assert_eq!(dropped(), 0);

    daemon.write_policy(&rule(8080)).expect("writes");
    let output = daemon.reload().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(probe(SILENCE), Seen::Silence);
    assert!(dropped() > 0);
}
