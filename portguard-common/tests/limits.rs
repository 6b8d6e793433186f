//! Asking the limits that a packet comes to, and token buckets at their edges.

use std::cell::RefCell;

use portguard_common::abi::{Limit, counter};
use portguard_common::bucket::{is_full, take};
use portguard_common::classify::Source;
use portguard_common::limiter::{Asked, Limits, ask};

const SOURCE: Source = Source {
    v6: false,
    bits: 0x0a00_0001,
};

/// Limits in a row; the rates of these places are used up.
struct Row {
    most: u32,
    limits: Vec<Limit>,
    used_up: Vec<u32>,
    asked: RefCell<Vec<u32>>,
    counted: RefCell<Vec<u32>>,
}

impl Row {
    /// Each with its place as its bucket and 100 more as its counter.
    fn new(flags: &[u32], used_up: &[u32]) -> Self {
        let limits = (0..).zip(flags).map(|(place, flags)| Limit {
            interval_ns: 1,
            tolerance_ns: 0,
            counter: 100 + place,
            bucket: place,
            flags: *flags,
            reserved: 0,
        });
        Self {
            most: 8,
            limits: limits.collect(),
            used_up: used_up.to_vec(),
            asked: RefCell::default(),
            counted: RefCell::default(),
        }
    }
}

impl Limits for Row {
    fn most(&self) -> u32 {
        self.most
    }

    fn limit(&self, index: u32) -> Limit {
        self.limits[index as usize]
    }

    fn take_token(&self, index: u32, limit: &Limit, source: Source) -> bool {
        assert_eq!(source, SOURCE);
        assert_eq!(*limit, self.limits[index as usize]);
        self.asked.borrow_mut().push(limit.bucket);
        !self.used_up.contains(&limit.bucket)
    }

    fn count_beyond(&self, limit: &Limit) {
        self.counted.borrow_mut().push(limit.counter);
    }
}

#[test]
fn each_limit_up_to_the_last_is_asked_once() {
    let flags = [
        Limit::LAST,
        0,
        Limit::PER_SOURCE,
        Limit::DECIDES | Limit::LAST,
        0,
    ];
    let row = Row::new(&flags, &[]);
    let within = Asked {
        over: counter::NONE,
        beyond: 0,
    };
    assert_eq!(ask(&row, 1, SOURCE), within);
    assert_eq!(*row.asked.borrow(), [1, 2, 3]);
    assert_eq!(ask(&row, 0, SOURCE), within);
    assert_eq!(*row.asked.borrow(), [1, 2, 3, 0]);
    assert!(row.counted.borrow().is_empty());
}

#[test]
fn what_only_counts_is_counted_and_what_decides_is_told() {
    let flags = [0, 0, 0, 0, Limit::DECIDES | Limit::LAST];
    let row = Row::new(&flags, &[2, 3]);
    // Bits are counted from the first that is asked.
    let asked = ask(&row, 1, SOURCE);
    assert_eq!((asked.over, asked.beyond), (counter::NONE, 0b0110));
    assert_eq!(*row.counted.borrow(), [102, 103]);

    let row = Row::new(&flags, &[0, 4]);
    let asked = ask(&row, 0, SOURCE);
    assert_eq!((asked.over, asked.beyond), (104, 0b1_0001));
    assert_eq!(*row.counted.borrow(), [100]);
}

#[test]
fn no_more_limits_are_asked_than_a_packet_has() {
    // As many as one packet may have to ask.
    let row = Row::new(&[0; 20], &[0, 7, 8]);
    let asked = ask(&row, 0, SOURCE);
    assert_eq!(asked.beyond, 0b1000_0001);
    assert_eq!(row.asked.borrow().len(), 8);
    for most in 0..=8 {
        let row = Row {
            most,
            ..Row::new(&[0; 20], &[])
        };
        ask(&row, 3, SOURCE);
        assert_eq!(row.asked.borrow().len(), most as usize);
    }
}

#[test]
fn a_bucket_is_empty_to_the_nanosecond() {
    const INTERVAL: u64 = 7;
    const TOLERANCE: u64 = 21;
    const NOW: u64 = 1000;
    // Full, ahead of the clock as far as may be, and one nanosecond further.
    assert_eq!(take(0, NOW, INTERVAL, TOLERANCE), Some(NOW + INTERVAL));
    assert_eq!(take(NOW, NOW, INTERVAL, TOLERANCE), Some(NOW + INTERVAL));
    assert_eq!(
        take(NOW + 1, NOW, INTERVAL, TOLERANCE),
        Some(NOW + 1 + INTERVAL)
    );
    let last = NOW + TOLERANCE;
    assert_eq!(take(last, NOW, INTERVAL, TOLERANCE), Some(last + INTERVAL));
    for empty in last + 1..=last + INTERVAL {
        assert_eq!(take(empty, NOW, INTERVAL, TOLERANCE), None, "{empty}");
    }
    // Emptied further than that it was at another rate: one token is left.
    assert_eq!(
        take(last + INTERVAL + 1, NOW, INTERVAL, TOLERANCE),
        Some(last + INTERVAL)
    );
    assert!(is_full(NOW, NOW) && is_full(NOW - 1, NOW) && !is_full(NOW + 1, NOW));
}
