//! From a policy to the tables that the kernel side looks up.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use portguard_common::abi::{
    self, Action, Cell, FRAGMENTS_DROP, FRAGMENTS_PASS, FRAGMENTS_RATE, Setting, service,
};
use portguard_common::limits;

use crate::policy::{Fate, Fragments, Policy, Rate, RuleAction};
use crate::sweep::{RuleIndex, Visitor, sweep};

/// All tables of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The settings. What depends on the kernel and on the use ([`Setting::MultiBuffer`],
    /// [`Setting::CountAllBuffers`], [`Setting::Trace`]) is 0, for the loader to set.
    pub settings: abi::Settings,
    /// The number of a cell for each of the [`service::LEN`] services.
    pub services: Vec<u16>,
    /// The cells. The first is [`Cell::NO_RULE`].
    pub cells: Vec<Cell>,
    /// What each cell counts for.
    pub attributions: Vec<Attribution>,
    /// The bucket of later fragments, full, if the policy gives them a rate.
    pub fragment_bucket: Option<abi::Bucket>,
}

/// Which rules a cell counts for, as indices of [`Policy::rules`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// The rule that decides.
    pub decider: Option<usize>,
    /// The rules before it that only count (`enforce: false`), in order.
    pub shadows: Vec<usize>,
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
        "the rules with `enforce: false` overlap too much: {needed} attributions are needed, \
         {allowed} are allowed"
    )]
    Shadows {
        /// Attributions needed.
        needed: usize,
        /// Attributions allowed.
        allowed: usize,
    },
}

/// Compiles a policy.
///
/// # Errors
///
/// The policy exceeds a capacity of [`limits`].
pub fn compile(policy: &Policy) -> Result<Tables, CompileError> {
    if policy.rules.len() > limits::RULES {
        return Err(CompileError::Rules {
            needed: policy.rules.len(),
            allowed: limits::RULES,
        });
    }
    let mut cells = Cells::new(policy);
    sweep(policy, &mut cells);
    cells.check()?;
    let bucket = match policy.fragments {
        Fragments::Rate(rate) => Some(bucket(rate)),
        Fragments::Pass | Fragments::Drop => None,
    };
    Ok(Tables {
        settings: settings(policy),
        services: cells.services,
        cells: cells.cells,
        attributions: cells.attributions,
        fragment_bucket: bucket,
    })
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
    set(Setting::Essential, policy.essential.into());
    set(Setting::Enforce, policy.enforce.into());
    settings
}

fn bucket(rate: Rate) -> abi::Bucket {
    abi::Bucket {
        tokens: i64::try_from(rate.burst).unwrap_or(i64::MAX),
        refilled_ns: 0,
        interval_ns: rate.interval_ns(),
        burst: rate.burst,
    }
}

/// What tells cells apart. The digest stands for the set of rules that only count: comparing the sets
/// themselves would cost their size at each of up to half a million edges.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CellKey {
    decider: Option<RuleIndex>,
    shadows: u32,
    digest: u128,
}

/// The tables, as they grow along the sweep.
struct Cells<'p> {
    policy: &'p Policy,
    services: Vec<u16>,
    cells: Vec<Cell>,
    attributions: Vec<Attribution>,
    numbers: HashMap<CellKey, u16>,
    active: ActiveShadows,
    /// Of all distinct cells, also of those beyond the limit: what the policy needs.
    needed_shadows: usize,
}

impl<'p> Cells<'p> {
    fn new(policy: &'p Policy) -> Self {
        let nothing = CellKey {
            decider: None,
            shadows: 0,
            digest: 0,
        };
        Self {
            policy,
            services: vec![0; service::LEN as usize],
            cells: vec![Cell::NO_RULE],
            attributions: vec![Attribution::default()],
            numbers: HashMap::from([(nothing, 0)]),
            active: ActiveShadows::new(policy.rules.len()),
            needed_shadows: 0,
        }
    }

