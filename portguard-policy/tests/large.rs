//! Policies whose tables are too large to be dense: what they say of a packet is what trying one rule after another says.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

mod common;

use std::net::{Ipv4Addr, Ipv6Addr};

use portguard_common::abi::{Stage, Trie, field};
use portguard_policy::{Evaluator, Outcome, Policy, Stateless, Tables};

use crate::common::with_rules;

/// A packet and what rules look at.
#[derive(Clone, Copy, Debug)]
struct Segment {
    source: Address,
    destination: Address,
    source_port: u16,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    V4(u32),
    V6(u128),
}

impl Address {
    fn is_in(self, prefix: Address, len: u32) -> bool {
        match (self, prefix) {
            (Self::V4(own), Self::V4(prefix)) => (own ^ prefix).leading_zeros() >= len,
            (Self::V6(own), Self::V6(prefix)) => (own ^ prefix).leading_zeros() >= len,
            _ => false,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{}", Ipv4Addr::from_bits(*address)),
            Self::V6(address) => write!(f, "{}", Ipv6Addr::from_bits(*address)),
        }
    }
}

impl Segment {
    /// A TCP attempt to connect.
    fn frame(self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        match (self.source, self.destination) {
            (Address::V4(source), Address::V4(destination)) => {
                frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
                frame.extend(source.to_be_bytes());
                frame.extend(destination.to_be_bytes());
            }
            (Address::V6(source), Address::V6(destination)) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
                frame.extend(source.to_be_bytes());
                frame.extend(destination.to_be_bytes());
            }
            _ => panic!("two families"),
        }
        frame.extend(self.source_port.to_be_bytes());
        frame.extend(self.port.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        frame
    }
}

/// One rule of a test: what is `None` is no condition.
#[derive(Clone, Copy, Debug, Default)]
struct Plain {
    from: Option<(Address, u32)>,
    to: Option<(Address, u32)>,
    source_ports: Option<(u16, u16)>,
    ports: Option<(u16, u16)>,
    counts_only: bool,
}

impl Plain {
    fn text(self, number: usize) -> String {
        let mut text = format!("{{ name: r{number}, action: drop, protocol: tcp");
        let prefix = |key: &str, prefix: Option<(Address, u32)>| match prefix {
            Some((address, len)) => format!(", {key}: [\"{address}/{len}\"]"),
            None => String::new(),
        };
        text += &prefix("from", self.from);
        text += &prefix("to", self.to);
        if let Some((low, high)) = self.source_ports {
            text += &format!(", source_ports: [\"{low}-{high}\"]");
        }
        text += &match self.ports {
            Some((low, high)) => format!(", ports: [\"{low}-{high}\"]"),
            None => ", ports: any".to_owned(),
        };
        if self.counts_only {
            text += ", enforce: false";
        }
        text + " }"
    }

    fn matches(self, segment: Segment) -> bool {
        let holds = |range: Option<(u16, u16)>, port: u16| {
            range.is_none_or(|(low, high)| (low..=high).contains(&port))
        };
        let contains = |prefix: Option<(Address, u32)>, address: Address| {
            prefix.is_none_or(|(prefix, len)| address.is_in(prefix, len))
        };
        contains(self.from, segment.source)
            && contains(self.to, segment.destination)
            && holds(self.source_ports, segment.source_port)
            && holds(self.ports, segment.port)
    }
}

/// The rule that decides and those before it that only count.
fn expected(rules: &[Plain], segment: Segment) -> (Option<usize>, Vec<usize>) {
    let mut shadows = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        if !rule.matches(segment) {
            continue;
        }
        if !rule.counts_only {
            return (Some(number), shadows);
        }
        shadows.push(number);
    }
    (None, shadows)
}

