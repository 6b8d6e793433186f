//! A policy in the kernel, what it does with each frame in words, and a ledger of what it must have counted
//! in the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portguard::dataplane::counters::{DropKey, add};
use portguard::dataplane::generation::Run;
use portguard::dataplane::{Arrival, BanTable, Counts, Generation, LoadOptions};
use portguard_common::abi::Counter;
use portguard_policy::{NoFiles, Outcome, Policy, RuleAction, Tables, check, compile};

/// The tables of a policy and the names of its rules. `settings` are lines of the policy, `rules` are
/// rules as flow mappings.
pub(crate) fn tables(settings: &str, rules: &[&str]) -> (Tables, Vec<String>) {
    compiled(&policy(settings, rules))
}

fn policy(settings: &str, rules: &[&str]) -> Policy {
    let mut text = format!("version: 1\n{settings}\nrules:");
    if rules.is_empty() {
        text.push_str(" []");
    }
    for rule in rules {
        write!(text, "\n  - {rule}").unwrap();
    }
    text.push('\n');
    let checked =
        check(&text, &mut NoFiles).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
    checked.policy
}

fn compiled(policy: &Policy) -> (Tables, Vec<String>) {
    let names = policy.rules.iter().map(|rule| rule.name.clone());
    let interfaces = policy.example_interfaces();
    let interfaces: Vec<&str> = interfaces.iter().map(String::as_str).collect();
    (compile(policy, &interfaces).unwrap(), names.collect())
}

/// As [`tables`], with every rule that drops made one that rejects.
pub(crate) fn rejecting_tables(settings: &str, rules: &[&str]) -> (Tables, Vec<String>) {
    let mut policy = policy(settings, rules);
    for rule in &mut policy.rules {
        if rule.action == RuleAction::Drop {
            rule.action = RuleAction::Reject;
        }
    }
    compiled(&policy)
}

/// The index of the first interface that the tables know.
const FIRST_IFINDEX: u32 = 7;

/// Room in the table of bans.
pub(crate) const BANS: u32 = 16;

/// Loads tables as the tests need them.
pub(crate) fn load(tables: &Tables) -> Generation {
    let names = tables
        .interface_classes
        .iter()
        .map(|(name, _)| name.clone());
    let options = LoadOptions {
        interfaces: (FIRST_IFINDEX..).zip(names).collect(),
        bans: BANS,
        count_all_buffers: true,
        trace: true,
        ..LoadOptions::default()
    };
    Generation::load(tables, &options)
        .unwrap_or_else(|error| panic!("these tests need a kernel that runs the program: {error}"))
}

/// What must have been counted, by name. Reading all counters of the kernel takes longer than running a
/// frame, so they are compared once, when the filter goes out of scope.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ledger {
    outcomes: BTreeMap<String, Counter>,
    shadows: BTreeMap<String, Counter>,
    drops: BTreeMap<String, u64>,
}

/// A loaded policy.
pub(crate) struct Filter {
    generation: Generation,
    rules: Vec<String>,
    interfaces: Vec<String>,
    ledger: Ledger,
    failures: Vec<String>,
}

impl Filter {
    /// Loads a policy of these settings and rules, see [`tables`].
    pub(crate) fn new(settings: &str, rules: &[&str]) -> Self {
        Self::of(tables(settings, rules))
    }

    /// As [`Filter::new`], with every rule that drops made one that rejects.
    pub(crate) fn rejecting(settings: &str, rules: &[&str]) -> Self {
        Self::of(rejecting_tables(settings, rules))
    }

    fn of((tables, rules): (Tables, Vec<String>)) -> Self {
        Self {
            generation: load(&tables),
            interfaces: tables
                .interface_classes
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
            rules,
            ledger: Ledger::default(),
            failures: Vec::new(),
        }
    }

    /// Sends a frame and notes a failure unless it fares as expected:
    /// `VERDICT OUTCOME[ DROPPED][ +RULE]...`.
    ///
    /// The verdict is `pass`, `drop`, or `reject` where an answer is sent; the outcome is the only one whose counters move, by one packet and
    /// the frame's bytes. Then comes what the table of drops counts: `tcp/22`, or the name or number of a
    /// protocol where there is no port. Then the rules that only count, by one packet and its bytes, too.
    pub(crate) fn expect(&mut self, case: &str, frame: &[u8], expected: &str) {
        self.expect_as(case, frame, Arrival::default(), expected);
    }

    /// The same for a frame that arrives at an interface and a time.
    pub(crate) fn expect_as(&mut self, case: &str, frame: &[u8], arrival: Arrival, expected: &str) {
        let found = self.run_as(frame, arrival);
        let (drops, words): (Vec<_>, Vec<_>) = expected
            .split(' ')
            .enumerate()
            .partition(|(place, word)| *place >= 2 && !word.starts_with('+'));
        let words: Vec<&str> = words.into_iter().map(|(_, word)| word).collect();
        if found != words.join(" ") {
            let start = &frame[..frame.len().min(120)];
            self.failures.push(format!(
                "{case}\n     expected: {expected}\n     found:    {found}\n     frame:    {start:02x?}"
            ));
        }
        self.enter(&words, frame.len());
        for (_, key) in drops {
            *self.ledger.drops.entry(key.to_owned()).or_default() += 1;
        }
    }

