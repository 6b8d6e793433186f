//! The last table: what happens to packets of a class and a service.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use portguard_common::abi::{self, Action, Cell, counter};
use portguard_common::limits;

use super::entries::{Entry, EntryIndex};
use super::services::Services;
use super::sets::{Set, digest};
use super::tabulate::Plan;
use super::{Attribution, CompileError, Limited, Meaning};
use crate::policy::{Per, Policy};

/// What tells cells apart: the entry that decides, and a digest of those before it that only count.
type CellKey = (Option<EntryIndex>, u128);

/// The plan of the last table. Its values are cells.
pub(super) struct Cells<'c, 'p> {
    policy: &'p Policy,
    entries: &'c [Entry<'p>],
    services: &'c Services,
    rows: &'c [Set],
    /// The service classes that each distinct list of services meets.
    columns_of: HashMap<&'c [std::ops::Range<u32>], Rc<[u16]>>,
    numbers: HashMap<CellKey, u16>,
    pub(super) meaning: Meaning,
    /// Of all cells, also of those beyond a limit: what the policy needs.
    needed_cells: usize,
    needed_shadows: usize,
    /// Most limits that a packet has to ask.
    pub(super) needed_limits: usize,
    /// The first limit of each distinct chain.
    chains: HashMap<Vec<EntryIndex>, u32>,
    buckets: HashSet<u32>,
}

impl<'c, 'p> Cells<'c, 'p> {
    pub(super) fn new(
        policy: &'p Policy,
        entries: &'c [Entry<'p>],
        services: &'c Services,
        rows: &'c [Set],
    ) -> Self {
        Self {
            policy,
            entries,
            services,
            rows,
            columns_of: HashMap::new(),
            numbers: HashMap::from([((None, 0), 0)]),
            meaning: Meaning {
                cells: vec![Cell::NO_RULE],
                attributions: vec![Attribution::default()],
                silent: (0..)
                    .zip(&policy.rules)
                    .filter(|(_, rule)| !rule.events)
                    .map(|(index, _)| index)
                    .collect(),
                ..Meaning::default()
            },
            needed_cells: 1,
            needed_shadows: 0,
            needed_limits: 0,
            chains: HashMap::new(),
            buckets: HashSet::new(),
        }
    }

    /// Checks that everything fits, and gives limits their counters, which lie behind those of the cells.
    pub(super) fn finish(&mut self) -> Result<(), CompileError> {
        let exceeded = [
            (self.needed_cells, limits::CELLS),
            (self.needed_shadows, limits::SHADOWS),
            (self.needed_limits, limits::LIMITS_OF_A_PACKET),
            (self.meaning.limits.len(), limits::LIMITS),
        ];
        let errors = [
            |needed, allowed| CompileError::Cells { needed, allowed },
            |needed, allowed| CompileError::Shadows { needed, allowed },
            |needed, allowed| CompileError::LimitsOfAPacket { needed, allowed },
            |needed, allowed| CompileError::Limits { needed, allowed },
        ];
        for ((needed, allowed), error) in exceeded.into_iter().zip(errors) {
            if needed > allowed {
                return Err(error(needed, allowed));
            }
        }
        let first = counter::CELL + u32::try_from(self.meaning.cells.len()).unwrap_or(0);
        for limit in &mut self.meaning.limits {
            limit.counter += first;
        }
        Ok(())
    }

    /// The number of a cell, made if it is new. Beyond a limit cells are counted and no longer made.
    fn number(&mut self, decider: Option<EntryIndex>, shadows: &[EntryIndex]) -> u16 {
        let digest = shadows.iter().fold(0, |sum, entry| sum ^ digest(*entry));
        let key = (decider, digest);
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        self.needed_cells += 1;
        self.needed_shadows += shadows.len();
        if self.meaning.cells.len() >= limits::CELLS || self.needed_shadows > limits::SHADOWS {
            self.numbers.insert(key, 0);
            return 0;
        }
        let number = u16::try_from(self.meaning.cells.len()).unwrap_or(0);
        self.numbers.insert(key, number);
        let action = decider.map_or(Action::Undecided, |entry| {
            self.entries[entry as usize].action
        });
        let is_limit = |entry: &EntryIndex| self.entries[*entry as usize].limit.is_some();
        let (limited, counted): (Vec<_>, Vec<_>) = shadows.iter().copied().partition(is_limit);
        let rule = |entry: EntryIndex| self.entries[entry as usize].rule;
        self.meaning.cells.push(Cell {
            action: action as u8,
            ..Cell::NO_RULE
        });
        self.meaning.attributions.push(Attribution {
            decider: decider.and_then(rule),
            shadows: counted.iter().filter_map(|entry| rule(*entry)).collect(),
        });
        let shadow = match action {
            _ if counted.is_empty() => 0,
            Action::Undecided if limited.is_empty() => number,
            Action::Drop | Action::Reject if !self.policy.replies => 0,
            Action::Pass | Action::Trusted => 0,
            Action::Undecided | Action::Drop | Action::Reject | Action::Limit => {
                self.number(None, &counted)
            }
        };
        let mut chain = limited;
        chain.extend(decider.filter(|_| action == Action::Limit));
        let limits = self.chain(chain, action == Action::Limit);
        let cell = &mut self.meaning.cells[usize::from(number)];
        cell.shadow = shadow;
        cell.limits = limits;
        number
    }

    /// Where the limits to ask begin, counted from 1; the last may be the one that decides.
    fn chain(&mut self, chain: Vec<EntryIndex>, last_decides: bool) -> u32 {
        if chain.is_empty() {
            return 0;
        }
        // The same entry never both decides and only counts.
        if let Some(first) = self.chains.get(&chain) {
            return *first;
        }
        self.needed_limits = self.needed_limits.max(chain.len());
        let first = u32::try_from(self.meaning.limits.len() + 1).unwrap_or(0);
        for (place, entry) in (1..).zip(&chain) {
            let is_last = place == chain.len();
            self.push_limit(*entry, is_last, is_last && last_decides);
        }
        self.chains.insert(chain, first);
        first
    }

    fn push_limit(&mut self, entry: EntryIndex, is_last: bool, decides: bool) {
        let entry = &self.entries[entry as usize];
        let Some((rule, limit)) = entry.rule.zip(entry.limit) else {
            return;
        };
        let enforce = entry.enforce;
        let (place, bucket) = match self.meaning.limited.iter().position(|own| own.rule == rule) {
            Some(place) => {
                let known = self
                    .meaning
                    .limits
                    .iter()
                    .find(|limit| limit.counter as usize == place);
                (place, known.map_or(0, |limit| limit.bucket))
            }
            None => {
                self.meaning.limited.push(Limited { rule, enforce });
                (self.meaning.limited.len() - 1, self.bucket(rule))
            }
        };
        let flags = [
            (limit.per == Per::Source, abi::Limit::PER_SOURCE),
            (decides, abi::Limit::DECIDES),
            (is_last, abi::Limit::LAST),
        ];
        self.meaning.limits.push(abi::Limit {
            interval_ns: limit.rate.interval_ns(),
            tolerance_ns: limit.rate.tolerance_ns(),
            counter: u32::try_from(place).unwrap_or(0),
            bucket,
            flags: flags
                .iter()
                .filter(|(set, _)| *set)
                .fold(0, |all, (_, flag)| all | flag),
            reserved: 0,
        });
    }

    /// A bucket of the rule's own, found by its name, so that it is the same one after a reload.
    fn bucket(&mut self, rule: usize) -> u32 {
        const FNV_OFFSET: u32 = 0x811c_9dc5;
        const FNV_PRIME: u32 = 0x0100_0193;
        let name = self.policy.rules[rule].name.as_bytes();
        let hash = name.iter().fold(FNV_OFFSET, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(FNV_PRIME)
        });
        let all = limits::RULE_BUCKETS as u32;
        let mut bucket = hash % all;
        // There are fewer rules than buckets.
        while !self.buckets.insert(bucket) {
            bucket = (bucket + 1) % all;
        }
        bucket
    }
}

