//! Floor 5: the threads that carry no requests.

pub mod access_log;
mod addresses;
pub mod admin;
mod blocking;
mod dial;
pub mod health_thread;
mod log_sink;
mod schedule;
