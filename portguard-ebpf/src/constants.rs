//! The constants of a policy: operands of instructions, which the loader writes there before the program is loaded.

use core::arch::asm;

use portguard_common::abi::{Action, Setting};
use portguard_common::constant::{
    self, ADDRESS_MARK, LEN, MARK, Memory, STAGE, STAGE_LEN, StageView, TRIE, TRIE_LEN, TrieView,
};

use crate::tables::opaque;

/// The instruction of the constant at a place. Written out, since the compiler would know the operand; and once for each use, since a
/// number that is kept for the next use takes a register from others.
macro_rules! operand {
    ($place:literal) => {{
        let number: u64;
        // SAFETY: the instruction writes one register.
        unsafe {
            asm!("{0} = {1}", out(reg) number, const MARK + $place, options(nomem, nostack));
        }
        number
    }};
}

/// The constant at a place that the compiler knows.
#[inline(always)]
pub(crate) fn constant(place: usize) -> u32 {
    wide(place) as u32
}

/// The same as a number of 64 bits, of one below 2³¹: an operand is a signed number.
#[inline(always)]
pub(crate) fn wide(place: usize) -> u64 {
    macro_rules! places {
        ($($place:literal)*) => {{
            const _: () = assert!([$($place),*].len() == LEN);
            match place {
                $($place => operand!($place),)*
                _ => 0,
            }
        }};
    }
    places! {
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19
        20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
        40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59
        60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79
        80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99
        100 101 102 103 104 105 106 107 108 109 110 111
    }
}

/// An index that the verifier sees to be below a bound; `None` where it is not.
#[inline(always)]
pub(crate) fn below(index: u32, bound: u64) -> Option<u64> {
    let index = opaque(index.into());
    (index < bound).then_some(index)
}

/// The same of an index that is made of what a plain frame says, with a bound that the compiler knows. Of such an index it knows no more than
/// the verifier (see [`bounded`](crate::tables::bounded)), so what it leaves out is not missed.
#[inline(always)]
pub(crate) fn within(index: u32, bound: u32, is_plain: bool) -> Option<u64> {
    if is_plain {
        (index < bound).then_some(index.into())
    } else {
        below(index, bound.into())
    }
}

/// So many `T` that a map has as its one element.
#[derive(Clone, Copy)]
pub(crate) struct Elements<T> {
    first: *mut T,
    count: u32,
}

impl<T> Elements<T> {
    /// Those of a map; `None` where it has not so many, as where the policy has no use for it.
    #[inline(always)]
    pub(crate) fn of(memory: Memory, count: u32) -> Option<Self> {
        let bytes = u64::from(count) * size_of::<T>() as u64;
        (wide(constant::MEMORY + memory as usize) >= bytes).then(|| Self {
            first: address(memory) as *mut T,
            count,
        })
    }

    /// The place of one of them; `None` where it is none of them.
    #[inline(always)]
    pub(crate) fn get(self, index: u32) -> Option<*mut T> {
        // Where there are as many as a power of two, the verifier knows by a mask, which is quicker than a comparison.
        let index = if self.count.is_power_of_two() {
            opaque(index.into()) & u64::from(self.count - 1)
        } else {
            below(index, self.count.into())?
        };
        Some(self.first.wrapping_add(index as usize))
    }
}

/// The place of one of so many `T` in a map's one element: see [`Elements`].
#[inline(always)]
pub(crate) fn element<T>(memory: Memory, index: u32, count: u32) -> Option<*mut T> {
    Elements::of(memory, count)?.get(index)
}

/// The address of what a map has as its one element.
#[inline(always)]
pub(crate) fn address(memory: Memory) -> u64 {
    macro_rules! operand {
        ($memory:expr) => {{
            const MARKED: u64 = (ADDRESS_MARK as u64) << 32 | (ADDRESS_MARK as u64 + $memory as u64);
            let address: u64;
            // SAFETY: the instruction writes one register.
            unsafe {
                asm!("{0} = {1} ll", out(reg) address, const MARKED, options(nomem, nostack));
            }
            address
        }};
    }
    match memory {
        Memory::Slots => operand!(Memory::Slots),
        Memory::LastSent => operand!(Memory::LastSent),
        Memory::ClosedPorts => operand!(Memory::ClosedPorts),
        Memory::TcpFlows => operand!(Memory::TcpFlows),
        Memory::OtherFlows => operand!(Memory::OtherFlows),
        Memory::RuleBuckets => operand!(Memory::RuleBuckets),
        Memory::SourceBuckets => operand!(Memory::SourceBuckets),
    }
}

