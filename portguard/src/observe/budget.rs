//! The budget of drop events: how many are left over time, and how they are handed out.

use portguard_policy::{Rate, RatePeriod};

use super::share::share;

/// Of what is there to hand out, this part is kept for those that have asked for nothing yet.
const RESERVED_PART: u64 = 20;

/// Longest time for which events are saved up, in nanoseconds: what was not used before is gone.
const SAVED_NS: u64 = 1_000_000_000;

/// Events that may be told, at a rate. They are saved up for a second, or one of them where the rate gives fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Events in a period.
    count: i128,
    /// What one event costs, where each nanosecond brings `count`.
    period_ns: i128,
    /// What is there; less than nothing where more was told than was there.
    balance: i128,
    /// When `balance` was right, in nanoseconds of any clock that does not go back.
    now_ns: u64,
}

impl Budget {
    /// A budget that nothing was taken of yet.
    #[must_use]
    pub fn new(rate: &Rate, now_ns: u64) -> Self {
        let mut budget = Self {
            count: 0,
            period_ns: 1,
            balance: 0,
            now_ns,
        };
        budget.set_rate(rate);
        budget.balance = budget.most();
        budget
    }

    /// Changes the rate; what is there stays, as far as it may be saved.
    pub fn set_rate(&mut self, rate: &Rate) {
        let before = self.period_ns;
        self.count = rate.count.into();
        self.period_ns = match rate.period {
            RatePeriod::Second => 1_000_000_000,
            RatePeriod::Minute => 60_000_000_000,
        };
        self.balance = (self.balance * self.period_ns / before).min(self.most());
    }

    fn most(&self) -> i128 {
        (self.count * i128::from(SAVED_NS)).max(self.period_ns)
    }

    /// Lets time pass, of which the first second counts.
    pub fn advance(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.now_ns);
        self.now_ns = self.now_ns.max(now_ns);
        self.balance = (self.balance + i128::from(passed) * self.count).min(self.most());
    }

    /// Takes what was told.
    pub fn spend(&mut self, events: u64) {
        self.balance -= i128::from(events) * self.period_ns;
    }

    /// Whole events that may be told now.
    #[must_use]
    pub fn available(&self) -> u64 {
        u64::try_from(self.balance / self.period_ns).unwrap_or(0)
    }

    /// Nanoseconds until all is saved that can be; 0 where it is.
    #[must_use]
    pub fn full_in_ns(&self) -> u64 {
        let missing = self.most() - self.balance;
        let wait = (missing + self.count - 1) / self.count.max(1);
        u64::try_from(wait).unwrap_or(u64::MAX)
    }
}

/// What is handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handout {
    /// What each may tell; `None` where nobody has to be kept apart: all take from the pool as they come.
    pub shares: Option<Vec<u64>>,
    /// What is there for all.
    pub pool: u64,
    /// Of the pool, what goes to newcomers alone, one each.
    pub reserve: u64,
}

