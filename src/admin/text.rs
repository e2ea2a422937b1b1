//! `/status` and `/requests`: as JSON for programs and as text for people.

use std::fmt::Write;

use serde::Serialize;

use crate::base::counted::Counted;
use crate::base::limits::ADMIN_REQUESTS_MAX;

use super::figures;
use super::history::{Figures, Recent};
use super::operations::{BackendStatus, RequestInFlight, RequestsInFlight, Status};
use super::table::{Table, without_controls};

/// `/status` as JSON.
#[derive(Serialize)]
pub(super) struct StatusDocument<'a> {
    #[serde(flatten)]
    pub(super) status: &'a Status,
    pub(super) recent: &'a Recent,
}

/// `/status` as text.
pub(super) fn status(status: &Status, recent: &Recent) -> String {
    let mut text = String::new();
    write_summary(&mut text, status, &recent.total);
    let mut figures = recent.backends.iter().map(|backend| &backend.figures);
    for pool in &status.pools {
        let (name, strategy) = (without_controls(&pool.name), pool.strategy);
        let _ = writeln!(text, "\npool {name}: {strategy}, {} of {} up", pool.usable(), pool.backends.len());
        let mut table = Table::new(&[
            "BACKEND", "STATE", "WEIGHT", "ACTIVE", "IDLE", "REQUESTS", "PER S", "P50", "P99", "5XX",
            "RETRIED", "NOTE",
        ])
        .right(&[2, 3, 4, 5, 6, 7, 8, 9, 10]);
        for (backend, figures) in pool.backends.iter().zip(&mut figures) {
            table.row(backend_row(backend, figures));
        }
        table.write_to(&mut text);
    }
    text
}

fn write_summary(text: &mut String, status: &Status, total: &Figures) {
    let Status { version, connections, workers, reloads, .. } = status;
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {}", without_controls(&value));
    };
    line(
        "ropewalk",
        format!(
            "{version}, {}, up {}, pid {}",
            readiness(status),
            figures::time(status.uptime_s),
            status.pid
        ),
    );
    let listeners: Vec<_> = status.listeners.iter().map(|listener| listener.address.as_str()).collect();
    line("listening", listeners.join(", "));
    line(
        "requests",
        match (total.p50_ms, total.p99_ms) {
            (Some(p50), Some(p99)) => format!(
                "{:.1}/s, p50 {}, p99 {}",
                total.requests_per_s,
                figures::latency(p50),
                figures::latency(p99)
            ),
            _ => "none in the last minute".to_owned(),
        },
    );
    line(
        "connections",
        format!(
            "{} open of {} allowed; {} watched by workers, {} by the poller; {}",
            connections.open,
            connections.limit,
            connections.warm,
            connections.parked,
            Counted(connections.tunnel, "tunnel")
        ),
    );
    line(
        "workers",
        format!(
            "{} running, {} idle, {} queued",
            workers.running,
            workers.idle,
            Counted(status.ready_queue_length, "connection")
        ),
    );
    line("memory", figures::bytes(status.resident_bytes));
    if reloads.applied + reloads.refused > 0 {
        line("reloads", format!("{} applied, {} refused", reloads.applied, reloads.refused));
    }
    if !reloads.last_error.is_empty() {
        line("", format!("last error: {}", reloads.last_error.trim_end().replace('\n', "; ")));
    }
    if status.access_log_dropped > 0 {
        line("access log", format!("{} lost", Counted(status.access_log_dropped as usize, "line")));
    }
    if status.panics > 0 {
        line("panics", format!("{}: a bug, please report it", status.panics));
    }
}

