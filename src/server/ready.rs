//! The ready channel, and how new work reaches a worker that is looking elsewhere.
//!
//! Workers that have nothing block in `recv`. Workers with a warm set sit in `poll`, where
//! the channel cannot reach them: each has a bell in its poll set, and whoever puts work
//! into the channel rings one if nobody is blocked in `recv`. A worker that is neither is
//! running, and looks at the channel before it sleeps again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::net::warm::Bell;
use crate::proxy::task::Task;

/// Tasks that can go on, and the workers that may take them.
pub struct Ready {
    sender: Sender<Option<Box<Task>>>,
    receiver: Receiver<Option<Box<Task>>>,
    blocked: AtomicUsize,
    seats: Box<[Seat]>,
}

/// Where one worker can be reached.
struct Seat {
    bell: Bell,
    polling: AtomicBool,
}

impl Ready {
    /// A channel for `workers` workers that holds `capacity` tasks.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new(workers: usize, capacity: usize) -> std::io::Result<Self> {
        let (sender, receiver) = bounded(capacity + workers);
        let seats = (0..workers)
            .map(|_| Ok(Seat { bell: Bell::new()?, polling: AtomicBool::new(false) }))
            .collect::<std::io::Result<_>>()?;
        Ok(Self { sender, receiver, blocked: AtomicUsize::new(0), seats })
    }

    /// Puts a task at the end of the channel. Gives it back if the channel is full, which
    /// takes more tasks than there may be connections.
    pub fn push(&self, task: Box<Task>) -> Result<(), Box<Task>> {
        match self.sender.try_send(Some(task)) {
            Ok(()) => Ok(()),
            // INVARIANT: what is given back is what was given.
            Err(error) => error.into_inner().map_or(Ok(()), Err),
        }
    }

    /// Takes the task at the front, if there is one.
    pub fn try_take(&self) -> Option<Box<Task>> {
        self.receiver.try_recv().ok().flatten()
    }

    /// Waits for a task. `None` when the balancer stops.
    pub fn take(&self) -> Option<Box<Task>> {
        // SeqCst, here and below: a task that was put into the channel before the count was
        // looked at is seen by `recv`, and one put there after it sees the count.
        self.blocked.fetch_add(1, Ordering::SeqCst);
        let task = self.receiver.recv().ok().flatten();
        self.blocked.fetch_sub(1, Ordering::SeqCst);
        task
    }

    /// Wakes every worker, for good.
    pub fn stop(&self) {
        for seat in &self.seats {
            // The channel has room for one of these for each worker; when it is full all the
            // same, then nobody is blocked in it.
            let _ = self.sender.try_send(None);
            seat.bell.ring();
        }
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
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.blocked.load(Ordering::SeqCst) >= self.receiver.len() {
            return;
        }
        for seat in &self.seats {
            // One bell is enough: a worker that finds more than it can take rings the next.
            if seat.polling.load(Ordering::SeqCst) && seat.polling.swap(false, Ordering::SeqCst) {
                seat.bell.ring();
                return;
            }
        }
    }

    /// The bell of a worker.
    pub fn bell(&self, worker: usize) -> &Bell {
        // INVARIANT: there is a seat for every worker.
        &self.seats[worker].bell
    }

    /// Says that a worker is about to poll. Returns whether it may sleep in it: false if
    /// there is work in the channel.
    pub fn begin_poll(&self, worker: usize) -> bool {
        self.seats[worker].polling.store(true, Ordering::SeqCst);
        self.is_empty()
    }

    /// Says that a worker is looking again.
    pub fn end_poll(&self, worker: usize) {
        self.seats[worker].polling.store(false, Ordering::SeqCst);
    }
}
