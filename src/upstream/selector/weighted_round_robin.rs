//! Smooth rotation in proportion to weight: 5:1:1 gives A A B A C A A, never five in a row
//! within a turn.
//!
//! Each backend has a credit. Every pick gives each usable backend its weight in credit, picks the one
//! with the most, and takes one whole turn (the sum of the usable weights) from it. After a turn the
//! credits are back where they were, so any window of that length contains each backend exactly weight
//! times.
//!
//! The known weakness of this scheme is change. Credit is counted in turns, and the length of a turn
//! changes when a backend goes down, comes back or is reweighted: one of 1 000 equal backends that was
//! about to be picked has nearly 1 000 credits, and if it came back to a pool of two it would be picked
//! 500 times in a row. So a credit remembers the length of the turn in which it was earned and is
//! converted when that changes. What is kept is the share of a turn: no backend bursts, and none loses
//! its position, as all but the first would if the credits were reset to zero.

use super::{Candidates, Selector};

/// `weighted-round-robin`.
#[derive(Debug, Default)]
pub(super) struct WeightedRoundRobin {
    /// One per backend, in listed order.
    shares: Vec<Share>,
}

/// One backend's position in the rotation.
#[derive(Clone, Debug, Default)]
struct Share {
    /// Its weight in this pick; 0 if it takes no part.
    weight: i64,
    /// What it is owed, in weight times [`PRECISION`]; negative if it owes.
    credit: i64,
    /// The turn that `credit` relates to: the sum of the weights when it last took part.
    turn: i64,
}

/// Conversion rounds towards zero. At this precision a backend that takes part in a pick gains 1 024
/// times more than rounding can take away, so a flapping neighbour starves no one. Without change there
/// is no conversion and no rounding.
const PRECISION: i64 = 1 << 10;

impl Selector for WeightedRoundRobin {
    /// Asks each backend once, then works on its own copy: weights may change meanwhile, and the sum
    /// must be that of the weights that are then used.
    fn pick(&mut self, candidates: &dyn Candidates) -> Option<usize> {
        self.shares.resize(candidates.len(), Share::default());
        let mut turn = 0i64;
        for (index, share) in self.shares.iter_mut().enumerate() {
            share.weight = if candidates.is_usable(index) { i64::from(candidates.weight(index)) } else { 0 };
            turn += share.weight;
        }
        let mut best: Option<(usize, i64)> = None;
        for (index, share) in self.shares.iter_mut().enumerate().filter(|(_, share)| share.weight > 0) {
            share.convert_to(turn);
            share.credit = share.credit.saturating_add(share.weight * PRECISION);
            if best.is_none_or(|(_, credit)| share.credit > credit) {
                best = Some((index, share.credit));
            }
        }
        let (picked, _) = best?;
        let share = self.shares.get_mut(picked)?;
        share.credit = share.credit.saturating_sub(turn.saturating_mul(PRECISION));
        Some(picked)
    }
}

