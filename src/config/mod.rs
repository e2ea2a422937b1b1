//! Floor 1: the configuration, from the JSON that was typed to values that are right.
//!
//! The way down, each step in its own file:
//!
//! - [`Config`] mirrors the JSON, for programs that embed ropewalk and build it in code;
//! - [`Document`] is the JSON with the place of every value, so that a mistake can be
//!   pointed at; command-line flags are laid over it;
//! - `check` reads a document into a [`Plan`], gathering every mistake on the way;
//! - [`ConfigErrors`] says what is wrong, where, and what to write instead.
//!
//! Nothing above this floor looks at the JSON again.
//!
//! ```
//! use ropewalk::config::Document;
//!
//! let text = r#"{ "port": 8080, "backends": [ { "url": "localhost:9001" } ] }"#;
//! let errors = Document::from_json("config.json", text).unwrap().check().unwrap_err();
//! assert_eq!(
//!     errors.to_string(),
//!     r#"config.json:1:40: error: /backends/0/url: "localhost:9001" has no scheme; did you mean "http://localhost:9001"?"#
//! );
//! ```

pub(crate) mod changes;
mod check;
mod document;
mod error;
mod excerpt;
mod file;
mod habits;
mod jsonc;
pub(crate) mod memory;
mod parse;
pub(crate) mod plan;
mod reader;
mod schema;
mod suggest;
mod units;
mod url;

pub use check::Checked;
pub use document::Document;
pub use error::{ConfigErrors, Place, Problem, Severity};
pub use excerpt::Excerpt;
pub use file::{
    Admin, AdminSettings, Backend, BasicAuth, Config, Ejection, EjectionSettings, ErrorPage, FieldChanges,
    ForwardTimeouts, Headers, HealthCheck, HealthSettings, Limits, Listen, Listener, ListenerSettings, Log,
    Match, MatchValue, OneOrMany, OwnResponse, Pool, RateLimit, Redirect, Route, RouteLimits, Size, Status,
    Timeouts,
};
pub use plan::Plan;
pub use schema::SCHEMA;
