//! From a policy to the tables that the kernel side looks up.

mod by_column;
mod cells;
mod entries;
mod fields;
mod join;
mod layout;
mod meaning;
mod pack;
mod services;
mod sets;
mod tabulate;
mod trie;

use std::sync::Arc;

use portguard_common::abi::{
    self, FRAGMENTS_DROP, FRAGMENTS_PASS, FRAGMENTS_RATE, PackedNode, Row, Setting, Stage,
    TELL_EVENTS, field,
};
use portguard_common::limits;

use self::cells::Cells;
use self::entries::OPTIONAL_FIELDS;
pub(crate) use self::entries::source_port_indices;
pub(crate) use self::fields::Intervals;
use self::join::Join;
use self::layout::Layout;
pub use self::meaning::{Attribution, Limited, Meaning, Outcome};
pub(crate) use self::services::indices as service_indices;
use self::sets::{Set, Sets};
use self::tabulate::tabulate;
use crate::policy::{Fate, Fragments, Policy, Rule, RuleAction};

/// All tables of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The settings. What depends on the kernel and on the use ([`Setting::MultiBuffer`],
    /// [`Setting::CountAllBuffers`], [`Setting::InterfaceMultiplier`], [`Setting::Generation`]) is 0, for the loader to
    /// set, as it does with [`abi::TELL_TRACE`].
    pub settings: abi::Settings,
    /// How each field's class is combined with those before it, by [`field`].
    pub stages: [Stage; field::COUNT],
    /// How addresses are reduced to classes, by [`abi::Trie::index`].
    pub tries: [abi::Trie; abi::TRIES],
    /// The class of each of the [`abi::service::LEN`] services; a cell, where no field is combined with it.
    pub services: Vec<u16>,
    /// The class of each VLAN ID.
    pub vlan_classes: Vec<u16>,
    /// The class of each interface that the policy was compiled for.
    pub interface_classes: Vec<(String, u16)>,
    /// All tables of 16 bits: first that of source ports, if there is one.
    pub halves: Vec<u16>,
    /// All tables of 32 bits.
    pub words: Vec<u32>,
    /// The rows of sparse stages.
    pub rows: Vec<Row>,
    /// Nodes and gates of tries.
    pub nodes: Vec<PackedNode>,
    /// The cells, and what stands behind each counter.
    pub meaning: Meaning,
    /// The classes of sources and of destinations; `None` where no rule has a condition on them. The tries say the
    /// same, but cannot be walked from one class to the next.
    pub(crate) addresses: [Option<Arc<AddressClasses>>; 2],
}

/// Where classes of addresses begin, by family.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddressClasses {
    pub(crate) v4: Intervals<u32>,
    pub(crate) v6: Intervals<u128>,
}

impl Tables {
    /// What the tables take together, in bytes. The kernel rounds up to pages.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Meaning { cells, limits, .. } = &self.meaning;
        size_of_val(&self.services[..])
            + size_of_val(&self.vlan_classes[..])
            + size_of_val(&self.halves[..])
            + size_of_val(&self.words[..])
            + size_of_val(&self.rows[..])
            + size_of_val(&self.nodes[..])
            + size_of_val(&cells[..])
            + size_of_val(&limits[..])
    }
}

/// A policy that the tables cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// More rules than [`limits::RULES`].
    #[error("the policy has {needed} rules, {allowed} are allowed")]
    Rules {
        /// Rules of the policy.
        needed: usize,
        /// Rules allowed.
        allowed: usize,
    },
    /// More cells than [`limits::CELLS`].
    #[error(
        "the policy needs {needed} cells (distinct combinations of a deciding rule with rules that \
         only count), {allowed} are allowed"
    )]
    Cells {
        /// Cells needed.
        needed: usize,
        /// Cells allowed.
        allowed: usize,
    },
    /// More overlaps of rules that only count than [`limits::SHADOWS`].
    #[error(
        "the rules with `enforce: false` overlap too much: {needed} attributions or more are needed, \
         {allowed} are allowed"
    )]
    Shadows {
        /// Attributions needed.
        needed: usize,
        /// Attributions allowed.
        allowed: usize,
    },
    /// More values of a field that rules tell apart than a table has numbers for.
    #[error("the rules tell {needed} kinds of {field} apart, {allowed} are allowed")]
    Classes {
        /// The field.
        field: &'static str,
        /// Classes needed.
        needed: usize,
        /// Classes allowed.
        allowed: usize,
    },
    /// More combinations of a field with those before it than a table has numbers for.
    #[error(
        "the rules combine {field} with other fields in {needed} ways or more, {allowed} are allowed: let fewer rules \
         have conditions on both"
    )]
    Combinations {
        /// The field.
        field: &'static str,
        /// Classes needed.
        needed: usize,
        /// Classes allowed.
        allowed: usize,
    },
    /// Too many rules overlap.
    #[error(
        "the {field} of the rules overlap too much: {needed} memberships or more, {allowed} are allowed"
    )]
    Members {
        /// The field.
        field: &'static str,
        /// Members needed.
        needed: usize,
        /// Members allowed.
        allowed: usize,
    },
    /// The tables take more memory than [`limits`] allow.
    #[error("the tables of the policy need {needed} {what} or more, {allowed} are allowed")]
    Memory {
        /// What there is too much of.
        what: &'static str,
        /// Size needed.
        needed: usize,
        /// Size allowed.
        allowed: usize,
    },
    /// More limits than a packet can ask.
    #[error(
        "{needed} rules with `action: limit` match the same packet, {allowed} are allowed (all but one with `enforce: false`)"
    )]
    LimitsOfAPacket {
        /// Limits needed.
        needed: usize,
        /// Limits allowed.
        allowed: usize,
    },
    /// More combinations of limits than [`limits::LIMITS`].
    #[error("the rules with `action: limit` overlap in {needed} ways, {allowed} are allowed")]
    Limits {
        /// Limits needed.
        needed: usize,
        /// Limits allowed.
        allowed: usize,
    },
}

