//! The configuration as requests see it: immutable, swapped as a whole.

use crate::config::plan::Plan;
use crate::upstream::pool::Pool;

/// What a request needs of the configuration. A request keeps the snapshot that it began
/// with; backends outlive snapshots.
pub struct Snapshot {
    /// The checked configuration.
    pub plan: Plan,
    /// The pools, in the plan's order; at least one.
    pub pools: Vec<Pool>,
}

impl Snapshot {
    /// Builds the pools of a plan.
    pub fn new(plan: Plan) -> Self {
        let pools = plan.pools.iter().map(|pool| Pool::new(pool, &plan.limits, fastrand::u64(..))).collect();
        Self { plan, pools }
    }

    /// The pool that a request goes to.
    pub fn pool(&self) -> &Pool {
        // INVARIANT: a plan has at least one pool.
        &self.pools[0]
    }
}
