//! The numbers of a policy that its program has as constants: operands of its instructions, which the loader writes there. The kernel's
//! verifier knows them, removes what they switch off, and nothing is read from memory for them.

use crate::abi::{
    Action, Cell, Lengths, SETTINGS, Settings, Stage, TRIES, Trie, field, slot, symbol,
};

/// Where the settings stand, by [`crate::abi::Setting`].
pub const SETTING: usize = 0;
/// Where the [`Stage`]s stand, by [`field`], each with [`STAGE_LEN`] members in the order of the type.
pub const STAGE: usize = SETTING + SETTINGS;
/// Members of a [`Stage`].
pub const STAGE_LEN: usize = 5;
/// Where the [`Trie`]s stand, by [`Trie::index`], each with [`TRIE_LEN`] members in the order of the type.
pub const TRIE: usize = STAGE + field::COUNT * STAGE_LEN;
/// Members of a [`Trie`].
pub const TRIE_LEN: usize = 9;
/// Where [`Lengths::halves`] stands; the others follow in the order of the type.
pub const HALVES: usize = TRIE + TRIES * TRIE_LEN;
/// Where [`Lengths::words`] stands.
pub const WORDS: usize = HALVES + 1;
/// Where [`Lengths::rows`] stands.
pub const ROWS: usize = HALVES + 2;
/// Where [`Lengths::nodes`] stands.
pub const NODES: usize = HALVES + 3;
/// Where [`Lengths::limits`] stands.
pub const LIMITS: usize = HALVES + 4;
/// Where [`Lengths::counters`] stands.
pub const COUNTERS: usize = HALVES + 5;
/// Where [`Lengths::slots`] stands.
pub const SLOTS: usize = HALVES + 6;
/// Where the bytes of each slot stand.
pub const SLOT_BYTES: usize = HALVES + 7;
/// Where it stands whether rules have conditions on anything but the service: 1, or 0.
pub const NARROWED: usize = HALVES + 8;
/// Where the bytes of each [`Memory`] stand, by its number.
pub const MEMORY: usize = NARROWED + 1;
/// Where [`Lengths::cells`] stand, by the number of the [`Action`].
pub const CELLS: usize = MEMORY + Memory::COUNT;
/// All of them.
pub const LEN: usize = CELLS + Action::ALL.len();

/// The operand of an instruction that the loader gives a constant, in its upper half; the lower one is the constant's place.
pub const MARK: u32 = 0x7067_0000;

/// The operand of an instruction that the loader gives the address of what a map has as its one element, in its upper half; in the lower one the
/// same, and which [`Memory`] it is.
pub const ADDRESS_MARK: u32 = 0x7068_0000;

/// What the programs reach by its address, without a look-up: maps of one element, which the loader makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Memory {
    /// [`symbol::SLOTS`].
    Slots,
    /// [`symbol::LAST_SENT`].
    LastSent,
    /// [`symbol::CLOSED_PORTS`].
    ClosedPorts,
    /// [`symbol::TCP_FLOWS`].
    TcpFlows,
    /// [`symbol::OTHER_FLOWS`].
    OtherFlows,
    /// [`symbol::RULE_BUCKETS`].
    RuleBuckets,
    /// [`symbol::SOURCE_BUCKETS`].
    SourceBuckets,
}

impl Memory {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Slots,
        Self::LastSent,
        Self::ClosedPorts,
        Self::TcpFlows,
        Self::OtherFlows,
        Self::RuleBuckets,
        Self::SourceBuckets,
    ];

    /// How many they are.
    pub const COUNT: usize = 7;

    /// The name of the map.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slots => symbol::SLOTS,
            Self::LastSent => symbol::LAST_SENT,
            Self::ClosedPorts => symbol::CLOSED_PORTS,
            Self::TcpFlows => symbol::TCP_FLOWS,
            Self::OtherFlows => symbol::OTHER_FLOWS,
            Self::RuleBuckets => symbol::RULE_BUCKETS,
            Self::SourceBuckets => symbol::SOURCE_BUCKETS,
        }
    }
}

