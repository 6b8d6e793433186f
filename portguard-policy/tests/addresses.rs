//! Addresses, prefixes and sets: what a policy may say, and what is refused.

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use portguard_policy::{Addresses, Checked, NoFiles, Problem, Severity, check};

fn from(list: &str) -> String {
    with_rules(&[&format!("{{ name: r, action: drop, from: {list} }}")])
}

fn with_sets(sets: &str, rule: &str) -> String {
    with_rules(&[rule]).replace("rules:\n", &format!("sets: {sets}\nrules:\n"))
}

/// A policy of one rule on one set, which is a file of this content.
fn with_file(content: impl Into<Vec<u8>>) -> Result<Checked, Vec<Problem>> {
    let text = with_sets(
        "{ bad: { file: bad.txt } }",
        "{ name: r, action: drop, from: $bad }",
    );
    check(&text, &mut TestFiles::one("bad.txt", content))
}

fn sources(text: &str) -> Arc<Addresses> {
    let policy = accepted(text).policy;
    let from = policy.rules[0].from.clone();
    from.unwrap_or_else(|| panic!("no source: {text}"))
}

fn holds(addresses: &Addresses, address: &str) -> bool {
    let address: Result<IpAddr, _> = address.parse();
    addresses.contains(address.unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn a_list_holds_its_members_and_nothing_else() {
    let set = sources(&from(
        "[192.0.2.0/24, 198.51.100.7, \"2001:db8::/32\", \"::1\"]",
    ));
    for inside in [
        "192.0.2.0",
        "192.0.2.255",
        "198.51.100.7",
        "2001:db8::",
        "2001:db8:ffff::1",
        "::1",
    ] {
        assert!(holds(&set, inside), "{inside}");
    }
    for outside in [
        "192.0.1.255",
        "192.0.3.0",
        "198.51.100.6",
        "198.51.100.8",
        "2001:db7:ffff::",
        "2001:db9::",
        "::",
        "::2",
        "0.0.0.1",
    ] {
        assert!(!holds(&set, outside), "{outside}");
    }
    let single = sources(&from("192.0.2.1"));
    assert_eq!(single.v4(), [(0xc000_0201, 0xc000_0201)]);
    let text = with_rules(&["{ name: r, action: drop, to: \"2001:db8::1\" }"]);
    let rule = accepted(&text).policy.rules.remove(0);
    assert_eq!(rule.from, None);
    assert!(holds(&rule.to.expect("a destination"), "2001:db8::1"));
}

#[test]
fn m06_prefix_length_zero_is_everything() {
    for (list, warnings) in [
        ("0.0.0.0/0", 0),
        ("10.0.0.0/0", 1),
        ("[0.0.0.0/1, 128.0.0.0/1]", 0),
    ] {
        let text = from(list);
        let checked = accepted(&text);
        assert_eq!(checked.warnings.len(), warnings, "{list}");
        let set = checked.policy.rules[0].from.clone().expect("a source");
        for source in ["0.0.0.1", "198.51.100.9", "255.255.255.254", "0.0.0.0"] {
            assert!(holds(&set, source), "{list} {source}");
        }
        assert_eq!(set.v4(), [(0, u32::MAX)], "{list}");
        assert!(set.v6().is_empty(), "{list}");
    }
    for list in ["\"::/0\"", "[\"::/1\", \"8000::/1\"]"] {
        let set = sources(&from(list));
        assert_eq!(set.v6(), [(0, u128::MAX)], "{list}");
        assert!(set.v4().is_empty(), "{list}");
    }
    let text = from("10.0.0.0/0");
    let warning = &accepted(&text).warnings[0];
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(
        warning.message,
        "`10.0.0.0/0` has bits set behind its prefix"
    );
    assert!(warning.hint.as_ref().unwrap().contains("`0.0.0.0/0`"));
    assert_eq!(at(&text, warning), (4, 36));
}

#[test]
fn m08_the_most_specific_entry_hides_nothing() {
    let text = with_rules(&[
        "{ name: wide, action: pass, from: \"2001:db8::/48\" }",
        "{ name: narrow, action: pass, protocol: icmpv6, from: \"2001:db8:0:1::/64\" }",
    ]);
    let policy = accepted(&text).policy;
    let holds_it = |rule: usize| {
        let set = policy.rules[rule].from.as_ref().expect("a source");
        holds(set, "2001:db8:0:1::5")
    };
    assert!(holds_it(0) && holds_it(1));
    // Within a list, what contains and what is contained are legal and their union counts.
    for list in [
        "[\"2001:db8::/48\", \"2001:db8:0:1::/64\"]",
        "[\"2001:db8:0:1::/64\", \"2001:db8::/48\", \"2001:db8::/48\"]",
    ] {
        assert_eq!(
            sources(&from(list)),
            sources(&from("\"2001:db8::/48\"")),
            "{list}"
        );
    }
}

#[test]
fn m09_overlapping_rules_stay_in_file_order() {
    let block = "{ name: block, action: drop, from: 192.0.2.0/24 }";
    let allow = "{ name: allow, action: pass, from: 192.0.2.3/32 }";
    for rules in [[block, allow], [allow, block]] {
        let policy = accepted(&with_rules(&rules)).policy;
        let first = &policy.rules[0].name;
        assert!(rules[0].contains(first.as_str()));
        let narrow = policy.rules.iter().find(|rule| rule.name == "allow");
        let narrow = narrow.and_then(|rule| rule.from.clone()).expect("a source");
        assert_eq!(narrow.v4(), [(0xc000_0203, 0xc000_0203)]);
    }
}

const EXPECTED: &str = "expected an address, a prefix or a `$set`, found ";

#[test]
fn m11_odd_spellings_of_addresses_are_refused() {
    for (written, message, hint) in [
        (
            "010.0.0.1/8",
            "the octet `010` of `010.0.0.1/8` has leading zeros",
            "`10.0.0.1/8`",
        ),
        (
            "0127.0.0.1",
            "the octet `0127` of `0127.0.0.1` has leading zeros",
            "`127.0.0.1`",
        ),
        (
            "1.2.3.00",
            "the octet `00` of `1.2.3.00` has leading zeros",
            "`1.2.3.0`",
        ),
        (
            "192.0.2.1/024",
            "the prefix length `024` is no plain decimal number",
            "`192.0.2.1/24`",
        ),
        (
            "192.0.2.1/+24",
            "the prefix length `+24` is no plain decimal number",
            "`192.0.2.1/24`",
        ),
        (
            "192.0.2.1/-1",
            "the prefix length `-1` is no plain decimal number",
            "0 to 32",
        ),
        (
            "192.0.2.1/",
            "the prefix length `` is no plain decimal number",
            "0 to 32",
        ),
        (
            "10.0.0.0/255.0.0.0",
            "the prefix length `255.0.0.0` is no plain decimal number",
            "`10.0.0.0/8`",
        ),
        (
            "10.0.0.0/255.0.255.0",
            "the prefix length `255.0.255.0` is no plain decimal number",
            "0 to 32",
        ),
        (
            "192.0.2.0/33",
            "the prefix length `33` is out of range",
            "0 to 32 bits",
        ),
        (
            "192.0.2.0/256",
            "the prefix length `256` is out of range",
            "0 to 32 bits",
        ),
        (
            "2001:db8::/129",
            "the prefix length `129` is out of range",
            "0 to 128 bits",
        ),
        (
            "2001:db8::/032",
            "the prefix length `032` is no plain decimal number",
            "`2001:db8::/32`",
        ),
        ("1.2.3/24", &format!("{EXPECTED}`1.2.3/24`"), "`1.2.3.0/24`"),
        ("10/8", &format!("{EXPECTED}`10/8`"), "`10.0.0.0/8`"),
        ("10", &format!("{EXPECTED}`10`"), "`10.0.0.0`"),
        (
            "1.2.3.4.5",
            &format!("{EXPECTED}`1.2.3.4.5`"),
            "four octets",
        ),
        (
            "256.0.0.1",
            "the octet `256` of `256.0.0.1` is out of range",
            "0 to 255",
        ),
        (
            "192.0.2.1-192.0.2.9",
            &format!("{EXPECTED}`192.0.2.1-192.0.2.9`"),
            "as prefixes",
        ),
        (
            "example.net",
            &format!("{EXPECTED}`example.net`"),
            "not looked up",
        ),
        ("any", &format!("{EXPECTED}`any`"), "not looked up"),
        (
            "192.0.2.1 ",
            &format!("{EXPECTED}`192.0.2.1 `"),
            "without blanks",
        ),
        ("", &format!("{EXPECTED}``"), "`192.0.2.1`"),
        (
            "fe80::1%eth0",
            &format!("{EXPECTED}`fe80::1%eth0`"),
            "`interfaces`",
        ),
        (
            "[2001:db8::1]",
            &format!("{EXPECTED}`[2001:db8::1]`"),
            "without brackets",
        ),
        (
            "2001:db8:::1",
            &format!("{EXPECTED}`2001:db8:::1`"),
            "`2001:db8::/32`",
        ),
        (
            "::ffff:192.0.2.1",
            "`::ffff:192.0.2.1` is IPv4 written as IPv6 (IPv4-mapped)",
            "write `192.0.2.1`",
        ),
        (
            "::ffff:10.0.0.0/104",
            "`::ffff:10.0.0.0/104` is IPv4 written as IPv6 (IPv4-mapped)",
            "write `10.0.0.0/8`",
        ),
        (
            "::ffff:a00:0/104",
            "`::ffff:a00:0/104` is IPv4 written as IPv6 (IPv4-mapped)",
            "write `10.0.0.0/8`",
        ),
        (
            "::ffff:0:0/96",
            "`::ffff:0:0/96` is IPv4 written as IPv6 (IPv4-mapped)",
            "write `0.0.0.0/0`",
        ),
    ] {
        let quoted = format!("\"{written}\"");
        assert_refused(&from(&quoted), message, hint, &quoted);
        assert_refused(
            &from(&format!("[192.0.2.1, {quoted}]")),
            message,
            hint,
            &quoted,
        );
        // A set in the policy, and `trusted`, are read alike.
        let plain = message.replace("an address, a prefix or a `$set`", "an address or a prefix");
        let rule = "{ name: r, action: drop, from: $s }";
        assert_refused(
            &with_sets(&format!("{{ s: [{quoted}] }}"), rule),
            &plain,
            hint,
            &quoted,
        );
        let text = format!("version: 1\ntrusted: [{quoted}]\nrules: []\n");
        assert_refused(&text, message, hint, &quoted);
    }
    for (written, found) in [
        ("[[192.0.2.1]]", "a list"),
        ("[~]", "`~`"),
        ("{ a: b }", "a mapping"),
    ] {
        let problem = only_problem(&from(written));
        assert_eq!(problem.message, format!("{EXPECTED}{found}"), "{written}");
    }
    for (written, message) in [
        ("[]", "`from` is an empty list"),
        ("", "`from` has no value, found nothing"),
        ("null", "`from` has no value, found `null`"),
    ] {
        assert_eq!(only_problem(&from(written)).message, message, "{written}");
    }
}

#[test]
fn bits_behind_the_prefix_are_masked_with_a_warning() {
    for (written, masked) in [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("2001:db8::1/64", "2001:db8::/64"),
    ] {
        let text = from(&format!("[\"{written}\"]"));
        let checked = accepted(&text);
        assert_eq!(checked.warnings.len(), 1);
        let warning = &checked.warnings[0];
        assert_eq!(
            warning.message,
            format!("`{written}` has bits set behind its prefix")
        );
        assert!(warning.hint.as_ref().unwrap().contains(masked));
        assert_eq!(
            checked.policy.rules[0].from,
            Some(sources(&from(&format!("\"{masked}\""))))
        );
    }
}

#[test]
fn a_rule_of_one_set_shares_it() {
    let text = "version: 1\nsets: { admins: [10.0.0.0/8, \"2001:db8:a::/48\"], others: 192.0.2.1 }\n\
                rules:\n  - { name: a, action: pass, ports: ssh, from: $admins }\n  \
                - { name: b, action: pass, from: [$admins], to: $others }\n  \
                - { name: c, action: pass, from: [$admins, $others, 198.51.100.1] }\n";
    let checked = accepted(text);
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    let rules = &checked.policy.rules;
    let from = |rule: usize| rules[rule].from.as_ref().expect("a source");
    assert!(Arc::ptr_eq(from(0), from(1)));
    assert!(holds(from(0), "2001:db8:a::1") && !holds(from(0), "192.0.2.1"));
    for inside in ["10.9.9.9", "2001:db8:a::1", "192.0.2.1", "198.51.100.1"] {
        assert!(holds(from(2), inside), "{inside}");
    }
}

#[test]
fn sets_are_found_by_name_or_suggested() {
    let rule = |list: &str| format!("{{ name: r, action: drop, from: {list} }}");
    let sets = "{ admins: [10.0.0.0/8] }";
    let unused = "no rule uses the set `admins`";
    for (list, message, hint) in [
        (
            "$admin",
            "no set is called `admin`",
            "did you mean `$admins`?",
        ),
        (
            "[192.0.2.1, $admni]",
            "no set is called `admni`",
            "did you mean `$admins`?",
        ),
        ("$zzz", "no set is called `zzz`", "admins"),
        ("$", "no set is called ``", "admins"),
    ] {
        let problem = only_problem(&with_sets(sets, &rule(list)));
        assert_eq!(problem.message, message, "{list}");
        assert!(problem.hint.as_ref().unwrap().contains(hint), "{problem:?}");
    }
    let text = with_sets(sets, &rule("admins"));
    let message = format!("{EXPECTED}`admins`");
    assert_refused(
        &text,
        &message,
        "a set is written with a `$`: `$admins`",
        "admins",
    );
    let text = with_rules(&[&rule("$admins")]);
    assert_refused(
        &text,
        "no set is called `admins`",
        "the policy has no `sets`",
        "$admins",
    );

    let text = with_sets(sets, &rule("192.0.2.1"));
    let checked = accepted(&text);
    assert_eq!(checked.warnings[0].message, unused);
    assert_eq!(pointed(&text, &checked.warnings[0]), "admins");
    let text = text.replace("rules:\n", "trusted: $admins\nrules:\n");
    assert!(accepted(&text).warnings.is_empty(), "trusted uses it");
}

#[test]
fn wrong_sets_are_told_with_what_is_right() {
    let rule = "{ name: r, action: drop, from: $s }";
    for (sets, message, hint, pointed) in [
        (
            "[s]",
            "`sets` is a mapping of names to addresses, found a list",
            "admins",
            "sets",
        ),
        (
            "{ s: [] }",
            "`s` is an empty list",
            "`{ allow_empty: true }`",
            "[]",
        ),
        (
            "{ s: ~ }",
            "`s` has no value, found `~`",
            "write a value",
            "~",
        ),
        (
            "{ s: [$t], t: 192.0.2.1 }",
            "sets do not nest",
            "the addresses themselves",
            "$t",
        ),
        (
            "{ s: {} }",
            "the set `s` names no `file`",
            "as a list",
            "{}",
        ),
        (
            "{ s: { allow_empty: false } }",
            "the set `s` names no `file`",
            "as a list",
            "allow_empty",
        ),
        (
            "{ s: { fiel: x } }",
            "a set has no key `fiel`",
            "did you mean `file`?",
            "fiel",
        ),
        (
            "{ s: { file: [x] } }",
            "`file` is the name of a file, found a list",
            "abusers.txt",
            "[x]",
        ),
        (
            "{ s: { file: \"\" } }",
            "`file` is the name of a file, found ``",
            "abusers.txt",
            "\"\"",
        ),
        (
            "{ s: { file: x, allow_empty: yes } }",
            "`allow_empty` is `true` or `false`, found `yes`",
            "`true`",
            "yes",
        ),
        (
            "{ s: { file: x } }",
            "file `x` does not exist",
            "the folder of the policy",
            "x",
        ),
        (
            "{ s: { file: x, allow_empty: true } }",
            "file `x` does not exist",
            "the folder of the policy",
            "x",
        ),
        (
            "{ s: 192.0.2.1, s: 192.0.2.2 }",
            "the set `s` stands twice",
            "one list",
            "s",
        ),
        (
            "{ \"a b\": 192.0.2.1, s: 192.0.2.1 }",
            "`a b` is no name of a set",
            "letters",
            "\"a b\"",
        ),
    ] {
        let text = with_sets(sets, rule);
        let problems = check(&text, &mut TestFiles::default()).expect_err(sets);
        let problem = problems.iter().find(|problem| problem.message == message);
        let problem = problem.unwrap_or_else(|| panic!("{sets}: {problems:#?}"));
        assert!(problem.hint.as_ref().unwrap().contains(hint), "{problem:?}");
        assert_eq!(common::pointed(&text, problem), pointed, "{sets}");
    }
    let text = with_sets("{ s: { file: x } }", rule);
    let problem = &check(&text, &mut NoFiles).expect_err("no files")[0];
    assert!(problem.message.starts_with("file `x` cannot be read"));
}

#[test]
fn an_empty_set_is_meant_or_an_error() {
    for content in ["", "# nothing\n\n  # nothing\n", "\u{feff}\r\n"] {
        let problems = with_file(content).expect_err(content);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].message, "file `bad.txt` holds no address");
        assert!(
            problems[0]
                .hint
                .as_ref()
                .unwrap()
                .contains("allow_empty: true")
        );
        let text = with_sets(
            "{ bad: { file: bad.txt, allow_empty: true } }",
            "{ name: r, action: drop, from: $bad }",
        );
        let checked = check(&text, &mut TestFiles::one("bad.txt", content)).expect(content);
        let set = checked.policy.rules[0].from.as_ref().expect("a condition");
        assert!(set.is_empty());
    }
    let set = sources(&with_sets(
        "{ s: { allow_empty: true } }",
        "{ name: r, action: drop, from: $s }",
    ));
    assert!(set.is_empty());
}

