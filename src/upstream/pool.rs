//! A group of backends that serve the same content, and the choice among them.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::base::ids;
use crate::base::limits::{PICKS_MAX, RETRIES_MAX};
use crate::config::plan::{BackendPlan, Limits, PoolPlan, Strategy};
use crate::net::parking::Unpark;
use crate::upstream::backend::Backend;
use crate::upstream::lease::Lease;
use crate::upstream::queue::{Admission, Queue};
use crate::upstream::retry_budget::{RetryBudget, Retrying};
use crate::upstream::selector::{self, Candidates, Selector};
use crate::upstream::ward::Ward;

/// A pool.
pub struct Pool {
    id: u32,
    name: String,
    strategy: Strategy,
    retry_on_status: Vec<u16>,
    eject_on_status: Vec<u16>,
    budget: Arc<RetryBudget>,
    backends: Vec<Arc<Backend>>,
    queue: Arc<Queue>,
    ward: Arc<Ward>,
    /// LOCK: guards the strategy's place in its rotation for one pick.
    selector: Mutex<Box<dyn Selector>>,
}

impl Pool {
    /// A pool as planned, with `seed` for what chance decides.
    pub fn new(plan: &PoolPlan, limits: &Limits, seed: u64) -> Self {
        Self::after(plan, limits, seed, &[])
    }

    /// A pool as planned that takes over what is known from the pools before it: a backend of
    /// the same host and port in the pool of the same name is the same backend.
    pub fn after(plan: &PoolPlan, limits: &Limits, seed: u64, before: &[Self]) -> Self {
        let before = before.iter().find(|pool| pool.name == plan.name);
        let known = before.map_or(&[][..], |pool| pool.backends());
        let queue = before.map_or_else(Arc::default, |pool| Arc::clone(&pool.queue));
        let ward = before.map_or_else(Arc::default, |pool| Arc::clone(&pool.ward));
        let backend = |(backend, index): (&BackendPlan, u16)| {
            let (check, idle_max) = (plan.health_check.clone(), limits.upstream_idle);
            let backend = match known.iter().find(|known| known.is_meant_by(backend)) {
                Some(known) => known.again(backend.clone(), check, idle_max),
                None => Backend::new(backend.clone(), check, idle_max),
            };
            Arc::new(backend.in_pool(index, &queue, &ward))
        };
        let backends: Vec<_> = plan.backends.iter().zip(0..).map(backend).collect();
        queue.set(limits.queue, &backends);
        ward.set(&plan.name, plan.ejection.clone(), &backends);
        Self {
            id: before.map_or_else(ids::next, |pool| pool.id),
            name: plan.name.clone(),
            strategy: plan.strategy,
            retry_on_status: plan.retry_on_status.clone(),
            eject_on_status: plan.ejection.as_ref().map_or_else(Vec::new, |rules| rules.on_status.clone()),
            budget: before.map_or_else(Arc::default, |pool| Arc::clone(&pool.budget)),
            backends,
            queue,
            ward,
            selector: Mutex::new(selector::build(plan.strategy, seed)),
        }
    }

    /// A number that no other pool of this process has, but the same as before a reload.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a backend is chosen.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Whether a response with this status is worth another try.
    pub fn retries_status(&self, status: u16) -> bool {
        self.retry_on_status.contains(&status)
    }

    /// Whether a response with this status is a failure of the backend.
    pub fn ejects_on_status(&self, status: u16) -> bool {
        self.eject_on_status.contains(&status)
    }

    /// Its ejections.
    pub fn ward(&self) -> &Ward {
        &self.ward
    }

    /// Leave to send a request again that a backend may have acted on already.
    pub fn spend_retry(&self, now: Moment) -> Option<Retrying> {
        let requests = self.backends.iter().map(|backend| backend.requests()).sum();
        self.budget.spend(requests, now)
    }

    /// Its members, in listed order.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The requests that wait for a place.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether a member may be given this request, if not at once.
    pub fn has_candidate(&self, ask: &Ask) -> bool {
        self.backends.iter().any(|backend| ask.suits(backend))
    }

    /// Counts every member that a request might be given as one that it has tried.
    pub fn give_up_candidates(&self, ask: &mut Ask) {
        for backend in &self.backends {
            if ask.suits(backend) {
                ask.tried.insert(backend.id());
            }
        }
    }

    /// A backend for a request, or else a place in the queue, from where `unpark` wakes it.
    pub fn admit(&self, ask: &Ask, unpark: &Weak<dyn Unpark>) -> Admission {
        match self.pick(ask) {
            Some(lease) => Admission::Admitted(lease),
            None => self.queue.join(ask, || self.pick(ask), || self.has_candidate(ask), unpark),
        }
    }

    /// A backend for a request, of those that it has not tried. `None` if none of them is usable,
    /// or none has room.
    pub fn pick(&self, ask: &Ask) -> Option<Lease> {
        let mut selector = self.selector.lock();
        for _ in 0..PICKS_MAX {
            let index = selector.pick(&View { backends: &self.backends, ask })?;
            // Counted before the lock is released, so that the next pick sees it.
            let lease = self.backends.get(index).and_then(|backend| Lease::take(backend, ask));
            if lease.is_some() {
                return lease;
            }
        }
        None
    }
}

/// What decides which backends a request may be given.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The backends that it has tried. It is never given one of them again.
    pub tried: Tried,
    /// Whether it may be sent twice without harm.
    pub idempotent: bool,
    /// The number of the one backend that it may be given: its client is logged in there.
    pub only: Option<u32>,
}

impl Ask {
    /// Whether this backend may be given the request, as soon as it has room.
    pub(super) fn suits(&self, backend: &Backend) -> bool {
        backend.serves()
            && backend.seat().admits(self.idempotent)
            && !self.tried.contains(backend.id())
            && self.only.is_none_or(|only| only == backend.id())
    }
}

/// Which backends a request has tried, by their numbers: one that waited in the queue may have been
/// given a place at a backend of a newer configuration, whose place in the pool is another.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    ids: [u32; RETRIES_MAX as usize + 1],
    count: u8,
}

impl Tried {
    /// Notes that the backend with this number was tried.
    pub fn insert(&mut self, id: u32) {
        if self.contains(id) {
            return;
        }
        if let Some(place) = self.ids.get_mut(usize::from(self.count)) {
            *place = id;
            self.count += 1;
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    fn contains(&self, id: u32) -> bool {
        self.ids.iter().take(usize::from(self.count)).any(|&tried| tried == id)
    }
}

/// The backends as a strategy sees them.
struct View<'p> {
    backends: &'p [Arc<Backend>],
    ask: &'p Ask,
}

impl Candidates for View<'_> {
    fn len(&self) -> usize {
        self.backends.len()
    }

    fn is_usable(&self, index: usize) -> bool {
        let backend = &self.backends[index];
        self.ask.suits(backend) && backend.has_room()
    }

    fn weight(&self, index: usize) -> u32 {
        self.backends[index].weight()
    }

    fn active(&self, index: usize) -> u32 {
        self.backends[index].active()
    }
}
