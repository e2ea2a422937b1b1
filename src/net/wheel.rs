//! Deadlines: a hashed timing wheel over slots of a slab, all operations constant-time.
//!
//! Pure data: it is told the time. A wheel rather than one list per kind of timeout,
//! because deadlines that run from the first byte, over all tries or from a route's own
//! timeout come in no order.

#![expect(
    clippy::indexing_slicing,
    reason = "INVARIANT: a slot has a link from its first insertion on, lists hold such slots only, and buckets are taken modulo their number"
)]

use crate::base::clock::Moment;

/// 2^24 ns, about 17 ms: how late a deadline may fire.
const TICK_BITS: u32 = 24;
/// About 17 s in one turn; a later deadline is passed over once per turn.
const BUCKETS: usize = 1024;
const NONE: u32 = u32::MAX;

/// Deadlines by slot number.
#[derive(Debug)]
pub struct Wheel {
    heads: Box<[u32; BUCKETS]>,
    occupied: [u64; BUCKETS / 64],
    links: Vec<Link>,
    tick: u64,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
    bucket: u32,
    deadline: Moment,
}

impl Wheel {
    /// An empty wheel that starts at `now`.
    pub fn new(now: Moment) -> Self {
        Self {
            heads: Box::new([NONE; BUCKETS]),
            occupied: [0; BUCKETS / 64],
            links: Vec::new(),
            tick: tick_of(now),
        }
    }

    /// Sets the deadline of a slot that has none.
    pub fn insert(&mut self, slot: u32, deadline: Moment) {
        let index = slot as usize;
        if self.links.len() <= index {
            let unset = Link { previous: NONE, next: NONE, bucket: NONE, deadline: Moment::NEVER };
            self.links.resize(index + 1, unset);
        }
        // A deadline that has passed already belongs to the bucket that is looked at next.
        let bucket = bucket_of(tick_of(deadline).max(self.tick));
        let next = self.heads[bucket];
        self.links[index] = Link { previous: NONE, next, bucket: bucket as u32, deadline };
        if next != NONE {
            self.links[next as usize].previous = slot;
        }
        self.heads[bucket] = slot;
        self.occupied[bucket / 64] |= 1 << (bucket % 64);
    }

    /// Takes away the deadline of a slot that has one.
    pub fn remove(&mut self, slot: u32) {
        debug_assert!((slot as usize) < self.links.len(), "slot {slot} never had a deadline");
        let Link { previous, next, bucket, .. } = self.links[slot as usize];
        let bucket = bucket as usize;
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        if previous != NONE {
            self.links[previous as usize].next = next;
        } else {
            self.heads[bucket] = next;
            if next == NONE {
                self.occupied[bucket / 64] &= !(1 << (bucket % 64));
            }
        }
    }

    /// Adds to `due` every slot whose deadline is not after `now`. They keep their place:
    /// the caller removes each.
    pub fn due(&mut self, now: Moment, due: &mut Vec<u32>) {
        let end = tick_of(now);
        let ticks = (end.saturating_sub(self.tick)).min(BUCKETS as u64 - 1);
        for tick in end - ticks..=end {
            let mut slot = self.heads[bucket_of(tick)];
            while slot != NONE {
                let link = self.links[slot as usize];
                if link.deadline <= now {
                    due.push(slot);
                }
                slot = link.next;
            }
        }
        // The present tick is not over: it is looked at again.
        self.tick = self.tick.max(end);
    }

    /// When to look again: not before the soonest deadline, and at most a tick after it.
    /// Earlier than that for deadlines more than a turn away.
    pub fn next(&self) -> Moment {
        let start = bucket_of(self.tick);
        let words = self.occupied.len();
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let bucket = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (bucket + BUCKETS - start) % BUCKETS;
                return Moment::from_nanos((self.tick + ahead as u64 + 1) << TICK_BITS);
            }
        }
        Moment::NEVER
    }
}

fn tick_of(moment: Moment) -> u64 {
    moment.as_nanos() >> TICK_BITS
}

fn bucket_of(tick: u64) -> usize {
    (tick % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_wheel_never_wakes() {
        assert_eq!(Wheel::new(Moment::from_nanos(5)).next(), Moment::NEVER);
    }

    #[test]
    fn a_deadline_that_has_passed_fires_at_once() {
        let start = Moment::from_nanos(100_000_000_000);
        let mut wheel = Wheel::new(start);
        wheel.insert(3, Moment::from_nanos(7));
        let mut due = Vec::new();
        wheel.due(start, &mut due);
        assert_eq!(due, [3]);
        wheel.remove(3);
        assert_eq!(wheel.next(), Moment::NEVER);
    }

    proptest! {
        /// Against a plain map: what is due is due, nothing else is, and `next` never
        /// sleeps past a deadline by more than a tick.
        #[test]
        fn behaves_like_a_list_that_is_searched(
            steps in prop::collection::vec((0_u32..40, 0_u64..60_000, 0_u64..4_000), 1..200)
        ) {
            let mut now = Moment::from_nanos(1 << 40);
            let mut wheel = Wheel::new(now);
            let mut model = BTreeMap::new();
            for (slot, ahead_ms, passes_ms) in steps {
                if model.remove(&slot).is_some() {
                    wheel.remove(slot);
                }
                let deadline = now + Duration::from_millis(ahead_ms);
                wheel.insert(slot, deadline);
                model.insert(slot, deadline);
                if let Some(&soonest) = model.values().min() {
                    prop_assert!(wheel.next() <= soonest + Duration::from_nanos(1 << TICK_BITS));
                }
                now = now + Duration::from_millis(passes_ms);
                let mut due = Vec::new();
                wheel.due(now, &mut due);
                due.sort_unstable();
                let expected: Vec<u32> =
                    model.iter().filter(|(_, at)| **at <= now).map(|(&slot, _)| slot).collect();
                prop_assert_eq!(&due, &expected);
                for slot in due {
                    wheel.remove(slot);
                    model.remove(&slot);
                }
            }
        }
    }
}