impl Share {
    /// Converts the credit to turns of another length, limited to one turn either way.
    ///
    /// The limit applies here and not on every pick: an undisturbed pool reaches 1.2 turns (measured
    /// over random weights), and cutting that off would make its windows inexact.
    fn convert_to(&mut self, turn: i64) {
        if self.turn == turn {
            return;
        }
        if self.turn > 0 {
            let whole = i128::from(turn) * i128::from(PRECISION);
            let credit = i128::from(self.credit) * i128::from(turn) / i128::from(self.turn);
            self.credit = i64::try_from(credit.clamp(-whole, whole)).unwrap_or(0);
        }
        self.turn = turn;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{Pool, pool};
    use super::*;

    #[test]
    fn five_one_one_is_smooth() {
        let pool = Pool::of_weights(&[5, 1, 1]);
        assert_eq!(pool.letters(&mut WeightedRoundRobin::default(), 14), "AABACAAAABACAA");
    }

    #[test]
    fn equal_weights_rotate() {
        let pool = Pool::of_weights(&[3, 3, 3]);
        assert_eq!(pool.letters(&mut WeightedRoundRobin::default(), 7), "ABCABCA");
    }

    #[test]
    fn a_drained_backend_takes_no_part() {
        let pool = Pool::of_weights(&[2, 0, 1]);
        assert_eq!(pool.letters(&mut WeightedRoundRobin::default(), 6), "ACAACA");
    }

    #[test]
    fn the_largest_weights_do_not_overflow() {
        let pool = Pool::of_weights(&[u32::MAX; 1000]);
        let mut selector = WeightedRoundRobin::default();
        pool.tally(&mut selector, 500);
        assert_eq!(pool.tally(&mut selector, 1000), vec![1; 1000]);
    }

    #[test]
    fn a_backend_that_returns_to_a_smaller_pool_does_not_burst() {
        let mut pool = Pool::of_weights(&[1; 1000]);
        let mut selector = WeightedRoundRobin::default();
        // The last of the row is owed 999 credits when it goes down, and the pool shrinks to two.
        pool.tally(&mut selector, 999);
        pool.backends[999].usable = false;
        pool.tally(&mut selector, 10);
        for backend in pool.backends.iter_mut().skip(1) {
            backend.usable = false;
        }
        pool.backends[999].usable = true;
        let tally = pool.tally(&mut selector, 20);
        assert!((9..=12).contains(&tally[999]), "{} of 20", tally[999]);
        assert!((8..=11).contains(&tally[0]), "{} of 20", tally[0]);
    }

    #[test]
    fn a_reweighted_backend_does_not_burst() {
        let mut pool = Pool::of_weights(&[100, 1, 1]);
        let mut selector = WeightedRoundRobin::default();
        pool.tally(&mut selector, 50);
        pool.backends[0].weight = 1;
        for _ in 0..10 {
            for count in pool.tally(&mut selector, 3) {
                assert!(count <= 2);
            }
        }
    }

    proptest! {
        /// Any window of sum(weights) picks holds each backend exactly weight times.
        #[test]
        fn every_window_is_exact(weights in prop::collection::vec(0u32..9, 1..9), start in 0usize..100) {
            let pool = Pool::of_weights(&weights);
            let turn = weights.iter().sum::<u32>() as usize;
            let mut selector = WeightedRoundRobin::default();
            pool.tally(&mut selector, start);
            prop_assert_eq!(pool.tally(&mut selector, turn), weights);
        }

        /// After any disturbance of a pool the next windows are at most one out, and from the
        /// third on they are exact again.
        #[test]
        fn a_disturbed_rotation_stays_smooth_and_is_soon_exact_again(
            weights in prop::collection::vec(1u32..9, 1..9),
            masks in prop::collection::vec(any::<u16>(), 0..60),
        ) {
            let mut selector = WeightedRoundRobin::default();
            let pool = Pool::of_weights(&weights);
            let mut disturbed = pool.clone();
            for mask in masks {
                for (index, backend) in disturbed.backends.iter_mut().enumerate() {
                    backend.usable = mask & (1 << index) != 0;
                }
                selector.pick(&disturbed);
            }
            let turn = weights.iter().sum::<u32>() as usize;
            for window in 0..6 {
                let tally = pool.tally(&mut selector, turn);
                let off = tally.iter().zip(&weights).map(|(&got, &due)| got.abs_diff(due)).max();
                prop_assert!(off <= Some(u32::from(window < 2)), "window {} is {:?} of {:?}", window, tally, weights);
            }
        }

        /// A backend that stays usable is served although the others come, go and change weight
        /// on every pick.
        #[test]
        fn no_backend_starves_among_flapping_neighbours(pools in prop::collection::vec(pool(6..7), 1..20)) {
            let mut selector = WeightedRoundRobin::default();
            let mut since_served = 0;
            for pool in pools.iter().cycle().take(400) {
                let mut pool = pool.clone();
                pool.backends[5] = super::super::fixture::Backend { usable: true, weight: 1, active: 0 };
                since_served = if selector.pick(&pool) == Some(5) { 0 } else { since_served + 1 };
                // Five neighbours of weight 8 make a turn of 41; twice that, for the change.
                prop_assert!(since_served <= 2 * 41);
            }
        }
    }
}
