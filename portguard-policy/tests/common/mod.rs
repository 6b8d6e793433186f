//! What the tests of this crate share.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test binary uses a part of it, and nothing else"
)]

use std::sync::LazyLock;

use portguard_common::abi::Action;
use portguard_policy::{
    Checked, CompileError, Files, Lines, NoFiles, Policy, Problem, Severity, Tables, check,
    compile, shadowed_rules,
};

/// A policy of these rules, one a line, each a flow mapping; the first stands on line 4.
pub(crate) fn with_rules(rules: &[&str]) -> String {
    let mut text = String::from("version: 1\ninterfaces: [eth0]\nrules:\n");
    for rule in rules {
        text.push_str(&format!("  - {rule}\n"));
    }
    if rules.is_empty() {
        text.truncate(text.len() - 1);
        text.push_str(" []\n");
    }
    text
}

/// A drop rule with these `ports`, as they stand in the text.
pub(crate) fn with_ports(ports: &str) -> String {
    with_rules(&[&format!("{{ name: r, action: drop, ports: {ports} }}")])
}

/// The policy of a text that must be accepted, also by the schema.
pub(crate) fn accepted(text: &str) -> Checked {
    let mut checked = check(text, &mut NoFiles)
        .unwrap_or_else(|problems| panic!("refused:\n{text}\n{problems:#?}"));
    let tables = compiled(&checked.policy).unwrap();
    checked
        .warnings
        .extend(shadowed_rules(&checked.policy, &tables));
    // The validator looks at every value of a list several times.
    const LONGEST: usize = 16 * 1024;
    if text.len() <= LONGEST {
        let wrong = against_schema(text);
        assert!(
            wrong.is_empty(),
            "refused by the schema:\n{text}\n{wrong:#?}"
        );
    }
    checked
}

/// The tables of a policy, for the interfaces that it names.
pub(crate) fn compiled(policy: &Policy) -> Result<Tables, CompileError> {
    let interfaces = policy.example_interfaces();
    let interfaces: Vec<&str> = interfaces.iter().map(String::as_str).collect();
    compile(policy, &interfaces)
}

/// What the schema finds wrong with a text, which an editor reads as YAML and checks as JSON.
pub(crate) fn against_schema(text: &str) -> Vec<String> {
    static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        jsonschema::draft202012::new(&portguard_policy::schema())
            .unwrap_or_else(|error| panic!("no schema: {error}"))
    });
    let value: serde_json::Value =
        serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let errors = VALIDATOR.iter_errors(&value);
    errors
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect()
}

/// The problems of a text that must be refused.
pub(crate) fn refused(text: &str) -> Vec<Problem> {
    match check(text, &mut NoFiles) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(problems) => {
            assert!(problems.iter().any(|p| p.severity == Severity::Error));
            problems
        }
    }
}

/// The only problem of a text that must be refused.
pub(crate) fn only_problem(text: &str) -> Problem {
    let problems = refused(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    problems.into_iter().next().unwrap()
}

/// Line and column of a problem.
pub(crate) fn at(text: &str, problem: &Problem) -> (usize, usize) {
    let position = Lines::new(text).position(problem.span.expect("a span").start);
    (position.line, position.column)
}

/// The text that a problem points at.
pub(crate) fn pointed<'t>(text: &'t str, problem: &Problem) -> &'t str {
    let span = problem.span.expect("a span");
    &text[span.start..span.end]
}

/// Asserts that a text is refused for one reason: message, hint (a part) and the text pointed at.
pub(crate) fn assert_refused(text: &str, message: &str, hint: &str, pointed_at: &str) {
    let problem = only_problem(text);
    assert_eq!(problem.message, message, "{text}");
    let found = problem.hint.clone().unwrap_or_default();
    assert!(found.contains(hint), "{text}\nhint: {found}");
    assert_eq!(pointed(text, &problem), pointed_at, "{text}");
}

/// The tables of a text that must be accepted and fit.
pub(crate) fn tables(text: &str) -> (Policy, Tables) {
    let policy = accepted(text).policy;
    let tables = compiled(&policy).unwrap();
    (policy, tables)
}

/// What decides a service: action, name of the rule, names of the rules before it that only count.
pub(crate) fn verdict(
    tables: &(Policy, Tables),
    service: u32,
) -> (Action, Option<&str>, Vec<&str>) {
    let (policy, tables) = tables;
    let cell = usize::from(tables.services[service as usize]);
    let attribution = &tables.meaning.attributions[cell];
    let name = |rule: usize| policy.rules[rule].name.as_str();
    (
        tables.meaning.cells[cell].action(),
        attribution.decider.map(name),
        attribution.shadows.iter().map(|rule| name(*rule)).collect(),
    )
}

/// The action alone.
pub(crate) fn action(tables: &(Policy, Tables), service: u32) -> Action {
    verdict(tables, service).0
}

/// Files that a policy names, by name.
#[derive(Default)]
pub(crate) struct TestFiles(pub(crate) std::collections::BTreeMap<String, Vec<u8>>);

impl TestFiles {
    pub(crate) fn one(name: &str, content: impl Into<Vec<u8>>) -> Self {
        Self([(name.to_owned(), content.into())].into())
    }
}

impl Files for TestFiles {
    fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let content = self.0.get(name).cloned();
        content.ok_or_else(|| "does not exist".to_owned())
    }
}
