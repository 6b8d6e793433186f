//! Judgements over facts written by hand.

mod host;
mod interface;

use std::path::PathBuf;

use super::facts::{PeerEnd, Wanted};
use super::finding::{Check, Finding, Severity};
use super::judge_host;

/// The one finding of a check.
fn only(findings: Vec<Finding>, check: Check) -> Finding {
    let mut of_check: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.check == check)
        .collect();
    assert_eq!(of_check.len(), 1, "{of_check:?}");
    of_check.remove(0)
}

fn verdict(finding: &Finding) -> (Severity, Option<&str>) {
    (finding.severity, finding.command.as_deref())
}

/// Every check has its row in the documentation, by the name that JSON gives it.
#[test]
fn the_documentation_names_every_check() {
    let documentation = include_str!("../../../../../docs/doctor.md");
    let mut facts = interface::device();
    facts.link.virtual_kind = Some("veth".into());
    facts.peer = Some(PeerEnd::Elsewhere);
    facts.lower = Some(interface::neighbour("eth9", "", false));
    let rejects = Wanted {
        rejects: true,
        ..Wanted::default()
    };
    let mut all = judge_host::judge(&host::host());
    all.extend(interface::findings(facts, rejects));
    all.push(Finding::policy_valid(&PathBuf::from("policy.yaml")));
    assert!(all.len() > 20, "{}", all.len());
    for finding in all {
        let name = serde_json::to_value(finding.check).unwrap();
        let row = format!("| `{}` |", name.as_str().unwrap());
        assert!(documentation.contains(&row), "{row}");
    }
}
