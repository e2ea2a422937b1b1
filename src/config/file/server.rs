//! What is not a pool or a route, as typed: listeners, admin, logs, error pages.

use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// One listener or several.
pub type Listen = OneOrMany<Listener>;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum Listener {
    /// An IP address and a port. `0.0.0.0:8080` is every IPv4 address of the machine; `[::]:8080` is every IPv6 address, and no IPv4 address.
    ///
    /// - Type: address
    Address(String),
    /// The same with a name.
    Settings(ListenerSettings),
}

/// An address for clients, and its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// Its name in routes, logs and metrics; unique.
    ///
    /// - Type: name
    /// - Default: the address
    /// - Example: `"inside"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An IP address and a port; port 0 takes a free one. `0.0.0.0` is every IPv4 address of the machine and `[::]` every IPv6 address: list both to accept both.
    ///
    /// - Required: yes
    /// - Type: address
    /// - Example: `"10.0.0.1:8081"`
    pub address: String,
}

/// Where operators connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(untagged)]
pub enum Admin {
    /// A loopback address and a port, such as `127.0.0.1:9900`.
    ///
    /// - Type: address
    Address(String),
    /// An address with a token.
    Settings(AdminSettings),
}

/// The address for operators, and the token that they need.
///
/// - At most one of: `token`, `token_file`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// An IP address and a port; an address that other machines can reach needs a token.
    ///
    /// - Required: yes
    /// - Type: address
    /// - Example: `"10.0.0.1:9900"`
    pub address: String,
    /// The token that `Authorization: Bearer` must have. Anyone who can read the configuration can read it.
    ///
    /// - Default: none
    /// - Example: `"d6e3c0b5a1f24797"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The file that holds the token, instead of `token`; relative to the folder of the configuration.
    ///
    /// - Default: none
    /// - Example: `"admin.token"`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
}

/// What to log, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level of the diagnostics, which go to stderr.
    ///
    /// - Type: one of `off`, `error`, `warn`, `info`, `debug`, `trace`
    /// - Default: `"info"`
    /// - Example: `"debug"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// One line for each request: `"stdout"`, `"off"`, or a file, which is appended to and reopened on SIGUSR1.
    ///
    /// - Default: `"off"`
    /// - Example: `"stdout"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// The format of a line: a JSON object, or Combined Log Format.
    ///
    /// - Type: one of `json`, `combined`
    /// - Default: `"json"`
    /// - Example: `"combined"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// The body of an error response.
///
/// - Exactly one of: `body`, `file`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ErrorPage {
    /// The body.
    ///
    /// - Default: none
    /// - Example: `"<h1>Back in a minute</h1>"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The file that holds the body, at most 64 KiB; relative to the folder of the configuration. Read when the configuration is.
    ///
    /// - Default: none
    /// - Example: `"502.html"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The media type of the body.
    ///
    /// - Type: media type
    /// - Default: by the extension of `file`, or `text/html; charset=utf-8`
    /// - Example: `"text/plain"`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}
