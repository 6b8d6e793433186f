//! Sharing a number of events among those that want them.

/// Gives each what it wants, or where that is too much, as much as everybody else who wants more than it gets (max-min
/// fairness). What cannot be divided goes to those from place `first` on: with another `first` each time nobody goes without
/// for long, though there be more of them than events.
#[must_use]
pub fn share(wanted: &[u64], available: u64, first: usize) -> Vec<u64> {
    let mut shares = vec![0; wanted.len()];
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    // The modest first: what they leave is the others'.
    order.sort_by_key(|place| wanted[*place]);
    let mut left = available;
    let mut others = order.len() as u64;
    let mut level = 0;
    for place in order {
        level = left / others;
        if wanted[place] > level {
            break;
        }
        shares[place] = wanted[place];
        left -= wanted[place];
        others -= 1;
    }
    if others == 0 {
        return shares;
    }
    // The rest want more than `level` each, so that one more each is not too much.
    let mut odd = left - level * others;
    let count = wanted.len();
    for place in (0..count).map(|place| (place + first) % count) {
        if shares[place] == 0 && wanted[place] > level {
            let more = u64::from(odd > 0);
            shares[place] = level + more;
            odd -= more;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_modest_get_what_they_want_and_the_others_the_same() {
        assert!(share(&[], 10, 0).is_empty());
        assert_eq!(share(&[5], 10, 0), [5]);
        assert_eq!(share(&[5, 0, 7], 12, 0), [5, 0, 7]);
        assert_eq!(share(&[1_000_000, 1], 10, 0), [9, 1]);
        assert_eq!(share(&[2, 900, 900, 900], 20, 0), [2, 6, 6, 6]);
        assert_eq!(share(&[9, 9, 9], 10, 0), [4, 3, 3]);
        assert_eq!(share(&[9, 9, 9], 10, 1), [3, 4, 3]);
        assert_eq!(share(&[9, 9, 9], 11, 2), [4, 3, 4]);
        assert_eq!(share(&[9, 9, 9, 9], 2, 3), [1, 0, 0, 1]);
        assert_eq!(share(&[1, 1], 0, 0), [0, 0]);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_by_asking_for_more(
            wanted in prop::collection::vec(prop_oneof![0..4_u64, 0..200_u64, 0..u64::MAX / 64], 0..40),
            available in prop_oneof![0..4_u64, 0..500_u64, 0..u64::MAX],
            first in 0..100_usize,
        ) {
            let shares = share(&wanted, available, first);
            prop_assert_eq!(shares.len(), wanted.len());
            let all: u64 = wanted.iter().sum();
            // All that there is, and never more.
            prop_assert_eq!(shares.iter().sum::<u64>(), all.min(available));
            let fair = available / wanted.len().max(1) as u64;
            for (want, share) in wanted.iter().zip(&shares) {
                prop_assert!(share <= want);
                // Who wants no more than a fair share gets it.
                prop_assert!(*share >= (*want).min(fair), "{want} {share} {fair}");
            }
            // Who goes without a part of what it wants has no less than anybody, but for what cannot be divided.
            let most = shares.iter().max().copied().unwrap_or(0);
            for (want, share) in wanted.iter().zip(&shares) {
                prop_assert!(share == want || share + 1 >= most, "{want} {share} {most}");
            }
        }

        #[test]
        fn nobody_goes_without_for_long(count in 1..50_usize, available in 1..50_u64) {
            let wanted = vec![u64::MAX / 64; count];
            let mut sums = vec![0; count];
            for first in 0..count {
                for (sum, share) in sums.iter_mut().zip(share(&wanted, available, first)) {
                    *sum += share;
                }
            }
            prop_assert!(sums.iter().all(|sum| *sum == available));
        }
    }
}
