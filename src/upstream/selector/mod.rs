//! Choosing a backend: one small trait, one file per strategy.
//!
//! A strategy is pure: it sees the backends through [`Candidates`] and keeps only its position in the
//! rotation. It must not know sockets, health or the clock. The pool holds it behind a lock, so a pick
//! is short and never blocks. A new strategy is one new file plus one line in [`build`].

mod least_connections;
mod random;
mod round_robin;
mod weighted_round_robin;

#[cfg(test)]
mod fixture;

use crate::config::plan::Strategy;

/// What a strategy may know about the backends of a pool, by index in listed order.
///
/// The values are read from atomics that other threads write, so they may differ from one call to the
/// next. A strategy asks once per pick and never relies on two answers agreeing.
pub trait Candidates {
    /// How many backends there are, usable or not.
    fn len(&self) -> usize;
    /// Whether the backend may get this request. A drained backend (weight 0) never may.
    fn is_usable(&self, index: usize) -> bool;
    /// Its weight; at least 1 if it is usable.
    fn weight(&self, index: usize) -> u32;
    /// Its requests in flight, including tunnels.
    fn active(&self, index: usize) -> u32;
    /// Whether there are no backends.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A strategy.
pub trait Selector: Send {
    /// The index of the backend for the next request, or `None` if none is usable. Looks at each
    /// backend at most once. The list may have a different length each time.
    fn pick(&mut self, candidates: &dyn Candidates) -> Option<usize>;
}

/// The selector for a strategy. `seed` makes the random ones reproducible.
pub fn build(strategy: Strategy, seed: u64) -> Box<dyn Selector> {
    match strategy {
        Strategy::RoundRobin => Box::new(round_robin::RoundRobin::default()),
        Strategy::WeightedRoundRobin => Box::new(weighted_round_robin::WeightedRoundRobin::default()),
        Strategy::LeastConnections => Box::new(least_connections::LeastConnections::default()),
        Strategy::Random => Box::new(random::Random::new(seed)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::fixture::{Pool, pool};
    use super::*;

    const EVERY_STRATEGY: [Strategy; 4] =
        [Strategy::RoundRobin, Strategy::WeightedRoundRobin, Strategy::LeastConnections, Strategy::Random];

    #[test]
    fn an_empty_pool_yields_nothing() {
        for strategy in EVERY_STRATEGY {
            assert_eq!(build(strategy, 1).pick(&Pool::default()), None, "{strategy:?}");
        }
    }

    proptest! {
        /// For any pool that changes from pick to pick, even in length: a pick is usable, there is none
        /// only if no backend is usable, and each backend is looked at most once.
        #[test]
        fn every_pick_is_usable_and_the_search_is_bounded(
            seed in any::<u64>(),
            pools in prop::collection::vec(pool(0..12), 1..30),
        ) {
            for strategy in EVERY_STRATEGY {
                let mut selector = build(strategy, seed);
                for pool in &pools {
                    pool.looks.set(0);
                    let picked = selector.pick(pool);
                    prop_assert!(pool.looks.get() <= pool.len(), "{:?} looked {} times", strategy, pool.looks.get());
                    match picked {
                        Some(index) => prop_assert!(pool.backends[index].usable, "{:?}", strategy),
                        None => prop_assert!(pool.backends.iter().all(|b| !b.usable), "{:?}", strategy),
                    }
                }
            }
        }

        /// The only usable backend gets every request.
        #[test]
        fn the_last_one_standing_is_always_picked(pool in pool(1..12), lone in any::<prop::sample::Index>()) {
            let mut pool = pool;
            let lone = lone.index(pool.backends.len());
            for (index, backend) in pool.backends.iter_mut().enumerate() {
                backend.usable = index == lone;
                backend.weight = backend.weight.max(1);
            }
            for strategy in EVERY_STRATEGY {
                let mut selector = build(strategy, 7);
                for _ in 0..20 {
                    prop_assert_eq!(selector.pick(&pool), Some(lone));
                }
            }
        }
    }
}
