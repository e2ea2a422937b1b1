//! What a program asks of a running balancer through its [`Handle`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Handle, StopMode};
use crate::admin;
use crate::admin::operations::{Operations, WeightChange};
use crate::base::clock;
use crate::base::limits::WEIGHT_MAX;
use crate::base::supervisor::ThreadEnded;
use crate::upstream::pool::Pool;

/// How one backend is.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendState {
    /// Its name.
    pub name: String,
    /// The pool that it belongs to.
    pub pool: String,
    /// Whether it is given requests.
    pub up: bool,
    /// Its share of requests; 0 means drained.
    pub weight: u32,
    /// Requests in flight.
    pub active: u32,
    /// Tries that it has been given.
    pub requests: u64,
}

impl Handle {
    /// Asks for a stop that lets requests in flight finish: nothing new is accepted, answers
    /// carry `Connection: close`, idle connections close.
    pub fn drain(&self) {
        let mut wish = self.inner.ending.wish.lock();
        if *wish == StopMode::Run {
            *wish = StopMode::Drain;
            let now = clock::now().as_nanos();
            self.inner.state.shared.draining_since.store(now, Ordering::Relaxed);
            self.inner.ending.changed.notify_all();
            drop(wish);
            self.inner.state.parking.wake();
        }
    }

    /// Asks for a stop that waits for nothing.
    pub fn stop_now(&self) {
        *self.inner.ending.wish.lock() = StopMode::Stop;
        self.inner.ending.changed.notify_all();
    }

    /// Whether a stop has been asked for.
    pub fn is_stopping(&self) -> bool {
        *self.inner.ending.wish.lock() != StopMode::Run
    }

    /// Reopens the access log file, after it was moved away.
    pub fn reopen_logs(&self) {
        if let Some(log) = &*self.inner.log.lock() {
            log.reopen();
        }
    }

    #[doc(hidden)]
    /// Says where the program's logger counts lines that it has lost, for the metrics. Can be said
    /// once; without it none are counted.
    pub fn count_lost_diagnostics(&self, dropped: Arc<AtomicU64>) {
        // The logger is the process's, so there is one count.
        let _ = self.inner.diagnostics_dropped.set(dropped);
    }

    /// The addresses where clients connect, with the port that was given for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.inner.state.shared.listeners.load().iter().map(|info| info.address).collect()
    }

    /// How every backend is.
    pub fn backends(&self) -> Vec<BackendState> {
        let snapshot = self.inner.state.shared.snapshot.load();
        let of_pool = |pool: &Pool| {
            let name = pool.name().to_owned();
            pool.backends()
                .iter()
                .map(|backend| BackendState {
                    name: backend.name().to_owned(),
                    pool: name.clone(),
                    up: backend.is_up(),
                    weight: backend.weight(),
                    active: backend.active(),
                    requests: backend.requests(),
                })
                .collect::<Vec<_>>()
        };
        snapshot.pools.iter().flat_map(of_pool).collect()
    }

    /// Changes the weight of every backend with this name until the next reload changes it, or
    /// [`Handle::restore_weight`] is called. 0 drains it: it gets no new requests, and those in
    /// flight finish. Weights above 256 count as 256.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let balancer = ropewalk::Balancer::start(ropewalk::Config::new().check()?.plan)?;
    /// let handle = balancer.handle();
    /// handle.set_weight("blue", 0)?;
    /// handle.restore_weight("green")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No backend has this name.
    pub fn set_weight(&self, backend: &str, weight: u32) -> Result<(), UnknownBackend> {
        self.change_weight(backend, WeightChange::Weight(weight.min(WEIGHT_MAX), None))
    }

    /// Gives every backend with this name its configured weight again.
    ///
    /// # Errors
    /// No backend has this name.
    pub fn restore_weight(&self, backend: &str) -> Result<(), UnknownBackend> {
        self.change_weight(backend, WeightChange::Enable)
    }

    fn change_weight(&self, backend: &str, change: WeightChange) -> Result<(), UnknownBackend> {
        Operations::set_weight(self, backend, change).map(drop).map_err(UnknownBackend)
    }

    /// All metrics in the text format of Prometheus, as `/metrics` of the admin listener answers.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let balancer = ropewalk::Balancer::start(ropewalk::Config::new().check()?.plan)?;
    /// assert!(balancer.handle().metrics().contains("ropewalk_requests_total"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn metrics(&self) -> String {
        admin::metrics_text(self.status())
    }

    /// Client connections that are open.
    pub fn connections(&self) -> usize {
        self.inner.state.shared.connections.load(Ordering::Relaxed)
    }

    /// The first thread that ended unexpectedly: [`Balancer::join`](crate::Balancer::join) then returns, and the balancer
    /// serves no more.
    pub fn failure(&self) -> Option<ThreadEnded> {
        self.inner.threads.failure().cloned()
    }

    /// Panics over a request that a worker survived; anything but 0 is a bug.
    pub fn panics(&self) -> u64 {
        self.inner.state.panics.load(Ordering::Relaxed)
    }
}

/// No backend has the name that was given. Its text lists the names there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackend(String);

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnknownBackend {}
