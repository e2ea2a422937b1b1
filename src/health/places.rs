//! Places for probes in flight: how many there may be at once, and who waits for one.
//!
//! Backends that are known to hang have three quarters of the places at most. So a backend that
//! answers never waits for hung ones. Within a lane, the one that has waited longest is next.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// How long something is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Not long.
    Prompt,
    /// As long as it may: the last one of its kind did.
    Suspect,
}

/// All places, and the backends that wait for one.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: Rc<Taken>,
    prompt: VecDeque<u32>,
    suspect: VecDeque<u32>,
}

/// Places taken, by lane.
type Taken = [Cell<usize>; 2];

/// One probe's place: free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Rc<Taken>,
    lane: Lane,
}

impl Places {
    /// This many places.
    pub(super) fn new(max: usize) -> Self {
        let (prompt, suspect) = (VecDeque::new(), VecDeque::new());
        Self { max: max.max(1), taken: Rc::default(), prompt, suspect }
    }

    /// Changes their number. Places that are taken stay so.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// A place for a backend's probe. If there is none, the backend waits for one.
    pub(super) fn take(&mut self, backend: u32, lane: Lane) -> Option<Place> {
        let waiting = match lane {
            Lane::Prompt => &self.prompt,
            Lane::Suspect => &self.suspect,
        };
        if waiting.is_empty() && self.is_free(lane) {
            return Some(self.place(lane));
        }
        match lane {
            Lane::Prompt => self.prompt.push_back(backend),
            Lane::Suspect => self.suspect.push_back(backend),
        }
        None
    }

    /// The next backend that has waited for a place, with the place.
    pub(super) fn next(&mut self) -> Option<(u32, Place)> {
        for lane in [Lane::Prompt, Lane::Suspect] {
            if !self.is_free(lane) {
                continue;
            }
            let waiting = match lane {
                Lane::Prompt => &mut self.prompt,
                Lane::Suspect => &mut self.suspect,
            };
            if let Some(backend) = waiting.pop_front() {
                return Some((backend, self.place(lane)));
            }
        }
        None
    }

    /// Drops waiting entries that are no longer wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(u32) -> bool) {
        self.prompt.retain(|&backend| wanted(backend));
        self.suspect.retain(|&backend| wanted(backend));
    }

    fn is_free(&self, lane: Lane) -> bool {
        let [prompt, suspect] = &*self.taken;
        let free = prompt.get() + suspect.get() < self.max;
        free && (lane == Lane::Prompt || suspect.get() < (self.max * 3 / 4).max(1))
    }

    fn place(&self, lane: Lane) -> Place {
        let taken = &self.taken[lane as usize];
        taken.set(taken.get() + 1);
        Place { taken: Rc::clone(&self.taken), lane }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.taken[self.lane as usize];
        taken.set(taken.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_that_hang_leave_a_quarter_of_the_places_to_the_others() {
        let mut places = Places::new(8);
        let held: Vec<_> = (0..100).filter_map(|backend| places.take(backend, Lane::Suspect)).collect();
        assert_eq!(held.len(), 6);
        assert!(places.next().is_none());
        let prompt = places.take(200, Lane::Prompt);
        assert!(prompt.is_some());
        drop(held);
        assert_eq!(places.next().map(|(backend, _)| backend), Some(6));
    }

    #[test]
    fn a_place_goes_to_whoever_has_waited_longest_and_a_newcomer_does_not_overtake() {
        let mut places = Places::new(1);
        let held = places.take(1, Lane::Prompt);
        assert!(places.take(2, Lane::Prompt).is_none() && places.take(3, Lane::Prompt).is_none());
        drop(held);
        assert!(places.take(4, Lane::Prompt).is_none());
        places.retain(|backend| backend != 2);
        let (backend, place) = places.next().unwrap();
        assert_eq!(backend, 3);
        assert!(places.next().is_none());
        drop(place);
        assert_eq!(places.next().map(|(backend, _)| backend), Some(4));
    }
}
