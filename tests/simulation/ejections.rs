//! What must hold for ejections, in any order of events.

use std::time::Duration;

use ropewalk::internal::upstream::ejection::View;
use ropewalk::internal::upstream::pool::Ask;

use super::member::Member;
use super::{FLIGHTS_MAX, World};

impl World {
    /// Everything answers: each ejected member gets its trial in time, and serves again.
    pub(super) fn ejections_end(&mut self) {
        for _ in 0..FLIGHTS_MAX {
            while let Some(mut flight) = self.take_flight() {
                flight.lease.answered(self.now);
                drop(flight);
                self.check();
            }
        }
        let ejected = |world: &Self| {
            world
                .pool
                .backends()
                .iter()
                .filter_map(|backend| backend.ejection())
                .max_by_key(|view| view.until)
        };
        if let Some(View { until, .. }) = ejected(self) {
            self.now = self.now.max(until);
            self.pool.ward().tick(self.now);
            self.check();
        }
        for _ in 0..200 * self.members.len() {
            let drained = |index: &usize| self.members[*index].weight == 0;
            if (0..self.members.len()).filter(|index| !drained(index)).all(|index| self.view(index).is_none())
            {
                return;
            }
            self.attempt(Ask { idempotent: true, ..Ask::default() }, Vec::new(), 0);
            while let Some(mut flight) = self.take_flight() {
                flight.lease.answered(self.now);
                drop(flight);
                self.check();
            }
        }
        panic!("an ejected member that would answer was not tried");
    }

    /// What holds for ejections after every event.
    pub(super) fn check_ejections(&mut self) {
        let serving = |member: &Member| member.up && member.weight > 0;
        let count = self.members.iter().filter(|member| serving(member)).count();
        let views: Vec<_> = self.pool.backends().iter().map(|backend| backend.ejection()).collect();
        let ejected =
            views.iter().zip(&self.members).filter(|(view, m)| view.is_some() && serving(m)).count();
        assert!(count == 0 || ejected < count, "{ejected} of {count} are ejected: the last one too");
        for (index, view) in views.into_iter().enumerate() {
            let before = self.members[index].ejection;
            let Some(rules) = self.ejection.as_ref().filter(|_| view != before) else { continue };
            if let Some(View { until, .. }) = view {
                let time = until.since(self.now);
                let expected = match (before, self.members[index].ejected_for) {
                    (Some(_), Some((last, _))) => (last * 2).min(rules.time_max),
                    (None, Some((last, ended))) if self.now.since(ended) <= Duration::from_secs(60) => {
                        (last * 2).min(rules.time_max)
                    }
                    _ => rules.time,
                };
                assert_eq!(time, expected, "time of the ejection of {index}");
                // A member that is ejected for longer was ejected before.
                if before.is_none() {
                    let most = (count * rules.pool_max as usize / 100).max(1);
                    assert!(ejected <= most, "{ejected} of {count} are ejected");
                }
                self.members[index].ejected_for = Some((time, self.now));
            } else if let Some((_, ended)) = &mut self.members[index].ejected_for {
                *ended = self.now;
            }
            self.members[index].ejection = view;
        }
        assert!(self.ejection.is_some() || ejected == 0, "ejected without rules");
        for index in 0..self.members.len() {
            // One that began before the ejection may still be in flight beside the trial.
            let open = self.view(index).is_some_and(|view| view.until <= self.now);
            assert!(open || !self.is_trial(index), "a trial before its time");
            let here = self.flights.iter().filter(|flight| usize::from(flight.lease.index()) == index);
            let mut trials: Vec<u32> = here.filter_map(|flight| flight.lease.trial()).collect();
            trials.sort_unstable();
            assert!(trials.is_sorted_by(|a, b| a < b), "two trials of one ejection of {index}");
        }
    }

    pub(super) fn view(&self, index: usize) -> Option<View> {
        self.pool.backends()[index].ejection()
    }

    /// Whether a trial request is deciding right now whether the member serves again.
    pub(super) fn is_trial(&self, index: usize) -> bool {
        self.pool.backends()[index].is_on_trial()
    }

    /// Members that a request may get, with or without room.
    pub(super) fn candidates(&self, ask: &Ask, tried_indexes: &[usize]) -> impl Iterator<Item = usize> {
        let may_try = |index: usize| match self.view(index) {
            None => true,
            Some(View { until, .. }) => {
                let first = Duration::from_secs(u64::from(!ask.idempotent));
                self.now >= until + first && !self.is_trial(index)
            }
        };
        let serving =
            (0..self.members.len()).filter(|&index| self.members[index].up && self.members[index].weight > 0);
        serving
            .filter(|index| may_try(*index) && !tried_indexes.contains(index))
            .collect::<Vec<_>>()
            .into_iter()
    }
}
