//! Turning a rejected frame into its answer.
//!
//! A reset is written over the request. An ICMP or ICMPv6 error quotes the request where it lies: room is
//! made in front of it for the new headers. The link header stays what it was, but for the exchanged
//! addresses and the length field of PPPoE.
//!
//! Bytes move from place to place in the frame, a few at a time: the stack of a program has 512 bytes.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::{self, Setting};
use portguard_common::answer::{
    Answer, ICMP_BYTES, IPV4_BYTES, IPV6_BYTES, LINK_BYTES, Sum, TCP_BYTES, answer, ipv4_start,
    ipv6_start, ppp_protocol_bytes, pseudo_header,
};
use portguard_common::limits::{ANSWERS_PER_SECOND, QUOTE_BYTES};
use portguard_common::packet::{Family, Frame as _, Headers, OFFSET_MASK, protocol};
use portguard_common::word::Word;

use crate::constants::is_set;
use crate::diagnose;
use crate::frame::{Received, first_buffer_len, frame_len};
use crate::host;
use crate::other::portguard_read;

/// Answers a rejected frame if it may be answered, and drops it in silence otherwise. It looks at the headers anew,
/// so that it costs a frame that is not rejected nothing.
#[inline(always)]
pub(crate) fn reject(ctx: *mut xdp_md) -> u32 {
    portguard_answer(ctx, portguard_read(ctx))
}

/// A function of its own, since the stack is small, and a global one, which the verifier checks once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_answer(ctx: *mut xdp_md, word: u64) -> u32 {
    match turn_round(ctx, Word(word)) {
        Some(()) => XDP_TX,
        None => XDP_DROP,
    }
}

/// Makes the answer out of the frame. `None` is silence; the frame may have been changed by then, and is
/// good for nothing but to be dropped.
#[inline(always)]
fn turn_round(ctx: *mut xdp_md, word: Word) -> Option<()> {
    let xdp = XdpContext::new(ctx);
    let frame = Received::new(&xdp);
    // Headers beyond the first buffer of a frame of several are not worth the trouble.
    let headers = word.headers(&frame)?;
    let frame_bytes = if is_set(Setting::MultiBuffer) {
        frame_len(&xdp)
    } else {
        first_buffer_len(&xdp)
    } as u32;
    let answer = answer(&frame, &headers, frame_bytes)?;
    if !take_answer_token() {
        diagnose::answers_used_up();
        return None;
    }
    match headers.family {
        Family::V4 => turn_round_v4(ctx, frame, &headers, frame_bytes, answer),
        Family::V6 => turn_round_v6(ctx, frame, &headers, frame_bytes, answer),
    }
}

/// Takes one of the answers that the host may send.
#[inline(always)]
fn take_answer_token() -> bool {
    const INTERVAL_NS: u64 = 1_000_000_000 / ANSWERS_PER_SECOND;
    const TOLERANCE_NS: u64 = INTERVAL_NS * (ANSWERS_PER_SECOND - 1);
    host::take_token(abi::host::ANSWERS, INTERVAL_NS, TOLERANCE_NS)
}

#[inline(always)]
fn turn_round_v4(
    ctx: *mut xdp_md,
    frame: Received,
    headers: &Headers,
    frame_bytes: u32,
    answer: Answer,
) -> Option<()> {
    let at = headers.network_offset;
    let ends = Sum::default().with(frame.load::<8>(at + 12)?);
    match answer {
        Answer::Reset(reset) => {
            let sum = pseudo_header(ends, protocol::TCP, TCP_BYTES);
            let packet_bytes = IPV4_BYTES + TCP_BYTES;
            let frame = resize(ctx, frame_bytes, at + packet_bytes, 0)?;
            turn_link(&frame, 0, at, packet_bytes)?;
            exchange_v4(&frame, at, 0)?;
            frame.store(at, ipv4_start(ends, protocol::TCP, TCP_BYTES))?;
            frame.store(at + IPV4_BYTES, reset.segment(sum))
        }
        Answer::Unreachable(error) => {
            const ROOM: u32 = IPV4_BYTES + ICMP_BYTES;
            let sum = quote_sum(&frame, at, error.quote_bytes)?;
            let payload_bytes = ICMP_BYTES + error.quote_bytes;
            let frame = resize(ctx, frame_bytes, at + error.quote_bytes, ROOM)?;
            turn_link(&frame, ROOM, at, IPV4_BYTES + payload_bytes)?;
            exchange_v4(&frame, at, ROOM)?;
            frame.store(at, ipv4_start(ends, protocol::ICMP, payload_bytes))?;
            frame.store(at + IPV4_BYTES, error.message(sum))
        }
    }
}

