//! Counting on this CPU: in a slot that is found by its number, or, where the kernel takes no map of so many slots, in pages that are looked
//! up.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use portguard_common::abi::{
    COUNTER_PAGE_LEN, Counter, CounterPage, DropPage, counter, dropped, drops, slot,
};
use portguard_common::constant::{self, Memory};

use crate::constants::{address, below, wide, within};
use crate::tables::opaque;

// Both are sized by the loader.

#[map]
static COUNTERS: PerCpuArray<CounterPage> = PerCpuArray::with_max_entries(1, 0);

#[map]
static DROPS: PerCpuArray<DropPage> = PerCpuArray::with_max_entries(1, 0);

/// The address of a slot; 0 where CPUs count in pages.
#[derive(Clone, Copy)]
pub(crate) struct Slot(u64);

impl Slot {
    /// Where this CPU counts.
    #[inline(always)]
    pub(crate) fn of_this_cpu() -> Option<Self> {
        if are_pages() {
            return Some(Self(0));
        }
        // SAFETY: a helper without arguments, in every kernel since 4.1; from 6.10 on the verifier makes a load of it.
        let number = unsafe { bpf_get_smp_processor_id() };
        // There is one for each CPU, which the verifier does not know.
        let number = below(number, wide(constant::SLOTS))?;
        Some(Self(
            address(Memory::Slots) + number * wide(constant::SLOT_BYTES),
        ))
    }

    /// Counts a frame of so many bytes.
    #[inline(always)]
    pub(crate) fn count(self, index: u32, bytes: u64) {
        let Some(counter) = self.counter(index) else {
            return;
        };
        // SAFETY: the pointer is to an element that nothing else of this CPU writes meanwhile, and no other CPU at all.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += bytes;
        }
    }

    /// Counts a drop by protocol and port, of a plain frame or another one.
    #[inline(always)]
    pub(crate) fn count_drop(self, index: u32, is_plain: bool) {
        if are_pages() {
            if let Some(page) = DROPS.get_ptr_mut(index >> 8) {
                // SAFETY: below the page's length by the mask, and otherwise as in `count`.
                unsafe { *page.cast::<u64>().add((index & 0xff) as usize) += 1 };
            }
            return;
        }
        let Some(index) = within(index, drops::LEN, is_plain) else {
            return;
        };
        // Computed by itself, and the constant added last: it is a part of the instructions that read and write.
        let bytes = opaque(index * size_of::<u16>() as u64);
        let lower = (self.0 + bytes + slot::DROPS as u64) as *mut u16;
        // SAFETY: as in `count`.
        let dropped = unsafe { *lower }.wrapping_add(1);
        // SAFETY: likewise.
        unsafe { *lower = dropped };
        if dropped % dropped::STEP == 0 {
            let upper: *mut u64 = nth(self.0 + slot::UPPER_DROPS as u64, index);
            // SAFETY: likewise.
            unsafe { *upper += 1 };
        }
    }

    #[inline(always)]
    fn counter(self, index: u32) -> Option<*mut Counter> {
        if are_pages() {
            let page = COUNTERS.get_ptr_mut(index / COUNTER_PAGE_LEN as u32)?;
            // SAFETY: below the page's length by the remainder.
            return Some(unsafe {
                page.cast::<Counter>()
                    .add(index as usize % COUNTER_PAGE_LEN)
            });
        }
        if index < counter::CELL {
            return Some(nth(self.0, below(index, counter::CELL.into())?));
        }
        let index = below(index, wide(constant::COUNTERS))?;
        Some(nth(self.0 + (slot::CELLS - slot::DROPS) as u64, index))
    }
}

/// The address of one of many from an address on.
#[inline(always)]
const fn nth<T>(first: u64, index: u64) -> *mut T {
    (first + index * size_of::<T>() as u64) as *mut T
}

#[inline(always)]
fn are_pages() -> bool {
    wide(constant::SLOTS) == 0
}
