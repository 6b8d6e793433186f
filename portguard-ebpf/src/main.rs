//! The kernel program: judges each frame at the XDP hook and counts it.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod answer;
mod atomic;
mod bans;
mod bucket;
mod constants;
mod count;
mod diagnose;
mod egress;
mod events;
mod extension;
mod flows;
mod frame;
mod host;
mod limiting;
mod lines;
mod other;
mod reply;
mod seed;
mod tables;
mod trace;
mod trial;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::{Setting, TELL_DIAGNOSTICS, TELL_EVENTS, TELL_TRACE, counter};
use portguard_common::classify::{self, Decided, Judgement, Verdict};
use portguard_common::constant;
use portguard_common::packet::{Frame, Headers};
use portguard_common::plain::{Plain, with_plain};

use crate::constants::{is_set, wide};
use crate::count::Slot;
use crate::frame::Received;
use crate::reply::InPlainFrame;
use crate::tables::{Arriving, Device, KernelTables, opaque};

/// Entry point where the kernel knows frames of several buffers (5.18 and later). The flag is part of
/// the program's identity: a link refuses a replacement that differs in it.
#[xdp(frags)]
#[inline(always)]
fn portguard(ctx: XdpContext) -> u32 {
    run(&ctx)
}

/// Entry point for older kernels, which refuse to load the other one.
#[xdp]
#[inline(always)]
fn portguard_linear(ctx: XdpContext) -> u32 {
    run(&ctx)
}

/// Whether this object tells drop events, and what its programs think. Where nobody asks for either, the daemon loads one that
/// knows nothing of them.
const TELLS: bool = matches!(env!("CARGO_BIN_NAME").as_bytes(), b"portguard");

/// Stands for an XDP action where the frame is rejected.
const REJECT: u32 = u32::MAX;

/// Judges in the cheapest way that does, and answers. The way of plain frames stands here: where the kernel guards its
/// returns from functions (`spec_rstack_overflow`, `retbleed`), two calls cost as much as all the rest. All that is called is
/// a global function, which the verifier checks once, and not for each way to its call.
#[inline(always)]
fn run(ctx: &XdpContext) -> u32 {
    let frame = &Received::new(ctx);
    let action = match with_plain(frame, &Judge(ctx.ctx)) {
        Some(action) => action,
        None => other::judge(ctx.ctx),
    };
    match action {
        // Likewise where no rule rejects.
        REJECT if is_set(Setting::Reject) => answer::reject(ctx.ctx),
        XDP_PASS => XDP_PASS,
        _ => XDP_DROP,
    }
}

/// Judges a plain frame.
struct Judge(*mut xdp_md);

impl Plain for Judge {
    type Output = u32;

    #[inline(always)]
    fn with<F: Frame>(&self, frame: &F, headers: &Headers) -> u32 {
        let tables = KernelTables {
            device: Arriving(self.0, InPlainFrame),
        };
        classify::classify_plain(frame, headers, &tables, &Enforce(self.0, &tables.device))
    }
}

/// Counts what was decided, tells it to whoever wants to know, and says what the kernel shall do.
struct Enforce<'d, D>(*mut xdp_md, &'d D);

impl<D: Device> Decided for Enforce<'_, D> {
    type Output = u32;

    #[inline(always)]
    fn decided(&self, judgement: &Judgement) -> u32 {
        let Self(ctx, device) = *self;
        let bytes = device.bytes();
        if let Some(slot) = Slot::of_this_cpu() {
            if is_set(Setting::Shadows) && judgement.shadow != counter::NONE {
                slot.count(judgement.shadow, bytes);
            }
            slot.count(judgement.counter, bytes);
            if judgement.drop != counter::NONE {
                slot.count_drop(judgement.drop, D::IS_PLAIN);
            }
        }
        let told = wide(constant::SETTING + Setting::Tell as usize);
        if told != 0 {
            // What follows the one question leaves nothing behind where the answer is no: the compiler must not ask again
            // before it.
            let told = opaque(told) as u32;
            if told & TELL_TRACE != 0 {
                trace::leave(judgement);
            }
            if TELLS && told & TELL_DIAGNOSTICS != 0 {
                diagnose::judged(tables::ifindex(device), bytes, judgement);
            }
            if TELLS && told & TELL_EVENTS != 0 && judgement.verdict != Verdict::Pass {
                let is_rejected = judgement.verdict == Verdict::Reject;
                events::tell(ctx, judgement.counter, is_rejected);
            }
        }
        match judgement.verdict {
            Verdict::Drop if is_set(Setting::Enforce) => XDP_DROP,
            Verdict::Reject if is_set(Setting::Enforce) => REJECT,
            Verdict::Drop | Verdict::Reject | Verdict::Pass => XDP_PASS,
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
