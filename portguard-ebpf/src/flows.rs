//! The flows that this side started, in maps that outlive a generation.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};
use portguard_common::abi::{Flow, FlowKey, TIMES, TimePage};
use portguard_common::flow::Flows;

use crate::tables::coarse_now_ns;

// All are sized by the loader.

#[map]
static TCP_FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(1, 0);

#[map]
static DATAGRAM_FLOWS: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(1, 0);

#[map]
static LAST_SENT: Array<u64> = Array::with_max_entries(1, 0);

#[map]
static CLOSED_PORTS: Array<TimePage> = Array::with_max_entries(1, 0);

pub(crate) struct KernelFlows;

impl Flows for KernelFlows {
    /// Flows last seconds and more, so the clock of the last timer tick will do.
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        coarse_now_ns()
    }

    #[inline(always)]
    fn last_sent(&self, index: u32) -> u64 {
        LAST_SENT.get(index).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn closed_at(&self, port: u16) -> u64 {
        match CLOSED_PORTS.get_ptr(u32::from(port) / TIMES as u32) {
            // SAFETY: the place is below the page's length by the remainder.
            Some(page) => unsafe {
                page.cast::<u64>()
                    .add(usize::from(port) % TIMES)
                    .read_volatile()
            },
            None => 0,
        }
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<Flow> {
        // SAFETY: the value is read at once; one that is overwritten meanwhile has either time.
        unsafe { table(key).get(key).copied() }
    }
}

/// Puts down that a packet left.
#[inline(always)]
pub(crate) fn set_last_sent(index: u32, now_ns: u64) {
    if let Some(time) = LAST_SENT.get_ptr_mut(index) {
        // SAFETY: the kernel returned a pointer to the element. CPUs that write at the same time write much the same
        // time.
        unsafe { time.write_volatile(now_ns) };
    }
}

/// The flow, to change in place.
#[inline(always)]
pub(crate) fn find(key: &FlowKey) -> Option<*mut Flow> {
    table(key).get_ptr_mut(key)
}

/// Adds a flow; 0, or the kernel's error. A table that is full forgets another one for it. Where even that fails there is no flow, and
/// its replies are dropped: nothing passes by a full table.
#[inline(always)]
pub(crate) fn add(key: &FlowKey, flow: &Flow) -> i32 {
    match table(key).insert(key, flow, BPF_ANY.into()) {
        Ok(()) => 0,
        Err(error) => error,
    }
}

/// Removes a flow.
#[inline(always)]
pub(crate) fn remove(key: &FlowKey) {
    // One that is not there needs no removing.
    let _ = table(key).remove(key);
}

#[inline(always)]
fn table(key: &FlowKey) -> &'static LruHashMap<FlowKey, Flow> {
    const TCP: u8 = 6;
    if key.protocol == TCP {
        &TCP_FLOWS
    } else {
        &DATAGRAM_FLOWS
    }
}
