//! The programs that stand before two policies while one is on trial: they send each packet to the one that is in force,
//! so that the policy before comes back in time although nobody is left to bring it back.
//!
//! They are attached during a trial alone, and cost nothing otherwise.

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::{classifier, map, xdp};
use aya_ebpf::maps::{Array, HashMap, ProgramArray};
use aya_ebpf::programs::{TcContext, XdpContext};
use portguard_common::abi::trial;

/// `BPF_F_NO_PREALLOC`: most generations are never on trial.
const NO_PREALLOC: u32 = 1;

/// Words by [`trial`]. Each is written by one side only, but for `EXPIRED`, which always wins.
#[map]
static TRIAL: Array<u64> = Array::with_max_entries(trial::WORDS, 0);

/// The programs for what arrives.
#[map]
static CHOICES: ProgramArray = ProgramArray::with_max_entries(trial::CHOICES, 0);

/// The programs for what leaves; a place is empty where a policy asks for none.
#[map]
static EGRESS_CHOICES: ProgramArray = ProgramArray::with_max_entries(trial::CHOICES, 0);

/// The interfaces that the policy before guards.
#[map]
static GUARDED_BEFORE: HashMap<u32, u32> =
    HashMap::with_max_entries(trial::INTERFACES, NO_PREALLOC);

/// Entry point for what arrives, see `portguard()` for the flag.
#[xdp(frags)]
fn portguard_trial(ctx: XdpContext) -> u32 {
    arrives(&ctx)
}

/// Entry point for older kernels.
#[xdp]
fn portguard_trial_old(ctx: XdpContext) -> u32 {
    arrives(&ctx)
}

/// Entry point for what leaves.
#[classifier]
fn portguard_trial_out(ctx: TcContext) -> i32 {
    // SAFETY: the context is the kernel's own, and the map has as many places.
    unsafe { EGRESS_CHOICES.tail_call(&ctx, choice()) };
    // This policy does not ask to see what leaves.
    TC_ACT_UNSPEC
}

#[inline(always)]
fn arrives(ctx: &XdpContext) -> u32 {
    let choice = choice();
    if choice == trial::BEFORE {
        // SAFETY: the context is the kernel's own.
        let ifindex = unsafe { (*ctx.ctx).ingress_ifindex };
        // SAFETY: the value is not used.
        if unsafe { GUARDED_BEFORE.get(ifindex) }.is_none() {
            return XDP_PASS;
        }
    }
    // SAFETY: the context is the kernel's own, and the map has as many places.
    unsafe { CHOICES.tail_call(ctx, choice) };
    // Both places are filled before this is attached, and stay so while somebody has the map open or pinned.
    XDP_DROP
}

/// Which policy is in force.
#[inline(always)]
fn choice() -> u32 {
    if is_over() {
        trial::BEFORE
    } else {
        trial::ON_TRIAL
    }
}

#[inline(always)]
fn is_over() -> bool {
    let (Some(deadline), Some(confirmed), Some(expired)) = (
        TRIAL.get_ptr(trial::DEADLINE),
        TRIAL.get_ptr(trial::CONFIRMED),
        TRIAL.get_ptr_mut(trial::EXPIRED),
    ) else {
        return true;
    };
    // SAFETY: the kernel returned pointers to the elements. Volatile, since others write them meanwhile.
    unsafe {
        if expired.read_volatile() != 0 {
            return true;
        }
        if confirmed.read_volatile() != 0 || bpf_ktime_get_boot_ns() < deadline.read_volatile() {
            return false;
        }
        expired.write_volatile(1);
    }
    true
}
