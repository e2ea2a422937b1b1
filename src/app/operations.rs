//! A running balancer as the admin listener sees it.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::admin::operations::{
    BackendStatus, ConnectionsStatus, ListenerStatus, Operations, PoolStatus, ProbeStatus, Question,
    ReloadDone, RequestCount, RequestInFlight, RequestsInFlight, Status, WeightChange, WorkersStatus,
};
use crate::app::Handle;
use crate::app::explain::{self, address_of};
use crate::base::clock::{self, Moment};
use crate::config::plan::Strategy;
use crate::observe::histogram::Histogram;
use crate::observe::metrics::{Counts, Key, Series};
use crate::proxy::inspection::Inspection;
use crate::upstream::backend::Backend;
use crate::upstream::ejection::View;
use crate::upstream::health::{ProbeResult, Reason, Record};
use crate::upstream::idle_connections::Distrust;
use crate::upstream::pool::Pool;
use crate::upstream::snapshot::Snapshot;

impl Operations for Handle {
    fn status(&self) -> Status {
        let now = clock::now();
        let inner = &self.inner;
        let (state, shared) = (&inner.state, &inner.state.shared);
        let snapshot = shared.snapshot.load();
        let mut counts = Counts::default();
        shared.shards.iter().for_each(|shard| shard.add_to(&mut counts));
        let draining = self.is_stopping();
        let listeners = shared.listeners.load();
        let listeners = listeners
            .iter()
            .map(|info| ListenerStatus { name: info.name.clone(), address: info.address.to_string() })
            .collect();
        let mut retries: Vec<_> = counts.retries.iter().map(|(reason, count)| (*reason, *count)).collect();
        retries.sort_unstable();
        let durations =
            snapshot.pools.iter().map(|pool| (pool.name().to_owned(), durations_of(&counts, pool)));
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_s: now.since(inner.started).as_secs(),
            ready: !draining && snapshot.backends().any(|backend| backend.is_usable()),
            draining,
            listeners,
            pools: snapshot.pools.iter().map(|pool| pool_status(pool, &counts, now)).collect(),
            connections: ConnectionsStatus {
                open: shared.connections.load(Ordering::Relaxed),
                limit: snapshot.plan.limits.connections,
                warm: state.warm.iter().map(|warm| warm.load(Ordering::Relaxed)).sum(),
                parked: state.parking.len(),
                tunnel: shared.tunnels.load(Ordering::Relaxed),
                displaced: shared.turned_away.idle.load(Ordering::Relaxed),
                refused: shared.turned_away.of_all.load(Ordering::Relaxed),
                refused_of_client: shared.turned_away.of_client.load(Ordering::Relaxed),
            },
            workers: WorkersStatus {
                running: state.warm.len() - state.ready.sleepers(),
                idle: state.ready.sleepers(),
            },
            ready_queue_length: state.ready.len(),
            requests: self.request_counts(&counts, &snapshot),
            retries,
            dropped_fields: counts.dropped_fields,
            durations: durations.collect(),
            access_log_dropped: inner.log_dropped.load(Ordering::Relaxed),
            diagnostics_dropped: inner
                .diagnostics_dropped
                .get()
                .map_or(0, |count| count.load(Ordering::Relaxed)),
            reloads: inner.reloads.lock().clone(),
            configurations: inner.configurations.lock().iter().filter(|old| old.strong_count() > 0).count(),
            panics: self.panics(),
            resident_bytes: resident_bytes(),
        }
    }

    fn requests(&self) -> RequestsInFlight {
        let state = &self.inner.state;
        let wake = || state.ready.wake_all();
        let mut oldest = state.task_dump.take(state.warm.len(), CENSUS_PATIENCE, wake);
        state.parking.look(|task| {
            if let Some(look) = task.inspect() {
                oldest.add(PARKED, look);
            }
        });
        let now = clock::now();
        let (total, list) = oldest.into_list();
        let place = |place| match place {
            PARKED => "parked".to_owned(),
            worker => format!("worker {worker}"),
        };
        let oldest = list.into_iter().map(|(number, look)| in_flight(place(number), look, now)).collect();
        RequestsInFlight { total, oldest }
    }

    fn explain(&self, question: &Question) -> Result<String, String> {
        let shared = &self.inner.state.shared;
        explain::explain(&shared.snapshot.load(), &shared.listeners.load(), question)
    }

    fn reload(&self, done: ReloadDone) {
        self.inner.reload_requests.request(done);
    }

    fn reload_progress(&self) -> String {
        self.inner.reload_requests.progress()
    }

    fn set_weight(&self, name: &str, change: WeightChange) -> Result<String, String> {
        let snapshot = self.inner.state.shared.snapshot.load();
        let named: Vec<_> = snapshot.backends().filter(|backend| backend.name() == name).collect();
        if named.is_empty() {
            let names: Vec<_> = snapshot.backends().map(|backend| backend.name()).collect();
            return Err(format!("there is no backend {name:?}; there are: {}", names.join(", ")));
        }
        for backend in &named {
            match change {
                WeightChange::Enable => backend.restore_weight(),
                WeightChange::Drain(time) => backend.override_weight(0, until(time)),
                WeightChange::Weight(weight, time) => backend.override_weight(weight, until(time)),
            }
        }
        let weight = named.iter().map(|backend| backend.weight()).max().unwrap_or(0);
        let active: u32 = named.iter().map(|backend| backend.active()).sum();
        let line = match change {
            WeightChange::Enable => format!("backend {name} has its configured weight, {weight}"),
            WeightChange::Drain(_) => {
                format!("backend {name} gets no new requests{}; {active} in flight", how_long(change))
            }
            WeightChange::Weight(..) => {
                let unused = snapshot.pools.iter().any(|pool| {
                    pool.strategy() == Strategy::RoundRobin
                        && pool.backends().iter().any(|backend| backend.name() == name)
                });
                let hint = if unused && weight > 0 { "; round-robin makes no use of it" } else { "" };
                format!("backend {name} has weight {weight}{}{hint}", how_long(change))
            }
        };
        log::info!("{line} (asked for by an operator)");
        match without_backend(&snapshot, name) {
            None => Ok(line),
            Some(warning) => {
                log::warn!("{warning}");
                Ok(format!("{line}\n{warning}"))
            }
        }
    }
}

