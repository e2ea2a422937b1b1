//! Slots for probes in flight: how many there are, and which backends wait for one.
//!
//! Backends that are known to hang get at most three quarters of the slots, so a backend that answers
//! never waits for hung ones. Within a lane, the one that has waited longest is next.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// How long something is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Not long.
    Prompt,
    /// As long as allowed: the last one did.
    Suspect,
}

/// All slots, and the backends that wait for one.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: Rc<Taken>,
    prompt: VecDeque<u32>,
    suspect: VecDeque<u32>,
}

/// Slots in use, by lane.
type Taken = [Cell<usize>; 2];

/// A probe's slot, freed on drop.
#[derive(Debug)]
pub(super) struct Place {
    taken: Rc<Taken>,
    lane: Lane,
}

impl Places {
    /// This many slots.
    pub(super) fn new(max: usize) -> Self {
        let (prompt, suspect) = (VecDeque::new(), VecDeque::new());
        Self { max: max.max(1), taken: Rc::default(), prompt, suspect }
    }

    /// Changes the number of slots. Slots in use stay in use.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// Takes a slot for a backend's probe. If none is free, the backend waits.
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

    /// The next waiting backend, with its slot.
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
    fn hung_backends_leave_a_quarter_of_the_slots_to_the_others() {
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
    fn a_slot_goes_to_the_backend_that_has_waited_longest() {
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
