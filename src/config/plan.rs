//! The checked configuration: every value is usable as it stands.
//!
//! Nothing here is optional because it was left out; defaults have been filled in.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::base::limits::PROBES_IN_FLIGHT_MAX;

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

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// Least severe level of diagnostics, which go to stderr. Info.
    pub level: log::LevelFilter,
    /// One line for each request; `None` when there is no such log, which is the default.
    pub access: Option<AccessLogPlan>,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogPlan {
    /// Where its lines go.
    pub sink: AccessLogSink,
    /// What a line looks like. JSON.
    pub format: AccessLogFormat,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogSink {
    /// Standard output.
    Stdout,
    /// A file that is appended to, and reopened on SIGUSR1.
    File(PathBuf),
}

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// One JSON object with everything that is known of the request.
    Json,
    /// Combined Log Format, as Apache and nginx write it.
    Combined,
}

/// One route: for which requests it is, and what they get.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePlan {
    /// What logs and messages call it: the name given, `routes/0` by its place, or `default`
    /// in the simple form.
    pub name: String,
    /// The requests that it is for.
    pub matcher: Matcher,
    /// What they get.
    pub action: Action,
    /// What is taken off the front of the path before it is forwarded; begins with `/` and
    /// ends without.
    pub strip_prefix: Option<String>,
    /// The path that is forwarded instead; the query stays.
    pub rewrite: Option<Template>,
    /// What happens to the fields of the request that is forwarded.
    pub request_headers: HeaderOps,
    /// What happens to the fields of the response that is relayed, ours included.
    pub response_headers: HeaderOps,
    /// Deadlines: the route's, or else its pool's, or else those of the whole.
    pub timeouts: Timeouts,
    /// Extra tries after the first: the route's, or else its pool's. 2.
    pub retries: u32,
    /// Bytes of a request body; `None` for no such limit.
    pub body_max: Option<u64>,
    /// Client networks that are served; empty for all.
    pub allow: Vec<IpNet>,
    /// Client networks that are not served, even if `allow` lists them.
    pub deny: Vec<IpNet>,
    /// Who must say who they are.
    pub basic_auth: Option<BasicAuth>,
    /// How often clients may ask.
    pub rate_limit: Option<RateLimit>,
    /// Bodies of answers of our own: the route's, then those of the whole; the first that is
    /// for a status counts.
    pub error_pages: Vec<ErrorPage>,
}

impl RoutePlan {
    /// A route that takes every request to the pool at a place in [`Plan::pools`].
    pub fn to_pool(name: &str, pool: usize, timeouts: Timeouts) -> Self {
        Self {
            name: name.to_owned(),
            matcher: Matcher::default(),
            action: Action::Forward(pool),
            strip_prefix: None,
            rewrite: None,
            request_headers: HeaderOps::default(),
            response_headers: HeaderOps::default(),
            timeouts,
            retries: 2,
            body_max: None,
            allow: Vec::new(),
            deny: Vec::new(),
            basic_auth: None,
            rate_limit: None,
            error_pages: Vec::new(),
        }
    }
}

/// Which requests a route is for: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Matcher {
    /// Names of listeners; empty for all.
    pub listeners: Vec<String>,
    /// Hosts, without port; empty for all.
    pub hosts: Vec<HostMatch>,
    /// The path.
    pub path: Option<PathMatch>,
    /// Methods, as they are sent; empty for all.
    pub methods: Vec<String>,
    /// Fields that must be there.
    pub headers: Vec<ValueMatch>,
    /// Cookies that must be there.
    pub cookies: Vec<ValueMatch>,
}

/// A host that a route is for. Lower case; an IPv6 address in brackets, as in a Host field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// This host.
    Exact(String),
    /// Every host that ends in this, which begins with a dot: `*.example.com`.
    Suffix(String),
}

/// A path that a route is for. Both it and the path of the request are compared in normal
/// form: percent-escapes decoded, repeated slashes merged, dot segments resolved (RFC 3986,
/// section 6.2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// This path and everything below it: `/v1` is for `/v1` and `/v1/a`, not for `/v10`; or,
    /// if it ends in a slash, only what is below. Never `/` alone, which would be every path.
    Prefix(String),
}

/// A field or cookie that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValueMatch {
    /// Its name; of a field in any case, of a cookie as it is.
    pub name: String,
    /// What it must say; `None` for anything.
    pub value: Option<String>,
}

/// What a route gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The answer of a backend of this pool, by its place in [`Plan::pools`].
    Forward(usize),
    /// Another place to ask at.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: Template,
    },
    /// An answer of our own.
    Respond(FixedResponse),
}

/// An answer that stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// Its media type. `text/plain; charset=utf-8`.
    pub content_type: String,
    /// Its body.
    pub body: Arc<[u8]>,
}

/// A text with places that the request fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it stands.
    Text(String),
    /// `{host}`: the host that was asked for, without port.
    Host,
    /// `{path}`: the path, after `strip_prefix`.
    Path,
    /// `{query}`: the query with its question mark; nothing if there is none.
    Query,
}

/// What happens to the fields of a head on its way through: first `remove`, then `set`, then
/// `add`. None of them can touch what frames the message or belongs to the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOps {
    /// Names of fields that are dropped.
    pub remove: Vec<String>,
    /// Fields that replace those of the same name.
    pub set: Vec<(String, String)>,
    /// Fields that are put beside those of the same name.
    pub add: Vec<(String, String)>,
}

/// Operations that leave a head as it is.
pub static UNCHANGED: HeaderOps = HeaderOps { remove: Vec::new(), set: Vec::new(), add: Vec::new() };

