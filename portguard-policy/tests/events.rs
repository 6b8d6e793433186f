//! `events`: how many drops are told one by one, and how much of each frame is kept.

mod common;

use std::collections::BTreeSet;

use common::*;
use portguard_common::abi::{Builtin, counter};
use portguard_common::packet::Malformed;
use portguard_policy::{Events, Outcome, RatePeriod, diff};

fn of(value: &str) -> String {
    format!("version: 1\ninterfaces: [eth0]\nevents: {value}\nrules: []\n")
}

fn events(value: &str) -> Option<Events> {
    accepted(&of(value)).policy.events
}

#[test]
fn without_the_key_there_are_none() {
    assert_eq!(accepted("version: 1\nrules: []\n").policy.events, None);
}

#[test]
fn a_budget_has_a_rate_and_a_snap_length() {
    for (value, count, period, snap_bytes) in [
        ("{ rate: 100/s }", 100, RatePeriod::Second, 128),
        ("{ rate: 1/m, snap: 64 }", 1, RatePeriod::Minute, 64),
        ("{ rate: \"7/s\", snap: \"65\" }", 7, RatePeriod::Second, 65),
        ("{ rate: 100/s, snap: 4096 }", 100, RatePeriod::Second, 4096),
        ("{ snap: full, rate: 2/s }", 2, RatePeriod::Second, 9216),
        (
            "{ rate: 1000000000/s }",
            1_000_000_000,
            RatePeriod::Second,
            128,
        ),
    ] {
        let events = events(value).expect("events");
        assert_eq!(
            (events.rate.count, events.rate.period, events.snap_bytes),
            (count, period, snap_bytes),
            "{value}"
        );
    }
}

#[test]
fn a_budget_that_makes_no_sense_is_refused() {
    const SNAP: &str = "`snap` is a number of bytes from 64 to 4096, or `full`, found";
    for (value, message, hint, at) in [
        (
            "true",
            "`events` is a mapping with a `rate`, found `true`",
            "rate: 100/s",
            "true",
        ),
        (
            "100/s",
            "`events` is a mapping with a `rate`, found `100/s`",
            "rate: 100/s",
            "100/s",
        ),
        (
            "[100/s]",
            "`events` is a mapping with a `rate`, found a list",
            "rate: 100/s",
            "[100/s]",
        ),
        (
            "{ snap: 128 }",
            "`events` has no `rate`",
            "rate: 100/s",
            "snap",
        ),
        (
            "{ rate: 100 }",
            "`rate` is `N/s` or `N/m`, found `100`",
            "1000/s",
            "100",
        ),
        (
            "{ rate: 0/s }",
            "the rate `0/s` is out of range",
            "1 to",
            "0/s",
        ),
        (
            "{ rate: 1/h }",
            "`rate` is `N/s` or `N/m`, found `1/h`",
            "1000/s",
            "1/h",
        ),
        (
            "{ rate: 1/s, burst: 5 }",
            "`events` has no key `burst`",
            "`burst` is a key of a rule",
            "burst",
        ),
        (
            "{ rate: 1/s, snapp: 5 }",
            "`events` has no key `snapp`",
            "`snap`",
            "snapp",
        ),
        (
            "{ rate: 1/s, snap: 63 }",
            &format!("{SNAP} `63`"),
            "9216",
            "63",
        ),
        (
            "{ rate: 1/s, snap: 4097 }",
            &format!("{SNAP} `4097`"),
            "9216",
            "4097",
        ),
        (
            "{ rate: 1/s, snap: 0128 }",
            &format!("{SNAP} `0128`"),
            "9216",
            "0128",
        ),
        (
            "{ rate: 1/s, snap: -1 }",
            &format!("{SNAP} `-1`"),
            "9216",
            "-1",
        ),
        (
            "{ rate: 1/s, snap: 4294967424 }",
            &format!("{SNAP} `4294967424`"),
            "9216",
            "4294967424",
        ),
        (
            "{ rate: 1/s, snap: all }",
            &format!("{SNAP} `all`"),
            "9216",
            "all",
        ),
        (
            "{ rate: 1/s, snap: [64] }",
            &format!("{SNAP} a list"),
            "9216",
            "[64]",
        ),
    ] {
        assert_refused(&of(value), message, hint, at);
    }
}

