//! A worker: takes tasks that can go on, advances them, and keeps or parks what must wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use crate::base::clock;
use crate::base::limits::{TAKE_BATCH, TURN_BYTES, WARM_MAX};
use crate::net::parking::Unpark;
use crate::net::parking::lot::Events;
use crate::net::wait::{Reason, Wait};
use crate::net::warm::{Patience, WarmSet, Woken};
use crate::proxy::advance::advance;
use crate::proxy::connection::Connection;
use crate::proxy::context::{BeforeSleep, Context};
use crate::proxy::record::cut_off;
use crate::proxy::step::Next;
use crate::server::ready::shift::Shift;
use crate::server::state::ServerState;

/// One worker thread.
pub struct Worker {
    number: usize,
    state: Arc<ServerState>,
    warm: WarmSet<Connection>,
    cx: Context,
    /// Whether others of its batch wait for the task that is being advanced.
    has_more: bool,
    /// Bytes that tasks may be charged for before it polls again: one long turn, or many short ones.
    /// So a ready task waits for at most one long turn, no matter how many are queued.
    left_until_poll: usize,
    /// When it sleeps, and what it does with its time.
    shift: Shift,
    /// The last task dump that it has answered.
    answered: u64,
}

impl Worker {
    /// The worker with this number.
    pub fn new(number: usize, state: Arc<ServerState>) -> Self {
        let now = clock::now();
        // Weak, or the state would keep itself alive through the requests that wait in it.
        let unpark: Weak<dyn Unpark> = Arc::downgrade(&state) as Weak<dyn Unpark>;
        let cx = Context::new(number, Arc::clone(&state.shared), unpark, now);
        Self {
            number,
            state,
            warm: WarmSet::new(),
            cx,
            has_more: false,
            left_until_poll: 0,
            shift: Shift::new(number, now),
            answered: 0,
        }
    }

    /// Works until the balancer stops.
    pub fn run(mut self) {
        let (mut woken, mut events) = (Vec::new(), Events::new());
        while !self.state.stop.load(Ordering::Relaxed) {
            self.left_until_poll = TURN_BYTES;
            if self.shift.serves(&self.state.ready) {
                self.take_ready();
            } else {
                self.hand_over();
            }
            let rest = self.shift.begin_poll(&self.state.ready, || self.warm.is_empty());
            let before_sleep =
                if rest.patience == Patience::Endless { BeforeSleep::Yes } else { BeforeSleep::No };
            if before_sleep == BeforeSleep::Yes {
                // A worker that sleeps through reloads would keep the configuration it last saw.
                self.cx.snapshot();
            }
            self.cx.flush_log(before_sleep);
            let watches = self.shift.watches(&self.state.ready, &rest);
            let parked = watches.then_some(&self.state.parking);
            let polled = self.warm.poll(rest.waker, parked, rest.patience, &mut woken);
            self.cx.now = polled.now;
            self.shift.end_poll(&self.state.ready, &polled);
            if polled.parked {
                // Before the channel, so that a crowd of new connections does not delay old ones.
                self.state.parking.collect(&mut events, |task| woken.push(Woken::Ready(task)));
            }
            self.shift.share(&self.state.ready, polled.now, &mut woken);
            let mut batch = woken.drain(..);
            while let Some(woken) = batch.next() {
                self.has_more = batch.len() > 0;
                match woken {
                    // Others were ready as early, and their turns are short.
                    Woken::Ready(task) if task.is_bulk() && self.left_until_poll == 0 => self.queue(task),
                    Woken::Ready(task) => self.advance(task),
                    Woken::Quiet(task, wait) => self.park(task, wait),
                }
            }
            self.state.task_dump.answer(self.number, &mut self.answered, self.warm.iter());
            if let Some(warm) = self.state.warm.get(self.number) {
                warm.store(self.warm.len(), Ordering::Relaxed);
            }
        }
        // What the stop has not let finish: this worker's own, and what nobody else will take.
        let mut left: Vec<_> = self.warm.drain().map(|(task, _)| task).collect();
        self.state.parking.take(|_| true, &mut left);
        left.extend(std::iter::from_fn(|| self.state.ready.take()));
        for mut task in left {
            cut_off(&mut task, &mut self.cx);
            task.release(&mut self.cx.buffers);
        }
    }

    /// Advances what is in the ready channel.
    fn take_ready(&mut self) {
        // Only those that are there now: one that yields meanwhile has had its turn.
        for _ in 0..TAKE_BATCH.min(self.state.ready.len()) {
            if self.warm.len() >= WARM_MAX || self.left_until_poll == 0 {
                break;
            }
            let Some(task) = self.state.ready.take() else { return };
            self.advance(task);
        }
        // There may be more than one worker can do.
        if !self.state.ready.is_empty() {
            self.state.ready.announce();
        }
    }

    /// Leaves every task to the crew, as this worker is not one of it.
    fn hand_over(&mut self) {
        for (task, _) in self.warm.drain() {
            self.state.ready.put(task);
        }
        self.state.ready.announce();
    }

    fn advance(&mut self, mut task: Box<Connection>) {
        let cx = &mut self.cx;
        // A panic is a bug of ours, but not one that the other connections should pay for.
        let next = catch_unwind(AssertUnwindSafe(|| advance(&mut task, cx))).unwrap_or_else(|_| {
            self.state.panics.fetch_add(1, Ordering::Relaxed);
            log::error!("a worker panicked over a request; its connection is closed");
            Next::Close
        });
        let charged = cx.turn.charged();
        self.left_until_poll = self.left_until_poll.saturating_sub(charged);
        self.shift.worked(charged);
        match next {
            Next::Wait(wait) => self.keep(task, wait),
            Next::Yield => {
                self.queue(task);
                // Without other tasks that wait, the body stays with this worker.
                if self.has_more || self.state.ready.len() > 1 {
                    self.shift.is_crowded(&self.state.ready);
                }
            }
            Next::Close => self.close(task),
        }
    }

    /// Keeps a task warm, unless others are waiting for their turn: then its next request
    /// queues behind them.
    fn keep(&mut self, task: Box<Connection>, wait: Wait) {
        let unfair = wait.reason == Reason::NextRequest
            && self.warm.len() >= WARM_MAX - TAKE_BATCH
            && !self.state.ready.is_empty();
        if unfair || !wait.reason.is_of_a_socket() || self.warm.len() >= WARM_MAX {
            self.park(task, wait);
        } else {
            self.warm.insert(task, wait, self.cx.now);
        }
    }

    fn park(&mut self, mut task: Box<Connection>, wait: Wait) {
        task.shrink(&mut self.cx.buffers, &self.state.shared.bare);
        match self.state.parking.park(self.number, task, &wait) {
            Ok(()) => {}
            // What it waited for has happened meanwhile.
            Err((task, None)) => self.queue(task),
            Err((task, Some(error))) => {
                log::error!("cannot watch a connection, so it is closed: {error}");
                self.close(task);
            }
        }
    }

    /// Puts a task at the end of the ready queue.
    fn queue(&mut self, task: Box<Connection>) {
        if let Err(task) = self.state.ready.push(task) {
            self.close(task);
        }
    }

    fn close(&mut self, mut task: Box<Connection>) {
        task.release(&mut self.cx.buffers);
    }
}
