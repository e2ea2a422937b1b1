//! When to probe a backend next. Pure: time and randomness are passed in.

use std::time::Duration;

use crate::base::clock::Moment;
use crate::base::limits::{PROBE_AHEAD_EVERY, PROBE_EVERY_IN_TRANSITION};

/// The probes of one backend. The first is immediate; the others follow a fixed grid, so that a slow
/// probe does not delay later ones, each slightly off its grid point, so that many balancers or
/// backends do not probe in step. In addition there may be one probe ahead of the grid.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    /// The next grid point.
    grid: Moment,
    due: Moment,
    /// When a probe ahead of the grid is due.
    ahead: Moment,
    /// When the last probe began.
    began: Option<Moment>,
}

impl Schedule {
    /// A schedule that starts now. `chance` is in 0..1 and shifts the whole grid.
    pub(super) fn new(interval: Duration, now: Moment, chance: f64) -> Self {
        Self { interval, grid: now + interval.mul_f64(chance), due: now, ahead: Moment::NEVER, began: None }
    }

    /// The schedule after the check has changed. Its first probe is also immediate, but keeps the
    /// minimum distance from the last one, no matter how often the check changes.
    #[must_use]
    pub(super) fn replaced(&self, interval: Duration, now: Moment, chance: f64) -> Self {
        let due = self.began.map_or(now, |began| now.max(began + PROBE_AHEAD_EVERY));
        // An earlier due time is kept, or a check that changes constantly would never run.
        Self { due: due.min(self.due), began: self.began, ..Self::new(interval, now, chance) }
    }

    /// When the next probe on the grid is due.
    pub(super) fn due(&self) -> Moment {
        self.due
    }

    /// When a probe ahead of the grid is due; [`Moment::NEVER`] if there is none.
    pub(super) fn ahead(&self) -> Moment {
        self.ahead
    }

    /// Records that the due probe has begun, and plans the next.
    pub(super) fn began(&mut self, now: Moment, chance: f64) {
        self.began = Some(now);
        self.ahead = Moment::NEVER;
        while self.grid <= now {
            self.grid = self.grid + self.interval;
        }
        // A tenth of the interval to either side.
        let early = self.interval / 10;
        let jitter = (self.interval / 5).mul_f64(chance);
        let due = Moment::from_nanos(self.grid.as_nanos().saturating_sub(early.as_nanos() as u64)) + jitter;
        // The first grid point may be so close that it would be the same probe twice.
        self.due = if due.since(now) < self.interval / 4 { due + self.interval } else { due };
    }

    /// Brings the next probe forward, because the last one contradicted the state.
    pub(super) fn hurry(&mut self, now: Moment) {
        self.due = self.due.min(now + self.interval.min(PROBE_EVERY_IN_TRANSITION));
    }

    /// Requests a probe ahead of the grid, as soon as one is allowed.
    pub(super) fn ask(&mut self, now: Moment) {
        let soonest = self.began.map_or(now, |began| now.max(began + PROBE_AHEAD_EVERY));
        self.ahead = self.ahead.min(soonest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment::from_nanos(1 << 40);

    #[test]
    fn the_first_probe_is_due_immediately() {
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
    fn a_probe_ahead_of_the_grid_leaves_the_grid_alone_and_comes_at_most_every_quarter_of_a_second() {
        let mut schedule = Schedule::new(Duration::from_secs(5), START, 0.5);
        assert_eq!(schedule.ahead(), Moment::NEVER);
        schedule.began(START, 0.5);
        let due = schedule.due();
        for _ in 0..10 {
            schedule.ask(START + Duration::from_millis(10));
        }
        assert_eq!(schedule.ahead(), START + PROBE_AHEAD_EVERY);
        schedule.began(START + PROBE_AHEAD_EVERY, 0.5);
        assert_eq!((schedule.ahead(), schedule.due()), (Moment::NEVER, due));
        schedule.ask(START + Duration::from_secs(1));
        assert_eq!(schedule.ahead(), START + Duration::from_secs(1));
    }

    #[test]
    fn a_check_that_changes_constantly_runs_at_most_every_quarter_of_a_second() {
        let interval = Duration::from_secs(5);
        let mut schedule = Schedule::new(interval, START, 0.5);
        let mut probes = 0;
        for change in 0..100 {
            let now = START + Duration::from_millis(100) * change;
            schedule = schedule.replaced(interval, now, 0.5);
            if schedule.due() <= now {
                schedule.began(now, 0.5);
                probes += 1;
            }
        }
        // Ten seconds. With a change every 100 ms, every third one finds a probe due.
        assert!((30..=40).contains(&probes), "{probes}");
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
        /// However late each probe is noticed, and for any randomness: in the long run there is one
        /// probe per interval, and none follows too closely on another.
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