#[test]
fn a_rule_may_keep_silent() {
    let text = with_rules(&[
        "{ name: loud, action: drop, ports: 22 }",
        "{ name: quiet, action: drop, ports: 23, events: false }",
        "{ name: said, action: limit, ports: 24, rate: 1/s, events: true }",
        "{ profile: worms }",
    ]);
    let rules = accepted(&text).policy.rules;
    assert_eq!(
        rules
            .iter()
            .map(|rule| rule.events)
            .take(4)
            .collect::<Vec<_>>(),
        [true, false, true, true]
    );
    for (value, found) in [("no", "`no`"), ("{ rate: 1/s }", "a mapping")] {
        let text = with_rules(&[&format!(
            "{{ name: r, action: drop, ports: 22, events: {value} }}"
        )]);
        let message = format!("`events` is `true` or `false`, found {found}");
        assert_refused(&text, &message, "write `", value);
    }
}

#[test]
fn what_shares_a_budget_of_events() {
    let (_, tables) = tables(&with_rules(&[
        "{ name: loud, action: drop, ports: 22/tcp }",
        "{ name: quiet, action: drop, ports: 23/tcp, events: false }",
        "{ name: limit, action: limit, ports: 24/tcp, rate: 1/s }",
        "{ name: quiet-limit, action: limit, ports: 25/tcp, rate: 1/s, events: false }",
        "{ name: counts, action: drop, ports: 26/tcp, enforce: false }",
        "{ name: last, action: drop, from: [192.0.2.0/24], protocol: any }",
    ]));
    let meaning = &tables.meaning;
    let groups = meaning.event_groups();
    assert_eq!(groups.len(), counter::CELL as usize + meaning.counters());
    // An entry is one more than the group: that of a rule, or else of the outcome itself.
    let mut of_rules = BTreeSet::new();
    for (counter, entry) in (0..).zip(&groups) {
        match meaning.outcome(counter) {
            None => assert_eq!(*entry, 0, "nothing is counted by {counter}"),
            Some(Outcome::Rule(rule) | Outcome::Limited(rule)) => {
                of_rules.insert((rule, *entry));
            }
            Some(Outcome::Builtin(_) | Outcome::Malformed(_)) => {
                assert_eq!(u32::from(*entry), counter + 1);
            }
        }
    }
    // Rules come behind the 64 counters of all other outcomes. What is beyond a limit shares the budget of its rule; a rule
    // that keeps silent has none, and one that only counts decides nothing.
    let expected = [(0, 65), (1, 0), (2, 67), (3, 0), (5, 70)];
    assert_eq!(of_rules, BTreeSet::from(expected));
}

#[test]
fn outcomes_have_names() {
    for (outcome, name, rule) in [
        (Outcome::Rule(3), "rule", Some(3)),
        (Outcome::Limited(4), "limited", Some(4)),
        (Outcome::Builtin(Builtin::DefaultDrop), "default-drop", None),
        (
            Outcome::Builtin(Builtin::LaterFragment),
            "later-fragment",
            None,
        ),
        (
            Outcome::Malformed(Malformed::TcpShort),
            "malformed:tcp-short",
            None,
        ),
    ] {
        assert_eq!(outcome.name(), name);
        assert_eq!(outcome.rule(), rule, "{name}");
    }
}

#[test]
fn a_difference_of_events_is_told() {
    let (old, new) = (tables(&of("{ rate: 5/m }")), tables(&with_rules(&[])));
    let difference = diff((&old.0, &old.1), (&new.0, &new.1)).expect("a difference");
    let [change] = &difference.settings[..] else {
        panic!("{difference:?}")
    };
    assert_eq!(change.key, "events");
    assert_eq!(change.before, "5/m, 128 bytes of each frame");
    assert_eq!(change.after, "none");
    assert!(difference.changes.is_empty());
}
