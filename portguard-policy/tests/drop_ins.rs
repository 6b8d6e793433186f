//! Drop-ins: further texts of a policy.

#![expect(clippy::expect_used, reason = "a helper that fails, fails its test")]

use portguard_policy::{
    Checked, DropIn, Files, Lines, NoFiles, Problem, RuleAction, Severity, check_with_drop_ins,
    compile, shadowed_rules,
};

const POLICY: &str = "\
version: 1
interfaces: [eth0]
services: { app: 8443/tcp }
sets:
  admins: [10.0.0.0/8]
rules:
  - { name: own, action: drop, ports: [22/tcp], from: $admins }
";

fn drop_in(name: &str, text: &str) -> DropIn {
    DropIn {
        name: format!("policy.d/{name}"),
        text: text.to_owned(),
    }
}

fn check(drop_ins: &[DropIn]) -> Result<Checked, Vec<Problem>> {
    check_with_drop_ins(POLICY, drop_ins, &mut NoFiles)
}

/// The one error of a drop-in, with its line and column.
fn refused(text: &str) -> (Problem, usize, usize) {
    let own = [drop_in("10-a.yaml", text)];
    let mut problems = check(&own).expect_err("refused");
    problems.retain(|problem| problem.severity == Severity::Error);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let problem = problems.remove(0);
    assert_eq!(problem.text, 1, "the drop-in is meant");
    let position = problem
        .span
        .map(|span| Lines::new(text).position(span.start));
    let (line, column) = position.map_or((0, 0), |own| (own.line, own.column));
    (problem, line, column)
}

#[test]
fn rules_of_drop_ins_come_first_in_the_order_given() {
    let one = "version: 1\nrules:\n  - { name: b, action: pass, ports: 1 }\n  - { name: a, action: drop, ports: 2 }\n";
    let two = "# comment\nversion: 1\nrules:\n  - profile: trojans\n";
    let checked = check(&[drop_in("10-a.yaml", one), drop_in("9-b.yaml", two)]).expect("accepted");
    let rules = &checked.policy.rules;
    let places: Vec<(String, String)> = rules
        .iter()
        .map(|rule| (rule.name.clone(), rule.place.to_string()))
        .collect();
    let place = |name: &str, place: &str| (name.to_owned(), place.to_owned());
    assert_eq!(places[0], place("b", "policy.d/10-a.yaml:3"));
    assert_eq!(places[1], place("a", "policy.d/10-a.yaml:4"));
    assert_eq!(places[2], place("trojans.finger", "policy.d/9-b.yaml:4"));
    assert_eq!(places[8], place("trojans.8011", "policy.d/9-b.yaml:4"));
    assert_eq!(places[9], place("own", "line 7"));
    assert_eq!(places.len(), 10);
    assert_eq!(rules[0].action, RuleAction::Pass);
}

#[test]
fn a_drop_in_sees_the_sets_and_services_of_the_policy_and_nobody_sees_its_own() {
    let own = "version: 1\nsets: { mine: [192.0.2.1] }\nrules:\n  - { name: a, action: pass, ports: app, from: [$mine, $admins] }\n";
    let checked = check(&[drop_in("a.yaml", own)]).expect("accepted");
    assert_eq!(checked.warnings, []);
    let from = checked.policy.rules[0].from.as_ref().expect("addresses");
    assert!(from.contains("192.0.2.1".parse().expect("an address")));
    assert!(from.contains("10.1.2.3".parse().expect("an address")));
    assert!(!from.contains("192.0.2.2".parse().expect("an address")));

    // The same name in two drop-ins are two sets.
    let other = own
        .replace("name: a", "name: b")
        .replace("192.0.2.1", "192.0.2.2");
    let both = [drop_in("a.yaml", own), drop_in("b.yaml", &other)];
    let checked = check(&both).expect("accepted");
    let from = checked.policy.rules[1].from.as_ref().expect("addresses");
    assert!(from.contains("192.0.2.2".parse().expect("an address")));
    assert!(!from.contains("192.0.2.1".parse().expect("an address")));

    let user = "version: 1\nrules:\n  - { name: b, action: pass, from: $mine }\n";
    let problems = check(&[drop_in("a.yaml", own), drop_in("b.yaml", user)]).expect_err("refused");
    assert_eq!(problems[0].message, "no set is called `mine`");
    assert_eq!(problems[0].text, 2);

    let (problem, line, _) = refused(
        "version: 1\nsets: { admins: [192.0.2.1] }\nrules:\n  - { name: a, action: pass, from: $admins }\n",
    );
    assert_eq!(problem.message, "the set `admins` stands twice");
    assert_eq!(line, 2);
    assert_eq!(problem.related[0].span.text, 0, "first in the policy file");
}

#[test]
fn a_set_of_a_drop_in_that_nothing_uses_is_told_with_its_place() {
    let own = "version: 1\nsets: { mine: [192.0.2.1] }\nrules: []\n";
    let checked = check(&[drop_in("a.yaml", own)]).expect("accepted");
    let warning = &checked.warnings[0];
    assert_eq!(warning.message, "no rule uses the set `mine`");
    let span = warning.span.expect("a place");
    assert_eq!((span.text, &own[span.start..span.end]), (1, "mine"));
}

