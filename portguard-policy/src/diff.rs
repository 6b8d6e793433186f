//! What two policies do differently.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::compile::{CompileError, Tables, compile};
use crate::interface::{InterfacePattern, kinds};
use crate::policy::{AttachMode, Events, Fate, OnStop, Policy};
use crate::survey::{Change, TooComplex, changes};

/// What two policies do differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Settings that differ and are not a matter of single IP packets.
    pub settings: Vec<SettingChange>,
    /// IP packets that become something else.
    pub changes: Vec<Change>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.settings.is_empty() && self.changes.is_empty()
    }
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Its key in a policy.
    pub key: &'static str,
    /// Its value in the old policy.
    pub before: String,
    /// Its value in the new one.
    pub after: String,
}

/// Whether two policies differ cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiffError {
    /// One of them does not fit for the interfaces that both tell apart.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// They combine fields in too many ways.
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
    /// Their patterns of interfaces overlap in too many ways.
    #[error("the patterns of interfaces overlap in too many ways to look at each of them")]
    Interfaces,
}

/// What two policies do differently: with IP packets on interfaces that both guard, by all that a packet has, and by
/// settings. Names, comments and the order of rules are no difference in themselves, nor is what only counts. Each policy
/// comes with its tables, for whatever interfaces: they are used where no rule tells these apart.
///
/// # Errors
///
/// [`DiffError`]; it never says that there is no difference where it cannot tell.
pub fn diff(
    (old, old_tables): (&Policy, &Tables),
    (new, new_tables): (&Policy, &Tables),
) -> Result<Difference, DiffError> {
    let names = interfaces(old, new).ok_or(DiffError::Interfaces)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut difference = Difference {
        settings: settings(old, new),
        changes: Vec::new(),
    };
    // Where no interface is guarded by both, they differ in that.
    if !names.is_empty() {
        let old = compiled(old, old_tables, &names)?;
        let new = compiled(new, new_tables, &names)?;
        difference.changes = changes(&old, &new)?;
    }
    Ok(difference)
}

/// Tables that are right for all of these interfaces.
fn compiled<'t>(
    policy: &Policy,
    tables: &'t Tables,
    names: &[&str],
) -> Result<Cow<'t, Tables>, CompileError> {
    if policy.tells_interfaces_apart() {
        compile(policy, names).map(Cow::Owned)
    } else {
        Ok(Cow::Borrowed(tables))
    }
}

/// Names that stand for all interfaces that both policies guard and one of them tells apart.
fn interfaces(old: &Policy, new: &Policy) -> Option<Vec<String>> {
    let mut patterns: Vec<&InterfacePattern> = Vec::new();
    for policy in [old, new] {
        let rules = policy.rules.iter().map(|rule| &rule.interfaces);
        let trusted = policy.trusted.iter().map(|trusted| &trusted.interfaces);
        patterns.extend(rules.chain(trusted).flatten().flatten());
        patterns.extend(&policy.interfaces);
    }
    patterns.sort_by_cached_key(ToString::to_string);
    patterns.dedup();
    // Examples that a policy gives are the better names.
    let examples = [old, new].into_iter().flat_map(Policy::example_interfaces);
    let mut names: BTreeMap<Vec<bool>, String> = BTreeMap::new();
    for name in examples.chain(kinds(&patterns)?) {
        if old.guards(&name) && new.guards(&name) {
            let set = patterns.iter().map(|own| own.matches(&name)).collect();
            names.entry(set).or_insert(name);
        }
    }
    Some(names.into_values().collect())
}

/// The settings that are not in the tables of packets. `default`, `essential`, `fragments` and `trusted` are.
fn settings(old: &Policy, new: &Policy) -> Vec<SettingChange> {
    let fate = |fate: Fate| match fate {
        Fate::Pass => "pass".to_owned(),
        Fate::Drop => "drop".to_owned(),
    };
    let all = |policy: &Policy| {
        let replies = if policy.replies { "pass" } else { "rules" };
        [
            ("interfaces", guarded(policy)),
            ("attach", attach(policy.attach).to_owned()),
            ("replies", replies.to_owned()),
            ("non_ip", fate(policy.non_ip)),
            ("malformed", fate(policy.malformed)),
            ("enforce", policy.enforce.to_string()),
            ("metrics", metrics(policy)),
            ("events", events(policy.events)),
            ("on_stop", on_stop(policy.on_stop).to_owned()),
        ]
    };
    let pairs = all(old).into_iter().zip(all(new));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((key, before), (_, after))| SettingChange { key, before, after })
        .collect()
}

/// Where metrics can be scraped, and the page beside them, in an order of their own.
fn metrics(policy: &Policy) -> String {
    let listen = &policy.metrics.listen;
    let mut addresses: Vec<String> = listen.iter().map(ToString::to_string).collect();
    addresses.sort_unstable();
    if addresses.is_empty() {
        return "nowhere".to_owned();
    }
    let mut text = addresses.join(", ");
    if let Some(page) = &policy.metrics.page {
        text += if page.exposed {
            "; page at all of them"
        } else {
            "; page at loopback addresses"
        };
        let mut hosts: Vec<&str> = page.hosts.iter().map(String::as_str).collect();
        hosts.sort_unstable();
        if !hosts.is_empty() {
            text += ", also as ";
            text += &hosts.join(", ");
        }
    }
    text
}

fn events(events: Option<Events>) -> String {
    let Some(Events { rate, snap_bytes }) = events else {
        return "none".to_owned();
    };
    format!("{}, {snap_bytes} bytes of each frame", rate.text())
}

fn on_stop(on_stop: OnStop) -> &'static str {
    match on_stop {
        OnStop::Detach => "detach",
        OnStop::Keep => "keep",
    }
}

fn attach(mode: AttachMode) -> &'static str {
    match mode {
        AttachMode::Auto => "auto",
        AttachMode::Native => "native",
        AttachMode::Generic => "generic",
    }
}

/// The guarded interfaces, in an order of their own.
fn guarded(policy: &Policy) -> String {
    let mut names: Vec<String> = policy.interfaces.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return "those of the command line".to_owned();
    }
    names.join(", ")
}
