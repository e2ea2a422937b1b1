//! `/metrics`: all counters, in the text format of Prometheus or OpenMetrics.
//!
//! Each scrape builds its samples from one [`Status`]; no registry outlives it. All labels come from
//! the configuration or a closed list, so the configuration bounds the number of series.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::observe::histogram::{BOUNDS_US, Histogram};

use super::operations::{BackendStatus, Status};
use super::process::started_unix_s;
use super::response::Response;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics in the text format of Prometheus.
pub fn metrics_text(status: Status) -> String {
    // Writing to a string cannot fail.
    encoded(status, started_unix_s()).map(|text| prometheus(&text)).unwrap_or_default()
}

fn encoded(status: Status, started_unix_s: u64) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot { status, started_unix_s }));
    let mut text = String::with_capacity(64 * 1024);
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Answers a scrape, in OpenMetrics if `accept` (in lower case) names it.
pub(super) fn scrape(status: Status, started_unix_s: u64, accept: &str) -> Response {
    let Ok(text) = encoded(status, started_unix_s) else {
        return Response::text(500, "500: the metrics cannot be written");
    };
    if accept.contains("application/openmetrics-text") {
        Response::new(200, OPEN_METRICS, text)
    } else {
        Response::new(200, PROMETHEUS, prometheus(&text))
    }
}

/// Converts OpenMetrics to the older Prometheus format, in which the description of a counter includes
/// `_total`, like its samples, and there is no end mark.
fn prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1_024);
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                // Writing to a string cannot fail, here and below.
                let _ = writeln!(text, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if line != "# EOF" {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// The data of one scrape.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    /// When the process started, in seconds since 1970.
    started_unix_s: u64,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut families = Families(encoder);
        self.requests(&mut families)?;
        self.durations_and_retries(&mut families)?;
        self.backends(&mut families)?;
        self.balancer(&mut families)?;
        self.process(&mut families)
    }
}

impl Snapshot {
    fn requests(&self, families: &mut Families<'_>) -> fmt::Result {
        let Self { status, .. } = self;
        let mut family = families.counter(
            "ropewalk_requests",
            "Finished requests, by status sent to the client; 499 if the client disconnected first.",
        )?;
        // Summed up by name: whatever a reload removed no longer has one, and no two samples may have
        // the same labels.
        let mut requests: BTreeMap<_, u64> = BTreeMap::new();
        let mut bytes: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for row in &status.requests {
            let key = (&*row.listener, &*row.pool, &*row.backend);
            *requests.entry((key, row.code)).or_default() += row.count;
            let sum = bytes.entry(key).or_default();
            *sum = (sum.0 + row.bytes_in, sum.1 + row.bytes_out);
        }
        for (((listener, pool, backend), code), number) in requests {
            let code = code.to_string();
            let labels = [("listener", listener), ("pool", pool), ("backend", backend), ("code", &*code)];
            count(&mut family, &labels, number)?;
        }
        let labels =
            |(listener, pool, backend)| [("listener", listener), ("pool", pool), ("backend", backend)];
        let mut family = families.counter("ropewalk_received_bytes", "Bytes of request bodies.")?;
        for (key, (received, _)) in &bytes {
            count(&mut family, &labels(*key), *received)?;
        }
        let mut family = families.counter("ropewalk_sent_bytes", "Bytes of response bodies.")?;
        for (key, (_, sent)) in &bytes {
            count(&mut family, &labels(*key), *sent)?;
        }
        Ok(())
    }

    fn durations_and_retries(&self, families: &mut Families<'_>) -> fmt::Result {
        let Self { status, .. } = self;
        let mut family = families.histogram(
            "ropewalk_request_duration_seconds",
            "Time from the head of a request to the end of its response.",
        )?;
        for (pool, durations) in &status.durations {
            record(&mut family, &[("pool", &**pool)], durations)?;
        }
        let mut family =
            families.counter("ropewalk_retries", "Retries, by the outcome of the attempt before.")?;
        for (reason, number) in &status.retries {
            count(&mut family, &[("reason", *reason)], *number)?;
        }
        let mut family = families.counter(
            "ropewalk_dropped_fields",
            "Request fields dropped because of an underscore in their name.",
        )?;
        family.encode_counter::<NoLabelSet, _, f64>(&status.dropped_fields, None)
    }

    fn backends(&self, families: &mut Families<'_>) -> fmt::Result {
        self.of_backends(families, "ropewalk_backend_up", "1 if the backend is healthy.", |backend| {
            u64::from(backend.up)
        })?;
        self.of_backends(
            families,
            "ropewalk_backend_ejected",
            "1 while the backend is ejected: it gets no requests, or one trial at a time.",
            |backend| u64::from(backend.ejected),
        )?;
        self.by_reason(families, "ropewalk_ejections", "Ejections of the backend.", |backend| {
            &backend.ejections
        })?;
        self.by_reason(
            families,
            "ropewalk_upstream_keeping_suspended",
            "Times that reuse of the backend's connections was suspended for 30 s, by reason.",
            |backend| &backend.keeping_suspended,
        )?;
        self.of_backends(
            families,
            "ropewalk_backend_active_requests",
            "Requests in flight at the backend.",
            |backend| u64::from(backend.active),
        )?;
        self.of_backends(
            families,
            "ropewalk_backend_weight",
            "Weight of the backend; 0 if drained.",
            |backend| u64::from(backend.weight),
        )?;
        let mut family = families.gauge(
            "ropewalk_upstream_connections",
            "Connections to the backend: serving a request, idle, or idle and reserved for one client.",
        )?;
        self.each_backend(|pool, backend| {
            let labels = |state| [("pool", pool), ("backend", backend.name.as_str()), ("state", state)];
            gauge(&mut family, &labels("active"), u64::from(backend.active))?;
            gauge(&mut family, &labels("idle"), backend.idle_connections as u64)?;
            gauge(&mut family, &labels("pinned"), u64::from(backend.pinned_connections))
        })?;
        let mut family = families.counter("ropewalk_health_checks", "Finished health probes.")?;
        self.each_backend(|pool, backend| {
            let labels = |result| [("pool", pool), ("backend", backend.name.as_str()), ("result", result)];
            count(&mut family, &labels("success"), backend.probes_ok)?;
            count(&mut family, &labels("failure"), backend.probes_failed)
        })
    }

