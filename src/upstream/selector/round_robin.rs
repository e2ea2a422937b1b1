//! Strict rotation in listed order; weights are ignored.
//!
//! Only the position in the rotation is kept. An unusable backend is skipped and the rotation continues
//! after the one that was picked, so the others keep their order and none is served twice to make up
//! for the missing one.

use super::{Candidates, Selector};

/// `round-robin`.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    /// Where the search for the next pick starts; may be past the end after the pool shrank.
    next: usize,
}

impl Selector for RoundRobin {
    /// One look while all are usable. A whole turn of the rotation looks at each backend once, no
    /// matter how many are down: a run of dead ones costs once per turn, not once per pick.
    fn pick(&mut self, candidates: &dyn Candidates) -> Option<usize> {
        let len = candidates.len();
        let start = if self.next < len { self.next } else { 0 };
        let picked = (start..len).chain(0..start).find(|&index| candidates.is_usable(index))?;
        self.next = picked + 1;
        Some(picked)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::{Pool, pool};
    use super::*;

    #[test]
    fn rotates_in_listed_order_and_ignores_weights() {
        let pool = Pool::of_weights(&[5, 1, 1]);
        assert_eq!(pool.letters(&mut RoundRobin::default(), 7), "ABCABCA");
    }

    #[test]
    fn a_down_backend_does_not_disturb_the_order() {
        let mut pool = Pool::of_weights(&[1, 1, 1, 1]);
        let mut selector = RoundRobin::default();
        assert_eq!(pool.letters(&mut selector, 2), "AB");
        pool.backends[2].usable = false;
        assert_eq!(pool.letters(&mut selector, 4), "DABD");
        pool.backends[2].usable = true;
        assert_eq!(pool.letters(&mut selector, 5), "ABCDA");
    }

    #[test]
    fn a_pick_looks_at_one_backend_while_all_are_usable() {
        let pool = Pool::of_weights(&[1; 1000]);
        pool.tally(&mut RoundRobin::default(), 2000);
        assert_eq!(pool.looks.get(), 2000);
    }

    #[test]
    fn a_turn_looks_at_each_backend_once_even_if_many_are_down() {
        let mut pool = Pool::of_weights(&[1; 1000]);
        for backend in pool.backends.iter_mut().skip(3) {
            backend.usable = false;
        }
        pool.tally(&mut RoundRobin::default(), 3 * 100 + 1);
        assert_eq!(pool.looks.get(), 100 * 1000 + 1);
    }

    proptest! {
        /// From any position in the rotation, each turn serves every usable backend once, in order.
        #[test]
        fn every_turn_serves_each_usable_backend_once(before in pool(1..12), pool in pool(1..12), steps in 0usize..30) {
            let mut selector = RoundRobin::default();
            before.tally(&mut selector, steps);
            let usable = pool.backends.iter().filter(|b| b.usable).count();
            for _ in 0..3 {
                for (index, count) in pool.tally(&mut selector, usable).into_iter().enumerate() {
                    prop_assert_eq!(count, u32::from(pool.backends[index].usable));
                }
            }
        }
    }
}
