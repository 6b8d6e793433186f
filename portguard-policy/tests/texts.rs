//! The text as a whole: keys, duplicates, YAML's odd corners, and how problems are reported.

mod common;

use std::time::{Duration, Instant};

use common::*;
use portguard_common::limits;
use portguard_policy::{Metrics, NoFiles, OnStop, Page, Severity, check};

#[test]
fn y04_misspelled_keys_are_refused_with_what_was_meant() {
    for (rule, message, hint, key) in [
        (
            "protocol: tcp, prots: [22]",
            "a rule has no key `prots`",
            "did you mean `ports`?",
            "prots",
        ),
        (
            "protocol: tcp, port: [22]",
            "a rule has no key `port`",
            "did you mean `ports`?",
            "port",
        ),
        (
            "proto: tcp, ports: [22]",
            "a rule has no key `proto`",
            "did you mean `protocol`?",
            "proto",
        ),
        (
            "Ports: [22]",
            "a rule has no key `Ports`",
            "did you mean `ports`?",
            "Ports",
        ),
        (
            "ports: 22, enforced: no",
            "a rule has no key `enforced`",
            "did you mean `enforce`?",
            "enforced",
        ),
        (
            "ports: 22, coment: x",
            "a rule has no key `coment`",
            "did you mean `comment`?",
            "coment",
        ),
        (
            "ports: 22, default: drop",
            "a rule has no key `default`",
            "check the indentation",
            "default",
        ),
        (
            "ports: 22, blubb: 1",
            "a rule has no key `blubb`",
            "name, action, protocol, ports",
            "blubb",
        ),
        (
            "ports: 22, \"\": 1",
            "a rule has no key ``",
            "name, action",
            "\"\"",
        ),
        (
            "ports: 22, ~: 1",
            "a rule has no key `~`",
            "name, action",
            "~",
        ),
    ] {
        let text = with_rules(&[&format!("{{ name: r, action: drop, {rule} }}")]);
        assert_refused(&text, message, hint, key);
        let problem = only_problem(&text);
        assert_eq!(at(&text, &problem).0, 4);
    }
    for (line, message, hint) in [
        (
            "blocks:",
            "a policy has no key `blocks`",
            "version, interfaces",
        ),
        (
            "rule:",
            "a policy has no key `rule`",
            "did you mean `rules`?",
        ),
        (
            "interface: eth0",
            "a policy has no key `interface`",
            "did you mean `interfaces`?",
        ),
        (
            "ports: [22]",
            "a policy has no key `ports`",
            "`ports` is a key of a rule: check the indentation",
        ),
    ] {
        let text = format!("version: 1\nrules: []\n{line}\n");
        assert_refused(&text, message, hint, line.split(':').next().unwrap());
        assert_eq!(at(&text, &only_problem(&text)), (3, 1));
    }
}

#[test]
fn y04_ports_under_the_wrong_parent_are_refused() {
    let text =
        "version: 1\nrules:\n  - name: r\n    action: drop\n    protocol: icmp\nports: [22]\n";
    let problems = refused(text);
    let problem = problems
        .iter()
        .find(|p| p.severity == Severity::Error)
        .unwrap();
    assert_eq!(problem.message, "a policy has no key `ports`");
    assert_eq!(at(text, problem), (6, 1));
    let text = "version: 1\nrules:\n  name: r\n  action: drop\n  ports: [22]\n";
    let problem = only_problem(text);
    assert_eq!(
        problem.message,
        "`rules` is a list of rules, found a mapping"
    );
    assert_eq!(at(text, &problem), (3, 3));
    let text = "version: 1\nrules:\n  - r:\n      action: drop\n      ports: [22]\n";
    assert_refused(text, "a rule has no key `r`", "name, action", "r");
    let text = "version: 1\nrules:\n  - drop\n";
    assert_refused(
        text,
        "a rule is a mapping of keys, found `drop`",
        "name: no-telnet",
        "drop",
    );
}

#[test]
fn duplicates_show_both_places() {
    let text = "version: 1\nrules: []\nversion: 1\n";
    let problem = only_problem(text);
    assert_eq!(problem.message, "the key `version` stands twice");
    assert_eq!(at(text, &problem), (3, 1));
    assert_eq!(problem.related.len(), 1);
    assert_eq!(problem.related[0].span.start, 0);

    let text = with_rules(&["{ name: r, action: drop, ports: 22, \"ports\": 23 }"]);
    assert_refused(&text, "the key `ports` stands twice", "", "\"ports\"");

    let text = with_rules(&[
        "{ name: r, action: drop, ports: 22 }",
        "{ name: s, action: drop, ports: 23 }",
        "{ name: r, action: pass, ports: 24 }",
    ]);
    let problem = only_problem(&text);
    assert_eq!(problem.message, "two rules are called `r`");
    assert_eq!(at(&text, &problem), (6, 13));
    let first = problem.related[0].span;
    assert_eq!(
        &text[..first.end],
        &text[..text.find("name: r").unwrap() + 7]
    );
}

