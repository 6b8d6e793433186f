//! Policies that just fit the tables, and that exceed them by the least: these are refused with what they need.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use portguard_common::abi::Limit;
use portguard_common::limits;
use portguard_policy::{CompileError, NoFiles, Policy, Tables, check};

use crate::common::with_rules;

fn policy(text: &str) -> Policy {
    match check(text, &mut NoFiles) {
        Ok(checked) => checked.policy,
        Err(problems) => panic!("{:#?}", &problems[..problems.len().min(3)]),
    }
}

fn compiled(text: &str) -> Result<Tables, CompileError> {
    common::compiled(&policy(text))
}

fn fits(text: &str) -> Tables {
    match compiled(text) {
        Ok(tables) => tables,
        Err(error) => panic!("{error}"),
    }
}

fn refusal(text: &str) -> CompileError {
    match compiled(text) {
        Ok(_) => panic!("fits"),
        Err(error) => error,
    }
}

fn with_all(rules: &[String]) -> String {
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    with_rules(&rules)
}

/// Of the addresses from 10.0.0.0 on that the last `bits` bits tell apart, those in which this bit is set.
fn prefixes_with_bit(bit: u32, bits: u32) -> String {
    let mut list = String::new();
    for upper in 0..1_u32 << (bits - bit - 1) {
        let address = 0x0a00_0000 | upper << (bit + 1) | 1 << bit;
        let [a, b, c, d] = address.to_be_bytes();
        let _ = write!(list, "{a}.{b}.{c}.{d}/{}, ", 32 - bit);
    }
    list
}

/// Of the ports that the last `bits` bits tell apart, those in which this bit is set.
fn ports_with_bit(bit: u32, bits: u32) -> String {
    let mut list = String::new();
    for upper in 0..1_u32 << (bits - bit - 1) {
        let low = upper << (bit + 1) | 1 << bit;
        let _ = write!(list, "\"{low}-{}\", ", low + (1 << bit) - 1);
    }
    list
}

#[test]
fn as_many_rules_as_are_allowed() {
    let rules: Vec<String> = (0..limits::RULES)
        .map(|number| {
            format!(
                "{{ name: r{number}, action: drop, ports: [{}/tcp] }}",
                1 + number % 9
            )
        })
        .collect();
    assert_eq!(fits(&with_all(&rules)).meaning.cells.len(), 10);
}

/// Rules that only count, each with the ports of the one before but its first, so that the last port overlaps with all: `rows` rules, `condition`
/// behind their other members.
fn triangle(protocol: &str, rows: u32, condition: &str) -> Vec<String> {
    (1..=rows)
        .map(|low| {
            format!(
                "{{ name: {protocol}{low}, action: drop, ports: [\"{low}-65535/{protocol}\"], enforce: false{condition} }}"
            )
        })
        .collect()
}

/// Triangles of 2827, 71 and 11 rows have as many overlaps together as are allowed; one row more is 12 too many.
fn assert_overlaps_are_counted(condition: &str) {
    let rules = |sctp: u32| -> Vec<String> {
        [("tcp", 2827), ("udp", 71), ("sctp", sctp)]
            .iter()
            .flat_map(|(protocol, rows)| triangle(protocol, *rows, condition))
            .collect()
    };
    let tables = fits(&with_all(&rules(11)));
    let shadows = tables.meaning.attributions.iter();
    let shadows: usize = shadows.map(|cell| cell.shadows.len()).sum();
    assert_eq!(shadows, limits::SHADOWS);
    assert_eq!(
        refusal(&with_all(&rules(12))),
        CompileError::Shadows {
            needed: limits::SHADOWS + 12,
            allowed: limits::SHADOWS
        }
    );
}

#[test]
fn as_many_overlaps_of_rules_that_count_as_are_allowed() {
    assert_overlaps_are_counted("");
    // Nothing is made beyond the first row that is too much.
    let needed = 2828 * 2829 / 2;
    assert!(matches!(
        refusal(&with_all(&triangle("tcp", 3000, ""))),
        CompileError::Shadows { needed: found, .. } if found == needed
    ));
}

