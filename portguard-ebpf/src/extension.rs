//! Reading an extension header of IPv6: in functions of their own, and global ones, so that the verifier follows the ways through
//! one header once, and not for each header after each.

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::programs::{TcContext, XdpContext};
use portguard_common::packet::{Extension, Frame, OFFSET_MASK, extension};

use crate::egress::AllParts;
use crate::frame::{AllBuffers, FirstBuffer, Received};

/// Where a frame is read whose extension headers are walked.
pub(crate) trait Walk {
    /// The extension header of a protocol at an offset, as [`extension`] reads it.
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension>;
}

impl Walk for *mut xdp_md {
    #[inline(always)]
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension> {
        unpack(portguard_extension(*self, protocol.into(), offset, end))
    }
}

impl Walk for *mut __sk_buff {
    #[inline(always)]
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension> {
        unpack(portguard_extension_sent(
            *self,
            protocol.into(),
            offset,
            end,
        ))
    }
}

/// The same of all buffers of a frame that arrives.
#[inline(always)]
pub(crate) fn in_all_buffers(
    ctx: *mut xdp_md,
    protocol: u8,
    offset: u32,
    end: u32,
) -> Option<Extension> {
    unpack(portguard_extension_in_parts(
        ctx,
        protocol.into(),
        offset,
        end,
    ))
}

/// The same of all parts of a packet that leaves.
#[inline(always)]
pub(crate) fn in_all_parts(
    skb: *mut __sk_buff,
    protocol: u8,
    offset: u32,
    end: u32,
) -> Option<Extension> {
    unpack(portguard_extension_sent_in_parts(
        skb,
        protocol.into(),
        offset,
        end,
    ))
}

#[inline(always)]
fn unpack(word: u64) -> Option<Extension> {
    (word != NONE).then(|| Extension::unpack(word))
}

/// Stands for no header: no header ends where the frame begins.
const NONE: u64 = 0;

#[inline(always)]
fn read<F: Frame>(frame: &F, protocol: u32, offset: u32, end: u32) -> u64 {
    match extension(frame, protocol as u8, offset & OFFSET_MASK, end) {
        Some(extension) => extension.pack(),
        None => NONE,
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_extension(ctx: *mut xdp_md, protocol: u32, offset: u32, end: u32) -> u64 {
    read(&Received::new(&XdpContext::new(ctx)), protocol, offset, end)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_extension_in_parts(
    ctx: *mut xdp_md,
    protocol: u32,
    offset: u32,
    end: u32,
) -> u64 {
    read(&AllBuffers::new(ctx), protocol, offset, end)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_extension_sent(
    skb: *mut __sk_buff,
    protocol: u32,
    offset: u32,
    end: u32,
) -> u64 {
    read(
        &FirstBuffer::of_sent(&TcContext::new(skb)),
        protocol,
        offset,
        end,
    )
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_extension_sent_in_parts(
    skb: *mut __sk_buff,
    protocol: u32,
    offset: u32,
    end: u32,
) -> u64 {
    read(&AllParts::new(skb), protocol, offset, end)
}