#[test]
fn missing_parts_of_a_rule() {
    assert_refused(
        &with_rules(&["{ action: drop, ports: 22 }"]),
        "a rule has no `name`",
        "counters",
        "action",
    );
    assert_refused(
        &with_rules(&["{ name: r, ports: 22 }"]),
        "a rule has no `action`",
        "action: pass",
        "name",
    );
    let problems = refused(&with_rules(&["{}"]));
    assert_eq!(problems.len(), 3);
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_text() {
    let text = "version: 2\ndefault: Drop\nbogus: 1\nrules:\n  - name: a b\n    action: dorp\n    \
                ports: [22, 010, 99999, SSH]\n  - { name: c, action: drop, protocol: tcp, enforce: no }\n";
    let problems = refused(text);
    let places: Vec<_> = problems.iter().map(|problem| at(text, problem)).collect();
    assert_eq!(
        places,
        [
            (1, 10),
            (2, 10),
            (3, 1),
            (5, 11),
            (6, 13),
            (7, 17),
            (7, 22),
            (7, 29),
            (8, 40),
            (8, 54)
        ],
        "{problems:#?}"
    );
    assert!(problems.iter().all(|problem| problem.hint.is_some()));
}

#[test]
fn a_text_that_is_wrong_everywhere_is_refused_soon() {
    let rest = "more than 1000 errors: the rest of the text was not examined";
    for entry in ["0", "nosuchname", "SSSH", "[]"] {
        let ports = vec![entry; 20_000].join(", ");
        let started = Instant::now();
        let problems = refused(&with_ports(&format!("[{ports}]")));
        assert!(started.elapsed() < Duration::from_secs(5), "{entry}");
        assert_eq!(problems.len(), 1_001);
        assert_eq!(problems[1_000].message, rest);
    }
    let keys: String = (0..20_000).map(|key| format!("prots{key}: 1\n")).collect();
    let started = Instant::now();
    let problems = refused(&format!("version: 1\n{keys}"));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(problems.iter().any(|problem| problem.message == rest));
}

#[test]
fn many_anchors_cost_no_more_than_many_values() {
    let list = (0..50_000).map(|at| format!("&a{at} [[1]]"));
    let text = format!("version: 1\nx: [{}]\n", list.collect::<Vec<_>>().join(", "));
    let started = Instant::now();
    refused(&text);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn empty_texts_are_refused() {
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "---\n...\n",
        "~\n",
        "null\n",
        "\u{feff}",
        "  \n# x\n",
    ] {
        let problem = only_problem(text);
        assert_eq!(problem.message, "the policy is empty", "{text:?}");
        assert!(problem.hint.unwrap().contains("`rules: []`"));
    }
    for (text, found) in [("[]\n", "a list"), ("22\n", "`22`"), ("\"\"\n", "``")] {
        let problem = only_problem(text);
        assert_eq!(
            problem.message,
            format!("a policy is a mapping of keys, found {found}")
        );
    }
    assert_eq!(refused("{}\n")[0].message, "the key `version` is missing");
    assert!(accepted("version: 1\nrules: []\n").warnings.is_empty());
    let warnings = accepted("version: 1\n").warnings;
    assert_eq!(warnings[0].message, "the policy has no `rules`");
    for text in ["version: 1\nrules:\n", "version: 1\nrules: ~\n"] {
        let problem = only_problem(text);
        assert!(
            problem
                .message
                .starts_with("`rules` is a list of rules, found ")
        );
        assert_eq!(at(text, &problem), (2, 1));
    }
}

#[test]
fn a_second_document_is_refused() {
    let text = "version: 1\nrules: []\n---\nversion: 1\nrules: [x]\n";
    let problem = only_problem(text);
    assert_eq!(problem.message, "the file holds a second document");
    assert_eq!(at(text, &problem), (3, 1));
    accepted("---\nversion: 1\nrules: []\n...\n# the end\n");
    // What is wrong in the first is reported too.
    assert_eq!(refused("version: 3\nrules: []\n---\n").len(), 2);
}

#[test]
fn byte_order_mark_and_carriage_returns_are_accepted() {
    let text = "\u{feff}# é\r\nversion: 1\r\nrules:\r\n  - name: r\r\n    action: drop\r\n    ports:\r\n      - 22\r\n      - 8000-8001\r\n";
    assert_eq!(accepted(text).policy.rules[0].place.line, 4);
    let wrong = text.replace("- 22", "- 0x16");
    let problem = only_problem(&wrong);
    assert_eq!(at(&wrong, &problem), (7, 9));
    assert_eq!(pointed(&wrong, &problem), "0x16");
    let text = "\u{feff}vorsion: 1\n";
    let problems = refused(text);
    assert_eq!(at(text, &problems[0]), (1, 1));
}

#[test]
fn positions_hold_behind_characters_of_several_bytes() {
    let text =
        with_rules(&["{ name: r, comment: \"Zugang für 客户 🦀\", action: drop, ports: 22:22 }"]);
    let problem = only_problem(&text);
    assert_eq!(pointed(&text, &problem), "22:22");
    assert_eq!(at(&text, &problem), (4, 65));
}

#[test]
fn y07_tabs_are_named_with_their_place() {
    for (text, place) in [
        ("version: 1\nrules:\n\t- name: r\n", (3, 1)),
        (
            "version: 1\nrules:\n  - name: r\n\t  action: drop\n",
            (4, 1),
        ),
        (
            "version: 1\nrules:\n  - name: r\n  \taction: drop\n",
            (4, 3),
        ),
        ("\tversion: 1\n\trules: []\n", (1, 1)),
        ("  \tversion: 1\n  \trules: []\n", (1, 3)),
        ("# a comment\n \tversion: 1\n \trules: []\n", (2, 2)),
        ("---\n\tversion: 1\n\trules: []\n", (2, 1)),
        (
            "version: 1\nrules:\n\t- name: r\n\t\taction: drop\n",
            (3, 1),
        ),
        ("version: 1\nrules:\n-\t- name: r\n", (3, 2)),
        (
            "version: 1\nrules:\n  -\tname: r\n  \taction: drop\n",
            (3, 4),
        ),
        (
            "version: 1\nrules:\n  - name: r\n    ports: [\n\t22,\n\t23\n    ]\n",
            (5, 1),
        ),
        ("\t{ version: 1, rules: [] }\n", (1, 1)),
        ("# a comment\n \t{ version: 1, rules: [] }\n", (2, 2)),
    ] {
        let problem = only_problem(text);
        assert_eq!(problem.message, "a tab cannot indent", "{text:?}");
        assert_eq!(at(text, &problem), place, "{text:?}");
        assert_eq!(pointed(text, &problem), "\t");
    }
    // Elsewhere tabs do no harm.
    accepted("version: 1\t# one\nrules: [ ]\t\n");
    accepted("version: 1\nrules:\t[ ]\n");
    accepted("version: 1\nrules:\n  - {\tname: r, action:\tdrop, ports:\t[22] }\n");
}

#[test]
fn y07_anchors_and_aliases_stand_for_their_values() {
    let text = "version: 1\nrules:\n  - name: a\n    action: drop\n    ports: &web [80, &tls 443]\n  \
                - name: b\n    action: pass\n    ports: *web\n  - { name: c, action: pass, ports: [*tls, 8443] }\n";
    let policy = accepted(text).policy;
    assert_eq!(policy.rules[0].services, policy.rules[1].services);
    assert_eq!(policy.rules[2].services.len(), 4);
    // One wrong value is one problem, wherever it is used.
    let wrong = text.replace("80,", "0x50,");
    assert_eq!(pointed(&wrong, &only_problem(&wrong)), "0x50");
    // A rule that is used twice is a duplicate name.
    let text = "version: 1\nrules:\n  - &r { name: a, action: drop, ports: 1 }\n  - *r\n";
    assert_eq!(only_problem(text).message, "two rules are called `a`");
    let text = "version: 1\nrules: &r\n  - *r\n";
    assert_eq!(
        only_problem(text).message,
        "the alias `*r` stands inside of what it stands for"
    );
}

/// An anchor on an alias, an alias as a key, a list as a key, and an alias of nothing.
#[test]
fn y07_what_aliases_cannot_do_is_refused_with_its_place() {
    let first = "version: 1\nrules:\n  - { name: r, action: drop, ports: &p [22] }\n";
    // What an alias stands for is shown where it stands.
    for (line, message, place) in [
        (
            "  - { name: s, action: drop, ports: &q *p }",
            "this is not YAML: ",
            (4, 40),
        ),
        (
            "  - { name: s, action: drop, *p : 22 }",
            "a key of a rule is a word, found a list",
            (3, 40),
        ),
        (
            "  - { name: s, action: drop, [ports]: 22 }",
            "a key of a rule is a word, found a list",
            (4, 30),
        ),
        (
            "  - { name: s, action: drop, ports: *q }",
            "`*q` reads as an alias, and no anchor has this name",
            (4, 37),
        ),
    ] {
        let text = format!("{first}{line}\n");
        let problem = only_problem(&text);
        assert!(problem.message.starts_with(message), "{line}: {problem:?}");
        assert_eq!(at(&text, &problem), place, "{line}");
    }
    // The whole word is shown, and no more.
    for (value, alias) in [
        ("*q", "*q"),
        ("[80, *all, 443]", "*all"),
        ("[*all]", "*all"),
        ("*", "*"),
        ("*.example", "*.example"),
    ] {
        let text = with_ports(value);
        let problem = only_problem(&text);
        assert_eq!(
            problem.message,
            format!("`{alias}` reads as an alias, and no anchor has this name")
        );
        assert_eq!(pointed(&text, &problem), alias, "{value}");
        assert!(problem.hint.unwrap().contains("needs quotes"), "{value}");
    }
    // An anchor without a name is none of these.
    let problem = only_problem(&with_ports("& 22"));
    assert!(
        problem.message.starts_with("this is not YAML: "),
        "{problem:?}"
    );
}

#[test]
fn a_block_ends_with_its_last_value() {
    for (block, found) in [
        ("a: 1", "a mapping"),
        ("a: 1\n  b: [2]", "a mapping"),
        ("a:\n    b: 2", "a mapping"),
        ("- 1\n  - 2", "a list"),
        ("{ a: 1 }", "a mapping"),
        ("[ 1,\n    2 ]", "a list"),
    ] {
        // Neither the blank lines below it nor a comment are part of it.
        let text = format!("version:\n  {block}\n\n\n# rules\nrules: []\n");
        assert_refused(
            &text,
            &format!("`version` is `1`, found {found}"),
            "write `version: 1`",
            block,
        );
    }
}

#[test]
fn y07_merge_keys_are_refused_with_a_message() {
    let text = "version: 1\nrules:\n  - &base\n    name: a\n    action: drop\n    ports: 22\n  - <<: *base\n    name: b\n";
    let problem = only_problem(text);
    assert_eq!(problem.message, "the merge key `<<` is not supported");
    assert_eq!(at(text, &problem), (7, 5));
}

#[test]
fn y07_tags_are_refused() {
    for tag in ["!!int", "!!str", "!port", "!<tag:yaml.org,2002:int>"] {
        let text = with_ports(&format!("{tag} 22"));
        let problem = only_problem(&text);
        assert!(problem.message.starts_with("the tag `"), "{problem:?}");
        assert_eq!(pointed(&text, &problem), "22");
    }
}

#[test]
fn y07_an_alias_bomb_is_refused_at_once() {
    let mut text = String::from("version: 1\na0: &a0 [22, 22, 22, 22, 22, 22, 22, 22, 22]\n");
    for level in 1..40 {
        let alias = format!("*a{}", level - 1);
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![alias; 9].join(", ")
        ));
    }
    text.push_str("rules: []\n");
    let started = Instant::now();
    let problem = refused(&text).into_iter().last().unwrap();
    assert!(started.elapsed() < Duration::from_millis(500));
    assert_eq!(
        problem.message,
        "the policy holds more than 4000000 values, its aliases followed"
    );
    assert!(
        problem
            .hint
            .unwrap()
            .contains("aliases of aliases multiply")
    );
    // As many as are allowed: the mapping with two keys and their values, and lists of a thousand values each.
    let values = |more: usize| {
        let thousand = vec!["1"; 999].join(",");
        let lists = vec!["*x"; 3998].join(",");
        let rest = vec!["1"; 995 + more].join(",");
        format!("version: 1\ny: [&x [{thousand}],{lists},{rest}]\n")
    };
    let is_bomb = |text: &str| {
        let mut problems = refused(text).into_iter();
        problems.any(|problem| problem.message.contains("more than 4000000"))
    };
    assert!(!is_bomb(&values(0)));
    assert!(is_bomb(&values(1)));
    // One level of many aliases to one long list is no less of a bomb.
    let list = vec!["1"; 50_000].join(",");
    let mut text = format!("version: 1\nx: &x [{list}]\nrules:\n");
    for rule in 0..200 {
        text.push_str(&format!(
            "  - {{ name: r{rule}, action: drop, ports: *x }}\n"
        ));
    }
    assert!(
        refused(&text)
            .iter()
            .any(|problem| problem.message.contains("more than 4000000"))
    );
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        format!(
            "version: 1\nrules: {}{}\n",
            "[".repeat(200),
            "]".repeat(200)
        ),
    ] {
        assert!(check(&text, &mut NoFiles).is_err());
    }
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, place) in [
        ("version: 1\nrules: [\n", (2, 8)),
        ("version: 1\ninterfaces: 'eth0\n", (2, 13)),
        ("version: 1\n}\n", (2, 1)),
    ] {
        let problem = only_problem(text);
        assert!(
            problem.message.starts_with("this is not YAML: "),
            "{problem:?}"
        );
        assert!(problem.message.len() > "this is not YAML: ".len());
        assert_eq!(at(text, &problem), place, "{text:?}");
    }
}

