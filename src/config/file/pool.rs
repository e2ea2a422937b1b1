//! Pools as they are typed: backends, and how they are chosen and probed.

use serde::{Deserialize, Serialize};

use super::{ForwardTimeouts, OneOrMany};

/// A group of backends that serve the same content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
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
    /// The time from the request head to the response head, over all attempts, except for time spent waiting for the client's body; `"0s"` for no limit.
    ///
    /// - Type: duration or `"0s"`
    /// - Default: that of the top level
    /// - Example: `"30s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<String>,
    /// How long each kind of wait may last, where it differs from the top level.
    ///
    /// - Default: those of the top level
    /// - Example: `{"connect": "500ms"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<ForwardTimeouts>,
    /// The servers that requests are forwarded to; at least one.
    ///
    /// - Required: yes
    /// - Empty: no
    /// - Example: `[{"url": "http://127.0.0.1:9001"}, {"url": "http://127.0.0.1:9002"}]`
    pub backends: Vec<Backend>,
}

/// A server that requests are forwarded to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Its name in logs, metrics and commands; unique in its pool.
    ///
    /// - Type: name
    /// - Default: host and port
    /// - Example: `"server-1"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its URL: `http://`, a host name or an IP address, and a port unless it is 80.
    ///
    /// - Required: yes
    /// - Type: url
    /// - Example: `"http://127.0.0.1:9001"`
    pub url: String,
    /// Its share of requests, relative to the rest of its pool; 0 drains it.
    ///
    /// - Type: whole number from 0 to 256
    /// - Default: `1`
    /// - Example: `3`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Requests in flight at once; more of them wait for a slot. Unlimited if left out.
    ///
    /// - Type: whole number from 1 to 1000000
    /// - Default: none
    /// - Example: `100`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
}

/// How to probe the backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum HealthCheck {
    /// `"off"`: no probes.
    ///
    /// - Type: one of `off`
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// What a probe does: open a TCP connection, or send a GET and look at the status.
    ///
    /// - Type: one of `tcp`, `http`
    /// - Default: `http` when `path`, `host` or `expect_status` is given, else `tcp`
    /// - Example: `"http"`
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The path to ask for.
    ///
    /// - Type: path
    /// - Default: `"/health"`
    /// - Example: `"/ready"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The Host field to send.
    ///
    /// - Default: host and port of the backend
    /// - Example: `"example.com"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Statuses that count as healthy: `204` or `"200-399"`.
    ///
    /// - Type: statuses or ranges of statuses
    /// - Default: `"200-299"`
    /// - Example: `[200, "300-399"]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_status: Option<OneOrMany<Status>>,
    /// Probe this port instead of the backend's own.
    ///
    /// - Type: whole number from 1 to 65535
    /// - Default: that of the backend
    /// - Example: `9100`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The time from the start of one probe to the start of the next.
    ///
    /// - Type: duration
    /// - Default: `"5s"`
    /// - Example: `"1s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How long one probe may take; less than `interval`.
    ///
    /// - Type: duration
    /// - Default: `"2s"`, or half of an interval shorter than 4 s
    /// - Example: `"500ms"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Consecutive successes that bring a backend up.
    ///
    /// - Type: whole number from 1 to 1000
    /// - Default: `2`
    /// - Example: `1`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_after: Option<u32>,
    /// Consecutive failures that take a backend down.
    ///
    /// - Type: whole number from 1 to 1000
    /// - Default: `3`
    /// - Example: `2`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_after: Option<u32>,
    /// The old name of `ejection.failures`; 0 means `"ejection": "off"`.
    ///
    /// - Type: whole number from 0 to 1000
    /// - Default: none
    /// - Example: `0`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("deprecated" = true)))]
    pub passive_failures: Option<u32>,
}

/// When failed requests eject a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum Ejection {
    /// `"off"`: no ejection.
    ///
    /// - Type: one of `off`
    Word(String),
    /// The settings of ejection.
    Settings(Box<EjectionSettings>),
}

/// The settings of ejection; each has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EjectionSettings {
    /// Failures within ten seconds that eject a backend, if they also reach `ratio`.
    ///
    /// - Type: whole number from 1 to 1000
    /// - Default: `5`
    /// - Example: `10`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// The percentage of its requests that must have failed too.
    ///
    /// - Type: whole number from 1 to 100
    /// - Default: `50`
    /// - Example: `20`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<u32>,
    /// How long an ejected backend gets no requests; after that it gets one trial request at a time. An ejection within a minute after the last one lasts twice as long.
    ///
    /// - Type: duration
    /// - Default: `"5s"`
    /// - Example: `"10s"`
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The longest that an ejection can last.
    ///
    /// - Type: duration
    /// - Default: `"60s"`, or `for` if that is longer
    /// - Example: `"30s"`
    #[serde(rename = "for_max", skip_serializing_if = "Option::is_none")]
    pub time_max: Option<String>,
    /// The percentage of the usable backends of a pool that may be ejected at once, rounded down. One of two may always be ejected, the last one never.
    ///
    /// - Type: whole number from 1 to 100
    /// - Default: `50`
    /// - Example: `30`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_max: Option<u32>,
    /// Statuses that count as failures too.
    ///
    /// - Type: statuses from 400 to 599
    /// - Default: none
    /// - Example: `[500, 502]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_status: Option<OneOrMany<u16>>,
}

/// A status, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum Status {
    /// One status.
    One(u16),
    /// A range, such as `"200-399"`.
    Range(String),
}
