//! The checked configuration: every value is usable as it stands.
//!
//! Nothing here is optional because it was left out; defaults have been filled in.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

/// A whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Where clients connect; at least one.
    pub listeners: Vec<ListenerPlan>,
    /// Threads that carry requests; at least one.
    pub workers: usize,
    /// Least severe level that is logged.
    pub log_level: log::LevelFilter,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
    /// Networks whose X-Forwarded-* fields are believed; none by default.
    pub trusted_proxies: Vec<IpNet>,
    /// Groups of backends; at least one. Every request goes to the first, until there are routes.
    pub pools: Vec<PoolPlan>,
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerPlan {
    /// The address to bind; port 0 takes a free one.
    pub address: SocketAddr,
}

/// How long each kind of wait may last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole request head, from its first byte. 10 s.
    pub head: Duration,
    /// The next request on an idle client connection. 30 s.
    pub keep_alive: Duration,
    /// The next bytes of a request body. 30 s.
    pub body_idle: Duration,
    /// How long a request body may be slower than `limits.body_rate`. 20 s.
    pub body_grace: Duration,
    /// A connection to a backend. 2 s.
    pub connect: Duration,
    /// A response head, from the last byte of the request. 30 s.
    pub response_head: Duration,
    /// The next bytes of a response body. 30 s.
    pub upstream_idle: Duration,
    /// A peer that takes no bytes from us. 30 s.
    pub write_idle: Duration,
    /// From the request head to the response head, over all tries; `None` for no such limit. 60 s.
    pub request: Option<Duration>,
    /// No bytes either way through a tunnel. 10 min.
    pub tunnel_idle: Duration,
    /// How long an unused connection to a backend is kept. 4 s.
    pub upstream_keep_alive: Duration,
    /// How long a stop waits for requests in flight. 30 s.
    pub drain: Duration,
}

/// How much of each thing there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once. 10 000.
    pub connections: usize,
    /// Bytes of a request or response head. 32 KiB.
    pub head: usize,
    /// Bytes of a request body; `None` for no such limit.
    pub body: Option<u64>,
    /// Bytes per second below which a request body is too slow, after `timeouts.body_grace`;
    /// `None` for no such limit. 500.
    pub body_rate: Option<u64>,
    /// Requests over one client connection; `None` for no such limit. 1 000.
    pub requests_per_connection: Option<u64>,
    /// Unused connections kept to each backend, or as many as it has requests in flight if
    /// those are more; 0 keeps none. 64.
    pub upstream_idle: usize,
}

/// A group of backends that serve the same content.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    /// Its name: `default` in the simple form.
    pub name: String,
    /// How a backend is chosen.
    pub strategy: Strategy,
    /// Extra tries after the first. 2.
    pub retries: u32,
    /// Statuses of a backend that are worth another try. None.
    pub retry_on_status: Vec<u16>,
    /// Names of request fields that are not passed on. None.
    pub removed_request_fields: Vec<String>,
    /// How backends are probed; `None` when health checks are off.
    pub health_check: Option<HealthCheck>,
    /// The members, in listed order; at least one.
    pub backends: Vec<BackendPlan>,
}

/// How a pool chooses among its usable backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Strict rotation in listed order; weights ignored. The default.
    RoundRobin,
    /// Smooth rotation in proportion to weight.
    WeightedRoundRobin,
    /// The fewest requests in flight per weight.
    LeastConnections,
    /// Uniform by weight.
    Random,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPlan {
    /// Its unique name: the one given, or `host:port`.
    pub name: String,
    /// A host name or an IP address (IPv6 without brackets).
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its share of requests; 0 means drained. 1.
    pub weight: u32,
}

/// How the backends of a pool are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What a probe does.
    pub probe: Probe,
    /// Probe this port instead of the backend's own.
    pub port: Option<u16>,
    /// From the start of one probe to the start of the next. 5 s.
    pub interval: Duration,
    /// How long one probe may take; shorter than `interval`. 2 s.
    pub timeout: Duration,
    /// Consecutive successes that bring a backend up. 2.
    pub healthy_after: u32,
    /// Consecutive failures that take a backend down. 3.
    pub unhealthy_after: u32,
    /// Consecutive failed requests that take a backend down; `None` when requests are not
    /// counted. 5.
    pub passive_failures: Option<u32>,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Opens a TCP connection and closes it.
    Tcp,
    /// Sends a GET and looks at the status.
    Http {
        /// The path to ask for. `/health`.
        path: String,
        /// The Host field to send, instead of the backend's own.
        host: Option<String>,
        /// Statuses that count as healthy. 200–299.
        expect_status: Vec<RangeInclusive<u16>>,
    },
}