#[test]
fn a_text_beyond_the_limit_is_refused_unread() {
    let text = "#".repeat(limits::POLICY_BYTES + 1);
    let problem = only_problem(&text);
    assert_eq!(
        problem.message,
        "the policy has 16777217 bytes, more than the 16777216 allowed"
    );
    // As many as are allowed are read: a comment, and nothing else.
    let problem = only_problem(&text[1..]);
    assert_eq!(problem.message, "the policy is empty");
}

#[test]
fn default_drop_warns_where_replies_are_not_exempt() {
    let text = "version: 1\ndefault: drop\nreplies: rules\nrules: []\n";
    let warnings = accepted(text).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].severity, Severity::Warning);
    assert_eq!(at(text, &warnings[0]), (2, 10));
    assert!(warnings[0].message.contains("also drops the replies"));
    for text in [
        "version: 1\ndefault: drop\nrules: []\n",
        "version: 1\ndefault: drop\nreplies: pass\nrules: []\n",
        "version: 1\nreplies: rules\nrules: []\n",
    ] {
        let checked = accepted(text);
        assert!(checked.warnings.is_empty(), "{text}");
        assert_eq!(checked.policy.replies, !text.contains("replies: rules"));
    }
}

#[test]
fn notes_on_essential_traffic() {
    for protocol in ["icmp", "icmpv6", "any", "1", "58"] {
        let rule = format!("{{ name: r, action: pass, protocol: {protocol} }}");
        let text = with_rules(&[&rule]);
        let warnings = accepted(&text).warnings;
        assert_eq!(warnings.len(), 1, "{protocol}");
        assert_eq!(warnings[0].severity, Severity::Note);
        assert_eq!(
            warnings[0].message,
            format!("`{protocol}` does not cover essential traffic")
        );
        assert_eq!(pointed(&text, &warnings[0]), protocol);
        let text = text.replace("rules:", "essential: rules\nrules:");
        assert!(accepted(&text).warnings.is_empty(), "{protocol}");
    }
    for rest in [
        "protocol: igmp",
        "protocol: gre",
        "ports: any",
        "ports: 68/udp",
    ] {
        let rule = format!("{{ name: r, action: pass, {rest} }}");
        assert!(
            accepted(&with_rules(&[&rule])).warnings.is_empty(),
            "{rest}"
        );
    }
}