impl Plan for Cells<'_, '_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn columns(&self) -> usize {
        self.services.classes.len()
    }

    fn fixed(&self, _row: usize) -> u128 {
        0
    }

    fn varying(&self, row: usize) -> &[EntryIndex] {
        &self.rows[row]
    }

    fn columns_of(&mut self, entry: EntryIndex) -> Rc<[u16]> {
        let services = &self.entries[entry as usize].services[..];
        let columns = self
            .columns_of
            .entry(services)
            .or_insert_with(|| self.services.classes_of(services).into());
        // Where an entry without conditions decides before it, it has no say.
        let has_say = |column: &u16| {
            let decider = self.services.classes[usize::from(*column)].decider;
            decider.is_none_or(|decider| entry < decider)
        };
        if columns.iter().all(has_say) {
            return Rc::clone(columns);
        }
        columns.iter().copied().filter(has_say).collect()
    }

    fn value(&mut self, _row: usize, column: u16, matching: &[EntryIndex]) -> u16 {
        let class = &self.services.classes[usize::from(column)];
        let enforced = |entry: &&EntryIndex| self.entries[**entry as usize].enforce;
        let decider = matching.iter().find(enforced).copied().or(class.decider);
        let end = decider.unwrap_or(EntryIndex::MAX);
        let before = |entry: &&EntryIndex| **entry < end;
        let own = matching.iter().filter(|entry| !enforced(entry));
        let mut shadows: Vec<EntryIndex> = own
            .filter(before)
            .chain(class.shadows.iter().filter(before))
            .copied()
            .collect();
        shadows.sort_unstable();
        self.number(decider, &shadows)
    }
}
