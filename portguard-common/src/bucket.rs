//! Token buckets by the generic cell rate algorithm (ITU-T I.371): one word says all.

use crate::abi::Bucket;

/// The longest interval and tolerance, and the latest time, in nanoseconds: 73 years. So their sum overflows nothing.
pub const LONGEST_NS: u64 = 1 << 61;

/// Takes a token at `now_ns`: the bucket afterwards, or `None` where none is left. No number but the bucket is above [`LONGEST_NS`].
///
/// A bucket holds the time at which it is full again. A packet moves that by `interval_ns`; beyond
/// `tolerance_ns` ahead of the clock there is no token. A bucket that is further ahead than it could be was emptied
/// at another rate, before a reload: it counts as one that holds a single token, or it would stay empty until the
/// clock has caught up.
#[inline(always)]
pub const fn take(
    bucket: Bucket,
    now_ns: u64,
    interval_ns: u64,
    tolerance_ns: u64,
) -> Option<Bucket> {
    let mut ahead_ns = bucket.saturating_sub(now_ns);
    if ahead_ns > tolerance_ns {
        if ahead_ns <= tolerance_ns.wrapping_add(interval_ns) {
            return None;
        }
        ahead_ns = tolerance_ns;
    }
    Some(now_ns.wrapping_add(ahead_ns).wrapping_add(interval_ns))
}

/// Whether a bucket is full, so that it says no more than a new one.
#[inline(always)]
pub const fn is_full(bucket: Bucket, now_ns: u64) -> bool {
    bucket <= now_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_and_then_the_rate_pass() {
        // 10 a second, burst 3.
        const INTERVAL: u64 = 100_000_000;
        let mut bucket = 0;
        let mut passed_at = |now: u64| {
            let taken = take(bucket, now, INTERVAL, 2 * INTERVAL);
            bucket = taken.unwrap_or(bucket);
            taken.is_some()
        };
        let now = 5_000_000_000;
        assert_eq!([now; 4].map(&mut passed_at), [true, true, true, false]);
        assert!(!passed_at(now + INTERVAL - 1));
        assert!(passed_at(now + INTERVAL));
        assert!(!passed_at(now + INTERVAL));
        // After a pause the bucket is full, never more than full.
        let later = now + 1000 * INTERVAL;
        assert_eq!([later; 4].map(passed_at), [true, true, true, false]);
    }

    #[test]
    fn a_bucket_of_another_rate_recovers() {
        let ahead = 1 << 60;
        let emptied = take(ahead, 1000, 10, 20);
        assert_eq!(emptied, Some(1000 + 20 + 10));
        assert_eq!(take(1030, 1000, 10, 20), None);
        assert_eq!(take(1030, 1010, 10, 20), Some(1040));
        assert_eq!(take(u64::MAX, 1000, 10, 20), Some(1000 + 20 + 10));
    }

    #[test]
    fn the_longest_numbers_overflow_nothing() {
        const LONGEST: u64 = LONGEST_NS;
        let taken = take(u64::MAX, LONGEST, LONGEST, LONGEST);
        assert_eq!(taken, Some(3 * LONGEST));
        assert_eq!(take(3 * LONGEST, LONGEST, LONGEST, LONGEST), None);
        assert_eq!(take(0, LONGEST, LONGEST, LONGEST), Some(2 * LONGEST));
    }
}