#[test]
fn a_pass_that_is_not_enforced_has_no_effect() {
    let text = with_rules(&["{ name: r, action: pass, ports: 22, enforce: false }"]);
    let warnings = accepted(&text).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].message.starts_with("rule `r` has no effect"));
    let text = with_rules(&["{ name: r, action: drop, ports: 22, enforce: false }"]);
    assert!(accepted(&text).warnings.is_empty());
}

#[test]
fn dead_rules_are_named_with_what_covers_them() {
    let text = with_rules(&[
        "{ name: low, action: pass, ports: 1-100/tcp }",
        "{ name: high, action: drop, ports: 101-200/tcp }",
        "{ name: dead, action: drop, ports: 90-110/tcp }",
        "{ name: alive, action: drop, ports: 90-201/tcp }",
        "{ name: counts, action: drop, ports: [22/tcp, 101/tcp], enforce: false }",
    ]);
    let warnings = accepted(&text).warnings;
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert_eq!(
        warnings[0].message,
        "rule `dead` never decides anything: earlier rules decide all that it matches"
    );
    assert_eq!(at(&text, &warnings[0]), (6, 13));
    let related: Vec<_> = warnings[0]
        .related
        .iter()
        .map(|r| r.text.as_str())
        .collect();
    assert_eq!(
        related,
        [
            "rule `low` (line 4) comes first",
            "rule `high` (line 5) comes first"
        ]
    );
    assert_eq!(
        warnings[0].hint.as_deref(),
        Some("move it above `low` or `high`, or remove it")
    );
    assert!(
        warnings[1]
            .message
            .starts_with("rule `counts` never counts anything")
    );
}

