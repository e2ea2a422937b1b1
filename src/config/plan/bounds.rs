//! How long each kind of wait may last, and limits on connections, sizes and rates.

use std::time::Duration;

/// How long each kind of wait may last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole request head, from its first byte. 10 s.
    pub head: Duration,
    /// The next request on an idle client connection. 30 s.
    pub keep_alive: Duration,
    /// The next bytes of a request body. 30 s.
    pub body_idle: Duration,
    /// How long a request body may be slower than `limits.body_rate`, and a client keep us waiting
    /// with less than `limits.response_rate`. 20 s.
    pub body_grace: Duration,
    /// A free slot, when every backend has `max_connections` requests in flight. 5 s.
    pub queue: Duration,
    /// A connection to a backend. 2 s.
    pub connect: Duration,
    /// A response head, from the last byte of the request. 30 s.
    pub response_head: Duration,
    /// The next bytes of a response body. 30 s.
    pub response_body: Duration,
    /// A peer that reads nothing of what we send. 30 s.
    pub write_idle: Duration,
    /// From the request head to the response head, over all attempts; `None` for no limit. 60 s.
    pub request: Option<Duration>,
    /// No bytes in either direction of a tunnel. 10 min.
    pub tunnel_idle: Duration,
    /// How long an unused connection to a backend is kept. 4 s.
    pub upstream_keep_alive: Duration,
    /// How long a shutdown waits for requests in flight. 30 s.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(30),
            body_idle: Duration::from_secs(30),
            body_grace: Duration::from_secs(20),
            queue: Duration::from_secs(5),
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(30),
            response_body: Duration::from_secs(30),
            write_idle: Duration::from_secs(30),
            request: Some(Duration::from_secs(60)),
            tunnel_idle: Duration::from_secs(600),
            upstream_keep_alive: Duration::from_secs(4),
            drain: Duration::from_secs(30),
        }
    }
}

/// Limits on connections, sizes and rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once. 10 000.
    pub connections: usize,
    /// Client connections of one address, or of one /64 network of IPv6 addresses; `None` for no such
    /// limit, which is the default.
    pub connections_per_client: Option<usize>,
    /// Upgraded connections among them, such as WebSockets; 0 allows none. Three quarters
    /// of `connections`.
    pub tunnels: usize,
    /// Bytes of a request or response head. 32 KiB.
    pub head: usize,
    /// Bytes of the interim responses to one request; `None` for no limit. 64 KiB.
    pub interim: Option<u64>,
    /// Field lines of a request or response head. 100.
    pub fields: usize,
    /// Bytes of a request's target. 8 KiB.
    pub target: usize,
    /// Bytes of a request body; `None` for no limit.
    pub body: Option<u64>,
    /// Bytes per second below which a request body is too slow, after `timeouts.body_grace`;
    /// `None` for no limit. 500.
    pub body_rate: Option<u64>,
    /// Bytes per second below which a client takes its response too slowly, after
    /// `timeouts.body_grace` of waiting for it; `None` for no limit. 500.
    pub response_rate: Option<u64>,
    /// Requests over one client connection; `None` for no limit. 1 000.
    pub requests_per_connection: Option<u64>,
    /// Requests of one pool that wait for a place at a backend; 0 lets none wait. 1 000.
    pub queue: usize,
    /// Unused connections kept to each backend, or as many as it has requests in flight if
    /// those are more; 0 keeps none. 64.
    pub upstream_idle: usize,
    /// The most bytes of memory that the process may use; `None` for as many as the other limits allow,
    /// which is the default.
    pub memory: Option<u64>,
}
