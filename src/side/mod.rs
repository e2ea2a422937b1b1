//! Floor 5: the threads that carry no requests.

mod addresses;
mod dial;
pub mod health_thread;
mod helpers;
mod schedule;
