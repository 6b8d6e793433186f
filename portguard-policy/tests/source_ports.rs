//! Conditions on source ports, packet by packet: each transport by itself, and later fragments, which have no ports.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

mod common;

use portguard_common::abi::Builtin;
use portguard_common::classify::Verdict;
use portguard_policy::{Evaluator, Outcome, Stateless, Tables};

use crate::common::{tables, with_rules};

const TRANSPORTS: [(&str, u8); 3] = [("tcp", 6), ("udp", 17), ("sctp", 132)];

/// An IPv4 frame of a transport, or a later fragment of one.
fn frame(protocol: u8, ports: Option<(u16, u16)>) -> Vec<u8> {
    let offset: [u8; 2] = if ports.is_some() { [0, 0] } else { [0, 9] };
    let mut frame = vec![
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 40, 0, 0,
    ];
    frame.extend(offset);
    frame.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    let (src, dst) = ports.unwrap_or_default();
    frame.extend(src.to_be_bytes());
    frame.extend(dst.to_be_bytes());
    // The length of UDP; the data offset of TCP.
    frame.extend([0, 20, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
    frame
}

fn is_dropped(tables: &Tables, frame: &[u8]) -> bool {
    let evaluator = Evaluator::new(tables, "eth0", Stateless);
    let evaluation = evaluator.frame(frame).expect("sound tables");
    match evaluation.outcome {
        Outcome::Rule(0) => true,
        Outcome::Builtin(_) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_range_is_of_its_transport_alone() {
    for (name, protocol) in TRANSPORTS {
        let rule = format!("{{ name: r, action: drop, source_ports: [\"100-200/{name}\"] }}");
        let (_, tables) = tables(&with_rules(&[&rule]));
        for (_, other) in TRANSPORTS {
            for (port, inside) in [
                (0, false),
                (99, false),
                (100, true),
                (150, true),
                (200, true),
                (201, false),
                (u16::MAX, false),
            ] {
                let expected = inside && other == protocol;
                let dropped = is_dropped(&tables, &frame(other, Some((port, 7))));
                assert_eq!(dropped, expected, "{name}: protocol {other}, port {port}");
            }
            // The destination port is none.
            assert!(!is_dropped(&tables, &frame(other, Some((7, 150)))));
            assert!(
                !is_dropped(&tables, &frame(other, None)),
                "a later fragment"
            );
        }
    }
}

#[test]
fn any_port_of_one_transport_beside_a_port_of_another() {
    for (any, any_protocol) in TRANSPORTS {
        for (name, protocol) in TRANSPORTS {
            if any == name {
                continue;
            }
            let rule = format!("{{ name: r, action: drop, source_ports: [53/{name}, any/{any}] }}");
            let (_, tables) = tables(&with_rules(&[&rule]));
            for (_, other) in TRANSPORTS {
                for port in [0, 1, 53, 54, u16::MAX] {
                    let expected = other == any_protocol || (other == protocol && port == 53);
                    let dropped = is_dropped(&tables, &frame(other, Some((port, 7))));
                    assert_eq!(dropped, expected, "{rule}: protocol {other}, port {port}");
                }
                let dropped = is_dropped(&tables, &frame(other, None));
                assert_eq!(
                    dropped,
                    other == any_protocol,
                    "{rule}: fragment of {other}"
                );
            }
            // Neither another protocol nor a fragment of one.
            for fragment in [Some((53, 53)), None] {
                assert!(!is_dropped(&tables, &frame(47, fragment)));
            }
        }
    }
}

#[test]
fn fragments_within_their_rate_pass() {
    let text = "version: 1\nfragments: { rate: 1000/s }\nrules: []\n";
    let (_, tables) = tables(text);
    // Without state every rate lasts.
    let evaluator = Evaluator::new(&tables, "eth0", Stateless);
    let evaluation = evaluator.frame(&frame(17, None)).expect("sound tables");
    assert_eq!(evaluation.judgement.verdict, Verdict::Pass);
    let outcome = Outcome::Builtin(Builtin::LaterFragment);
    assert_eq!(evaluation.outcome, outcome);
}