#[test]
fn files_of_a_drop_in_are_beside_it() {
    struct Noting(Vec<String>);
    impl Files for Noting {
        fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
            self.0.push(name.to_owned());
            Ok(b"192.0.2.1\n".to_vec())
        }
    }
    let own = "version: 1\nsets: { a: { file: a.txt }, b: { file: /etc/b.txt } }\nrules:\n  - { name: a, action: drop, from: [$a, $b] }\n";
    let mut files = Noting(Vec::new());
    check_with_drop_ins(POLICY, &[drop_in("a.yaml", own)], &mut files).expect("accepted");
    assert_eq!(files.0, ["policy.d/a.txt", "/etc/b.txt"]);
}

#[test]
fn every_other_key_of_a_policy_is_refused_with_its_place() {
    for key in [
        "interfaces",
        "attach",
        "default",
        "replies",
        "essential",
        "non_ip",
        "malformed",
        "fragments",
        "enforce",
        "trusted",
        "services",
        "assert",
        "metrics",
        "events",
        "on_stop",
    ] {
        let (problem, line, column) = refused(&format!("version: 1\n{key}: drop\nrules: []\n"));
        assert_eq!(problem.message, format!("a drop-in has no key `{key}`"));
        assert_eq!((line, column), (2, 1), "{key}");
        assert_eq!(
            problem.hint.as_deref(),
            Some("that stands in the policy file: a drop-in has `version`, `sets` and `rules`"),
        );
    }
    let (problem, ..) = refused("version: 1\nrule: []\n");
    assert_eq!(problem.hint.as_deref(), Some("did you mean `rules`?"));
}

#[test]
fn a_drop_in_has_the_form_of_a_policy() {
    for (text, message, place) in [
        ("rules: []\n", "the key `version` is missing", (1, 1)),
        (
            "version: 2\nrules: []\n",
            "version `2` is not known",
            (1, 10),
        ),
        ("# nothing\n", "the drop-in is empty", (0, 0)),
        (
            "- a\n",
            "a drop-in is a mapping of keys, found a list",
            (1, 1),
        ),
        ("version: 1\nrules:\n\t- a\n", "a tab cannot indent", (3, 1)),
        (
            "version: 1\nrules:\n  - { name: a, action: drop, ports: 0 }\n",
            "the port `0` is out of range",
            (3, 37),
        ),
    ] {
        let (problem, line, column) = refused(text);
        assert_eq!(problem.message, message);
        assert_eq!((line, column), place, "{message}");
    }
}

#[test]
fn names_and_profiles_are_unique_over_all_texts() {
    let own = "version: 1\nrules:\n  - { name: own, action: drop, ports: 1 }\n  - profile: worms\n";
    let again = "version: 1\nrules:\n  - profile: worms\n";
    let drop_ins = [drop_in("a.yaml", own), drop_in("b.yaml", again)];
    let problems = check(&drop_ins).expect_err("refused");
    let told: Vec<(usize, &str, usize)> = problems
        .iter()
        .map(|own| (own.text, own.message.as_str(), own.related[0].span.text))
        .collect();
    // A drop-in comes first, so that it is the policy file that has the name again.
    assert_eq!(
        told,
        [
            (0, "two rules are called `own`", 1),
            (2, "the profile `worms` stands twice", 1),
        ]
    );
}

#[test]
fn problems_of_all_texts_are_told_at_once_each_in_its_text() {
    let bad = "version: 1\nrules:\n  - { name: a, action: dorp, ports: 1 }\n";
    let problems = check(&[
        drop_in("a.yaml", bad),
        drop_in("b.yaml", &bad.replace("name: a", "name: b")),
    ])
    .expect_err("refused");
    let texts: Vec<usize> = problems.iter().map(|problem| problem.text).collect();
    assert_eq!(texts, [1, 2]);
}

#[test]
fn a_rule_that_a_drop_in_takes_all_packets_from_is_told_with_both_places() {
    let own = "version: 1\nrules:\n  - { name: all-ssh, action: pass, ports: [22/tcp] }\n";
    let checked = check(&[drop_in("a.yaml", own)]).expect("accepted");
    let tables = compile(&checked.policy, &["eth0"]).expect("compiles");
    let problems = shadowed_rules(&checked.policy, &tables);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].text, 0);
    assert_eq!(problems[0].related[0].span.text, 1);
    assert_eq!(
        problems[0].related[0].text,
        "rule `all-ssh` (policy.d/a.yaml:3) comes first"
    );
}

#[test]
fn all_texts_together_are_bounded() {
    let large = format!("version: 1\nrules: []\n#{}\n", "x".repeat(9 << 20));
    let problems =
        check(&[drop_in("a.yaml", &large), drop_in("b.yaml", &large)]).expect_err("refused");
    assert!(
        problems[0].message.contains("its drop-ins included"),
        "{}",
        problems[0].message
    );
}
