//! The kernel program: judges each frame at the XDP hook and counts it.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod frame;
mod tables;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::{COUNTER_PAGE_LEN, Counter, Setting, Trace, counter};
use portguard_common::classify::{self, Tables as _, Verdict};
use portguard_common::packet::{Headers, Unparsed, parse, parse_plain};

use crate::frame::{AllBuffers, FirstBuffer, first_buffer_len, frame_len};
use crate::tables::{COUNTERS, DROPS, KernelTables, TRACE};

/// Entry point where the kernel knows frames of several buffers (5.18 and later). The flag is part of
/// the program's identity: a link refuses a replacement that differs in it.
#[xdp(frags)]
fn portguard(ctx: XdpContext) -> u32 {
    judge(&ctx)
}

/// Entry point for older kernels, which refuse to load the other one.
#[xdp]
fn portguard_linear(ctx: XdpContext) -> u32 {
    judge(&ctx)
}

#[inline(always)]
fn judge(ctx: &XdpContext) -> u32 {
    match parse_plain(&FirstBuffer::new(ctx)) {
        Some(headers) => act(ctx, &Ok(headers)),
        None => judge_any(ctx.ctx),
    }
}

/// Judges a frame that is not plain. A function of its own, so that the code of plain frames stays
/// small.
#[inline(never)]
fn judge_any(ctx: *mut xdp_md) -> u32 {
    let ctx = &XdpContext::new(ctx);
    let parsed = parse(&FirstBuffer::new(ctx));
    if let Err(Unparsed::Malformed(_)) = parsed
        && KernelTables.setting(Setting::MultiBuffer) != 0
        && frame_len(ctx) > first_buffer_len(ctx)
    {
        // What looks cut short may go on in the next buffer.
        return judge_all_buffers(ctx.ctx);
    }
    act(ctx, &parsed)
}

/// Judges a frame of several buffers. A function of its own, since the loads through the kernel would
/// otherwise stand in the way of every frame.
#[inline(never)]
fn judge_all_buffers(ctx: *mut xdp_md) -> u32 {
    act(&XdpContext::new(ctx), &parse(&AllBuffers::new(ctx)))
}

/// Decides, counts, and says what the kernel shall do.
#[inline(always)]
fn act(ctx: &XdpContext, parsed: &Result<Headers, Unparsed>) -> u32 {
    let judgement = classify::judge(parsed, &KernelTables);
    let bytes = if KernelTables.setting(Setting::CountAllBuffers) != 0 {
        frame_len(ctx)
    } else {
        first_buffer_len(ctx)
    };

    if judgement.shadow != counter::NONE {
        count(judgement.shadow, bytes);
    }
    count(judgement.counter, bytes);
    if judgement.verdict == Verdict::Drop && judgement.drop != counter::NONE {
        count_drop(judgement.drop);
    }
    if KernelTables.setting(Setting::Trace) != 0
        && let Some(trace) = TRACE.get_ptr_mut(0)
    {
        // SAFETY: the kernel returned a pointer to the element. Only tests trace, one run at a time.
        unsafe {
            *trace = Trace {
                counter: judgement.counter,
                shadow: judgement.shadow,
            };
        }
    }
    match judgement.verdict {
        Verdict::Drop if KernelTables.setting(Setting::Enforce) != 0 => XDP_DROP,
        Verdict::Drop | Verdict::Pass => XDP_PASS,
    }
}

#[inline(always)]
fn count(index: u32, bytes: u64) {
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

#[inline(always)]
fn count_drop(index: u32) {
    if let Some(page) = DROPS.get_ptr_mut(index >> 8) {
        // SAFETY: as in `count`; the place is below 256 by the mask.
        unsafe {
            *page.cast::<u64>().add((index & 0xff) as usize) += 1;
        }
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier accepts no program in which this could be reached.
    loop {}
}

/// Some helpers are open to programs under the GPL alone.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
