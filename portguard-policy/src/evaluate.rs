//! The classifier on the host: the same source that the kernel runs, over the same tables.

use portguard_common::abi::{Cell, Limit, Row, Setting, Stage, Trie};
use portguard_common::classify::{self, Judgement, Source};
use portguard_common::packet::{Frame, Headers, parse};
use portguard_common::trie::{Bits, Step, step};

use crate::compile::{Outcome, Tables};

/// What outlives a packet.
pub trait State {
    /// Takes a token of a limit; `false` when its rate is used up.
    fn take_limit_token(&self, limit: &Limit, source: Source) -> bool;
    /// Takes a token for a later fragment.
    fn take_fragment_token(&self) -> bool;
    /// Whether a packet is a reply to what this side started.
    fn is_reply<F: Frame>(&self, frame: &F, headers: &Headers) -> bool;
}

/// No state: every rate lasts, and nothing was started from this side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stateless;

impl State for Stateless {
    fn take_limit_token(&self, _limit: &Limit, _source: Source) -> bool {
        true
    }

    fn take_fragment_token(&self) -> bool {
        true
    }

    fn is_reply<F: Frame>(&self, _frame: &F, _headers: &Headers) -> bool {
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
        let judgement = classify::judge(&frame, &parse(&frame), self);
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

impl<S: State> classify::Tables for Evaluator<'_, S> {
    fn setting(&self, setting: Setting) -> u32 {
        self.tables.settings[setting as usize]
    }

    fn stage(&self, field: usize) -> Stage {
        self.tables.stages[field]
    }

    fn trie(&self, index: usize) -> Trie {
        self.tables.tries[index]
    }

    fn service_class(&self, index: u32) -> u16 {
        at(&self.tables.services, index)
    }

    fn source_port_class(&self, index: u32) -> u16 {
        at(&self.tables.halves, self.tables.source_ports + index)
    }

    fn vlan_class(&self, vlan: u16) -> u16 {
        at(&self.tables.vlan_classes, vlan.into())
    }

    fn interface_class(&self) -> u16 {
        self.interface
    }

    fn half(&self, index: u32) -> u16 {
        at(&self.tables.halves, index)
    }

    fn word(&self, index: u32) -> u32 {
        at(&self.tables.words, index)
    }

    fn row(&self, index: u32) -> Row {
        at(&self.tables.rows, index)
    }

    fn packed_step(&self, node: u32, bits: &mut Bits) -> u32 {
        match step(&at(&self.tables.nodes, node), bits) {
            Step::Word(index) => self.word(index),
            Step::Miss(word) => word,
        }
    }

    fn cell(&self, cell: u16) -> Cell {
        at(&self.tables.meaning.cells, cell.into())
    }

    fn limit(&self, index: u32) -> Limit {
        at(&self.tables.meaning.limits, index)
    }

    fn take_limit_token(&self, limit: &Limit, source: Source) -> bool {
        self.state.take_limit_token(limit, source)
    }

    fn take_fragment_token(&self) -> bool {
        self.state.take_fragment_token()
    }

    // What is counted is in the judgement.
    fn count_beyond(&self, _limit: &Limit) {}

    fn is_reply<F: Frame>(&self, frame: &F, headers: &Headers) -> bool {
        self.state.is_reply(frame, headers)
    }
}
