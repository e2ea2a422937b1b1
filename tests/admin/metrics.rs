//! `/metrics`: the format, and the names and labels that dashboards rely on.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::exposition::Exposition;
use crate::wire::Admin;

/// Every family with its labels. A change here breaks somebody's dashboard.
pub const FAMILIES: &[(&str, &str, &[&str])] = &[
    ("process_resident_memory_bytes", "gauge", &[]),
    ("process_start_time_seconds", "gauge", &[]),
    ("ropewalk_access_log_dropped_total", "counter", &[]),
    ("ropewalk_backend_active_requests", "gauge", &["backend", "pool"]),
    ("ropewalk_backend_ejected", "gauge", &["backend", "pool"]),
    ("ropewalk_backend_up", "gauge", &["backend", "pool"]),
    ("ropewalk_backend_weight", "gauge", &["backend", "pool"]),
    ("ropewalk_build_info", "gauge", &["version"]),
    ("ropewalk_config_reloads_total", "counter", &["result"]),
    ("ropewalk_configurations", "gauge", &[]),
    ("ropewalk_connections", "gauge", &["state"]),
    ("ropewalk_connections_limit", "gauge", &[]),
    ("ropewalk_connections_refused_total", "counter", &["limit"]),
    ("ropewalk_diagnostics_dropped_total", "counter", &[]),
    ("ropewalk_dropped_fields_total", "counter", &[]),
    ("ropewalk_ejections_total", "counter", &["backend", "pool", "reason"]),
    ("ropewalk_health_checks_total", "counter", &["backend", "pool", "result"]),
    ("ropewalk_idle_displaced_total", "counter", &[]),
    ("ropewalk_panics_total", "counter", &[]),
    ("ropewalk_ready_queue_length", "gauge", &[]),
    ("ropewalk_received_bytes_total", "counter", &["backend", "listener", "pool"]),
    ("ropewalk_request_duration_seconds", "histogram", &["le", "pool"]),
    ("ropewalk_requests_total", "counter", &["backend", "code", "listener", "pool"]),
    ("ropewalk_retries_total", "counter", &["reason"]),
    ("ropewalk_sent_bytes_total", "counter", &["backend", "listener", "pool"]),
    ("ropewalk_upstream_connections", "gauge", &["backend", "pool", "state"]),
    ("ropewalk_upstream_keeping_suspended_total", "counter", &["backend", "pool", "reason"]),
    ("ropewalk_workers", "gauge", &["state"]),
];

#[test]
fn names_types_and_labels_are_those_that_are_documented() {
    let scrape = Exposition::parse(&Admin::start().get("/metrics").body);
    let names: Vec<&str> = scrape.families.keys().map(String::as_str).collect();
    assert_eq!(names, FAMILIES.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for (name, kind, labels) in FAMILIES {
        let family = &scrape.families[*name];
        assert_eq!(family.kind, *kind, "{name}");
        let used: BTreeSet<&str> =
            family.samples.iter().flat_map(|sample| sample.labels.keys()).map(String::as_str).collect();
        assert_eq!(used, labels.iter().copied().collect(), "{name}");
    }
}

#[test]
fn values_are_those_of_the_status() {
    let admin = Admin::start();
    admin.fake.change(|status| status.connections.open = 1_300);
    let scrape = Exposition::parse(&admin.get("/metrics").body);
    let api_1 = [("listener", "public"), ("pool", "api"), ("backend", "api-1")];
    let with_code = [api_1.as_slice(), &[("code", "502")]].concat();
    assert_eq!(scrape.value("ropewalk_requests_total", &with_code), 828.0);
    // Both codes together.
    assert_eq!(scrape.value("ropewalk_received_bytes_total", &api_1), 20.0 * (401_290.0 + 828.0));
    assert_eq!(scrape.value("ropewalk_backend_up", &[("pool", "api"), ("backend", "api-2")]), 0.0);
    assert_eq!(scrape.value("ropewalk_backend_weight", &[("pool", "api"), ("backend", "api-3")]), 0.0);
    assert_eq!(scrape.value("ropewalk_connections", &[("state", "active")]), 1_300.0 - 61.0 - 1_214.0);
    assert_eq!(scrape.value("ropewalk_config_reloads_total", &[("result", "refused")]), 1.0);
    // This process began before now and not long ago.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - scrape.value("process_start_time_seconds", &[]);
    assert!((-1.0..3_600.0).contains(&age), "{age}");
}

#[test]
fn a_histogram_is_cumulative_and_in_seconds() {
    let scrape = Exposition::parse(&Admin::start().get("/metrics").body);
    let family = &scrape.families["ropewalk_request_duration_seconds"];
    let buckets = family
        .samples
        .iter()
        .filter(|sample| sample.name.ends_with("_bucket") && sample.labels["pool"] == "web");
    let buckets: Vec<(f64, f64)> =
        buckets.map(|sample| (sample.labels["le"].parse().unwrap(), sample.value)).collect();
    assert_eq!(buckets.len(), 17);
    assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{buckets:?}");
    let count = scrape.value("ropewalk_request_duration_seconds_count", &[("pool", "web")]);
    assert_eq!((buckets[16].0, buckets[16].1), (f64::INFINITY, count));
    let sum = scrape.value("ropewalk_request_duration_seconds_sum", &[("pool", "web")]);
    assert!((7_800.0..7_900.0).contains(&sum), "{sum}");
}

#[test]
fn any_name_survives_as_a_label() {
    let admin = Admin::start();
    let name = "a\"b\\c\nd{},é";
    admin.fake.change(|status| status.pools[1].backends[0].name = name.into());
    let scrape = Exposition::parse(&admin.get("/metrics").body);
    assert_eq!(scrape.value("ropewalk_backend_up", &[("pool", "web"), ("backend", name)]), 1.0);
}

#[test]
fn clients_that_accept_open_metrics_get_it() {
    let admin = Admin::start();
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2\r\n";
    let answer = admin.ask("GET", "/metrics", accept);
    assert_eq!(answer.field("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answer.body.ends_with("\n# EOF\n"));
    assert!(answer.body.contains("\n# TYPE ropewalk_retries counter\n"));
    let older = admin.get("/metrics").body;
    assert!(!older.contains("# EOF"));
    // The samples are the same ones.
    let samples = |text: &str| {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(samples(&older), samples(&answer.body));
}

#[test]
fn removed_backends_are_counted_together() {
    let admin = Admin::start();
    // Two backends that a reload took away.
    admin.fake.change(|status| {
        for row in &mut status.requests {
            row.backend.clear();
            row.pool.clear();
            row.code = 200;
        }
    });
    let scrape = Exposition::parse(&admin.get("/metrics").body);
    let labels = [("listener", "public"), ("pool", ""), ("backend", ""), ("code", "200")];
    assert_eq!(scrape.value("ropewalk_requests_total", &labels), 401_290.0 + 828.0 + 1_204_551.0 + 311.0);
}
