//! The JSON of a configuration as Rust types, for programs that embed ropewalk.
//!
//! A mirror: every field is optional and holds what a person would type, so a duration is
//! `"5s"` here and a [`Duration`] only in the plan. What the values mean, and whether they
//! are right, is decided in one place, `check`, which a `Config` reaches by way of its JSON.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Checked;
use super::document::Document;
use super::error::{ConfigErrors, Place, Problem, Severity};

/// A configuration that has not been checked.
///
/// ```
/// use std::time::Duration;
/// use ropewalk::config::Config;
///
/// let checked = Config::new()
///     .listen("127.0.0.1:0")
///     .backend("http://127.0.0.1:9001")
///     .backend("http://127.0.0.1:9002")
///     .request_timeout(Duration::from_secs(5))
///     .check()?;
/// assert_eq!(checked.plan.pools[0].backends.len(), 2);
/// # Ok::<(), ropewalk::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Listen on this port of every IPv4 address; 0 takes a free one. 8080 when `listen` is
    /// not given either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Listen on these addresses, instead of `port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// Threads that carry requests; by default as many as cores, and at least 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Diagnostics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// `round-robin`, `weighted-round-robin`, `least-connections` or `random`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// A duration from the request head to the response head, over all tries; `"0s"` for no
    /// such limit. 60 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<String>,
    /// Extra tries after the first. 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Statuses of a backend that are worth another try, such as 503. None.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retry_on_status: Vec<u16>,
    /// How backends are probed. A TCP dial every 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Who serves the requests; at least one.
    pub backends: Vec<Backend>,
    /// Deadlines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Networks whose X-Forwarded-* fields are believed, such as `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
}

impl Config {
    /// Without backends, and with every default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a text and checks it. Errors as [`Document::check`] does.
    pub fn from_json(text: &str) -> Result<Self, ConfigErrors> {
        Self::from_document("config", Document::from_json("config", text)?)
    }

    /// Reads a file and checks it. Errors as [`Document::check`] does.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigErrors> {
        let path = path.as_ref();
        Self::from_document(&path.display().to_string(), Document::from_file(path)?)
    }

    /// Adds a listening address, such as `127.0.0.1:8080`.
    #[must_use]
    pub fn listen(mut self, address: &str) -> Self {
        let mut listeners = match self.listen.take() {
            None => Vec::new(),
            Some(OneOrMany::One(listener)) => vec![listener],
            Some(OneOrMany::Many(listeners)) => listeners,
        };
        listeners.push(Listener::Address(address.to_owned()));
        self.listen = Some(OneOrMany::Many(listeners));
        self
    }

    /// Adds a backend, such as `http://127.0.0.1:9001`.
    #[must_use]
    pub fn backend(mut self, url: &str) -> Self {
        self.backends.push(Backend { name: None, url: url.to_owned(), weight: None, max_connections: None });
        self
    }

    /// Adds a backend that is called something else than its host and port.
    #[must_use]
    pub fn named_backend(mut self, name: &str, url: &str) -> Self {
        self.backends.push(Backend {
            name: Some(name.to_owned()),
            url: url.to_owned(),
            weight: None,
            max_connections: None,
        });
        self
    }

    /// Adds a backend with a weight; 0 is drained.
    #[must_use]
    pub fn weighted_backend(mut self, url: &str, weight: u32) -> Self {
        self.backends.push(Backend {
            name: None,
            url: url.to_owned(),
            weight: Some(weight),
            max_connections: None,
        });
        self
    }

    /// Sets how a backend is chosen, such as `least-connections`.
    #[must_use]
    pub fn strategy(mut self, strategy: &str) -> Self {
        self.strategy = Some(strategy.to_owned());
        self
    }

    /// Sets the time a request may take until its response head; zero for no such limit.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = Some(humantime::format_duration(limit).to_string());
        self
    }

    /// Sets how many extra tries a request gets.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Sets how many threads carry requests.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets how backends are probed.
    #[must_use]
    pub fn health_check(mut self, health_check: HealthCheck) -> Self {
        self.health_check = Some(health_check);
        self
    }

    /// Checks everything. Errors with every mistake at once; they name JSON pointers only,
    /// as there is no text to point into.
    pub fn check(&self) -> Result<Checked, ConfigErrors> {
        self.document()?.check()
    }

    fn document(&self) -> Result<Document, ConfigErrors> {
        serde_json::to_value(self)
            .map(Document::from_value)
            .map_err(|error| disagreement(Place::Code, &error))
    }

    fn from_document(name: &str, document: Document) -> Result<Self, ConfigErrors> {
        document.check()?;
        serde_json::from_value(document.to_value())
            .map_err(|error| disagreement(Place::File { name: name.into() }, &error))
    }
}

