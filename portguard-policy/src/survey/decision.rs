//! What becomes of a kind of packet, state and bans left aside.

use portguard_common::abi::{self, Action, Builtin, FRAGMENTS_DROP, FRAGMENTS_PASS, Setting};

use crate::compile::{Outcome, Tables};

/// What decides a kind of packet, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decision {
    /// What decides; never [`Outcome::Limited`].
    pub outcome: Outcome,
    /// What becomes of it.
    pub effect: Effect,
}

/// What becomes of a kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// It passes.
    Pass,
    /// It passes up to a rate.
    Limit {
        /// Nanoseconds for one packet.
        interval_ns: u64,
        /// The time of one packet less than the burst, in nanoseconds.
        tolerance_ns: u64,
        /// Each source has a rate of its own.
        per_source: bool,
    },
    /// It is dropped.
    Drop,
    /// It is dropped, and its sender answered.
    Reject,
}

impl Effect {
    /// Whether an assertion takes it for passed.
    pub fn passes(self) -> bool {
        matches!(self, Self::Pass | Self::Limit { .. })
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Limit { .. } => "limit",
            Self::Drop => "drop",
            Self::Reject => "reject",
        }
    }
}

impl Decision {
    /// The same of packets that take no token of a rule's limit: of TCP, all but attempts to connect.
    pub(crate) fn of_no_attempt(self) -> Self {
        match (self.outcome, self.effect) {
            (Outcome::Rule(_), Effect::Limit { .. }) => Self {
                effect: Effect::Pass,
                ..self
            },
            _ => self,
        }
    }

    /// What the tables say of packets of a cell.
    pub(crate) fn new(tables: &Tables, cell: u16, essential: bool, later_fragment: bool) -> Self {
        let meaning = &tables.meaning;
        let place = usize::from(cell);
        let own = meaning.cells.get(place).copied().unwrap_or_default();
        let decider = meaning.attributions.get(place).and_then(|own| own.decider);
        let rule = |effect: Effect| Self {
            outcome: decider.map_or(Outcome::Builtin(Builtin::DefaultPass), Outcome::Rule),
            effect,
        };
        let builtin = |outcome: Builtin, effect: Effect| Self {
            outcome: Outcome::Builtin(outcome),
            effect,
        };
        match own.action() {
            Action::Pass => rule(Effect::Pass),
            Action::Drop => rule(Effect::Drop),
            Action::Reject => rule(Effect::Reject),
            Action::Limit => rule(meaning.deciding_limit(cell).map_or(Effect::Pass, limited)),
            Action::Trusted => builtin(Builtin::Trusted, Effect::Pass),
            Action::Undecided if essential => builtin(Builtin::Essential, Effect::Pass),
            Action::Undecided if later_fragment => {
                builtin(Builtin::LaterFragment, fragments(tables))
            }
            Action::Undecided if tables.settings[Setting::DefaultDrop as usize] != 0 => {
                builtin(Builtin::DefaultDrop, Effect::Drop)
            }
            Action::Undecided => builtin(Builtin::DefaultPass, Effect::Pass),
        }
    }
}

fn limited(limit: &abi::Limit) -> Effect {
    Effect::Limit {
        interval_ns: limit.interval_ns,
        tolerance_ns: limit.tolerance_ns,
        per_source: limit.has(abi::Limit::PER_SOURCE),
    }
}

fn fragments(tables: &Tables) -> Effect {
    let setting = |setting: Setting| tables.settings[setting as usize];
    let wide =
        |low: Setting, high: Setting| u64::from(setting(high)) << 32 | u64::from(setting(low));
    match setting(Setting::Fragments) {
        FRAGMENTS_PASS => Effect::Pass,
        FRAGMENTS_DROP => Effect::Drop,
        _ => Effect::Limit {
            interval_ns: wide(Setting::FragmentIntervalLow, Setting::FragmentIntervalHigh),
            tolerance_ns: wide(
                Setting::FragmentToleranceLow,
                Setting::FragmentToleranceHigh,
            ),
            per_source: false,
        },
    }
}
