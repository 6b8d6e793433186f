//! `portguard audit`

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::Output;

use portguard_policy::{Transport, find_profile, profile_names};
use portguard_testbed::traffic::Servers;
use portguard_testbed::{Bed, Namespace};
use serde_json::{Value, json};

use crate::debian::{self, OTHER, POSTGRES, REDIS, SSH, WEB};
use crate::listen::NO_SOCKET;
use crate::nat::publish;
use crate::{binary, stderr, stdout};

fn audit(host: &Namespace, policy: Option<&str>, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = host.command(binary());
    command
        .args(["audit", "--socket", NO_SOCKET])
        .args(arguments);
    if let Some(text) = policy {
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, text).expect("writes");
        command.arg("--policy").arg(file);
    }
    command.output().expect("runs")
}

fn findings(host: &Namespace, policy: Option<&str>) -> Vec<Value> {
    let output = audit(host, policy, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    told["findings"].as_array().expect("a list").clone()
}

/// `severity kind port/protocol`, in order.
fn short(findings: &[Value]) -> BTreeSet<String> {
    let text = |own: &Value| own.as_str().expect("text").to_owned();
    let own = |own: &Value| {
        let place = match own["port"].as_u64() {
            Some(port) => format!(" {port}/{}", text(&own["protocol"])),
            None => String::new(),
        };
        format!("{} {}{place}", text(&own["severity"]), text(&own["kind"]))
    };
    findings.iter().map(own).collect()
}

fn set<const N: usize>(expected: [String; N]) -> BTreeSet<String> {
    expected.into()
}

#[test]
fn a_usual_host_has_exactly_the_planted_faults() {
    let bed = Bed::new().expect("a bed");
    let _host = debian::Host::start(&bed.server);
    let found = findings(&bed.server, None);
    assert_eq!(
        short(&found),
        set([
            "medium no-policy".into(),
            format!("high open-database {REDIS}/tcp"),
            format!("high open-database {POSTGRES}/tcp"),
            format!("low exposed {OTHER}/udp"),
            format!("note exposed {SSH}/tcp"),
            format!("note exposed {WEB}/tcp"),
        ])
    );
    let redis = found
        .iter()
        .find(|own| own["port"] == REDIS)
        .expect("redis");
    assert_eq!(redis["service"], "redis");
    assert_eq!(redis["owners"][0], "redis-server");
    assert_eq!(
        redis["fixes"][0],
        json!({ "command": "portguard block 6379/tcp" })
    );
    assert!(
        redis["abuse"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|own| own
                .as_str()
                .is_some_and(|own| own.starts_with("HeadCrab (2023): "))),
        "{redis}"
    );
    assert_eq!(redis["profiles"], json!(["databases"]));

    // Here the web is meant, one database is for its clients alone, and a rule is left over.
    let policy = format!(
        "version: 1\ninterfaces: [srv0]\ndefault: drop\nrules:\n\
         \x20 - {{ name: ssh, action: pass, ports: [{SSH}/tcp], from: [192.0.2.0/24] }}\n\
         \x20 - {{ name: web, action: pass, ports: [{WEB}/tcp] }}\n\
         \x20 - {{ name: db, action: pass, ports: [{POSTGRES}/tcp], from: [192.0.2.0/24] }}\n\
         \x20 - {{ name: old, action: pass, ports: [8443/tcp] }}\n"
    );
    let found = findings(&bed.server, Some(&policy));
    assert_eq!(
        short(&found),
        set([
            format!("low blocked {REDIS}/tcp"),
            format!("low blocked {OTHER}/udp"),
            "low unused-rule 8443/tcp".into(),
        ])
    );
    let rule = found
        .iter()
        .find(|own| own["kind"] == "unused-rule")
        .expect("the rule");
    assert_eq!(
        rule["text"],
        "rule `old` (line 8) passes 8443/tcp, where nobody listens"
    );

    // A rule that lets all come to a database does not make it right, and what is not enforced is open.
    let wide = policy.replace(", from: [192.0.2.0/24] }", " }");
    assert!(
        short(&findings(&bed.server, Some(&wide)))
            .contains(&format!("high open-database {POSTGRES}/tcp"))
    );
    let found = short(&findings(
        &bed.server,
        Some(&format!("enforce: false\n{policy}")),
    ));
    assert!(found.contains("medium not-enforced"), "{found:?}");
    assert!(
        found.contains(&format!("high open-database {REDIS}/tcp")),
        "{found:?}"
    );

    // For automation.
    for (fail_on, policy, code) in [
        ("high", None, 1),
        ("high", Some(policy.as_str()), 0),
        ("medium", Some(policy.as_str()), 0),
        ("low", Some(policy.as_str()), 1),
    ] {
        let output = audit(&bed.server, policy, &["--fail-on", fail_on]);
        assert_eq!(output.status.code(), Some(code), "{fail_on} {policy:?}");
    }
    let text = stdout(&audit(&bed.server, Some(&policy), &[]));
    assert!(
        text.contains("LOW       blocked: 6379/tcp redis\n"),
        "{text}"
    );
    assert!(
        text.contains("fix       portguard open 6379/tcp\n"),
        "{text}"
    );
    assert!(text.ends_with("\nfound: 3 low\n"), "{text}");
}

/// The ports of the guide that the catalogue began with.
const TCP: [u16; 41] = [
    21, 23, 25, 53, 79, 80, 99, 109, 110, 111, 113, 119, 135, 137, 139, 143, 443, 445, 554, 593,
    1024, 1025, 1080, 1755, 2745, 3127, 3389, 5554, 6129, 7306, 7626, 8011, 8080, 22, 512, 513,
    514, 873, 2049, 9999, 65_000,
];
const UDP: [u16; 16] = [
    53, 67, 68, 69, 111, 135, 137, 138, 161, 445, 554, 1755, 4000, 5632, 8000, 123,
];

#[test]
fn every_port_and_profile_with_a_bad_name_is_found() {
    let bed = Bed::new().expect("a bed");
    let mut wanted: BTreeSet<(Transport, u16, Option<&str>)> = BTreeSet::new();
    wanted.extend(TCP.map(|port| (Transport::Tcp, port, None)));
    wanted.extend(UDP.map(|port| (Transport::Udp, port, None)));
    for profile in profile_names() {
        for rule in find_profile(profile).expect("a profile") {
            for transport in &rule.transports {
                wanted.insert((*transport, rule.port, Some(profile)));
            }
        }
    }
    let ports = |transport| -> BTreeSet<u16> {
        let own = wanted.iter().filter(|own| own.0 == transport);
        own.map(|(_, port, _)| *port).collect()
    };
    let (tcp, udp) = (ports(Transport::Tcp), ports(Transport::Udp));
    let _sockets = bed
        .server
        .enter(|| {
            let any = |port: &u16| SocketAddr::from((Ipv6Addr::UNSPECIFIED, *port));
            let listeners: Vec<_> = tcp
                .iter()
                .map(|port| std::net::TcpListener::bind(any(port)).expect("listens"))
                .collect();
            let sockets: Vec<_> = udp
                .iter()
                .map(|port| std::net::UdpSocket::bind(any(port)).expect("binds"))
                .collect();
            (listeners, sockets)
        })
        .expect("enters");
    let found = findings(&bed.server, None);
    for (transport, port, profile) in wanted {
        let own = found
            .iter()
            .find(|own| own["protocol"] == transport.name() && own["port"] == port)
            .unwrap_or_else(|| panic!("{port}/{transport} is not found"));
        let profiles = own["profiles"].as_array().expect("a list");
        if let Some(profile) = profile {
            assert!(profiles.iter().any(|own| own == profile), "{own}");
        }
        let severity = own["severity"].as_str().expect("text");
        match profile {
            Some("worms" | "trojans" | "databases") if own["kind"] != "exposed" => {
                assert_eq!(severity, "high", "{own}");
            }
            Some("clear-text") => assert!(["medium", "high"].contains(&severity), "{own}"),
            _ => {}
        }
        assert_eq!(
            own["fixes"][0],
            json!({ "command": format!("portguard block {port}/{transport}") })
        );
    }
    for (port, severity, kind) in [
        (23, "high", "advised-closed"),
        (79, "high", "advised-closed"),
        (445, "high", "advised-closed"),
        (7306, "high", "advised-closed"),
        (6379, "high", "open-database"),
        (5432, "high", "open-database"),
        (21, "medium", "clear-text"),
        (80, "note", "exposed"),
        (443, "note", "exposed"),
        (65_000, "low", "exposed"),
    ] {
        let own = found
            .iter()
            .find(|own| own["protocol"] == "tcp" && own["port"] == port);
        let own = own.expect("a finding");
        assert_eq!(
            (&own["severity"], &own["kind"]),
            (&json!(severity), &json!(kind)),
            "{own}"
        );
    }
}

#[test]
fn published_ports_and_interfaces_past_the_policy_are_found() {
    let bed = Bed::new().expect("a bed");
    let container = Namespace::new().expect("a namespace");
    publish(&bed, &container);
    let _servers = Servers::start(&container, &[80], &[]).expect("a server");
    let found = findings(&bed.server, None);
    assert_eq!(
        short(&found),
        set([
            "medium no-policy".into(),
            "medium published-port 8080/tcp".into()
        ])
    );
    let own = found
        .iter()
        .find(|own| own["kind"] == "published-port")
        .expect("the port");
    assert_eq!(
        own["text"],
        "it is published for 172.18.0.2:80, and can be reached from anywhere"
    );
    assert_eq!(own["owners"], json!(["nftables"]));

    let policy = |rules: &str| format!("version: 1\ninterfaces: [srv0, br0]\nrules:{rules}");
    let meant = policy("\n  - { name: web, action: pass, ports: [8080/tcp] }\n");
    assert_eq!(short(&findings(&bed.server, Some(&meant))), set([]));
    let closed = policy("\n  - { name: web, action: drop, ports: [8080/tcp] }\n");
    assert_eq!(short(&findings(&bed.server, Some(&closed))), set([]));
    let open = policy(" []\n");
    assert_eq!(
        short(&findings(&bed.server, Some(&open))),
        set(["medium published-port 8080/tcp".into()])
    );
    // Strangers come by the cable alone: nobody minds an interface behind this host.
    let route = |words: &str| {
        bed.server
            .ip(&format!("route add default {words}"))
            .expect("a route")
    };
    route("via 192.0.2.2 metric 1");
    let inside = meant.replace(", br0", "");
    assert_eq!(short(&findings(&bed.server, Some(&inside))), set([]));
    // A second way into the world leads past the policy.
    route("via 172.18.0.2 metric 2");
    assert_eq!(
        short(&findings(&bed.server, Some(&inside))),
        set([
            "medium unguarded-interface".into(),
            "medium published-port 8080/tcp".into()
        ])
    );
}