/// `check` and this mirror disagree about a value. A test holds them together; if it lets
/// one slip, an error serves whoever embeds us better than a panic.
fn disagreement(place: Place, error: &serde_json::Error) -> ConfigErrors {
    let message = format!("cannot be mirrored: {error}");
    ConfigErrors::new(vec![Problem { place, pointer: String::new(), message, severity: Severity::Error }])
}

/// A single value, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// The single value.
    One(T),
    /// The list.
    Many(Vec<T>),
}

/// One listener or several.
pub type Listen = OneOrMany<Listener>;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Listener {
    /// An IP address and a port, such as `0.0.0.0:8080`.
    Address(String),
    /// The same as an object, where more settings will find their place.
    Settings {
        /// An IP address and a port.
        address: String,
    },
}

/// Diagnostics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is logged: `off`, `error`, `warn`, `info`, `debug` or
    /// `trace`. `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// A backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its unique name; `host:port` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is: `http://host:port`.
    pub url: String,
    /// Its share of requests, 0 to 256; 0 is drained. 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Requests in flight at once; those over it wait for a place. Absent for no such limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
}

/// How backends are probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HealthCheck {
    /// `"off"`.
    Word(String),
    /// The settings of the probes.
    Settings(Box<HealthSettings>),
}

impl HealthCheck {
    /// No probes.
    pub fn off() -> Self {
        Self::Word("off".to_owned())
    }
}

/// The settings of the probes; each has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// `tcp` or `http`. `http` when `path`, `host` or `expect_status` is given, else `tcp`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The path to ask for. `/health`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The Host field to send, instead of the backend's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Statuses that count as healthy: `204` or `"200-399"`. 200 to 299.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_status: Option<OneOrMany<Status>>,
    /// Probe this port instead of the backend's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// From the start of one probe to the start of the next. 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How long one probe may take. 2 s, or half of a shorter interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Consecutive successes that bring a backend up. 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_after: Option<u32>,
    /// Consecutive failures that take a backend down. 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_after: Option<u32>,
    /// Consecutive failed requests that take a backend down; 0 when they are not counted. 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive_failures: Option<u32>,
}

/// A status, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Status {
    /// One status.
    One(u16),
    /// A range, such as `"200-399"`.
    Range(String),
}

/// Deadlines; the plan's [`Timeouts`](super::plan::Timeouts) says what each is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// A whole request head. 10 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The next request on an idle client connection. 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<String>,
    /// The next bytes of a request body. 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle: Option<String>,
    /// How long a request body may be slower than `limits.body_rate`, and a client keep us waiting
    /// with less than `limits.response_rate`. 20 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_grace: Option<String>,
    /// A place at a backend, when all have `max_connections`. 5 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// A connection to a backend. 2 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// A response head. 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_head: Option<String>,
    /// The next bytes of a response body. 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_idle: Option<String>,
    /// A peer that takes no bytes from us. 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_idle: Option<String>,
    /// No bytes either way through a tunnel. 10 min.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<String>,
    /// How long an unused connection to a backend is kept. 4 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_keep_alive: Option<String>,
    /// How long a stop waits for requests in flight. 30 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
}

