//! Atomic instructions, which `core` does not have for this target (kernel 5.12 and later).

use core::arch::asm;

/// Stores `new` where `*target` is `expected`; returns what it held before.
///
/// # Safety
///
/// `target` is an aligned pointer into a map element.
#[inline(always)]
pub(crate) unsafe fn compare_exchange(target: *mut u64, expected: u64, new: u64) -> u64 {
    let found;
    // SAFETY: by the caller; the instruction touches these 8 bytes and r0 alone.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({target} + 0, r0, {new})",
            target = in(reg) target,
            new = in(reg) new,
            inout("r0") expected => found,
        );
    }
    found
}