    /// Sends a frame and says what became of it, as in [`Filter::expect`] but without what the table of
    /// drops counts; that must be `key` if the frame is dropped.
    pub(crate) fn judge(&mut self, frame: &[u8], key: Option<&str>) -> String {
        let found = self.run(frame);
        let words: Vec<&str> = found.split(' ').collect();
        self.enter(&words, frame.len());
        if let Some(key) = key.filter(|_| words[0] != "pass") {
            *self.ledger.drops.entry(key.to_owned()).or_default() += 1;
        }
        found
    }

    /// Sends a frame that the first rule rejects, and returns the answer to it. `key` is what the table of
    /// drops counts.
    pub(crate) fn answer(&mut self, frame: &[u8], key: &str) -> Option<Vec<u8>> {
        let run = self.generation.run(frame).unwrap();
        assert!(run.dropped, "{frame:02x?}");
        assert_eq!(run.outcome, Outcome::Rule(0), "{frame:02x?}");
        let words = self.describe(&run);
        let words: Vec<&str> = words.split(' ').collect();
        self.enter(&words, frame.len());
        *self.ledger.drops.entry(key.to_owned()).or_default() += 1;
        run.answer
    }

    /// The table of bans.
    pub(crate) fn bans(&self) -> BanTable {
        self.generation.bans().unwrap()
    }

    /// The counters as they are now.
    pub(crate) fn counts(&self) -> Counts {
        self.generation.counts().unwrap()
    }

    /// Lets a frame leave.
    pub(crate) fn leaves(&self, frame: &[u8], departure: Arrival) {
        self.generation.leaves(frame, departure).unwrap();
    }

    /// The index of an interface that the policy names.
    pub(crate) fn ifindex(&self, interface: &str) -> u32 {
        let place = self.interfaces.iter().position(|name| name == interface);
        let place = place.unwrap_or_else(|| panic!("{interface} is not in {:?}", self.interfaces));
        FIRST_IFINDEX + u32::try_from(place).unwrap()
    }

    fn run(&self, frame: &[u8]) -> String {
        self.run_as(frame, Arrival::default())
    }

    fn run_as(&self, frame: &[u8], arrival: Arrival) -> String {
        let run = self
            .generation
            .run_as(frame, arrival)
            .unwrap_or_else(|error| panic!("a frame of {} bytes is not run: {error}", frame.len()));
        self.describe(&run)
    }

    fn describe(&self, run: &Run) -> String {
        let mut words = String::from(match (run.dropped, &run.answer) {
            (true, None) => "drop ",
            (true, Some(_)) => "reject ",
            (false, None) => "pass ",
            (false, Some(_)) => "pass-and-answer ",
        });
        match run.outcome {
            Outcome::Rule(index) => words.push_str(&self.rules[index]),
            Outcome::Limited(index) => write!(words, "{}:limited", self.rules[index]).unwrap(),
            Outcome::Builtin(builtin) => words.push_str(builtin.name()),
            Outcome::Malformed(reason) => write!(words, "malformed:{}", reason.name()).unwrap(),
        }
        for index in &run.shadows {
            write!(words, " +{}", self.rules[*index]).unwrap();
        }
        words
    }

    /// Enters a frame into the ledger: verdict, outcome, and the rules that only count.
    fn enter(&mut self, words: &[&str], length: usize) {
        let one = Counter {
            packets: 1,
            bytes: length as u64,
        };
        for (place, word) in words.iter().enumerate().skip(1) {
            let (column, name) = match place {
                1 => (&mut self.ledger.outcomes, *word),
                _ => (&mut self.ledger.shadows, word.trim_start_matches('+')),
            };
            let sum = column.entry(name.to_owned()).or_default();
            *sum = add(*sum, one);
        }
    }

    /// What the kernel has counted.
    fn counted(&self) -> Ledger {
        let counts = self.counts();
        let mut ledger = Ledger::default();
        for (index, name) in self.rules.iter().enumerate() {
            let count = counts.rule(index);
            ledger.outcomes.insert(name.clone(), count.decided);
            ledger.shadows.insert(name.clone(), count.shadow);
            ledger
                .outcomes
                .insert(format!("{name}:limited"), count.limited);
        }
        for (builtin, count) in &counts.builtin {
            ledger.outcomes.insert(builtin.name().to_owned(), *count);
        }
        for (reason, count) in &counts.malformed {
            let name = format!("malformed:{}", reason.name());
            ledger.outcomes.insert(name, *count);
        }
        ledger
            .outcomes
            .retain(|_, count| *count != Counter::default());
        ledger
            .shadows
            .retain(|_, count| *count != Counter::default());
        let all = ledger
            .outcomes
            .values()
            .copied()
            .fold(Counter::default(), add);
        assert_eq!(all, counts.frames(), "the sum over all outcomes");
        for (key, packets) in &counts.drops {
            ledger.drops.insert(drop_name(*key), *packets);
        }
        ledger
    }
}

impl Drop for Filter {
    /// Reports every failure of a table at once, then what was counted wrongly.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let failures = &self.failures;
        assert!(
            failures.is_empty(),
            "{} cases fail:\n  {}",
            failures.len(),
            failures.join("\n  ")
        );
        assert_eq!(self.counted(), self.ledger, "counted, and expected");
    }
}

fn drop_name(key: DropKey) -> String {
    let protocol = match key.protocol {
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        132 => "sctp".to_owned(),
        number => number.to_string(),
    };
    match key.port {
        Some(port) => format!("{protocol}/{port}"),
        None => protocol,
    }
}
