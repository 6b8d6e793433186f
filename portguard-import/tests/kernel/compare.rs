//! What the policy makes of the packets, beside what the kernel has made of them.

use std::collections::BTreeSet;

use portguard_common::classify::Verdict;
use portguard_import::{Imported, Kind, Options, Source};
use portguard_policy::{
    Evaluator, NoFiles, Outcome, Policy, RuleAction, Stateless, Tables, check, compile,
};

use crate::host::{Host, INTERFACES};
use crate::packets::{Sent, packets};

/// Packets for each rule set.
pub(crate) const PACKETS: usize = 1000;

/// What is known to differ in a rule set, and must be in the list.
pub(crate) struct Known<'l> {
    /// Packets that the policy passes and the original may drop.
    pub(crate) wider: Option<fn(&Sent) -> bool>,
    /// Packets that the policy drops and the original may pass.
    pub(crate) stricter: Option<fn(&Sent) -> bool>,
    /// All of the list but the notes: what it is, and a part of the line.
    pub(crate) list: &'l [(Kind, &'l str)],
}

/// Nothing differs.
pub(crate) const SAME: Known<'static> = Known {
    wider: None,
    stricter: None,
    list: &[],
};

/// Texts by their names, to be read.
pub(crate) fn sources(texts: &[(String, String)]) -> Vec<Source<'_>> {
    let sources = texts.iter();
    sources.map(|(name, text)| Source { name, text }).collect()
}

/// What is imported for the test's interfaces, no stricter than it must be.
pub(crate) fn options() -> Options {
    Options {
        interfaces: INTERFACES.map(str::to_owned).to_vec(),
        strict: false,
    }
}

fn compiled(text: &str) -> (Policy, Tables) {
    let policy = match check(text, &mut NoFiles) {
        Ok(checked) => checked.policy,
        Err(problems) => panic!("refused:\n{text}\n{problems:#?}"),
    };
    let tables = compile(&policy, &INTERFACES).expect("fits");
    (policy, tables)
}

/// Sends packets of the kinds that `text` speaks of to a host, on which `load` has put the original, and holds its
/// verdicts against those of the policy.
pub(crate) fn compare(
    name: &str,
    text: &str,
    seed: u64,
    known: &Known<'_>,
    host: &Host,
    load: impl FnOnce(&Host) -> Imported,
) {
    let sent = packets(text, &host.hardware, PACKETS, seed);
    let arriving = host.arriving(&sent);
    assert!(
        arriving.len() > PACKETS * 9 / 10,
        "{name}: {} packets arrive",
        arriving.len()
    );
    let imported = load(host);
    check_list(name, known, &imported);
    let passed = host.verdicts(&sent);
    let (policy, tables) = compiled(&imported.policy);
    let evaluators = INTERFACES.map(|own| Evaluator::new(&tables, own, Stateless));
    let is_told = |word: &str| {
        imported
            .findings
            .iter()
            .any(|own| own.reason.contains(word))
    };
    let (mut passes, mut drops) = (0, 0);
    let mut shown = [false; 2];
    let (mut asked, mut limited) = (BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for (number, own) in sent.iter().enumerate() {
        if !arriving.contains(&number) {
            continue;
        }
        let evaluation = evaluators[own.interface]
            .frame(&own.frame)
            .expect("sound tables");
        let original = passed.contains(&number);
        let ours = evaluation.judgement.verdict == Verdict::Pass;
        if ours {
            passes += 1
        } else {
            drops += 1
        }
        if let Outcome::Rule(rule) = evaluation.outcome
            && matches!(policy.rules[rule].action, RuleAction::Limit(_))
        {
            // How much of it passes is a matter of time.
            asked.insert(rule);
            if original {
                limited.insert(rule);
            }
            continue;
        }
        let is_known = match (original, ours) {
            (false, true) if known.wider.is_some_and(|wider| wider(own)) => {
                shown[0] = true;
                true
            }
            (true, false) if known.stricter.is_some_and(|stricter| stricter(own)) => {
                shown[1] = true;
                true
            }
            (true, true) | (false, false) => true,
            // What is told of packets that begin nothing.
            (false, true) if !own.is_new() => is_told("state") || is_told("flags"),
            // What is added for DHCP.
            (false, true) => {
                evaluation.outcome == Outcome::Rule(0) && policy.rules[0].name == "dhcp-client"
            }
            (true, false) => false,
        };
        if !is_known {
            wrong.push(format!(
                "{} (open: {}): the original {}, the policy {} by {:?}",
                own.packet,
                own.open,
                if original { "passes" } else { "drops" },
                if ours { "passes" } else { "drops" },
                match evaluation.outcome {
                    Outcome::Rule(rule) => policy.rules[rule].name.clone(),
                    other => format!("{other:?}"),
                }
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{name}: {} differ\n{}\n{}\n{:#?}",
        wrong.len(),
        wrong.join("\n"),
        imported.policy,
        imported.findings
    );
    assert!(
        passes > PACKETS / 100 && drops > PACKETS / 100,
        "{name}: {passes} pass, {drops} are dropped"
    );
    // What is in the list is so: some packet shows it.
    assert_eq!(
        shown,
        [known.wider.is_some(), known.stricter.is_some()],
        "{name}: wider, stricter"
    );
    assert_eq!(limited, asked, "{name}: limits let nothing through");
}

/// The list is complete, and has nothing else in it.
fn check_list(name: &str, known: &Known<'_>, imported: &Imported) {
    let found: Vec<_> = imported
        .findings
        .iter()
        .filter(|own| own.kind != Kind::Note)
        .collect();
    for (kind, part) in known.list {
        let matching = found
            .iter()
            .filter(|own| own.kind == *kind && own.to_string().contains(part));
        assert_eq!(matching.count(), 1, "{name}: {kind:?} `{part}`\n{found:#?}");
    }
    assert_eq!(found.len(), known.list.len(), "{name}: {found:#?}");
    assert_eq!(
        imported.is_wider(),
        known.list.iter().any(|(kind, _)| *kind == Kind::Wider),
        "{name}"
    );
}
