//! A group of backends with the same content, and the choice among them.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::base::clock::Moment;
use crate::base::ids;
use crate::base::limits::PICKS_MAX;
use crate::config::plan::{BackendPlan, Limits, PoolPlan, Strategy};
use crate::net::parking::Unpark;
use crate::upstream::backend::Backend;
use crate::upstream::lease::Lease;
use crate::upstream::queue::{Admission, Queue};
use crate::upstream::retry_budget::{RetryBudget, Retrying};
use crate::upstream::selector::{self, Candidates, Selector};
use crate::upstream::ward::{self, Ward};

pub use crate::upstream::ask::{Ask, Tried};

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
    /// LOCK: guards the strategy's position in its rotation, held for one pick.
    selector: Mutex<Box<dyn Selector>>,
}

impl Pool {
    /// Builds a pool; `seed` makes random choices reproducible.
    pub fn new(plan: &PoolPlan, limits: &Limits, seed: u64) -> Self {
        Self::after(plan, limits, seed, &[])
    }

    /// Builds a pool that takes over the state of the pool of the same name before it: a backend with
    /// the same host and port is the same backend.
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
        let members = backends.iter().map(|backend| Arc::clone(backend) as Arc<dyn ward::Member>);
        ward.set(&plan.name, plan.ejection.clone(), &members.collect::<Vec<_>>());
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

    /// An id that is unique in this process and stable across reloads.
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

    /// Whether a response with this status is retried.
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

    /// Permission to retry a request that a backend may have already acted on.
    pub fn spend_retry(&self, now: Moment) -> Option<Retrying> {
        let requests = self.backends.iter().map(|backend| backend.requests()).sum();
        self.budget.spend(requests, now)
    }

    /// Its backends, in listed order.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The requests that wait for a slot.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether some backend may get this request, now or later.
    pub fn has_candidate(&self, ask: &Ask) -> bool {
        self.backends.iter().any(|backend| ask.suits(backend))
    }

    /// Marks every backend that the request might get as tried.
    pub fn give_up_candidates(&self, ask: &mut Ask) {
        for backend in &self.backends {
            if ask.suits(backend) {
                ask.tried.insert(backend.id());
            }
        }
    }

    /// A backend for a request, or else a ticket in the queue, which wakes the task through `unpark`.
    pub fn admit(&self, ask: &Ask, unpark: &Weak<dyn Unpark>) -> Admission {
        match self.pick(ask) {
            Some(lease) => Admission::Admitted(lease),
            None => self.queue.join(ask, || self.pick(ask), || self.has_candidate(ask), unpark),
        }
    }

    /// Picks a backend that the request has not tried. `None` if none is usable, or none has room.
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

/// The backends as a strategy sees them.
struct View<'p> {
    backends: &'p [Arc<Backend>],
    ask: &'p Ask,
}

#[expect(clippy::indexing_slicing, reason = "INVARIANT: selectors ask for indexes below `len` only")]
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
