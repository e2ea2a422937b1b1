//! A pool of plain values for the selectors' tests. Counts how often it is looked at.

use std::cell::Cell;
use std::ops::Range;

use proptest::prelude::*;

use super::{Candidates, Selector};

/// One made-up backend.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) usable: bool,
    pub(super) weight: u32,
    pub(super) active: u32,
}

/// A made-up pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    pub(super) backends: Vec<Backend>,
    /// How often usability was checked since the test last reset this.
    pub(super) looks: Cell<usize>,
}

impl Pool {
    /// A pool of idle, usable backends with these weights.
    pub(super) fn of_weights(weights: &[u32]) -> Self {
        let backends =
            weights.iter().map(|&weight| Backend { usable: weight > 0, weight, active: 0 }).collect();
        Pool { backends, looks: Cell::new(0) }
    }

    /// A pool of usable backends of weight 1 with this many requests in flight.
    pub(super) fn of_active(active: &[u32]) -> Self {
        let backends = active.iter().map(|&active| Backend { usable: true, weight: 1, active }).collect();
        Pool { backends, looks: Cell::new(0) }
    }

    /// The next `count` picks, as letters in listed order: `AAB`. A dot is no pick.
    pub(super) fn letters(&self, selector: &mut dyn Selector, count: usize) -> String {
        let letter = |index| char::from(b'A' + u8::try_from(index).expect("test pools are small"));
        (0..count).map(|_| selector.pick(self).map_or('.', letter)).collect()
    }

    /// How often each backend is picked in the next `count` picks.
    pub(super) fn tally(&self, selector: &mut dyn Selector, count: usize) -> Vec<u32> {
        let mut tally = vec![0; self.backends.len()];
        for _ in 0..count {
            if let Some(index) = selector.pick(self) {
                tally[index] += 1;
            }
        }
        tally
    }
}

impl Candidates for Pool {
    fn len(&self) -> usize {
        self.backends.len()
    }
    fn is_usable(&self, index: usize) -> bool {
        self.looks.set(self.looks.get() + 1);
        self.backends[index].usable
    }
    fn weight(&self, index: usize) -> u32 {
        self.backends[index].weight
    }
    fn active(&self, index: usize) -> u32 {
        self.backends[index].active
    }
}

/// Any pool with a number of backends in this range.
pub(super) fn pool(backends: Range<usize>) -> impl Strategy<Value = Pool> {
    let backend = (any::<bool>(), 0u32..9, 0u32..6).prop_map(|(up, weight, active)| Backend {
        usable: up && weight > 0,
        weight,
        active,
    });
    prop::collection::vec(backend, backends).prop_map(|backends| Pool { backends, looks: Cell::new(0) })
}
