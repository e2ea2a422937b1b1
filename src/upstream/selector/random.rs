//! Random by weight, from a seeded generator so that a simulation can be replayed.
//!
//! One pass with no memory of earlier picks: the k-th usable backend replaces the choice so far with
//! probability weight / (sum of the weights up to it), which leaves each with weight / (sum of all).
//! Drawing a number and then walking to it would walk the list twice, and could fall off its end if a
//! weight shrinks in between.

use super::{Candidates, Selector};

/// `random`.
#[derive(Debug)]
pub(super) struct Random {
    rng: fastrand::Rng,
}

impl Random {
    /// A generator that gives the same picks for the same seed and the same pool.
    pub(super) fn new(seed: u64) -> Self {
        Random { rng: fastrand::Rng::with_seed(seed) }
    }
}

impl Selector for Random {
    fn pick(&mut self, candidates: &dyn Candidates) -> Option<usize> {
        let mut sum = 0u64;
        let mut picked = None;
        for index in (0..candidates.len()).filter(|&index| candidates.is_usable(index)) {
            // A weight that was set to 0 since the check above still counts for this last request.
            let weight = u64::from(candidates.weight(index).max(1));
            sum += weight;
            if self.rng.u64(..sum) < weight {
                picked = Some(index);
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{Pool, pool};
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_picks() {
        let pool = Pool::of_weights(&[5, 1, 1, 9]);
        let picks = |seed| pool.letters(&mut Random::new(seed), 50);
        assert_eq!(picks(42), picks(42));
        assert_ne!(picks(42), picks(43));
    }

    proptest! {
        /// Over many picks each backend's share follows its weight, for any seed: within six standard
        /// deviations, which chance alone exceeds once in 500 million times.
        #[test]
        fn shares_follow_weights(pool in pool(1..8), seed in any::<u64>()) {
            let picks = 4000;
            let tally = pool.tally(&mut Random::new(seed), picks);
            let usable = || pool.backends.iter().filter(|b| b.usable);
            let sum: u32 = usable().map(|b| b.weight).sum();
            for (count, backend) in tally.into_iter().zip(&pool.backends).filter(|(_, b)| b.usable) {
                let share = f64::from(backend.weight) / f64::from(sum);
                let due = share * picks as f64;
                let deviation = (due * (1.0 - share)).sqrt();
                prop_assert!((f64::from(count) - due).abs() <= 6.0 * deviation + 1e-9, "{} is not {}", count, due);
            }
        }
    }
}
