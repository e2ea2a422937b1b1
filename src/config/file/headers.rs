//! `headers` as it is typed.

use serde::{Deserialize, Serialize};

/// Which fields to add to every message, and which request field names to accept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Headers {
    /// Add `Via: 1.1 ropewalk` to requests and responses (RFC 9110, section 7.6.3). Some backends, such as nginx without `gzip_proxied any`, do not compress responses to requests with `Via`. Without it, request loops are not detected.
    ///
    /// - Default: `true`
    /// - Example: `false`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<bool>,
    /// Add `Forwarded` (RFC 7239) to requests, with the content of `X-Forwarded-*`. An incoming `Forwarded` is always dropped.
    ///
    /// - Default: `false`
    /// - Example: `true`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<bool>,
    /// Request fields with `_` in their name: `drop` drops and counts them, because many backends cannot tell `X_Real_IP` from `X-Real-IP`; `allow` forwards them, except those that could be mistaken for a field that ropewalk writes.
    ///
    /// - Type: one of `drop`, `allow`
    /// - Default: `"drop"`
    /// - Example: `"allow"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub underscores: Option<String>,
}
