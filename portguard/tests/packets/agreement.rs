//! The kernel program and the same classifier on the host agree on every frame.

use std::collections::BTreeMap;

use portguard::dataplane::Counts;
use portguard_common::abi::{Counter, Setting, counter, drops};
use portguard_common::classify::Verdict;
use portguard_policy::{Evaluator, Stateless};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use crate::filter::{load, tables};
use crate::frames::random;

/// Frames for each policy.
const FRAMES: u32 = 3_000;

/// What the host expects to be counted in the end.
#[derive(Default)]
struct Ledger {
    frames: Counter,
    drops: BTreeMap<u32, u64>,
}

fn agree(settings: &str, rules: &[&str]) {
    let (tables, names) = tables(settings, rules);
    let host = Evaluator::new(&tables, "eth0", Stateless);
    let generation = load(&tables);
    let enforced = tables.settings[Setting::Enforce as usize] != 0;
    let ledger = std::cell::RefCell::new(Ledger::default());

    let config = ProptestConfig {
        cases: FRAMES,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let runnable = random::frame().prop_map(|mut frame| {
        // The kernel runs nothing shorter than an Ethernet header.
        frame.resize(frame.len().max(14), 0);
        frame
    });
    let result = TestRunner::new(config).run(&runnable, |frame| {
        let run = generation
            .run(&frame)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        let Some(evaluation) = host.frame(&frame) else {
            return Err(TestCaseError::fail("the tables are broken"));
        };
        let judgement = evaluation.judgement;
        let mut ledger = ledger.borrow_mut();
        ledger.frames.packets += 1;
        ledger.frames.bytes += frame.len() as u64;
        if judgement.drop != counter::NONE {
            *ledger.drops.entry(judgement.drop).or_default() += 1;
        }
        prop_assert_eq!(run.outcome, evaluation.outcome);
        prop_assert_eq!(run.dropped, enforced && judgement.verdict != Verdict::Pass);
        prop_assert_eq!(run.shadows, evaluation.shadows);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("rules {names:?}: {error}"));

    let counts = generation.counts().unwrap();
    let ledger = ledger.into_inner();
    assert_eq!(counts.frames(), ledger.frames);
    assert_eq!(dropped(&counts), expected_drops(&ledger));
}

/// Drops by protocol and port.
fn dropped(counts: &Counts) -> BTreeMap<(u8, Option<u16>), u64> {
    let drops = counts.drops.iter();
    drops
        .map(|(key, packets)| ((key.protocol, key.port), *packets))
        .collect()
}

fn expected_drops(ledger: &Ledger) -> BTreeMap<(u8, Option<u16>), u64> {
    let key = |index: u32| {
        let low = u16::try_from(index & 0xffff).expect("16 bits");
        match index.checked_sub(drops::PORTLESS) {
            Some(protocol) => (u8::try_from(protocol).expect("a protocol"), None),
            None => ([6, 17, 132][index as usize >> 16], Some(low)),
        }
    };
    ledger
        .drops
        .iter()
        .map(|(index, packets)| (key(*index), *packets))
        .collect()
}

#[test]
fn with_no_rules() {
    agree("", &[]);
}

#[test]
fn with_default_drop() {
    let rules = [
        "{ name: web, action: pass, ports: [80/tcp, 443/tcp] }",
        "{ name: dns, action: pass, ports: 53 }",
        "{ name: sctp, action: pass, protocol: sctp, ports: 1-1000 }",
        "{ name: echo, action: pass, protocol: [icmp, icmpv6] }",
    ];
    agree("default: drop\nnon_ip: drop\nfragments: drop", &rules);
}

#[test]
fn with_rules_that_mean_essential_traffic() {
    let rules = [
        "{ name: dhcp, action: drop, ports: [68/udp, 546/udp] }",
        "{ name: igmp, action: drop, protocol: igmp }",
        "{ name: tunnels, action: drop, protocol: [gre, esp, ah, ipip, 41] }",
        "{ name: udp, action: drop, ports: any/udp }",
        "{ name: rest, action: drop, protocol: any }",
    ];
    agree("malformed: pass", &rules);
}

#[test]
fn without_the_exemption_of_essential_traffic() {
    let rules = [
        "{ name: icmpv6, action: drop, protocol: icmpv6 }",
        "{ name: low, action: drop, protocol: [tcp, udp, sctp], ports: 1-1023 }",
    ];
    agree("essential: rules\ndefault: drop", &rules);
}

#[test]
fn with_rules_off_enforcement() {
    let rules = [
        "{ name: w1, action: drop, ports: 1-100, enforce: false }",
        "{ name: ssh, action: pass, ports: 22/tcp }",
        "{ name: w2, action: drop, protocol: [tcp, udp, sctp], ports: any, enforce: false }",
        "{ name: block, action: drop, ports: [22, 53, 80, 1000-2000] }",
        "{ name: w3, action: drop, protocol: any, enforce: false }",
        "{ name: w4, action: drop, ports: 68/udp, enforce: false }",
    ];
    agree("", &rules);
}

#[test]
fn with_the_file_off_enforcement() {
    let rules = [
        "{ name: watch, action: drop, protocol: icmp, enforce: false }",
        "{ name: all, action: drop, protocol: any }",
    ];
    agree("enforce: false\nnon_ip: drop", &rules);
}
