//! Looking up whether a packet that is about to be dropped is a reply.
//!
//! A plain frame tells its addresses and ports where it is judged, and only its flow is looked up in a function. Others are read in a
//! function, too, since the kernel's stack of 512 bytes is small: what it is told fits a few numbers. They are global functions, which the
//! verifier checks once and not for each way to come to their call.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use portguard_common::flow::{Candidate, Flows as _, ends_of_ports, fits_flow, last_sent};
use portguard_common::last_sent::LastSent;
use portguard_common::packet::{Family, Frame};

use crate::flows::{KernelFlows, last_sent_by_plain};
use crate::frame::{AllBuffers, Received};

/// A way to find out whether a packet that is about to be dropped is a reply.
pub(crate) trait ReplyLookup {
    /// Whether it is by a plain frame.
    const IS_PLAIN: bool = false;

    /// Finds it out, of a packet in a frame of this context.
    fn is_reply<F: Frame>(&self, ctx: *mut xdp_md, frame: &F, packet: &Candidate) -> bool;
}

/// By a plain frame.
pub(crate) struct InPlainFrame;

impl ReplyLookup for InPlainFrame {
    const IS_PLAIN: bool = true;

    #[inline(always)]
    fn is_reply<F: Frame>(&self, _ctx: *mut xdp_md, frame: &F, packet: &Candidate) -> bool {
        // Asked here, so that a flood to ports from which nothing was sent costs no call.
        let last_sent = last_sent_by_plain(packet.local_port);
        if last_sent == LastSent::NEVER {
            return false;
        }
        ends_of_ports(frame, packet, packet.local_port, KernelFlows.seed())
            .is_some_and(|ends| KernelFlows.has_flow(&ends, last_sent))
    }
}

/// By a frame whose headers may lie in any of its buffers.
pub(crate) struct InAllBuffers;

impl ReplyLookup for InAllBuffers {
    #[inline(always)]
    fn is_reply<F: Frame>(&self, ctx: *mut xdp_md, _frame: &F, packet: &Candidate) -> bool {
        look_up(packet, |kind, offsets, last_sent| {
            portguard_is_reply_in_parts(ctx, kind, offsets, last_sent)
        })
    }
}

#[inline(always)]
pub(crate) fn in_first_buffer(ctx: *mut xdp_md, packet: &Candidate) -> bool {
    look_up(packet, |kind, offsets, last_sent| {
        portguard_is_reply(ctx, kind, offsets, last_sent)
    })
}

/// Asks a function that reads the frame, of a packet from whose port something was sent.
#[inline(always)]
fn look_up(packet: &Candidate, is_reply: impl FnOnce(u32, u32, u32) -> u32) -> bool {
    let Some(last_sent) = last_sent(packet, &KernelFlows) else {
        return false;
    };
    let (kind, offsets) = pack(packet);
    is_reply(kind, offsets, last_sent.byte().into()) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_is_reply(ctx: *mut xdp_md, kind: u32, offsets: u32, last_sent: u32) -> u32 {
    let frame = Received::new(&XdpContext::new(ctx));
    fits_flow_of(&frame, kind, offsets, last_sent)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_is_reply_in_parts(
    ctx: *mut xdp_md,
    kind: u32,
    offsets: u32,
    last_sent: u32,
) -> u32 {
    fits_flow_of(&AllBuffers::new(ctx), kind, offsets, last_sent)
}

#[inline(always)]
fn fits_flow_of<F: Frame>(frame: &F, kind: u32, offsets: u32, last_sent: u32) -> u32 {
    let packet = unpack(frame, kind, offsets);
    let last_sent = LastSent::of_byte(last_sent as u8);
    fits_flow(frame, &packet, last_sent, &KernelFlows).into()
}

#[inline(always)]
fn pack(packet: &Candidate) -> (u32, u32) {
    let is_v6 = u32::from(packet.family == Family::V6);
    (
        u32::from(packet.protocol) << 1 | is_v6,
        packet.network_offset << 16 | packet.transport_offset,
    )
}

#[inline(always)]
fn unpack<F: Frame>(frame: &F, kind: u32, offsets: u32) -> Candidate {
    Candidate {
        family: if kind & 1 == 0 {
            Family::V4
        } else {
            Family::V6
        },
        protocol: (kind >> 1) as u8,
        local_port: Candidate::ANY_PORT,
        network_offset: frame.forget(offsets >> 16),
        transport_offset: frame.forget(offsets & 0xffff),
    }
}