impl Handle {
    fn request_counts(&self, counts: &Counts, snapshot: &Snapshot) -> Vec<RequestCount> {
        let listeners = self.inner.state.shared.listeners.load();
        let listeners: HashMap<u32, &str> =
            listeners.iter().map(|info| (info.id, info.name.as_str())).collect();
        let pools: HashMap<u32, &str> = snapshot.pools.iter().map(|pool| (pool.id(), pool.name())).collect();
        let backends: HashMap<u32, &str> =
            snapshot.backends().map(|backend| (backend.id(), backend.name())).collect();
        // What was there once and is gone has no name; two of that would be one series twice.
        let name = |names: &HashMap<u32, &str>, id: u32| match id {
            0 => Some(String::new()),
            id => names.get(&id).map(|&name| name.to_owned()),
        };
        let count = |(key, series): (&Key, &Series)| {
            Some(RequestCount {
                listener: name(&listeners, key.listener)?,
                pool: name(&pools, key.pool)?,
                backend: name(&backends, key.backend)?,
                code: key.code,
                count: series.durations.count(),
                bytes_in: series.bytes_in,
                bytes_out: series.bytes_out,
            })
        };
        let mut list: Vec<_> = counts.series.iter().filter_map(count).collect();
        list.sort_by(|a, b| {
            (&a.listener, &a.pool, &a.backend, a.code).cmp(&(&b.listener, &b.pool, &b.backend, b.code))
        });
        list
    }
}

/// In the place of a worker's number: the task is parked.
const PARKED: usize = usize::MAX;

/// LIMIT: how long a task dump waits for workers. One that is in the middle of a turn answers at
/// its end, which is a few milliseconds away.
const CENSUS_PATIENCE: Duration = Duration::from_millis(30);

/// What a change to the backends of a name has done to their pools: those that now have no backend
/// for a request.
fn without_backend(snapshot: &Snapshot, name: &str) -> Option<String> {
    let has_it = |pool: &&Pool| pool.backends().iter().any(|backend| backend.name() == name);
    let is_unusable = |pool: &&Pool| !pool.backends().iter().any(|backend| backend.is_usable());
    let pools = snapshot.pools.iter().filter(has_it).filter(is_unusable);
    let names: Vec<_> = pools.map(|pool| pool.name()).collect();
    match names.as_slice() {
        [] => None,
        [pool] => Some(format!("pool {pool} has no backend left that takes requests: it answers 503 now")),
        pools => Some(format!(
            "pools {} have no backend left that takes requests: they answer 503 now",
            pools.join(", ")
        )),
    }
}

