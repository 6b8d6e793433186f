//! The classifier on the host: the same source that the kernel runs, over the same tables.

use portguard_common::abi::{Limit, List, PackedNode, Row, Setting};
use portguard_common::ban::Address;
use portguard_common::classify::{self, Judgement, Source};
use portguard_common::constant::{CellView, StageView, TrieView};
use portguard_common::flow::Candidate;
use portguard_common::limiter::{self, Asked};
use portguard_common::packet::{Frame, parse};
use portguard_common::trie::{self, SliceWindow};

use crate::compile::{Outcome, Tables};

/// What outlives a packet.
pub trait State {
    /// Takes a token of a limit; `false` when its rate is used up.
    fn take_limit_token(&self, limit: &Limit, source: Source) -> bool;
    /// Takes a token for a later fragment.
    fn take_fragment_token(&self) -> bool;
    /// Whether a source is banned.
    fn is_banned(&self, source: Address) -> bool;
    /// Whether a packet is a reply to what this side started.
    fn is_reply(&self, frame: &[u8], packet: &Candidate) -> bool;
}

/// No state: every rate lasts, nobody is banned, and nothing was started from this side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stateless;

impl State for Stateless {
    fn take_limit_token(&self, _limit: &Limit, _source: Source) -> bool {
        true
    }

    fn take_fragment_token(&self) -> bool {
        true
    }

    fn is_banned(&self, _source: Address) -> bool {
        false
    }

    fn is_reply(&self, _frame: &[u8], _packet: &Candidate) -> bool {
        false
    }
}

/// What was decided about a frame, were it enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What the classifier says.
    pub judgement: Judgement,
    /// What decided.
    pub outcome: Outcome,
    /// The rules that only counted, in order.
    pub shadows: Vec<usize>,
}

/// Tables as one interface sees them.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator<'t, S = Stateless> {
    tables: &'t Tables,
    interface: u16,
    state: S,
}

impl<'t, S: State> Evaluator<'t, S> {
    /// For frames that arrive at the interface of this name.
    pub fn new(tables: &'t Tables, interface: &str, state: S) -> Self {
        let classes = &tables.interface_classes;
        let class = classes.iter().find(|(name, _)| name == interface);
        Self {
            tables,
            interface: class.map_or(0, |(_, class)| *class),
            state,
        }
    }

    /// Judges a frame; `None` only if the tables are broken.
    pub fn frame(&self, frame: &[u8]) -> Option<Evaluation> {
        let look = Look {
            evaluator: self,
            frame,
        };
        let judgement = classify::judge(&frame, &parse(&frame), &look);
        let meaning = &self.tables.meaning;
        Some(Evaluation {
            judgement,
            outcome: meaning.outcome(judgement.counter)?,
            shadows: meaning.shadows(
                judgement.counter,
                judgement.shadow,
                judgement.cell,
                judgement.beyond,
            ),
        })
    }
}

fn at<T: Copy + Default>(table: &[T], index: u32) -> T {
    table.get(index as usize).copied().unwrap_or_default()
}

/// The tables as one frame sees them.
struct Look<'e, 't, S> {
    evaluator: &'e Evaluator<'t, S>,
    frame: &'e [u8],
}

impl<S: State> classify::Tables for Look<'_, '_, S> {
    fn setting(&self, setting: Setting) -> u32 {
        self.evaluator.tables.settings[setting as usize]
    }

    fn stage(&self, field: usize) -> impl StageView {
        self.evaluator.tables.stages[field]
    }

    fn trie(&self, index: usize) -> impl TrieView {
        self.evaluator.tables.tries[index]
    }

    fn service_class(&self, index: u32) -> u16 {
        at(&self.evaluator.tables.services, index)
    }

    fn source_port_class(&self, index: u32) -> u16 {
        self.half(index)
    }

    fn vlan_class(&self, vlan: u16) -> u16 {
        at(&self.evaluator.tables.vlan_classes, vlan.into())
    }

    fn interface_class(&self) -> u16 {
        self.evaluator.interface
    }

    fn half(&self, index: u32) -> u16 {
        at(&self.evaluator.tables.halves, index)
    }

    fn word(&self, index: u32) -> u32 {
        at(&self.evaluator.tables.words, index)
    }

    fn row(&self, index: u32) -> Row {
        at(&self.evaluator.tables.rows, index)
    }

    type Window<'w>
        = SliceWindow<'w>
    where
        Self: 'w;

    fn window<const UNIT: u32>(&self, first: u32, index: u64, end: u32) -> Option<SliceWindow<'_>> {
        let place = (index < end.into()).then_some(first + index as u32 * UNIT)?;
        let halves = self.evaluator.tables.halves.get(place as usize..)?;
        halves.get(..List::WINDOW as usize).map(SliceWindow::new)
    }

    fn node(&self, index: u32) -> Option<&PackedNode> {
        self.evaluator.tables.nodes.get(index as usize)
    }

    fn find_below(&self, trie: usize, word: u32, passed: u32, high: u64, low: u64) -> u16 {
        trie::find_below(self, &self.trie(trie), word, passed, high, low)
    }

    fn cell(&self, cell: u16) -> impl CellView {
        at(&self.evaluator.tables.meaning.cells, cell.into())
    }

    fn has_bans(&self, _v6: bool) -> bool {
        true
    }

    fn is_banned(&self, source: Address) -> bool {
        self.evaluator.state.is_banned(source)
    }

    fn ask_limits(&self, first: u32, source: Source) -> Asked {
        limiter::ask(self, first, source)
    }

    fn take_fragment_token(&self) -> bool {
        self.evaluator.state.take_fragment_token()
    }

    fn is_reply<F: Frame>(&self, _frame: &F, packet: &Candidate) -> bool {
        self.evaluator.state.is_reply(self.frame, packet)
    }
}

impl<S: State> limiter::Limits for Look<'_, '_, S> {
    fn most(&self) -> u32 {
        classify::Tables::setting(self, Setting::Limits)
    }

    fn limit(&self, index: u32) -> Limit {
        at(&self.evaluator.tables.meaning.limits, index)
    }

    fn take_token(&self, _index: u32, limit: &Limit, source: Source) -> bool {
        self.evaluator.state.take_limit_token(limit, source)
    }

    // What is counted is in the judgement.
    fn count_beyond(&self, _limit: &Limit) {}
}
