//! The admin listener: what an operator sees of a running balancer and may ask of it.
//!
//! One thread, `rw-admin`, with a `poll` of its own ([`AdminThread`]), so that it
//! answers while every worker is busy and no client of the balancer waits for it. It knows the
//! balancer through [`operations::Operations`] alone.
//!
//! A request goes from `connection` (bytes) through `access` (who may ask) to `endpoint` (what
//! is asked for), and comes back as a `response` out of one of the views.

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

pub use text::requests_table;
pub use thread::AdminThread;
