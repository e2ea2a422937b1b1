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
    /// How long a request body may be slower than `limits.body_rate`, and a client slower than `limits.response_rate`.
    ///
    /// - Type: duration
    /// - Default: `"20s"`
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_grace: Option<String>,
    /// A place at a backend, when all have `max_connections` requests in flight.
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
    /// A response head, from the last byte of the request or from the last 102 (Processing). It also bounds the wait for a 100 (Continue) that the client waits for.
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
    /// A peer that takes no bytes from us.
    ///
    /// - Type: duration
    /// - Default: `"30s"`
    /// - Example: `"10s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_idle: Option<String>,
    /// No bytes either way through a tunnel.
    ///
    /// - Type: duration
    /// - Default: `"10m"`
    /// - Example: `"1h"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<String>,
    /// How long an unused connection to a backend is kept. Shorter than the backend keeps it.
    ///
    /// - Type: duration
    /// - Default: `"4s"`
    /// - Example: `"50s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_keep_alive: Option<String>,
    /// How long a stop waits for requests in flight.
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
    /// - Default: that of `timeouts` further out
    /// - Example: `"10s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle: Option<String>,
    /// How long a request body may be slower than `limits.body_rate`, and a client slower than `limits.response_rate`.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
    /// - Example: `"1m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_grace: Option<String>,
    /// A place at a backend, when all have `max_connections` requests in flight.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
    /// - Example: `"1s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// A connection to a backend.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
    /// - Example: `"500ms"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// A response head, from the last byte of the request or from the last 102 (Processing). It also bounds the wait for a 100 (Continue) that the client waits for.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
    /// - Example: `"2m"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_head: Option<String>,
    /// The next bytes of a response body, so also the next event of an event stream.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
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
    /// A peer that takes no bytes from us.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
    /// - Example: `"10s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_idle: Option<String>,
    /// No bytes either way through a tunnel.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
    /// - Example: `"1h"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_idle: Option<String>,
    /// How long an unused connection to a backend is kept. Shorter than the backend keeps it.
    ///
    /// - Type: duration
    /// - Default: that of `timeouts` further out
    /// - Example: `"50s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_keep_alive: Option<String>,
}

/// How much of each thing there may be.
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
    /// Client connections of one address at once, or of one /64 network of IPv6 addresses; further ones get 503. Without it there is no such limit.
    ///
    /// - Type: whole number from 1 to 1000000
    /// - Default: none
    /// - Example: `100`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections_per_client: Option<u64>,
    /// Upgraded connections among them, such as WebSockets; 0 allows none. A WebSocket request beyond them gets 503; other offers of an upgrade are then forwarded without the offer.
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
    /// All interim responses (1xx) to one request together; if a backend sends more, the client gets 502. `"0"` for no such limit.
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
    /// A request body; those that are larger get 413. `"0"` for no such limit.
    ///
    /// - Type: size
    /// - Default: `"0"`
    /// - Example: `"10MiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Size>,
    /// Bytes per second below which a request body is too slow, after `timeouts.body_grace`; `"0"` for no such limit.
    ///
    /// - Type: size
    /// - Default: `"500B"`
    /// - Example: `"1KiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_rate: Option<Size>,
    /// Bytes per second below which a client takes its response too slowly, after `timeouts.body_grace`; `"0"` for no such limit.
    ///
    /// - Type: size
    /// - Default: `"500B"`
    /// - Example: `"1KiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_rate: Option<Size>,
    /// Requests over one client connection, before it is closed; 0 for no such limit.
    ///
    /// - Type: whole number from 0 to 4294967295
    /// - Default: `1000`
    /// - Example: `100`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_connection: Option<u64>,
    /// Requests of one pool that wait for a place at a backend; 0 lets none wait.
    ///
    /// - Type: whole number from 0 to 1000000
    /// - Default: `1000`
    /// - Example: `100`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    /// Unused connections kept to each backend, or as many as it lately had requests in flight if those were more; 0 keeps none.
    ///
    /// - Type: whole number from 0 to 65535
    /// - Default: `64`
    /// - Example: `0`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_idle: Option<u64>,
    /// Memory that the process may come to at most, without what the kernel keeps for its sockets; a configuration that could need more is refused. Large buffers become few where it is tight. `"0"` for no such limit. What a reload changes about it counts from the next start on.
    ///
    /// - Type: size
    /// - Default: `"0"`
    /// - Example: `"1GiB"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
}

/// How much of each thing there may be on one route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RouteLimits {
    /// A request body; `"0"` for no such limit.
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
