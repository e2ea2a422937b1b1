//! The poller: accepts connections, and hands out what has waited for too long.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::base::clock::{self, Moment};
use crate::base::limits::ACCEPT_SPACING;
use crate::net::parking::lot::Events;
use crate::proxy::connection::Connection;
use crate::server::accept::Acceptor;
use crate::server::state::ServerState;

/// How often, during a stop, idle clients are looked for. Those that a worker had warm when the
/// stop began are parked only after the first look.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often kept upstream connections are looked over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The poller thread.
pub struct Poller {
    state: Arc<ServerState>,
    acceptor: Acceptor,
    /// When idle tasks are to be woken for a stop; `NEVER` while there is none.
    drain_at: Moment,
    sweep_at: Moment,
}

impl Poller {
    /// A poller that accepts through `acceptor`.
    pub fn new(state: Arc<ServerState>, acceptor: Acceptor) -> Self {
        Self { state, acceptor, drain_at: Moment::NEVER, sweep_at: Moment::ZERO }
    }

    /// Works until the balancer stops.
    ///
    /// # Errors
    /// epoll is broken: nothing can be accepted any more.
    pub fn run(mut self) -> Result<(), String> {
        let mut events = Events::new();
        let mut tasks: Vec<Box<Connection>> = Vec::new();
        let mut listeners = Vec::new();
        while !self.state.stop.load(Ordering::Relaxed) {
            let until = self.acceptor.resumes_at().min(self.sweep_at).min(self.drain_at);
            let parking = &self.state.parking;
            if let Err(error) = parking.wait(&mut events, until, |number| listeners.push(number)) {
                return Err(format!("epoll failed: {error}"));
            }
            let now = clock::now();
            parking.expire(now, &mut events, &mut tasks);
            self.drain(now, &mut tasks);
            for task in tasks.drain(..) {
                self.state.ready.put(task);
            }
            self.change_doors(now);
            // Before they are given what has just come.
            let workers_are_busy = self.state.ready.is_awake();
            let has_accepted = !listeners.is_empty();
            for number in listeners.drain(..) {
                self.acceptor.accept(number, &self.state, now);
            }
            self.state.ready.announce();
            if has_accepted && workers_are_busy {
                space_accepts();
            }
            self.acceptor.resume(&self.state, now);
            self.sweep(now);
        }
        Ok(())
    }

    /// Opens and closes the listeners that a reload has asked for.
    fn change_doors(&mut self, now: Moment) {
        let mut listeners = self.state.listeners.lock();
        if let Some(change) = listeners.take() {
            self.acceptor.change(&self.state, change, now);
            self.state.listeners_changed.notify_all();
        }
    }

    /// During a stop: closes the listeners, and wakes idle tasks to learn of it. They have a
    /// moment left for a request that is on its way.
    #[expect(clippy::vec_box, reason = "a task is boxed once, and only its box moves")]
    fn drain(&mut self, now: Moment, tasks: &mut Vec<Box<Connection>>) {
        if self.state.shared.draining_since.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.drain_at == Moment::NEVER {
            self.acceptor.close(&self.state, now);
        } else if now < self.drain_at {
            return;
        }
        self.drain_at = now + LOOK_EVERY;
        self.state.parking.take(Connection::is_idle, tasks);
    }

    /// Once a second, and when an ejection is over: tells the pools the time, closes kept upstream connections that
    /// were unused for too long, and takes back what operators have set for a time that is over.
    fn sweep(&mut self, now: Moment) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now + SWEEP_EVERY;
        let snapshot = self.state.shared.snapshot.load();
        for pool in &snapshot.pools {
            self.sweep_at = self.sweep_at.min(pool.ward().tick(now));
        }
        for backend in snapshot.backends() {
            backend.idle().sweep(now, backend.active());
            if backend.expire_override(now) {
                log::info!(
                    "backend {} has its configured weight again, {}",
                    backend.name(),
                    backend.weight()
                );
            }
        }
    }
}

/// Lets more connections come before the next are accepted. Whoever connects meanwhile is not kept
/// waiting by this, but by the workers, who are at work.
#[expect(clippy::disallowed_methods, reason = "there is nothing to wait for but that time passes")]
fn space_accepts() {
    // PACE: of accepting, as that constant says.
    thread::sleep(ACCEPT_SPACING);
}
