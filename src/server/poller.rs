//! The poller: watches everything that waits, and hands it out when the wait is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::clock::{self, Moment};
use crate::net::parking::Events;
use crate::proxy::task::Task;
use crate::server::accept::Acceptor;
use crate::server::worker::Hall;

/// How often kept upstream connections, and in a drain idle clients, are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The poller thread.
pub struct Poller {
    hall: Arc<Hall>,
    acceptor: Acceptor,
    /// Whether the stop has been seen and the idle tasks been woken for it.
    draining: bool,
    sweep_at: Moment,
}

impl Poller {
    /// A poller that accepts through `acceptor`.
    pub fn new(hall: Arc<Hall>, acceptor: Acceptor) -> Self {
        Self { hall, acceptor, draining: false, sweep_at: Moment::ZERO }
    }

    /// Works until the balancer stops.
    pub fn run(mut self) {
        let mut events = Events::new();
        let mut tasks: Vec<Box<Task>> = Vec::new();
        let mut listeners = Vec::new();
        while !self.hall.stop.load(Ordering::Relaxed) {
            let until = self.acceptor.resumes_at().min(self.sweep_at);
            let parking = &self.hall.parking;
            if let Err(error) = parking.wait(&mut events, until, &mut tasks, |number| listeners.push(number))
            {
                log::error!("epoll failed: {error}");
                return;
            }
            let now = clock::now();
            parking.expire(now, &mut events, &mut tasks);
            if self.hall.shared.draining_since.load(Ordering::Relaxed) != 0 {
                if !self.draining {
                    self.draining = true;
                    self.acceptor.close(&self.hall, now);
                    self.sweep_at = now;
                }
                // They have a moment left for a request that is on its way. Looked for more than
                // once, because a worker may park one that it had kept warm after the first look.
                if now >= self.sweep_at {
                    parking.take(Task::is_idle, &mut tasks);
                }
            }
            for task in tasks.drain(..) {
                // The channel holds as many tasks as there may be connections; should it be
                // full all the same, the connection is closed.
                drop(self.hall.ready.push(task));
            }
            for number in listeners.drain(..) {
                self.acceptor.accept(number, &self.hall, now);
            }
            self.hall.ready.announce();
            self.acceptor.resume(&self.hall, now);
            self.sweep(now);
        }
    }

    /// Closes kept upstream connections that nobody has used for too long.
    fn sweep(&mut self, now: Moment) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + SWEEP_EVERY;
        let snapshot = self.hall.shared.snapshot.load();
        for backend in snapshot.pools.iter().flat_map(|pool| pool.backends()) {
            backend.idle().sweep(now);
        }
    }
}
