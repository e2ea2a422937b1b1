//! From a document to a [`Plan`]: every key by name, its default, its range, its meaning.
//!
//! One walk from top to bottom that does not stop at a mistake: it reports a wrong value and goes on
//! with the default, so that one run finds every mistake. A plan is made only if there was none.
//!
//! A check that combines several values runs only if none of them was wrong
//! ([`Problems::clean_since`]), so that the consequences of a mistake are not reported.

mod access;
mod action;
mod admin;
mod attached;
mod bounds;
mod ejection;
mod error_page;
mod header;
mod headers;
mod health;
mod lints;
mod listener;
mod logs;
mod matcher;
mod memory;
mod network;
mod pool;
mod route;
mod template;
mod wider;
mod writable;

use super::document::{Document, Node};
use super::error::{ConfigErrors, Problem};
use super::plan::{AdminPlan, Parts, Plan, RoutePlan, Timeouts};
use super::reader::{self, Fields, Problems};
use crate::base::limits::WORKERS_MAX;
use attached::Folder;
use bounds::Scope;
use listener::Listeners;
use pool::{Named, Pools};
use route::{Placed, Surroundings};

/// A configuration that may be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What to run.
    pub plan: Plan,
    /// What to know before running it.
    pub warnings: Vec<Problem>,
}

impl Document {
    /// Checks everything. Errors with every mistake at once, in the order of the text.
    pub fn check(&self) -> Result<Checked, ConfigErrors> {
        let mut problems = Problems::default();
        let parts = parts(self, &mut problems);
        match parts {
            Some(parts) if !problems.any_error() => {
                Ok(Checked { plan: Plan::new(parts), warnings: problems.into_list(&self.text) })
            }
            _ => Err(ConfigErrors::new(problems.into_list(&self.text))),
        }
    }

    /// Reads only where the admin listener is and what it asks for. Mistakes elsewhere do not
    /// matter: a running balancer can be asked while its file is being edited.
    ///
    /// # Errors
    /// The `admin` key is wrong, or its token cannot be read.
    pub fn admin(&self) -> Result<Option<AdminPlan>, ConfigErrors> {
        let mut problems = Problems::default();
        let admin = Fields::open(&self.root, &mut problems).and_then(|mut fields| {
            let node = fields.take("admin")?;
            admin::read(node, &[], &Folder { path: &self.folder, host: self.host }, &mut problems)
        });
        if problems.any_error() { Err(ConfigErrors::new(problems.into_list(&self.text))) } else { Ok(admin) }
    }
}

/// The whole configuration. `None` only after an error was reported.
fn parts(document: &Document, problems: &mut Problems) -> Option<Parts> {
    let start = problems.mark();
    let mut fields = Fields::open(&document.root, problems)?;
    // Editors look it up; there is nothing to do with it here.
    if let Some(node) = fields.take("$schema") {
        reader::text(node, problems);
    }
    let folder = || Folder { path: &document.folder, host: document.host };
    let listeners = listener::read(&mut fields, problems);
    let admin = fields.take("admin").and_then(|node| admin::read(node, &listeners.list, &folder(), problems));
    let workers = match fields.take("workers") {
        Some(node) if reader::text_of(node) == Some("auto") => {
            problems
                .error(&node.at, r#"remove "workers" for as many as there are cores, which is the default"#);
            None
        }
        Some(node) => reader::number(node, 1..=WORKERS_MAX as u64, problems).map(|number| number as usize),
        None => None,
    };
    let log = logs::read(fields.take("log"), &folder(), problems);
    let timeouts = bounds::timeouts(&mut fields, Scope::Whole, &Timeouts::default(), problems);
    let limits_at = fields.take("limits");
    let limits = bounds::limits(limits_at, problems);
    let trusted_proxies = fields.take("trusted_proxies").map(|node| network::read(node, problems));
    let headers = headers::read(fields.take("headers"), problems);
    let error_pages = fields.take("error_pages").map(|node| error_page::read(node, &folder(), problems));
    let error_pages = error_pages.unwrap_or_default();

    let pools = pools(&mut fields, &listeners, &timeouts, problems);
    let around = Surroundings {
        listeners: &listeners,
        pools: &pools,
        timeouts: &timeouts,
        limits: &limits,
        error_pages: &error_pages,
        folder: folder(),
    };
    let routes = routes(&mut fields, &around, problems);
    fields.close(problems);
    // Routes are compared with each other only where nothing in any of them is wrong.
    if let (Some(routes), true) = (&routes, listeners.are_all) {
        lints::warn(routes, &pools, &listeners.list, problems);
    }
    let pools: Option<Vec<_>> =
        pools.list.into_iter().map(|named| named.pool.map(|pool| pool.plan)).collect();
    let parts = Parts {
        pools: pools?,
        routes: routes?.into_iter().map(|route| route.plan).collect(),
        listeners: listeners.list,
        admin,
        workers: workers.unwrap_or_else(default_workers),
        log,
        timeouts,
        limits,
        trusted_proxies: trusted_proxies.unwrap_or_default(),
        headers,
        error_pages,
    };
    if problems.clean_since(start) {
        memory::refuse(&parts, limits_at, problems);
    }
    Some(parts)
}

/// The pools of the full form, or the one of the simple form.
fn pools<'a>(
    fields: &mut Fields<'a>,
    listeners: &Listeners,
    timeouts: &Timeouts,
    problems: &mut Problems,
) -> Pools<'a> {
    let simple: Vec<_> = pool::KEYS.iter().filter_map(|name| Some((*name, fields.take(name)?))).collect();
    if let Some(node) = fields.take("pools") {
        refuse_beside("pool", &simple, node, problems);
        return pool::read_all(node, listeners, timeouts, problems);
    }
    // Routes that only redirect and respond need no pool.
    if simple.is_empty() && fields.take("routes").is_some() {
        let are_all = !fields.misspelt("pools") && !fields.misspelt("backends");
        return Pools::new(Vec::new(), are_all);
    }
    if simple.is_empty() && fields.misspelt("pools") {
        return Pools::new(Vec::new(), false);
    }
    let pool = pool::read(fields, "default", timeouts.clone(), listeners, problems);
    let at = fields.take("backends").map_or(fields.at, |node| &node.at);
    Pools::new(vec![Named { name: "default", at, pool }], true)
}

