//! Token buckets that all CPUs share, without a lock.
//!
//! `core` has no atomic read-modify-write for this target, so the three instructions (kernel 5.12 and
//! later) are written out.

use core::arch::asm;

use portguard_common::abi::Bucket;

/// Takes a token from `bucket` at `now_ns`, after refilling what is due.
///
/// The CPU that moves `refilled_ns` on is the one that adds the tokens of that time, so none is added
/// twice; a CPU that loses this race finds them added a moment later.
#[inline(always)]
pub(crate) fn take_token(bucket: *mut Bucket, now_ns: u64) -> bool {
    // SAFETY: the caller got the pointer from a map look-up, so all fields are mapped and aligned; they
    // are changed by the atomic instructions below alone.
    unsafe {
        let interval_ns = (&raw const (*bucket).interval_ns).read_volatile();
        let refilled_ns = (&raw const (*bucket).refilled_ns).read_volatile();
        let burst = (&raw const (*bucket).burst).read_volatile();
        let tokens = &raw mut (*bucket).tokens;
        if interval_ns == 0 {
            return false;
        }
        // A clock read on another CPU may be a little behind.
        let due = now_ns.saturating_sub(refilled_ns) / interval_ns;
        if due > 0 {
            let refilled = &raw mut (*bucket).refilled_ns;
            let until = refilled_ns + due * interval_ns;
            if compare_exchange(refilled, refilled_ns, until) == refilled_ns {
                let room = (burst as i64).wrapping_sub(tokens.read_volatile());
                let added = if (due as i64) < room {
                    due as i64
                } else {
                    room
                };
                fetch_add(tokens, added);
            }
        }
        if tokens.read_volatile() <= 0 {
            return false;
        }
        if fetch_add(tokens, -1) > 0 {
            return true;
        }
        // Another CPU took the last one in between: give back what was not there.
        fetch_add(tokens, 1);
        false
    }
}

/// Adds to `*target` and returns what it held before.
///
/// # Safety
///
/// `target` is an aligned pointer into a map element.
#[inline(always)]
unsafe fn fetch_add(target: *mut i64, value: i64) -> i64 {
    let mut register = value;
    // SAFETY: by the caller; the instruction touches these 8 bytes alone.
    unsafe {
        asm!(
            "{value} = atomic_fetch_add((u64 *)({target} + 0), {value})",
            target = in(reg) target,
            value = inout(reg) register,
        );
    }
    register
}

/// Stores `new` where `*target` is `expected`; returns what it held before.
///
/// # Safety
///
/// `target` is an aligned pointer into a map element.
#[inline(always)]
unsafe fn compare_exchange(target: *mut u64, expected: u64, new: u64) -> u64 {
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
