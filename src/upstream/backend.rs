//! One backend: its name, address, weight, health and current load.
//!
//! What the configuration says of it is new with every reload; what is known of it is not, and
//! is shared by all configurations that name it. Everything that requests look at is an atomic;
//! verdicts on its health are written here by whichever thread reaches one.

mod verdict;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::base::ids;
use crate::base::limits::KEEP_NOTHING_FOR;
use crate::config::plan::{BackendPlan, HealthCheck};
use crate::net::stream::Stream;
use crate::upstream::addresses::Addresses;
use crate::upstream::ejection::{Evidence, View};
use crate::upstream::health::{HealthState, Reason};
use crate::upstream::idle_connections::{Distrust, IdleConnections, Unasked};
use crate::upstream::places::Places;
use crate::upstream::probe_requests::ProbeRequests;
use crate::upstream::waiting_line::WaitingLine;
use crate::upstream::ward::{self, SeatCell, Ward};
use crate::upstream::weight::WeightOverride;

/// A backend as one configuration describes it.
#[derive(Debug)]
pub struct Backend {
    plan: BackendPlan,
    check: Option<HealthCheck>,
    state: Arc<State>,
    /// Its place in the pool.
    index: u16,
    /// The pool's queue, and its ejections.
    queue: Arc<WaitingLine<Self>>,
    ward: Arc<Ward>,
}

/// The state of a backend, which outlives its configuration.
#[derive(Debug)]
struct State {
    id: u32,
    addresses: Addresses,
    /// Where it asks for a probe; empty until the health thread watches it.
    probe_requests: OnceLock<ProbeRequests>,
    /// Whether it has asked for a probe that the health thread has not seen yet. Ordering: Relaxed,
    /// since the channel that carries the request orders it.
    probe_asked: AtomicBool,
    weight: WeightOverride,
    places: Places,
    requests: AtomicU64,
    /// Attempts that failed here and were retried.
    retried: AtomicU64,
    /// Whether the backend is up, for requests to read without the lock.
    up: AtomicBool,
    /// Whether the backend is ejected, for requests to read without the lock.
    seat: SeatCell,
    /// When it last sent a response head, in nanoseconds. Ordering: Relaxed; it is compared with
    /// times that are seconds away.
    answered_at: AtomicU64,
    /// LOCK: guards the health state while a probe is counted.
    judgement: Mutex<HealthState>,
    idle: IdleConnections,
    /// Idle connections that belong to one client each. Ordering: Relaxed, since it is only shown.
    pinned: AtomicU32,
}

/// Why a backend is not given a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is unhealthy.
    Down,
    /// Its weight is 0.
    Drained,
    /// Requests to it failed too often.
    Ejected,
}

impl Backend {
    /// A backend that has not been probed yet: up until its first probe says otherwise.
    pub fn new(plan: BackendPlan, check: Option<HealthCheck>, idle_max: usize) -> Self {
        let address = plan.host.parse().ok().map(|ip| SocketAddr::new(ip, plan.port));
        let state = Arc::new(State {
            id: ids::next(),
            addresses: Addresses::new(address),
            probe_requests: OnceLock::new(),
            probe_asked: AtomicBool::new(false),
            weight: WeightOverride::none(),
            places: Places::new(plan.max_connections),
            requests: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            up: AtomicBool::new(true),
            seat: SeatCell::default(),
            answered_at: AtomicU64::new(0),
            judgement: Mutex::new(HealthState::new(check.as_ref())),
            idle: IdleConnections::new(idle_max),
            pinned: AtomicU32::new(0),
        });
        Self { plan, check, state, index: 0, queue: Arc::default(), ward: Arc::default() }
    }

    /// The same backend under a new configuration; its state is kept.
    pub fn again(&self, plan: BackendPlan, check: Option<HealthCheck>, idle_max: usize) -> Self {
        let state = Arc::clone(&self.state);
        {
            let mut judgement = state.judgement.lock();
            judgement.adopt(check.as_ref());
            state.up.store(judgement.is_up(), Ordering::Relaxed);
        }
        state.idle.set_max(idle_max);
        state.places.set_max(plan.max_connections);
        Self { plan, check, state, index: 0, queue: Arc::default(), ward: Arc::default() }
    }

    /// Whether a plan describes this backend: it has the same host and port.
    pub fn is_meant_by(&self, plan: &BackendPlan) -> bool {
        self.plan.host == plan.host && self.plan.port == plan.port
    }

    /// An id that is unique in this process, regardless of names.
    pub fn id(&self) -> u32 {
        self.state.id
    }

