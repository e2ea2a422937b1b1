//! A fake balancer: a status that tests can change, and a list of the calls made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use ropewalk::internal::admin::operations::{
    BackendStatus, ConnectionsStatus, ListenerStatus, Operations, PoolStatus, ProbeStatus, Question,
    ReloadDone, ReloadsStatus, RequestCount, RequestInFlight, RequestsInFlight, Status, WeightChange,
    WorkersStatus,
};
use ropewalk::internal::observe::histogram::Histogram;

/// The calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Explain(Question),
    Reload,
    SetWeight(String, WeightChange),
}

/// The fake balancer.
pub struct Fake {
    /// LOCK: guards the status for a change or a copy.
    status: Mutex<Status>,
    /// LOCK: guards the list for a push or a copy.
    calls: Mutex<Vec<Call>>,
    /// LOCK: guards the result of the next reloads.
    reload: Mutex<Option<Result<Vec<String>, String>>>,
    /// LOCK: guards the callers of a hung reload, for a push.
    hanging: Mutex<Vec<ReloadDone>>,
    /// LOCK: guards the list for a change or a copy.
    requests: Mutex<Vec<RequestInFlight>>,
    panics: AtomicBool,
}

impl Fake {
    /// A balancer with two pools: all is well in `web`; of `api`, one backend is down and one
    /// is drained.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            status: Mutex::new(status()),
            calls: Mutex::default(),
            reload: Mutex::new(Some(Ok(vec!["added backend api-4".into(), "removed backend api-0".into()]))),
            hanging: Mutex::default(),
            requests: Mutex::new(vec![in_flight("req-1", 12), in_flight("req-2", 61_500)]),
            panics: AtomicBool::new(false),
        })
    }

    /// Changes the status.
    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock());
    }

    /// The calls made so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// Sets the result of reloads from now on.
    pub fn reloads_with(&self, outcome: Result<Vec<String>, String>) {
        *self.reload.lock() = Some(outcome);
    }

    /// Makes reloads hang from now on, until [`Fake::end_reloads`].
    pub fn reloads_hang(&self) {
        *self.reload.lock() = None;
    }

    /// Ends the reloads that hang.
    pub fn end_reloads(&self, outcome: Result<Vec<String>, String>) {
        let hanging = std::mem::take(&mut *self.hanging.lock());
        hanging.into_iter().for_each(|done| done(outcome.clone()));
    }

    /// Sets the requests in flight from now on.
    pub fn has_in_flight(&self, requests: Vec<RequestInFlight>) {
        *self.requests.lock() = requests;
    }

    /// Makes the status panic from now on.
    pub fn panics(&self, panics: bool) {
        self.panics.store(panics, Ordering::Relaxed);
    }
}

impl Operations for Fake {
    fn status(&self) -> Status {
        assert!(!self.panics.load(Ordering::Relaxed), "the test asked for this panic");
        self.status.lock().clone()
    }

    fn requests(&self) -> RequestsInFlight {
        let oldest = self.requests.lock().clone();
        RequestsInFlight { total: oldest.len(), oldest }
    }

    fn explain(&self, question: &Question) -> Result<String, String> {
        self.calls.lock().push(Call::Explain(question.clone()));
        if question.url.starts_with("http://") {
            Ok(format!("{} {} goes to pool web\n", question.method, question.url))
        } else {
            Err(format!("{:?} is not an absolute URL", question.url))
        }
    }

    fn reload(&self, done: ReloadDone) {
        self.calls.lock().push(Call::Reload);
        match self.reload.lock().clone() {
            Some(outcome) => done(outcome),
            // It hangs: the caller never gets a result.
            None => self.hanging.lock().push(done),
        }
    }

    fn reload_progress(&self) -> String {
        "reading the configuration for 10 s".to_owned()
    }

    fn set_weight(&self, backend: &str, change: WeightChange) -> Result<String, String> {
        self.calls.lock().push(Call::SetWeight(backend.into(), change));
        let mut status = self.status.lock();
        let all = status.pools.iter_mut().flat_map(|pool| &mut pool.backends);
        let Some(found) = all.into_iter().find(|found| found.name == backend) else {
            let names = status.pools.iter().flat_map(|pool| &pool.backends).map(|backend| &*backend.name);
            let names: Vec<_> = names.collect();
            return Err(format!("there is no backend {backend:?}; there are {}", names.join(", ")));
        };
        found.overridden = change != WeightChange::Enable;
        found.weight = match change {
            WeightChange::Drain(_) => 0,
            WeightChange::Enable => found.configured_weight,
            WeightChange::Weight(weight, _) => weight,
        };
        Ok(format!("{backend} has weight {}", found.weight))
    }
}

/// A request that began `age_ms` ago.
pub fn in_flight(id: &str, age_ms: u64) -> RequestInFlight {
    RequestInFlight {
        id: id.into(),
        stage: "waiting for the response head",
        place: "parked".into(),
        client: "192.0.2.7:51034".into(),
        method: "GET".into(),
        target: "/reports?year=2026".into(),
        route: "routes/0".into(),
        backend: "api-1".into(),
        age_ms,
        deadline_ms: Some(60_000 - age_ms as i64),
        attempts: 1,
    }
}

