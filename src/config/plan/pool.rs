//! Pools: their backends, how one is chosen, and when one is out of service.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A group of backends that serve the same content.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    /// Its name: `default` in the simple form.
    pub name: String,
    /// How a backend is chosen.
    pub strategy: Strategy,
    /// Backend statuses that cause a retry. None.
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
    /// the pool's queue. `None` for no limit.
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