    /// The same backend as number `index` of a pool with this queue and these ejections.
    #[must_use]
    pub fn in_pool(mut self, index: u16, queue: &Arc<WaitingLine<Self>>, ward: &Arc<Ward>) -> Self {
        self.index = index;
        self.queue = Arc::clone(queue);
        self.ward = Arc::clone(ward);
        self
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

    /// How it is probed; `None` if it is not.
    pub fn check(&self) -> Option<&HealthCheck> {
        self.check.as_ref()
    }

    /// The address to try first; `None` while its name is unresolved.
    pub fn address(&self) -> Option<SocketAddr> {
        self.state.addresses.first()
    }

    /// All addresses of its host, preferred one first.
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.state.addresses.all()
    }

    /// Notes the addresses of its host, the preferred one first. Those beyond a limit are left out.
    pub fn set_addresses(&self, addresses: &[SocketAddr]) {
        let change = self.state.addresses.set(addresses);
        if change.distrusts_kept {
            self.state.idle.clear();
        }
        if change.in_use_is_gone {
            self.state.judgement.lock().address_changed();
        }
    }

    /// Puts the address first that has just answered.
    pub fn prefer(&self, address: SocketAddr) {
        self.state.addresses.prefer(address);
    }

    /// Sets where to ask for probes, once.
    pub fn watched_by(&self, requests: &ProbeRequests) {
        // After a reload the same health thread watches it, so the existing value is right.
        let _ = self.state.probe_requests.set(requests.clone());
    }

    /// Asks for a probe soon, because a request has seen signs of trouble. Never blocks, and costs one
    /// atomic operation while an earlier request is pending. The health thread decides when to probe,
    /// so asking often does no harm. A backend without a health check has its name resolved instead, if
    /// it has one.
    pub fn ask_for_probe(&self) {
        if let Some(requests) = self.state.probe_requests.get()
            && !self.state.probe_asked.swap(true, Ordering::Relaxed)
        {
            requests.ask(self.state.id);
        }
    }

    /// Called when the health thread has seen the request for a probe: the backend may ask again.
    pub fn probe_request_taken(&self) {
        self.state.probe_asked.store(false, Ordering::Relaxed);
    }

    /// Its share of requests; 0 means drained.
    pub fn weight(&self) -> u32 {
        self.state.weight.get().unwrap_or(self.plan.weight)
    }

    /// The share of requests that the configuration gives it.
    pub fn configured_weight(&self) -> u32 {
        self.plan.weight
    }

    /// Overrides the configured weight until `until`, which may be never.
    pub fn override_weight(self: &Arc<Self>, weight: u32, until: Moment) {
        self.state.weight.set(weight, until);
        self.offer();
    }

    /// Goes back to the configured weight.
    pub fn restore_weight(self: &Arc<Self>) {
        self.state.weight.clear();
        self.offer();
    }

    /// Restores the configured weight if an override has expired. Returns whether it had.
    pub fn expire_override(self: &Arc<Self>, now: Moment) -> bool {
        let over = self.state.weight.expire(now);
        if over {
            self.offer();
        }
        over
    }

    /// When the current weight override ends, if there is one.
    pub fn overridden_until(&self) -> Option<Moment> {
        self.state.weight.until()
    }

    /// Requests in flight.
    pub fn active(&self) -> u32 {
        self.state.places.active()
    }

    /// Attempts sent to it since the start.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// How many of them failed here and were then retried, usually at another backend.
    pub fn retried(&self) -> u64 {
        self.state.retried.load(Ordering::Relaxed)
    }

