//! Token buckets that all CPUs share, without a lock.

use portguard_common::abi::{Bucket, SourceBucket};
use portguard_common::bucket::take;
use portguard_common::bucket_table::{BucketSet, WAYS, find_or_take, home};
use portguard_common::classify::Source;
use portguard_common::conceal::Conceal;
use portguard_common::constant::Memory;
use portguard_common::limits::SOURCE_BUCKETS;
use portguard_common::mix::mix;

use crate::atomic::compare_exchange;
use crate::constants::{Elements, element};
use crate::frame::conceal;
use crate::seed::seed;
use crate::tables::opaque;

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

/// The bucket of a source under a limit, see [`find_or_take`]. `None` where all of its places are in use.
#[inline(always)]
pub(crate) fn of_source(limit: u32, source: Source, now_ns: u64) -> Option<*mut Bucket> {
    let digest = digest(limit, source);
    let places = Elements::<SourceBucket>::of(Memory::SourceBuckets, SOURCE_BUCKETS)?;
    let home = home(digest);
    // SAFETY: a word of a map element.
    let is_home = unsafe { owner_of(places.get(home)?).read_volatile() } == digest;
    let place = if is_home {
        home
    } else {
        portguard_find_source(digest, now_ns).checked_sub(1)?
    };
    // The verifier follows what comes next once for both.
    places.get(conceal(now_ns as u32, place)).map(bucket_of)
}

/// The number of a source's place, and 1 more; 0 where there is none. A global function, which the verifier checks once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_find_source(digest: u64, now_ns: u64) -> u32 {
    let number = home(digest) / WAYS;
    element(Memory::SourceBuckets, number, SOURCE_BUCKETS / WAYS)
        .and_then(|set| find_or_take(Set(set), digest, now_ns))
        .map_or(0, |way| number * WAYS + way + 1)
}

/// A set of places.
#[derive(Clone, Copy)]
struct Set(*mut [SourceBucket; WAYS as usize]);

impl Set {
    #[inline(always)]
    fn at(self, way: u32) -> *mut SourceBucket {
        // SAFETY: below the set's length by the remainder.
        unsafe { self.0.cast::<SourceBucket>().add((way % WAYS) as usize) }
    }
}

impl Conceal for Set {
    #[inline(always)]
    fn conceal(number: u64) -> u64 {
        opaque(number)
    }
}

impl BucketSet for Set {
    #[inline(always)]
    fn owner(&self, way: u32) -> u64 {
        // SAFETY: a word of a map element; so with all that follow.
        unsafe { owner_of(self.at(way)).read_volatile() }
    }

    #[inline(always)]
    fn bucket(&self, way: u32) -> Bucket {
        // SAFETY: as above.
        unsafe { bucket_of(self.at(way)).read_volatile() }
    }

    #[inline(always)]
    fn replace_owner(&self, way: u32, old: u64, new: u64) -> u64 {
        // SAFETY: as above.
        unsafe { compare_exchange(owner_of(self.at(way)), old, new) }
    }
}

#[inline(always)]
const fn owner_of(place: *mut SourceBucket) -> *mut u64 {
    // SAFETY: it is that of a map element.
    unsafe { &raw mut (*place).key }
}

#[inline(always)]
const fn bucket_of(place: *mut SourceBucket) -> *mut Bucket {
    // SAFETY: likewise.
    unsafe { &raw mut (*place).bucket }
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
