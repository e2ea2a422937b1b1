//! From a document to a [`Plan`]: every key by name, its default, its range, its meaning.
//!
//! One walk, top to bottom, that never stops at a mistake: a value that is wrong is
//! written down and its default used instead, so that the next mistake is found in the
//! same run. The plan leaves this folder only when nothing was written down. A key of the
//! format that this version does not read yet stands in a `later` list; to build it, move
//! it from there to a `take`.

mod pool;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use log::LevelFilter;
use serde_json::Value;

use super::document::{Document, Json, Node};
use super::error::{ConfigErrors, Problem};
use super::plan::{Limits, ListenerPlan, LogPlan, Plan, RoutePlan, Timeouts};
use super::reader::{self, Fields, Problems, Zero, shown};
use crate::base::limits::WORKERS_MAX;

/// A configuration that may be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What to run.
    pub plan: Plan,
    /// What somebody should know before running it.
    pub warnings: Vec<Problem>,
}

impl Document {
    /// Checks everything. Errors with every mistake at once, in the order of the text.
    pub fn check(&self) -> Result<Checked, ConfigErrors> {
        let mut problems = Problems::default();
        let plan = plan(&self.root, &mut problems);
        match plan {
            Some(plan) if !problems.any_error() => Ok(Checked { plan, warnings: problems.into_list() }),
            _ => Err(ConfigErrors::new(problems.into_list())),
        }
    }
}

/// The whole configuration. `None` only after an error has been written down.
fn plan(root: &Node, problems: &mut Problems) -> Option<Plan> {
    let mut fields = Fields::open(root, problems)?;
    let listeners = listeners(&mut fields, problems);
    let workers = match fields.take("workers") {
        Some(node) => reader::number(node, 1..=WORKERS_MAX as u64, problems).map(|number| number as usize),
        None => None,
    };
    let log_level = fields.take("log").and_then(|node| log_level(node, problems));
    let request = match fields.take("request_timeout") {
        Some(node) => reader::duration(node, Zero::Allowed, problems),
        None => None,
    };
    let timeouts = timeouts(fields.take("timeouts"), request, problems);
    let limits = limits(fields.take("limits"), problems);
    let trusted_proxies = fields.take("trusted_proxies").map(|node| networks(node, problems));
    let (pool, retries) = pool::read(&mut fields, &listeners, problems)?;
    fields.later(&["admin", "pools", "routes"]);
    fields.close(problems);
    let route =
        RoutePlan { retries, body_max: limits.body, ..RoutePlan::to_pool("default", 0, timeouts.clone()) };
    Some(Plan {
        listeners,
        admin: None,
        workers: workers.unwrap_or_else(default_workers),
        log: LogPlan { level: log_level.unwrap_or(LevelFilter::Info), access: None },
        timeouts,
        limits,
        trusted_proxies: trusted_proxies.unwrap_or_default(),
        pools: vec![pool],
        routes: vec![route],
        error_pages: Vec::new(),
    })
}

/// As many as there are cores, since a worker never waits for a peer; two at least, so
/// that one request that computes does not hold up all others.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, WORKERS_MAX))
}

/// The port of a configuration that names none: the usual one that needs no privilege.
const DEFAULT_PORT: u16 = 8080;

