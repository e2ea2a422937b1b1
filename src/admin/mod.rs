//! The admin listener: where operators look at a running balancer and change it.
//!
//! One thread, `rw-admin`, with its own `poll` loop ([`AdminThread`]): it answers even when every
//! worker is busy, and clients of the balancer never wait for it. It knows the balancer only through
//! [`operations::Operations`].
//!
//! A request passes from `connection` (bytes) through `access` (permission) to `endpoint` (what is
//! asked for), and comes back as a `response` from one of the views.

mod access;
mod connection;
mod endpoint;
mod figures;
mod history;
mod metrics;
pub mod operations;
mod page;
mod pending;
mod process;
mod request;
mod response;

mod table;
mod text;
mod thread;
mod verbs;

pub use metrics::metrics_text;
pub use text::requests_table;
pub use thread::AdminThread;
