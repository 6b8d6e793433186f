//! Counting on this CPU.

use portguard_common::abi::{COUNTER_PAGE_LEN, Counter};

use crate::tables::{COUNTERS, DROPS};

/// Counts a frame of so many bytes.
#[inline(always)]
pub(crate) fn count(index: u32, bytes: u64) {
    let page = index / COUNTER_PAGE_LEN as u32;
    let place = index as usize % COUNTER_PAGE_LEN;
    if let Some(page) = COUNTERS.get_ptr_mut(page) {
        // SAFETY: the pointer is to this CPU's element, which nothing else writes meanwhile, and `place` is below the page's
        // length by the remainder above.
        unsafe {
            let counter = page.cast::<Counter>().add(place);
            (*counter).packets += 1;
            (*counter).bytes += bytes;
        }
    }
}

/// Counts a drop by protocol and port.
#[inline(always)]
pub(crate) fn count_drop(index: u32) {
    if let Some(page) = DROPS.get_ptr_mut(index >> 8) {
        // SAFETY: as in `count`; the place is below 256 by the mask.
        unsafe {
            *page.cast::<u64>().add((index & 0xff) as usize) += 1;
        }
    }
}
