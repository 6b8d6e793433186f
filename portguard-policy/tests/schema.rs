//! The JSON schema of policies, as an editor applies it.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use portguard_policy::schema;

/// A file of the repository.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_shipped_policies_are_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{error}"));
    let mut seen = 0;
    for entry in entries.flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if name.ends_with(".yaml") {
            accepted(&file(&format!("config/{name}")));
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn the_policies_of_the_documentation_are_accepted() {
    let text = file("docs/policy.md");
    let blocks = text.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let mut seen = 0;
    for block in blocks.filter(|block| block.starts_with("version:")) {
        accepted(block);
        seen += 1;
    }
    assert!(seen >= 2);
}

#[test]
fn every_key_is_accepted() {
    let text = "version: 1
interfaces: [eth0, \"wan*\", mgmt0]
attach: native
default: drop
replies: rules
essential: rules
non_ip: drop
malformed: pass
fragments: { rate: 1000/s, burst: 2000 }
enforce: false
trusted:
  - 192.0.2.0/28
  - { from: [10.0.0.0/8, $admins], interfaces: [mgmt0] }
services: { app: 8443/tcp, mesh: [7946/tcp, 7000-7946/udp] }
sets:
  admins: [10.0.0.0/8, \"2001:db8:a::/48\"]
  spare: { allow_empty: true }
  one: 192.0.2.1
rules:
  - name: all
    action: limit
    protocol: [udp, 6]
    ports: [53, \"8000-8100\", ssh, app, 53/udp, 100-200/tcp]
    source_ports: any
    from: [$admins, 192.0.2.1, \"::/0\"]
    to: $one
    interfaces: \"wan*\"
    vlan: [1, none]
    rate: 60/m
    burst: 3
    per: rule
    enforce: true
    events: false
    comment: all of it
  - { name: ping, action: reject, protocol: icmp, types: [echo-request, 8, redirect/1] }
  - { name: spare, action: drop, from: $spare }
  - { profile: worms, enforce: false }
assert:
  - pass: tcp 10.1.2.3 -> :22
  - drop: -> :80
metrics:
  listen: [127.0.0.1:9477, \"[::1]:9477\"]
  page: { exposed: true, hosts: [fw.example.net, 10] }
events: { rate: 60/m, snap: full }
";
    accepted(text);
    let file = "version: 1\nsets: { s: { file: x, allow_empty: false } }\nrules: []\n";
    assert_eq!(against_schema(file), Vec::<String>::new());
}

/// What the schema and the check both refuse.
fn refused_by_both(text: &str) {
    refused(text);
    assert!(
        !against_schema(text).is_empty(),
        "accepted by the schema:\n{text}"
    );
}

#[test]
fn wrong_shapes_of_a_policy_are_refused() {
    for text in [
        "rules: []\n",
        "version: 2\nrules: []\n",
        "version: true\nrules: []\n",
        "[version]\n",
    ] {
        refused_by_both(text);
    }
    for line in [
        "blocks: []",
        "interface: [eth0]",
        "interfaces: []",
        "interfaces:",
        "interfaces: [[eth0]]",
        "attach: driver",
        "default: deny",
        "replies: true",
        "essential: drop",
        "non_ip: [pass]",
        "malformed: ~",
        "fragments: { burst: 1 }",
        "fragments: { rate: 1000 }",
        "fragments: { rate: 0/s }",
        "fragments: { rate: 1/s, bursts: 1 }",
        "enforce: maybe",
        "enforce: \"false\"",
        "enforce: 0",
        "trusted: []",
        "trusted: [1]",
        "trusted: [{ interfaces: eth0 }]",
        "trusted: [{ from: 192.0.2.1, interface: eth0 }]",
        "trusted: example.net",
        "services: { app: 8443 }",
        "services: { app: [] }",
        "services: { app: 8443/icmp }",
        "services: [app]",
        "sets: { a: [] }",
        "sets: { a: {} }",
        "sets: { a: { file: x, more: 1 } }",
        "sets: { a: { allow_empty: false } }",
        "sets: { a: { file: [x] } }",
        "sets: { a: [1.2.3/24] }",
        "sets: { \"a b\": [192.0.2.1] }",
        "sets: [192.0.2.1]",
        "assert: []",
        "assert: [tcp -> :22]",
        "assert: [{ reject: tcp -> :22 }]",
        "assert: [{ pass: tcp -> :22, drop: tcp -> :23 }]",
        "assert: [{}]",
        "assert: [{ pass: tcp }]",
        "assert: [{ pass: [tcp] }]",
        "rules: {}",
        "rules: drop",
        "rules: [drop]",
        "metrics: 127.0.0.1:9477",
        "metrics: {}",
        "metrics: { listen: [] }",
        "metrics: { listen: 9477 }",
        "metrics: { listen: 127.0.0.1 }",
        "metrics: { listen: localhost:9477 }",
        "metrics: { listen: 127.0.0.1:0 }",
        "metrics: { listen: \"::1:9477\" }",
        "metrics: { listen: 127.0.0.1:9477, path: /m }",
        "metrics: { page: true }",
        "metrics: { listen: 127.0.0.1:9477, page: 1 }",
        "metrics: { listen: 127.0.0.1:9477, page: {} }",
        "metrics: { listen: 127.0.0.1:9477, page: [fw] }",
        "metrics: { listen: 127.0.0.1:9477, page: { host: fw } }",
        "metrics: { listen: 127.0.0.1:9477, page: { exposed: 1 } }",
        "metrics: { listen: 127.0.0.1:9477, page: { hosts: [] } }",
        "metrics: { listen: 127.0.0.1:9477, page: { hosts: \"http://fw\" } }",
        "metrics: { listen: 127.0.0.1:9477, page: { hosts: \"*.example.net\" } }",
        "events: true",
        "events: {}",
        "events: { snap: 128 }",
        "events: { rate: 100 }",
        "events: { rate: 100/s, snap: 63 }",
        "events: { rate: 100/s, snap: 4097 }",
        "events: { rate: 100/s, snap: all }",
        "events: { rate: 100/s, burst: 5 }",
    ] {
        let rest = if line.starts_with("rules:") {
            ""
        } else {
            "rules: []\n"
        };
        refused_by_both(&format!("version: 1\n{line}\n{rest}"));
    }
}

#[test]
fn wrong_shapes_of_a_rule_are_refused() {
    for rule in [
        "{ action: drop, ports: 22 }",
        "{ name: r, ports: 22 }",
        "{ name: r, action: drop }",
        "{ name: r, action: drop, comment: nothing }",
        "{ name: r, action: deny, ports: 22 }",
        "{ name: r, action: drop, prots: 22 }",
        "{ name: r, action: drop, port: 22 }",
        "{ name: a b, action: drop, ports: 22 }",
        "{ name: [a], action: drop, ports: 22 }",
        "{ name: ~, action: drop, ports: 22 }",
        "{ name: r, action: drop, ports: 0 }",
        "{ name: r, action: drop, ports: 65536 }",
        "{ name: r, action: drop, ports: 22.5 }",
        "{ name: r, action: drop, ports: -1 }",
        "{ name: r, action: drop, ports: [] }",
        "{ name: r, action: drop, ports: ~ }",
        "{ name: r, action: drop, ports: [~] }",
        "{ name: r, action: drop, ports: [[22]] }",
        "{ name: r, action: drop, ports: \"22:22\" }",
        "{ name: r, action: drop, ports: \"80 - 90\" }",
        "{ name: r, action: drop, ports: \"+22\" }",
        "{ name: r, action: drop, ports: SSH }",
        "{ name: r, action: drop, ports: 22/icmp }",
        "{ name: r, action: drop, ports: { low: 1 } }",
        "{ name: r, action: drop, source_ports: 70000 }",
        "{ name: r, action: drop, source_ports: [] }",
        "{ name: r, action: drop, protocol: 256 }",
        "{ name: r, action: drop, protocol: tcpp, ports: any }",
        "{ name: r, action: drop, protocol: [] }",
        "{ name: r, action: drop, from: [] }",
        "{ name: r, action: drop, from: 10 }",
        "{ name: r, action: drop, from: example.net }",
        "{ name: r, action: drop, from: 192.0.2.0/+24 }",
        "{ name: r, action: drop, to: { a: b } }",
        "{ name: r, action: drop, protocol: icmp, types: 256 }",
        "{ name: r, action: drop, protocol: icmp, types: [] }",
        "{ name: r, action: drop, interfaces: [] }",
        "{ name: r, action: drop, interfaces: ~ }",
        "{ name: r, action: drop, vlan: 0 }",
        "{ name: r, action: drop, vlan: 4095 }",
        "{ name: r, action: drop, vlan: any }",
        "{ name: r, action: limit, ports: 22 }",
        "{ name: r, action: limit, ports: 22, rate: 5 }",
        "{ name: r, action: limit, ports: 22, rate: 5/h }",
        "{ name: r, action: limit, ports: 22, rate: 5/s, burst: 0 }",
        "{ name: r, action: limit, ports: 22, rate: 5/s, per: host }",
        "{ name: r, action: drop, ports: 22, rate: 5/s }",
        "{ name: r, action: pass, ports: 22, per: rule }",
        "{ name: r, action: drop, ports: 22, enforce: \"no\" }",
        "{ name: r, action: drop, ports: 22, enforce: ~ }",
        "{ name: r, action: drop, ports: 22, comment: [a] }",
        "{ name: r, action: drop, ports: 22, events: none }",
        "{ name: r, action: drop, ports: 22, events: { rate: 1/s } }",
        "{ profile: worms, events: false }",
        "{ profile: worm }",
        "{ profile: worms, name: r }",
        "{ profile: [worms] }",
    ] {
        refused_by_both(&with_rules(&[rule]));
    }
}

#[test]
fn editors_are_told_what_a_key_means() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["title"], "portguard policy");
    let keys = schema["properties"].as_object().expect("keys");
    for (key, about) in keys {
        assert!(about["description"].is_string(), "{key}");
    }
    let rule = &schema["$defs"]["Rule"]["properties"];
    for (key, about) in rule.as_object().expect("fields of a rule") {
        assert!(about["description"].is_string(), "{key}");
    }
}
