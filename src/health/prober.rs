//! The loop of the health thread: starts probes when they are due, advances those in flight, and
//! records their results.
//!
//! All probes are in flight at once, on non-blocking sockets watched with one epoll, so a hung backend
//! delays no other. Nothing in the loop iterates over all backends: the [`Agenda`] knows what is due,
//! epoll knows which sockets are ready.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam::channel::{Receiver, unbounded};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::base::buffer::BufferPool;
use crate::base::clock::{self, Moment};
use crate::base::limits::{EVENTS_BATCH, PROBE_AHEAD_FOR};
use crate::health::agenda::Agenda;
use crate::health::answer::AnswerLimits;
use crate::health::attempt::{Attempt, Outcome};
use crate::health::fault::Fault;
use crate::health::hand_over::{HandedOver, HandedOverPool, Shared};
use crate::health::places::{Place, Places};
use crate::health::resolver::{Resolved, Resolver};
use crate::health::watched::{Activity, Probing, Watched};
use crate::upstream::health::{ProbeResult, Proof, Reason};

/// System resources of the loop, created before the thread starts so that a failure fails the start.
pub(super) struct Watch {
    epoll: OwnedFd,
}

/// The only event that is not a probe's: a new list, a request or a lookup result has arrived.
const WAKE: u64 = u64::MAX;

/// A probe's socket: reported once whenever it becomes readable, writable or broken.
const SOCKET: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);

impl Watch {
    /// # Errors
    /// The process is out of descriptors.
    pub(super) fn new(shared: &Shared) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, shared.requests.wake_fd(), EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self { epoll })
    }
}

/// The thread's own state.
pub(super) struct Prober {
    shared: Arc<Shared>,
    epoll: OwnedFd,
    watched: HashMap<u32, Watched>,
    pools: HashMap<u32, PoolWatch>,
    agenda: Agenda,
    places: Places,
    resolver: Resolver,
    resolved: Receiver<Resolved>,
    asked: Receiver<u32>,
    buffers: BufferPool,
    limits: AnswerLimits,
    /// Checked backends with no recorded probe yet.
    unjudged: usize,
    rng: fastrand::Rng,
}

/// A pool as the thread sees it.
struct PoolWatch {
    name: String,
    members: Vec<u32>,
    /// Since when no member has been usable.
    outage: Option<Moment>,
    looked_at: Moment,
}

