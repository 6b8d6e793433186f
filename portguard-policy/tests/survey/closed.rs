//! UDP ports that close.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use portguard_policy::{Tables, Transport, closed_udp_ports, newly_blocked_ports};

use crate::common::{accepted, compiled, with_rules};

fn tables_of(text: &str) -> Tables {
    compiled(&accepted(text).policy).unwrap()
}

/// The ports that close from one text to another; `None` if there are more than ten.
fn closed(old: &str, new: &str) -> Option<Vec<u16>> {
    let ports = closed_udp_ports(&tables_of(old), &tables_of(new));
    assert_eq!(ports.iter().count(), ports.len());
    assert_eq!(ports.is_empty(), ports.iter().next().is_none());
    (ports.len() <= 10).then(|| ports.iter().collect())
}

const NOTHING: &[&str] = &[];

#[test]
fn a_port_closes_when_a_rule_drops_or_rejects_it() {
    let open = with_rules(NOTHING);
    let both = with_rules(&[
        "{ name: a, action: drop, ports: 53 }",
        "{ name: b, action: reject, ports: 161/udp }",
        "{ name: c, action: drop, ports: 80/tcp }",
    ]);
    assert_eq!(closed(&open, &both), Some(vec![53, 161]));
    assert_eq!(closed(&both, &open), Some(vec![]));
    assert_eq!(closed(&both, &both), Some(vec![]));
}

#[test]
fn each_protocol_has_ports_of_its_own() {
    let open = tables_of(&with_rules(NOTHING));
    let shut = tables_of(&with_rules(&[
        "{ name: a, action: drop, ports: 53 }",
        "{ name: b, action: reject, ports: 161/udp }",
        "{ name: c, action: drop, ports: 80/tcp, from: 192.0.2.7 }",
        "{ name: d, action: drop, protocol: sctp, ports: 7 }",
    ]));
    let blocked = |transport| -> Vec<u16> {
        let ports = newly_blocked_ports(&open, &shut, transport).unwrap();
        assert!(
            newly_blocked_ports(&shut, &open, transport)
                .unwrap()
                .is_empty()
        );
        ports.iter().collect()
    };
    assert_eq!(blocked(Transport::Tcp), [53, 80]);
    assert_eq!(blocked(Transport::Udp), [53, 161]);
    assert_eq!(blocked(Transport::Sctp), [7]);
}

#[test]
fn one_source_is_enough() {
    let open = with_rules(NOTHING);
    let some = with_rules(&["{ name: a, action: drop, ports: 53, from: 192.0.2.7, vlan: 7 }"]);
    assert_eq!(closed(&open, &some), Some(vec![53]));
    let v6 = with_rules(&["{ name: a, action: drop, ports: 53, to: \"2001:db8::1\" }"]);
    assert_eq!(closed(&open, &v6), Some(vec![53]));
    // Whom the new one drops, the old one dropped already.
    let more = with_rules(&["{ name: a, action: drop, ports: 53, from: 192.0.2.0/24, vlan: 7 }"]);
    assert_eq!(closed(&more, &some), Some(vec![]));
    assert_eq!(closed(&some, &more), Some(vec![53]));
    // No packet is of both.
    let never = with_rules(&[
        "{ name: a, action: pass, protocol: any, from: 0.0.0.0/0 }",
        "{ name: b, action: drop, ports: 53, from: 192.0.2.0/24 }",
    ]);
    assert_eq!(closed(&open, &never), Some(vec![]));
}

#[test]
fn limits_pass_and_what_is_not_enforced_counts_as_if_it_were() {
    let limited = with_rules(&["{ name: a, action: limit, ports: 53/udp, rate: 1/s }"]);
    let dropped = with_rules(&["{ name: a, action: drop, ports: 53/udp }"]);
    let counted = with_rules(&["{ name: a, action: drop, ports: 53/udp, enforce: false }"]);
    assert_eq!(closed(&limited, &dropped), Some(vec![53]));
    assert_eq!(closed(&limited, &counted), Some(vec![]));
    assert_eq!(closed(&dropped, &limited), Some(vec![]));
    let dry = dropped.replace("version: 1\n", "version: 1\nenforce: false\n");
    assert_eq!(closed(&limited, &dry), Some(vec![53]));
    assert_eq!(closed(&dry, &dropped), Some(vec![]));
}

#[test]
fn the_default_counts_and_essential_answers_do_not_close() {
    let open = with_rules(NOTHING);
    let shut = open.replace("version: 1\n", "version: 1\ndefault: drop\n");
    let ports = closed_udp_ports(&tables_of(&open), &tables_of(&shut));
    assert_eq!(ports.len(), 65_536);
    // Port 68 is closed by packets that are no answers of a DHCP server; here all but these were closed before.
    let rules = |essential: &str| {
        with_rules(NOTHING).replace(
            "version: 1\n",
            &format!("version: 1\ndefault: drop\n{essential}"),
        )
    };
    assert_eq!(
        closed(&rules(""), &rules("essential: rules\n")),
        Some(vec![68, 546])
    );
    assert_eq!(
        closed(&rules("essential: rules\n"), &rules("")),
        Some(vec![])
    );
    // Later fragments are no whole packets.
    let fragments = open.replace("version: 1\n", "version: 1\nfragments: drop\n");
    assert_eq!(closed(&open, &fragments), Some(vec![]));
}

#[test]
fn a_trusted_source_is_passed() {
    let rule = "{ name: a, action: drop, ports: 53/udp }";
    let plain = with_rules(&[rule]);
    let trusting = plain.replace("version: 1\n", "version: 1\ntrusted: [192.0.2.7]\n");
    assert_eq!(closed(&trusting, &plain), Some(vec![53]));
    assert_eq!(closed(&plain, &trusting), Some(vec![]));
}

/// Rules that each drop one port of one prefix, or of a part of these.
fn paired(count: u32, shift: u32) -> String {
    let mut text = String::from("version: 1\ninterfaces: [eth0]\nrules:\n");
    for number in 0..count {
        let [_, a, b, c] = ((number + shift) << 8).to_be_bytes();
        let port = 1 + (number + shift) % 60_000;
        writeln!(
            text,
            "  - {{ name: r{number}, action: drop, ports: {port}/udp, from: {}.{a}.{b}.{c}/24 }}",
            20 + a
        )
        .unwrap();
    }
    text
}

/// Wall clock of an unoptimised build on a busy machine: the bounds that are promised hold for a release build with
/// room to spare.
fn timed(count: u32, shift: u32, allowed: Duration) {
    let read = |text: &str| {
        let policy = portguard_policy::check(text, &mut portguard_policy::NoFiles).unwrap();
        compiled(&policy.policy).unwrap()
    };
    let (old, new) = (read(&paired(count, 0)), read(&paired(count, shift)));
    let start = Instant::now();
    let ports = closed_udp_ports(&old, &new);
    let took = start.elapsed();
    assert!(took < allowed, "{count} rules: {took:?}");
    let expected: Vec<u16> = (count..count + shift).map(|own| (own + 1) as u16).collect();
    assert_eq!(ports.iter().collect::<Vec<u16>>(), expected);
    assert!(closed_udp_ports(&new, &new).is_empty());
}

#[test]
fn a_thousand_rules_take_no_time() {
    timed(1_000, 3, Duration::from_millis(500));
}

#[test]
fn ten_thousand_pairs_of_prefix_and_port() {
    timed(10_000, 7, Duration::from_secs(5));
}