/// Reports keys of the simple form beside the list of the full form.
fn refuse_beside(what: &str, simple: &[(&str, &Node)], full: &Node, problems: &mut Problems) {
    for (name, node) in simple {
        let message = format!(
            "{name:?} belongs to one {what}, and {} lists several; move it into each {what} that needs it",
            full.at.both()
        );
        problems.error(&node.at, message);
    }
}

/// The routes of the full form, or the one of the simple form. `None` only after an error has
/// been written down.
fn routes<'a>(
    fields: &mut Fields<'a>,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Option<Vec<Placed<'a>>> {
    let simple: Vec<_> = route::KEYS.iter().filter_map(|name| Some((*name, fields.take(name)?))).collect();
    if let Some(node) = fields.take("routes") {
        refuse_beside("route", &simple, node, problems);
        return route::read_all(node, around, problems);
    }
    let mut plan = RoutePlan {
        body_max: around.limits.body,
        error_pages: around.error_pages.to_vec(),
        ..RoutePlan::to_first_pool("default", around.timeouts.clone())
    };
    route::conditions(fields, &mut plan, problems);
    match around.pools.list.as_slice() {
        [only] => {
            let pool = only.pool.as_ref()?;
            let plan = RoutePlan { timeouts: pool.timeouts.clone(), retries: pool.retries, ..plan };
            Some(vec![Placed { at: fields.at, plan }])
        }
        [_, _, ..] if !fields.misspelt("routes") => {
            let message = r#"is missing: with several pools, routes say which requests go where; write "routes": [{"pool": "..."}]"#;
            problems.error(&fields.at.missing("routes"), message);
            None
        }
        _ => None,
    }
}

