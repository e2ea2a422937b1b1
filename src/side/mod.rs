//! Floor 5: the threads that carry no requests.

mod addresses;
pub mod admin;
mod blocking;
mod dial;
pub mod health_thread;
mod schedule;