impl HeaderOps {
    /// Whether a field is left out as it comes: it is removed, or another takes its place.
    pub fn drops(&self, name: &str) -> bool {
        self.remove.iter().any(|removed| removed.eq_ignore_ascii_case(name)) || self.sets(name)
    }

    /// Whether a field is given a value.
    pub fn sets(&self, name: &str) -> bool {
        self.value_of(name).is_some()
    }

    /// The value that a field is given.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        self.set.iter().find(|(set, _)| set.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Which fields are added to every message, and which names are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderPlan {
    /// `Via` is added to requests and responses. True.
    pub via: bool,
    /// `Forwarded` (RFC 7239) is written beside X-Forwarded-*. False.
    pub forwarded: bool,
    /// What happens to request fields with `_` in their name. Dropped.
    pub underscores: Underscores,
}

impl Default for HeaderPlan {
    fn default() -> Self {
        Self { via: true, forwarded: false, underscores: Underscores::Drop }
    }
}

/// What happens to request fields with `_` in their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    /// They are dropped and counted.
    Drop,
    /// They are forwarded, except those that a backend could mistake for a field that ropewalk
    /// writes, or that belongs to the connection.
    Allow,
}

/// Basic authentication (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BasicAuth {
    /// What the client is told it logs in to. `ropewalk`.
    pub realm: String,
    /// Names and password hashes in crypt form, `$5$` or `$6$`: what `openssl passwd -6` prints.
    pub users: Vec<(String, String)>,
}

/// How often clients may ask: a token bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// Requests for each `per`; at least 1.
    pub requests: u32,
    /// The time in which so many tokens come back.
    pub per: Duration,
    /// Requests that may come at once; at least 1. As many as `requests`.
    pub burst: u32,
    /// Who shares a bucket. `client`.
    pub key: RateLimitKey,
}

/// Who shares a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitKey {
    /// Each client address has its own (of an IPv6 address the first 64 bits).
    Client,
    /// The whole route has one.
    Route,
}

/// The body of an answer of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// For these statuses.
    pub statuses: RangeInclusive<u16>,
    /// Its media type. `text/html; charset=utf-8`.
    pub content_type: String,
    /// The body.
    pub body: Arc<[u8]>,
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
    /// How long a request body may be slower than `limits.body_rate`, and a client keep us waiting
    /// with less than `limits.response_rate`. 20 s.
    pub body_grace: Duration,
    /// A place at a backend, when all have `max_connections`. 5 s.
    pub queue: Duration,
    /// A connection to a backend. 2 s.
    pub connect: Duration,
    /// A response head, from the last byte of the request. 30 s.
    pub response_head: Duration,
    /// The next bytes of a response body. 30 s.
    pub response_body: Duration,
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

/// How much of each thing there may be.
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
    /// Bytes of the interim responses to one request; `None` for no such limit. 64 KiB.
    pub interim: Option<u64>,
    /// Field lines of a request or response head. 100.
    pub fields: usize,
    /// Bytes of a request's target. 8 KiB.
    pub target: usize,
    /// Bytes of a request body; `None` for no such limit.
    pub body: Option<u64>,
    /// Bytes per second below which a request body is too slow, after `timeouts.body_grace`;
    /// `None` for no such limit. 500.
    pub body_rate: Option<u64>,
    /// Bytes per second below which a client takes its response too slowly, after
    /// `timeouts.body_grace` of waiting for it; `None` for no such limit. 500.
    pub response_rate: Option<u64>,
    /// Requests over one client connection; `None` for no such limit. 1 000.
    pub requests_per_connection: Option<u64>,
    /// Requests of one pool that wait for a place at a backend; 0 lets none wait. 1 000.
    pub queue: usize,
    /// Unused connections kept to each backend, or as many as it has requests in flight if
    /// those are more; 0 keeps none. 64.
    pub upstream_idle: usize,
    /// Bytes of memory that the process may come to at most; `None` for as many as the other limits
    /// allow, which is the default.
    pub memory: Option<u64>,
}

/// A group of backends that serve the same content.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    /// Its name: `default` in the simple form.
    pub name: String,
    /// How a backend is chosen.
    pub strategy: Strategy,
    /// Statuses of a backend that are worth another try. None.
    pub retry_on_status: Vec<u16>,
    /// How backends are probed; `None` when health checks are off.
    pub health_check: Option<HealthCheck>,
    /// When failed requests eject a member; `None` when they never do.
    pub ejection: Option<Ejection>,
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

impl Strategy {
    /// All of them, in the order of the documents.
    pub const ALL: [Self; 4] =
        [Self::RoundRobin, Self::WeightedRoundRobin, Self::LeastConnections, Self::Random];

    /// What the configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
        }
    }
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
    /// Requests in flight at once, tunnels included, and so connections; those over it wait in
    /// the pool's queue. `None` for no such limit.
    pub max_connections: Option<u32>,
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
}

impl Default for HealthCheck {
    /// A dial every five seconds.
    fn default() -> Self {
        Self {
            probe: Probe::Tcp,
            port: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }
}

/// When failed requests eject a backend, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Pieces of evidence within ten seconds. 5.
    pub failures: u32,
    /// What part of the backend's requests of that time they must be, in percent. 50.
    pub ratio: u32,
    /// How long the first ejection lasts. 5 s.
    pub time: Duration,
    /// How long those that follow soon last at most. 60 s.
    pub time_max: Duration,
    /// What part of the pool may be ejected at once, in percent. 50.
    pub pool_max: u32,
    /// Statuses that count as failures. None.
    pub on_status: Vec<u16>,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 5,
            ratio: 50,
            time: Duration::from_secs(5),
            time_max: Duration::from_secs(60),
            pool_max: 50,
            on_status: Vec::new(),
        }
    }
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
