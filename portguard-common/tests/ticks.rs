//! The count of timer ticks as a time, as Linux counts.

use std::num::NonZeroU32;

use portguard_common::ticks::Ticks;

const SECOND: u64 = 1_000_000_000;

/// `INITIAL_JIFFIES`: 300 seconds before 2³².
const fn initial(hz: u64) -> u64 {
    (1 << 32) - 300 * hz
}

fn ticks(tick_ns: u32, count: u64, now_ns: u64) -> Ticks {
    let tick_ns = NonZeroU32::new(tick_ns).unwrap_or(NonZeroU32::MIN);
    Ticks::new(tick_ns, count as u32, now_ns)
}

/// A tick of each `CONFIG_HZ`, in nanoseconds (`TICK_NSEC`).
const TICKS: [(u64, u32); 4] = [
    (100, 10_000_000),
    (250, 4_000_000),
    (300, 3_333_333),
    (1000, 1_000_000),
];

/// Uptimes in ticks: before the lower half overflows, after it, and after it has done so again.
const UPTIMES: [u64; 6] = [0, 1, 29_999, 300_000, (1 << 32) + 7, 1 << 34];

#[test]
fn a_count_is_the_time_since_the_start_whenever_it_was_asked_for() {
    for (hz, tick_ns) in TICKS {
        let time = |ticks: u64| ticks * u64::from(tick_ns);
        for asked in UPTIMES {
            let ticks = ticks(tick_ns, initial(hz) + asked, time(asked));
            for then in UPTIMES {
                assert_eq!(
                    ticks.ns(initial(hz) + then),
                    time(then),
                    "{hz} {asked} {then}"
                );
            }
        }
    }
}

#[test]
fn what_was_missed_at_the_start_is_no_difference_later() {
    // 41 ticks that were not counted.
    let count = |seconds: u64| initial(250) + seconds * 250 - 41;
    let ticks = ticks(4_000_000, count(10), 10 * SECOND);
    assert_eq!(ticks.ns(count(10)), 10 * SECOND);
    assert_eq!(ticks.ns(count(86_400)), 86_400 * SECOND);
}

#[test]
fn a_time_between_two_ticks_is_that_of_the_earlier_one() {
    let ticks = ticks(4_000_000, initial(250) + 5, 23_999_999);
    assert_eq!(ticks.ns(initial(250) + 5), 20_000_000);
    assert_eq!(ticks.ns(initial(250) + 6), 24_000_000);
}