#[test]
fn rules_that_reach_something_are_not_dead() {
    for rules in [
        // A rule that only counts covers nothing.
        [
            "{ name: a, action: drop, ports: 22, enforce: false }",
            "{ name: b, action: drop, ports: 22 }",
        ],
        // Later fragments and port 0 are left.
        [
            "{ name: a, action: drop, ports: 1-65535 }",
            "{ name: b, action: pass, ports: any }",
        ],
        // Essential traffic is left: an answer of a DHCP server.
        [
            "{ name: a, action: drop, ports: 68, protocol: udp }",
            "{ name: b, action: pass, ports: 68/udp }",
        ],
        [
            "{ name: a, action: drop, protocol: icmp }",
            "{ name: b, action: pass, protocol: 1 }",
        ],
    ] {
        let mut warnings = accepted(&with_rules(&rules)).warnings;
        warnings.retain(|warning| !warning.message.contains("drops the replies"));
        assert!(
            warnings.iter().all(|w| w.severity == Severity::Note),
            "{warnings:#?}"
        );
    }
    // With `essential: rules` nothing is left.
    let text = with_rules(&[
        "{ name: a, action: drop, ports: 68, protocol: udp }",
        "{ name: b, action: pass, ports: 68/udp }",
    ]);
    let text = text.replace("rules:", "essential: rules\nrules:");
    assert_eq!(accepted(&text).warnings.len(), 1);
}