impl Prober {
    pub(super) fn new(shared: Arc<Shared>, watch: Watch, asked: Receiver<u32>) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "LIMIT: no more results than look-ups under way, which the resolver bounds"
        )]
        let (sender, resolved) = unbounded();
        let requests = shared.requests.clone();
        let resolver = Resolver::new(move |found| {
            // If the thread has stopped, the result is no longer needed.
            if sender.send(found).is_ok() {
                requests.wake();
            }
        });
        Self {
            shared,
            epoll: watch.epoll,
            watched: HashMap::new(),
            pools: HashMap::new(),
            agenda: Agenda::new(clock::now()),
            places: Places::new(1),
            resolver,
            resolved,
            asked,
            buffers: BufferPool::new(),
            limits: AnswerLimits { head: 0, interim: 0 },
            unjudged: 0,
            rng: fastrand::Rng::new(),
        }
    }

    /// Runs until asked to stop.
    ///
    /// # Errors
    /// epoll itself is broken.
    pub(super) fn run(mut self) -> Result<(), String> {
        let mut events = Vec::with_capacity(EVENTS_BATCH);
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.turn(&mut events).map_err(|error| format!("epoll failed: {error}"))?;
        }
        Ok(())
    }

    /// Starts what is due, waits for events, and handles them.
    fn turn(&mut self, events: &mut Vec<Event>) -> Result<(), Errno> {
        self.start_due(clock::now());
        self.wait(events)?;
        let now = clock::now();
        for event in &*events {
            match event.data.u64() {
                WAKE => self.on_wake(now),
                // INVARIANT: all other events carry backend ids.
                backend => {
                    debug_assert!(u32::try_from(backend).is_ok(), "{backend}");
                    self.advance(backend as u32, now);
                }
            }
        }
        Ok(())
    }

    /// Sleeps until a probe's socket is ready, something is due, or the thread is woken.
    fn wait(&self, events: &mut Vec<Event>) -> Result<(), Errno> {
        let now = clock::now();
        let until = self.agenda.wakes_at(now);
        let ahead = until.since(now);
        let timeout = Timespec { tv_sec: ahead.as_secs() as i64, tv_nsec: i64::from(ahead.subsec_nanos()) };
        events.clear();
        let timeout = (until != Moment::NEVER).then_some(&timeout);
        match epoll::wait(&self.epoll, spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn on_wake(&mut self, now: Moment) {
        // First, so that a later message wakes the thread again.
        let _ = rustix::io::read(self.shared.requests.wake_fd(), &mut [0_u8; 8]);
        let handed_over = self.shared.hand_over.lock().list.take();
        if let Some(list) = handed_over {
            self.adopt(list, now);
        }
        while let Ok(backend) = self.asked.try_recv() {
            self.take_request(backend, now);
        }
        while let Ok(Resolved { backend, lane, addresses }) = self.resolved.try_recv() {
            self.resolver.ended(lane);
            if let Some(watched) = self.watched.get_mut(&backend) {
                watched.learn(addresses, now);
                self.plan(backend);
            }
        }
    }

    /// Watches a new list of backends. The state of those that stay is kept.
    fn adopt(&mut self, list: HandedOver, now: Moment) {
        let mut before = std::mem::take(&mut self.watched);
        let mut pools_before = std::mem::take(&mut self.pools);
        self.limits = list.limits;
        self.places.set_max(list.probes_max);
        for HandedOverPool { id: pool, name, backends } in list.pools {
            let members = backends.iter().map(|backend| backend.id()).collect();
            let outage = pools_before.remove(&pool).and_then(|pool| pool.outage);
            self.pools.insert(pool, PoolWatch { name, members, outage, looked_at: now });
            for backend in backends {
                let (id, chance) = (backend.id(), self.rng.f64());
                let watched = match before.remove(&id) {
                    Some(mut watched) => {
                        watched.adopt(backend, pool, now, chance);
                        watched
                    }
                    None => Watched::new(backend, pool, now, chance),
                };
                self.watched.entry(id).or_insert(watched);
            }
        }
        for &gone in before.keys() {
            self.agenda.forget(gone);
        }
        let watched = &self.watched;
        self.places.retain(|backend| watched.get(&backend).is_some_and(|it| it.schedule.is_some()));
        self.resolver.retain(|backend| watched.contains_key(&backend));
        self.unjudged = watched.values().filter(|it| it.schedule.is_some() && !it.judged).count();
        self.report_unjudged();
        let ids: Vec<u32> = self.watched.keys().copied().collect();
        ids.into_iter().for_each(|id| self.plan(id));
        let pools: Vec<u32> = self.pools.keys().copied().collect();
        pools.into_iter().for_each(|pool| self.look_at_pool(pool, now));
    }

    fn report_unjudged(&self) {
        let mut hand_over = self.shared.hand_over.lock();
        // If another list has already arrived, its backends are not known here yet.
        if hand_over.list.is_none() {
            hand_over.unjudged = self.unjudged;
            drop(hand_over);
            self.shared.judged.notify_all();
        }
    }

    /// Handles a request that has seen signs of trouble at a backend.
    fn take_request(&mut self, id: u32, now: Moment) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        watched.backend.probe_request_taken();
        match &mut watched.schedule {
            Some(schedule) => schedule.ask(now),
            None => watched.look_up_soon(now),
        }
        let pool = watched.pool;
        self.plan(id);
        self.look_at_pool(pool, now);
    }

    /// Updates the agenda for a backend.
    fn plan(&mut self, id: u32) {
        let Some(watched) = self.watched.get(&id) else { return };
        self.agenda.set(id, watched.acts_at());
        self.agenda.set_ahead(id, watched.ahead());
    }

    fn start_due(&mut self, now: Moment) {
        while let Some(id) = self.agenda.next_due(now) {
            self.act(id, now);
        }
        while let Some(id) = self.agenda.next_ahead(now) {
            self.probe(id, now);
        }
        while let Some((id, place)) = self.places.next() {
            self.start(id, place, now);
        }
    }

    /// Does what is due for a backend: ends a late probe, has its name resolved, starts a probe.
    fn act(&mut self, id: u32, now: Moment) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        if let Some(job) = watched.look_up(now) {
            self.resolver.ask(job);
        }
        if watched.is_late(now)
            && let Activity::Probing(mut probing) = std::mem::replace(&mut watched.activity, Activity::Idle)
        {
            let outcome = probing.attempt.late();
            self.end(id, probing, outcome, now);
        } else if watched.is_due(now) {
            self.probe(id, now);
        }
        self.plan(id);
    }

    /// Starts a probe, as soon as a slot is free.
    fn probe(&mut self, id: u32, now: Moment) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        if !matches!(watched.activity, Activity::Idle) || watched.schedule.is_none() {
            return;
        }
        match self.places.take(id, watched.lane()) {
            Some(place) => self.start(id, place, now),
            None => {
                watched.activity = Activity::Waiting;
                self.plan(id);
            }
        }
    }

    fn start(&mut self, id: u32, place: Place, now: Moment) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let Some(schedule) = &mut watched.schedule else { return };
        schedule.began(now, self.rng.f64());
        watched.activity = Activity::Idle;
        watched.addresses.begin();
        self.try_next_address(id, place, now, Fault::Theirs(Reason::Unresolved), now);
    }

    /// Tries the next address of a probe that began at `began` and has failed at every address so far,
    /// most recently with `fault`; or ends the probe.
    fn try_next_address(&mut self, id: u32, place: Place, began: Moment, mut fault: Fault, now: Moment) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let backend = Arc::clone(&watched.backend);
        let Some(check) = backend.check() else { return };
        let deadline = began + check.timeout;
        while fault.concerns_the_address()
            && now < deadline
            && let Some(address) = watched.addresses.next()
        {
            let attempt = Attempt::begin(&backend, check, address, self.limits).and_then(|attempt| {
                let data = EventData::new_u64(id.into());
                epoll::add(&self.epoll, &attempt, data, SOCKET).map_err(|_| Fault::Ours)?;
                Ok(attempt)
            });
            match attempt {
                Ok(attempt) => {
                    watched.activity =
                        Activity::Probing(Probing { attempt, address, began, deadline, place });
                    self.plan(id);
                    return;
                }
                Err(found) => fault = found,
            }
        }
        drop(place);
        match fault {
            Fault::Theirs(reason) => self.record(id, ProbeResult::Failure(reason), None, began, now),
            Fault::Ours => {
                log::debug!("no probe of backend {}: out of descriptors or memory", backend.name());
                if let (true, Some(schedule)) = (watched.is_eager(now), &mut watched.schedule) {
                    schedule.ask(now);
                }
                self.plan(id);
            }
        }
    }

    /// Handles an event on the socket of a backend's probe.
    fn advance(&mut self, id: u32, now: Moment) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let Activity::Probing(probing) = &mut watched.activity else { return };
        let Some(outcome) = probing.attempt.advance(&mut self.buffers) else { return };
        if let Activity::Probing(probing) = std::mem::replace(&mut watched.activity, Activity::Idle) {
            self.end(id, probing, outcome, now);
        }
    }

    /// Ends a probe at one address, and possibly as a whole.
    fn end(&mut self, id: u32, probing: Probing, outcome: Outcome, now: Moment) {
        let Probing { attempt, address, began, place, .. } = probing;
        drop(attempt);
        match outcome {
            Ok(()) => {
                drop(place);
                self.record(id, ProbeResult::Success, Some(address), began, now);
            }
            Err(fault) => self.try_next_address(id, place, began, fault, now),
        }
    }

    /// Records the result of a probe and plans the next.
    fn record(
        &mut self,
        id: u32,
        result: ProbeResult,
        address: Option<SocketAddr>,
        began: Moment,
        now: Moment,
    ) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        watched.conclude(result, address, now);
        let backend = Arc::clone(&watched.backend);
        let pool = self.pools.get(&watched.pool);
        let proof = match pool {
            Some(PoolWatch { outage: Some(_), .. }) => Proof::OneSuccess,
            _ => Proof::AsConfigured,
        };
        let transition = backend.record_probe(result, now.since(began), now, proof);
        if let Some(transition) = &transition {
            let pool = pool.map_or("", |pool| pool.name.as_str());
            transition.log(pool, backend.name(), backend.address());
        }
        let eager = watched.is_eager(now);
        if let Some(schedule) = &mut watched.schedule {
            if backend.in_transition() {
                schedule.hurry(now);
            }
            if eager {
                schedule.ask(now);
            }
        }
        let (pool, first) = (watched.pool, !std::mem::replace(&mut watched.judged, true));
        if first {
            self.unjudged = self.unjudged.saturating_sub(1);
            self.report_unjudged();
        }
        self.plan(id);
        let looked_at = self.pools.get(&pool).map_or(now, |pool| pool.looked_at);
        let stale = !backend.is_up() && now.since(looked_at) >= POOL_LOOK_EVERY;
        if transition.is_some() || stale {
            self.look_at_pool(pool, now);
        }
        self.hasten_in_outage(id, now);
    }

    /// Checks whether a pool has a usable backend. When it has lost its last, all that are down are
    /// probed ahead of schedule.
    fn look_at_pool(&mut self, id: u32, now: Moment) {
        let Some(pool) = self.pools.get_mut(&id) else { return };
        pool.looked_at = now;
        let is_usable = |id| self.watched.get(id).is_some_and(|watched| watched.backend.is_usable());
        if pool.members.iter().any(is_usable) {
            pool.outage = None;
        } else if pool.outage.is_none() {
            pool.outage = Some(now);
            let members = pool.members.clone();
            members.into_iter().for_each(|member| self.hasten_in_outage(member, now));
        }
    }

    /// Has a backend probed ahead of schedule if it is down and its pool has no usable backend.
    fn hasten_in_outage(&mut self, id: u32, now: Moment) {
        let Some(watched) = self.watched.get_mut(&id) else { return };
        let outage = self.pools.get(&watched.pool).and_then(|pool| pool.outage);
        if let Some(since) = outage
            && now < since + PROBE_AHEAD_FOR
            && !watched.backend.is_up()
            && let Some(schedule) = &mut watched.schedule
        {
            schedule.ask(now);
            self.plan(id);
        }
    }
}

/// How often a failed probe triggers a check of its pool if nothing has changed. This detects changes
/// by requests and operators.
const POOL_LOOK_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