/// Bounds; the plan's [`Limits`](super::plan::Limits) says what each is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Client connections at once. 10 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Upgraded connections among them, such as WebSockets; 0 lets none through. Three quarters
    /// of `connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<u64>,
    /// The size of a request or response head. 32 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The size of a request body; `"0"` for no such limit. `"0"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Size>,
    /// The bytes per second below which a request body is too slow; `"0"` for no such limit.
    /// 500 B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_rate: Option<Size>,
    /// The bytes per second below which a client takes its response too slowly; `"0"` for no such
    /// limit. 500 B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_rate: Option<Size>,
    /// Requests over one client connection; 0 for no such limit. 1 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u64>,
    /// Requests of one pool that wait for a place at a backend; 0 lets none wait. 1 000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// Unused connections kept to each backend. 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_idle: Option<u64>,
}

/// A size with its unit, or the number 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// Such as `"16KiB"`.
    Text(String),
    /// Only 0 needs no unit.
    Number(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field filled in: that `check` accepts it means that the two know the same keys.
    const EVERYTHING: &str = r#"{
        "listen": ["127.0.0.1:1", { "address": "127.0.0.1:2" }],
        "workers": 3,
        "log": { "level": "debug" },
        "strategy": "random",
        "request_timeout": "5s",
        "retries": 1,
        "retry_on_status": [503, 504],
        "health_check": {
            "type": "http", "path": "/p", "host": "h", "expect_status": [204, "300-399"], "port": 1,
            "interval": "3s", "timeout": "1s", "healthy_after": 1, "unhealthy_after": 1,
            "passive_failures": 1
        },
        "backends": [{ "name": "n", "url": "http://a:1", "weight": 2, "max_connections": 3 }, { "url": "http://b:1" }],
        "timeouts": {
            "head": "1s", "keep_alive": "1s", "body_idle": "1s", "body_grace": "1s", "queue": "1s", "connect": "1s",
            "response_head": "1s", "upstream_idle": "1s", "write_idle": "1s", "tunnel_idle": "1s", "upstream_keep_alive": "1s",
            "drain": "1s"
        },
        "limits": {
            "connections": 1, "tunnels": 1, "head": "1KiB", "body": "1MiB", "body_rate": "1KiB", "response_rate": "1KiB",
            "requests_per_connection": 1, "queue": 1, "upstream_idle": 1
        },
        "trusted_proxies": ["10.0.0.0/8"]
    }"#;

    #[test]
    fn the_mirror_knows_the_keys_that_check_knows() {
        let config = Config::from_json(EVERYTHING).unwrap();
        let typed: serde_json::Value = serde_json::from_str(EVERYTHING).unwrap();
        assert_eq!(serde_json::to_value(&config).unwrap(), typed);
        let of_text = Document::from_json("c", EVERYTHING).unwrap().check().unwrap();
        assert_eq!(config.check().unwrap(), of_text);
    }

    #[test]
    fn what_is_built_in_code_is_checked_without_places() {
        let errors = Config::new().listen("localhost").backend("a:1").check().unwrap_err();
        let expected = [
            r#"/listen/0  "localhost" is not an IP address and a port; did you mean "127.0.0.1:8080"?"#,
            r#"/backends/0/url  "a:1" has no scheme; did you mean "http://a:1"?"#,
        ];
        assert_eq!(errors.to_string().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn builders_reach_the_plan() {
        let plan = Config::new()
            .listen("127.0.0.1:0")
            .backend("http://a:1")
            .weighted_backend("http://b:1", 7)
            .strategy("weighted-round-robin")
            .request_timeout(Duration::from_millis(1_500))
            .retries(1)
            .workers(4)
            .health_check(HealthCheck::off())
            .check()
            .unwrap()
            .plan;
        assert_eq!(plan.timeouts.request, Some(Duration::from_millis(1_500)));
        assert_eq!((plan.workers, plan.routes[0].retries), (4, 1));
        assert_eq!(plan.pools[0].health_check, None);
        assert_eq!(plan.pools[0].backends[1].weight, 7);
    }
}