#[test]
fn a_rule_that_cuts_the_replies_of_this_host_gets_a_warning() {
    let with = |rule: &str, replies: &str| {
        let text = with_rules(&[rule]).replace("rules:\n", &format!("{replies}\nrules:\n"));
        let warnings = accepted(&text).warnings;
        warnings
            .iter()
            .any(|warning| warning.message.contains("drops the replies"))
    };
    let warned = |rule: &str| {
        assert!(!with(rule, "replies: pass"), "{rule}");
        assert!(!with(rule, ""), "{rule}");
        with(rule, "replies: rules")
    };
    assert!(warned("{ name: r, action: reject, ports: any }"));
    assert!(!warned(
        "{ name: r, action: drop, ports: any, from: 192.0.2.1 }"
    ));
    assert!(warned("{ name: r, action: drop, ports: 1024-65535 }"));
    assert!(warned("{ name: r, action: drop, ports: any/udp }"));
    assert!(warned("{ name: r, action: drop, protocol: any }"));
    assert!(!warned(
        "{ name: r, action: drop, ports: 1024-65535, enforce: false }"
    ));
    assert!(!warned("{ name: r, action: pass, ports: 1024-65535 }"));
    assert!(!warned("{ name: r, action: drop, ports: 1-32767 }"));
    assert!(!warned(
        "{ name: r, action: drop, ports: [33434-33534, 50000] }"
    ));
}

#[test]
fn metrics_are_listened_for_at_addresses_with_ports() {
    let listen = |value: &str| {
        let checked = accepted(&format!(
            "version: 1\nrules: []\nmetrics: {{ listen: {value} }}\n"
        ));
        let metrics = checked
            .policy
            .metrics
            .listen
            .iter()
            .map(ToString::to_string);
        let warnings = checked.warnings.into_iter().map(|warning| warning.message);
        (metrics.collect::<Vec<_>>(), warnings.collect::<Vec<_>>())
    };
    let none: [String; 0] = [];
    assert!(
        accepted("version: 1\nrules: []\n")
            .policy
            .metrics
            .listen
            .is_empty()
    );
    for local in ["127.0.0.1:9477", "127.8.9.1:1", "\"[::1]:65535\""] {
        let (metrics, warnings) = listen(local);
        assert_eq!(metrics, [local.trim_matches('"')]);
        assert_eq!(warnings, none);
    }
    let (metrics, warnings) = listen("[127.0.0.1:9477, \"[::1]:9477\", 127.0.0.1:9477]");
    assert_eq!(metrics, ["127.0.0.1:9477", "[::1]:9477"]);
    assert_eq!(warnings, ["`127.0.0.1:9477` stands twice"]);
    for exposed in ["0.0.0.0:9477", "192.0.2.1:9477", "\"[::]:9477\""] {
        let (metrics, warnings) = listen(exposed);
        let address = exposed.trim_matches('"');
        assert_eq!(metrics, [address]);
        assert_eq!(
            warnings,
            [format!("whoever reaches {address} can read the metrics")]
        );
    }
}