    fn of_backends(
        &self,
        families: &mut Families<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&BackendStatus) -> u64,
    ) -> fmt::Result {
        let mut family = families.gauge(name, help)?;
        self.each_backend(|pool, backend| {
            gauge(&mut family, &[("pool", pool), ("backend", backend.name.as_str())], value(backend))
        })
    }

    fn by_reason(
        &self,
        families: &mut Families<'_>,
        name: &str,
        help: &str,
        counts: impl Fn(&BackendStatus) -> &[(&'static str, u64)],
    ) -> fmt::Result {
        let mut family = families.counter(name, help)?;
        self.each_backend(|pool, backend| {
            counts(backend).iter().try_for_each(|(reason, number)| {
                let labels = [("pool", pool), ("backend", backend.name.as_str()), ("reason", *reason)];
                count(&mut family, &labels, *number)
            })
        })
    }

    fn each_backend(&self, mut show: impl FnMut(&str, &BackendStatus) -> fmt::Result) -> fmt::Result {
        for pool in &self.status.pools {
            for backend in &pool.backends {
                show(&pool.name, backend)?;
            }
        }
        Ok(())
    }

    fn balancer(&self, families: &mut Families<'_>) -> fmt::Result {
        let Self { status, .. } = self;
        let connections = &status.connections;
        let at_work = connections.open.saturating_sub(connections.warm + connections.parked);
        families.states("ropewalk_connections", "Client connections: being served (active), polled by a worker (warm) or by the poller (parked); tunnels are counted again as tunnel.", &[
            ("active", at_work),
            ("warm", connections.warm),
            ("parked", connections.parked),
            ("tunnel", connections.tunnel),
        ])?;
        families.value(
            "ropewalk_connections_limit",
            "Limit on client connections.",
            connections.limit as u64,
        )?;
        let mut family = families.counter(
            "ropewalk_idle_displaced",
            "Idle client connections closed to make room for new ones.",
        )?;
        family.encode_counter::<NoLabelSet, _, f64>(&connections.displaced, None)?;
        let mut family = families.counter(
            "ropewalk_connections_refused",
            "Client connections refused with 503 on arrival, by the limit that was reached.",
        )?;
        count(&mut family, &[("limit", "connections")], connections.refused)?;
        count(&mut family, &[("limit", "connections_per_client")], connections.refused_of_client)?;
        families.states(
            "ropewalk_workers",
            "Worker threads.",
            &[("running", status.workers.running), ("idle", status.workers.idle)],
        )?;
        families.value(
            "ropewalk_ready_queue_length",
            "Tasks waiting for a worker.",
            status.ready_queue_length as u64,
        )?;
        let mut family =
            families.counter("ropewalk_access_log_dropped", "Access log lines that could not be written.")?;
        family.encode_counter::<NoLabelSet, _, f64>(&status.access_log_dropped, None)?;
        let mut family = families.counter(
            "ropewalk_diagnostics_dropped",
            "Diagnostic lines dropped because stderr was not read.",
        )?;
        family.encode_counter::<NoLabelSet, _, f64>(&status.diagnostics_dropped, None)?;
        families.value(
            "ropewalk_configurations",
            "Configurations in memory: the current one and older ones still in use.",
            status.configurations as u64,
        )?;
        let mut family = families.counter("ropewalk_config_reloads", "Reloads of the configuration.")?;
        count(&mut family, &[("result", "applied")], status.reloads.applied)?;
        count(&mut family, &[("result", "refused")], status.reloads.refused)?;
        let mut family =
            families.counter("ropewalk_panics", "Panics in workers; anything but 0 is a bug.")?;
        family.encode_counter::<NoLabelSet, _, f64>(&status.panics, None)
    }

    fn process(&self, families: &mut Families<'_>) -> fmt::Result {
        let Self { status, .. } = self;
        let mut family = families.gauge("ropewalk_build_info", "Always 1; the version is in the label.")?;
        gauge(&mut family, &[("version", status.version)], 1)?;
        families.value(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            status.resident_bytes,
        )?;
        families.value(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self.started_unix_s,
        )
    }
}

/// Starts metric families.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// A counter, named without `_total`.
    fn counter<'s>(&'s mut self, name: &'s str, help: &str) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Counter)
    }

    fn gauge<'s>(&'s mut self, name: &'s str, help: &str) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)
    }

    fn histogram<'s>(&'s mut self, name: &'s str, help: &str) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Histogram)
    }

    /// A gauge without labels.
    fn value(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauge(name, help)?.encode_gauge(&value)
    }

    /// One gauge per state.
    fn states(&mut self, name: &str, help: &str, states: &[(&str, usize)]) -> fmt::Result {
        let mut family = self.gauge(name, help)?;
        for (state, value) in states {
            gauge(&mut family, &[("state", *state)], *value as u64)?;
        }
        Ok(())
    }
}

fn count(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn gauge(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    family.encode_family(labels)?.encode_gauge(&value)
}

fn record(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    durations: &Histogram,
) -> fmt::Result {
    let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(durations.counts).collect();
    let sum = durations.sum_ns as f64 / 1e9;
    family.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, durations.count(), &buckets, None)
}
