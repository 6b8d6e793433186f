//! Frames that are not plain: tagged, with options or extension headers, in fragments, of other protocols, malformed, not IP.
//!
//! Reading and judging are functions of their own, and global ones: the verifier checks each by itself. What was read goes from one to the
//! other as a number, so that not every way through the parser is followed by every way of judging.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::Setting;
use portguard_common::classify::{self, Decided as _};
use portguard_common::packet::{Frame, parse};
use portguard_common::word::Word;

use crate::Enforce;
use crate::constants::is_set;
use crate::diagnose;
use crate::frame::{AllBuffers, Received, first_buffer_len, frame_len};
use crate::reply::InAllBuffers;
use crate::tables::{Arriving, Device, KernelTables, ifindex};

/// Judges a frame that is not plain.
#[inline(always)]
pub(crate) fn judge(ctx: *mut xdp_md) -> u32 {
    let word = portguard_read(ctx);
    // What looks cut short may go on in the next buffer. The setting is asked here, so that the verifier removes what the
    // kernel does not know.
    if is_set(Setting::MultiBuffer) && Word(word).malformed().is_some() {
        let xdp = &XdpContext::new(ctx);
        if frame_len(xdp) > first_buffer_len(xdp) {
            return portguard_judge_in_parts(ctx, portguard_read_in_parts(ctx));
        }
    }
    portguard_judge(ctx, word)
}

/// Reads a frame by its first buffer.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn portguard_read(ctx: *mut xdp_md) -> u64 {
    let frame = Received::new(&XdpContext::new(ctx));
    Word::new(&parse(&frame)).0
}

/// Reads a frame of several buffers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_read_in_parts(ctx: *mut xdp_md) -> u64 {
    Word::new(&parse(&AllBuffers::new(ctx))).0
}

/// Judges what was read by the first buffer.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_judge(ctx: *mut xdp_md, word: u64) -> u32 {
    let xdp = &XdpContext::new(ctx);
    judge_word(xdp, ctx, &Received::new(xdp), Word(word))
}

/// Judges what was read of several buffers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_judge_in_parts(ctx: *mut xdp_md, word: u64) -> u32 {
    let xdp = &XdpContext::new(ctx);
    judge_word(
        xdp,
        Arriving(ctx, InAllBuffers),
        &AllBuffers::new(ctx),
        Word(word),
    )
}

#[inline(always)]
fn judge_word<D: Device, F: Frame>(ctx: &XdpContext, device: D, frame: &F, word: Word) -> u32 {
    let tables = KernelTables { device };
    let enforce = Enforce(ctx.ctx, &tables.device);
    if let Some(reason) = word.malformed() {
        let device = &tables.device;
        diagnose::malformed(ifindex(device), device.bytes(), reason);
        enforce.decided(&classify::malformed(reason, &tables))
    } else if let Some(keeps_link) = word.not_ip() {
        enforce.decided(&classify::not_ip(keeps_link, &tables))
    } else if let Some(headers) = word.headers(frame) {
        classify::classify(frame, &headers, &tables, &enforce)
    } else {
        // The frame has not changed since it was read.
        enforce.decided(&classify::not_ip(false, &tables))
    }
}