fn compiled(rules: &[Plain]) -> (Policy, Tables) {
    let lines: Vec<String> = (0..).zip(rules).map(|(n, rule)| rule.text(n)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let text = with_rules(&lines);
    let checked = portguard_policy::check(&text, &mut portguard_policy::NoFiles);
    let policy = checked.expect("a valid policy").policy;
    let tables = common::compiled(&policy).expect("fits");
    (policy, tables)
}

/// Whether the first rule decides about a packet.
fn is_dropped(tables: &Tables, source: Address, destination: Address) -> bool {
    let segment = Segment {
        source,
        destination,
        source_port: 1,
        port: 2,
    };
    let evaluator = Evaluator::new(tables, "eth0", Stateless);
    let evaluation = evaluator.frame(&segment.frame()).expect("sound tables");
    evaluation.outcome == Outcome::Rule(0)
}

/// Holds the tables against the rules, over these packets.
fn assert_agree(rules: &[Plain], tables: &Tables, segments: &[Segment]) {
    let evaluator = Evaluator::new(tables, "eth0", Stateless);
    let mut decided = 0;
    for segment in segments {
        let evaluation = evaluator.frame(&segment.frame()).expect("sound tables");
        let decider = match evaluation.outcome {
            Outcome::Rule(rule) => Some(rule),
            _ => None,
        };
        let (rule, shadows) = expected(rules, *segment);
        assert_eq!(
            (decider, evaluation.shadows),
            (rule, shadows),
            "{segment:?}"
        );
        decided += usize::from(rule.is_some());
    }
    assert!(
        decided * 8 >= segments.len(),
        "{decided} of {}",
        segments.len()
    );
}

/// Numbers without a pattern (a linear congruential generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(end)) as u32
    }
}

const NET: u32 = 0x0a00_0000;
const NET_V6: u128 = 0x2001_0db8 << 96;

/// A prefix of its own for each number, in both families by turns.
fn own_prefix(number: u32) -> (Address, u32) {
    if number.is_multiple_of(2) {
        (Address::V4(NET + (number << 8)), 24)
    } else {
        (Address::V6(NET_V6 + (u128::from(number) << 40)), 128)
    }
}

fn own_port(number: u32) -> u16 {
    1000 + number as u16 * 3
}

/// For each rule a packet that it matches, and others that miss it by one field.
fn segments_near(rules: &[Plain], numbers: &mut Numbers) -> Vec<Segment> {
    let mut segments = Vec::new();
    for rule in rules {
        let other = rules[numbers.below(rules.len() as u32) as usize];
        let is_v6 = [rule.from, rule.to]
            .iter()
            .flatten()
            .any(|(address, _)| matches!(address, Address::V6(_)));
        let free = if is_v6 {
            Address::V6(NET_V6 + u128::from(numbers.below(1 << 20)))
        } else {
            Address::V4(NET + numbers.below(1 << 20))
        };
        let address = |prefix: Option<(Address, u32)>| prefix.map_or(free, |(address, _)| address);
        let port = |range: Option<(u16, u16)>| range.map_or(50_000, |(low, _)| low);
        let hit = Segment {
            source: address(rule.from),
            destination: address(rule.to),
            source_port: port(rule.source_ports),
            port: port(rule.ports),
        };
        let high = |range: Option<(u16, u16)>| range.map_or(50_000, |(_, high)| high);
        segments.extend([
            hit,
            Segment {
                port: high(rule.ports),
                source_port: high(rule.source_ports),
                ..hit
            },
            Segment {
                port: high(rule.ports).wrapping_add(1),
                ..hit
            },
            Segment {
                port: port(other.ports),
                ..hit
            },
            Segment {
                source_port: high(rule.source_ports).wrapping_add(1),
                ..hit
            },
            Segment {
                source_port: port(other.source_ports),
                ..hit
            },
            Segment {
                source: free,
                ..hit
            },
            Segment {
                destination: free,
                ..hit
            },
        ]);
    }
    segments
}