#[test]
fn what_is_no_address_with_a_port_is_told_what_is_missing() {
    for (value, hint) in [
        ("9477", "write the address, too: `127.0.0.1:9477`"),
        ("127.0.0.1", "write its port, too: `\"127.0.0.1:9477\"`"),
        ("\"::1\"", "write its port, too: `\"[::1]:9477\"`"),
        (
            "\"::1:9477\"",
            "in brackets before its port: `\"[::1]:9477\"`",
        ),
        ("localhost:9477", "names are not looked up"),
        ("127.0.0.1:0", "a port is a plain number from 1 to 65535"),
        (
            "127.0.0.1:09477",
            "a port is a plain number from 1 to 65535",
        ),
        (
            "127.0.0.1:70000",
            "a port is a plain number from 1 to 65535",
        ),
        (
            "127.0.0.1:metrics",
            "a port is a plain number from 1 to 65535",
        ),
        ("{ port: 9477 }", "write `127.0.0.1:9477`"),
        ("unix", "write `127.0.0.1:9477`"),
    ] {
        let text = format!("version: 1\nrules: []\nmetrics: {{ listen: {value} }}\n");
        let problem = only_problem(&text);
        assert!(
            problem
                .message
                .starts_with("`listen` is an address with a port, found "),
            "{value}: {}",
            problem.message
        );
        let given = problem.hint.unwrap_or_default();
        assert!(given.contains(hint), "{value}: {given}");
    }
    let many: Vec<String> = (1..=9).map(|port| format!("127.0.0.1:{port}")).collect();
    for (metrics, message) in [
        (
            "127.0.0.1:9477".to_owned(),
            "`metrics` is a mapping of keys",
        ),
        ("{}".to_owned(), "`metrics` has no `listen`"),
        ("{ listen: }".to_owned(), "`listen` has no value"),
        ("{ listen: [] }".to_owned(), "`listen` is an empty list"),
        ("{ port: 9477 }".to_owned(), "`metrics` has no key `port`"),
        (
            format!("{{ listen: [{}] }}", many.join(", ")),
            "`listen` has more than 8 addresses",
        ),
    ] {
        let problem = only_problem(&format!("version: 1\nrules: []\nmetrics: {metrics}\n"));
        assert!(
            problem.message.starts_with(message),
            "{metrics}: {}",
            problem.message
        );
    }
}

/// The page of a policy whose metrics are at these addresses, and its warnings.
fn page(listen: &str, page: &str) -> (Metrics, Vec<String>) {
    let checked = accepted(&format!(
        "version: 1\nrules: []\nmetrics: {{ listen: {listen}, page: {page} }}\n"
    ));
    let warnings = checked.warnings.into_iter().map(|warning| warning.message);
    (checked.policy.metrics, warnings.collect())
}

#[test]
fn a_page_is_at_loopback_addresses_unless_it_is_exposed() {
    let none: [String; 0] = [];
    let at = |metrics: &Metrics, address: &str| {
        metrics
            .page_at(address.parse().expect("an address"))
            .is_some()
    };
    let (metrics, warnings) = page("127.0.0.1:9477", "true");
    assert_eq!(metrics.page, Some(Page::default()));
    assert_eq!(warnings, none);
    assert!(at(&metrics, "127.0.0.1:9477"));
    let (metrics, warnings) = page("127.0.0.1:9477", "false");
    assert_eq!((metrics.page, warnings), (None, Vec::new()));
    assert_eq!(
        accepted("version: 1\nrules: []\nmetrics: { listen: 127.0.0.1:9477 }\n")
            .policy
            .metrics
            .page,
        None
    );

    // Metrics for a scraper elsewhere, the page for this host.
    let (metrics, warnings) = page("[192.0.2.1:9477, \"[::1]:9477\"]", "true");
    assert!(at(&metrics, "[::1]:9477") && !at(&metrics, "192.0.2.1:9477"));
    assert_eq!(
        warnings,
        ["whoever reaches 192.0.2.1:9477 can read the metrics"]
    );
    let (metrics, warnings) = page(
        "0.0.0.0:9477",
        "{ exposed: true, hosts: [FW.example.net, box] }",
    );
    assert!(at(&metrics, "0.0.0.0:9477"));
    assert_eq!(
        metrics.page.expect("a page").hosts,
        ["fw.example.net", "box"]
    );
    assert_eq!(
        warnings,
        ["whoever reaches 0.0.0.0:9477 can read the metrics and the page"]
    );
    let (_, warnings) = page("127.0.0.1:9477", "{ hosts: [fw, FW] }");
    assert_eq!(warnings, ["`FW` stands twice"]);
}

