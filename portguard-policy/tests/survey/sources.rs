//! What becomes of traffic, by where it comes from.

use portguard_policy::{Traffic, TrafficSurvey};

use crate::common::{accepted, compiled};

/// Each answer in a line: what becomes of it, the rules that decide, and from where.
fn told(text: &str, traffic: &str) -> Vec<String> {
    let policy = accepted(text).policy;
    let tables = compiled(&policy).unwrap();
    let traffic: Vec<Traffic> = traffic
        .split(" | ")
        .map(|text| Traffic::parse(text).unwrap())
        .collect();
    let found = TrafficSurvey::new(&tables).by_source(&traffic).unwrap();
    let mut lines: Vec<String> = found
        .iter()
        .map(|own| {
            let decisions: Vec<String> = own
                .decisions
                .iter()
                .map(|decision| format!("{:?} {}", decision.outcome, decision.effect.name()))
                .collect();
            let sources: Vec<String> = own.sources.iter().map(ToString::to_string).collect();
            format!("{}: {}", decisions.join(", "), sources.join(" "))
        })
        .collect();
    lines.sort();
    lines
}

const OFFICE: &str = "\
version: 1
interfaces: [eth0]
default: drop
rules:
  - { name: ssh, action: pass, ports: [22/tcp], from: [10.0.0.0/8, \"2001:db8::/32\"] }
  - { name: web, action: pass, ports: [80/tcp] }
  - { name: ntp, action: pass, ports: [123/udp], source_ports: [123] }
";

#[test]
fn sources_that_pass_are_told_from_all_others() {
    let ssh = told(OFFICE, "tcp -> 192.0.2.1:22");
    assert_eq!(ssh.len(), 2, "{ssh:?}");
    assert!(
        ssh[0].starts_with("Builtin(DefaultDrop) drop: 0.0.0.0/5 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 "),
        "{ssh:?}"
    );
    assert_eq!(ssh[1], "Rule(0) pass: 10.0.0.0/8");
    let ssh = told(OFFICE, "tcp -> [2001:db8::1]:22");
    assert_eq!(ssh[1], "Rule(0) pass: 2001:db8::/32");
}

#[test]
fn one_answer_for_all_of_both_families() {
    assert_eq!(told(OFFICE, "tcp -> :80"), ["Rule(1) pass: 0.0.0.0/0 ::/0"]);
    assert_eq!(
        told(OFFICE, "tcp -> :81"),
        ["Builtin(DefaultDrop) drop: 0.0.0.0/0 ::/0"]
    );
}

#[test]
fn what_the_source_alone_does_not_decide_has_several_answers() {
    assert_eq!(
        told(OFFICE, "udp -> 192.0.2.1:123"),
        ["Rule(2) pass, Builtin(DefaultDrop) drop: 0.0.0.0/0"]
    );
    assert_eq!(
        told(OFFICE, "udp -> 192.0.2.1:68"),
        ["Builtin(DefaultDrop) drop, Builtin(Essential) pass: 0.0.0.0/0"]
    );
}

#[test]
fn only_sources_that_are_meant_are_told() {
    assert_eq!(
        told(OFFICE, "tcp 10.1.0.0/16 -> :22"),
        ["Rule(0) pass: 10.1.0.0/16"]
    );
}

#[test]
fn several_descriptions_are_asked_about_at_once() {
    assert_eq!(
        told(OFFICE, "tcp -> 192.0.2.1:80 | tcp -> 192.0.2.1:81"),
        ["Rule(1) pass, Builtin(DefaultDrop) drop: 0.0.0.0/0"]
    );
    // Each source is asked about what is meant of it.
    assert_eq!(
        told(OFFICE, "tcp 10.0.0.0/8 -> :81 | tcp 10.1.0.0/16 -> :80"),
        [
            "Builtin(DefaultDrop) drop: 10.0.0.0/16 10.2.0.0/15 10.4.0.0/14 10.8.0.0/13 10.16.0.0/12 10.32.0.0/11 10.64.0.0/10 10.128.0.0/9",
            "Rule(1) pass, Builtin(DefaultDrop) drop: 10.1.0.0/16"
        ]
    );
}
