//! What the admin listener can ask of a balancer. Implemented by the balancer, and by tests.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::observe::histogram::Histogram;

/// A running balancer, as an operator sees it.
pub trait Operations: Send + Sync {
    /// The current status. Cheap enough to call every second.
    fn status(&self) -> Status;

    /// The requests in flight, including tunnels.
    fn requests(&self) -> RequestsInFlight;

    /// What would happen to a request, as text for people, ending in a newline.
    ///
    /// # Errors
    /// The URL or a field is malformed; the text says what is wrong with it.
    fn explain(&self, question: &Question) -> Result<String, String>;

    /// Rereads and applies the configuration file. Returns at once; `done` is called later, perhaps on
    /// another thread, with one line per change. If the file has errors or a listener cannot be bound,
    /// nothing changes and the text says why.
    fn reload(&self, done: ReloadDone);

    /// What the running reload is doing and since when; empty if none is running.
    fn reload_progress(&self) -> String;

    /// Changes the weight of a backend, in all pools that have a backend of this name.
    ///
    /// # Errors
    /// There is no such backend; the text lists the existing ones.
    fn set_weight(&self, backend: &str, change: WeightChange) -> Result<String, String>;
}

/// Called once with the result of a reload.
pub type ReloadDone = Box<dyn FnOnce(Result<Vec<String>, String>) + Send>;

/// A request that `explain` is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its method.
    pub method: String,
    /// Its absolute URL, such as `http://example.com/a?b`.
    pub url: String,
    /// Fields other than Host.
    pub headers: Vec<(String, String)>,
    /// Names of backends to treat as down.
    pub down: Vec<String>,
    /// The client's address; `None` picks an example that the route serves.
    pub client: Option<IpAddr>,
}

/// A change to a backend's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightChange {
    /// No new requests for this long, or until it is enabled again.
    Drain(Option<Duration>),
    /// Back to the configured weight.
    Enable,
    /// This weight for this long, or until it is enabled again.
    Weight(u32, Option<Duration>),
}

/// The status of a balancer.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version of ropewalk.
    pub version: &'static str,
    /// The process id.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Whether at least one backend takes requests and no stop has begun.
    pub ready: bool,
    /// Whether a stop has begun.
    pub draining: bool,
    /// Listeners for clients.
    pub listeners: Vec<ListenerStatus>,
    /// Pools of backends.
    pub pools: Vec<PoolStatus>,
    /// Client connections.
    pub connections: ConnectionsStatus,
    /// Threads that carry requests.
    pub workers: WorkersStatus,
    /// Tasks that wait for a worker.
    pub ready_queue_length: usize,
    /// Requests that have ended, by listener, pool, backend and code.
    pub requests: Vec<RequestCount>,
    /// Retries, by the outcome of the attempt before.
    #[serde(serialize_with = "as_map")]
    pub retries: Vec<(&'static str, u64)>,
    /// Request fields that were dropped because their name contains `_`.
    pub dropped_fields: u64,
    /// Request durations, per pool.
    #[serde(skip)]
    pub durations: Vec<(String, Histogram)>,
    /// Access log lines that could not be written.
    pub access_log_dropped: u64,
    /// Diagnostic lines dropped because stderr was not read.
    pub diagnostics_dropped: u64,
    /// Reloads since the start.
    pub reloads: ReloadsStatus,
    /// Configurations in memory: the current one, and older ones still used by requests that started
    /// under them.
    pub configurations: usize,
    /// Panics that workers survived; anything but 0 is a bug.
    pub panics: u64,
    /// Resident memory of the process in bytes.
    pub resident_bytes: u64,
}

/// Named counts as a JSON object.
fn as_map<S: Serializer>(counts: &[(&'static str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().copied())
}

/// A listening address.
#[derive(Clone, Debug, Serialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Its address and port.
    pub address: String,
}

/// A pool of backends.
#[derive(Clone, Debug, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// How a backend is chosen.
    pub strategy: &'static str,
    /// Its backends, in configured order.
    pub backends: Vec<BackendStatus>,
}