fn status() -> Status {
    let mut down = backend("api-2", "10.0.0.6:8080", 118_220, 6);
    down.up = false;
    down.reason = "connection refused".into();
    down.active = 0;
    down.idle_connections = 0;
    down.pinned_connections = 0;
    down.probes = probes(24, |index| index >= 19);
    down.probes_failed = 41;
    down.responses = [0, 117_902, 0, 214, 96, 8];
    down.retried = 37;
    let mut drained = backend("api-3", "10.0.0.7:8080", 96_004, 9);
    drained.weight = 0;
    drained.overridden = true;
    drained.override_left_s = Some(252);
    drained.active = 2;
    let pool = |name: &str, strategy, backends| PoolStatus { name: name.into(), strategy, backends };
    Status {
        version: "0.1.0",
        pid: 4_121,
        uptime_s: 268_932,
        ready: true,
        draining: false,
        listeners: vec![
            ListenerStatus { name: "public".into(), address: "0.0.0.0:8080".into() },
            ListenerStatus { name: "127.0.0.1:8081".into(), address: "127.0.0.1:8081".into() },
        ],
        pools: vec![
            pool(
                "api",
                "least-connections",
                vec![backend("api-1", "10.0.0.5:8080", 402_118, 6), down, drained],
            ),
            pool(
                "web",
                "round-robin",
                vec![
                    backend("web-1", "10.0.0.9:8080", 1_204_551, 3),
                    backend("web-2", "10.0.0.10:8080", 1_204_549, 3),
                ],
            ),
        ],
        connections: ConnectionsStatus {
            open: 1_284,
            limit: 10_000,
            warm: 61,
            parked: 1_214,
            tunnel: 17,
            displaced: 3,
            refused: 2,
            refused_of_client: 1,
        },
        workers: WorkersStatus { running: 1, idle: 3 },
        ready_queue_length: 2,
        requests: vec![
            count("api-1", 200, 401_290),
            count("api-1", 502, 828),
            count("web-1", 200, 1_204_551),
            RequestCount { pool: String::new(), ..count("", 404, 311) },
        ],
        retries: vec![("connection_refused", 41), ("response_head_timeout", 3)],
        dropped_fields: 5,
        durations: vec![("api".into(), durations(402_118, 6)), ("web".into(), durations(2_409_100, 3))],
        access_log_dropped: 0,
        diagnostics_dropped: 0,
        configurations: 1,
        reloads: ReloadsStatus { applied: 7, refused: 1, last_error: String::new() },
        panics: 0,
        resident_bytes: 12_058_624,
    }
}

fn backend(name: &str, address: &str, requests: u64, typical_ms: u64) -> BackendStatus {
    BackendStatus {
        name: name.into(),
        address: address.into(),
        up: true,
        weight: 1,
        configured_weight: 1,
        overridden: false,
        override_left_s: None,
        active: 4,
        idle_connections: 12,
        pinned_connections: 3,
        requests,
        probes_ok: 53_786,
        probes_failed: 2,
        reason: String::new(),
        ejected: false,
        ejected_left_s: None,
        ejections: vec![("timeout", 2)],
        keeping_suspended: vec![("unasked_bytes", 1)],
        durations: durations(requests, typical_ms),
        responses: [0, requests * 93 / 100, requests * 4 / 100, requests * 3 / 100, requests / 2_000, 0],
        retried: 0,
        probes: probes(32, |index| name == "web-2" && index == 7),
    }
}

fn count(backend: &str, code: u16, count: u64) -> RequestCount {
    RequestCount {
        listener: "public".into(),
        pool: backend.split('-').next().unwrap_or_default().into(),
        backend: backend.into(),
        code,
        count,
        bytes_in: count * 20,
        bytes_out: count * 900,
    }
}

/// The durations of this many requests: most take the typical time, one in a hundred ten times as long.
pub fn durations(requests: u64, typical_ms: u64) -> Histogram {
    let mut one = Histogram::default();
    one.record(Duration::from_millis(typical_ms));
    let mut slow = Histogram::default();
    slow.record(Duration::from_millis(typical_ms * 10));
    let mut all = Histogram::default();
    for (histogram, times) in [(one, requests - requests / 100), (slow, requests / 100)] {
        for (sum, part) in all.counts.iter_mut().zip(histogram.counts) {
            *sum += part * times;
        }
        all.sum_ns += histogram.sum_ns * times;
    }
    all
}

fn probes(count: u64, failed: impl Fn(u64) -> bool) -> Vec<ProbeStatus> {
    let of = |index: u64| {
        let age = (count - index) * 5;
        let ok = !failed(index);
        ProbeStatus {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_268_932 - age),
            age_s: age as f64,
            ok,
            latency_ms: if ok { 0.8 } else { 0.1 },
            text: if ok { "ok" } else { "connection refused" }.into(),
        }
    };
    (0..count).map(of).collect()
}
