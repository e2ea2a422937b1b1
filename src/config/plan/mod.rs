//! The checked configuration: every value is usable as it stands.
//!
//! Nothing here is optional because it was left out; defaults have been filled in.

mod bounds;
mod fields;
mod logs;
mod matcher;
mod pool;
mod route;

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::base::limits::PROBES_IN_FLIGHT_MAX;
pub use bounds::{Limits, Timeouts};
pub use fields::{HeaderOps, HeaderPlan, UNCHANGED, Underscores};
pub use logs::{AccessLogFormat, AccessLogPlan, AccessLogSink, LogPlan};
pub use matcher::{HostMatch, Matcher, PathMatch, ValueMatch};
pub use pool::{BackendPlan, Ejection, HealthCheck, PoolPlan, Probe, Strategy};
pub use route::{
    Action, BasicAuth, ErrorPage, FixedResponse, RateLimit, RateLimitKey, RoutePlan, Template, TemplatePart,
};

/// A whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
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
    /// Networks whose X-Forwarded-* fields are believed; none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Which fields are added to every message, and which names are let through.
    pub headers: HeaderPlan,
    /// Groups of backends; none when no route forwards.
    pub pools: Vec<PoolPlan>,
    /// Which requests get what, in listed order: the first that matches wins. At least one.
    pub routes: Vec<RoutePlan>,
    /// Bodies of answers of our own where no route is known: 400, 404, 408 and the like.
    pub error_pages: Vec<ErrorPage>,
}

impl Plan {
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
    /// What `Authorization: Bearer` must say; `None` for no such demand.
    pub token: Option<String>,
}