#[test]
fn overlaps_of_rules_with_conditions_count_too() {
    assert_overlaps_are_counted(", vlan: 5");
}

#[test]
fn as_many_limits_as_a_packet_may_ask() {
    let rules = |counting: usize| -> Vec<String> {
        let mut rules: Vec<String> = (0..counting)
            .map(|number| {
                format!(
                    "{{ name: c{number}, action: limit, ports: [22], rate: 1/s, enforce: false }}"
                )
            })
            .collect();
        rules
            .push("{ name: decides, action: limit, ports: [22], rate: 9/s, per: rule }".to_owned());
        rules
    };
    let tables = fits(&with_all(&rules(7)));
    let flags: Vec<u32> = tables
        .meaning
        .limits
        .iter()
        .map(|limit| limit.flags)
        .collect();
    let mut expected = [Limit::PER_SOURCE; 8];
    expected[7] = Limit::DECIDES | Limit::LAST;
    assert_eq!(flags, expected);
    // As many counters as cells, and one for what is beyond each limit.
    let cells = tables.meaning.cells.len();
    assert_eq!(tables.meaning.counters(), cells + 8);
    let error = refusal(&with_all(&rules(8)));
    assert_eq!(
        error,
        CompileError::LimitsOfAPacket {
            needed: 9,
            allowed: 8
        }
    );
    assert_eq!(
        error.to_string(),
        "9 rules with `action: limit` match the same packet, 8 are allowed (all but one with `enforce: false`)"
    );
}

#[test]
fn as_many_limits_of_all_cells_as_are_allowed() {
    // Seven that count over all the ports, and one that decides for each.
    let rules = |ports: usize| -> Vec<String> {
        let counting = (0..7).map(|number| {
            format!(
                "{{ name: c{number}, action: limit, ports: [\"1-{ports}/tcp\"], rate: 1/s, enforce: false }}"
            )
        });
        let deciding = (1..=ports).map(|port| {
            format!("{{ name: r{port}, action: limit, ports: [{port}/tcp], rate: {port}/m }}")
        });
        counting.chain(deciding).collect()
    };
    let tables = fits(&with_all(&rules(8192)));
    let all = &tables.meaning.limits;
    assert_eq!(all.len(), limits::LIMITS);
    // A rule has one bucket and one counter wherever it is asked, and no two rules share one.
    let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
    for limit in all {
        assert!((limit.bucket as usize) < limits::RULE_BUCKETS);
        assert_eq!(
            *owners.entry(limit.bucket).or_insert(limit.counter),
            limit.counter
        );
    }
    assert_eq!(owners.len(), 7 + 8192);
    let mut counters: Vec<u32> = owners.into_values().collect();
    counters.sort_unstable();
    let first = 64 + u32::try_from(tables.meaning.cells.len()).unwrap_or(0);
    assert_eq!(counters, (first..first + 7 + 8192).collect::<Vec<_>>());
    assert_eq!(
        refusal(&with_all(&rules(8193))),
        CompileError::Limits {
            needed: 8 * 8193,
            allowed: limits::LIMITS
        }
    );
}

