//! The table of sources' buckets: where each has its place, and who has to go for another.
//!
//! A keyed digest of rule and source chooses a set of eight places, and the one of them that it is looked for in first: there it is, unless many
//! places are taken, and nothing else of the set has to be read.

use crate::abi::Bucket;
use crate::bucket::is_full;
use crate::conceal::{Conceal, sign};
use crate::limits::SOURCE_BUCKETS;

/// Places of a set: two lines of the cache.
pub const WAYS: u32 = 8;

/// How long the bucket must have been full that is in the place in which a source is looked for first, to go before one that has been full
/// for longer.
pub const HOME_NS: u64 = 1_000_000_000;

/// How often to try when other CPUs take the same place at the same moment.
const TRIES: u32 = 4;

/// A set of places, by their number below [`WAYS`], which all CPUs read and write at the same time.
pub trait BucketSet: Copy + Conceal {
    /// The digest of whom a place is; 0 where nobody is.
    fn owner(&self, way: u32) -> u64;
    /// The bucket in a place.
    fn bucket(&self, way: u32) -> Bucket;
    /// Gives a place to `new`, if it is still that of `old`. Whose it was.
    fn replace_owner(&self, way: u32, old: u64, new: u64) -> u64;
}

/// The place in which the bucket of a digest is looked for first, below [`SOURCE_BUCKETS`]. Its set is that of the places from a multiple of
/// [`WAYS`] on.
#[inline(always)]
#[must_use]
pub const fn home(digest: u64) -> u32 {
    digest as u32 % SOURCE_BUCKETS
}

/// The place in its set of a digest, which is not 0: its own, or a free one, or that of the bucket that has been full for the longest time, which forgets
/// nothing. `None` where all of them are in use.
#[inline(always)]
pub fn find_or_take<S: BucketSet>(set: S, digest: u64, now_ns: u64) -> Option<u32> {
    for way in 0..WAYS {
        if set.owner(way) == digest {
            return Some(way);
        }
    }
    take(set, home(digest) % WAYS, digest, now_ns)
}

/// Takes a place of a set, of which one is the home of the digest.
#[inline(always)]
fn take<S: BucketSet>(set: S, home: u32, digest: u64, now_ns: u64) -> Option<u32> {
    for _ in 0..TRIES {
        let longest = longest_full(set);
        if !is_full(longest & !WAY, now_ns) {
            return None;
        }
        let way = if is_full(set.bucket(home).saturating_add(HOME_NS), now_ns) {
            home
        } else {
            (longest & WAY) as u32
        };
        let owner = set.owner(way);
        // Once more after its owner was read: another CPU may have given it to somebody meanwhile.
        if !is_full(set.bucket(way), now_ns) {
            continue;
        }
        let found = set.replace_owner(way, owner, digest);
        // Or to the same source.
        if found == owner || found == digest {
            return Some(way);
        }
    }
    None
}

/// When the bucket was full that has been so for the longest time, to eight nanoseconds, and in the last bits which one it is. Without a branch: the
/// verifier would follow each way through all places.
#[inline(always)]
fn longest_full<S: BucketSet>(set: S) -> u64 {
    let mut longest = u64::MAX >> 1;
    for way in 0..WAYS {
        let place = set.bucket(way) & !WAY | u64::from(way);
        let is_less = sign(S::conceal(place.wrapping_sub(longest)));
        longest ^= (longest ^ place) & is_less;
    }
    longest
}

/// The bits of the number of a place in its set.
const WAY: u64 = WAYS as u64 - 1;