impl From<tabulate::TooLarge> for CompileError {
    fn from(error: tabulate::TooLarge) -> Self {
        Self::Memory {
            what: "table entries",
            needed: error.needed,
            allowed: limits::HALVES,
        }
    }
}

impl From<trie::TooLarge> for CompileError {
    fn from(error: trie::TooLarge) -> Self {
        Self::Memory {
            what: "nodes for addresses",
            needed: error.needed,
            allowed: limits::NODES,
        }
    }
}

/// Compiles a policy for interfaces of these names, which rules and trusted sources may tell apart.
///
/// # Errors
///
/// The policy exceeds a capacity of [`limits`].
pub fn compile(policy: &Policy, interfaces: &[&str]) -> Result<Tables, CompileError> {
    if policy.rules.len() > limits::RULES {
        return Err(CompileError::Rules {
            needed: policy.rules.len(),
            allowed: limits::RULES,
        });
    }
    let entries = entries::entries(policy);
    let mut layout = Layout::new(settings(policy));
    let mut lefts: Vec<Set> = vec![[].into()];
    let mut seen = vec![false; entries.len()];
    for number in 0..OPTIONAL_FIELDS {
        let Some(reduced) = fields::reduce(&entries, number, interfaces) else {
            continue;
        };
        check_sets(&reduced.classes, number, false)?;
        lefts = if layout.is_first() {
            layout.first(number, reduced.layout);
            reduced.classes.all().to_vec()
        } else {
            layout.field(number, reduced.layout)?;
            let rights = reduced.classes.all();
            let mut join = Join::new(&entries, &seen, number, &lefts, rights);
            let table = tabulate(&mut join);
            check_sets(&join.classes, number, true)?;
            layout.table(number, table?)?;
            join.classes.all().to_vec()
        };
        for (seen, entry) in seen.iter_mut().zip(&entries) {
            *seen |= entry.conditions[number].is_some();
        }
    }
    let services = services::reduce(&entries, limits::CLASSES);
    if services.shadows > limits::SHADOWS {
        return Err(CompileError::Shadows {
            needed: services.shadows,
            allowed: limits::SHADOWS,
        });
    }
    if services.needed > limits::CLASSES {
        return Err(CompileError::Classes {
            field: "services",
            needed: services.needed,
            allowed: limits::CLASSES,
        });
    }
    let mut cells = Cells::new(policy, &entries, &services, &lefts);
    let table = tabulate(&mut cells);
    cells.finish()?;
    let mut table = table?;
    let order = cells.meaning.order();
    table.renumber(|cell| order[usize::from(cell)]);
    layout.limits(cells.needed_limits, &cells.meaning.limits);
    layout.services(&services, table)?;
    layout.finish(cells)
}

/// Names of the fields in messages.
const FIELD_NAMES: [&str; OPTIONAL_FIELDS] = [
    "interfaces",
    "VLANs",
    "source addresses",
    "destination addresses",
    "source ports",
];

fn check_sets(sets: &Sets, field: usize, joined: bool) -> Result<(), CompileError> {
    let field = FIELD_NAMES[field];
    if let Some(needed) = sets.excess_members() {
        return Err(CompileError::Members {
            field,
            needed,
            allowed: limits::SET_MEMBERS,
        });
    }
    match sets.excess() {
        None => Ok(()),
        Some((needed, allowed)) if joined => Err(CompileError::Combinations {
            field,
            needed,
            allowed,
        }),
        Some((needed, allowed)) => Err(CompileError::Classes {
            field,
            needed,
            allowed,
        }),
    }
}

fn settings(policy: &Policy) -> abi::Settings {
    let mut settings = abi::Settings::default();
    let mut set = |setting: Setting, value: u32| settings[setting as usize] = value;
    set(Setting::DefaultDrop, (policy.default == Fate::Drop).into());
    set(Setting::NonIpDrop, (policy.non_ip == Fate::Drop).into());
    set(
        Setting::MalformedDrop,
        (policy.malformed == Fate::Drop).into(),
    );
    set(
        Setting::Fragments,
        match policy.fragments {
            Fragments::Pass => FRAGMENTS_PASS,
            Fragments::Drop => FRAGMENTS_DROP,
            Fragments::Rate(_) => FRAGMENTS_RATE,
        },
    );
    if let Fragments::Rate(rate) = policy.fragments {
        let (interval, tolerance) = (rate.interval_ns(), rate.tolerance_ns());
        set(Setting::FragmentIntervalLow, interval as u32);
        set(Setting::FragmentIntervalHigh, (interval >> 32) as u32);
        set(Setting::FragmentToleranceLow, tolerance as u32);
        set(Setting::FragmentToleranceHigh, (tolerance >> 32) as u32);
    }
    if let Some(events) = policy.events {
        set(Setting::Tell, TELL_EVENTS);
        set(Setting::SnapBytes, events.snap_bytes);
    }
    set(Setting::Essential, policy.essential.into());
    set(Setting::Enforce, policy.enforce.into());
    set(Setting::Replies, policy.replies.into());
    let rejects = |rule: &Rule| rule.action == RuleAction::Reject;
    set(Setting::Reject, policy.rules.iter().any(rejects).into());
    settings
}