#[test]
fn a_rule_that_keeps_its_name_keeps_its_bucket() {
    let bucket = |rules: &[&str], rate: u64| {
        let tables = fits(&with_rules(rules));
        let limits = tables.meaning.limits.iter();
        let own = limits.filter(|limit| limit.interval_ns == 1_000_000_000 / rate);
        own.map(|limit| limit.bucket).collect::<Vec<_>>()
    };
    let alone = bucket(&["{ name: ssh, action: limit, ports: [22], rate: 5/s }"], 5);
    assert_eq!(alone.len(), 1);
    let among = bucket(
        &[
            "{ name: web, action: limit, ports: [80], rate: 2/s }",
            "{ name: ssh, action: limit, ports: [443], rate: 5/s, per: rule }",
            "{ name: dns, action: limit, ports: [53], rate: 4/s }",
        ],
        5,
    );
    assert_eq!(alone, among);
    let renamed = bucket(&["{ name: ssi, action: limit, ports: [22], rate: 5/s }"], 5);
    assert_ne!(alone, renamed);
    // It is found by the hash of the name, also by a later version: FNV-1a, whose authors publish these values.
    for (name, hash) in [("a", 0xe40c_292c_u32), ("foobar", 0xbf9c_f968)] {
        let rule = format!("{{ name: {name}, action: limit, ports: [22], rate: 5/s }}");
        assert_eq!(bucket(&[&rule], 5), [hash % (1 << 16)], "{name}");
    }
}

#[test]
fn rules_whose_names_have_the_same_hash_do_not_share_a_bucket() {
    // FNV-1a, as its authors describe it.
    let hash = |name: &str| {
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    };
    let buckets = u32::try_from(limits::RULE_BUCKETS).unwrap_or(0);
    // The first bucket, one in the middle and the last.
    for wanted in [0, 12_345, buckets - 1] {
        let names = (0..).map(|number| format!("r{number}"));
        let names = names.filter(|name| hash(name) % buckets == wanted).take(3);
        let rules = names.map(|name| {
            format!("{{ name: {name}, action: limit, ports: [22], rate: 1/s, enforce: false }}")
        });
        let tables = fits(&with_all(&rules.collect::<Vec<_>>()));
        let own = tables.meaning.limits.iter().map(|limit| limit.bucket);
        let own: BTreeSet<u32> = own.collect();
        assert_eq!(own.len(), 3, "{own:?}");
        assert!(own.contains(&wanted) && own.iter().all(|bucket| *bucket < buckets));
    }
}

#[test]
fn as_many_kinds_of_addresses_as_are_allowed() {
    let rules = |bits: u32| -> Vec<String> {
        (0..bits)
            .map(|bit| {
                format!(
                    "{{ name: r{bit}, action: drop, ports: [22/tcp], enforce: false, from: [{}] }}",
                    prefixes_with_bit(bit, bits)
                )
            })
            .collect()
    };
    // Of 15 rules every subset matches some address.
    let tables = fits(&with_all(&rules(15)));
    assert_eq!(tables.meaning.cells.len(), limits::ADDRESS_CLASSES);
    assert_eq!(
        refusal(&with_all(&rules(16))),
        CompileError::Classes {
            field: "source addresses",
            needed: 2 * limits::ADDRESS_CLASSES,
            allowed: limits::ADDRESS_CLASSES
        }
    );
}

/// Nine rules by the source, nine by the destination, which some packet to this port meets in any combination.
fn in_any_combination(port: &str) -> Vec<String> {
    let rules = ["from", "to"].into_iter().flat_map(|field| {
        (0..9).map(move |bit| {
            format!(
                "{{ name: {field}{bit}, action: drop, ports: [{port}], enforce: false, {field}: [{}] }}",
                prefixes_with_bit(bit, 9)
            )
        })
    });
    rules.collect()
}

#[test]
fn fields_in_too_many_combinations() {
    let error = refusal(&with_all(&in_any_combination("22/tcp")));
    assert_eq!(
        error,
        CompileError::Combinations {
            field: "destination addresses",
            needed: 1 << 18,
            allowed: limits::CLASSES
        }
    );
    assert_eq!(
        error.to_string(),
        "the rules combine destination addresses with other fields in 262144 ways or more, 65535 are allowed: let fewer \
         rules have conditions on both"
    );
}