/// All constants of a policy, by their places.
#[must_use]
pub fn all(
    settings: &Settings,
    stages: &[Stage; field::COUNT],
    tries: &[Trie; TRIES],
    lengths: &Lengths,
) -> [u32; LEN] {
    let mut all = [0; LEN];
    all[SETTING..STAGE].copy_from_slice(settings);
    for (own, stage) in all[STAGE..TRIE].chunks_mut(STAGE_LEN).zip(stages) {
        own.copy_from_slice(&[
            stage.form,
            stage.columns,
            stage.halves,
            stage.rows,
            stage.words,
        ]);
    }
    for (own, trie) in all[TRIE..HALVES].chunks_mut(TRIE_LEN).zip(tries) {
        own.copy_from_slice(&[
            trie.form,
            trie.root,
            trie.nodes,
            trie.lists,
            trie.lists_len,
            trie.longest,
            trie.short,
            trie.trunk,
            trie.trunk_words,
        ]);
    }
    all[HALVES..NARROWED].copy_from_slice(&[
        lengths.halves,
        lengths.words,
        lengths.rows,
        lengths.nodes,
        lengths.limits,
        lengths.counters,
        lengths.slots,
        slot::bytes(lengths.counters as usize) as u32,
    ]);
    all[NARROWED] = stages[..field::SERVICE]
        .iter()
        .any(|stage| stage.form != Stage::UNUSED)
        .into();
    all[MEMORY..CELLS].copy_from_slice(&lengths.memory);
    all[CELLS..LEN].copy_from_slice(&lengths.cells);
    all
}

/// What a [`Stage`] says, member by member, since in the kernel each is a constant of its own.
pub trait StageView {
    /// [`Stage::form`].
    fn form(&self) -> u32;
    /// [`Stage::columns`].
    fn columns(&self) -> u32;
    /// [`Stage::halves`].
    fn halves(&self) -> u32;
    /// [`Stage::rows`].
    fn rows(&self) -> u32;
    /// [`Stage::words`].
    fn words(&self) -> u32;
}

impl StageView for Stage {
    fn form(&self) -> u32 {
        self.form
    }

    fn columns(&self) -> u32 {
        self.columns
    }

    fn halves(&self) -> u32 {
        self.halves
    }

    fn rows(&self) -> u32 {
        self.rows
    }

    fn words(&self) -> u32 {
        self.words
    }
}

/// What a [`Trie`] says, likewise.
pub trait TrieView {
    /// [`Trie::form`].
    fn form(&self) -> u32;
    /// [`Trie::root`].
    fn root(&self) -> u32;
    /// [`Trie::nodes`].
    fn nodes(&self) -> u32;
    /// [`Trie::lists`].
    fn lists(&self) -> u32;
    /// [`Trie::lists_len`].
    fn lists_len(&self) -> u32;
    /// [`Trie::longest`].
    fn longest(&self) -> u32;
    /// Whether [`Trie::longest`] is above a number.
    fn is_longer(&self, than: u32) -> bool;
    /// [`Trie::short`].
    fn short(&self) -> u32;
    /// Whether there are any short lists.
    fn has_short(&self) -> bool;
    /// [`Trie::trunk`].
    fn trunk(&self) -> u32;
    /// Whether there is one.
    fn has_trunk(&self) -> bool;
    /// [`Trie::trunk_words`].
    fn trunk_words(&self) -> u32;
}

impl TrieView for Trie {
    fn form(&self) -> u32 {
        self.form
    }

    fn root(&self) -> u32 {
        self.root
    }

    fn nodes(&self) -> u32 {
        self.nodes
    }

    fn lists(&self) -> u32 {
        self.lists
    }

    fn lists_len(&self) -> u32 {
        self.lists_len
    }

    fn longest(&self) -> u32 {
        self.longest
    }

    fn is_longer(&self, than: u32) -> bool {
        self.longest > than
    }

    fn short(&self) -> u32 {
        self.short
    }

    fn has_short(&self) -> bool {
        self.short != 0
    }

    fn trunk(&self) -> u32 {
        self.trunk
    }

    fn has_trunk(&self) -> bool {
        self.trunk_words != 0
    }

    fn trunk_words(&self) -> u32 {
        self.trunk_words
    }
}

/// What a [`Cell`] says, likewise: each member is read where it is needed.
pub trait CellView {
    /// [`Cell::action`].
    fn action(&self) -> Action;
    /// [`Cell::shadow`].
    fn shadow(&self) -> u16;
    /// [`Cell::limits`].
    fn limits(&self) -> u32;
}

impl CellView for Cell {
    fn action(&self) -> Action {
        Self::action(*self)
    }

    fn shadow(&self) -> u16 {
        self.shadow
    }

    fn limits(&self) -> u32 {
        self.limits
    }
}
