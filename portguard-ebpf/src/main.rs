//! The kernel program: judges each frame at the XDP hook and counts it.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod answer;
mod atomic;
mod bans;
mod bucket;
mod count;
mod egress;
mod flows;
mod frame;
mod limiting;
mod reply;
mod tables;
mod trial;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::{Setting, counter};
use portguard_common::classify::{self, Verdict};
use portguard_common::packet::{Frame, Headers, Unparsed, parse, parse_plain};

use crate::count::{count, count_drop};
use crate::frame::{AllBuffers, Received, first_buffer_len, frame_len};
use crate::tables::{Device, KernelTables, SeveralBuffers, TRACE, setting};

/// Entry point where the kernel knows frames of several buffers (5.18 and later). The flag is part of
/// the program's identity: a link refuses a replacement that differs in it.
#[xdp(frags)]
fn portguard(ctx: XdpContext) -> u32 {
    run(&ctx)
}

/// Entry point for older kernels, which refuse to load the other one.
#[xdp]
fn portguard_linear(ctx: XdpContext) -> u32 {
    run(&ctx)
}

/// Stands for an XDP action where the frame is rejected.
const REJECT: u32 = u32::MAX;
/// Likewise where what looks cut short may go on in the next buffer.
const GOES_ON: u32 = u32::MAX - 1;

/// Judges in the cheapest way that does, and answers. The way of plain frames stands here: where the kernel guards its
/// returns from functions (`spec_rstack_overflow`, `retbleed`), two calls cost as much as all the rest. The others are
/// functions of their own. Answers are made in this one place, since the verifier checks the making anew for each.
#[inline(always)]
fn run(ctx: &XdpContext) -> u32 {
    let frame = Received::new(ctx);
    let action = match parse_plain(&frame) {
        Some(headers) => act(ctx, ctx.ctx, &frame, &Ok(headers)),
        None => judge_other(ctx.ctx),
    };
    match action {
        // Likewise where no rule rejects.
        REJECT if setting(Setting::Reject) != 0 => answer::reject(ctx.ctx),
        XDP_PASS => XDP_PASS,
        _ => XDP_DROP,
    }
}

/// Judges a frame that is not plain.
#[inline(always)]
fn judge_other(ctx: *mut xdp_md) -> u32 {
    let action = judge_any(ctx);
    // The setting is asked here, so that the verifier removes what the kernel does not know.
    if action == GOES_ON && setting(Setting::MultiBuffer) != 0 {
        return judge_all_buffers(ctx);
    }
    action
}

/// Judges a frame by its first buffer.
#[inline(never)]
fn judge_any(ctx: *mut xdp_md) -> u32 {
    let ctx = &XdpContext::new(ctx);
    let frame = Received::new(ctx);
    // The two ways stay apart: what is known of the one is not even initialised in the other.
    match parse(&frame) {
        Ok(headers) => act(ctx, ctx.ctx, &frame, &Ok(headers)),
        Err(Unparsed::Malformed(_))
            if setting(Setting::MultiBuffer) != 0 && frame_len(ctx) > first_buffer_len(ctx) =>
        {
            GOES_ON
        }
        Err(unparsed) => act(ctx, ctx.ctx, &frame, &Err(unparsed)),
    }
}

/// Judges a frame of several buffers.
#[inline(never)]
fn judge_all_buffers(ctx: *mut xdp_md) -> u32 {
    let ctx = &XdpContext::new(ctx);
    let frame = AllBuffers::new(ctx.ctx);
    match parse(&frame) {
        Ok(headers) => act(ctx, SeveralBuffers(ctx.ctx), &frame, &Ok(headers)),
        Err(unparsed) => act(ctx, SeveralBuffers(ctx.ctx), &frame, &Err(unparsed)),
    }
}

/// Decides, counts, and says what the kernel shall do.
#[inline(always)]
fn act<F: Frame, D: Device>(
    ctx: &XdpContext,
    device: D,
    frame: &F,
    parsed: &Result<Headers, Unparsed>,
) -> u32 {
    let bytes = if setting(Setting::CountAllBuffers) != 0 {
        frame_len(ctx)
    } else {
        first_buffer_len(ctx)
    };
    let tables = KernelTables { device, bytes };
    let judgement = classify::judge(frame, parsed, &tables);

    if judgement.shadow != counter::NONE {
        count(judgement.shadow, bytes);
    }
    count(judgement.counter, bytes);
    if judgement.drop != counter::NONE {
        count_drop(judgement.drop);
    }
    if setting(Setting::Trace) != 0
        && let Some(trace) = TRACE.get_ptr_mut(0)
    {
        // SAFETY: the kernel returned a pointer to the element. Only tests trace, one run at a time.
        unsafe {
            (*trace).counter = judgement.counter;
            (*trace).shadow = judgement.shadow;
            (*trace).cell = judgement.cell.into();
            (*trace).beyond = judgement.beyond;
        }
    }
    match judgement.verdict {
        Verdict::Drop if setting(Setting::Enforce) != 0 => XDP_DROP,
        Verdict::Reject if setting(Setting::Enforce) != 0 => REJECT,
        Verdict::Drop | Verdict::Reject | Verdict::Pass => XDP_PASS,
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