/// One for each core, since a worker never waits for a peer; at least two, so that one expensive
/// request does not hold up all others.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, WORKERS_MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use log::LevelFilter;
    use serde_json::Value;

    use super::super::plan::{
        BackendPlan, Ejection, HeaderPlan, HealthCheck, Limits, ListenerPlan, LogPlan, PoolPlan, Probe,
        Strategy,
    };
    use super::*;

    fn check(text: &str) -> Plan {
        let checked = Document::from_json("c", text).and_then(|document| document.check());
        checked.unwrap_or_else(|errors| panic!("{errors}")).plan
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn one_backend_is_enough_and_the_rest_is_default() {
        let plan = check(r#"{ "backends": [ { "url": "http://127.0.0.1:9001" } ] }"#);
        let expected = Plan::new(Parts {
            listeners: vec![ListenerPlan {
                name: "0.0.0.0:8080".to_owned(),
                address: "0.0.0.0:8080".parse().unwrap(),
            }],
            admin: None,
            workers: default_workers(),
            log: LogPlan { level: LevelFilter::Info, access: None },
            timeouts: Timeouts {
                head: seconds(10),
                keep_alive: seconds(30),
                body_idle: seconds(30),
                body_grace: seconds(20),
                queue: seconds(5),
                connect: seconds(2),
                response_head: seconds(30),
                response_body: seconds(30),
                write_idle: seconds(30),
                request: Some(seconds(60)),
                tunnel_idle: seconds(600),
                upstream_keep_alive: seconds(4),
                drain: seconds(30),
            },
            limits: Limits {
                connections_per_client: None,
                connections: 10_000,
                tunnels: 7_500,
                head: 32 * 1024,
                interim: Some(64 * 1024),
                fields: 100,
                target: 8 * 1024,
                body: None,
                body_rate: Some(500),
                response_rate: Some(500),
                requests_per_connection: Some(1_000),
                queue: 1_000,
                upstream_idle: 64,
                memory: None,
            },
            trusted_proxies: Vec::new(),
            headers: HeaderPlan::default(),
            pools: vec![PoolPlan {
                name: "default".to_owned(),
                strategy: Strategy::RoundRobin,
                retry_on_status: Vec::new(),
                health_check: Some(HealthCheck {
                    probe: Probe::Tcp,
                    port: None,
                    interval: seconds(5),
                    timeout: seconds(2),
                    healthy_after: 2,
                    unhealthy_after: 3,
                }),
                ejection: Some(Ejection {
                    failures: 5,
                    ratio: 50,
                    time: seconds(5),
                    time_max: seconds(60),
                    pool_max: 50,
                    on_status: Vec::new(),
                }),
                backends: vec![BackendPlan {
                    name: "127.0.0.1:9001".to_owned(),
                    host: "127.0.0.1".to_owned(),
                    port: 9001,
                    weight: 1,
                    max_connections: None,
                }],
            }],
            routes: vec![RoutePlan::to_first_pool("default", plan.timeouts.clone())],
            error_pages: Vec::new(),
        });
        assert_eq!(plan, expected);
    }

    #[test]
    fn the_example_in_the_repository_is_good() {
        let checked = Document::from_json("config.json", include_str!("../../../config.json"))
            .and_then(|document| document.check())
            .unwrap();
        assert_eq!(checked.warnings, []);
        assert_eq!(checked.plan.pools[0].backends.len(), 3);
        assert_eq!(checked.plan.timeouts.request, Some(seconds(30)));
    }

    #[test]
    fn nothing_can_mean_no_limit() {
        let plan = check(
            r#"{ "request_timeout": "0s", "health_check": "off",
                 "limits": { "body": "0", "requests_per_connection": 0 },
                 "backends": [ { "url": "http://a" } ] }"#,
        );
        assert_eq!(plan.timeouts.request, None);
        assert_eq!(plan.limits.body, None);
        assert_eq!(plan.limits.requests_per_connection, None);
        assert_eq!(plan.pools[0].health_check, None);
    }

    #[test]
    fn an_old_name_means_what_the_new_one_means() {
        let with = |name: &str| {
            check(&format!(
                r#"{{ "timeouts": {{ "{name}": "7s" }}, "pools": {{ "p": {{ "timeouts": {{ "{name}": "8s" }},
                     "backends": [ {{ "url": "http://a" }} ] }} }},
                     "routes": [ {{ "match": {{ "path": "/a" }}, "pool": "p", "timeouts": {{ "{name}": "9s" }} }}, {{ "pool": "p" }} ] }}"#
            ))
        };
        let plan = with("upstream_idle");
        assert_eq!(plan, with("response_body"));
        let times = [&plan.timeouts, &plan.routes[0].timeouts, &plan.routes[1].timeouts];
        assert_eq!(times.map(|timeouts| timeouts.response_body), [seconds(7), seconds(9), seconds(8)]);
    }

    #[test]
    fn listeners_come_in_many_spellings() {
        for (typed, expected) in [
            (r#""port": 0"#, vec!["0.0.0.0:0"]),
            (r#""listen": "127.0.0.1:1""#, vec!["127.0.0.1:1"]),
            (r#""listen": { "address": "127.0.0.1:1" }"#, vec!["127.0.0.1:1"]),
            (r#""listen": ["[::1]:1", { "address": "0.0.0.0:2" }]"#, vec!["[::1]:1", "0.0.0.0:2"]),
            (r#""listen": ["127.0.0.1:0", "127.0.0.1:0"]"#, vec!["127.0.0.1:0", "127.0.0.1:0"]),
        ] {
            let plan = check(&format!(r#"{{ {typed}, "backends": [ {{ "url": "http://a" }} ] }}"#));
            let found: Vec<_> = plan.listeners.iter().map(|listener| listener.address.to_string()).collect();
            assert_eq!(found, expected, "{typed}");
        }
    }

    #[test]
    fn a_route_inherits_from_its_pool_and_that_from_the_whole() {
        let plan = check(
            r#"{ "timeouts": { "connect": "3s", "response_head": "3s", "head": "3s" }, "request_timeout": "3s",
                 "limits": { "body": "3KiB" }, "error_pages": { "502": { "body": "whole" } },
                 "pools": { "p": { "timeouts": { "response_head": "4s", "tunnel_idle": "4s" }, "retries": 4,
                                   "request_timeout": "0s",
                                   "backends": [ { "url": "http://a" }, { "url": "http://b" } ] } },
                 "routes": [ { "match": { "path": "/a" }, "pool": "p", "timeouts": { "tunnel_idle": "5s" },
                               "retries": 5, "limits": { "body": "0" }, "request_timeout": "5s",
                               "error_pages": { "500-599": { "body": "route" } } },
                             { "pool": "p" } ] }"#,
        );
        let (first, last) = (&plan.routes[0], &plan.routes[1]);
        assert_eq!(plan.timeouts.response_head, seconds(3));
        let of_pool = Timeouts {
            response_head: seconds(4),
            tunnel_idle: seconds(4),
            request: None,
            ..plan.timeouts.clone()
        };
        assert_eq!(last.timeouts, of_pool);
        let of_route = Timeouts { tunnel_idle: seconds(5), request: Some(seconds(5)), ..of_pool };
        assert_eq!(first.timeouts, of_route);
        assert_eq!((first.retries, first.body_max), (5, None));
        assert_eq!((last.retries, last.body_max), (4, Some(3 * 1024)));
        let pages =
            |route: &RoutePlan| route.error_pages.iter().map(|page| page.body.to_vec()).collect::<Vec<_>>();
        assert_eq!(pages(first), [b"route".to_vec(), b"whole".to_vec()]);
        assert_eq!(pages(last), [b"whole".to_vec()]);
    }

    #[test]
    fn the_simple_form_is_one_pool_and_one_route() {
        let simple = check(
            r#"{ "retries": 1, "allow": "10.0.0.0/8", "request_headers": { "set": { "Host": "b" } },
                 "rate_limit": { "requests": 5 }, "timeouts": { "connect": "3s" },
                 "backends": [ { "url": "http://a" }, { "url": "http://b" } ] }"#,
        );
        let full = check(
            r#"{ "timeouts": { "connect": "3s" },
                 "pools": { "default": { "retries": 1, "backends": [ { "url": "http://a" }, { "url": "http://b" } ] } },
                 "routes": [ { "name": "default", "pool": "default", "allow": "10.0.0.0/8",
                               "request_headers": { "set": { "Host": "b" } }, "rate_limit": { "requests": 5 } } ] }"#,
        );
        assert_eq!(simple, full);
    }

    #[test]
    fn a_probe_is_what_its_keys_imply() {
        let probe = |keys: &str| {
            let text =
                format!(r#"{{ "health_check": {{ {keys} }}, "backends": [ {{ "url": "http://a" }} ] }}"#);
            check(&text).pools[0].health_check.clone().unwrap()
        };
        assert_eq!(probe("").probe, Probe::Tcp);
        assert_eq!(probe(r#""type": "tcp""#).probe, Probe::Tcp);
        let http =
            |path: &str, expect_status| Probe::Http { path: path.to_owned(), host: None, expect_status };
        assert_eq!(probe(r#""type": "http""#).probe, http("/health", vec![200..=299]));
        assert_eq!(probe(r#""path": "/x?y=z""#).probe, http("/x?y=z", vec![200..=299]));
        assert_eq!(
            probe(r#""expect_status": [204, "300-399"]"#).probe,
            http("/health", vec![204..=204, 300..=399])
        );
    }

    #[test]
    fn a_short_interval_brings_its_own_timeout() {
        let plan =
            check(r#"{ "health_check": { "interval": "1s" }, "backends": [ { "url": "http://a" } ] }"#);
        let health = plan.pools[0].health_check.clone().unwrap();
        assert_eq!((health.interval, health.timeout), (seconds(1), Duration::from_millis(500)));
    }

    #[test]
    fn a_flag_wins_over_the_file_and_is_named_in_errors() {
        let mut document =
            Document::from_json("c", r#"{ "retries": 1, "backends": [ { "url": "http://a" } ] }"#).unwrap();
        document.set("--retries", &["retries"], Value::from(99));
        assert_eq!(
            document.check().unwrap_err().to_string(),
            "--retries: error: expected a whole number from 0 to 10, found 99"
        );
    }
}
