//! Tables as what leaves through one interface sees them.

use portguard_common::abi::{List, PackedNode, Row, Setting, counter};
use portguard_common::ban::Address;
use portguard_common::classify::{self, Source};
use portguard_common::constant::{CellView, StageView, TrieView};
use portguard_common::flow::Candidate;
use portguard_common::limiter::Asked;
use portguard_common::packet::Frame;
use portguard_common::trie::{self, SliceWindow};
use portguard_policy::Tables;

/// State is not asked by what leaves.
pub(super) struct View<'v> {
    tables: &'v Tables,
    interface: u16,
}

impl<'v> View<'v> {
    pub(super) fn new(tables: &'v Tables, interface: &str) -> Self {
        let own = tables.interface_classes.iter();
        let own = own.filter(|(name, _)| name == interface);
        Self {
            tables,
            interface: own.map(|(_, class)| *class).next().unwrap_or_default(),
        }
    }
}

impl classify::Tables for View<'_> {
    fn setting(&self, setting: Setting) -> u32 {
        self.tables.settings[setting as usize]
    }

    fn stage(&self, field: usize) -> impl StageView {
        self.tables.stages[field]
    }

    fn trie(&self, index: usize) -> impl TrieView {
        self.tables.tries[index]
    }

    fn service_class(&self, index: u32) -> u16 {
        self.tables.services[index as usize]
    }

    fn source_port_class(&self, index: u32) -> u16 {
        self.half(index)
    }

    fn vlan_class(&self, vlan: u16) -> u16 {
        self.tables.vlan_classes[usize::from(vlan)]
    }

    fn interface_class(&self) -> u16 {
        self.interface
    }

    fn half(&self, index: u32) -> u16 {
        self.tables.halves[index as usize]
    }

    fn word(&self, index: u32) -> u32 {
        self.tables.words[index as usize]
    }

    fn row(&self, index: u32) -> Row {
        self.tables.rows[index as usize]
    }

    type Window<'w>
        = SliceWindow<'w>
    where
        Self: 'w;

    fn window<const UNIT: u32>(&self, first: u32, index: u64, end: u32) -> Option<SliceWindow<'_>> {
        let place = (index < end.into()).then_some(first + index as u32 * UNIT)?;
        let halves = &self.tables.halves[place as usize..];
        Some(SliceWindow::new(&halves[..List::WINDOW as usize]))
    }

    fn node(&self, index: u32) -> Option<&PackedNode> {
        Some(&self.tables.nodes[index as usize])
    }

    fn find_below(&self, trie: usize, word: u32, passed: u32, high: u64, low: u64) -> u16 {
        trie::find_below(self, &self.trie(trie), word, passed, high, low)
    }

    fn cell(&self, cell: u16) -> impl CellView {
        self.tables.meaning.cells[usize::from(cell)]
    }

    fn has_bans(&self, _v6: bool) -> bool {
        false
    }

    fn is_banned(&self, _source: Address) -> bool {
        false
    }

    fn ask_limits(&self, _first: u32, _source: Source) -> Asked {
        Asked {
            over: counter::NONE,
            beyond: 0,
        }
    }

    fn take_fragment_token(&self) -> bool {
        true
    }

    fn is_reply<F: Frame>(&self, _frame: &F, _packet: &Candidate) -> bool {
        false
    }
}
