//! `timeouts` and `limits` as they are typed.

use serde::{Deserialize, Serialize};

/// How long each kind of wait may last.
///
/// - At most one of: `response_body`, `upstream_idle`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// A whole request head, from its first byte.
    ///
    /// - Type: duration
    /// - Default: `"10s"`
    /// - Example: `"5s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The next request on an idle client connection.
    ///
    /// - Type: duration
    /// - Default: `"30s"`
    /// - Example: `"75s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<String>,
    /// The next bytes of a request body.
    ///
    /// - Type: duration
    /// - Default: `"30s"`
    /// - Example: `"10s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle: Option<String>,
    /// How long a request body may be slower than `limits.body_rate`, or a client slower than `limits.response_rate`.
    ///
    /// - Type: duration
    /// - Default: `"20s"`
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_grace: Option<String>,
    /// A free slot, when every backend has `max_connections` requests in flight.
    ///
    /// - Type: duration
    /// - Default: `"5s"`
    /// - Example: `"1s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// A connection to a backend.
    ///
    /// - Type: duration
    /// - Default: `"2s"`
    /// - Example: `"500ms"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// A response head, from the last byte of the request or the last 102 (Processing). Also bounds the wait for a 100 (Continue) that the client asked for.
    ///
    /// - Type: duration
    /// - Default: `"30s"`
    /// - Example: `"2m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_head: Option<String>,
    /// The next bytes of a response body, so also the next event of an event stream.
    ///
    /// - Type: duration
    /// - Default: `"30s"`
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    /// The old name of `response_body`.
    ///
    /// - Type: duration
    /// - Default: none
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("deprecated" = true)))]
    pub upstream_idle: Option<String>,
    /// A peer that reads nothing of what is sent.
    ///
    /// - Type: duration
    /// - Default: `"30s"`
    /// - Example: `"10s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_idle: Option<String>,
    /// No bytes in either direction of a tunnel.
    ///
    /// - Type: duration
    /// - Default: `"10m"`
    /// - Example: `"1h"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<String>,
    /// How long to keep an idle connection to a backend; it should be shorter than the backend's own timeout.
    ///
    /// - Type: duration
    /// - Default: `"4s"`
    /// - Example: `"50s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_keep_alive: Option<String>,
    /// How long a shutdown waits for requests in flight.
    ///
    /// - Type: duration
    /// - Default: `"30s"`
    /// - Example: `"5m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<String>,
}

/// How long each kind of wait may last for what one pool or route forwards.
///
/// - At most one of: `response_body`, `upstream_idle`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ForwardTimeouts {
    /// The next bytes of a request body.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"10s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle: Option<String>,
    /// How long a request body may be slower than `limits.body_rate`, or a client slower than `limits.response_rate`.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_grace: Option<String>,
    /// A free slot, when every backend has `max_connections` requests in flight.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"1s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// A connection to a backend.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"500ms"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// A response head, from the last byte of the request or the last 102 (Processing). Also bounds the wait for a 100 (Continue) that the client asked for.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"2m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_head: Option<String>,
    /// The next bytes of a response body, so also the next event of an event stream.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    /// The old name of `response_body`.
    ///
    /// - Type: duration
    /// - Default: none
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("deprecated" = true)))]
    pub upstream_idle: Option<String>,
    /// A peer that reads nothing of what is sent.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"10s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_idle: Option<String>,
    /// No bytes in either direction of a tunnel.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"1h"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<String>,
    /// How long to keep an idle connection to a backend; it should be shorter than the backend's own timeout.
    ///
    /// - Type: duration
    /// - Default: that of the pool or the top level
    /// - Example: `"50s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_keep_alive: Option<String>,
}

/// Limits on connections, sizes and rates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Client connections at once. At the limit, a new connection replaces an idle one, or gets 503.
    ///
    /// - Type: whole number from 1 to 1000000
    /// - Default: `10000`
    /// - Example: `50000`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// Client connections of one address at once, or of one /64 network of IPv6 addresses; more get 503. Unlimited if left out.
    ///
    /// - Type: whole number from 1 to 1000000
    /// - Default: none
    /// - Example: `100`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_client: Option<u64>,
    /// Upgraded connections among them, such as WebSockets; 0 allows none. A WebSocket request beyond that gets 503; other requests are forwarded without their offer of an upgrade.
    ///
    /// - Type: whole number from 0 to 1000000
    /// - Default: three quarters of `connections`
    /// - Example: `500`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<u64>,
    /// A request or response head.
    ///
    /// - Type: size from `"1KiB"` to `"1MiB"`
    /// - Default: `"32KiB"`
    /// - Example: `"16KiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Size>,
    /// All interim responses (1xx) to one request, in total; if a backend sends more, the client gets 502. `"0"` for no limit.
    ///
    /// - Type: size
    /// - Default: `"64KiB"`
    /// - Example: `"1MiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interim: Option<Size>,
    /// Field lines of a request or response head; requests with more get 431, responses with more become 502.
    ///
    /// - Type: whole number from 16 to 300
    /// - Default: `100`
    /// - Example: `200`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<u64>,
    /// A request's target, which is its path and query; longer ones get 414. At most `head`.
    ///
    /// - Type: size from `"256B"` to `"64KiB"`
    /// - Default: `"8KiB"`
    /// - Example: `"16KiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Size>,
    /// A request body; larger ones get 413. `"0"` for no limit.
    ///
    /// - Type: size
    /// - Default: `"0"`
    /// - Example: `"10MiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Size>,
    /// Bytes per second below which a request body is too slow, after `timeouts.body_grace`; `"0"` for no limit.
    ///
    /// - Type: size
    /// - Default: `"500B"`
    /// - Example: `"1KiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_rate: Option<Size>,
    /// Bytes per second below which a client reads its response too slowly, after `timeouts.body_grace`; `"0"` for no limit.
    ///
    /// - Type: size
    /// - Default: `"500B"`
    /// - Example: `"1KiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_rate: Option<Size>,
    /// Requests on one client connection before it is closed; 0 for no limit.
    ///
    /// - Type: whole number from 0 to 4294967295
    /// - Default: `1000`
    /// - Example: `100`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u64>,
    /// Requests of one pool that may wait for a free slot; 0 lets none wait.
    ///
    /// - Type: whole number from 0 to 1000000
    /// - Default: `1000`
    /// - Example: `100`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// Idle connections to keep to each backend, or as many as it recently had requests in flight if that is more; 0 keeps none.
    ///
    /// - Type: whole number from 0 to 65535
    /// - Default: `64`
    /// - Example: `0`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_idle: Option<u64>,
    /// The most memory that the process may use, without what the kernel keeps for its sockets; a configuration that could need more is refused. A tight limit leaves few large buffers. `"0"` for no limit. A change takes effect at the next start.
    ///
    /// - Type: size
    /// - Default: `"0"`
    /// - Example: `"1GiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
}

/// Limits of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RouteLimits {
    /// A request body; `"0"` for no limit.
    ///
    /// - Type: size
    /// - Default: that of `limits` at the top level
    /// - Example: `"1GiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Size>,
}

/// A size with its unit, or the number 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum Size {
    /// Such as `"16KiB"`.
    Text(String),
    /// Only 0 needs no unit.
    Number(u64),
}