#[test]
fn rules_that_each_pair_a_prefix_with_a_port() {
    let mut rules = Vec::new();
    // Before, between and behind them some that meet half of all ports, decide or only count.
    let half = Plain {
        from: Some((Address::V4(NET), 15)),
        ports: Some((1000, 1900)),
        ..Plain::default()
    };
    rules.push(Plain {
        ports: Some((1500, 2600)),
        counts_only: true,
        ..half
    });
    for number in 0..700 {
        if number == 350 {
            rules.push(Plain {
                from: Some((Address::V6(NET_V6), 90)),
                ..half
            });
        }
        rules.push(Plain {
            from: Some(own_prefix(number)),
            ports: Some((own_port(number), own_port(number) + 1)),
            counts_only: number % 7 == 0,
            ..Plain::default()
        });
    }
    rules.push(half);
    rules.push(Plain {
        from: Some((Address::V4(NET + (200 << 8)), 22)),
        ports: Some((1, 900)),
        ..Plain::default()
    });
    let (_, tables) = compiled(&rules);
    assert_eq!(tables.stages[field::SERVICE].form, Stage::SPARSE);
    let segments = segments_near(&rules, &mut Numbers(1));
    assert_agree(&rules, &tables, &segments);
}

#[test]
fn rules_that_each_match_a_prefix_and_all_the_same_port() {
    let mut rules: Vec<Plain> = (0..3000)
        .map(|number| Plain {
            from: Some(own_prefix(number)),
            ports: Some((53, 53)),
            ..Plain::default()
        })
        .collect();
    // One in which others lie that decide before it.
    rules.push(Plain {
        from: Some((Address::V4(NET), 12)),
        ports: Some((53, 53)),
        ..Plain::default()
    });
    let (_, tables) = compiled(&rules);
    let stage = tables.stages[field::SERVICE];
    assert_eq!(stage.form, Stage::IDENTITY);
    assert!(tables.halves.len() > stage.halves as usize + 2 * 65_535);
    let segments = segments_near(&rules, &mut Numbers(2));
    assert_agree(&rules, &tables, &segments);

    // One rule more, of another port: what the ports say differs, and each is asked for by itself.
    rules.push(Plain {
        ports: Some((54, 54)),
        ..rules[10]
    });
    let (_, tables) = compiled(&rules);
    assert_eq!(tables.stages[field::SERVICE].form, Stage::IDENTITY);
    let segments = segments_near(&rules, &mut Numbers(3));
    assert_agree(&rules, &tables, &segments);
}

#[test]
fn exceptions_take_as_much_room_as_there_are() {
    const RULES: u32 = 600;
    let pairs = (0..RULES).map(|number| Plain {
        from: Some((Address::V4(NET + (number << 8)), 24)),
        ports: Some((own_port(number), own_port(number))),
        ..Plain::default()
    });
    let exceptions = |rules: &[Plain]| {
        let (_, tables) = compiled(rules);
        let stage = tables.stages[field::SERVICE];
        assert_eq!(stage.form, Stage::SPARSE);
        let words = &tables.words[stage.words as usize..];
        assert_agree(rules, &tables, &segments_near(rules, &mut Numbers(5)));
        (words.iter().filter(|word| **word != 0).count(), words.len())
    };
    let pairs: Vec<Plain> = pairs.collect();
    let (taken, room) = exceptions(&pairs);
    assert_eq!(taken, RULES as usize);
    // Each row begins where its exception falls on a free place, and can be read to its end.
    assert!(room <= 3 * taken, "{room}");
    // What a rule before them decides in all rows takes none: here the first half of the ports.
    let before = Plain {
        from: Some((Address::V4(NET), 8)),
        ports: Some((1, own_port(RULES / 2) - 1)),
        ..Plain::default()
    };
    let rules: Vec<Plain> = [before].into_iter().chain(pairs).collect();
    assert_eq!(exceptions(&rules).0, RULES as usize / 2);
}

