//! Counts events over the last ten seconds.
//!
//! Counts are kept in slots of half a second, so a window is accurate to half a second and takes the
//! same memory at any rate. Pure: the time is passed in.

use std::time::Duration;

use crate::base::clock::Moment;

/// How far back a count reaches.
pub const WINDOW: Duration = Duration::from_secs(10);

/// The length of one slot.
const SLOT: Duration = Duration::from_millis(500);

/// Slots in a window, and one more for the part of a slot at its far end.
const SLOTS: usize = (WINDOW.as_millis() / SLOT.as_millis()) as usize + 1;

/// A count over the last [`WINDOW`].
#[derive(Clone, Debug, Default)]
pub struct Recent {
    slots: [u32; SLOTS],
    /// The number of the newest slot, counted from the clock's zero.
    newest: u64,
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: slots are taken modulo their number")]
impl Recent {
    /// Counts `count` events at `now`.
    pub fn add(&mut self, count: u64, now: Moment) {
        self.advance(now);
        let slot = &mut self.slots[self.newest as usize % SLOTS];
        *slot = slot.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// The number of events in the window that ends now.
    pub fn sum(&mut self, now: Moment) -> u64 {
        self.advance(now);
        self.slots.iter().map(|&count| u64::from(count)).sum()
    }

    /// Resets all counts.
    pub fn clear(&mut self) {
        self.slots = [0; SLOTS];
    }

    /// Empties the slots between the newest and the one of `now`. Another thread's clock reading may be
    /// slightly behind; its events go into the newest slot.
    fn advance(&mut self, now: Moment) {
        let slot = now.as_nanos() / SLOT.as_nanos() as u64;
        let passed = slot.saturating_sub(self.newest);
        for step in 1..=passed.min(SLOTS as u64) {
            self.slots[(self.newest + step) as usize % SLOTS] = 0;
        }
        self.newest = self.newest.max(slot);
        if passed > SLOTS as u64 {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(1 << 50) + Duration::from_millis(millis)
    }

    #[test]
    fn what_is_older_than_ten_seconds_is_forgotten() {
        let mut recent = Recent::default();
        recent.add(2, at(0));
        recent.add(1, at(9_000));
        assert_eq!(recent.sum(at(9_900)), 3);
        assert_eq!(recent.sum(at(10_600)), 1);
        assert_eq!(recent.sum(at(19_600)), 0);
    }

    #[test]
    fn a_pause_of_any_length_resets_the_count() {
        for millis in [11_000, 21_500, 1_000_000] {
            let mut recent = Recent::default();
            recent.add(5, at(0));
            assert_eq!(recent.sum(at(millis)), 0, "after {millis} ms");
        }
    }

    #[test]
    fn a_clock_that_is_behind_loses_nothing() {
        let mut recent = Recent::default();
        recent.add(1, at(5_000));
        recent.add(1, at(3_000));
        assert_eq!(recent.sum(at(5_000)), 2);
    }
}
