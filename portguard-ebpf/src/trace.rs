//! What a run leaves behind for `replay` and tests.
//!
//! A global function, so that the verifier checks a traced program little longer than one without.

use portguard_common::classify::Judgement;

use crate::tables::TRACE;

/// Leaves what was decided.
#[inline(always)]
pub(crate) fn leave(judgement: &Judgement) {
    let Judgement {
        counter,
        shadow,
        cell,
        beyond,
        ..
    } = *judgement;
    portguard_trace(counter, shadow, cell.into(), beyond);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_trace(counter: u32, shadow: u32, cell: u32, beyond: u32) -> u32 {
    if let Some(trace) = TRACE.get_ptr_mut(0) {
        // SAFETY: the kernel returned a pointer to the element. Only tests trace, one run at a time.
        unsafe {
            (*trace).counter = counter;
            (*trace).shadow = shadow;
            (*trace).cell = cell;
            (*trace).beyond = beyond;
        }
    }
    // The kernel calls no global function that gives nothing back.
    0
}