#[test]
fn rules_with_conditions_on_every_field() {
    let mut rules = Vec::new();
    for number in 0..600 {
        let (from, len) = own_prefix(number);
        // Another of the same family.
        let (to, to_len) = own_prefix((number * 7 + 2) % 600 / 2 * 2 + number % 2);
        rules.push(Plain {
            from: Some((from, len)),
            to: (number % 5 != 4).then_some((to, to_len)),
            source_ports: (number % 3 == 0).then_some((own_port(number), own_port(number) + 50)),
            ports: (number % 4 != 3).then_some((own_port(number), own_port(number))),
            counts_only: number % 9 == 0,
        });
    }
    // Wide ones in some fields, which decide what is left.
    rules.push(Plain {
        to: Some((Address::V4(NET), 16)),
        source_ports: Some((1000, 40_000)),
        ..Plain::default()
    });
    rules.push(Plain {
        from: Some((Address::V6(NET_V6), 82)),
        ports: Some((1000, 2000)),
        ..Plain::default()
    });
    let (_, tables) = compiled(&rules);
    let forms = tables.stages.map(|stage| stage.form);
    assert_eq!(forms[field::SOURCE], Stage::FIRST);
    assert_eq!(forms[field::DESTINATION], Stage::SPARSE);
    assert_eq!(forms[field::SERVICE], Stage::SPARSE);
    // The words of tries lie before the exceptions of the tables.
    for trie in tables.tries {
        assert_ne!(trie.form, Trie::CONSTANT);
    }
    // Only IPv6 has a trunk.
    let has_trunk = tables.tries.map(|trie| trie.trunk_words != 0);
    assert_eq!(has_trunk, [false, true, false, true]);
    let segments = segments_near(&rules, &mut Numbers(2));
    assert_agree(&rules, &tables, &segments);
}

#[test]
fn many_rules_that_match_the_same_packet_by_two_fields() {
    // Each within the one before: an address matches so many of them.
    let nested = (8..=32).map(|len| Plain {
        from: Some((Address::V4(NET), 8)),
        to: Some((Address::V4(NET), len)),
        counts_only: true,
        ..Plain::default()
    });
    let rules: Vec<Plain> = nested.chain([Plain::default()]).collect();
    let (_, tables) = compiled(&rules);
    let inside = (8..32).map(|len| NET | 1 << (31 - len));
    let segments = inside.chain([NET]).map(|destination| Segment {
        source: Address::V4(NET | 7),
        destination: Address::V4(destination),
        source_port: 1,
        port: 2,
    });
    assert_agree(&rules, &tables, &segments.collect::<Vec<_>>());
}

#[test]
fn all_that_the_place_of_a_row_and_a_column_can_name_is_there() {
    let rule = "{ name: r, action: drop, ports: [22/tcp], interfaces: [eth0], vlan: [7] }";
    let (_, tables) = common::tables(&with_rules(&[rule]));
    for number in [field::VLAN, field::SERVICE] {
        let stage = tables.stages[number];
        assert_eq!(stage.form, Stage::NEAR);
        assert!(tables.halves.len() > stage.halves as usize + 2 * 65_535);
    }
}

#[test]
fn all_addresses_of_a_family_need_no_trie() {
    for (from, is_v6) in [("0.0.0.0/0", false), ("::/0", true)] {
        let rule = format!("{{ name: r, action: drop, protocol: any, from: [\"{from}\"] }}");
        let (_, tables) = common::tables(&with_rules(&[&rule]));
        for v6 in [false, true] {
            let trie = tables.tries[Trie::index(false, v6)];
            assert_eq!(trie.form, Trie::CONSTANT, "{from}");
            // Where its row of services begins.
            let row = tables.stages[field::SERVICE].columns;
            assert_eq!(trie.root, row * u32::from(v6 == is_v6), "{from}");
        }
        assert!(tables.words.is_empty() && tables.nodes.is_empty(), "{from}");
    }
}