#[test]
fn a_file_holds_a_prefix_a_line() {
    let content = "\u{feff}# a list\r\n192.0.2.0/24\r\n\r\n  198.51.100.7\t# why\r\n\
                   2001:db8::/32#why\n192.0.2.0/24\n192.0.2.9\n203.0.113.1";
    let checked = with_file(content).expect("a good file");
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    let set = checked.policy.rules[0].from.clone().expect("a source");
    let expected = sources(&from(
        "[192.0.2.0/24, 198.51.100.7, \"2001:db8::/32\", 203.0.113.1]",
    ));
    assert_eq!(set, expected);
    // A comment may be in any encoding.
    assert!(with_file(*b"192.0.2.1 # caf\xe9\n").is_ok());
}

#[test]
fn every_bad_line_of_a_file_is_shown_with_its_place() {
    let content = "# list\n192.0.2.1\n  010.0.0.1 # why\n1.2.3/24\n192.0.2.1 5\n; note\n$other\n::ffff:192.0.2.9\n";
    let problems = with_file(content).expect_err("bad lines");
    let seen: Vec<(usize, usize, &str, &str)> = problems
        .iter()
        .map(|problem| {
            let excerpt = problem.excerpt.as_ref().expect("in the file");
            assert_eq!(excerpt.place.file.as_deref(), Some("bad.txt"));
            let span = problem.span.expect("a place");
            assert!(problem.hint.is_some());
            let pointed = &excerpt.text[span.start..span.end];
            assert!(content.lines().any(|line| line == excerpt.text));
            (
                excerpt.place.line,
                span.start + 1,
                pointed,
                problem.message.as_str(),
            )
        })
        .collect();
    let expected = "expected an address or a prefix";
    assert_eq!(
        seen,
        [
            (
                3,
                3,
                "010.0.0.1",
                "the octet `010` of `010.0.0.1` has leading zeros"
            ),
            (4, 1, "1.2.3/24", &format!("{expected}, found `1.2.3/24`")),
            (
                5,
                1,
                "192.0.2.1 5",
                &format!("{expected}, found `192.0.2.1 5`")
            ),
            (6, 1, "; note", expected),
            (7, 1, "$other", "sets do not nest"),
            (
                8,
                1,
                "::ffff:192.0.2.9",
                "`::ffff:192.0.2.9` is IPv4 written as IPv6 (IPv4-mapped)"
            ),
        ]
    );
}