    /// Counts an attempt that failed here and is retried.
    pub fn count_retry(&self) {
        self.state.retried.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it is healthy.
    pub fn is_up(&self) -> bool {
        self.state.up.load(Ordering::Relaxed)
    }

    /// Whether it may get any requests.
    pub fn is_usable(&self) -> bool {
        self.usability().is_ok()
    }

    /// Whether it may get any requests, and if not, why.
    pub fn usability(&self) -> Result<(), Unusable> {
        match (self.is_up(), self.weight()) {
            (false, _) => Err(Unusable::Down),
            (true, 0) => Err(Unusable::Drained),
            (true, _) if !self.seat().is_serving() => Err(Unusable::Ejected),
            (true, _) => Ok(()),
        }
    }

    /// Whether it is up and not drained, ejected or not.
    pub(super) fn serves(&self) -> bool {
        self.is_up() && self.weight() > 0
    }

    /// Which requests ejection allows it to get.
    pub(super) fn seat(&self) -> &SeatCell {
        &self.state.seat
    }

    /// The ejections of its pool.
    pub(super) fn ward(&self) -> &Ward {
        &self.ward
    }

    /// Its ejection, if there is one.
    pub fn ejection(&self) -> Option<View> {
        if self.seat().is_serving() { None } else { self.ward.view(self.id()) }
    }

    /// How often it was ejected, in the order of [`Reason::WORDS`].
    pub fn ejections(&self) -> [u64; Reason::WORDS.len()] {
        self.ward.counts(self.id())
    }

    /// Whether a trial request is deciding right now whether it serves again.
    pub fn is_on_trial(&self) -> bool {
        self.seat().is_on_trial()
    }

    /// Counts a failed attempt.
    pub fn record_failure(&self, evidence: Evidence, now: Moment) {
        self.ward.failed(self.id(), evidence, now);
    }

    /// Whether it has sent a response head since then.
    pub fn has_answered_since(&self, then: Moment) -> bool {
        self.state.answered_at.load(Ordering::Relaxed) > then.as_nanos()
    }

    /// The limit on requests in flight; `None` if there is none.
    pub fn max_connections(&self) -> Option<u32> {
        self.state.places.max()
    }

    /// Whether it may get one more request now. While one request is redialling it, the others wait.
    pub fn has_room(&self) -> bool {
        self.state.places.has_room()
    }

    /// Its places for requests.
    pub(super) fn places(&self) -> &Places {
        &self.state.places
    }

    /// Tells queued requests that its health, weight or limit has changed: there may be free slots, or
    /// one backend less to wait for.
    pub fn offer(self: &Arc<Self>) {
        self.ward.settle();
        self.make_known();
    }

    /// The same, once ejections are up to date.
    pub(super) fn make_known(self: &Arc<Self>) {
        if self.serves() && self.seat().admits(true) {
            self.queue.admit(self);
        } else {
            self.queue.reconsider();
        }
    }

    /// A request in flight has ended: its place goes to the next that waits, or is free.
    pub(super) fn give_up(&self) {
        // No request waits for a slot at an unbounded backend.
        match self.max_connections() {
            None => self.state.places.vacate(),
            Some(_) => self.queue.give_up(self),
        }
    }

    /// Counts an attempt sent to it.
    pub(super) fn count_request(&self) {
        self.state.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that it has sent a response head.
    pub(super) fn note_answer(&self, now: Moment) {
        self.state.answered_at.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Its place in the pool.
    pub(super) fn index(&self) -> u16 {
        self.index
    }

    /// Tells requests that wait for it alone that it refuses connections.
    pub(super) fn refuse_waiting(&self) {
        self.queue.refuse(self);
    }

    /// Its unused connections.
    pub fn idle(&self) -> &IdleConnections {
        &self.state.idle
    }

    /// Counts an idle connection that belongs to one client.
    pub fn pin(&self) -> Pin {
        self.state.pinned.fetch_add(1, Ordering::Relaxed);
        Pin(Arc::clone(&self.state))
    }

    /// The number of its idle connections that belong to one client each.
    pub fn pinned(&self) -> u32 {
        self.state.pinned.load(Ordering::Relaxed)
    }

    /// An idle connection from an earlier request, if there is one.
    pub fn kept_connection(&self, now: Moment) -> Option<Stream> {
        self.state.idle.take(now).unwrap_or_else(|Unasked| {
            self.distrust(Distrust::UnaskedBytes, now);
            None
        })
    }

    /// Reports that a reused connection died before the response.
    pub fn reused_connection_died(&self, now: Moment) {
        if self.state.idle.died(now) {
            self.distrust(Distrust::ReuseDeaths, now);
        }
    }

    /// Suspends reuse of its connections for a while. Logged once per reason; the metric counts every
    /// time.
    pub fn distrust(&self, why: Distrust, now: Moment) {
        let Some(count) = self.state.idle.suspend(why, now) else { return };
        let level = if count == 1 { log::Level::Warn } else { log::Level::Debug };
        let what = match why {
            Distrust::UnaskedBytes => "sent unsolicited bytes",
            Distrust::ReuseDeaths => "closes most kept connections when they are reused",
        };
        let seconds = KEEP_NOTHING_FOR.as_secs();
        log::log!(level, "backend {} {what}; its connections are not reused for {seconds}s", self.name());
    }
}

impl ward::Member for Backend {
    fn id(&self) -> u32 {
        Self::id(self)
    }

    fn title(&self) -> String {
        let place = self.address().map(|address| format!(" ({address})")).unwrap_or_default();
        format!("{}{place}", self.name())
    }

    fn serves(&self) -> bool {
        Self::serves(self)
    }

    fn requests(&self) -> u64 {
        Self::requests(self)
    }

    fn seat(&self) -> &SeatCell {
        Self::seat(self)
    }

    fn ward(&self) -> &Ward {
        Self::ward(self)
    }

    fn make_known(self: Arc<Self>) {
        Self::make_known(&self);
    }
}

/// Counts an idle connection that belongs to one client, until it is dropped.
#[derive(Debug)]
pub struct Pin(Arc<State>);

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.pinned.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
