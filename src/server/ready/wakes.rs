//! Which workers are awake, and whom to wake.
//!
//! Owns two flags and a waker for each worker, and how many workers form the crew. It knows
//! neither tasks nor sockets: it is told how many tasks wait. `tests/loom/wakes.rs` runs this file
//! under every order of events. The states are drawn in [`super`].

use crate::base::limits::QUEUE_PER_WORKER;
use crate::base::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// Ends a worker's sleep.
pub trait Wake {
    /// Ends the sleep under way, or the next one.
    fn ring(&self);
}

/// The workers, as those who have work for them see them.
pub struct Wakes<W> {
    slots: Box<[WorkerSlot<W>]>,
    /// How many of them share the work: those with the lowest numbers.
    crew: AtomicUsize,
}

struct WorkerSlot<W> {
    waker: W,
    /// Set before the worker looks at the channel for the last time before it sleeps. Cleared by
    /// the worker when it is at work again, or by the thread that wakes it.
    asleep: AtomicBool,
    /// Whether parked tasks wake it too. Set only while it is asleep.
    watches: AtomicBool,
}

impl<W: Wake> Wakes<W> {
    /// Workers that are all awake, the first of which is the crew.
    pub fn new(wakers: impl Iterator<Item = W>) -> Self {
        let slot = |waker| {
            let (asleep, watches) = (AtomicBool::new(false), AtomicBool::new(false));
            WorkerSlot { waker, asleep, watches }
        };
        Self { slots: wakers.map(slot).collect(), crew: AtomicUsize::new(1) }
    }

    /// Makes sure that a worker notices what the caller has put into the channel. `waiting` counts
    /// the tasks in it.
    pub fn announce(&self, waiting: impl FnOnce() -> usize) {
        // The other half is in `begin_poll`: either this thread sees that the worker sleeps, or the
        // worker sees the task.
        fence(Ordering::SeqCst);
        let waiting = waiting();
        let awake = self.crew_slots().iter().filter(|slot| !slot.asleep.load(Ordering::Acquire)).count();
        if waiting > awake * QUEUE_PER_WORKER {
            self.wake_another();
        }
    }

    /// Wakes the first worker of the crew that sleeps, if any does.
    pub fn wake_another(&self) {
        // Of several threads one claims the sleeper. A worker that wakes by itself is left alone.
        let claim = |slot: &&WorkerSlot<W>| {
            slot.asleep.load(Ordering::Acquire)
                && slot.asleep.compare_exchange(true, false, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        if let Some(slot) = self.crew_slots().iter().find(claim) {
            slot.waker.ring();
        }
    }

    /// Wakes every worker, of the crew or not.
    pub fn wake_all(&self) {
        self.slots.iter().for_each(|slot| slot.waker.ring());
    }

    /// Sets the size of the crew. Returns whether that is a change; then the caller has to
    /// [wake all](Self::wake_all), as soon as it holds no lock: a worker that has left the crew
    /// hands its tasks over, one that has joined it looks for some.
    #[must_use]
    pub fn set_crew(&self, size: usize) -> bool {
        debug_assert!((1..=self.slots.len()).contains(&size), "a crew of {size}");
        self.crew.swap(size, Ordering::AcqRel) != size
    }

    /// Whether a worker is one of the crew. Others keep no task and take none.
    pub fn serves(&self, worker: usize) -> bool {
        worker < self.crew.load(Ordering::Acquire)
    }

    /// Says that a worker is about to sleep. Returns whether it may: not if the channel holds work
    /// for it. `is_empty` looks at the channel.
    pub fn begin_poll(&self, worker: usize, is_empty: impl FnOnce() -> bool) -> bool {
        self.slot(worker).asleep.store(true, Ordering::Release);
        // Pairs with the fence in `announce`, and with this one in another worker: see `watches`.
        fence(Ordering::SeqCst);
        is_empty() || !self.serves(worker)
    }

    /// Whether a worker that is about to sleep has to watch for parked tasks. A worker that is
    /// awake looks before it sleeps, and of those that sleep one is enough: more would all wake for
    /// the same task. Each has passed the fence of `begin_poll` before it asks, so of two that fall
    /// asleep at once at least one watches. When the crew changes all are woken, and ask again.
    pub fn watches(&self, worker: usize) -> bool {
        let covers = |slot: &WorkerSlot<W>| {
            !slot.asleep.load(Ordering::Acquire) || slot.watches.load(Ordering::Acquire)
        };
        let crew = self.crew_slots();
        let mut others = crew.iter().enumerate().filter(|(number, _)| *number != worker);
        let watches = worker < crew.len() && !others.any(|(_, slot)| covers(slot));
        self.slot(worker).watches.store(watches, Ordering::Release);
        watches
    }

    /// Says that a worker is at work again.
    pub fn end_poll(&self, worker: usize) {
        let slot = self.slot(worker);
        // A swap, not a store: it reads the `false` of the thread that has claimed this worker, and
        // so orders the worker's next `true` after it.
        slot.asleep.swap(false, Ordering::AcqRel);
        slot.watches.store(false, Ordering::Release);
    }

    /// Whether a worker of the crew is asleep. A hint, for sharing work.
    pub fn has_sleeper(&self) -> bool {
        self.crew_slots().iter().any(|slot| slot.asleep.load(Ordering::Relaxed))
    }

    /// Whether a worker of the crew is at work. A hint, for the pace of accepting.
    pub fn is_awake(&self) -> bool {
        self.crew_slots().iter().any(|slot| !slot.asleep.load(Ordering::Relaxed))
    }

    /// How many workers sleep, of the crew or not.
    pub fn sleepers(&self) -> usize {
        self.slots.iter().filter(|slot| slot.asleep.load(Ordering::Relaxed)).count()
    }

    /// What ends this worker's sleep.
    pub fn waker(&self, worker: usize) -> &W {
        &self.slot(worker).waker
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: workers are numbered from 0, and each has a slot"
    )]
    fn slot(&self, worker: usize) -> &WorkerSlot<W> {
        debug_assert!(worker < self.slots.len(), "worker {worker} of {}", self.slots.len());
        &self.slots[worker]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: the crew is at least one of the workers, and at most all; `set_crew` asserts it"
    )]
    fn crew_slots(&self) -> &[WorkerSlot<W>] {
        let size = self.crew.load(Ordering::Acquire);
        debug_assert!((1..=self.slots.len()).contains(&size), "a crew of {size}");
        &self.slots[..size]
    }
}
