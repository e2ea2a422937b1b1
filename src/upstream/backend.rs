//! One backend: its name, its address, its weight, what it is doing and how it is.
//!
//! Everything that requests look at is an atomic; verdicts on its health are written here
//! by whoever comes by one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::config::plan::{BackendPlan, HealthCheck};
use crate::upstream::health::{Judgement, ProbeResult, Reason, Transition};
use crate::upstream::idle_connections::IdleConnections;

/// A backend, shared by requests and the health thread.
#[derive(Debug)]
pub struct Backend {
    plan: BackendPlan,
    check: Option<HealthCheck>,
    address: ArcSwapOption<SocketAddr>,
    weight: AtomicU32,
    /// Requests in flight. Ordering: Relaxed; it orders nothing but itself.
    active: AtomicU32,
    requests: AtomicU64,
    /// The judgement's verdict, where requests can see it without the lock.
    up: AtomicBool,
    /// Whether the last request failed, so that a success need not lock the judgement.
    failed_last: AtomicBool,
    /// LOCK: guards the verdict while a probe or a failed request is counted.
    judgement: Mutex<Judgement>,
    idle: IdleConnections,
}

impl Backend {
    /// A backend that has not been probed: up until the first probe says otherwise.
    pub fn new(plan: BackendPlan, check: Option<HealthCheck>, idle_max: usize) -> Self {
        let address = plan.host.parse().ok().map(|ip| Arc::new(SocketAddr::new(ip, plan.port)));
        Self {
            address: ArcSwapOption::new(address),
            weight: AtomicU32::new(plan.weight),
            active: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            up: AtomicBool::new(true),
            failed_last: AtomicBool::new(false),
            judgement: Mutex::new(Judgement::new(check.as_ref())),
            idle: IdleConnections::new(idle_max),
            plan,
            check,
        }
    }

    /// Its unique name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The host name or IP address it was configured with.
    pub fn host(&self) -> &str {
        &self.plan.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.plan.port
    }

    /// How it is probed; `None` when it is not.
    pub fn check(&self) -> Option<&HealthCheck> {
        self.check.as_ref()
    }

    /// Where to connect to; `None` while its name has not been resolved.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.load().as_deref().copied()
    }

    /// Notes what its name resolves to.
    pub fn set_address(&self, address: Option<SocketAddr>) {
        let before = self.address.swap(address.map(Arc::new));
        if before.as_deref() != address.as_ref() {
            // Kept connections lead to the old address.
            self.idle.clear();
        }
    }

    /// Its share of requests; 0 means drained.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Requests in flight.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Tries that were given to it since the start.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether it is healthy.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether it may be given a request.
    pub fn is_usable(&self) -> bool {
        self.is_up() && self.weight() > 0
    }

    /// Its unused connections.
    pub fn idle(&self) -> &IdleConnections {
        &self.idle
    }

    /// Whether its verdict is about to change, so that it should be probed sooner.
    pub fn in_transition(&self) -> bool {
        self.judgement.lock().in_transition()
    }

    /// Counts a probe.
    pub fn record_probe(&self, result: ProbeResult, latency: Duration, now: Moment) -> Option<Transition> {
        self.judge(|judgement| judgement.probe(result, latency, now))
    }

    /// Counts a request that the backend failed: refused, reset or garbled.
    pub fn record_failure(&self, reason: Reason) -> Option<Transition> {
        self.failed_last.store(true, Ordering::Relaxed);
        self.judge(|judgement| judgement.request_failed(reason))
    }

    /// Counts a request that the backend answered.
    pub fn record_success(&self) {
        if self.failed_last.load(Ordering::Relaxed) {
            self.failed_last.store(false, Ordering::Relaxed);
            self.judgement.lock().request_succeeded();
        }
    }

    fn judge(&self, count: impl FnOnce(&mut Judgement) -> Option<Transition>) -> Option<Transition> {
        let transition = {
            let mut judgement = self.judgement.lock();
            let transition = count(&mut judgement);
            // Inside the lock, so that two verdicts cannot be published in the wrong order.
            self.up.store(judgement.is_up(), Ordering::Relaxed);
            transition
        };
        if transition.as_ref().is_some_and(|transition| !transition.up) {
            self.idle.clear();
        }
        transition
    }
}

/// One request's hold on a backend: it counts as in flight until this is dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    index: u16,
}

impl Lease {
    /// Counts a request as in flight at `backend`, the pool's member number `index`.
    pub fn new(backend: &Arc<Backend>, index: u16) -> Self {
        backend.active.fetch_add(1, Ordering::Relaxed);
        backend.requests.fetch_add(1, Ordering::Relaxed);
        Self { backend: Arc::clone(backend), index }
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Its place in the pool.
    pub fn index(&self) -> u16 {
        self.index
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.active.fetch_sub(1, Ordering::Relaxed);
    }
}
