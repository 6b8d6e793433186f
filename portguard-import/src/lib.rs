//! Reads rule sets of other packet filters: text in, the text of a policy out, with a list of what differs.
//!
//! ```text
//! text ─a reader for each tool→ RuleSet ─walk→ list of items ─plan→ rules ─write→ text
//! ```
//!
//! Nothing here does input or output. A policy never lets through in silence what its original drops: what cannot be
//! said is left out on the strict side, or stands in the list as [`Kind::Wider`].

#![forbid(unsafe_code)]

mod error;
mod fields;
mod finding;
mod firewalld;
mod interfaces;
mod iptables;
mod model;
mod nft;
mod plan;
mod protocols;
mod ranges;
mod region;
mod replies;
mod ufw;
mod walk;
mod walker;
mod write;

use crate::interfaces::Interfaces;
use crate::model::RuleSet;
use crate::region::Region;

pub use error::ImportError;
pub use finding::{Finding, Kind};
pub use firewalld::firewalld;
pub use iptables::iptables;
pub use nft::nft;
pub use ufw::ufw;

/// A file of a rule set.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// How messages and comments call it.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// What is wanted of a policy.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the policy guards: names, globs, `default-route`; none for `default-route`.
    pub interfaces: Vec<String>,
    /// A drop that cannot be said exactly drops more than it did, rather than nothing.
    pub strict: bool,
}

/// A policy and what differs from its original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The text of the policy, with comments.
    pub policy: String,
    /// The worst first.
    pub findings: Vec<Finding>,
}

impl Imported {
    /// Whether it lets something through that the original drops.
    #[must_use]
    pub fn is_wider(&self) -> bool {
        self.findings.iter().any(|own| own.kind == Kind::Wider)
    }
}

fn import(rules: &RuleSet, options: &Options, what: &str) -> Result<Imported, ImportError> {
    let default_route = ["default-route".to_owned()];
    let interfaces = if options.interfaces.is_empty() {
        &default_route[..]
    } else {
        &options.interfaces[..]
    };
    let mut guarded = Region::all();
    // Which interfaces carry the default route is not known here.
    let is_open = |name: &String| name == "default-route" || name.contains(['?', '[']);
    let simple = |name: &String| !name.trim_end_matches('*').contains('*');
    if !interfaces.iter().any(is_open) && interfaces.iter().all(simple) {
        guarded = guarded.with_interfaces(Interfaces::only(interfaces.iter().cloned()));
    }
    let plan = plan::plan(rules, &guarded, options.strict)?;
    Ok(Imported {
        policy: write::write(&plan, interfaces, what),
        findings: plan.findings,
    })
}