fn until(time: Option<Duration>) -> Moment {
    time.map_or(Moment::NEVER, |time| clock::now() + time)
}

fn how_long(change: WeightChange) -> String {
    match change {
        WeightChange::Drain(Some(time)) | WeightChange::Weight(_, Some(time)) => {
            format!(" for {}", humantime::format_duration(time))
        }
        _ => String::new(),
    }
}

fn durations_of(counts: &Counts, pool: &Pool) -> Histogram {
    let mut sum = Histogram::default();
    for (_, series) in counts.series.iter().filter(|(key, _)| key.pool == pool.id()) {
        sum.add(&series.durations);
    }
    sum
}

fn pool_status(pool: &Pool, counts: &Counts, now: Moment) -> PoolStatus {
    PoolStatus {
        name: pool.name().to_owned(),
        strategy: pool.strategy().name(),
        backends: pool.backends().iter().map(|backend| backend_status(backend, counts, now)).collect(),
    }
}

fn backend_status(backend: &Backend, counts: &Counts, now: Moment) -> BackendStatus {
    let mut durations = Histogram::default();
    let mut responses = [0; 6];
    for (key, series) in counts.series.iter().filter(|(key, _)| key.backend == backend.id()) {
        durations.add(&series.durations);
        // 499 is what the log says of a client that left: no response.
        let class = match key.code {
            499 => 5,
            code => usize::from(code / 100).saturating_sub(1).min(5),
        };
        responses[class] += series.durations.count();
    }
    let (probes, (probes_ok, probes_failed), reason) = backend.health(|judgement| {
        let probes = judgement.history().map(|record| probe_status(record, now)).collect();
        let reason = judgement.evidence().filter(|_| !judgement.is_up());
        (probes, judgement.probes(), reason.map(|reason| reason.to_string()).unwrap_or_default())
    });
    let ejection = backend.ejection();
    let reason = match &ejection {
        Some(View { reason: why, .. }) if reason.is_empty() => why.to_string(),
        _ => reason,
    };
    BackendStatus {
        name: backend.name().to_owned(),
        address: address_of(backend),
        up: backend.is_up(),
        weight: backend.weight(),
        configured_weight: backend.configured_weight(),
        overridden: backend.overridden_until().is_some(),
        override_left_s: backend
            .overridden_until()
            .filter(|until| *until != Moment::NEVER)
            // Rounded up: while it holds, it is not 0.
            .map(|until| until.since(now).as_millis().div_ceil(1_000) as u64),
        active: backend.active(),
        idle_connections: backend.idle().len(),
        pinned_connections: backend.pinned(),
        requests: backend.requests(),
        probes_ok,
        probes_failed,
        reason,
        ejected: ejection.is_some(),
        // Rounded up: "0" is when it is being tried.
        ejected_left_s: ejection.map(|view| view.until.since(now).as_millis().div_ceil(1000) as u64),
        ejections: named(&Reason::WORDS, &backend.ejections()),
        keeping_suspended: named(&Distrust::ALL.map(Distrust::word), &backend.idle().suspensions()),
        durations,
        responses,
        retried: backend.retried(),
        probes,
    }
}

/// Counts that are not 0, with their names.
fn named(words: &[&'static str], counts: &[u64]) -> Vec<(&'static str, u64)> {
    words.iter().copied().zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect()
}

fn probe_status(record: &Record, now: Moment) -> ProbeStatus {
    ProbeStatus {
        at: clock::wall_time(record.at),
        age_s: now.since(record.at).as_secs_f64(),
        ok: record.result == ProbeResult::Success,
        latency_ms: record.latency.as_secs_f64() * 1e3,
        text: match record.result {
            ProbeResult::Success => "ok".to_owned(),
            ProbeResult::Failure(reason) => reason.to_string(),
        },
    }
}

fn in_flight(place: String, look: Inspection, now: Moment) -> RequestInFlight {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    RequestInFlight {
        id: look.id,
        stage: look.stage,
        place,
        client: look.client,
        method: look.method,
        target: look.target,
        route: look.route.unwrap_or_default(),
        backend: look.backend.unwrap_or_default(),
        age_ms: now.since(look.began).as_millis() as u64,
        deadline_ms: (look.deadline != Moment::NEVER)
            .then(|| millis(look.deadline.since(now)) - millis(now.since(look.deadline))),
        attempts: look.attempts,
    }
}

/// Resident memory of this process; 0 where /proc is not mounted.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