/// `port` (every IPv4 address of the machine) or `listen`, but not both.
fn listeners(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<ListenerPlan> {
    let named = |address: SocketAddr| ListenerPlan { name: address.to_string(), address };
    let any = |port| named(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    let nodes = match (fields.take("port"), fields.take("listen")) {
        (Some(port), Some(listen)) => {
            let message = r#""port" and "listen" are two ways to say the same; keep one of them"#;
            problems.error(&port.at, message);
            reader::one_or_many(listen)
        }
        (Some(port), None) => {
            let port = reader::number(port, 0..=u64::from(u16::MAX), problems);
            return vec![any(port.map_or(DEFAULT_PORT, |port| port as u16))];
        }
        (None, Some(listen)) => reader::one_or_many(listen),
        (None, None) => return vec![any(DEFAULT_PORT)],
    };
    if let (true, Some(listen)) = (nodes.is_empty(), fields.take("listen")) {
        problems.error(&listen.at, r#"the list is empty; write an address like "0.0.0.0:8080""#);
    }
    let mut listeners: Vec<ListenerPlan> = Vec::new();
    for node in nodes {
        let Some(address) = listener_address(node, problems) else { continue };
        match listeners.iter().find(|other| clash(other.address, address)) {
            Some(ListenerPlan { address: other, .. }) if *other == address => {
                problems.error(&node.at, format!("{address} is listed twice"));
            }
            Some(ListenerPlan { address: other, .. }) => problems.error(
                &node.at,
                format!("port {} is used twice: {other} and {address} overlap", address.port()),
            ),
            None => listeners.push(named(address)),
        }
    }
    listeners
}

/// Whether the second of two listeners could not be bound.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    // Whether `[::]` takes IPv4 as well depends on the socket; if it does, the start says so.
    let overlap = a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified());
    overlap && a.port() == b.port() && a.port() != 0
}

fn listener_address(node: &Node, problems: &mut Problems) -> Option<SocketAddr> {
    if matches!(node.json, Json::Object(_)) {
        let mut fields = Fields::open(node, problems)?;
        let address = fields.take("address");
        if address.is_none() && !fields.misspelt("address") {
            problems.error(&node.at, r#"has no "address"; give it one like "0.0.0.0:8080""#);
        }
        fields.later(&["tls", "proxy_protocol"]);
        fields.close(problems);
        return address.and_then(|node| socket_address(node, problems));
    }
    socket_address(node, problems)
}

fn socket_address(node: &Node, problems: &mut Problems) -> Option<SocketAddr> {
    let typed = match &node.json {
        Json::Leaf(Value::String(text)) => text.trim().to_owned(),
        Json::Leaf(Value::Number(number)) => number.to_string(),
        _ => {
            problems.error(
                &node.at,
                format!(r#"{} stands here, where an address like "0.0.0.0:8080" belongs"#, shown(node)),
            );
            return None;
        }
    };
    // A number alone is never an address, so it always lands in the error below.
    if let Ok(address) = typed.parse() {
        return Some(address);
    }
    let meant = match typed.rsplit_once(':') {
        _ if typed.parse::<u16>().is_ok() => format!("0.0.0.0:{typed}"),
        _ if typed.parse::<Ipv4Addr>().is_ok() => format!("{typed}:{DEFAULT_PORT}"),
        Some(("" | "*", port)) => format!("0.0.0.0:{port}"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        _ if typed == "localhost" => format!("127.0.0.1:{DEFAULT_PORT}"),
        _ => match typed.strip_prefix("http://") {
            Some(rest) => rest.trim_end_matches('/').to_owned(),
            None => String::new(),
        },
    };
    let advice = match meant.parse::<SocketAddr>() {
        Ok(meant) => format!("did you mean \"{meant}\"?"),
        Err(_) => r#"write it like "0.0.0.0:8080" or "[::]:8080""#.to_owned(),
    };
    problems.error(&node.at, format!("{} is not an IP address and a port; {advice}", shown(node)));
    None
}

const LOG_LEVELS: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

fn log_level(node: &Node, problems: &mut Problems) -> Option<LevelFilter> {
    if let Json::Leaf(Value::String(level)) = &node.json {
        problems.error(
            &node.at,
            format!("{level:?} stands here, where an object belongs; did you mean {{\"level\": {level:?}}}?"),
        );
        return None;
    }
    let mut fields = Fields::open(node, problems)?;
    let level = fields.take("level").and_then(|node| reader::word(node, LOG_LEVELS, problems));
    fields.later(&["access", "format"]);
    fields.close(problems);
    level
}

fn timeouts(node: Option<&Node>, request: Option<Duration>, problems: &mut Problems) -> Timeouts {
    let mut fields = node.and_then(|node| Fields::open(node, problems));
    let mut read = |name: &'static str, default: Duration| {
        let node = fields.as_mut().and_then(|fields| fields.take(name));
        node.and_then(|node| reader::duration(node, Zero::Refused, problems)).unwrap_or(default)
    };
    let timeouts = Timeouts {
        head: read("head", Duration::from_secs(10)),
        keep_alive: read("keep_alive", Duration::from_secs(30)),
        body_idle: read("body_idle", Duration::from_secs(30)),
        body_grace: read("body_grace", Duration::from_secs(20)),
        queue: read("queue", Duration::from_secs(5)),
        connect: read("connect", Duration::from_secs(2)),
        response_head: read("response_head", Duration::from_secs(30)),
        upstream_idle: read("upstream_idle", Duration::from_secs(30)),
        write_idle: read("write_idle", Duration::from_secs(30)),
        request: Some(request.unwrap_or(Duration::from_secs(60))).filter(|limit| !limit.is_zero()),
        tunnel_idle: read("tunnel_idle", Duration::from_secs(600)),
        upstream_keep_alive: read("upstream_keep_alive", Duration::from_secs(4)),
        drain: read("drain", Duration::from_secs(30)),
    };
    if let Some(fields) = fields {
        fields.close(problems);
    }
    timeouts
}

fn limits(node: Option<&Node>, problems: &mut Problems) -> Limits {
    /// A head must hold a request line and a few fields, and is kept whole in memory.
    const HEAD: std::ops::RangeInclusive<u64> = 1024..=1024 * 1024;
    const CONNECTIONS: usize = 10_000;
    let tunnels_of = |connections: usize| (connections * 3).div_ceil(4);
    let mut limits = Limits {
        connections: CONNECTIONS,
        tunnels: tunnels_of(CONNECTIONS),
        head: 32 * 1024,
        body: None,
        body_rate: Some(500),
        response_rate: Some(500),
        requests_per_connection: Some(1_000),
        queue: 1_000,
        upstream_idle: 64,
    };
    let Some(mut fields) = node.and_then(|node| Fields::open(node, problems)) else { return limits };
    if let Some(node) = fields.take("connections") {
        let read = reader::number(node, 1..=1_000_000, problems);
        limits.connections = read.map_or(limits.connections, |number| number as usize);
    }
    limits.tunnels = tunnels_of(limits.connections);
    if let Some(node) = fields.take("tunnels") {
        let read = reader::number(node, 0..=1_000_000, problems);
        limits.tunnels = read.map_or(limits.tunnels, |number| number as usize);
    }
    if let Some(node) = fields.take("head") {
        match reader::size(node, problems) {
            Some(size) if HEAD.contains(&size) => limits.head = size as usize,
            Some(_) => {
                problems.error(&node.at, format!(r#"{} is not a size from "1KiB" to "1MiB""#, shown(node)));
            }
            None => {}
        }
    }
    if let Some(node) = fields.take("body") {
        limits.body = reader::size(node, problems).filter(|size| *size > 0);
    }
    if let Some(node) = fields.take("body_rate") {
        limits.body_rate = reader::size(node, problems).filter(|size| *size > 0);
    }
    if let Some(node) = fields.take("response_rate") {
        limits.response_rate = reader::size(node, problems).filter(|size| *size > 0);
    }
    if let Some(node) = fields.take("requests_per_connection") {
        let read = reader::number(node, 0..=u64::from(u32::MAX), problems);
        limits.requests_per_connection = read.filter(|number| *number > 0);
    }
    if let Some(node) = fields.take("queue") {
        let read = reader::number(node, 0..=1_000_000, problems);
        limits.queue = read.map_or(limits.queue, |number| number as usize);
    }
    if let Some(node) = fields.take("upstream_idle") {
        let read = reader::number(node, 0..=65_535, problems);
        limits.upstream_idle = read.map_or(limits.upstream_idle, |number| number as usize);
    }
    fields.close(problems);
    limits
}

fn networks(node: &Node, problems: &mut Problems) -> Vec<IpNet> {
    let nodes = reader::list(node, problems).unwrap_or_default();
    nodes.iter().filter_map(|node| network(node, problems)).collect()
}

/// A network such as `10.0.0.0/8`, or one address.
fn network(node: &Node, problems: &mut Problems) -> Option<IpNet> {
    let typed = reader::text(node, problems)?.trim();
    let network = typed.parse::<IpNet>().ok().or_else(|| typed.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        None => problems.error(
            &node.at,
            format!(r#"{} is not a network; write it like "10.0.0.0/8" or "192.168.1.7""#, shown(node)),
        ),
        Some(network) if network.trunc() != network => problems.warn(
            &node.at,
            format!(
                "{typed:?} has bits after the prefix, which mean nothing; taken as \"{}\"",
                network.trunc()
            ),
        ),
        Some(_) => {}
    }
    network.map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::super::plan::{BackendPlan, HealthCheck, PoolPlan, Probe, Strategy};
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
        let expected = Plan {
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
                upstream_idle: seconds(30),
                write_idle: seconds(30),
                request: Some(seconds(60)),
                tunnel_idle: seconds(600),
                upstream_keep_alive: seconds(4),
                drain: seconds(30),
            },
            limits: Limits {
                connections: 10_000,
                tunnels: 7_500,
                head: 32 * 1024,
                body: None,
                body_rate: Some(500),
                response_rate: Some(500),
                requests_per_connection: Some(1_000),
                queue: 1_000,
                upstream_idle: 64,
            },
            trusted_proxies: Vec::new(),
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
                    passive_failures: Some(5),
                }),
                backends: vec![BackendPlan {
                    name: "127.0.0.1:9001".to_owned(),
                    host: "127.0.0.1".to_owned(),
                    port: 9001,
                    weight: 1,
                    max_connections: None,
                }],
            }],
            routes: vec![RoutePlan::to_pool("default", 0, plan.timeouts.clone())],
            error_pages: Vec::new(),
        };
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
    fn a_probe_is_what_its_keys_imply() {
        let probe = |keys: &str| {
            let text =
                format!(r#"{{ "health_check": {{ {keys} }}, "backends": [ {{ "url": "http://a" }} ] }}"#);
            check(&text).pools.remove(0).health_check.unwrap()
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
        assert_eq!(probe(r#""passive_failures": 0"#).passive_failures, None);
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
            "--retries  99 is not a whole number from 0 to 10"
        );
    }
}
