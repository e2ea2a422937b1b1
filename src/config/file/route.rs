//! Routes as they are typed: for which requests they are, and what those get.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ErrorPage, ForwardTimeouts, OneOrMany, RouteLimits};

/// Which requests get what.
///
/// - Exactly one of: `pool`, `redirect`, `respond`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// What logs and messages call it; unique.
    ///
    /// - Type: name
    /// - Default: `routes/` and its place in the list
    /// - Example: `"api"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The requests that it is for: those for which all that is given holds.
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
    /// Another place to ask at.
    ///
    /// - Default: none
    /// - Example: `{"status": 301, "location": "https://{host}{path}{query}"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// An answer of our own.
    ///
    /// - Default: none
    /// - Example: `{"status": 503, "body": "Back soon\n"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub respond: Option<OwnResponse>,
    /// What is taken off the front of the path before it is forwarded, in whole segments.
    ///
    /// - Type: path without query
    /// - Default: nothing
    /// - Example: `"/v1"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// The path that is forwarded instead, in which `{path}` stands for the one after `strip_prefix`; the query stays.
    ///
    /// - Default: the path as it came
    /// - Example: `"/v2{path}"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<String>,
    /// How long a request may take from its head to the head of the response, over all tries and without the time spent waiting for the client's body; `"0s"` for no limit.
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
    /// Extra tries after the first, as for a pool.
    ///
    /// - Type: whole number from 0 to 10
    /// - Default: that of the pool
    /// - Example: `0`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How much of each thing there may be.
    ///
    /// - Default: those of the top level
    /// - Example: `{"body": "1GiB"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
    /// What happens to the fields of the request that is forwarded.
    ///
    /// - Default: nothing
    /// - Example: `{"set": {"X-Env": "prod"}, "remove": "X-Debug"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<FieldChanges>,
    /// What happens to the fields of the response, our own answers included.
    ///
    /// - Default: nothing
    /// - Example: `{"set": {"X-Frame-Options": "DENY"}, "remove": "Server"}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<FieldChanges>,
    /// Client networks that are served; others get 403.
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
    /// Who must say who they are (RFC 7617); without that, clients get 401.
    ///
    /// - Default: nobody
    /// - Example: `{"users": {"ann": "$6$c2FsdA$GlgfIVsqFXPBYu4aaS.ycN3zACKA3vMhn.BDRhih9sX1.n8dlfDwEzxPl8YQX1VEiHwVWf8lwaTErPWZMIL6J0"}}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// How often clients may ask; beyond that they get 429 with `Retry-After`.
    ///
    /// - Default: as often as they like
    /// - Example: `{"requests": 10, "per": "1s", "burst": 20}`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Bodies of answers of our own on this route, by status (`"502"`) or range of statuses (`"500-599"`); of two that fit, the narrower one counts.
    ///
    /// - Keys: statuses
    /// - Default: those of the top level
    /// - Example: `{"502": {"body": "<h1>Back in a minute</h1>"}}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_pages: BTreeMap<String, ErrorPage>,
}

/// The requests that a route is for: those for which all that is given holds.
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
    /// Hosts without port, or `*.` and the end of one.
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
    /// Fields that must be there and say this; `true` for anything.
    ///
    /// - Keys: field names
    /// - Default: none
    /// - Example: `{"X-Beta": "1", "Authorization": true}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, MatchValue>,
    /// Cookies that must be there and say this; `true` for anything.
    ///
    /// - Keys: cookie names
    /// - Default: none
    /// - Example: `{"beta": "1", "session": true}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cookies: BTreeMap<String, MatchValue>,
}

/// What a field or cookie must say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum MatchValue {
    /// Exactly this.
    Text(String),
    /// `true`: anything.
    ///
    /// - Type: true
    Present(bool),
}

/// Another place to ask at.
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
    /// Where to, in which `{host}`, `{path}` and `{query}` stand for those of the request; the query with its question mark.
    ///
    /// - Required: yes
    /// - Example: `"https://{host}{path}{query}"`
    pub location: String,
}

/// An answer of our own.
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

/// What happens to the fields of a head: first `remove`, then `set`, then `add`. Fields that
/// frame the message or belong to the connection cannot be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FieldChanges {
    /// Names of fields that are dropped.
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
    /// Fields that are put beside those of the same name; a list puts several.
    ///
    /// - Keys: field names
    /// - Default: none
    /// - Example: `{"X-Tag": ["a", "b"]}`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, OneOrMany<String>>,
}

/// Who must say who they are (RFC 7617).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// What the client is told it logs in to.
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

/// How often clients may ask: a token bucket.
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
    /// The time in which so many requests may come.
    ///
    /// - Type: duration
    /// - Default: `"1s"`
    /// - Example: `"1m"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<String>,
    /// Requests that may come at once after a quiet time.
    ///
    /// - Type: whole number from 1 to 1000000
    /// - Default: as many as `requests`
    /// - Example: `20`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Who shares the limit: each client address has its own (of an IPv6 address the first 64 bits), or the whole route has one.
    ///
    /// - Type: one of `client`, `route`
    /// - Default: `"client"`
    /// - Example: `"route"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
