//! The ready channel, and which worker is woken for what is in it.
//!
//! Waking a sleeping thread costs as much as a request, and tasks spread over more workers than
//! are needed make smaller batches. So few workers are kept awake: one that is awake looks at
//! the channel before it sleeps, and needs no waking; if all sleep, it is always the first
//! that is woken. Others of the [crew](crate::server::ready::crew) join when a body keeps a worker busy,
//! when the channel is long, or when a worker has not slept for a while
//! ([`Worker`](crate::server::worker::Worker) sees to that).
//!
//! Every worker sleeps in `poll`, with or without warm tasks, and every one has a waker in it.

pub mod crew;

use std::sync::atomic::{AtomicBool, Ordering, fence};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::base::limits::QUEUE_PER_WORKER;
use crate::net::warm::Waker;
use crate::proxy::task::Task;
use crate::server::ready::crew::Crew;

/// Tasks that can go on, and the workers that may take them.
pub struct Ready {
    sender: Sender<Box<Task>>,
    receiver: Receiver<Box<Task>>,
    slots: Box<[WorkerSlot]>,
    /// Who takes from the channel.
    pub crew: Crew,
}

/// Where one worker can be reached.
struct WorkerSlot {
    bell: Waker,
    /// Set before a worker looks at the channel for the last time before it sleeps. SeqCst, as
    /// the channel is: either the worker sees what was put there, or who put it sees this.
    asleep: AtomicBool,
    /// What wakes it includes parked tasks. Set only while it is asleep.
    watches: AtomicBool,
}

impl Ready {
    /// A channel for `workers` workers that holds `capacity` tasks.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(workers: usize, capacity: usize) -> std::io::Result<Self> {
        let (sender, receiver) = bounded(capacity);
        let slots = (0..workers)
            .map(|_| {
                Ok(WorkerSlot {
                    bell: Waker::new()?,
                    asleep: AtomicBool::new(false),
                    watches: AtomicBool::new(false),
                })
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self { sender, receiver, slots, crew: Crew::new(workers) })
    }

    /// Puts a task at the end of the channel. Gives it back if the channel is full, which
    /// takes more tasks than there may be connections.
    pub fn push(&self, task: Box<Task>) -> Result<(), Box<Task>> {
        self.sender.try_send(task).map_err(|error| error.into_inner())
    }

    /// The same for whoever has nothing else to do with it: the channel holds as many tasks as there
    /// may be connections; should it be full all the same, the connection is closed.
    pub fn put(&self, task: Box<Task>) {
        drop(self.push(task));
    }

    /// Takes the task at the front, if there is one.
    pub fn take(&self) -> Option<Box<Task>> {
        self.receiver.try_recv().ok()
    }

    /// How many tasks there is room for.
    pub fn capacity(&self) -> usize {
        self.receiver.capacity().unwrap_or(usize::MAX)
    }

    /// Whether work is waiting.
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// How many tasks are waiting.
    pub fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Makes sure that what was just put into the channel is noticed.
    pub fn announce(&self) {
        fence(Ordering::SeqCst);
        let waiting = self.len();
        let crew = self.crew_slots();
        let awake = crew.iter().filter(|slot| !slot.asleep.load(Ordering::SeqCst)).count();
        if waiting > awake * QUEUE_PER_WORKER {
            self.wake_another();
        }
    }

    /// Wakes the first worker of the crew that sleeps, if any does.
    pub fn wake_another(&self) {
        let sleeps = |slot: &&WorkerSlot| {
            slot.asleep.load(Ordering::SeqCst) && slot.asleep.swap(false, Ordering::SeqCst)
        };
        if let Some(slot) = self.crew_slots().iter().find(sleeps) {
            slot.bell.ring();
        }
    }

    /// Whether some worker of the crew sleeps.
    pub fn has_sleeper(&self) -> bool {
        self.crew_slots().iter().any(|slot| slot.asleep.load(Ordering::Relaxed))
    }

    /// Wakes every worker: the balancer stops, the crew has changed, or somebody wants to know
    /// something.
    pub fn wake_all(&self) {
        for slot in &self.slots {
            slot.bell.ring();
        }
    }

    fn crew_slots(&self) -> &[WorkerSlot] {
        // INVARIANT: a crew is made of the workers that there are.
        &self.slots[..self.crew.size()]
    }

    /// Whether some worker of the crew is at work.
    pub fn is_awake(&self) -> bool {
        self.crew_slots().iter().any(|slot| !slot.asleep.load(Ordering::Relaxed))
    }

    /// How many workers sleep.
    pub fn sleepers(&self) -> usize {
        self.slots.iter().filter(|slot| slot.asleep.load(Ordering::Relaxed)).count()
    }

    /// The waker of a worker.
    pub fn bell(&self, worker: usize) -> &Waker {
        // INVARIANT: there is a slot for every worker.
        &self.slots[worker].bell
    }

    /// Says that a worker is about to poll. Returns whether it may sleep in it: false if
    /// there is work in the channel for it.
    pub fn begin_poll(&self, worker: usize) -> bool {
        self.slots[worker].asleep.store(true, Ordering::SeqCst);
        self.is_empty() || !self.serves(worker)
    }

    /// Whether a worker is one of the crew. Others keep no task and take none.
    pub fn serves(&self, worker: usize) -> bool {
        worker < self.crew.size()
    }

    /// Whether a worker that is about to sleep has to watch for parked tasks. One that is awake
    /// looks before it sleeps, and of those that sleep one is enough: more would all be woken for
    /// the same task. Each says that it sleeps before it asks this, so of two that fall asleep at
    /// once at least one watches. When the crew changes all are woken, and ask again.
    pub fn watches(&self, worker: usize) -> bool {
        fence(Ordering::SeqCst);
        let sees_to_it =
            |slot: &WorkerSlot| !slot.asleep.load(Ordering::SeqCst) || slot.watches.load(Ordering::SeqCst);
        let crew = self.crew_slots();
        let mut others = crew.iter().enumerate().filter(|(number, _)| *number != worker);
        let watches = worker < crew.len() && !others.any(|(_, slot)| sees_to_it(slot));
        self.slots[worker].watches.store(watches, Ordering::SeqCst);
        watches
    }

    /// Says that a worker is looking again.
    pub fn end_poll(&self, worker: usize) {
        let slot = &self.slots[worker];
        slot.asleep.store(false, Ordering::SeqCst);
        slot.watches.store(false, Ordering::SeqCst);
    }
}
