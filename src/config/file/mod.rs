//! The JSON of a configuration as Rust types, for programs that embed ropewalk.
//!
//! A mirror: every field is optional and holds what a person would type, so a duration is
//! `"5s"` here and a [`Duration`] only in the plan. What the values mean, and whether they
//! are right, is decided in one place, `check`, which a `Config` reaches by way of its JSON.
//!
//! The comments of the fields are the reference of the configuration: the schema and
//! `docs/configuration.md` are made of them. Each ends in a list. Its `Default` and `Example` are
//! JSON if they are in backticks, and its `Type` is one that `schema` knows.

mod bounds;
mod headers;
mod pool;
mod route;
mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::check::Checked;
use super::document::Document;
use super::error::{ConfigErrors, Place};
pub use bounds::{ForwardTimeouts, Limits, RouteLimits, Size, Timeouts};
pub use headers::Headers;
pub use pool::{Backend, Ejection, EjectionSettings, HealthCheck, HealthSettings, Pool, Status};
pub use route::{BasicAuth, FieldChanges, Match, MatchValue, OwnResponse, RateLimit, Redirect, Route};
pub use server::{Admin, AdminSettings, ErrorPage, Listen, Listener, ListenerSettings, Log};

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
///
/// - At least one of: `backends`, `pools`, `routes`
/// - At most one of: `port`, `listen`
/// - Not beside `pools`: `strategy`, `retries`, `retry_on_status`, `health_check`, `ejection`, `backends`
/// - Not beside `routes`: `request_headers`, `response_headers`, `allow`, `deny`, `basic_auth`, `rate_limit`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address of the schema, for editors. ropewalk ignores it.
    ///
    /// - Default: none
    /// - Example: `"./config.schema.json"`
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Listen on this port of every IPv4 address; 0 takes a free one. Either this or `listen`.
    ///
    /// - Type: whole number from 0 to 65535
    /// - Default: `8080`
    /// - Example: `80`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Listen on these addresses, instead of `port`.
    ///
    /// - Default: `"0.0.0.0:8080"`
    /// - Empty: no
    /// - Example: `["0.0.0.0:8080", {"name": "inside", "address": "10.0.0.1:8081"}]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Listen>,
    /// Threads that carry requests.
    ///
    /// - Type: whole number from 1 to 256
    /// - Default: as many as cores, at least 2
    /// - Example: `4`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Where operators connect: status, metrics and commands.
    ///
    /// - Default: nowhere
    /// - Example: `"127.0.0.1:9900"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// What to log, and where.
    ///
    /// - Default: diagnostics on stderr, no access log
    /// - Example: `{"level": "warn", "access": "stdout"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// How to choose among the usable backends: in strict rotation, in a smooth rotation by weight, by the fewest requests in flight per weight, or at random in proportion to weight.
    ///
    /// - Type: one of `round-robin`, `weighted-round-robin`, `least-connections`, `random`
    /// - Default: `"round-robin"`
    /// - Example: `"least-connections"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Extra attempts after the first, each with a backend that the request has not tried, where a retry is safe. Unless it is 0, a pool's last backend is redialled within `timeouts.connect` when it refuses a connection.
    ///
    /// - Type: whole number from 0 to 10
    /// - Default: `2`
    /// - Example: `1`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Backend statuses that cause a retry, for requests that are safe to repeat.
    ///
    /// - Type: statuses from 400 to 599
    /// - Default: none
    /// - Example: `[502, 503]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_on_status: Option<OneOrMany<u16>>,
    /// How to probe the backends, or `"off"`.
    ///
    /// - Default: a TCP dial every 5 s
    /// - Example: `{"path": "/health", "interval": "5s"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// When failed requests eject a backend, that is, take it out of service for a while; or `"off"`. Needs no health checks, and never ejects the last usable backend.
    ///
    /// - Default: after 5 failures within ten seconds, if they are at least half of its requests
    /// - Example: `{"failures": 10, "on_status": [500, 502]}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ejection: Option<Ejection>,
    /// The servers that requests are forwarded to; at least one. Required unless there are `pools` or `routes`.
    ///
    /// - Default: none
    /// - Empty: no
    /// - Example: `[{"url": "http://127.0.0.1:9001"}, {"url": "http://127.0.0.1:9002"}]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
    /// The time from the request head to the response head, over all attempts, except for time spent waiting for the client's body; `"0s"` for no limit.
    ///
    /// - Type: duration or `"0s"`
    /// - Default: `"60s"`
    /// - Example: `"30s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<String>,
    /// How long each kind of wait may last.
    ///
    /// - Default: see each
    /// - Example: `{"connect": "1s", "response_head": "10s"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Limits on connections, sizes and rates.
    ///
    /// - Default: see each
    /// - Example: `{"connections": 20000, "body": "10MiB"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Networks of proxies in front whose `X-Forwarded-*` fields are trusted.
    ///
    /// - Type: networks
    /// - Default: none
    /// - Example: `["10.0.0.0/8"]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_proxies: Option<OneOrMany<String>>,
    /// Which fields to add to every message, and which request field names to accept.
    ///
    /// - Default: see each
    /// - Example: `{"via": false}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Headers>,
    /// Changes to the fields of the forwarded request.
    ///
    /// - Default: nothing
    /// - Example: `{"set": {"X-Env": "prod"}, "remove": "X-Debug"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<FieldChanges>,
    /// Changes to the fields of the response, including ropewalk's own.
    ///
    /// - Default: nothing
    /// - Example: `{"set": {"X-Frame-Options": "DENY"}, "remove": "Server"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<FieldChanges>,
    /// Client networks to serve; others get 403.
    ///
    /// - Type: networks
    /// - Default: all
    /// - Empty: no
    /// - Example: `["10.0.0.0/8", "192.168.1.7"]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<OneOrMany<String>>,
    /// Client networks that get 403, even if `allow` lists them.
    ///
    /// - Type: networks
    /// - Default: none
    /// - Example: `"10.0.13.0/24"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<OneOrMany<String>>,
    /// Users who may log in with Basic authentication (RFC 7617); other clients get 401.
    ///
    /// - Default: no authentication
    /// - Example: `{"users": {"ann": "$6$c2FsdA$GlgfIVsqFXPBYu4aaS.ycN3zACKA3vMhn.BDRhih9sX1.n8dlfDwEzxPl8YQX1VEiHwVWf8lwaTErPWZMIL6J0"}}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// How many requests a client may send in a given time; beyond that it gets 429 with `Retry-After`.
    ///
    /// - Default: no limit
    /// - Example: `{"requests": 10, "per": "1s", "burst": 20}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Bodies of ropewalk's own error responses, by status (`"502"`) or range of statuses (`"500-599"`); the narrower of two that match wins.
    ///
    /// - Keys: statuses
    /// - Default: a short text that says what went wrong
    /// - Example: `{"502": {"body": "<h1>Back in a minute</h1>"}}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_pages: BTreeMap<String, ErrorPage>,
    /// Groups of backends by name. They replace the pool's keys at the top level.
    ///
    /// - Keys: names
    /// - Default: none
    /// - Empty: no
    /// - Example: `{"api": {"backends": [{"url": "http://10.0.0.5:8080"}]}, "web": {"backends": [{"url": "http://10.0.0.9:8080"}]}}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pools: BTreeMap<String, Pool>,
    /// Which requests go where. Routes are tried in this order and the first match wins; a request that matches none gets 404. Without routes, every request goes to the only pool.
    ///
    /// - Default: one route for all requests
    /// - Empty: no
    /// - Example: `[{"match": {"path_prefix": "/api"}, "pool": "api"}, {"pool": "web"}]`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// The folder that relative file names start from; empty for the current one. Not a part of the
    /// JSON: it is the folder of the file that the configuration was read from.
    #[serde(skip)]
    pub folder: PathBuf,
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
        self.backends.push(Backend { url: url.to_owned(), ..Backend::default() });
        self
    }

    /// Adds a backend with a name, instead of its host and port.
    #[must_use]
    pub fn named_backend(mut self, name: &str, url: &str) -> Self {
        self.backends.push(Backend {
            name: Some(name.to_owned()),
            url: url.to_owned(),
            ..Backend::default()
        });
        self
    }

    /// Adds a backend with a weight; 0 drains it.
    #[must_use]
    pub fn weighted_backend(mut self, url: &str, weight: u32) -> Self {
        self.backends.push(Backend { url: url.to_owned(), weight: Some(weight), ..Backend::default() });
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

    /// Sets how to probe the backends.
    #[must_use]
    pub fn health_check(mut self, health_check: HealthCheck) -> Self {
        self.health_check = Some(health_check);
        self
    }

    /// Checks everything. Errors with every mistake at once. They name JSON pointers only,
    /// as there is no text to point into.
    pub fn check(&self) -> Result<Checked, ConfigErrors> {
        self.document()?.check()
    }

    fn document(&self) -> Result<Document, ConfigErrors> {
        serde_json::to_value(self)
            .map(|value| Document::from_value(value).in_folder(&self.folder))
            .map_err(|error| disagreement(Place::Code, &error))
    }

    fn from_document(name: &str, document: Document) -> Result<Self, ConfigErrors> {
        document.check()?;
        let read = serde_json::from_value::<Self>(document.to_value());
        let config = read.map_err(|error| disagreement(Place::File { name: name.into() }, &error))?;
        Ok(Self { folder: document.folder, ..config })
    }
}

