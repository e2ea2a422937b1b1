//! When a backend is probed next. Pure: it is told the time and given its chance.

use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::limits::PROBE_EVERY_IN_TRANSITION;

/// The probes of one backend: the first at once, the others on a fixed grid, so that a slow
/// probe does not push the next ones later, each a little off its grid point, so that many
/// balancers or backends do not probe in step.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    /// The grid point that comes next.
    grid: Moment,
    due: Moment,
}

impl Schedule {
    /// A schedule that starts now. `chance` is in 0..1 and shifts the whole grid.
    pub(super) fn new(interval: Duration, now: Moment, chance: f64) -> Self {
        Self { interval, grid: now + interval.mul_f64(chance), due: now }
    }

    /// When the next probe is due.
    pub(super) fn due(&self) -> Moment {
        self.due
    }

    /// Notes that the probe that was due has begun, or was left out, and plans the next.
    pub(super) fn began(&mut self, now: Moment, chance: f64) {
        while self.grid <= now {
            self.grid = self.grid + self.interval;
        }
        // A tenth of the interval to either side.
        let early = self.interval / 10;
        let jitter = (self.interval / 5).mul_f64(chance);
        let due = Moment::from_nanos(self.grid.as_nanos().saturating_sub(early.as_nanos() as u64)) + jitter;
        // The first grid point may be so near that it would be the same probe twice.
        self.due = if due.since(now) < self.interval / 4 { due + self.interval } else { due };
    }

    /// Brings the next probe forward: the last one contradicted the verdict.
    pub(super) fn hurry(&mut self, now: Moment) {
        self.due = self.due.min(now + self.interval.min(PROBE_EVERY_IN_TRANSITION));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment::from_nanos(1 << 40);

    #[test]
    fn the_first_probe_is_due_at_once() {
        assert_eq!(Schedule::new(Duration::from_secs(5), START, 0.9).due(), START);
    }

    #[test]
    fn a_contradiction_brings_the_next_probe_within_a_second_or_the_interval() {
        for (interval_ms, expected_ms) in [(5000, 1000), (300, 300)] {
            let mut schedule = Schedule::new(Duration::from_millis(interval_ms), START, 0.99);
            schedule.began(START, 0.99);
            schedule.hurry(START);
            assert!(schedule.due() <= START + Duration::from_millis(expected_ms));
        }
    }

    #[test]
    fn jitter_is_a_tenth_of_the_interval_to_either_side() {
        let interval = Duration::from_secs(10);
        for (chance, due_ms) in [(0.0, 14_000), (0.5, 15_000), (1.0, 16_000)] {
            let mut schedule = Schedule::new(interval, START, 0.5);
            schedule.began(START + interval.mul_f64(0.6), chance);
            assert_eq!(schedule.due(), START + Duration::from_millis(due_ms));
        }
    }

    proptest! {
        /// However late each probe is noticed and whatever chance does: over a long time there
        /// is one probe per interval, and none comes at the heels of another.
        #[test]
        fn probes_keep_to_the_grid(
            offset in 0.0..1.0_f64,
            steps in prop::collection::vec((0.0..1.0_f64, 0_u64..500), 50..100),
        ) {
            let interval = Duration::from_secs(1);
            let mut schedule = Schedule::new(interval, START, offset);
            let mut last: Option<Moment> = None;
            let count = steps.len() as u32;
            for (chance, late_ms) in steps {
                let now = schedule.due() + Duration::from_millis(late_ms);
                if let Some(last) = last {
                    prop_assert!(now.since(last) >= interval / 4);
                }
                schedule.began(now, chance);
                prop_assert!(schedule.due() > now);
                last = Some(now);
            }
            let took = schedule.due().since(START).as_secs_f64();
            prop_assert!((took - f64::from(count)).abs() <= 2.5, "{count} probes took {took} s");
        }
    }
}