#[test]
fn a_page_for_nobody_or_for_everybody_by_mistake_is_refused() {
    for listen in ["192.0.2.1:9477", "[0.0.0.0:9477, \"[::]:9478\"]"] {
        for page in ["true", "{ hosts: fw }", "{ exposed: false }"] {
            let problems = refused(&format!(
                "version: 1\nrules: []\nmetrics: {{ listen: {listen}, page: {page} }}\n"
            ));
            // Beside the warning about each address.
            let mut errors = problems
                .into_iter()
                .filter(|problem| problem.severity == Severity::Error);
            let problem = errors.next().expect("an error");
            assert_eq!(errors.next(), None);
            assert_eq!(
                problem.message,
                "the page is served at loopback addresses alone, and `listen` has none",
                "{listen} {page}"
            );
            let hint = problem.hint.unwrap_or_default();
            assert!(hint.contains("`page: { exposed: true }`"), "{hint}");
        }
    }
    let many: Vec<String> = (1..=17).map(|number| format!("h{number}")).collect();
    let many = format!("{{ hosts: [{}] }}", many.join(", "));
    for (page, message, hint) in [
        ("yes", "`page` is `true` or `false`", "write `true`"),
        ("", "`page` is `true` or `false`", "write `true`"),
        (
            "{}",
            "`page` is an empty mapping",
            "write `page: true`, or no `page` at all",
        ),
        ("{ host: fw }", "`page` has no key `host`", "`hosts`"),
        (
            "{ exposed: 1 }",
            "`exposed` is `true` or `false`",
            "write `true`",
        ),
        (
            "{ hosts: [] }",
            "`hosts` is an empty list",
            "no `hosts` at all",
        ),
        (
            "{ hosts: \"http://fw/\" }",
            "`hosts` has names of hosts",
            "without `http://`",
        ),
        (
            "{ hosts: \"*.example.net\" }",
            "`hosts` has names of hosts",
            "each name is written out",
        ),
        (
            "{ hosts: \"fw:9477\" }",
            "`hosts` has names of hosts",
            "without a port",
        ),
        (
            "{ hosts: 192.0.2.1 }",
            "`hosts` has names of hosts",
            "needs no name",
        ),
        (
            "{ hosts: fw..net }",
            "`hosts` has names of hosts",
            "letters, digits",
        ),
        (
            "{ hosts: -fw }",
            "`hosts` has names of hosts",
            "letters, digits",
        ),
        (
            "{ hosts: \"fw net\" }",
            "`hosts` has names of hosts",
            "letters, digits",
        ),
        (
            &many,
            "`hosts` has more than 16 names",
            "remove those by which nobody asks",
        ),
    ] {
        let problem = only_problem(&format!(
            "version: 1\nrules: []\nmetrics: {{ listen: 127.0.0.1:9477, page: {page} }}\n"
        ));
        assert!(
            problem.message.starts_with(message),
            "{page}: {}",
            problem.message
        );
        let given = problem.hint.unwrap_or_default();
        assert!(given.contains(hint), "{page}: {given}");
    }
}

#[test]
fn what_a_stop_leaves_behind_is_detach_or_keep() {
    let on_stop = |line: &str| {
        accepted(&format!("version: 1\nrules: []\n{line}"))
            .policy
            .on_stop
    };
    assert_eq!(on_stop(""), OnStop::Detach);
    assert_eq!(on_stop("on_stop: detach\n"), OnStop::Detach);
    assert_eq!(on_stop("on_stop: keep\n"), OnStop::Keep);
    assert_refused(
        "version: 1\nrules: []\non_stop: leave\n",
        "`on_stop` is `detach` or `keep`, found `leave`",
        "",
        "leave",
    );
}
