//! Diagnostics of the programs themselves, for the daemon's log: what they could not do, and how they came to judge.
//!
//! They go through aya-log, from a level on that the loader freezes: the verifier removes what is below it. This is no way to hear of
//! packets (events are), so there are few messages a second, whatever arrives.
//!
//! Each message is a global function, which the verifier checks once, and which has a stack of its own.

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use aya_log_ebpf::macro_support::{Level, level_enabled};
use aya_log_ebpf::{debug, trace, warn};
use portguard_common::abi::Bucket;
use portguard_common::classify::Judgement;
use portguard_common::limits::{ANSWERS_PER_SECOND, DIAGNOSTICS_PER_SECOND};

use crate::bucket;
use crate::tables::now_ns;

/// The bucket of messages.
#[map]
static DIAGNOSTICS: Array<Bucket> = Array::with_max_entries(1, 0);

/// Whether messages of a level are wanted by this object and its loader.
#[inline(always)]
fn is_wanted(level: Level) -> bool {
    crate::TELLS && level_enabled(level)
}

/// Takes one of the messages of this second.
#[inline(always)]
fn take_token() -> bool {
    portguard_take_diagnostic() != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_take_diagnostic() -> u32 {
    const INTERVAL_NS: u64 = 1_000_000_000 / DIAGNOSTICS_PER_SECOND;
    const TOLERANCE_NS: u64 = INTERVAL_NS * (DIAGNOSTICS_PER_SECOND - 1);
    match DIAGNOSTICS.get_ptr_mut(0) {
        Some(bucket) => bucket::take_token(bucket, now_ns(), INTERVAL_NS, TOLERANCE_NS).into(),
        None => 0,
    }
}

/// A rejected packet gets no answer, since the host has sent as many as it may.
#[inline(always)]
pub(crate) fn answers_used_up() {
    if is_wanted(Level::Warn) && take_token() {
        portguard_say_answers_used_up();
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_say_answers_used_up() -> u32 {
    warn!(
        (),
        "a rejected packet gets no answer: {} a second were sent", ANSWERS_PER_SECOND
    );
    0
}

/// A source under a limit finds no place of its own.
#[inline(always)]
pub(crate) fn no_place_for_source(limit: u32) {
    if is_wanted(Level::Warn) && take_token() {
        portguard_say_no_place(limit);
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_say_no_place(limit: u32) -> u32 {
    warn!(
        (),
        "a source finds no place in the table of limits: it shares the rule's bucket, number {}",
        limit
    );
    0
}

/// There is no place for a flow, so its replies are dropped.
#[inline(always)]
pub(crate) fn flow_not_kept() {
    if is_wanted(Level::Warn) && take_token() {
        portguard_say_flow_not_kept();
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_say_flow_not_kept() -> u32 {
    warn!(
        (),
        "a flow finds no place, since other processors take it each time: its replies are dropped"
    );
    0
}

/// The headers of a frame cannot be read.
#[inline(always)]
pub(crate) fn malformed(ifindex: u32, bytes: u64, reason: u32) {
    if is_wanted(Level::Debug) && take_token() {
        portguard_say_malformed(ifindex, bytes, reason);
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_say_malformed(ifindex: u32, bytes: u64, reason: u32) -> u32 {
    debug!(
        (),
        "interface {}: a frame of {} bytes is malformed, reason {}", ifindex, bytes, reason
    );
    0
}

/// A frame was judged.
#[inline(always)]
pub(crate) fn judged(ifindex: u32, bytes: u64, judgement: &Judgement) {
    if is_wanted(Level::Trace) && take_token() {
        portguard_say_judged(ifindex, bytes, judgement.counter, judgement.cell.into());
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_say_judged(ifindex: u32, bytes: u64, counter: u32, cell: u32) -> u32 {
    trace!(
        (),
        "interface {}: a frame of {} bytes comes to cell {}, and is counted at {}",
        ifindex,
        bytes,
        cell,
        counter
    );
    0
}
