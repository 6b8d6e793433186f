//! The program that sees what leaves, and remembers what this side started.

use core::ffi::c_void;

use aya_ebpf::bindings::{__sk_buff, TC_ACT_UNSPEC};
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use portguard_common::abi::{Action, Setting};
use portguard_common::classify::{Tables as _, forget_kind, service};
use portguard_common::combine::{Direction, find_cell};
use portguard_common::constant::CellView as _;
use portguard_common::flow::{CLOSED_NS, Flows as _, Sent, sent};
use portguard_common::flow_table::{self, Flow, FlowKey};
use portguard_common::last_sent::LastSent;
use portguard_common::packet::{Extension, Frame, Headers, Transport, parse};
use portguard_common::places::Line as _;
use portguard_common::plain::parse_plain;
use portguard_common::word::Word;

use crate::constants::is_set;
use crate::diagnose;
use crate::extension;
use crate::flows::{self, KernelFlowTable, KernelFlows};
use crate::frame::{FirstBuffer, conceal, forget};
use crate::lines::KernelLine;
use crate::tables::KernelTables;

/// Writing a time anew for every packet would make CPUs wait for each other: this is exact enough.
const REFRESH_NS: u64 = 1_000_000_000;

/// Entry point. It lets every packet go on to whatever else looks at what leaves. As in [`crate::other`], what is called
/// is a global function each, and one is over before the next is called, since the kernel's stack is small.
#[classifier]
fn portguard_egress(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    let mut remembered = portguard_remember_plain(skb);
    if remembered == NOT_PLAIN {
        let word = portguard_read_sent(skb);
        remembered = if Word(word).malformed().is_some() {
            // It may go on where it cannot be read directly.
            portguard_remember_in_parts(skb, portguard_read_sent_in_parts(skb))
        } else {
            portguard_remember(skb, word)
        };
    }
    if remembered == NOT_KEPT {
        diagnose::flow_not_kept();
    }
    TC_ACT_UNSPEC
}

/// There was nothing to remember, or it was.
const DONE: u32 = 0;
/// The packet is no plain one.
const NOT_PLAIN: u32 = 1;
/// There was no place for a flow that it starts.
const NOT_KEPT: u32 = 2;

/// Remembers what a plain packet does, or says that it is none. A function of its own because of the stack, too: kernels before 6.7 count that of
/// each function in steps of 32 bytes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_remember_plain(skb: *mut __sk_buff) -> u32 {
    let ctx = TcContext::new(skb);
    let frame = FirstBuffer::of_sent(&ctx);
    match parse_plain(&frame) {
        Some(headers) => remember(&ctx, &frame, &headers),
        None => NOT_PLAIN,
    }
}

/// Reads a packet as far as it can be read directly.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_read_sent(skb: *mut __sk_buff) -> u64 {
    let frame = FirstBuffer::of_sent(&TcContext::new(skb));
    Word::new(&parse(&frame)).0
}