/// A backend.
#[derive(Clone, Debug, Serialize)]
pub struct BackendStatus {
    /// Its name.
    pub name: String,
    /// Host and port, as configured.
    pub address: String,
    /// Whether it is healthy.
    pub up: bool,
    /// Its share of requests now; 0 means drained.
    pub weight: u32,
    /// The configured weight.
    pub configured_weight: u32,
    /// Whether an operator drained it or changed its weight.
    pub overridden: bool,
    /// Seconds until that ends; `None` if there is no override, or if it lasts until the backend is
    /// enabled.
    pub override_left_s: Option<u64>,
    /// Requests in flight.
    pub active: u32,
    /// Idle connections that are kept open.
    pub idle_connections: usize,
    /// Idle connections reserved for the client that has logged in over them.
    pub pinned_connections: u32,
    /// Requests sent to it since the start.
    pub requests: u64,
    /// Probes that succeeded, since the start.
    pub probes_ok: u64,
    /// Probes that failed, since the start.
    pub probes_failed: u64,
    /// Why it is down, such as `connection refused`, or why it is ejected; empty while it is up and
    /// serves.
    pub reason: String,
    /// Whether it is ejected, because requests to it failed too often.
    pub ejected: bool,
    /// Seconds until it gets requests again; 0 while one trial request at a time is let through.
    pub ejected_left_s: Option<u64>,
    /// Ejections since the start, by reason.
    #[serde(serialize_with = "as_map")]
    pub ejections: Vec<(&'static str, u64)>,
    /// How often reuse of its connections was suspended, by reason.
    #[serde(serialize_with = "as_map")]
    pub keeping_suspended: Vec<(&'static str, u64)>,
    /// Durations of requests to it.
    #[serde(skip)]
    pub durations: Histogram,
    /// Responses from it by class, 1xx to 5xx, then requests that ended without one.
    pub responses: [u64; 6],
    /// Failed attempts at this backend that were retried, usually at another one. Not counted in
    /// `responses`.
    pub retried: u64,
    /// The last probes, oldest first.
    pub probes: Vec<ProbeStatus>,
}

impl BackendStatus {
    /// Whether it gets new requests.
    pub fn takes_requests(&self) -> bool {
        self.up && self.weight > 0 && !self.ejected
    }
}

impl PoolStatus {
    /// How many of the backends get new requests; if none, the pool answers 503.
    pub fn usable(&self) -> usize {
        self.backends.iter().filter(|backend| backend.takes_requests()).count()
    }
}

/// One probe.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeStatus {
    /// When it ended.
    #[serde(skip)]
    pub at: SystemTime,
    /// How many seconds ago.
    pub age_s: f64,
    /// Whether it succeeded.
    pub ok: bool,
    /// How long it took, in milliseconds.
    pub latency_ms: f64,
    /// The outcome: `ok`, `connection refused`, `status 503` ...
    pub text: String,
}

/// Client connections, by what they are doing.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionsStatus {
    /// All open connections.
    pub open: usize,
    /// The limit on open connections.
    pub limit: usize,
    /// Polled by a worker.
    pub warm: usize,
    /// Parked with the poller.
    pub parked: usize,
    /// Tunnels, which are also counted above.
    pub tunnel: usize,
    /// Idle connections closed to make room, since the start.
    pub displaced: u64,
    /// New connections refused by the limit on all connections, since the start.
    pub refused: u64,
    /// New connections refused by the limit per client, since the start.
    pub refused_of_client: u64,
}

/// Threads that carry requests.
#[derive(Clone, Debug, Serialize)]
pub struct WorkersStatus {
    /// Workers that are running.
    pub running: usize,
    /// Workers that are asleep.
    pub idle: usize,
}

/// Requests that have ended.
#[derive(Clone, Debug, Serialize)]
pub struct RequestCount {
    /// The listener's name.
    pub listener: String,
    /// The pool's name; empty if none was chosen, like the next.
    pub pool: String,
    /// The backend's name.
    pub backend: String,
    /// The status that the client got; 499 if it disconnected first.
    pub code: u16,
    /// The number of requests.
    pub count: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

/// Reloads since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadsStatus {
    /// Reloads that were applied.
    pub applied: u64,
    /// Reloads that failed.
    pub refused: u64,
    /// The error of the last failed reload; empty once one succeeds.
    pub last_error: String,
}

/// The requests in flight, or the oldest of them.
#[derive(Clone, Debug, Default)]
pub struct RequestsInFlight {
    /// How many there are in total.
    pub total: usize,
    /// The oldest, oldest first: at most [`ADMIN_REQUESTS_MAX`](crate::base::limits::ADMIN_REQUESTS_MAX).
    pub oldest: Vec<RequestInFlight>,
}

/// A request in flight, or a tunnel.
#[derive(Clone, Debug, Serialize)]
pub struct RequestInFlight {
    /// Its id.
    pub id: String,
    /// What it is doing, such as `waiting for the response head`.
    pub stage: &'static str,
    /// Where its task is: `worker 0`, or `parked` if it is with the poller.
    pub place: String,
    /// The client's address.
    pub client: String,
    /// The method; empty while the head is arriving, like the next two.
    pub method: String,
    /// The target.
    pub target: String,
    /// The route that matched.
    pub route: String,
    /// The backend, if one was chosen.
    pub backend: String,
    /// Milliseconds since it began.
    pub age_ms: u64,
    /// Milliseconds until its next deadline; negative if it has passed.
    pub deadline_ms: Option<i64>,
    /// Attempts so far.
    pub attempts: usize,
}