/// A setting.
#[inline(always)]
pub(crate) fn setting(setting: Setting) -> u32 {
    constant(constant::SETTING + setting as usize)
}

/// Whether a setting is not 0.
#[inline(always)]
pub(crate) fn is_set(setting: Setting) -> bool {
    wide(constant::SETTING + setting as usize) != 0
}

/// The action of a cell. Cells are in the order of their actions: what no cell says costs nothing, nor does the last that is said.
#[inline(always)]
pub(crate) fn action(cell: u16) -> Action {
    let end = |action: Action| wide(constant::CELLS + action as usize);
    let is_up_to = |action| end(action) == end(Action::Trusted) || u64::from(cell) < end(action);
    let is = |action, before| end(action) != end(before) && is_up_to(action);
    if is_up_to(Action::Undecided) {
        Action::Undecided
    } else if is(Action::Pass, Action::Undecided) {
        Action::Pass
    } else if is(Action::Drop, Action::Pass) {
        Action::Drop
    } else if is(Action::Reject, Action::Drop) {
        Action::Reject
    } else if is(Action::Limit, Action::Reject) {
        Action::Limit
    } else {
        Action::Trusted
    }
}

/// The stage of a field.
pub(crate) struct ConstantStage(pub(crate) usize);

impl ConstantStage {
    #[inline(always)]
    fn member(&self, member: usize) -> u32 {
        constant(STAGE + self.0 * STAGE_LEN + member)
    }
}

impl StageView for ConstantStage {
    #[inline(always)]
    fn form(&self) -> u32 {
        self.member(0)
    }

    #[inline(always)]
    fn columns(&self) -> u32 {
        self.member(1)
    }

    #[inline(always)]
    fn halves(&self) -> u32 {
        self.member(2)
    }

    #[inline(always)]
    fn rows(&self) -> u32 {
        self.member(3)
    }

    #[inline(always)]
    fn words(&self) -> u32 {
        self.member(4)
    }
}

/// The trie at an index.
pub(crate) struct ConstantTrie(pub(crate) usize);

impl ConstantTrie {
    #[inline(always)]
    fn member(&self, member: usize) -> u32 {
        self.wide_member(member) as u32
    }

    #[inline(always)]
    fn wide_member(&self, member: usize) -> u64 {
        wide(TRIE + self.0 * TRIE_LEN + member)
    }
}

impl TrieView for ConstantTrie {
    #[inline(always)]
    fn form(&self) -> u32 {
        self.member(0)
    }

    #[inline(always)]
    fn root(&self) -> u32 {
        self.member(1)
    }

    #[inline(always)]
    fn nodes(&self) -> u32 {
        self.member(2)
    }

    #[inline(always)]
    fn lists(&self) -> u32 {
        self.member(3)
    }

    #[inline(always)]
    fn lists_len(&self) -> u32 {
        self.member(4)
    }

    #[inline(always)]
    fn longest(&self) -> u32 {
        self.member(5)
    }

    #[inline(always)]
    fn is_longer(&self, than: u32) -> bool {
        self.wide_member(5) > than.into()
    }

    #[inline(always)]
    fn short(&self) -> u32 {
        self.member(6)
    }

    #[inline(always)]
    fn has_short(&self) -> bool {
        self.wide_member(6) != 0
    }

    #[inline(always)]
    fn trunk(&self) -> u32 {
        self.member(7)
    }

    #[inline(always)]
    fn has_trunk(&self) -> bool {
        self.wide_member(8) != 0
    }

    #[inline(always)]
    fn trunk_words(&self) -> u32 {
        self.member(8)
    }
}
