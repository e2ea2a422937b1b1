//! The configuration as requests see it: immutable, swapped as a whole.

use std::sync::Arc;

use crate::config::plan::{Plan, RoutePlan, Timeouts};
use crate::route::Routes;
use crate::upstream::backend::Backend;
use crate::upstream::pool::Pool;

/// What a request needs from the configuration. A request keeps the snapshot that it started with, and
/// nothing else does: idle connections and tunnels hold a bare one. The state of backends and clients
/// outlives snapshots.
pub struct Snapshot {
    /// The checked configuration.
    pub plan: Plan,
    /// The pools, in the plan's order.
    pub pools: Vec<Pool>,
    /// The routes, in the plan's order.
    pub routes: Routes,
}

impl Snapshot {
    /// Builds the snapshot of a plan.
    pub fn new(plan: Plan) -> Self {
        let pools = plan.pools.iter().map(|pool| Pool::new(pool, &plan.limits, fastrand::u64(..))).collect();
        let routes = Routes::new(&plan.routes, None);
        Self { plan, pools, routes }
    }

    /// Builds the snapshot of a plan, taking over state from the snapshot before.
    pub fn after(plan: Plan, before: &Self) -> Self {
        let seed = fastrand::u64(..);
        let pools = plan.pools.iter().map(|pool| Pool::after(pool, &plan.limits, seed, &before.pools));
        let pools = pools.collect();
        let routes = Routes::new(&plan.routes, Some(&before.routes));
        Self { plan, pools, routes }
    }

    /// A plan without its routes, pools and pages, for a connection that serves no request, so that it
    /// keeps no configuration alive.
    pub fn bare(plan: &Plan) -> Self {
        let plan = plan.bare();
        let routes = Routes::new(&plan.routes, None);
        Self { plan, pools: Vec::new(), routes }
    }

    /// A route by its index.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: a plan has at least one route, and indexes come from `Routes::find`"
    )]
    pub fn route(&self, index: u16) -> &RoutePlan {
        debug_assert!(usize::from(index) < self.plan.routes.len());
        &self.plan.routes[usize::from(index)]
    }

    /// The timeouts of a request with this route, or of one that has none yet.
    pub fn timeouts(&self, route: Option<u16>) -> &Timeouts {
        match route {
            Some(route) => &self.route(route).timeouts,
            None => &self.plan.timeouts,
        }
    }

    /// A pool by its index.
    #[expect(
        clippy::indexing_slicing,
        reason = "INVARIANT: indexes come from the plan's routes, which were checked against its pools"
    )]
    pub fn pool(&self, index: u16) -> &Pool {
        debug_assert!(usize::from(index) < self.pools.len());
        &self.pools[usize::from(index)]
    }

    /// Every backend of every pool.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.pools.iter().flat_map(|pool| pool.backends())
    }

    /// Closes every idle connection to a backend, to free descriptors.
    pub fn close_unused(&self) {
        for backend in self.backends() {
            backend.idle().clear();
        }
    }
}