/// Hands out events by what was wanted last.
#[must_use]
pub fn hand_out(wanted: &[u64], available: u64, first: usize) -> Handout {
    let reserve = available.div_ceil(RESERVED_PART);
    let rest = available - reserve;
    let all = wanted
        .iter()
        .fold(0_u64, |sum, want| sum.saturating_add(*want));
    if all <= rest {
        return Handout {
            shares: None,
            pool: available,
            reserve,
        };
    }
    Handout {
        shares: Some(share(wanted, rest, first)),
        pool: reserve,
        reserve,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(count: u64, period: RatePeriod) -> Rate {
        Rate {
            count,
            period,
            burst: 1,
        }
    }

    #[test]
    fn a_budget_saves_a_second_of_events_or_one() {
        for (count, period, saved) in [
            (100, RatePeriod::Second, 100),
            (1, RatePeriod::Second, 1),
            (60, RatePeriod::Minute, 1),
            (150, RatePeriod::Minute, 2),
            (1, RatePeriod::Minute, 1),
        ] {
            let mut budget = Budget::new(&rate(count, period), 5 * SECOND);
            assert_eq!(budget.available(), saved);
            budget.advance(1000 * SECOND);
            assert_eq!(budget.available(), saved, "{count}");
            assert_eq!(budget.full_in_ns(), 0);
        }
    }

    #[test]
    fn what_was_told_comes_back_with_time() {
        let mut budget = Budget::new(&rate(100, RatePeriod::Second), 0);
        budget.spend(100);
        assert_eq!((budget.available(), budget.full_in_ns()), (0, SECOND));
        budget.advance(SECOND / 10);
        assert_eq!(budget.available(), 10);
        // More was told than was there: that is paid back first.
        budget.spend(30);
        assert_eq!(budget.available(), 0);
        budget.advance(SECOND * 3 / 10);
        assert_eq!(budget.available(), 0);
        budget.advance(SECOND * 4 / 10);
        assert_eq!(budget.available(), 10);
        // A clock that goes back changes nothing.
        budget.advance(0);
        assert_eq!(budget.available(), 10);

        let mut slow = Budget::new(&rate(2, RatePeriod::Minute), 0);
        slow.spend(1);
        slow.advance(29 * SECOND);
        assert_eq!((slow.available(), slow.full_in_ns()), (0, SECOND));
        slow.advance(30 * SECOND);
        assert_eq!(slow.available(), 1);
    }

    #[test]
    fn another_rate_keeps_what_is_there() {
        let mut budget = Budget::new(&rate(100, RatePeriod::Second), 0);
        budget.spend(60);
        budget.set_rate(&rate(3000, RatePeriod::Minute));
        assert_eq!(budget.available(), 40);
        budget.set_rate(&rate(10, RatePeriod::Second));
        assert_eq!(budget.available(), 10);
    }

    #[test]
    fn nobody_is_kept_apart_while_there_is_enough() {
        let open = |pool, reserve| Handout {
            shares: None,
            pool,
            reserve,
        };
        assert_eq!(hand_out(&[], 100, 0), open(100, 5));
        assert_eq!(hand_out(&[90, 5], 100, 0), open(100, 5));
        assert_eq!(hand_out(&[], 1, 0), open(1, 1));
        assert_eq!(hand_out(&[], 0, 0), open(0, 0));
    }

    #[test]
    fn a_flood_gets_what_the_others_leave_but_for_the_reserve() {
        let handout = hand_out(&[1_000_000, 1], 10, 0);
        assert_eq!(handout.shares, Some(vec![8, 1]));
        assert_eq!((handout.pool, handout.reserve), (1, 1));
        let handout = hand_out(&[1_000_000, 1], 1, 0);
        assert_eq!(handout.shares, Some(vec![0, 0]));
        assert_eq!(handout.pool, 1);
    }

    proptest! {
        #[test]
        fn no_more_is_handed_out_than_there_is(
            wanted in prop::collection::vec(0..1000_u64, 0..40),
            available in 0..2000_u64,
        ) {
            let handout = hand_out(&wanted, available, 3);
            let shared: u64 = handout.shares.iter().flatten().sum();
            prop_assert!(shared + handout.pool <= available);
            prop_assert!(handout.reserve <= handout.pool);
            prop_assert_eq!(handout.reserve, available.div_ceil(20));
        }

        /// However time passes and whatever is wanted, as many are told as the rate allows, and a second's worth more.
        #[test]
        fn the_rate_is_kept_over_time(
            count in 1..10_000_u64,
            steps in prop::collection::vec((1..3_000_000_000_u64, 0..100_000_u64), 1..60),
        ) {
            let mut budget = Budget::new(&rate(count, RatePeriod::Second), 0);
            let (mut now_ns, mut told) = (0, 0);
            for (passed_ns, wanted) in steps {
                now_ns += passed_ns;
                budget.advance(now_ns);
                let now = wanted.min(budget.available());
                budget.spend(now);
                told += u128::from(now);
            }
            let allowed = u128::from(count) * u128::from(now_ns) / u128::from(SECOND) + u128::from(count);
            prop_assert!(told <= allowed, "{told} {allowed}");
        }
    }
}
