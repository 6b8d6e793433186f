//! Telling of a frame that is dropped, or would be: how many are told the daemon says, by handing out credits.
//!
//! There is no clock here. A word for each group of outcomes says how many events it may still tell; the daemon writes these words
//! anew several times a second while there is something to tell. What is not told is counted.

use core::ffi::c_void;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{
    bpf_ktime_get_boot_ns, bpf_probe_read_kernel, bpf_ringbuf_output, bpf_xdp_load_bytes,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray, RingBuf};
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::{
    EVENT_COUNTS_PER_PAGE, EventCount, EventCountPage, EventHeader, EventRecord, HALVES, Setting,
    TELL_EVENTS, credit, event_group,
};
use portguard_common::limits::{EVENT_RING_BYTES, SNAP_MAX};

use crate::atomic::compare_exchange;
use crate::constants::{is_set, setting};
use crate::frame::{first_buffer_len, frame_len};
use crate::tables::{ifindex, opaque, time_of};

/// How often to try when other CPUs take credits of the same group at the same moment.
const TRIES: u32 = 16;

/// Generations share it.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_RING_BYTES, 0);

// Sized by the loader.

/// The group of each counter, see [`event_group`].
#[map]
static EVENT_GROUPS: Array<[u16; HALVES]> = Array::with_max_entries(1, 0);

/// Words by [`credit`].
#[map]
static EVENT_CREDITS: Array<u64> = Array::with_max_entries(1, 0);

#[map]
static EVENT_COUNTS: PerCpuArray<EventCountPage> = PerCpuArray::with_max_entries(1, 0);

/// Where a record is put together: too large for the stack, and a reservation in the ring would have a fixed size.
#[map]
static EVENT_SCRATCH: PerCpuArray<EventRecord> = PerCpuArray::with_max_entries(1, 0);

/// Tells of a frame that was counted there. A verdict never depends on what becomes of this.
#[inline(always)]
pub(crate) fn tell(ctx: *mut xdp_md, counter: u32, is_rejected: bool) {
    portguard_tell(ctx, counter, is_rejected.into());
}

/// A global function, which the verifier checks once and not for each way to come to its call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_tell(ctx: *mut xdp_md, counter: u32, is_rejected: u32) -> u32 {
    // Kernels before 6.8 keep this function also where nothing calls it: hardly any of it, then.
    if setting(Setting::Tell) & TELL_EVENTS == 0 {
        return 0;
    }
    let Some(group) = group(counter) else {
        return 0;
    };
    let Some(page) = EVENT_COUNTS.get_ptr_mut(group / EVENT_COUNTS_PER_PAGE as u32) else {
        return 0;
    };
    let place = group as usize % EVENT_COUNTS_PER_PAGE;
    // SAFETY: the pointer is to this CPU's element, and the place is below the page's length by the remainder.
    let count = unsafe { &mut *page.cast::<EventCount>().add(place) };
    if !take_credit(group) {
        count.suppressed += 1;
    } else if emit(ctx, counter, is_rejected) {
        count.emitted += 1;
    } else {
        count.lost += 1;
    }
    1
}

/// The group of an outcome; `None` if nothing is told of it.
#[inline(always)]
fn group(counter: u32) -> Option<u32> {
    const PER_PAGE: u32 = HALVES as u32;
    let page = EVENT_GROUPS.get_ptr(counter / PER_PAGE)?;
    // SAFETY: the place is below the page's length by the remainder. Nothing writes to it after the loader.
    let entry = unsafe { *page.cast::<u16>().add((counter % PER_PAGE) as usize) };
    u32::from(entry).checked_sub(event_group::FIRST_ENTRY)
}

