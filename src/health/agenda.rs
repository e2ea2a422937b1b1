//! When the health thread does what: a timer per backend, and the probes ahead of schedule, whose rate
//! is limited.
//!
//! Pure data keyed by backend id; the time is passed in. Every operation takes logarithmic time in the
//! number of backends.

use std::collections::{BTreeSet, HashMap};

use crate::base::clock::Moment;
use crate::base::limits::PROBES_AHEAD_PER_SECOND;

/// The timers of all backends.
#[derive(Debug)]
pub(super) struct Agenda {
    timers: Timers,
    ahead: Timers,
    rate: Rate,
}

impl Agenda {
    /// An empty agenda.
    pub(super) fn new(now: Moment) -> Self {
        Self { timers: Timers::default(), ahead: Timers::default(), rate: Rate::new(now) }
    }

    /// Sets when there is something to do for a backend; [`Moment::NEVER`] if nothing.
    pub(super) fn set(&mut self, backend: u32, at: Moment) {
        self.timers.set(backend, at);
    }

    /// Sets when to probe a backend ahead of schedule; [`Moment::NEVER`] for not at all.
    pub(super) fn set_ahead(&mut self, backend: u32, at: Moment) {
        self.ahead.set(backend, at);
    }

    /// Removes a backend.
    pub(super) fn forget(&mut self, backend: u32) {
        self.timers.set(backend, Moment::NEVER);
        self.ahead.set(backend, Moment::NEVER);
    }

    /// Takes a backend with something due.
    pub(super) fn next_due(&mut self, now: Moment) -> Option<u32> {
        self.timers.pop(now)
    }

    /// Takes a backend to probe ahead of schedule, the one that has waited longest, if the rate allows
    /// another.
    pub(super) fn next_ahead(&mut self, now: Moment) -> Option<u32> {
        if self.ahead.first() > now || !self.rate.take(now) {
            return None;
        }
        self.ahead.pop(now)
    }

    /// When to look again.
    pub(super) fn wakes_at(&self, now: Moment) -> Moment {
        let ahead = self.ahead.first();
        let ahead = if ahead <= now { self.rate.next() } else { ahead };
        self.timers.first().min(ahead)
    }
}

/// At most one moment per backend.
#[derive(Debug, Default)]
struct Timers {
    by_time: BTreeSet<(Moment, u32)>,
    by_backend: HashMap<u32, Moment>,
}

impl Timers {
    fn set(&mut self, backend: u32, at: Moment) {
        let before = match at {
            Moment::NEVER => self.by_backend.remove(&backend),
            at => self.by_backend.insert(backend, at),
        };
        if before == Some(at) {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, backend));
        }
        if at != Moment::NEVER {
            self.by_time.insert((at, backend));
        }
    }

    fn first(&self) -> Moment {
        self.by_time.first().map_or(Moment::NEVER, |&(at, _)| at)
    }

    fn pop(&mut self, now: Moment) -> Option<u32> {
        let &(at, backend) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.set(backend, Moment::NEVER);
        Some(backend)
    }
}

/// Limits the rate of probes ahead of schedule: evenly spaced, with a short burst after a quiet time.
#[derive(Debug)]
struct Rate {
    /// When the next one would be made if all were evenly spaced.
    next: Moment,
}

/// The time between two probes.
const SPACING_NANOS: u64 = 1_000_000_000 / PROBES_AHEAD_PER_SECOND as u64;
/// The largest burst: what is due within 100 ms.
const BURST: u64 = PROBES_AHEAD_PER_SECOND as u64 / 10;

impl Rate {
    fn new(now: Moment) -> Self {
        Self { next: now }
    }

    fn take(&mut self, now: Moment) -> bool {
        let quiet = Moment::from_nanos(now.as_nanos().saturating_sub(BURST * SPACING_NANOS));
        let next = self.next.max(quiet);
        if next > now {
            return false;
        }
        self.next = Moment::from_nanos(next.as_nanos() + SPACING_NANOS);
        true
    }

    fn next(&self) -> Moment {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment::from_nanos(1 << 40);

    #[test]
    fn probes_ahead_of_schedule_are_bounded_and_every_backend_gets_a_turn() {
        const BACKENDS: u32 = 1000;
        let mut agenda = Agenda::new(START);
        for backend in 0..BACKENDS {
            agenda.set_ahead(backend, START);
        }
        let mut probes = vec![0; BACKENDS as usize];
        let (end, mut now) = (START + Duration::from_secs(10), START);
        while now < end {
            while let Some(backend) = agenda.next_ahead(now) {
                probes[backend as usize] += 1;
                agenda.set_ahead(backend, now + Duration::from_millis(250));
            }
            let next = agenda.wakes_at(now);
            assert!(next > now, "the thread would spin");
            now = next;
        }
        let total: u32 = probes.iter().sum();
        assert!((1990..=2030).contains(&total), "{total} probes in ten seconds");
        let (least, most) = (probes.iter().min().unwrap(), probes.iter().max().unwrap());
        assert!(most - least <= 1, "between {least} and {most} probes each");
    }

    #[test]
    fn a_removed_backend_does_not_come_up() {
        let mut agenda = Agenda::new(START);
        agenda.set(1, START);
        agenda.set_ahead(1, START);
        agenda.forget(1);
        assert_eq!((agenda.next_due(START), agenda.next_ahead(START)), (None, None));
        assert_eq!(agenda.wakes_at(START), Moment::NEVER);
    }

    proptest! {
        /// Against a plain list: each due entry comes out once, in order of time.
        #[test]
        fn behaves_like_a_list_that_is_sorted(
            steps in prop::collection::vec((0_u32..20, 0_u64..5_000, 0_u64..1_000), 1..100)
        ) {
            let mut timers = Timers::default();
            let mut model: HashMap<u32, Moment> = HashMap::new();
            let mut now = START;
            for (backend, ahead_ms, passes_ms) in steps {
                let at = now + Duration::from_millis(ahead_ms);
                timers.set(backend, at);
                model.insert(backend, at);
                prop_assert_eq!(timers.first(), *model.values().min().unwrap());
                now = now + Duration::from_millis(passes_ms);
                let mut expected: Vec<_> =
                    model.iter().filter(|&(_, &at)| at <= now).map(|(&backend, &at)| (at, backend)).collect();
                expected.sort_unstable();
                model.retain(|_, at| *at > now);
                let found: Vec<_> = std::iter::from_fn(|| timers.pop(now)).collect();
                prop_assert_eq!(found, expected.into_iter().map(|(_, backend)| backend).collect::<Vec<_>>());
            }
        }
    }
}