#[inline(always)]
fn turn_round_v6(
    ctx: *mut xdp_md,
    frame: Received,
    headers: &Headers,
    frame_bytes: u32,
    answer: Answer,
) -> Option<()> {
    let at = headers.network_offset;
    let ends = Sum::default()
        .with(frame.load::<16>(at + 8)?)
        .with(frame.load::<16>(at + 24)?);
    match answer {
        Answer::Reset(reset) => {
            let sum = pseudo_header(ends, protocol::TCP, TCP_BYTES);
            let packet_bytes = IPV6_BYTES + TCP_BYTES;
            let frame = resize(ctx, frame_bytes, at + packet_bytes, 0)?;
            turn_link(&frame, 0, at, packet_bytes)?;
            exchange_v6(&frame, at, 0)?;
            frame.store(at, ipv6_start(protocol::TCP, TCP_BYTES))?;
            frame.store(at + IPV6_BYTES, reset.segment(sum))
        }
        Answer::Unreachable(error) => {
            const ROOM: u32 = IPV6_BYTES + ICMP_BYTES;
            let payload_bytes = ICMP_BYTES + error.quote_bytes;
            let sum = quote_sum(&frame, at, error.quote_bytes)?;
            let sum = sum.plus(pseudo_header(ends, protocol::ICMPV6, payload_bytes));
            let frame = resize(ctx, frame_bytes, at + error.quote_bytes, ROOM)?;
            turn_link(&frame, ROOM, at, IPV6_BYTES + payload_bytes)?;
            exchange_v6(&frame, at, ROOM)?;
            frame.store(at, ipv6_start(protocol::ICMPV6, payload_bytes))?;
            frame.store(at + IPV6_BYTES, error.message(sum))
        }
    }
}

/// The sum over what an error quotes.
#[inline(always)]
fn quote_sum(frame: &Received, network_offset: u32, quote_bytes: u32) -> Option<Sum> {
    let mut sum = Sum::default();
    let mut place = 0;
    while place < QUOTE_BYTES && place < quote_bytes {
        sum = sum.with(frame.load::<4>(network_offset + place)?);
        place += 4;
    }
    Some(sum)
}

/// Cuts the frame off after `keep` bytes, and makes `room` in front of it: what was at an offset is then that
/// much further behind.
#[inline(always)]
fn resize(ctx: *mut xdp_md, frame_bytes: u32, keep: u32, room: u32) -> Option<Received> {
    let more = (keep as i32).wrapping_sub(frame_bytes as i32);
    // SAFETY: the context is the one that the kernel passed in.
    if unsafe { bpf_xdp_adjust_tail(ctx, more) } != 0 {
        return None;
    }
    // SAFETY: as above.
    if room != 0 && unsafe { bpf_xdp_adjust_head(ctx, -(room as i32)) } != 0 {
        return None;
    }
    Some(Received::new(&XdpContext::new(ctx)))
}

/// Moves the link header from behind `room` to the frame's start, with its hardware addresses exchanged. The
/// longest is moved, whatever its length: what is too much lies where the new headers are written next.
#[inline(always)]
fn turn_link(frame: &Received, room: u32, network_offset: u32, packet_bytes: u32) -> Option<()> {
    let mut place = 0;
    while place < 6 {
        exchange::<2>(frame, place, place + 6, room)?;
        place += 2;
    }
    let mut place = 12;
    while room != 0 && place < LINK_BYTES {
        frame.store(place, frame.load::<2>(room + place)?)?;
        place += 2;
    }

    let [byte] = frame.load::<1>(before(network_offset, 1))?;
    let protocol_bytes = ppp_protocol_bytes(byte, network_offset);
    if protocol_bytes == 0 {
        return Some(());
    }
    let length = (packet_bytes + protocol_bytes) as u16;
    frame.store(
        before(network_offset, protocol_bytes + 2),
        length.to_be_bytes(),
    )
}

/// The offset so many bytes before another. The verifier does not know that there are so many, so the bound
/// is stated anew.
#[inline(always)]
fn before(offset: u32, bytes: u32) -> u32 {
    offset.wrapping_sub(bytes) & OFFSET_MASK
}

/// Writes the addresses of the IPv4 header at `at`: those of the request's header, which is `room` behind,
/// exchanged.
#[inline(always)]
fn exchange_v4(frame: &Received, at: u32, room: u32) -> Option<()> {
    exchange::<4>(frame, at + 12, at + 16, room)
}

/// As [`exchange_v4`], of an IPv6 header.
#[inline(always)]
fn exchange_v6(frame: &Received, at: u32, room: u32) -> Option<()> {
    let mut place = 0;
    while place < 16 {
        exchange::<4>(frame, at + 8 + place, at + 24 + place, room)?;
        place += 4;
    }
    Some(())
}

/// Writes to two places what is `room` behind the other.
#[inline(always)]
fn exchange<const N: usize>(frame: &Received, one: u32, other: u32, room: u32) -> Option<()> {
    let first = frame.load::<N>(room + one)?;
    let second = frame.load::<N>(room + other)?;
    frame.store(one, second)?;
    frame.store(other, first)
}
