//! What the admin listener can find out and ask for. The balancer implements it; tests
//! implement it too.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::observe::histogram::Histogram;

/// A running balancer, as an operator sees it.
pub trait Operations: Send + Sync {
    /// How everything is. Cheap enough to be asked for every second.
    fn status(&self) -> Status;

    /// The requests in flight, and the tunnels among them.
    fn requests(&self) -> RequestsInFlight;

    /// What would happen to a request, as text for people, ending in a line end.
    ///
    /// # Errors
    /// The URL or a field is malformed; the text says what is wrong with it.
    fn explain(&self, question: &Question) -> Result<String, String>;

    /// Has the configuration file read again and applied, and returns at once. `done` is called,
    /// perhaps from another thread, with what has changed, one line for each change. If the file has
    /// mistakes or a listener cannot be bound nothing has changed, and the text says why.
    fn reload(&self, done: ReloadDone);

    /// What the running reload is doing and since when; empty if none is running.
    fn reload_progress(&self) -> String;

    /// Changes a backend's share of requests, for all pools that have a backend of this name.
    ///
    /// # Errors
    /// There is no such backend; the text names those that there are.
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
    /// Fields beside Host.
    pub headers: Vec<(String, String)>,
    /// Names of backends that are to be taken for down.
    pub down: Vec<String>,
    /// The address that it comes from; `None` for an example that the route serves.
    pub client: Option<IpAddr>,
}

/// What becomes of a backend's weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightChange {
    /// No new requests, for this long, or until it is enabled again.
    Drain(Option<Duration>),
    /// What the configuration says again.
    Enable,
    /// This weight, for this long, or until it is enabled again.
    Weight(u32, Option<Duration>),
}

/// How a balancer is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Of the program.
    pub version: &'static str,
    /// The process's number.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Whether at least one backend is up and no stop was asked for.
    pub ready: bool,
    /// Whether a stop was asked for.
    pub draining: bool,
    /// Where clients connect.
    pub listeners: Vec<ListenerStatus>,
    /// Groups of backends.
    pub pools: Vec<PoolStatus>,
    /// Client connections.
    pub connections: ConnectionsStatus,
    /// Threads that carry requests.
    pub workers: WorkersStatus,
    /// Tasks that wait for a worker.
    pub ready_queue_length: usize,
    /// Requests that have ended, by listener, pool, backend and code.
    pub requests: Vec<RequestCount>,
    /// Tries after the first, by what the one before came to.
    #[serde(serialize_with = "as_map")]
    pub retries: Vec<(&'static str, u64)>,
    /// Request fields that were dropped for the `_` in their name.
    pub dropped_fields: u64,
    /// How long requests took, for each pool.
    #[serde(skip)]
    pub durations: Vec<(String, Histogram)>,
    /// Lines of the access log that were lost because nobody took them.
    pub access_log_dropped: u64,
    /// Diagnostic lines dropped because stderr was not read.
    pub diagnostics_dropped: u64,
    /// Reloads since the start.
    pub reloads: ReloadsStatus,
    /// Configurations in memory: the present one, and older ones that requests under way began with.
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
    /// Where it listens.
    pub address: String,
}

/// A group of backends.
#[derive(Clone, Debug, Serialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// How a backend is chosen.
    pub strategy: &'static str,
    /// Its members, in listed order.
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
    /// The share that the configuration gives it.
    pub configured_weight: u32,
    /// Whether an operator drained or weighted it.
    pub overridden: bool,
    /// For how many seconds that still holds; `None` when nothing was done, or until it is
    /// enabled again.
    pub override_left_s: Option<u64>,
    /// Requests in flight.
    pub active: u32,
    /// Unused connections that are kept.
    pub idle_connections: usize,
    /// Idle connections that are each reserved for the client that has logged in over it.
    pub pinned_connections: u32,
    /// Requests that it has been given, since the start.
    pub requests: u64,
    /// Probes that succeeded, since the start.
    pub probes_ok: u64,
    /// Probes that failed, since the start.
    pub probes_failed: u64,
    /// The last verdict's reason, such as `connection refused`, or that of its ejection; empty
    /// while it is up and serves.
    pub reason: String,
    /// Whether it is ejected, because requests to it failed too often.
    pub ejected: bool,
    /// For how many seconds it still gets no requests at all; 0 when one at a time tries it.
    pub ejected_left_s: Option<u64>,
    /// Ejections since the start, by reason.
    #[serde(serialize_with = "as_map")]
    pub ejections: Vec<(&'static str, u64)>,
    /// How often the keeping of its connections was suspended, by reason.
    #[serde(serialize_with = "as_map")]
    pub keeping_suspended: Vec<(&'static str, u64)>,
    /// How long requests to it took.
    #[serde(skip)]
    pub durations: Histogram,
    /// Responses of each class from it, 1xx to 5xx, then what ended without one.
    pub responses: [u64; 6],
    /// Tries that failed here and whose requests were then tried again, as a rule at another
    /// backend. They are in none of the responses.
    pub retried: u64,
    /// The last probes, oldest first.
    pub probes: Vec<ProbeStatus>,
}

impl BackendStatus {
    /// Whether it is given new requests.
    pub fn takes_requests(&self) -> bool {
        self.up && self.weight > 0 && !self.ejected
    }
}

impl PoolStatus {
    /// How many of the backends are given new requests; with none, the pool answers 503.
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
    /// What it came to: `ok`, `connection refused`, `status 503` ...
    pub text: String,
}

/// Client connections, by what they are doing.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionsStatus {
    /// All that are open.
    pub open: usize,
    /// How many there may be.
    pub limit: usize,
    /// Kept by a worker that looks at them all the time.
    pub warm: usize,
    /// Waiting with the poller.
    pub parked: usize,
    /// Tunnels, wherever they are.
    pub tunnel: usize,
    /// Idle ones that were closed to make room, since the start.
    pub displaced: u64,
    /// New ones over the limit on all connections, since the start.
    pub refused: u64,
    /// New ones over the limit per client, since the start.
    pub refused_of_client: u64,
}

/// Threads that carry requests.
#[derive(Clone, Debug, Serialize)]
pub struct WorkersStatus {
    /// Those that are at work.
    pub running: usize,
    /// Those that sleep.
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
    /// What the client was told; 499 when it left.
    pub code: u16,
    /// How many.
    pub count: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

/// Reloads since the start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadsStatus {
    /// Those that were applied.
    pub applied: u64,
    /// Those that were refused.
    pub refused: u64,
    /// What the last one that was refused said; empty once one is applied.
    pub last_error: String,
}

/// Requests in flight, as far as they are listed.
#[derive(Clone, Debug, Default)]
pub struct RequestsInFlight {
    /// How many there are.
    pub total: usize,
    /// The oldest, oldest first: at most [`ADMIN_REQUESTS_MAX`](crate::base::limits::ADMIN_REQUESTS_MAX).
    pub oldest: Vec<RequestInFlight>,
}

/// A request in flight, or a tunnel.
#[derive(Clone, Debug, Serialize)]
pub struct RequestInFlight {
    /// Its id.
    pub id: String,
    /// What it is in the middle of, such as `waiting for the response head`.
    pub stage: &'static str,
    /// Where its task is: `worker 0`; or `parked`, which is with the poller.
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
    /// Milliseconds until its next deadline, and negative since it passed.
    pub deadline_ms: Option<i64>,
    /// Tries so far.
    pub attempts: usize,
}
