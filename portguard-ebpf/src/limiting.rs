//! Asking the limits that a packet comes to.
//!
//! The verifier checks a global function once, for any arguments, and a static one for each way to come to its call.
//! All kinds of packets, times eight limits, times sixteen attempts to take a token are more than the million
//! instructions that it checks: so this is a global function of a few numbers.

use portguard_common::abi::{Limit, Setting};
use portguard_common::classify::Source;
use portguard_common::constant::{self, Memory};
use portguard_common::limiter::{self, Asked, Limits};
use portguard_common::limits::RULE_BUCKETS as RULE_BUCKET_COUNT;

use crate::bucket;
use crate::constants::{element, setting};
use crate::count::Slot;
use crate::diagnose;
use crate::tables::{coarse_now_ns, now_ns, place};

/// The loader puts all limits in the place of this one.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.limits")]
static LIMITS: [Limit; 1] = [Limit::NONE];

/// Asks the limits of a cell from this index on, for a packet of so many bytes.
#[inline(always)]
pub(crate) fn ask(first: u32, source: Source, bytes: u64) -> Asked {
    let word = portguard_ask_limits(first, source.v6.into(), source.bits, bytes);
    Asked {
        over: (word >> 32) as u32,
        beyond: word as u32,
    }
}

/// The answer has [`Asked::beyond`] in its lower half, and [`Asked::over`] in its upper one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_ask_limits(first: u32, v6: u32, source_bits: u64, bytes: u64) -> u64 {
    let source = Source {
        v6: v6 != 0,
        bits: source_bits,
    };
    let asked = limiter::ask(&KernelLimits { bytes }, first, source);
    u64::from(asked.over) << 32 | u64::from(asked.beyond)
}

/// The limits as a packet of so many bytes sees them.
struct KernelLimits {
    bytes: u64,
}

impl Limits for KernelLimits {
    #[inline(always)]
    fn most(&self) -> u32 {
        setting(Setting::Limits)
    }

    #[inline(always)]
    fn limit(&self, index: u32) -> Limit {
        limit(index)
    }

    #[inline(always)]
    fn take_token(&self, index: u32, limit: &Limit, source: Source) -> bool {
        // A function, which the verifier follows once: that of Linux 6.1 does not come to the end of eight limits otherwise. Where a packet has
        // one to ask, and nothing is told, a call would only cost time.
        if crate::TELLS || self.most() > 1 {
            portguard_take_limit_token(index, source.v6.into(), source.bits) != 0
        } else {
            take_token(limit, source)
        }
    }

    #[inline(always)]
    fn count_beyond(&self, limit: &Limit) {
        if let Some(slot) = Slot::of_this_cpu() {
            slot.count(limit.counter, self.bytes);
        }
    }
}

#[inline(always)]
fn limit(index: u32) -> Limit {
    // A cell names only limits that are there.
    let limit = place(&LIMITS, index, constant::LIMITS);
    *limit.unwrap_or(&Limit::NONE)
}

/// Takes a token of the limit at an index.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_take_limit_token(index: u32, v6: u32, source_bits: u64) -> u32 {
    let source = Source {
        v6: v6 != 0,
        bits: source_bits,
    };
    take_token(&limit(index), source).into()
}

/// Takes a token of a limit: from the source's bucket, or from the rule's own where it has none.
#[inline(always)]
fn take_token(limit: &Limit, source: Source) -> bool {
    let own = || element(Memory::RuleBuckets, limit.bucket, RULE_BUCKET_COUNT as u32);
    let now_ns = match setting(Setting::CoarseClock) {
        0 => now_ns(),
        _ => coarse_now_ns(),
    };
    let bucket = if limit.has(Limit::PER_SOURCE) {
        bucket::of_source(limit.bucket, source, now_ns).or_else(|| {
            diagnose::no_place_for_source(limit.bucket);
            own()
        })
    } else {
        own()
    };
    let Some(bucket) = bucket else {
        return false;
    };
    bucket::take_token(bucket, now_ns, limit.interval_ns, limit.tolerance_ns)
}
