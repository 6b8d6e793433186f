//! The flows that this side started, in maps that outlive a generation.

use portguard_common::abi::{CacheLine, local_port};
use portguard_common::constant::Memory;
use portguard_common::flow::{Ends, Flows, has_flow};
use portguard_common::flow_table::{self, Flow, FlowKey};
use portguard_common::last_sent::LastSent;
use portguard_common::limits::FLOW_LINES;
use portguard_common::mix::Seed;
use portguard_common::places::LineTable;

use crate::constants::{Elements, address, element, within};
use crate::lines::KernelLine;
use crate::seed::seed;
use crate::tables::coarse_now_ns;

pub(crate) struct KernelFlows;

impl Flows for KernelFlows {
    /// Flows last seconds and more, so the clock of the last timer tick will do.
    #[inline(always)]
    fn now_ns(&self) -> u64 {
        coarse_now_ns()
    }

    #[inline(always)]
    fn last_sent(&self, index: u32) -> LastSent {
        match last_sent(index) {
            // SAFETY: a byte of the map.
            Some(time) => LastSent::of_byte(unsafe { time.read_volatile() }),
            None => LastSent::NEVER,
        }
    }

    #[inline(always)]
    fn closed_at(&self, port: u16) -> u64 {
        match element::<u64>(Memory::ClosedPorts, port.into(), 1 << 16) {
            // SAFETY: a word of the map.
            Some(time) => unsafe { time.read_volatile() },
            None => 0,
        }
    }

    #[inline(always)]
    fn seed(&self) -> Seed {
        seed()
    }

    #[inline(always)]
    fn flow(&self, key: FlowKey) -> Option<Flow> {
        flow_table::flow(&KernelFlowTable::of(key)?, key)
    }

    #[inline(always)]
    fn has_flow(&self, ends: &Ends, last_sent: LastSent) -> bool {
        let last_sent = last_sent.byte().into();
        portguard_has_flow(ends.addresses, ends.index, ends.theirs.into(), last_sent) != 0
    }
}

/// The table of a flow.
pub(crate) struct KernelFlowTable(Elements<CacheLine>);

impl KernelFlowTable {
    /// `None` where the policy has no use for it.
    #[inline(always)]
    pub(crate) fn of(key: FlowKey) -> Option<Self> {
        Elements::of(key.table(), FLOW_LINES).map(Self)
    }
}

impl LineTable for KernelFlowTable {
    type Line = KernelLine;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<KernelLine> {
        self.0.get(index).map(KernelLine::new)
    }
}

/// A global function, which the verifier checks once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_has_flow(addresses: u64, index: u32, theirs: u32, last_sent: u32) -> u32 {
    let ends = Ends {
        addresses,
        index,
        theirs: theirs as u16,
    };
    has_flow(&ends, LastSent::of_byte(last_sent as u8), &KernelFlows).into()
}

#[inline(always)]
fn last_sent(index: u32) -> Option<*mut u8> {
    element(Memory::LastSent, index, local_port::LEN)
}

/// When a packet last left by the port that a plain frame goes to.
#[inline(always)]
pub(crate) fn last_sent_by_plain(index: u32) -> LastSent {
    let Some(index) = within(index, local_port::LEN, true) else {
        return LastSent::NEVER;
    };
    let time = (address(Memory::LastSent) + index) as *const u8;
    // SAFETY: a byte of the map, which is there where the policy has a use for it.
    LastSent::of_byte(unsafe { time.read_volatile() })
}

/// Puts down that a packet left.
#[inline(always)]
pub(crate) fn set_last_sent(index: u32, now_ns: u64) {
    let now = LastSent::at(index, now_ns).byte();
    // Where it says so already, no other CPU has to wait for the line of the cache that it lies in.
    if let Some(time) = last_sent(index)
        // SAFETY: a byte of the map. CPUs that write at the same time write much the same time.
        && unsafe { time.read_volatile() } != now
    {
        // SAFETY: likewise.
        unsafe { time.write_volatile(now) };
    }
}

/// Adds a flow that has no place: see [`flow_table::add`].
#[inline(always)]
pub(crate) fn add(key: FlowKey, now_ns: u64) -> bool {
    portguard_add_flow(key.digest, key.index, now_ns) != 0
}

/// A global function, which the verifier checks once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_add_flow(digest: u64, index: u32, now_ns: u64) -> u32 {
    let key = FlowKey { digest, index };
    KernelFlowTable::of(key)
        .is_some_and(|table| flow_table::add(&table, key, now_ns))
        .into()
}
