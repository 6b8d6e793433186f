//! Whether portguard can work on this host, and how well. Facts are collected, then judged; nothing is changed.

mod collect;
pub mod facts;
mod finding;
mod judge_driver;
mod judge_host;
mod judge_interface;
mod judge_policy;
mod judge_stack;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;

use crate::dataplane::Mode;
use crate::dataplane::features::TagOffload;
use crate::dataplane::interfaces;

pub use facts::Wanted;
pub use finding::{Check, Finding, Report, Severity};

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// The folder for what outlives a generation.
    pub pins: &'q Path,
    /// Names of the interfaces to look at.
    pub interfaces: &'q [String],
    /// Whether one that does not exist is missed, instead of waited for.
    pub insisted: bool,
    /// Names of all interfaces that are guarded, or to be.
    pub guarded: &'q BTreeSet<String>,
    /// Names of those that the running daemon has attached to; `None` where it cannot be asked.
    pub ours: Option<&'q BTreeSet<String>>,
    /// What the policy asks of interfaces.
    pub wanted: Wanted,
}

/// Looks at this host and at interfaces.
///
/// # Errors
///
/// When this process cannot look at all: without `/proc`, or without netlink.
pub fn look(question: &Question<'_>) -> anyhow::Result<Report> {
    let host = collect::host(question.pins).context("cannot look at this process")?;
    let links = interfaces::list_links().context("cannot list the interfaces")?;
    let guarded = links
        .iter()
        .filter(|link| question.guarded.contains(&link.interface.name))
        .map(|link| link.interface.index)
        .collect();
    let around = collect::Surroundings {
        pins: question.pins,
        links: &links,
        guarded: &guarded,
        ours: question.ours,
        insisted: question.insisted,
    };
    let online = host.cpus.map(|cpus| cpus.online);
    let interfaces = question.interfaces.iter().map(|name| {
        let facts = collect::interface(name, &around);
        let findings = judge_interface::judge(name, &facts, question.wanted, host.kernel, online);
        (name.clone(), findings)
    });
    Ok(Report {
        interfaces: interfaces.collect(),
        host: judge_host::judge(&host),
    })
}

/// What a device that takes VLAN tags out does to the rules of a policy.
#[must_use]
pub fn vlan_tags(name: &str, tags: TagOffload, wanted: Wanted, mode: Mode) -> Vec<Finding> {
    judge_driver::vlan_tags(name, tags, wanted, mode)
}