    fn check(&self) -> Result<(), CompileError> {
        if self.numbers.len() > limits::CELLS {
            return Err(CompileError::Cells {
                needed: self.numbers.len(),
                allowed: limits::CELLS,
            });
        }
        if self.needed_shadows > limits::SHADOWS {
            return Err(CompileError::Shadows {
                needed: self.needed_shadows,
                allowed: limits::SHADOWS,
            });
        }
        Ok(())
    }

    /// The number of a cell, made if it is new. Beyond a limit cells are counted and no longer made.
    fn number(&mut self, key: CellKey) -> u16 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        self.needed_shadows += key.shadows as usize;
        let number = u16::try_from(self.cells.len()).ok();
        let fits = self.needed_shadows <= limits::SHADOWS;
        let Some(number) = number.filter(|_| fits) else {
            self.numbers.insert(key, 0);
            return 0;
        };
        self.numbers.insert(key, number);
        let decider = key.decider.map(|rule| rule as usize);
        let action = match decider.and_then(|rule| self.policy.rules.get(rule)) {
            None => Action::Undecided,
            Some(rule) => match rule.action {
                RuleAction::Pass => Action::Pass,
                RuleAction::Drop | RuleAction::Reject => Action::Drop,
                RuleAction::Limit(_) => Action::Pass,
            },
        };
        let only_counts = decider.is_none() && key.shadows > 0;
        self.cells.push(Cell::new(action, only_counts));
        self.attributions.push(Attribution {
            decider,
            shadows: self.active.before(key.decider),
        });
        number
    }
}

impl Visitor for Cells<'_> {
    fn enter(&mut self, rule: RuleIndex) {
        self.active.toggle(rule);
    }

    fn leave(&mut self, rule: RuleIndex) {
        self.active.toggle(rule);
    }

    fn stretch(&mut self, indices: Range<u32>, decider: Option<RuleIndex>) {
        let key = self.active.key(decider);
        let number = self.number(key);
        self.services[indices.start as usize..indices.end as usize].fill(number);
    }
}

/// The rules that only count and match at the current index, with sums over those before any rule in
/// logarithmic time (a Fenwick tree).
struct ActiveShadows {
    rules: BTreeSet<RuleIndex>,
    /// Number and digest of a part of the rules each.
    sums: Vec<(u32, u128)>,
}

impl ActiveShadows {
    fn new(rules: usize) -> Self {
        Self {
            rules: BTreeSet::new(),
            sums: vec![(0, 0); rules + 1],
        }
    }

    /// A rule begins to match, or ends.
    fn toggle(&mut self, rule: RuleIndex) {
        let entered = self.rules.insert(rule);
        if !entered {
            self.rules.remove(&rule);
        }
        let digest = digest(rule);
        let mut at = rule as usize + 1;
        while let Some((count, sum)) = self.sums.get_mut(at) {
            *count = if entered { *count + 1 } else { *count - 1 };
            *sum ^= digest;
            at += at & at.wrapping_neg();
        }
    }

    /// The key of the cell that this rule decides, with the rules before it.
    fn key(&self, decider: Option<RuleIndex>) -> CellKey {
        let mut key = CellKey {
            decider,
            shadows: 0,
            digest: 0,
        };
        if self.rules.is_empty() {
            return key;
        }
        let mut at = decider.map_or(self.sums.len() - 1, |rule| rule as usize);
        while at > 0 {
            let (count, digest) = self.sums[at];
            key.shadows += count;
            key.digest ^= digest;
            at -= at & at.wrapping_neg();
        }
        key
    }

    fn before(&self, decider: Option<RuleIndex>) -> Vec<usize> {
        let end = decider.unwrap_or(RuleIndex::MAX);
        self.rules.range(..end).map(|rule| *rule as usize).collect()
    }
}

/// 128 bits that stand for a rule, so that the exclusive or of several stands for their set: two sets of
/// one policy collide with a probability below 2^-90. The mixing is that of SplitMix64.
fn digest(rule: RuleIndex) -> u128 {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let seed = u64::from(rule) * 2 + 1;
    u128::from(mix(seed)) << 64 | u128::from(mix(seed + 1))
}
