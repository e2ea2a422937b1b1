//! Picks the backend with the fewest requests in flight relative to its weight.
//!
//! Loads are compared as fractions by cross-multiplication, so there is no rounding: 1 of 3 is less
//! than 34 of 100. The caller raises the count before it connects, so a burst of picks spreads instead
//! of all landing on the backend that looked idle.

use super::{Candidates, Selector};

/// `least-connections`.
#[derive(Debug, Default)]
pub(super) struct LeastConnections {
    /// Where the search starts: after the last pick, so that ties rotate. Otherwise an idle pool would
    /// send everything to the first backend.
    next: usize,
}

/// Requests in flight per weight.
#[derive(Clone, Copy, Debug)]
struct Load {
    active: u32,
    weight: u32,
}

impl Selector for LeastConnections {
    fn pick(&mut self, candidates: &dyn Candidates) -> Option<usize> {
        let len = candidates.len();
        let start = if self.next < len { self.next } else { 0 };
        let mut best: Option<(usize, Load)> = None;
        for index in (start..len).chain(0..start).filter(|&index| candidates.is_usable(index)) {
            let load = Load { active: candidates.active(index), weight: candidates.weight(index) };
            if best.is_none_or(|(_, least)| load.is_below(least)) {
                best = Some((index, load));
            }
        }
        let (picked, _) = best?;
        self.next = picked + 1;
        Some(picked)
    }
}

impl Load {
    /// Whether this is strictly less: a tie stays with the one found first in the rotation.
    fn is_below(self, other: Load) -> bool {
        u64::from(self.active) * u64::from(other.weight) < u64::from(other.active) * u64::from(self.weight)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{Pool, pool};
    use super::*;

    #[test]
    fn picks_the_least_loaded() {
        assert_eq!(LeastConnections::default().pick(&Pool::of_active(&[3, 1, 2])), Some(1));
    }

    #[test]
    fn ties_rotate() {
        let mut selector = LeastConnections::default();
        assert_eq!(Pool::of_active(&[0, 0, 0]).letters(&mut selector, 7), "ABCABCA");
        assert_eq!(Pool::of_active(&[1, 0, 0]).letters(&mut selector, 4), "BCBC");
    }

    #[test]
    fn fractions_are_compared_exactly() {
        let mut pool = Pool::of_weights(&[100, 3]);
        pool.backends[0].active = 34;
        pool.backends[1].active = 1;
        assert_eq!(LeastConnections::default().pick(&pool), Some(1));
        pool.backends[0].active = 33;
        assert_eq!(LeastConnections::default().pick(&pool), Some(0));
    }

    #[test]
    fn the_largest_counts_and_weights_do_not_overflow() {
        let mut pool = Pool::of_weights(&[u32::MAX, u32::MAX]);
        pool.backends[0].active = u32::MAX;
        pool.backends[1].active = u32::MAX - 1;
        assert_eq!(LeastConnections::default().pick(&pool), Some(1));
    }

    proptest! {
        /// No usable backend has a smaller load than the one picked, from any place in the rotation.
        #[test]
        fn no_usable_backend_is_less_loaded(pool in pool(1..12), next in 0usize..20) {
            let Some(picked) = (LeastConnections { next }).pick(&pool) else { return Ok(()) };
            let picked = &pool.backends[picked];
            for other in pool.backends.iter().filter(|b| b.usable) {
                prop_assert!(picked.active * other.weight <= other.active * picked.weight);
            }
        }

        /// When every pick stays in flight, the counts end up in proportion to the weights.
        #[test]
        fn long_requests_spread_by_weight(weights in prop::collection::vec(1u32..9, 1..9), turns in 1u32..5) {
            let mut pool = Pool::of_weights(&weights);
            let mut selector = LeastConnections::default();
            for _ in 0..turns * weights.iter().sum::<u32>() {
                let picked = selector.pick(&pool).expect("all are usable");
                pool.backends[picked].active += 1;
            }
            // A backend is passed over only once its load exceeds another's, so none is more
            // than one request above its due.
            for backend in &pool.backends {
                prop_assert!(backend.active <= turns * backend.weight + 1, "{:?}", pool);
            }
        }
    }
}
