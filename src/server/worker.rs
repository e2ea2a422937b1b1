//! A worker: takes tasks that can go on, advances them, and keeps or parks what must wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::clock;
use crate::base::limits::{PATIENCE, TAKE_BATCH, WARM_MAX};
use crate::net::parking::Parking;
use crate::net::wait::{Reason, Wait};
use crate::net::warm::{WarmSet, Woken};
use crate::proxy::advance::{Next, advance};
use crate::proxy::context::{Context, Shared};
use crate::proxy::task::Task;
use crate::server::ready::Ready;

/// What the poller and all workers share.
pub struct Hall {
    /// Tasks that can go on.
    pub ready: Ready,
    /// Tasks that wait.
    pub parking: Parking<Task>,
    /// What requests need.
    pub shared: Arc<Shared>,
    /// Everything is to end, finished or not.
    pub stop: AtomicBool,
    /// Panics that workers survived.
    pub panics: AtomicU64,
}

/// One worker thread.
pub struct Worker {
    number: usize,
    hall: Arc<Hall>,
    warm: WarmSet<Task>,
    cx: Context,
}

impl Worker {
    /// The worker with this number.
    pub fn new(number: usize, hall: Arc<Hall>) -> Self {
        let cx = Context::new(Arc::clone(&hall.shared), clock::now());
        Self { number, hall, warm: WarmSet::new(), cx }
    }

    /// Works until the balancer stops.
    pub fn run(mut self) {
        let mut woken = Vec::new();
        while !self.hall.stop.load(Ordering::Relaxed) {
            self.take_ready();
            if self.warm.is_empty() {
                continue;
            }
            // With work in the channel, the warm set is only glanced at.
            let may_sleep = self.hall.ready.begin_poll(self.number);
            let timeout = if may_sleep { PATIENCE } else { Duration::ZERO };
            self.cx.now = self.warm.poll(self.hall.ready.bell(self.number), timeout, &mut woken);
            self.hall.ready.end_poll(self.number);
            for woken in woken.drain(..) {
                match woken {
                    Woken::Ready(task) => self.advance(task),
                    Woken::Quiet(task, wait) => self.park(task, wait),
                }
            }
        }
        for (mut task, _) in self.warm.drain() {
            task.release(&mut self.cx.buffers);
        }
    }

    /// Advances what is in the ready channel; waits for it if there is nothing else to do.
    fn take_ready(&mut self) {
        if self.warm.is_empty() {
            let Some(task) = self.hall.ready.take() else { return };
            self.cx.now = clock::now();
            self.advance(task);
        }
        for _ in 0..TAKE_BATCH {
            if self.warm.len() >= WARM_MAX {
                break;
            }
            let Some(task) = self.hall.ready.try_take() else { return };
            self.advance(task);
        }
        // There may be more than one worker can do.
        self.hall.ready.announce();
    }

    fn advance(&mut self, mut task: Box<Task>) {
        let cx = &mut self.cx;
        // A panic is a bug of ours, but not one that the other connections should pay for.
        let next = catch_unwind(AssertUnwindSafe(|| advance(&mut task, cx))).unwrap_or_else(|_| {
            self.hall.panics.fetch_add(1, Ordering::Relaxed);
            log::error!("a worker panicked over a request; its connection is closed");
            Next::Close
        });
        match next {
            Next::Wait(wait) => self.keep(task, wait),
            Next::Yield => {
                if let Err(task) = self.hall.ready.push(task) {
                    self.close(task);
                }
            }
            Next::Close => self.close(task),
        }
    }

    /// Keeps a task warm, unless others are waiting for their turn: then its next request
    /// queues behind them.
    fn keep(&mut self, task: Box<Task>, wait: Wait) {
        let unfair = wait.reason == Reason::NextRequest
            && self.warm.len() >= WARM_MAX - TAKE_BATCH
            && !self.hall.ready.is_empty();
        if unfair || self.warm.len() >= WARM_MAX {
            self.park(task, wait);
        } else {
            self.warm.insert(task, wait, self.cx.now);
        }
    }

    fn park(&mut self, mut task: Box<Task>, wait: Wait) {
        task.shrink(&mut self.cx.buffers);
        match self.hall.parking.park(self.number, task, &wait) {
            Ok(()) => {}
            // What it waited for has happened meanwhile.
            Err((task, None)) => {
                if let Err(task) = self.hall.ready.push(task) {
                    self.close(task);
                }
            }
            Err((task, Some(error))) => {
                log::error!("cannot watch a connection, so it is closed: {error}");
                self.close(task);
            }
        }
    }

    fn close(&mut self, mut task: Box<Task>) {
        task.release(&mut self.cx.buffers);
    }
}