/// Whether one more event of a group may be told.
#[inline(always)]
fn take_credit(group: u32) -> bool {
    let Some(word) = EVENT_CREDITS.get_ptr_mut(credit::GROUPS + group) else {
        return false;
    };
    let (Some(pool), Some(reserve)) = (
        EVENT_CREDITS.get_ptr_mut(credit::POOL),
        EVENT_CREDITS.get_ptr(credit::RESERVE),
    ) else {
        return false;
    };
    for _ in 0..TRIES {
        // SAFETY: the kernel returned pointers to the elements. Volatile, since others write them meanwhile.
        let (found, there, reserve) = unsafe {
            (
                word.read_volatile(),
                pool.read_volatile(),
                reserve.read_volatile(),
            )
        };
        let next = match found {
            credit::USED_UP => return false,
            // As long as there is enough for all, whoever comes takes of it.
            credit::NEWCOMER if there > reserve => return take_of_pool(pool),
            // Then each newcomer gets one, so that a flood of one hides no other.
            credit::NEWCOMER => credit::USED_UP,
            left => left - 1,
        };
        // SAFETY: as above.
        if unsafe { compare_exchange(word, found, next) } == found {
            return found != credit::NEWCOMER || take_of_pool(pool);
        }
    }
    false
}

#[inline(always)]
fn take_of_pool(pool: *mut u64) -> bool {
    for _ in 0..TRIES {
        // SAFETY: the caller got the pointer from a map look-up.
        let there = unsafe { pool.read_volatile() };
        if there == 0 {
            return false;
        }
        // SAFETY: as above.
        if unsafe { compare_exchange(pool, there, there - 1) } == there {
            return true;
        }
    }
    false
}

/// Puts a record into the ring; `false` if there is no room.
#[inline(always)]
fn emit(ctx: *mut xdp_md, counter: u32, is_rejected: u32) -> bool {
    let Some(record) = EVENT_SCRATCH.get_ptr_mut(0) else {
        return false;
    };
    let context = &XdpContext::new(ctx);
    let length = if is_set(Setting::MultiBuffer) {
        frame_len(context)
    } else {
        first_buffer_len(context)
    };
    let mut flags = 0;
    if !is_set(Setting::Enforce) {
        flags |= EventHeader::NOT_ENFORCED;
    }
    if is_rejected != 0 {
        flags |= EventHeader::REJECTED;
    }
    let captured = capture(ctx, record, length);
    let header = EventHeader {
        // SAFETY: a helper without arguments (kernel 5.8).
        time_ns: time_of(|| unsafe { bpf_ktime_get_boot_ns() }),
        generation: setting(Setting::Generation),
        ifindex: ifindex(&ctx),
        frame_len: length as u32,
        captured_len: captured as u32,
        counter,
        flags,
    };
    // SAFETY: the record is this CPU's own, and nothing else is at work on it meanwhile.
    unsafe { (&raw mut (*record).header).write(header) };
    let size = size_of::<EventHeader>() as u64 + captured;
    // SAFETY: a ring, and as many bytes of a map element, which the verifier checks.
    let failed = unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast::<c_void>(),
            record.cast::<c_void>(),
            size,
            0,
        )
    };
    failed == 0
}

/// Copies the first bytes of a frame into a record; returns how many.
#[inline(always)]
fn capture(ctx: *mut xdp_md, record: *mut EventRecord, length: u64) -> u64 {
    let most = u64::from(setting(Setting::SnapBytes));
    let bytes = if length < most { length } else { most };
    // The verifier must see both bounds on the very register that is passed. One comparison shows both: before 6.8 it learns
    // nothing of a number that is not 0.
    let all_but_one = opaque(bytes.wrapping_sub(1));
    if all_but_one >= u64::from(SNAP_MAX) {
        return 0;
    }
    let bytes = all_but_one + 1;
    // SAFETY: a place in a map element.
    let target = unsafe { (&raw mut (*record).bytes).cast::<c_void>() };
    let failed = if is_set(Setting::MultiBuffer) {
        // SAFETY: the context is the one that the kernel passed in; the target has `SNAP_MAX` bytes.
        unsafe { bpf_xdp_load_bytes(ctx, 0, target, bytes as u32) }
    } else {
        let data = XdpContext::new(ctx).data() as *const c_void;
        // SAFETY: the first buffer has `bytes` bytes; the helper checks the address itself (kernel 5.5).
        unsafe { bpf_probe_read_kernel(target, bytes as u32, data) }
    };
    if failed == 0 { bytes } else { 0 }
}
