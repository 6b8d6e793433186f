//! What the kernel side counts, told in rules.

use portguard_common::abi::{self, Action, Cell, counter, event_group};
use portguard_common::limits::LIMITS_OF_A_PACKET;
use portguard_common::packet::Malformed;

/// What decided a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The rule with this index.
    Rule(usize),
    /// The rule with this index, beyond its limit.
    Limited(usize),
    /// Something other than a rule.
    Builtin(abi::Builtin),
    /// A malformed header.
    Malformed(Malformed),
}

impl Outcome {
    /// Its name in output: `rule`, `limited`, that of the [`abi::Builtin`], or `malformed:` and the reason.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Rule(_) => "rule".to_owned(),
            Self::Limited(_) => "limited".to_owned(),
            Self::Builtin(builtin) => builtin.name().to_owned(),
            Self::Malformed(reason) => format!("malformed:{}", reason.name()),
        }
    }

    /// The index of the rule that decided, if one did.
    #[must_use]
    pub const fn rule(self) -> Option<usize> {
        match self {
            Self::Rule(index) | Self::Limited(index) => Some(index),
            Self::Builtin(_) | Self::Malformed(_) => None,
        }
    }
}

/// Which rules a cell counts for, as indices of [`crate::Policy::rules`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// The rule that decides.
    pub decider: Option<usize>,
    /// The rules before it that only count (`enforce: false`), in order, but for those with a limit.
    pub shadows: Vec<usize>,
}

/// A rule with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// Index in [`crate::Policy::rules`].
    pub rule: usize,
    /// It is enforced; otherwise what is beyond its limit is only counted.
    pub enforce: bool,
}

/// The cells, and what stands behind each counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The cells, in the order of their actions. The first is [`Cell::NO_RULE`].
    pub cells: Vec<Cell>,
    /// The limits of all cells.
    pub limits: Vec<abi::Limit>,
    /// What each cell counts for.
    pub attributions: Vec<Attribution>,
    /// The rules that keep silent (`events: false`), in order.
    pub silent: Vec<usize>,
    /// The rules with a limit. The counters of what is beyond lie behind those of the cells, in this order.
    pub limited: Vec<Limited>,
}

impl Meaning {
    /// How many cells there are up to the last one of an action.
    pub fn cells_up_to(&self, action: Action) -> usize {
        self.cells
            .partition_point(|cell| cell.action <= action as u8)
    }

    /// Puts the cells in the order of their actions. The answer is the new number of each.
    pub(super) fn order(&mut self) -> Vec<u16> {
        let mut order: Vec<usize> = (0..self.cells.len()).collect();
        order.sort_by_key(|old| self.cells[*old].action);
        let mut numbers = vec![0; order.len()];
        for (new, old) in (0..=u16::MAX).zip(&order) {
            numbers[*old] = new;
        }
        let cell = |old: &usize| {
            let cell = self.cells[*old];
            let shadow = numbers[usize::from(cell.shadow)];
            Cell { shadow, ..cell }
        };
        self.cells = order.iter().map(cell).collect();
        let attribution = |old: &usize| std::mem::take(&mut self.attributions[*old]);
        self.attributions = order.iter().map(attribution).collect();
        numbers
    }

    /// Counters of cells and limits.
    pub fn counters(&self) -> usize {
        self.attributions.len() + self.limited.len()
    }

    /// What decided a frame that was counted here; `None` if this counts nothing that decides.
    pub fn outcome(&self, index: u32) -> Option<Outcome> {
        if let Some(cell) = index.checked_sub(counter::CELL) {
            let cell = cell as usize;
            return match cell.checked_sub(self.cells.len()) {
                Some(place) => self
                    .limited
                    .get(place)
                    .map(|own| Outcome::Limited(own.rule)),
                None => self.attributions.get(cell)?.decider.map(Outcome::Rule),
            };
        }
        if let Some(reason) = index.checked_sub(counter::MALFORMED) {
            return Malformed::ALL
                .get(reason as usize)
                .copied()
                .map(Outcome::Malformed);
        }
        abi::Builtin::ALL
            .get(index as usize)
            .copied()
            .map(Outcome::Builtin)
    }

    /// By counter, the entries of the table of [`event_group`]s: which events are told, and what shares a credit.
    #[must_use]
    pub fn event_groups(&self) -> Vec<u16> {
        let entry = |index: usize| {
            let group = match self.outcome(u32::try_from(index).ok()?)? {
                Outcome::Rule(rule) | Outcome::Limited(rule) => {
                    if self.silent.binary_search(&rule).is_ok() {
                        return None;
                    }
                    event_group::of_rule(rule)
                }
                Outcome::Builtin(_) | Outcome::Malformed(_) => index,
            };
            u16::try_from(group + event_group::FIRST_ENTRY as usize).ok()
        };
        (0..counter::CELL as usize + self.counters())
            .map(|index| entry(index).unwrap_or(0))
            .collect()
    }

    /// The rules that only counted a frame, in order: `decided` and `shadow` are its counters, `beyond` the limits of
    /// its cell that it is beyond.
    pub fn shadows(&self, decided: u32, shadow: u32, cell: u16, beyond: u32) -> Vec<usize> {
        // A deciding cell carries its own shadows; where something else decided, they are named apart.
        let counter = if shadow == counter::NONE {
            decided
        } else {
            shadow
        };
        let attribution = counter
            .checked_sub(counter::CELL)
            .and_then(|cell| self.attributions.get(cell as usize));
        let mut shadows = attribution.map_or_else(Vec::new, |cell| cell.shadows.clone());
        let first = counter::CELL as usize + self.cells.len();
        for (place, limit) in self.limits_of(cell).enumerate() {
            if !limit.has(abi::Limit::DECIDES) && beyond >> place & 1 == 1 {
                let place = (limit.counter as usize).checked_sub(first);
                let limited = place.and_then(|place| self.limited.get(place));
                shadows.extend(limited.map(|limited| limited.rule));
            }
        }
        shadows.sort_unstable();
        shadows
    }

    /// The limit of the rule that decides a cell.
    pub(crate) fn deciding_limit(&self, cell: u16) -> Option<&abi::Limit> {
        self.limits_of(cell)
            .find(|limit| limit.has(abi::Limit::DECIDES))
    }

    /// The limits that a cell asks.
    fn limits_of(&self, cell: u16) -> impl Iterator<Item = &abi::Limit> {
        let cell = self
            .cells
            .get(usize::from(cell))
            .copied()
            .unwrap_or_default();
        let first = cell
            .limits
            .checked_sub(1)
            .map_or(self.limits.len(), |first| first as usize);
        let mut ended = false;
        self.limits[first.min(self.limits.len())..]
            .iter()
            .take(LIMITS_OF_A_PACKET)
            .take_while(move |limit| !std::mem::replace(&mut ended, limit.has(abi::Limit::LAST)))
    }
}
