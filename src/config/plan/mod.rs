//! The checked configuration: every value is usable as it stands.
//!
//! Keys that were left out have their defaults here.

mod bounds;
mod fields;
mod logs;
mod matcher;
mod pool;
mod route;

use std::net::SocketAddr;
use std::ops::Deref;

use ipnet::IpNet;

use crate::base::limits::{PLACES_MAX, PROBES_IN_FLIGHT_MAX};
pub use bounds::{Limits, Timeouts};
pub use fields::{HeaderOps, HeaderPlan, UNCHANGED, Underscores};
pub use logs::{AccessLogFormat, AccessLogPlan, AccessLogSink, LogPlan};
pub use matcher::{HostMatch, Matcher, PathMatch, ValueMatch};
pub use pool::{BackendPlan, Ejection, HealthCheck, PoolPlan, Probe, Strategy};
pub use route::{
    Action, BasicAuth, ErrorPage, FixedResponse, PoolIndex, RateLimit, RateLimitKey, RoutePlan, Template,
    TemplatePart,
};

/// A whole configuration, checked.
///
/// Only `check` makes one, and its [`Parts`] can be read but not changed. So what they promise holds
/// wherever a plan is.
///
/// ```compile_fail,E0596
/// let mut plan = ropewalk::Config::new().backend("http://127.0.0.1:9001").check().unwrap().plan;
/// plan.pools.clear(); // its route leads to this pool
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan(Parts);

impl Deref for Plan {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Plan {
    /// The plan of parts in which `check` found no mistake.
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { listeners, workers, pools, routes, .. } = &parts;
        // INVARIANT: there is something to listen on, to work with, and to do with a request; places
        // fit into what a request keeps of them; no pool is empty; a route leads to a pool there is.
        debug_assert!(!listeners.is_empty() && *workers > 0 && !routes.is_empty());
        debug_assert!(pools.len() <= PLACES_MAX && routes.len() <= PLACES_MAX);
        debug_assert!(pools.iter().all(|pool| !pool.backends.is_empty()));
        debug_assert!(routes.iter().all(|route| match route.action {
            Action::Forward(pool) => usize::from(pool.get()) < pools.len(),
            Action::Redirect { .. } | Action::Respond(_) => true,
        }));
        Self(parts)
    }

    /// What a connection needs that serves no request: no routes, pools or pages, so that it keeps no
    /// configuration alive.
    pub(crate) fn bare(&self) -> Self {
        Self(Parts {
            routes: Vec::new(),
            pools: Vec::new(),
            error_pages: Vec::new(),
            listeners: Vec::new(),
            ..self.0.clone()
        })
    }

    /// Keeps the admin listener of a plan before, since another takes effect only at the next start.
    pub(crate) fn keep_admin(&mut self, before: &Self) {
        self.0.admin.clone_from(&before.0.admin);
    }

    /// Lowers the limits on connections and on tunnels to what the process can have.
    pub(crate) fn lower_limits(&mut self, connections: usize, tunnels: usize) {
        let limits = &mut self.0.limits;
        limits.connections = limits.connections.min(connections);
        limits.tunnels = limits.tunnels.min(tunnels);
    }
}

/// Everything that a [`Plan`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerPlan>,
    /// Where operators connect; `None` when there is no admin listener.
    pub admin: Option<AdminPlan>,
    /// Threads that carry requests; at least one.
    pub workers: usize,
    /// What is logged, and where.
    pub log: LogPlan,
    /// Deadlines of what comes before a route is known. Each route has its own copy, with
    /// what its pool and it changed.
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
    /// Networks whose X-Forwarded-* fields are trusted; none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Which fields are added to every message, and which names are accepted.
    pub headers: HeaderPlan,
    /// Groups of backends; none when no route forwards.
    pub pools: Vec<PoolPlan>,
    /// Which requests go where, in listed order: the first that matches wins. At least one.
    pub routes: Vec<RoutePlan>,
    /// Bodies of our own error responses before a route is known: 400, 404, 408 and the like.
    pub error_pages: Vec<ErrorPage>,
}

impl Parts {
    /// How many probes may be in flight at once: one of each backend that is checked, up to a limit.
    pub fn probes_in_flight_max(&self) -> usize {
        let checked = self.pools.iter().filter(|pool| pool.health_check.is_some());
        checked.map(|pool| pool.backends.len()).sum::<usize>().min(PROBES_IN_FLIGHT_MAX)
    }
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerPlan {
    /// What routes, logs and metrics call it: the name given, or the address as typed.
    pub name: String,
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPlan {
    /// The address to bind; a loopback one unless there is a token.
    pub address: SocketAddr,
    /// The token that `Authorization: Bearer` must have; `None` if it needs none.
    pub token: Option<String>,
}
