//! Routes as they are typed: for which requests they are, and what those get.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ErrorPage, ForwardTimeouts, OneOrMany, RouteLimits};

/// Which requests go where.
///
/// - Exactly one of: `pool`, `redirect`, `respond`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// Its name in logs and messages; unique.
    ///
    /// - Type: name
    /// - Default: `routes/` and its index
    /// - Example: `"api"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The requests that it matches: those that meet every condition.
    ///
    /// - Default: every request
    /// - Example: `{"host": "api.example.com", "path_prefix": "/v1"}`
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Match>,
    /// The pool that answers.
    ///
    /// - Default: none
    /// - Example: `"api"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A redirect of the client to another URL.
    ///
    /// - Default: none
    /// - Example: `{"status": 301, "location": "https://{host}{path}{query}"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// A fixed response.
    ///
    /// - Default: none
    /// - Example: `{"status": 503, "body": "Back soon\n"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<OwnResponse>,
    /// What to remove from the beginning of the path before it is forwarded, in whole segments.
    ///
    /// - Type: path without query
    /// - Default: nothing
    /// - Example: `"/v1"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// The path to forward instead; `{path}` is the one that `strip_prefix` leaves. The query stays.
    ///
    /// - Default: the path as received
    /// - Example: `"/v2{path}"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<String>,
    /// The time from the request head to the response head, over all attempts, except for time spent waiting for the client's body; `"0s"` for no limit.
    ///
    /// - Type: duration or `"0s"`
    /// - Default: that of the pool
    /// - Example: `"30s"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<String>,
    /// How long each kind of wait may last, where it differs from the pool.
    ///
    /// - Default: those of the pool
    /// - Example: `{"response_head": "5m"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<ForwardTimeouts>,
    /// Extra attempts after the first, as for a pool.
    ///
    /// - Type: whole number from 0 to 10
    /// - Default: that of the pool
    /// - Example: `0`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Limits of this route.
    ///
    /// - Default: those of the top level
    /// - Example: `{"body": "1GiB"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
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
    /// Bodies of ropewalk's own error responses on this route, by status (`"502"`) or range of statuses (`"500-599"`); the narrower of two that match wins.
    ///
    /// - Keys: statuses
    /// - Default: those of the top level
    /// - Example: `{"502": {"body": "<h1>Back in a minute</h1>"}}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_pages: BTreeMap<String, ErrorPage>,
}

/// The requests that a route matches: those that meet every condition.
///
/// - At most one of: `path`, `path_prefix`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Names of listeners.
    ///
    /// - Default: all
    /// - Empty: no
    /// - Example: `"inside"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<OneOrMany<String>>,
    /// Hosts without a port; `*.example.com` for every host below `example.com`.
    ///
    /// - Type: hosts
    /// - Default: all
    /// - Empty: no
    /// - Example: `["example.com", "*.example.com"]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<OneOrMany<String>>,
    /// Exactly this path, without the query.
    ///
    /// - Type: path without query
    /// - Default: all
    /// - Example: `"/robots.txt"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// This path and everything below it: `/v1` is for `/v1` and `/v1/a`, not for `/v10`.
    ///
    /// - Type: path without query
    /// - Default: all
    /// - Example: `"/v1"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Methods.
    ///
    /// - Default: all
    /// - Empty: no
    /// - Example: `["GET", "HEAD"]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<OneOrMany<String>>,
    /// Fields that the request must have, with this value; `true` for any value.
    ///
    /// - Keys: field names
    /// - Default: none
    /// - Example: `{"X-Beta": "1", "Authorization": true}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, MatchValue>,
    /// Cookies that the request must have, with this value; `true` for any value.
    ///
    /// - Keys: cookie names
    /// - Default: none
    /// - Example: `{"beta": "1", "session": true}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cookies: BTreeMap<String, MatchValue>,
}

/// The value that a field or cookie must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum MatchValue {
    /// Exactly this.
    Text(String),
    /// `true`: any value.
    ///
    /// - Type: true
    Present(bool),
}

/// A redirect of the client to another URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The status.
    ///
    /// - Type: one of 301, 302, 303, 307, 308
    /// - Default: `302`
    /// - Example: `301`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The new URL; `{host}`, `{path}` and `{query}` are those of the request, the query with its question mark.
    ///
    /// - Required: yes
    /// - Example: `"https://{host}{path}{query}"`
    pub location: String,
}

/// A fixed response.
///
/// - At most one of: `body`, `file`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OwnResponse {
    /// The status.
    ///
    /// - Type: whole number from 200 to 599
    /// - Default: `200`
    /// - Example: `503`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Its body.
    ///
    /// - Default: `""`
    /// - Example: `"Back soon\n"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The file that holds its body, at most 64 KiB, instead of `body`; relative to the folder of the configuration. Read when the configuration is.
    ///
    /// - Default: none
    /// - Example: `"maintenance.html"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The media type of the body.
    ///
    /// - Type: media type
    /// - Default: by the extension of `file`, or `text/plain; charset=utf-8`
    /// - Example: `"application/json"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// Changes to the fields of a head: first `remove`, then `set`, then `add`. Fields that
/// frame the message or belong to the connection cannot be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FieldChanges {
    /// Names of fields to remove.
    ///
    /// - Default: none
    /// - Example: `["X-Debug", "X-Internal"]`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<OneOrMany<String>>,
    /// Fields that replace those of the same name.
    ///
    /// - Keys: field names
    /// - Default: none
    /// - Example: `{"X-Env": "prod"}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Fields to add, beside those of the same name; a list adds several.
    ///
    /// - Keys: field names
    /// - Default: none
    /// - Example: `{"X-Tag": ["a", "b"]}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, OneOrMany<String>>,
}

/// Users who may log in with Basic authentication (RFC 7617).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The realm that clients are shown when they log in.
    ///
    /// - Default: `"ropewalk"`
    /// - Example: `"staging"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Names and password hashes, as `openssl passwd -6` prints them.
    ///
    /// - Keys: user names
    /// - Values: password hashes
    /// - Required: yes
    /// - Empty: no
    /// - Example: `{"ann": "$6$c2FsdA$GlgfIVsqFXPBYu4aaS.ycN3zACKA3vMhn.BDRhih9sX1.n8dlfDwEzxPl8YQX1VEiHwVWf8lwaTErPWZMIL6J0"}`
    pub users: BTreeMap<String, String>,
}

/// How many requests a client may send in a given time: a token bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Requests for each `per`.
    ///
    /// - Required: yes
    /// - Type: whole number from 1 to 1000000
    /// - Example: `10`
    pub requests: u32,
    /// The time for which `requests` is the limit.
    ///
    /// - Type: duration
    /// - Default: `"1s"`
    /// - Example: `"1m"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// Requests that may come at once after a pause.
    ///
    /// - Type: whole number from 1 to 1000000
    /// - Default: as many as `requests`
    /// - Example: `20`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// What a limit is for: each client address (of an IPv6 address the first 64 bits), or the whole route.
    ///
    /// - Type: one of `client`, `route`
    /// - Default: `"client"`
    /// - Example: `"route"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
