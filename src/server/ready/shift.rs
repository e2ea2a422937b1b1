//! One worker's part in being awake: when it sleeps, what it reports of its time, and when it
//! gives work away.
//!
//! A [`Shift`] belongs to one worker thread. The worker tells it what it does; the shift talks to
//! the [`Ready`] channel.

use std::time::Duration;

use crate::base::clock::{self, Moment};
use crate::base::limits::{CREW_WINDOW, SATURATED_AFTER};
use crate::net::warm::{Patience, Polled, Waker, Woken};
use crate::proxy::connection::Connection;
use crate::server::ready::Ready;
use crate::server::ready::crew::WorkerSample;

/// Bytes of a body that are as much work as a turn of a task that moves none.
const WORK_BYTES: usize = 16 * 1024;

/// What one worker knows of its own time.
pub struct Shift {
    worker: usize,
    /// When it last slept.
    awake_since: Moment,
    /// The window that it will report next.
    sample: WorkerSample,
    /// How long the thread had run when that window began.
    ran_before: Duration,
}

/// How a worker is to poll.
pub struct Rest<'r> {
    /// How long it may sleep.
    pub patience: Patience,
    /// Ends its sleep.
    pub waker: &'r Waker,
}

impl Shift {
    /// The shift of the worker with this number.
    pub fn new(worker: usize, now: Moment) -> Self {
        Self { worker, awake_since: now, sample: WorkerSample::new(now), ran_before: Duration::ZERO }
    }

    /// Whether the worker is one of the crew. Others take no tasks.
    pub fn serves(&self, ready: &Ready) -> bool {
        ready.wakes.serves(self.worker)
    }

    /// The worker has nothing left to do: says how it may sleep. `is_idle` says that it keeps no
    /// warm tasks. Every call is followed by [`Self::end_poll`].
    pub fn begin_poll<'r>(&self, ready: &'r Ready, is_idle: impl FnOnce() -> bool) -> Rest<'r> {
        let may_sleep = ready.wakes.begin_poll(self.worker, || ready.is_empty());
        let patience = match may_sleep {
            // With work in the channel, the warm set is only glanced at.
            false => Patience::None,
            true if is_idle() => Patience::Endless,
            true => Patience::Short,
        };
        Rest { patience, waker: ready.wakes.waker(self.worker) }
    }

    /// Whether parked tasks end the sleep too.
    pub fn watches(&self, ready: &Ready, rest: &Rest<'_>) -> bool {
        rest.patience == Patience::None || ready.wakes.watches(self.worker)
    }

    /// The poll is over.
    pub fn end_poll(&mut self, ready: &Ready, polled: &Polled) {
        ready.wakes.end_poll(self.worker);
        if !polled.slept.is_zero() {
            self.awake_since = polled.now;
            self.sample.slept += polled.slept;
        }
        self.report(ready, polled.now);
    }

    /// The worker has given a task a turn that was charged this many bytes.
    pub fn worked(&mut self, charged: usize) {
        self.sample.work += 1 + (charged / WORK_BYTES) as u64;
    }

    /// A body keeps the worker busy while other tasks wait: another worker should take those.
    pub fn is_crowded(&mut self, ready: &Ready) {
        self.sample.crowded = true;
        ready.wake_another();
    }

    /// Gives every other ready task to another worker, if this one has not slept for a while and
    /// one sleeps. The tasks stay with the worker that takes them.
    pub fn share(&mut self, ready: &Ready, now: Moment, woken: &mut Vec<Woken<Connection>>) {
        if now.since(self.awake_since) < SATURATED_AFTER || !ready.wakes.has_sleeper() {
            return;
        }
        self.awake_since = now;
        let mut give = false;
        let given = woken.extract_if(.., |woken| {
            give = !give;
            give && matches!(woken, Woken::Ready(_))
        });
        for woken in given {
            if let Woken::Ready(task) = woken {
                ready.put(task);
            }
        }
        ready.wake_another();
    }

    /// Reports a window that is over.
    fn report(&mut self, ready: &Ready, now: Moment) {
        if now.since(self.sample.from) < CREW_WINDOW {
            return;
        }
        let ran = clock::ran();
        let sample = WorkerSample { until: now, ran: ran.saturating_sub(self.ran_before), ..self.sample };
        (self.sample, self.ran_before) = (WorkerSample::new(now), ran);
        ready.report(self.worker, sample);
    }
}
