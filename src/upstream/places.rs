//! The places at one backend: how many requests it may have in flight, and how many it has.
//!
//! A place at an unbounded backend is only counted. At a bounded one it is handed on to a request
//! that waits, which [`WaitingLine`](crate::upstream::waiting_line) does; so there the count goes
//! down under that line's lock only.

use crate::base::sync::{AtomicBool, AtomicU32, Ordering};

/// No limit on requests in flight.
const UNBOUNDED: u32 = u32::MAX;

/// The places at one backend. Ordering: Relaxed; each is right by itself, and the line's lock
/// orders what has to agree.
#[derive(Debug)]
pub struct Places {
    /// Requests that there may be in flight, or [`UNBOUNDED`].
    max: AtomicU32,
    /// Requests in flight.
    active: AtomicU32,
    /// Whether a request dials the backend again after it has refused a connection. Others wait.
    is_redialled: AtomicBool,
}

impl Places {
    /// Free places; `None` for no limit.
    pub fn new(max: Option<u32>) -> Self {
        let max = AtomicU32::new(max.unwrap_or(UNBOUNDED));
        Self { max, active: AtomicU32::new(0), is_redialled: AtomicBool::new(false) }
    }

    /// Sets how many there are.
    pub fn set_max(&self, max: Option<u32>) {
        self.max.store(max.unwrap_or(UNBOUNDED), Ordering::Relaxed);
    }

    /// How many there are; `None` for no limit.
    pub fn max(&self) -> Option<u32> {
        Some(self.max.load(Ordering::Relaxed)).filter(|&max| max != UNBOUNDED)
    }

    /// Requests in flight.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether a place can be taken now.
    pub fn has_room(&self) -> bool {
        !self.is_redialled() && self.max().is_none_or(|max| self.active() < max)
    }

    /// Whether a place that is given up can be handed on: not if there are more requests in flight
    /// than there may be now, and not while the backend is dialled again.
    pub fn can_hand_on(&self) -> bool {
        !self.is_redialled() && self.max().is_none_or(|max| self.active() <= max)
    }

    /// Takes a place, if one is free. Returns whether it did.
    pub fn take(&self) -> bool {
        let relaxed = Ordering::Relaxed;
        if self.is_redialled() {
            return false;
        }
        match self.max() {
            None => {
                self.active.fetch_add(1, relaxed);
                true
            }
            Some(max) => self
                .active
                .fetch_update(relaxed, relaxed, |active| (active < max).then_some(active + 1))
                .is_ok(),
        }
    }

    /// Takes a place, whether or not one is free.
    pub fn take_beyond_limit(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// A place is free again.
    pub fn vacate(&self) {
        let before = self.active.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a place was given up that nobody had");
    }

    /// A request begins to dial the backend again. Returns whether it may: one does so at a time.
    pub fn begin_redial(&self) -> bool {
        !self.is_redialled.swap(true, Ordering::Relaxed)
    }

    /// That request has ended.
    pub fn end_redial(&self) {
        self.is_redialled.store(false, Ordering::Relaxed);
    }

    fn is_redialled(&self) -> bool {
        self.is_redialled.load(Ordering::Relaxed)
    }
}
