//! What there is one of for the whole host.

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use portguard_common::abi::host;

use crate::bucket;
use crate::tables::now_ns;

#[map]
static HOST: Array<u64> = Array::with_max_entries(host::LEN, 0);

/// Takes a token of the bucket at an index of [`host`]; `false` when the rate is used up.
#[inline(always)]
pub(crate) fn take_token(index: u32, interval_ns: u64, tolerance_ns: u64) -> bool {
    portguard_take_host_token(index, interval_ns, tolerance_ns) != 0
}

/// A global function, so that the verifier follows its attempts once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_take_host_token(index: u32, interval_ns: u64, tolerance_ns: u64) -> u32 {
    match HOST.get_ptr_mut(index) {
        Some(bucket) => bucket::take_token(bucket, now_ns(), interval_ns, tolerance_ns).into(),
        None => 0,
    }
}