/// Where few of them lie across two lines.
#[test]
fn lists_begin_with_a_line_of_the_cache() {
    let rule = "{ name: r, action: drop, ports: [22/tcp], interfaces: [eth0], \
                from: [192.0.2.0/24, \"2001:db8::/48\"], to: [198.51.100.1, \"2001:db8:1::/48\"] }";
    let (_, tables) = common::tables(&with_rules(&[rule]));
    for trie in tables.tries {
        assert_ne!(trie.form, Trie::CONSTANT);
        // Of 64 bytes.
        assert_eq!(trie.lists % 32, 0, "{trie:?}");
    }
}

#[test]
fn the_trunk_of_ipv6_is_where_most_addresses_part() {
    let trie = |prefixes: &[&str]| {
        let prefixes: Vec<String> = prefixes.iter().map(|own| format!("\"{own}\"")).collect();
        let text = with_rules(&[&format!(
            "{{ name: r, action: drop, protocol: any, from: [{}] }}",
            prefixes.join(", ")
        )]);
        let (_, tables) = common::tables(&text);
        tables.tries[Trie::index(false, true)]
    };
    // Within the first four bytes nothing is left to look up below them.
    for prefixes in [&["2001:db8::/32"][..], &["2001:db8::/31", "fe80::/10"]] {
        assert_eq!(trie(prefixes).trunk_words, 0, "{prefixes:?}");
    }
    for (prefixes, trunk) in [
        (&["2001:db8:0:1::/64"][..], 0x2001_0db8),
        (
            &["fd00:1:2::/48", "2001:db8::1", "fd00:1:3::1"],
            0xfd00_0001,
        ),
        (
            &["2001:db8::1", "2001:db8::3", "2a02::/16", "::1"],
            0x2001_0db8,
        ),
        // Neither the first nor the last.
        (
            &["::1", "2001:db8::1", "2001:db8::3", "fd00::1"],
            0x2001_0db8,
        ),
    ] {
        let trie = trie(prefixes);
        assert_ne!(trie.trunk_words, 0, "{prefixes:?}");
        assert_eq!(trie.trunk, trunk, "{prefixes:?}");
    }
}

#[test]
fn levels_at_which_addresses_do_not_part_take_no_nodes() {
    // 128 bits: 32 of the trunk and 16 of its words, then as many as a gate may skip, and those of two lists.
    let rule = "{ name: r, action: drop, protocol: any, from: [\"2001:db8::1\", \"2001:db8::2\"] }";
    let (_, tables) = common::tables(&with_rules(&[rule]));
    let skips: Vec<u32> = tables.nodes.iter().map(|node| node.skip).collect();
    assert_eq!(skips, [48]);
}

#[test]
fn many_addresses_of_one_rule() {
    // Lists of a host, each in a /16 of its own, then all /28 of one /16 by turns, which are more than
    // a list holds.
    let mut numbers = Numbers(3);
    let hosts: Vec<u32> = (0..9_000_u32)
        .map(|number| (number + 0x0b00) << 16 | numbers.below(1 << 16))
        .collect();
    let blocks: Vec<u32> = (0..4096).step_by(2).map(|block| NET | block << 4).collect();
    let list = |numbers: &[u32], len: u32| {
        let each = numbers
            .iter()
            .map(|own| format!("{}/{len}", Address::V4(*own)));
        each.collect::<Vec<_>>().join(", ")
    };
    let text = with_rules(&[&format!(
        "{{ name: r0, action: drop, protocol: tcp, ports: any, from: [{}, {}] }}",
        list(&hosts, 32),
        list(&blocks, 28)
    )]);
    let checked = portguard_policy::check(&text, &mut portguard_policy::NoFiles);
    let policy = checked.expect("a valid policy").policy;
    let tables = common::compiled(&policy).expect("fits");
    assert_ne!(tables.tries[Trie::index(false, false)].form, Trie::CONSTANT);
    let is_dropped = |source| is_dropped(&tables, Address::V4(source), Address::V4(NET));
    for host in &hosts {
        assert!(is_dropped(*host), "{host:x}");
        assert!(!is_dropped(host ^ 1), "{host:x}");
        assert!(!is_dropped(host ^ 0x100), "{host:x}");
    }
    for block in &blocks {
        assert!(is_dropped(*block) && is_dropped(block + 15), "{block:x}");
        assert!(
            !is_dropped(block + 16) && !is_dropped(block.wrapping_sub(1)),
            "{block:x}"
        );
    }
}