/// Reads a whole packet.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_read_sent_in_parts(skb: *mut __sk_buff) -> u64 {
    Word::new(&parse(&AllParts::new(skb))).0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_remember(skb: *mut __sk_buff, word: u64) -> u32 {
    let ctx = &TcContext::new(skb);
    remember_word(ctx, &FirstBuffer::of_sent(ctx), Word(word))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_remember_in_parts(skb: *mut __sk_buff, word: u64) -> u32 {
    remember_word(&TcContext::new(skb), &AllParts::new(skb), Word(word))
}

/// What is not IP is not remembered.
#[inline(always)]
fn remember_word<F: Frame>(ctx: &TcContext, frame: &F, word: Word) -> u32 {
    match word.headers(frame) {
        Some(headers) => remember(ctx, frame, &headers),
        None => DONE,
    }
}

/// Does to the flows what a packet that leaves does to them. The answer is [`DONE`] or [`NOT_KEPT`]: the entry point tells of that, whose
/// stack has room for it.
#[inline(always)]
fn remember<F: Frame>(ctx: &TcContext, frame: &F, headers: &Headers) -> u32 {
    if headers.later_fragment {
        return DONE;
    }
    let now_ns = KernelFlows.now_ns();
    match sent(frame, headers, KernelFlows.seed()) {
        Sent::Nothing => {}
        Sent::Ends(key) => {
            if let Some(table) = KernelFlowTable::of(key) {
                flow_table::remove(&table, key);
            }
        }
        Sent::Starts(key) => return start(key, now_ns),
        Sent::Continues(key) => go_on(key, now_ns, false),
        Sent::Closes(key) => go_on(key, now_ns, true),
        Sent::Datagram(key) => {
            let closed_at = KernelFlows.closed_at(key.our_port());
            let is_closed = closed_at != 0 && now_ns.saturating_sub(closed_at) <= CLOSED_NS;
            if !is_closed && answer_is_dropped(ctx, frame, headers) {
                return start(key, now_ns);
            }
        }
    }
    DONE
}

/// Starts a flow, or starts it anew.
#[inline(always)]
fn start(key: FlowKey, now_ns: u64) -> u32 {
    let is_kept = match find(key) {
        Some((line, way)) => {
            let present = Flow::of_word(line.word(way));
            let is_recent = now_ns.saturating_sub(present.last_ns) < REFRESH_NS;
            if !is_recent || present.closing {
                line.set_word(way, Flow::sent_at(now_ns).word());
            }
            true
        }
        None => flows::add(key, now_ns),
    };
    flows::set_last_sent(key.index, now_ns);
    if is_kept { DONE } else { NOT_KEPT }
}

/// The place of a flow.
#[inline(always)]
fn find(key: FlowKey) -> Option<(KernelLine, u32)> {
    flow_table::find(&KernelFlowTable::of(key)?, key)
}

/// Goes on with a TCP flow, if there is one.
#[inline(always)]
fn go_on(key: FlowKey, now_ns: u64, closes: bool) {
    // A server's port, from which nothing was started, needs no look-up.
    if KernelFlows.last_sent(key.index) == LastSent::NEVER {
        return;
    }
    let Some((line, way)) = find(key) else {
        return;
    };
    let word = line.word(way);
    let present = Flow::of_word(word);
    if present.is_over(key.index, now_ns) {
        return;
    }
    let flow = Flow {
        last_ns: now_ns,
        closing: present.closing || closes,
    };
    if closes {
        line.set_word(way, flow.word());
    } else if now_ns.saturating_sub(present.last_ns) >= REFRESH_NS {
        // Unless another CPU sees its end at the same moment.
        line.replace_word(way, word, flow.word());
    } else {
        return;
    }
    flows::set_last_sent(key.index, now_ns);
}

/// Whether the policy would drop the answer to a packet, whatever else is going on.
#[inline(always)]
fn answer_is_dropped<F: Frame>(ctx: &TcContext, frame: &F, headers: &Headers) -> bool {
    let Transport::Ports { src, dst } = headers.transport() else {
        return false;
    };
    let answer = Headers {
        vlan: vlan(ctx, headers),
        fields: Transport::Ports { src: dst, dst: src }.into(),
        ..*headers
    };
    let tables = KernelTables {
        device: ctx.skb.skb,
    };
    let service = service(&answer, is_set(Setting::Essential));
    let (service, answer) = forget_kind(frame, service, &answer);
    let cell = find_cell(frame, &answer, service, Direction::Leaving, &tables);
    match tables.cell(cell).action() {
        Action::Drop | Action::Reject => true,
        Action::Pass | Action::Limit | Action::Trusted => false,
        Action::Undecided => !service.is_essential() && is_set(Setting::DefaultDrop),
    }
}

/// The VLAN of a packet whose tag may still be beside it, for the driver to write.
#[inline(always)]
fn vlan(ctx: &TcContext, headers: &Headers) -> u16 {
    // SAFETY: the context is the one that the kernel passed in.
    let (present, tag) = unsafe {
        let skb = ctx.skb.skb;
        ((*skb).vlan_present, (*skb).vlan_tci)
    };
    let id = tag as u16 & 0x0fff;
    if present != 0 && id != 0 {
        id
    } else {
        headers.vlan
    }
}

/// A whole packet, read through the kernel.
pub(crate) struct AllParts {
    skb: *mut __sk_buff,
}

impl AllParts {
    #[inline(always)]
    pub(crate) fn new(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }
}

impl Frame for AllParts {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let buffer = bytes.as_mut_ptr().cast::<c_void>();
        // SAFETY: the context is the one that the kernel passed in, the buffer has `N` bytes.
        let failed =
            unsafe { bpf_skb_load_bytes(self.skb.cast::<c_void>(), offset, buffer, N as u32) };
        (failed == 0).then_some(bytes)
    }

    #[inline(always)]
    fn forget(&self, offset: u32) -> u32 {
        // SAFETY: the context is the one that the kernel passed in.
        forget(unsafe { (*self.skb).ifindex }, offset)
    }

    #[inline(always)]
    fn forget_number(&self, number: u32) -> u32 {
        // SAFETY: as above.
        conceal(unsafe { (*self.skb).ifindex }, number)
    }
    #[inline(always)]
    fn extension(&self, protocol: u8, offset: u32, end: u32) -> Option<Extension> {
        extension::in_all_parts(self.skb, protocol, offset, end)
    }
}