fn backend_row(backend: &BackendStatus, figures: &Figures) -> [String; 12] {
    let weight = if backend.weight == backend.configured_weight {
        backend.weight.to_string()
    } else {
        format!("{} (of {})", backend.weight, backend.configured_weight)
    };
    let mut notes = Vec::new();
    if !backend.reason.is_empty() {
        notes.push(backend.reason.clone());
    }
    notes.extend(ejected_for(backend));
    if backend.overridden {
        notes.push(match backend.override_left_s {
            Some(left) => format!("weight set by hand for another {}", figures::time(left)),
            None => "weight set by hand until enabled".to_owned(),
        });
    }
    [
        backend.name.clone(),
        state(backend).to_owned(),
        weight,
        backend.active.to_string(),
        backend.idle_connections.to_string(),
        backend.requests.to_string(),
        format!("{:.1}", figures.requests_per_s),
        latency(figures.p50_ms),
        latency(figures.p99_ms),
        backend.responses[4].to_string(),
        backend.retried.to_string(),
        notes.join(", "),
    ]
}

/// One word for whether a balancer takes requests.
pub(super) fn readiness(status: &Status) -> &'static str {
    match (status.draining, status.ready) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "not ready",
    }
}

/// One word for whether a backend takes requests.
pub(super) fn state(backend: &BackendStatus) -> &'static str {
    match (backend.up, backend.weight) {
        (false, _) => "DOWN",
        (true, 0) => "DRAINED",
        (true, _) if backend.ejected => "EJECTED",
        (true, _) => "UP",
    }
}

/// How much longer a backend stays ejected.
pub(super) fn ejected_for(backend: &BackendStatus) -> Option<String> {
    let left = backend.ejected_left_s.filter(|_| state(backend) == "EJECTED")?;
    Some(match left {
        0 => "one trial request at a time".to_owned(),
        left => format!("for another {}", figures::time(left)),
    })
}

fn latency(ms: Option<f64>) -> String {
    ms.map(figures::latency).unwrap_or_default()
}

/// `/requests`: the oldest requests in flight, and how many there are in total.
#[derive(Serialize)]
pub(super) struct RequestsDocument {
    total: usize,
    requests: Vec<RequestInFlight>,
}

impl RequestsDocument {
    /// Keeps the oldest, oldest first.
    pub(super) fn new(in_flight: RequestsInFlight) -> Self {
        let RequestsInFlight { total, oldest: mut requests } = in_flight;
        requests.sort_by_key(|request| std::cmp::Reverse(request.age_ms));
        requests.truncate(ADMIN_REQUESTS_MAX);
        Self { total, requests }
    }

    /// The same as text.
    pub(super) fn text(&self) -> String {
        if self.requests.is_empty() {
            return "no requests in flight\n".to_owned();
        }
        let mut table = Table::new(&[
            "AGE",
            "TIMES OUT IN",
            "STAGE",
            "WATCHED BY",
            "BACKEND",
            "TRIES",
            "CLIENT",
            "ROUTE",
            "REQUEST",
            "ID",
        ])
        .right(&[0, 1, 5]);
        for request in &self.requests {
            let left = request.deadline_ms.map(|ms| match ms {
                0.. => figures::latency(ms as f64),
                _ => format!("-{}", figures::latency(ms.unsigned_abs() as f64)),
            });
            table.row([
                figures::latency(request.age_ms as f64),
                left.unwrap_or_default(),
                request.stage.to_owned(),
                match request.place.as_str() {
                    "parked" => "the poller".to_owned(),
                    place => place.to_owned(),
                },
                request.backend.clone(),
                request.attempts.to_string(),
                request.client.clone(),
                request.route.clone(),
                format!("{} {}", request.method, request.target).trim().to_owned(),
                request.id.clone(),
            ]);
        }
        let mut text = String::new();
        table.write_to(&mut text);
        if self.requests.len() < self.total {
            let _ = writeln!(text, "... and {} more recent ones", self.total - self.requests.len());
        }
        text
    }
}

/// The requests in flight as a table for people, as in `/requests`.
pub fn requests_table(requests: RequestsInFlight) -> String {
    RequestsDocument::new(requests).text()
}
