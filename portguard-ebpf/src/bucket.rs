//! Token buckets that all CPUs share, without a lock.

use portguard_common::abi::{Bucket, SOURCE_BUCKET_WAYS, SourceBucket, SourceBucketSet};
use portguard_common::bucket::{is_full, take};
use portguard_common::classify::Source;
use portguard_common::constant::Memory;
use portguard_common::limits::SOURCE_BUCKET_SETS;
use portguard_common::mix::mix;

use crate::atomic::compare_exchange;
use crate::constants::element;
use crate::frame::forget;
use crate::seed::seed;

/// How often to try when other CPUs take tokens from the same bucket at the same moment. Each failure means that
/// one of them succeeded.
const TRIES: u32 = 16;

/// Takes a token from `bucket`, which lies in a map element. Where it cannot tell, there is none: doubt never means
/// that there is no limit.
#[inline(always)]
pub(crate) fn take_token(
    bucket: *mut Bucket,
    now_ns: u64,
    interval_ns: u64,
    tolerance_ns: u64,
) -> bool {
    for _ in 0..TRIES {
        // SAFETY: the caller got the pointer from a map look-up, so it is mapped and aligned.
        let found = unsafe { bucket.read_volatile() };
        let Some(taken) = take(found, now_ns, interval_ns, tolerance_ns) else {
            return false;
        };
        // SAFETY: as above.
        if unsafe { compare_exchange(bucket, found, taken) } == found {
            return true;
        }
    }
    false
}

/// The bucket of a source under a limit: its own, or a free one, or one that has been idle until it was full again,
/// which forgets nothing. `None` where all places are taken.
#[inline(always)]
pub(crate) fn of_source(limit: u32, source: Source, now_ns: u64) -> Option<*mut Bucket> {
    let key = digest(limit, source);
    let sets = SOURCE_BUCKET_SETS as u32;
    let set = element::<SourceBucketSet>(Memory::SourceBuckets, key as u32, sets)?;
    let places = set.cast::<SourceBucket>();
    let way = find_way(places, key, now_ns)?;
    // The verifier would walk through what follows once for each way: let it forget which one it is.
    let way = forget(key as u32, way) as usize % SOURCE_BUCKET_WAYS;
    // SAFETY: the place is below the set's length.
    Some(unsafe { &raw mut (*places.add(way)).bucket })
}

/// The place of a source in its set, taken if it had none.
#[inline(always)]
fn find_way(places: *mut SourceBucket, key: u64, now_ns: u64) -> Option<u32> {
    for way in 0..SOURCE_BUCKET_WAYS {
        // SAFETY: the place is below the set's length.
        if unsafe { (&raw const (*places.add(way)).key).read_volatile() } == key {
            return Some(way as u32);
        }
    }
    for way in 0..SOURCE_BUCKET_WAYS {
        // SAFETY: as above.
        unsafe {
            let place = places.add(way);
            let owner = (&raw const (*place).key).read_volatile();
            if !is_full((&raw const (*place).bucket).read_volatile(), now_ns) {
                continue;
            }
            let found = compare_exchange(&raw mut (*place).key, owner, key);
            // Another CPU may have given the place to the same source meanwhile.
            if found == owner || found == key {
                return Some(way as u32);
            }
        }
    }
    None
}

/// A number for a source under a limit, never 0. Two that share one share a bucket; nobody can choose them, who does
/// not know the seed.
#[inline(always)]
fn digest(limit: u32, source: Source) -> u64 {
    /// Odd, and half of its bits are set: the fraction of the golden ratio.
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let [first, second] = seed();
    let family = u64::from(source.v6) << 32 | u64::from(limit);
    // By how much two limits differ here is as secret as the seed, so no source can be the difference.
    mix(source.bits ^ first ^ (family ^ second).wrapping_mul(ODD)) | 1 << 63
}