#[test]
fn what_a_rule_before_leaves_nothing_to_takes_no_room() {
    // Who is trusted meets no rule, so that combinations of these rules do not matter.
    let text = with_all(&in_any_combination("22/tcp"));
    let trusted = text.replacen("rules:", "trusted: [10.0.0.0/23]\nrules:", 1);
    assert!(fits(&trusted).meaning.cells.len() <= 1 + 1 + (1 << 9));
    // Likewise what a rule on everything from there decides.
    let mut rules = in_any_combination("22/tcp");
    rules.insert(
        0,
        "{ name: all, action: drop, protocol: any, from: [10.0.0.0/23] }".to_owned(),
    );
    assert!(fits(&with_all(&rules)).meaning.cells.len() <= 1 + 1 + (1 << 9));
    // And what one to there does.
    let mut rules = in_any_combination("22/tcp");
    rules.insert(
        0,
        "{ name: all, action: drop, protocol: any, to: [10.0.0.0/23] }".to_owned(),
    );
    assert!(fits(&with_all(&rules)).meaning.cells.len() <= 1 + 1 + (1 << 9));
    // One before it that decides a part of that does not change this.
    for (part, port) in [
        ("ports: [7/udp]", "22/tcp"),
        ("protocol: tcp, ports: any", "22/udp"),
        ("protocol: igmp", "22/udp"),
    ] {
        let mut rules = in_any_combination(port);
        let first = [
            format!("{{ name: part, action: drop, {part}, from: [10.0.0.0/24] }}"),
            "{ name: all, action: drop, protocol: any, from: [10.0.0.0/23] }".to_owned(),
        ];
        rules.splice(0..0, first);
        assert!(
            fits(&with_all(&rules)).meaning.cells.len() <= 1 + 2 + (1 << 9),
            "{part}"
        );
    }
    // Not so where it counts only, decides a part of it, or has a condition on a field that comes later.
    for rule in [
        "{ name: all, action: drop, protocol: any, from: [10.0.0.0/23], enforce: false }",
        "{ name: all, action: drop, ports: [22/udp], from: [10.0.0.0/23] }",
        "{ name: all, action: drop, ports: [22/tcp], source_ports: [5/tcp], from: [10.0.0.0/23] }",
    ] {
        let mut rules = in_any_combination("22/tcp");
        rules.insert(0, rule.to_owned());
        let error = refusal(&with_all(&rules));
        assert!(
            matches!(error, CompileError::Combinations { .. }),
            "{error}"
        );
    }
}

#[test]
fn too_many_cells() {
    let mut rules: Vec<String> = (0..8)
        .map(|bit| {
            format!(
                "{{ name: from{bit}, action: drop, ports: [\"1-65535/tcp\"], enforce: false, from: [{}] }}",
                prefixes_with_bit(bit, 8)
            )
        })
        .collect();
    rules.extend((0..8).map(|bit| {
        format!(
            "{{ name: port{bit}, action: drop, protocol: tcp, ports: [{}], enforce: false }}",
            ports_with_bit(bit, 8)
        )
    }));
    // Some packet meets any subset of the sixteen.
    let fitting = fits(&with_all(&rules));
    assert_eq!(fitting.meaning.cells.len(), limits::CELLS);
    rules.push("{ name: other, action: drop, ports: [7/udp] }".to_owned());
    let error = refusal(&with_all(&rules));
    assert_eq!(
        error,
        CompileError::Cells {
            needed: limits::CELLS + 1,
            allowed: limits::CELLS
        }
    );
}

#[test]
fn too_many_members_of_sets() {
    let rules: Vec<String> = (1..=6000)
        .map(|low| {
            format!(
                "{{ name: r{low}, action: drop, protocol: tcp, ports: any, source_ports: [\"{low}-65535\"] }}"
            )
        })
        .collect();
    // A triangle of so many rows is the first that has more.
    let needed = 5793 * 5794 / 2;
    let error = refusal(&with_all(&rules));
    assert_eq!(
        error,
        CompileError::Members {
            field: "source ports",
            needed,
            allowed: limits::SET_MEMBERS
        }
    );
}