/// `check` and this mirror disagree about a value. A test keeps them in step; if it lets
/// a difference slip, an error serves an embedding program better than a panic.
fn disagreement(place: Place, error: &serde_json::Error) -> ConfigErrors {
    ConfigErrors::one(place, format!("cannot be mirrored: {error}"), "")
}

/// A single value, or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// The list. Comes first, since serde would also take a list for the fields of an object.
    Many(Vec<T>),
    /// The single value.
    One(T),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key of the simple form: that `check` accepts them means that the two agree.
    const SIMPLE: &str = r#"{
        "$schema": "./config.schema.json",
        "listen": ["127.0.0.1:1", { "address": "127.0.0.1:2" }, { "name": "n", "address": "127.0.0.1:3" }],
        "workers": 3,
        "admin": "127.0.0.1:9900",
        "log": { "level": "debug", "access": "stdout", "format": "combined" },
        "strategy": "random",
        "request_timeout": "5s",
        "retries": 1,
        "retry_on_status": [503, 504],
        "health_check": {
            "type": "http", "path": "/p", "host": "h", "expect_status": [204, "300-399"], "port": 1,
            "interval": "3s", "timeout": "1s", "healthy_after": 1, "unhealthy_after": 1
        },
        "ejection": {
            "failures": 1, "ratio": 1, "for": "1s", "for_max": "2s", "pool_max": 1, "on_status": [500]
        },
        "backends": [{ "name": "n", "url": "http://a:1", "weight": 2, "max_connections": 3 }, { "url": "http://b:1" }],
        "timeouts": {
            "head": "1s", "keep_alive": "1s", "body_idle": "1s", "body_grace": "1s", "queue": "1s", "connect": "1s",
            "response_head": "1s", "response_body": "1s", "write_idle": "1s", "tunnel_idle": "1s", "upstream_keep_alive": "1s",
            "drain": "1s"
        },
        "limits": {
            "connections": 1, "tunnels": 1, "head": "1KiB", "fields": 100, "target": "1KiB", "interim": "1KiB", "body": "1MiB", "body_rate": "1KiB", "response_rate": "1KiB",
            "requests_per_connection": 1, "queue": 1, "upstream_idle": 1
        },
        "trusted_proxies": ["10.0.0.0/8"],
        "headers": { "via": false, "forwarded": true, "underscores": "allow" },
        "request_headers": { "remove": "X-A", "set": { "X-B": "b" }, "add": { "X-C": ["c", "d"] } },
        "response_headers": { "remove": ["X-A", "X-B"] },
        "allow": "10.0.0.0/8",
        "deny": ["10.1.0.0/16"],
        "basic_auth": { "realm": "r", "users": {
            "ann": "$6$c2FsdA$GlgfIVsqFXPBYu4aaS.ycN3zACKA3vMhn.BDRhih9sX1.n8dlfDwEzxPl8YQX1VEiHwVWf8lwaTErPWZMIL6J0"
        } },
        "rate_limit": { "requests": 1, "per": "1s", "burst": 2, "key": "route" },
        "error_pages": { "502": { "body": "b", "content_type": "text/plain" } }
    }"#;

    /// The keys of the full form that the simple form has not.
    const FULL: &str = r#"{
        "listen": { "name": "n", "address": "127.0.0.1:3" },
        "admin": { "address": "127.0.0.1:9900", "token": "0123456789abcdef" },
        "pools": {
            "one": {
                "strategy": "random", "retries": 1, "retry_on_status": 503, "health_check": "off",
                "ejection": "off", "request_timeout": "5s", "timeouts": { "connect": "1s" },
                "backends": [{ "url": "http://a:1" }, { "url": "http://b:1" }]
            },
            "two": { "backends": [{ "url": "http://c:1" }] }
        },
        "routes": [
            {
                "name": "r",
                "match": {
                    "listener": "n", "host": ["example.com", "*.example.com"], "path_prefix": "/v1",
                    "methods": "GET", "headers": { "X-Any": true, "X-Beta": "1" }, "cookies": { "c": true }
                },
                "pool": "one", "strip_prefix": "/v1", "rewrite": "/v2{path}",
                "request_headers": { "set": { "X-B": "b" } }, "response_headers": { "remove": "X-A" },
                "request_timeout": "5s", "timeouts": { "response_head": "1s" }, "retries": 0,
                "limits": { "body": "1MiB" }, "allow": "10.0.0.0/8", "deny": "10.1.0.0/16",
                "basic_auth": { "users": {
                    "ann": "$6$c2FsdA$GlgfIVsqFXPBYu4aaS.ycN3zACKA3vMhn.BDRhih9sX1.n8dlfDwEzxPl8YQX1VEiHwVWf8lwaTErPWZMIL6J0"
                } },
                "rate_limit": { "requests": 1 }, "error_pages": { "500-599": { "body": "b" } }
            },
            { "match": { "path": "/a" }, "redirect": { "status": 301, "location": "/b" } },
            { "match": { "path": "/b" }, "respond": { "status": 503, "body": "b", "content_type": "text/plain" } },
            { "pool": "two" }
        ]
    }"#;

    #[test]
    fn the_mirror_knows_the_keys_that_check_knows() {
        for text in [SIMPLE, FULL] {
            let config = Config::from_json(text).unwrap();
            let typed: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_value(&config).unwrap(), typed);
            let of_text = Document::from_json("c", text).unwrap().check().unwrap();
            assert_eq!(config.check().unwrap(), of_text);
        }
    }

    #[test]
    fn relative_files_start_from_the_folder_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("502.html"), "<h1>502</h1>").unwrap();
        let path = folder.path().join("config.json");
        let text =
            r#"{ "backends": [{ "url": "http://a:1" }], "error_pages": { "502": { "file": "502.html" } } }"#;
        std::fs::write(&path, text).unwrap();
        let plan = Config::from_file(&path).unwrap().check().unwrap().plan;
        assert_eq!(&*plan.error_pages[0].body, b"<h1>502</h1>");
        assert_eq!(plan.error_pages[0].content_type, "text/html; charset=utf-8");
    }

    #[test]
    fn what_is_built_in_code_is_checked_without_places() {
        let errors = Config::new().listen("localhost").backend("a:1").check().unwrap_err();
        let expected = [
            r#"error: /listen/0: "localhost" is not an IP address and a port; did you mean "127.0.0.1:8080"?"#,
            r#"error: /backends/0/url: "a:1" has no scheme; did you mean "http://a:1"?"#,
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
