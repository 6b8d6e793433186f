//! Counting on this CPU: in a slot that is found by its number, or, where the kernel takes no map of so many slots, in pages that are looked
//! up.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use portguard_common::abi::{
    COUNTER_PAGE_LEN, Counter, CounterPage, DropPage, counted, counter, dropped, drops, slot,
};
use portguard_common::constant::{self, Memory};

use crate::atomic::compare_exchange;
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
        if are_pages() {
            if let Some(page) = COUNTERS.get_ptr_mut(index / COUNTER_PAGE_LEN as u32) {
                let place = index as usize % COUNTER_PAGE_LEN;
                // SAFETY: below the page's length by the remainder.
                count_in(unsafe { page.cast::<Counter>().add(place) }, bytes);
            }
        } else if index < counter::CELL {
            if let Some(index) = below(index, counter::CELL.into()) {
                count_in(nth(self.0, index), bytes);
            }
        } else if let Some(index) = below(index, wide(constant::COUNTERS)) {
            self.count_of_cell(index, bytes);
        }
    }

    /// The same of a cell or limit.
    #[inline(always)]
    fn count_of_cell(self, index: u64, bytes: u64) {
        const BEFORE: usize = counter::CELL as usize;
        let first = slot::CELLS - BEFORE * size_of::<u64>();
        let word: *mut u64 = nth(self.0 + first as u64, index);
        // SAFETY: as in `count_in`.
        let before = unsafe { *word };
        let mut after = counted::add(before, bytes);
        if counted::is_step(before, after) {
            let first =
                slot::steps(wide(constant::COUNTERS) as usize) - BEFORE * size_of::<Counter>();
            let steps: *mut Counter = nth(self.0 + first as u64, index);
            let packets = counted::packets(after);
            // SAFETY: likewise. Who reads meanwhile must see the step before the packets, and both before the word, on any processor: an
            // atomic instruction that returns what was there keeps what is before it and behind it apart.
            unsafe {
                let number = &raw mut (*steps).bytes;
                number.write_volatile(number.read_volatile() + 1);
                let all = &raw mut (*steps).packets;
                let earlier = all.read_volatile();
                compare_exchange(all, earlier, earlier + packets);
            }
            after -= packets;
        }
        // SAFETY: likewise.
        unsafe { word.write_volatile(after) };
    }

    /// Counts a drop by protocol and port, of a plain frame or another one.
    #[inline(always)]
    pub(crate) fn count_drop(self, index: u32, is_plain: bool) {
        if are_pages() {
            if let Some(page) = DROPS.get_ptr_mut(index >> 8) {
                // SAFETY: below the page's length by the mask, and otherwise as in `count_in`.
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
        // SAFETY: as in `count_in`.
        let dropped = unsafe { *lower }.wrapping_add(1);
        // SAFETY: likewise.
        unsafe { *lower = dropped };
        if dropped % dropped::STEP == 0 {
            let upper: *mut u64 = nth(self.0 + slot::UPPER_DROPS as u64, index);
            // SAFETY: likewise.
            unsafe { *upper += 1 };
        }
    }
}

/// Counts a frame of so many bytes in two numbers.
#[inline(always)]
fn count_in(counter: *mut Counter, bytes: u64) {
    // SAFETY: the pointer is to an element that nothing else of this CPU writes meanwhile, and no other CPU at all.
    unsafe {
        (*counter).packets += 1;
        (*counter).bytes += bytes;
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