#[test]
fn many_ipv6_addresses_of_one_network() {
    // More than a list holds: nodes tell them apart.
    let network = NET_V6 | 1 << 80;
    let hosts: Vec<u128> = (1..=100).map(|number| network | (number * 2)).collect();
    let list: Vec<String> = hosts
        .iter()
        .map(|host| format!("\"{}\"", Address::V6(*host)))
        .collect();
    let (_, tables) = common::tables(&with_rules(&[&format!(
        "{{ name: r0, action: drop, protocol: tcp, ports: any, from: [{}] }}",
        list.join(", ")
    )]));
    let is_dropped = |source| is_dropped(&tables, Address::V6(source), Address::V6(NET_V6));
    for host in &hosts {
        assert!(is_dropped(*host), "{host:x}");
        for bit in [0, 15, 16, 63, 64, 80, 95, 96, 112, 127] {
            assert!(!is_dropped(host ^ 1 << bit), "{host:x} {bit}");
        }
    }
    assert!(!is_dropped(network) && !is_dropped(network | 202));
}

#[test]
fn eighty_thousand_hosts_fit() {
    let hosts = (1..=80_000_u32).map(|number| Address::V4(number * 45_000).to_string());
    let rule = format!(
        "{{ name: r, action: drop, protocol: any, from: [{}] }}",
        hosts.collect::<Vec<_>>().join(", ")
    );
    let checked = portguard_policy::check(&with_rules(&[&rule]), &mut portguard_policy::NoFiles);
    let policy = checked.expect("a valid policy").policy;
    let tables = common::compiled(&policy).expect("fits");
    // The root of 65,536 words, a list of 16 halves for each network of 16 bits that has hosts (one or two of them: up to four starts), and
    // what is there without any.
    let networks = 80_000 * 45_000_usize / (1 << 16) + 1;
    let root_and_lists = (1 << 16) * 4 + networks * 16 * 2;
    let others = tables.services.len() * 2 + tables.vlan_classes.len() * 2;
    assert!(tables.bytes() < root_and_lists + others + (1 << 16));
}

#[test]
fn the_size_of_tables_is_that_of_their_parts() {
    let rules: Vec<Plain> = (0..600)
        .map(|number| Plain {
            from: Some(own_prefix(number)),
            to: Some(own_prefix(number + 600)),
            ports: Some((own_port(number), own_port(number))),
            ..Plain::default()
        })
        .collect();
    let (_, tables) = compiled(&rules);
    assert!(!tables.rows.is_empty() && !tables.nodes.is_empty() && !tables.words.is_empty());
    let sizes = [
        tables.services.len() * 2,
        tables.vlan_classes.len() * 2,
        tables.halves.len() * 2,
        tables.words.len() * 4,
        tables.rows.len() * 8,
        tables.nodes.len() * 56,
        tables.meaning.cells.len() * 8,
        tables.meaning.limits.len() * 32,
    ];
    assert_eq!(tables.bytes(), sizes.iter().sum::<usize>());

    let limited = with_rules(&[
        "{ name: a, action: limit, ports: [22], rate: 1/s }",
        "{ name: b, action: limit, ports: [23], rate: 1/s }",
    ]);
    let (_, tables) = common::tables(&limited);
    assert_eq!(tables.meaning.limits.len(), 2);
    let rest = tables.services.len() * 2
        + tables.vlan_classes.len() * 2
        + tables.meaning.cells.len() * 8
        + tables.halves.len() * 2;
    assert_eq!(tables.bytes(), rest + 2 * 32);
}