#[test]
fn what_is_no_text_or_endless_is_refused_without_harm() {
    let problems = with_file(vec![0xff_u8; 4 << 20]).expect_err("one long line");
    assert_eq!(problems.len(), 1);
    let excerpt = problems[0].excerpt.as_ref().expect("in the file");
    assert!(excerpt.text.len() < 1000);
    let span = problems[0].span.expect("a place");
    assert!(excerpt.text.get(span.start..span.end).is_some());
    let started = Instant::now();
    let problems = with_file("x\n".repeat(1 << 20)).expect_err("bad lines only");
    assert!(problems.len() <= 1002);
    assert!(
        problems
            .iter()
            .any(|problem| problem.message.contains("was not examined"))
    );
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_file_with_masked_prefixes_gets_one_warning() {
    let content = "192.0.2.0/24\n 10.1.2.3/8\n".to_owned() + &"198.51.100.1/24\n".repeat(7);
    let checked = with_file(content).expect("a good file");
    assert_eq!(checked.warnings.len(), 1);
    let warning = &checked.warnings[0];
    assert_eq!(
        warning.message,
        "`10.1.2.3/8` has bits set behind its prefix, as have 7 other lines"
    );
    let excerpt = warning.excerpt.as_ref().expect("in the file");
    assert_eq!(
        (excerpt.place.line, excerpt.text.as_str()),
        (2, " 10.1.2.3/8")
    );
    assert!(warning.hint.as_ref().unwrap().contains("`10.0.0.0/8`"));
}

#[test]
fn files_beyond_the_limit_are_refused() {
    let text = with_sets(
        "{ a: { file: a }, b: { file: b } }",
        "{ name: r, action: drop, from: [$a, $b] }",
    );
    let mut files = TestFiles::one("a", "192.0.2.1\n");
    let large = b"#\n".repeat(portguard_common::limits::SET_FILES_BYTES / 2 - 1);
    files.0.insert("b".to_owned(), large);
    let problems = check(&text, &mut files).expect_err("too large");
    assert_eq!(
        problems[0].message,
        "the files of the sets have more than the 67108864 bytes allowed"
    );
    assert_eq!(pointed(&text, &problems[0]), "b");
}

#[test]
fn r12_a_long_list_with_repeated_lines_loads_in_full() {
    let mut content = String::new();
    for number in 0..120_407_u32 {
        // Every other address, so that none joins its neighbour.
        let address = IpAddr::V4((0x0b00_0000 + number * 2).into());
        content.push_str(&format!("{address}\n"));
    }
    let repeated: String = content
        .lines()
        .take(23)
        .map(|line| format!("{line}\n"))
        .collect();
    content.push_str(&repeated);
    let checked = with_file(content).expect("a good file");
    assert!(checked.warnings.is_empty());
    let set = checked.policy.rules[0].from.as_ref().expect("a source");
    assert_eq!(set.v4().len(), 120_407);
}

#[test]
fn copies_of_large_sets_are_bounded() {
    let content: String = (0..100_000_u32)
        .map(|number| format!("{}\n", IpAddr::V4((number * 2).into())))
        .collect();
    let rules: Vec<String> = (0..50)
        .map(|rule| format!("{{ name: r{rule}, action: drop, from: [$s, 192.0.2.{rule}] }}"))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let text = with_rules(&rules).replace("rules:\n", "sets: { s: { file: s } }\nrules:\n");
    let problems = check(&text, &mut TestFiles::one("s", content)).expect_err("too many");
    assert_eq!(
        problems[0].message,
        "lists that join sets with others hold more than 4000000 ranges"
    );
    assert_eq!(pointed(&text, &problems[0]), "$s");
}
